//! Batches: counted, closed, done once, and called back once, whoever ends the last task.

use std::{collections::BTreeMap, time::Duration};

use hostler::{
    domain::{
        BatchId, TaskId,
        batch::{BatchEnd, BatchRecord, Callback, NewBatch},
        record::TaskFilter,
        task::{NewTask, TaskEvent, TaskState},
    },
    store::{
        StoreError,
        batches::{self, CreateAnswer},
        tasks,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{World, end, ensure, task};

fn callback(world: &World, kind: &str) -> Callback {
    Callback {
        queue: world.queue.clone(),
        kind: kind.to_owned(),
        input: json!({"kept": true}).as_object().unwrap().clone(),
        priority: 5,
        max_attempts: 2,
        timeout: Some(Duration::from_secs(9)),
        stale_after: Some(Duration::from_secs(7)),
    }
}

fn batch(world: &World, open: bool) -> NewBatch {
    let callbacks = BatchEnd::ALL.map(|on| (on, callback(world, on.as_str())));
    let id = BatchId::from_uuid(Uuid::now_v7());
    NewBatch { id, idempotency_key: None, open, callbacks: callbacks.into() }
}

fn members(world: &World, batch: BatchId, count: usize) -> Vec<NewTask> {
    let member = |_| {
        let mut task = task(&world.queue);
        task.terms.batch = Some(batch);
        task
    };
    (0..count).map(member).collect()
}

async fn create(world: &World, batch: &NewBatch, tasks: &[NewTask]) -> CreateAnswer {
    world.store.transact(async |db| batches::create(db, batch, tasks).await).await.unwrap()
}

async fn add(world: &World, tasks: &[NewTask]) -> Result<(), StoreError> {
    world.store.transact(async |db| tasks::submit(db, tasks).await).await.map(|_| ())
}

async fn look(world: &World, batch: BatchId) -> BatchRecord {
    batches::get(&world.db, batch).await.unwrap().unwrap()
}

/// The kinds and inputs of the callbacks that were submitted.
async fn called(world: &World) -> BTreeMap<String, Value> {
    let all = TaskFilter { limit: 500, ..TaskFilter::default() };
    let tasks = tasks::list(&world.db, &all).await.unwrap();
    let mut called = BTreeMap::new();
    for task in tasks.into_iter().filter(|task| task.kind != "test") {
        world.check_events(task.id).await;
        assert_eq!((task.priority, task.max_attempts, task.timeout_ms), (5, 2, Some(9000)));
        assert_eq!(task.stale_after_ms, Some(7000));
        let before = called.insert(task.kind.clone(), task.input);
        assert_eq!(before, None, "{} was called twice", task.kind);
    }
    called
}

/// Ends the tasks of a batch by these events, all in one settle.
async fn end_all(world: &World, events: &[TaskEvent]) {
    let given = world.claim(events.len()).await;
    let ends: Vec<_> = given.iter().zip(events).map(|(one, event)| end(one, *event)).collect();
    assert_eq!(world.settle(&ends).await.len(), events.len());
}

#[tokio::test]
async fn a_batch_calls_back_by_how_it_ended() {
    use TaskEvent::{Cancelled, Completed, FailedForGood};
    let rows: [(&[TaskEvent], [&str; 2]); 3] = [
        (&[Completed, Completed], ["complete", "success"]),
        (&[Completed, FailedForGood], ["complete", "failure"]),
        (&[Completed, Cancelled], ["complete", "failure"]),
    ];
    for (events, expected) in rows {
        let world = World::new().await;
        let batch = batch(&world, false);
        let tasks = members(&world, batch.id, 2);
        let CreateAnswer::Created(made) = create(&world, &batch, &tasks).await else { panic!() };
        assert_eq!(made.len(), 2);
        let before = look(&world, batch.id).await;
        assert_eq!((before.total, before.ended, before.done_at), (2, 0, None));
        assert_eq!(before.counts, [(TaskState::Pending, 2)].into());
        assert!(before.closed_at.is_some());
        assert_eq!(before.callbacks, BatchEnd::ALL.map(|on| (on, None)).into());
        end_all(&world, events).await;

        let after = look(&world, batch.id).await;
        assert_eq!((after.total, after.ended, after.done_at.is_some()), (2, 2, true));
        let called = called(&world).await;
        assert_eq!(called.keys().collect::<Vec<_>>(), expected, "{events:?}");
        for (on, task) in &after.callbacks {
            let expected = on.is_of(2, after.count(TaskState::Completed));
            assert_eq!(task.is_some(), expected, "{events:?} {on:?}");
        }
        let input = &called["complete"];
        assert_eq!(input["kept"], true);
        let summary = &input["batch"];
        assert_eq!((&summary["id"], &summary["total"]), (&json!(batch.id), &json!(2)));
        let ended: Vec<TaskId> = ["completed", "failed", "cancelled"]
            .iter()
            .flat_map(|how| {
                let ids: Vec<TaskId> =
                    serde_json::from_value(summary["tasks"][how].clone()).unwrap();
                assert_eq!(summary[how], json!(ids.len()), "{summary}");
                ids
            })
            .collect();
        assert_eq!(ended.len(), 2, "{summary}");
        assert_eq!(summary["tasks"]["truncated"], false);
    }
}

#[tokio::test]
async fn an_open_batch_takes_tasks_until_it_is_closed() {
    let world = World::new().await;
    let batch = batch(&world, true);
    create(&world, &batch, &[]).await;
    add(&world, &members(&world, batch.id, 2)).await.unwrap();
    end_all(&world, &[TaskEvent::Completed, TaskEvent::Completed]).await;
    let record = look(&world, batch.id).await;
    assert_eq!((record.ended, record.done_at), (2, None), "more may come");
    add(&world, &members(&world, batch.id, 1)).await.unwrap();
    assert_eq!(batches::close(&world.db, batch.id, false).await.unwrap(), Some(false));
    let late = add(&world, &members(&world, batch.id, 1)).await.unwrap_err();
    assert!(matches!(late, StoreError::BatchClosed { batch: id } if id == batch.id), "{late}");
    assert_eq!(look(&world, batch.id).await.total, 3);
    end_all(&world, &[TaskEvent::Completed]).await;
    assert!(look(&world, batch.id).await.done_at.is_some());
    assert_eq!(called(&world).await.len(), 2);
    // Closed again, it is not done again.
    assert_eq!(batches::close(&world.db, batch.id, true).await.unwrap(), Some(true));
    assert_eq!(look(&world, batch.id).await.cancelled_at, None, "it was done before");
    assert_eq!(called(&world).await.len(), 2);

    let unknown = BatchId::from_uuid(Uuid::now_v7());
    let nowhere = add(&world, &members(&world, unknown, 1)).await.unwrap_err();
    assert!(matches!(nowhere, StoreError::UnknownBatch { batch } if batch == unknown));
    assert_eq!(batches::close(&world.db, unknown, false).await.unwrap(), None);
    assert_eq!(batches::get(&world.db, unknown).await.unwrap(), None);
}

#[tokio::test]
async fn an_empty_batch_is_done_when_it_is_closed() {
    let world = World::new().await;
    let batch = batch(&world, true);
    create(&world, &batch, &[]).await;
    assert_eq!(called(&world).await, [].into());
    assert_eq!(batches::close(&world.db, batch.id, false).await.unwrap(), Some(true));
    assert_eq!(called(&world).await.keys().collect::<Vec<_>>(), ["complete", "success"]);
}

#[tokio::test]
async fn a_batch_with_a_key_is_one_batch() {
    let world = World::new().await;
    let keyed = || NewBatch { idempotency_key: Some("k".to_owned()), ..batch(&world, false) };
    let first = keyed();
    create(&world, &first, &members(&world, first.id, 2)).await;
    let again = keyed();
    let answer = create(&world, &again, &members(&world, again.id, 2)).await;
    assert_eq!(answer, CreateAnswer::Existing(first.id));
    assert_eq!(world.claim(10).await.len(), 2, "nothing was submitted again");
}

#[tokio::test]
async fn a_bad_batch_leaves_nothing() {
    let world = World::new().await;
    let mut wrong = batch(&world, false);
    wrong.callbacks.get_mut(&BatchEnd::Failure).unwrap().queue = "nowhere".parse().unwrap();
    let tasks = members(&world, wrong.id, 1);
    let made = world.store.transact(async |db| batches::create(db, &wrong, &tasks).await).await;
    assert!(matches!(made, Err(StoreError::UnknownQueue { .. })), "{made:?}");
    let bad = batch(&world, false);
    let mut tasks = members(&world, bad.id, 2);
    tasks[1].max_attempts = 0;
    let made = world.store.transact(async |db| batches::create(db, &bad, &tasks).await).await;
    assert!(matches!(made, Err(StoreError::Unstorable { position: 1, .. })), "{made:?}");
    for table in ["batches", "batch_callbacks", "tasks", "task_members", "task_tally"] {
        let rows = world.db.query(&format!("SELECT FROM hostler.{table}"), &[]).await.unwrap();
        assert_eq!(rows.len(), 0, "{table}");
    }
}

#[tokio::test]
async fn a_task_that_is_tried_again_opens_its_batch_until_that_is_done() {
    let world = World::new().await;
    let batch = batch(&world, false);
    create(&world, &batch, &members(&world, batch.id, 2)).await;
    end_all(&world, &[TaskEvent::FailedForGood]).await;
    let filter = TaskFilter {
        batch: Some(batch.id),
        states: vec![TaskState::Failed],
        limit: 5,
        ..TaskFilter::default()
    };
    let failed = tasks::list(&world.db, &filter).await.unwrap()[0].id;
    tasks::retry(&world.db, failed).await.unwrap();
    let record = look(&world, batch.id).await;
    assert_eq!((record.total, record.ended, record.done_at), (2, 0, None));
    end_all(&world, &[TaskEvent::Completed, TaskEvent::FailedForGood]).await;
    assert_eq!(called(&world).await.keys().collect::<Vec<_>>(), ["complete", "failure"]);
    let done_at = look(&world, batch.id).await.done_at;

    // Once it is done, a further try changes the counts and calls nobody.
    let failed = tasks::list(&world.db, &filter).await.unwrap()[0].id;
    tasks::retry(&world.db, failed).await.unwrap();
    let put_first = "UPDATE hostler.tasks SET priority = 9 WHERE id = $1";
    world.db.execute(put_first, &[failed.as_uuid()]).await.unwrap();
    end_all(&world, &[TaskEvent::Completed]).await;
    let record = look(&world, batch.id).await;
    assert_eq!((record.count(TaskState::Completed), record.done_at), (2, done_at));
    assert_eq!(called(&world).await.len(), 2);
}

/// The two last ends in two transactions at the same time: the second waits for the first, and its
/// commit has the callback, whichever of the two comes through.
#[tokio::test]
async fn two_last_ends_at_once_call_back_once() {
    for first_commits in [true, false] {
        let world = World::new().await;
        let batch = batch(&world, false);
        create(&world, &batch, &members(&world, batch.id, 2)).await;
        let given = world.claim(2).await;
        let mut one = world.store.client().await.unwrap();
        let first = one.transaction().await.unwrap();
        let ends = [end(&given[0], TaskEvent::Completed)];
        tasks::settle(&first, world.host, &ends).await.unwrap();

        let (store, host) = (world.store.clone(), world.host);
        let last = end(&given[1], TaskEvent::Completed);
        let second = tokio::spawn(async move {
            let db = store.client().await.unwrap();
            tasks::settle(&db, host, &[last]).await.unwrap();
        });
        // Until the second waits for the batch, as the server sees it.
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while world.db.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!second.is_finished());
        assert_eq!(called(&world).await, [].into());
        if first_commits {
            first.commit().await.unwrap();
        } else {
            first.rollback().await.unwrap();
        }
        second.await.unwrap();
        if !first_commits {
            assert_eq!(called(&world).await, [].into(), "one is still to come");
            world.settle(&[end(&given[0], TaskEvent::Completed)]).await;
        }
        assert_eq!(called(&world).await.keys().collect::<Vec<_>>(), ["complete", "success"]);
        assert_eq!(look(&world, batch.id).await.ended, 2);
    }
}

/// Many batches whose tasks end, are called off and are put back by many at once.
#[tokio::test]
async fn many_ends_at_once_call_each_batch_back_once() {
    const BATCHES: usize = 6;
    const TASKS: usize = 10;
    let world = World::new().await;
    let queue = ensure(&world.db, "back").await;
    let mut ids = Vec::new();
    for _ in 0..BATCHES {
        let mut batch = batch(&world, false);
        batch.callbacks.retain(|on, _| *on == BatchEnd::Complete);
        batch.callbacks.get_mut(&BatchEnd::Complete).unwrap().queue = queue.clone();
        let tasks = members(&world, batch.id, TASKS);
        create(&world, &batch, &tasks).await;
        ids.push((batch.id, tasks[0].id));
    }
    let workers = (0..8).map(|number| {
        let (store, queue, host) = (world.store.clone(), world.queue.clone(), world.host);
        let ids = ids.clone();
        tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(number);
            loop {
                let db = store.client().await.unwrap();
                let names = super::agents(dice.usize(1..8));
                let queues = [queue.clone()];
                let given = tasks::claim(&db, host, &queues, &names, i16::MIN).await.unwrap();
                if given.is_empty() {
                    break;
                }
                let events = [TaskEvent::Completed, TaskEvent::FailedForGood, TaskEvent::Released];
                let ends: Vec<_> =
                    given.iter().map(|one| end(one, events[dice.usize(..3)])).collect();
                tasks::settle(&db, host, &ends).await.unwrap();
                if dice.u8(..4) == 0 {
                    let (_, task) = ids[dice.usize(..ids.len())];
                    tasks::cancel(&db, task).await.unwrap();
                }
            }
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.unwrap();
    }
    // What one put back last, when the others had gone.
    loop {
        let given = world.claim(100).await;
        if given.is_empty() {
            break;
        }
        let ends: Vec<_> = given.iter().map(|one| end(one, TaskEvent::Completed)).collect();
        world.settle(&ends).await;
    }
    for (batch, _) in ids {
        let record = look(&world, batch).await;
        assert_eq!(record.ended, TASKS as u64, "{record:?}");
        assert!(record.done_at.is_some() && record.callbacks[&BatchEnd::Complete].is_some());
    }
    let filter = TaskFilter { queue: Some(queue), limit: 100, ..TaskFilter::default() };
    assert_eq!(tasks::list(&world.db, &filter).await.unwrap().len(), BATCHES);
}

/// What is kept elsewhere than in `tasks` tells its ends by the function.
#[tokio::test]
async fn ends_are_told_by_a_function() {
    let world = World::new().await;
    let batch = batch(&world, true);
    create(&world, &batch, &[]).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let join = "INSERT INTO hostler.task_members (task_id, batch_id)
        SELECT unnest($1::uuid[]), $2";
    world.db.execute(join, &[&vec![first, second], batch.id.as_uuid()]).await.unwrap();
    batches::close(&world.db, batch.id, false).await.unwrap();
    let told = "SELECT hostler.members_moved($1, '{pending,pending}', '{completed,running}')";
    world.db.execute(told, &[&vec![first, second]]).await.unwrap();
    let record = look(&world, batch.id).await;
    assert_eq!(record.counts, [(TaskState::Running, 1), (TaskState::Completed, 1)].into());
    let told = "SELECT hostler.members_moved($1, '{running}', '{completed}')";
    world.db.execute(told, &[&vec![second]]).await.unwrap();
    assert_eq!(called(&world).await.keys().collect::<Vec<_>>(), ["complete", "success"]);
}

#[tokio::test]
async fn a_batch_goes_with_the_last_of_its_tasks() {
    let world = World::new().await;
    let batch = batch(&world, false);
    let tasks = members(&world, batch.id, 2);
    create(&world, &batch, &tasks).await;
    end_all(&world, &[TaskEvent::Completed, TaskEvent::Completed]).await;
    let delete = "DELETE FROM hostler.tasks WHERE id = $1";
    world.db.execute(delete, &[tasks[0].id.as_uuid()]).await.unwrap();
    assert_eq!(look(&world, batch.id).await.ended, 2, "what was, was");
    world.db.execute(delete, &[tasks[1].id.as_uuid()]).await.unwrap();
    for table in ["batches", "batch_callbacks", "task_members", "task_tally"] {
        let rows = world.db.query(&format!("SELECT FROM hostler.{table}"), &[]).await.unwrap();
        assert_eq!(rows.len(), 0, "{table}");
    }
}

#[tokio::test]
async fn nobody_adds_to_a_closed_batch_by_hand() {
    let world = World::new().await;
    let batch = batch(&world, false);
    create(&world, &batch, &members(&world, batch.id, 1)).await;
    let id = world.submit(1).await[0];
    let join = "INSERT INTO hostler.task_members (task_id, batch_id) VALUES ($1, $2)";
    let refused = world.db.execute(join, &[id.as_uuid(), batch.id.as_uuid()]).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().constraint(), Some("batch_is_open"));
}
