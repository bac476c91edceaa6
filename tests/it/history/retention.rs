//! What is deleted when its term is over, and that nobody waits for it.

use hostler::{
    domain::{
        QueueName,
        history::{Kind, Look, Sweep},
    },
    history::retention::{Right, Step},
    store::{
        history::{self, Due, Most},
        log,
    },
};
use uuid::Uuid;

use super::past::{DAY, Past, TERMS, sweep};

#[tokio::test]
async fn each_state_has_a_term_of_its_own() {
    let past = Past::new().await;
    let mut gone = Vec::new();
    let mut kept = Vec::new();
    for (state, term) in [("completed", 7.0), ("cancelled", 3.0), ("failed", 90.0)] {
        gone.push(past.ended(state, term + 0.1).await);
        kept.push(past.ended(state, term - 0.1).await);
    }
    kept.push(past.pending(400.0).await);
    // Discarded long ago, discarded lately, and not at all.
    for (days_ago, days) in [(31.0, 40.0), (29.0, 40.0)] {
        let letter = past.ended("failed", days).await;
        let discard =
            "INSERT INTO hostler.dead_letter_notes (task_id, discarded_at, discard_reason)
            VALUES ($1, now() - $2::float8 * interval '1 day', 'known')";
        past.db.execute(discard, &[letter.as_uuid(), &days_ago]).await.unwrap();
        if days_ago > 30.0 { gone.push(letter) } else { kept.push(letter) }
    }
    kept.push(past.ended("failed", 40.0).await);

    let retention = past.retention(None);
    let counts = past.sweep_until(&retention, &gone).await;
    let all: Vec<_> = counts.iter().collect();
    let expected = [Kind::Completed, Kind::Cancelled, Kind::Failed, Kind::DeadLetters];
    assert_eq!(all, expected.map(|kind| (kind, 1)));
    for task in kept {
        assert!(past.is_there(task).await, "{task}");
    }
    // Nothing of them is left in any table that names tasks.
    let ids: Vec<Uuid> = gone.iter().map(|task| *task.as_uuid()).collect();
    let tables = "SELECT relname::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'hostler'::regnamespace AND relkind = 'r' AND attname = 'task_id'";
    for table in past.db.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let left = format!("SELECT count(*) FROM hostler.{table} WHERE task_id = ANY ($1)");
        let left: i64 = past.db.query_one(&left, &[&ids]).await.unwrap().get(0);
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let past = Past::new().await;
    let task = past.ended("completed", 8.0).await;
    past.lane(5, 8.0, &[]).await;
    past.db.batch_execute("DELETE FROM hostler.log_feed").await.unwrap();
    let retention = past.retention(None);
    // Of a lane at once; of a tracked task once no older transaction is open beside it.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while sweep(&retention, Right::Nobody).await.get(Kind::Completed) < 6 {
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert!(past.is_there(task).await);
    assert_eq!(past.count("log_tasks").await, 5);
    assert_eq!(past.sweep_until(&retention, &[task]).await.tasks(), 6);
}

