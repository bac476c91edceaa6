//! The database allows exactly the steps of `domain::task`.

use std::time::Duration;

use hostler::{
    domain::{
        Attempt, TaskId,
        task::{Assignment, RunTerms, TaskEvent, TaskState, step},
    },
    store::tasks,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{World, agents, end, is_legal, task};

/// A new task of the world's queue in `state`.
pub(super) async fn put_in(world: &World, state: TaskState) -> TaskId {
    use TaskEvent as E;
    match state {
        TaskState::Blocked => {
            let id = TaskId::from_uuid(Uuid::now_v7());
            let insert = "WITH made AS (
                    INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts)
                    VALUES ($1, $2, 'test', 'blocked', 3) RETURNING id
                )
                INSERT INTO hostler.task_inputs SELECT id, 'null' FROM made";
            world.db.execute(insert, &[id.as_uuid(), &world.queue.as_str()]).await.unwrap();
            id
        }
        TaskState::Scheduled => {
            let mut later = task(&world.queue);
            later.run_at = Some(Timestamp::now() + Duration::from_secs(3_600));
            tasks::submit(&world.db, &[later]).await.unwrap()[0].id
        }
        TaskState::Pending => world.submit(1).await[0],
        _ => {
            let id = world.submit(1).await[0];
            put_first(world, id).await;
            let given = world.claim(1).await.pop().unwrap();
            assert_eq!(given.task, id);
            match state {
                TaskState::AwaitingInput => apply(world, given.task, E::InputAsked).await,
                TaskState::Completed => apply(world, given.task, E::Completed).await,
                TaskState::Failed => apply(world, given.task, E::FailedForGood).await,
                TaskState::Cancelled => apply(world, given.task, E::Cancelled).await,
                _ => {}
            }
            assert_eq!(world.state(given.task).await, state);
            given.task
        }
    }
}

/// Makes a task the one that is claimed next, if it can be claimed at all.
pub(super) async fn put_first(world: &World, id: TaskId) {
    let first = "UPDATE hostler.tasks SET priority = (id = $1)::integer WHERE queue = 'default'";
    world.db.execute(first, &[id.as_uuid()]).await.unwrap();
}

/// Lets `event` happen to a task, whatever state it is in, by the statement there is for it.
async fn apply(world: &World, id: TaskId, event: TaskEvent) {
    let record = tasks::get(&world.db, id).await.unwrap().unwrap();
    let raw = |from, to| {
        format!(
            "UPDATE hostler.tasks SET state = '{to}', version = version + 1
             WHERE id = '{}' AND state = '{from}'",
            id.as_uuid()
        )
    };
    match event {
        TaskEvent::Unblocked => {
            world.db.batch_execute(&raw("blocked", "pending")).await.unwrap();
        }
        TaskEvent::UnblockedEarly => {
            world.db.batch_execute(&raw("blocked", "scheduled")).await.unwrap();
        }
        TaskEvent::RetriedEarly => {
            let back = "UPDATE hostler.tasks
                SET state = 'blocked', version = version + 1, finished_at = NULL
                WHERE id = $1 AND state IN ('failed', 'cancelled')";
            world.db.execute(back, &[id.as_uuid()]).await.unwrap();
        }
        TaskEvent::InputAsked => {
            world.db.batch_execute(&raw("running", "awaiting_input")).await.unwrap();
        }
        TaskEvent::InputGiven => {
            world.db.batch_execute(&raw("awaiting_input", "running")).await.unwrap();
        }
        TaskEvent::Deferred => {
            let defer = "UPDATE hostler.tasks
                SET state = 'scheduled', version = version + 1, finished_at = NULL
                WHERE id = $1 AND state IN ('pending', 'failed', 'cancelled')";
            world.db.execute(defer, &[id.as_uuid()]).await.unwrap();
        }
        TaskEvent::Due => {
            let due = "UPDATE hostler.tasks SET run_at = now() WHERE id = $1";
            world.db.execute(due, &[id.as_uuid()]).await.unwrap();
            tasks::promote_due(&world.db).await.unwrap();
        }
        TaskEvent::Claimed => {
            put_first(world, id).await;
            world.claim(1).await;
        }
        TaskEvent::Retried => {
            tasks::retry(&world.db, id).await.unwrap();
        }
        TaskEvent::Cancelled if !record.state.is_held() => {
            tasks::cancel(&world.db, id).await.unwrap();
        }
        TaskEvent::Completed
        | TaskEvent::FailedForNow
        | TaskEvent::FailedForGood
        | TaskEvent::Released
        | TaskEvent::Cancelled => {
            world.settle(&[end(&held(id, record.attempt), event)]).await;
        }
    }
}

