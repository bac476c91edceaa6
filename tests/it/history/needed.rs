//! What is never deleted, however old it is.

use super::past::Past;

/// What is done to a task that is old enough, and whether it stays.
async fn stays(what: &str, after: &str) {
    let past = Past::new().await;
    let state = if after.contains("-- failed") { "failed" } else { "completed" };
    let task = past.ended(state, 100.0).await;
    let id = task.as_uuid().to_string();
    past.db.batch_execute(&what.replace("@TASK@", &id)).await.unwrap();
    let other = past.ended("completed", 100.0).await;
    let retention = past.retention(None);
    past.sweep_until(&retention, &[other]).await;
    assert!(past.is_there(task).await, "{what}");
    past.db.batch_execute(&after.replace("@TASK@", &id)).await.unwrap();
    past.sweep_until(&retention, &[task]).await;
}

const DEPENDENT: &str = "
    INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts)
    VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', 'default', 'later', 'pending', 1);
    INSERT INTO hostler.task_inputs VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', '1');
    INSERT INTO hostler.dependents (task_id, policy, open)
    VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', 'cancel', 0);
    INSERT INTO hostler.dependencies (task_id, place, depends_on, name)
    VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', 0, '@TASK@', 'a');";

#[tokio::test]
async fn what_a_task_depends_on_that_has_not_ended_stays() {
    let end = "UPDATE hostler.tasks SET state = 'cancelled', version = version + 1,
        finished_at = now() WHERE kind = 'later'";
    stays(DEPENDENT, end).await;
}

/// It may be tried again, and then wants the results.
#[tokio::test]
async fn what_a_dead_letter_depends_on_stays_as_long_as_it() {
    let fail = "
        UPDATE hostler.tasks SET state = 'running', version = 2, attempt = 1, agent = 'a',
            host_id = gen_random_uuid(), started_at = now() WHERE kind = 'later';
        UPDATE hostler.tasks SET state = 'failed', version = 3, failures = 1, agent = NULL,
            host_id = NULL, started_at = NULL, finished_at = now() WHERE kind = 'later';";
    stays(&format!("{DEPENDENT}{fail}"), "DELETE FROM hostler.tasks WHERE kind = 'later'").await;
}

#[tokio::test]
async fn what_a_plain_task_gave_to_one_that_waits_stays() {
    let past = Past::new().await;
    past.lane(3, 100.0, &[]).await;
    let wait = DEPENDENT.replace("'@TASK@'", "(SELECT id FROM hostler.log_tasks WHERE number = 2)");
    past.db.batch_execute(&wait).await.unwrap();
    let retention = past.retention(None);
    past.sweep_down_to(&retention, "log_tasks", 1).await;
    assert_eq!(past.count("log_tasks WHERE number = 2").await, 1);
    let end = "UPDATE hostler.tasks SET state = 'cancelled', version = version + 1,
        finished_at = now() WHERE kind = 'later'";
    past.db.batch_execute(end).await.unwrap();
    past.sweep_down_to(&retention, "log_tasks", 0).await;
}

#[tokio::test]
async fn members_of_a_batch_that_is_not_done_stay() {
    let join = "INSERT INTO hostler.batches (id) VALUES ('00000000-0000-7000-8000-000000000001');
        INSERT INTO hostler.task_members (task_id, batch_id)
        VALUES ('@TASK@', '00000000-0000-7000-8000-000000000001')";
    let done = "UPDATE hostler.batches SET closed_at = now()";
    stays(join, done).await;
}

#[tokio::test]
async fn members_of_a_group_stay_as_long_as_others_of_it_have_not_ended() {
    let join = "
        INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts)
        VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', 'default', 'later', 'pending', 1);
        INSERT INTO hostler.task_members (task_id, group_name)
        VALUES ('@TASK@', 'nightly'), ('ffffffff-ffff-7fff-bfff-ffffffffffff', 'nightly')";
    let end = "UPDATE hostler.tasks SET state = 'cancelled', version = version + 1,
        finished_at = now() WHERE kind = 'later'";
    stays(join, end).await;
}

#[tokio::test]
async fn a_task_stays_as_long_as_the_window_of_its_key() {
    let key = "INSERT INTO hostler.task_unique VALUES
        ('default', 'k', '@TASK@', now() + interval '1 hour')";
    stays(key, "UPDATE hostler.task_unique SET kept_until = now() - interval '1 second'").await;
}

#[tokio::test]
async fn a_dead_letter_stays_for_a_term_of_its_own() {
    let past = Past::new().await;
    let (letter, other) = (past.ended("failed", 60.0).await, past.ended("completed", 60.0).await);
    let retention = past.retention(None);
    past.sweep_until(&retention, &[other]).await;
    assert!(past.is_there(letter).await);
    // Discarded more than a month ago: that is the term then.
    let discard = "INSERT INTO hostler.dead_letter_notes (task_id, discarded_at, discard_reason)
        VALUES ($1, now() - interval '31 days', 'known')";
    past.db.execute(discard, &[letter.as_uuid()]).await.unwrap();
    past.sweep_until(&retention, &[letter]).await;
}

#[tokio::test]
async fn who_comes_to_depend_on_a_task_keeps_it_or_finds_it_gone() {
    let past = Past::new().await;
    let task = past.ended("completed", 100.0).await;
    let retention = past.retention(None);
    let mut other = past.store.client().await.unwrap();
    let open = other.transaction().await.unwrap();
    let lock = "SELECT hostler.lock_dependencies(ARRAY[$1::uuid])";
    open.query(lock, &[task.as_uuid()]).await.unwrap();
    let due = hostler::store::history::Due::Tasks {
        kind: hostler::domain::history::Kind::Completed,
        ids: vec![task],
        versions: vec![3],
    };
    let delete = async |db: &deadpool_postgres::Transaction<'_>| {
        hostler::store::history::delete(db, &due).await
    };
    let counts = past.store.transact(delete).await.unwrap();
    assert_eq!(counts.tasks(), 0, "it passes over what somebody has in hand, and does not wait");
    drop(open);
    past.sweep_until(&retention, &[task]).await;
}