#[tokio::test]
async fn a_lane_is_deleted_up_to_what_has_not_ended_and_beyond_it() {
    let past = Past::new().await;
    // More than one batch; one runs still, and one has moved.
    let lane = past.lane(2_500, 8.0, &[1_200]).await;
    past.db
        .batch_execute(
            "UPDATE hostler.log_ends SET moved = true, host_id = NULL, agent = NULL,
                started_at = NULL, output = NULL WHERE number = 7",
        )
        .await
        .unwrap();
    let young = past.lane(10, 1.0, &[]).await;
    let cursors =
        "SELECT string_agg(lane || ':' || taken, ' ' ORDER BY lane) FROM hostler.log_cursors";
    let before: String = past.db.query_one(cursors, &[]).await.unwrap().get(0);
    let counts = past.sweep_down_to(&past.retention(None), "log_tasks", 11).await;
    assert_eq!(counts.get(Kind::Completed), 2_498, "what moved is counted where it is");
    assert_eq!(past.count("log_ends").await, 10);
    assert_eq!(past.count(&format!("log_tasks WHERE lane = {lane} AND number = 1200")).await, 1);
    assert_eq!(past.count(&format!("log_feed WHERE lane = {young}")).await, 3);
    assert_eq!(past.count(&format!("log_feed WHERE lane = {lane}")).await, 0);
    let after: String = past.db.query_one(cursors, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "what is claimed next is the same");
    let slot =
        past.db.query_one("SELECT slot FROM hostler.log_lanes WHERE id = $1", &[&lane]).await;
    let queue: QueueName = "default".parse().unwrap();
    let lanes = log::lanes(&past.db, slot.unwrap().get(0), std::slice::from_ref(&queue)).await;
    assert_eq!(
        lanes.unwrap()[&queue].number,
        2_500,
        "a number that was deleted is not given again"
    );
    // The one that runs ends, and goes too.
    let end = "INSERT INTO hostler.log_ends (lane, number, host_id, agent, started_at, ended_at, output)
        SELECT lane, number, gen_random_uuid(), 'a', created_at, created_at, '1' FROM hostler.log_tasks
        WHERE number = 1200";
    past.db.batch_execute(end).await.unwrap();
    past.sweep_down_to(&past.retention(None), "log_tasks", 10).await;
}

#[tokio::test]
async fn plain_tasks_stay_as_long_as_the_feed_tells_of_them() {
    let past = Past::new().await;
    let lane = past.lane(20, 8.0, &[]).await;
    let most = Most { count: 1_000, bytes: 1 << 20 };
    let look = async || {
        let lane = hostler::domain::Lane(lane);
        history::log_ended(&past.db, DAY * 7, lane, 0, most).await.unwrap().0
    };
    assert!(look().await.is_empty(), "the feed has not been shortened yet");
    past.db.batch_execute("DELETE FROM hostler.log_feed").await.unwrap();
    let Due::Log { numbers, .. } = look().await else { unreachable!("of the log") };
    assert_eq!(numbers.len(), 20);
}

/// A deletion is held open in the middle. Beside it others claim, settle, submit and delete.
#[tokio::test]
async fn nobody_waits_for_a_deletion() {
    let past = Past::new().await;
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(past.ended("completed", 8.0).await);
    }
    let lane = past.lane(10, 8.0, &[10]).await;
    past.db.batch_execute("DELETE FROM hostler.log_feed").await.unwrap();
    let most = Most { count: 1_000, bytes: 1 << 20 };
    let first = hostler::domain::TaskId::from_uuid(Uuid::nil());
    let mut deleter = past.store.client().await.unwrap();
    let open = deleter.transaction().await.unwrap();
    let versions = vec![3; old.len()];
    let due = Due::Tasks { kind: Kind::Completed, ids: old.clone(), versions };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while history::ended(&past.db, Kind::Completed, DAY, first, most).await.unwrap().0 != due {
        assert!(tokio::time::Instant::now() < deadline, "they are over their term");
    }
    assert_eq!(history::delete(&open, &due).await.unwrap().get(Kind::Completed), 3);
    let plain =
        history::log_ended(&open, DAY, hostler::domain::Lane(lane), 0, most).await.unwrap().0;
    assert_eq!(history::delete(&open, &plain).await.unwrap().get(Kind::Completed), 9);

    past.db.batch_execute("SET lock_timeout = '1s'").await.unwrap();
    let work = "
        SELECT hostler.enqueue('default', 'new');
        SELECT hostler.complete_task(task_id, '1', attempt) FROM hostler.claim_task('bot-1');
        SELECT hostler.enqueue('default', 'fails', max_attempts => 1);
        SELECT hostler.fail_task(task_id, 'no', attempt) FROM hostler.claim_task('bot-1');
        -- A claim of the lane, and a settle there.
        SELECT FROM hostler.log_cursors FOR UPDATE SKIP LOCKED;
        INSERT INTO hostler.log_ends (lane, number, host_id, agent, started_at, output)
        SELECT lane, 10, gen_random_uuid(), 'bot-2', now(), '1' FROM hostler.log_cursors;
    ";
    past.db.batch_execute(work).await.unwrap();
    assert_eq!(past.count("tasks WHERE state = 'completed' AND kind = 'new'").await, 1);
    let cursor = "SELECT lane FROM hostler.log_cursors WHERE lane = $1 FOR UPDATE SKIP LOCKED";
    assert_eq!(past.db.query(cursor, &[&lane]).await.unwrap().len(), 1, "it can be claimed");
    // Another one that deletes passes over what the first has in hand.
    assert_eq!(sweep(&past.retention(None), Right::Hand).await.tasks(), 0);
    open.commit().await.unwrap();
    assert_eq!(past.count("tasks WHERE kind = 'past'").await, 0);
    assert_eq!(past.count("log_tasks").await, 1);
}