/// What a host would know of an attempt, as far as its end needs it.
pub(super) fn held(task: TaskId, attempt: Attempt) -> Assignment {
    Assignment {
        task,
        attempt,
        failures: 0,
        max_attempts: 3,
        agent: agents(1).remove(0),
        queue: "default".parse().unwrap(),
        kind: String::new(),
        input: serde_json::Value::Null,
        results: None,
        timeout: None,
        waited: std::time::Duration::ZERO,
        entry: None,
        terms: RunTerms::default(),
    }
}

#[tokio::test]
async fn every_pair_of_state_and_event_does_in_sql_what_step_says() {
    let world = World::new().await;
    for state in TaskState::ALL {
        for event in TaskEvent::ALL {
            let id = put_in(&world, state).await;
            let before = world.check_events(id).await.len();
            apply(&world, id, event).await;
            let expected = step(state, event).unwrap_or(state);
            assert_eq!(world.state(id).await, expected, "{state} + {event:?}");
            let after = world.check_events(id).await.len();
            assert_eq!(after - before, usize::from(expected != state), "{state} + {event:?}");
        }
    }
}

#[tokio::test]
async fn every_pair_of_states_is_let_through_or_refused_as_step_says() {
    let world = World::new().await;
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            let id = put_in(&world, from).await;
            let moved = world.db.batch_execute(&raw_move(id, from, to, 1)).await;
            assert_eq!(moved.is_ok(), is_legal(from, to), "{from} -> {to}: {moved:?}");
            if let Err(error) = moved {
                let error = error.as_db_error().unwrap();
                assert_eq!(error.constraint(), Some("tasks_step"), "{error}");
            }
            world.check_events(id).await;
        }
    }
}

#[tokio::test]
async fn the_counters_cannot_be_forgotten() {
    let world = World::new().await;
    let given = world.running().await;
    let (id, uuid) = (given.task, given.task.as_uuid());
    for bump in [0, 2, -1] {
        let statement = raw_move(id, TaskState::Running, TaskState::Completed, bump);
        assert!(world.db.batch_execute(&statement).await.is_err(), "{statement}");
    }
    let sets = [
        "version = version + 1",
        "attempt = attempt + 1",
        "attempt = attempt - 1",
        "id = gen_random_uuid()",
        "state = 'awaiting_input', version = version + 1, attempt = attempt + 1",
    ];
    for set in sets {
        let statement = format!("UPDATE hostler.tasks SET {set} WHERE id = '{uuid}'");
        assert!(world.db.batch_execute(&statement).await.is_err(), "{statement}");
    }
    let free = world.submit(1).await[0];
    let claimed_without_a_number = format!(
        "UPDATE hostler.tasks SET state = 'running', version = version + 1, agent = 'a',
             host_id = gen_random_uuid(), started_at = now() WHERE id = '{}'",
        free.as_uuid()
    );
    assert!(world.db.batch_execute(&claimed_without_a_number).await.is_err());
    let delete = format!("DELETE FROM hostler.tasks WHERE id = '{uuid}'");
    assert!(world.db.batch_execute(&delete).await.is_err(), "a running task is not deleted");
    assert_eq!(world.check_events(id).await.len(), 2);
}