/// Who comes to ask for a plain task that is being deleted must not take it for one that has not
/// ended: it would run again.
#[tokio::test]
async fn what_is_being_deleted_from_the_log_does_not_come_back() {
    let past = Past::new().await;
    let lane = past.lane(3, 8.0, &[]).await;
    past.db.batch_execute("DELETE FROM hostler.log_feed").await.unwrap();
    let ids = "SELECT array_agg(id) FROM hostler.log_tasks";
    let ids: Vec<Uuid> = past.db.query_one(ids, &[]).await.unwrap().get(0);
    let mut deleter = past.store.client().await.unwrap();
    let open = deleter.transaction().await.unwrap();
    let due = Due::Log { lane: hostler::domain::Lane(lane), numbers: vec![1, 2, 3], moved: 0 };
    assert_eq!(history::delete(&open, &due).await.unwrap().get(Kind::Completed), 3);
    let other = past.store.client().await.unwrap();
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let track = tokio::spawn(async move {
        let moved = other.query_one("SELECT hostler.track($1)", &[&ids]).await.unwrap();
        moved.get::<_, i64>(0)
    });
    let waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1";
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while past.db.query_one(waits, &[&pid]).await.unwrap().get::<_, Option<bool>>(0) != Some(true) {
        assert!(tokio::time::Instant::now() < deadline, "it waits for the deletion");
    }
    open.commit().await.unwrap();
    assert_eq!(track.await.unwrap(), 0);
    assert_eq!((past.count("tasks").await, past.count("log_ends").await), (0, 0));
}