#[tokio::test]
async fn a_deleted_task_leaves_nothing() {
    let world = World::new().await;
    let (kept, gone) = (world.running().await, world.running().await);
    world.settle(&[end(&kept, TaskEvent::Completed), end(&gone, TaskEvent::Completed)]).await;
    let delete = "DELETE FROM hostler.tasks WHERE id = $1";
    world.db.execute(delete, &[gone.task.as_uuid()]).await.unwrap();
    for table in ["task_inputs", "task_results", "attempts", "task_events"] {
        let count = format!("SELECT count(DISTINCT task_id) FROM hostler.{table}");
        let row = world.db.query_one(&count, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1, "{table}");
    }
}

#[tokio::test]
async fn bad_rows_are_refused() {
    let world = World::new().await;
    let bad = [
        ("state", "'running'"),
        ("state", "'completed'"),
        ("version", "2"),
        ("attempt", "1"),
        ("failures", "1"),
        ("max_attempts", "0"),
        ("timeout_ms", "0"),
        ("cancel_requested", "true"),
        ("finished_at", "now()"),
        ("agent", "'a'"),
        ("idempotency_key", "''"),
        ("kind", "repeat('k', 256)"),
    ];
    for (column, value) in bad {
        let mut row = vec![
            ("id", "gen_random_uuid()"),
            ("queue", "'default'"),
            ("kind", "'k'"),
            ("state", "'pending'"),
            ("max_attempts", "1"),
        ];
        row.retain(|(name, _)| *name != column);
        row.push((column, value));
        let names: Vec<_> = row.iter().map(|(name, _)| *name).collect();
        let values: Vec<_> = row.iter().map(|(_, value)| *value).collect();
        let insert = format!(
            "INSERT INTO hostler.tasks ({}) VALUES ({})",
            names.join(", "),
            values.join(", ")
        );
        let error = world.db.batch_execute(&insert).await.expect_err(&insert);
        assert_eq!(error.code().unwrap().code(), "23514", "{insert}: {error:?}");
    }
}

/// Any walk leaves events without a gap. A failure prints the seed to walk it again.
#[tokio::test]
async fn any_walk_leaves_gapless_events() {
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let world = World::new().await;
    let ids = world.submit(12).await;
    for _ in 0..250 {
        let id = ids[dice.usize(..ids.len())];
        let event = TaskEvent::ALL[dice.usize(..TaskEvent::ALL.len())];
        if dice.u8(..8) == 0 {
            tasks::cancel(&world.db, id).await.unwrap();
        }
        apply(&world, id, event).await;
    }
    for id in ids {
        let events = world.check_events(id).await;
        let attempts = tasks::attempts(&world.db, id).await.unwrap();
        let record = tasks::get(&world.db, id).await.unwrap().unwrap();
        let claims = events.windows(2).filter(|pair| {
            (pair[0].state, pair[1].state) == (TaskState::Pending, TaskState::Running)
        });
        assert_eq!(claims.count(), usize::try_from(record.attempt.0).unwrap());
        let ended = record.attempt.0 - u32::from(record.state.is_held());
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.attempt.0).collect();
        assert_eq!(numbers, (1..=ended).collect::<Vec<_>>(), "every ended attempt has its row");
    }
}

/// Moves a task by hand, with all that the columns need in the new state.
fn raw_move(id: TaskId, from: TaskState, to: TaskState, bump: i32) -> String {
    let claim = i32::from(from == TaskState::Pending && to == TaskState::Running);
    let held = if to.is_held() {
        "host_id = gen_random_uuid(), agent = 'a', started_at = now()"
    } else {
        "host_id = NULL, agent = NULL, started_at = NULL"
    };
    let finished = if to.is_final() { "now()" } else { "NULL" };
    format!(
        "UPDATE hostler.tasks SET state = '{to}', version = version + {bump},
             attempt = attempt + {claim}, {held}, finished_at = {finished}
         WHERE id = '{}'",
        id.as_uuid()
    )
}