#[tokio::test]
async fn what_changed_since_it_was_found_stays() {
    let past = Past::new().await;
    let (gone, again) = (past.ended("failed", 91.0).await, past.ended("failed", 91.0).await);
    let due = Due::Tasks { kind: Kind::DeadLetters, ids: vec![gone, again], versions: vec![3, 3] };
    let retry = "UPDATE hostler.tasks SET state = 'pending', version = 4, finished_at = NULL
        WHERE id = $1";
    past.db.execute(retry, &[again.as_uuid()]).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while past.is_there(gone).await {
        let delete =
            async |db: &deadpool_postgres::Transaction<'_>| history::delete(db, &due).await;
        past.store.transact(delete).await.unwrap();
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert!(past.is_there(again).await);
}

#[tokio::test]
async fn a_leader_whose_term_is_over_deletes_nothing() {
    let past = Past::new().await;
    let task = past.ended("completed", 8.0).await;
    let right = past.lead().await;
    let retention = past.retention(None);
    past.db.batch_execute("UPDATE hostler.leader SET term = term + 1").await.unwrap();
    let deposed = Right::Leader(right.term());
    let lanes = Sweep::new(&TERMS, []);
    let mut at_tasks = lanes;
    while !matches!(at_tasks.next(), Some(Look::Tasks { .. })) {
        at_tasks.looked(hostler::domain::history::Went::ToTheEnd);
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let mut sweep = at_tasks.clone();
        match retention.step(&mut sweep, deposed).await.unwrap() {
            Step::TermOver => break,
            // Not found yet: somebody beside this test has an older transaction open.
            step => assert!(step == Step::Went(hostler::domain::history::Counts::default())),
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert!(past.is_there(task).await);
    past.db.batch_execute("UPDATE hostler.leader SET term = term - 1").await.unwrap();
    let mut sweep = at_tasks.clone();
    let step = retention.step(&mut sweep, deposed).await.unwrap();
    assert_eq!(step, Step::Went(hostler::domain::history::Counts::of(Kind::Completed, 1)));
    assert!(!past.is_there(task).await);
}

/// A plain task that somebody came to wait for while it ran: its end still comes by its number.
#[tokio::test]
async fn what_has_moved_and_runs_still_is_not_forgotten_by_the_log() {
    let past = Past::new().await;
    let lane = past.lane(2, 8.0, &[]).await;
    let moved = "
        DELETE FROM hostler.log_feed;
        UPDATE hostler.log_ends SET moved = true, host_id = NULL, agent = NULL,
            started_at = NULL, output = NULL WHERE number = 1;
        INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts)
        SELECT id, 'default', 'moved', 'pending', 1 FROM hostler.log_tasks WHERE number = 1;
        INSERT INTO hostler.task_inputs SELECT id, '1' FROM hostler.tasks WHERE kind = 'moved';
        UPDATE hostler.tasks SET state = 'running', version = 2, attempt = 1, agent = 'a',
            host_id = gen_random_uuid(), started_at = now() WHERE kind = 'moved';";
    past.db.batch_execute(moved).await.unwrap();
    let retention = past.retention(None);
    past.sweep_down_to(&retention, "log_tasks", 1).await;
    assert_eq!(past.count("log_ends WHERE moved").await, 1, "the fence stands");
    // Found before, and deleted in this moment: it is looked at again.
    let due = Due::Log { lane: hostler::domain::Lane(lane), numbers: vec![1], moved: 1 };
    let delete = async |db: &deadpool_postgres::Transaction<'_>| history::delete(db, &due).await;
    past.store.transact(delete).await.unwrap();
    assert_eq!(past.count("log_ends WHERE moved").await, 1);
    let end = "UPDATE hostler.tasks SET state = 'failed', version = 3, failures = 1, agent = NULL,
            host_id = NULL, started_at = NULL, finished_at = now() WHERE kind = 'moved'";
    past.db.batch_execute(end).await.unwrap();
    past.sweep_down_to(&retention, "log_tasks", 0).await;
    assert_eq!(past.count("log_ends").await, 0);
    assert_eq!(past.count("tasks WHERE kind = 'moved'").await, 1, "it has a term of its own");
}

/// A host that was lost, and comes back when even what says so has been deleted.
#[tokio::test]
async fn a_lost_host_ends_nothing_though_the_fence_was_deleted() {
    use hostler::domain::{
        Attempt, ClaimId, Entry, HostId, Lane, TaskId,
        task::{Outcome, Settlement, TaskEvent},
    };
    let past = Past::new().await;
    let lane = past.lane(1, 8.0, &[]).await;
    past.db.batch_execute("DELETE FROM hostler.log_feed").await.unwrap();
    past.sweep_down_to(&past.retention(None), "log_ends", 0).await;
    let late = Settlement {
        task: TaskId::from_uuid(Uuid::now_v7()),
        attempt: Attempt(1),
        outcome: Outcome::Completed { output: serde_json::json!(1) },
        event: TaskEvent::Completed,
        retry_after: std::time::Duration::ZERO,
        agent: "quick-1".parse().unwrap(),
        began_ago: DAY * 9,
        entry: Some(Entry { lane: Lane(lane), number: 1, claim: ClaimId(Uuid::new_v4()) }),
    };
    let lost = HostId::from_uuid(Uuid::now_v7());
    let settled = hostler::store::ends::settle(&past.db, lost, &[late], &[]).await.unwrap();
    assert!(settled.is_empty(), "{settled:?}");
    assert_eq!((past.count("log_ends").await, past.count("log_feed").await), (0, 0));
}

/// A run of a plan that ended so many days ago, with so many tasks `t0`, `t1`, … of which none is in the queue.
async fn run(past: &Past, days: f64, rehearsal: bool, tasks: i32) -> Uuid {
    let make = "
        WITH run AS (
            INSERT INTO hostler.plan_runs (id, title, plan, agents, hour_ms, rehearsal, phased,
                sequential_ms, makespan_ms, bound_ms, found_by, created_at, ended_at)
            SELECT hostler.task_id_at((extract(epoch FROM at) * 1000000)::bigint), 'old', '', 1, 1, $2,
                false, 1, 1, 1, 'x', at, CASE WHEN $1 > 0 THEN at END
            FROM (SELECT now() - abs($1::float8) * interval '1 day') AS past (at)
            RETURNING id, created_at
        ), rows AS (
            INSERT INTO hostler.plan_tasks (run_id, place, name, title, human, depends_on, task_id,
                planned_ms, start_ms, finish_ms, worker, critical, queue, state, ended_at, took_ms)
            SELECT run.id, place, 't' || place, '', false, '{}', gen_random_uuid(), 1, 0, 1, 'x', false,
                'default', 'completed', run.created_at, 1000 + place
            FROM run, generate_series(0, $3::integer - 1) AS place
        )
        SELECT id FROM run";
    past.db.query_one(make, &[&days, &rehearsal, &tasks]).await.unwrap().get(0)
}

#[tokio::test]
async fn runs_of_plans_go_and_what_is_learned_from_them_stays() {
    let past = Past::new().await;
    let large = run(&past, 300.0, false, 2_500).await;
    run(&past, 200.0, true, 3).await;
    for day in 0..25 {
        run(&past, 101.0 + f64::from(day), false, 1).await;
    }
    // Too young; and one that goes on, however old it is.
    let (young, open) = (run(&past, 99.0, false, 1).await, run(&past, -400.0, false, 2).await);
    // And one of which a task is there.
    let held = run(&past, 500.0, false, 1).await;
    let task = past.pending(1.0).await;
    let hold = "UPDATE hostler.plan_tasks SET task_id = $2 WHERE run_id = $1";
    past.db.execute(hold, &[&held, task.as_uuid()]).await.unwrap();

    let retention = past.retention(None);
    let found = sweep(&retention, Right::Nobody).await;
    assert_eq!((found.get(Kind::Plans), past.count("plan_runs").await), (27, 30));
    let counts = sweep(&retention, Right::Hand).await;
    assert_eq!((counts.get(Kind::Plans), counts.tasks()), (27, 0));
    let left: Vec<Uuid> = past
        .db
        .query("SELECT id FROM hostler.plan_runs ORDER BY id", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(left, [held, open, young]);
    assert_eq!(past.count(&format!("plan_tasks WHERE run_id = '{large}'")).await, 0);
    // The newest twenty of each name, without those of the rehearsal.
    assert_eq!(past.count("plan_durations WHERE name = 't0'").await, 20);
    assert_eq!(past.count("plan_durations WHERE name = 't1'").await, 1);
    let names = ["t0".parse().unwrap(), "t2000".parse().unwrap(), "t9999".parse().unwrap()];
    let learned = hostler::store::plans::learned(&past.db, &names).await.unwrap();
    let all: Vec<_> = learned.iter().map(|it| (it.id.as_str(), it.runs, it.median_ms)).collect();
    assert_eq!(all, [("t0", 20, 1000), ("t2000", 1, 3000)]);
    // As the leader, there is nothing left to do.
    let lead = past.lead().await;
    assert_eq!(sweep(&retention, Right::Leader(lead.term())).await.get(Kind::Plans), 0);
}
