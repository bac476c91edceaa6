//! Tasks that wait for others and belong together: batches, groups, and many changed at once.

use std::time::Duration;

use hostler::{
    domain::{
        BatchId,
        batch::{BatchEnd, Callback, NewBatch},
        bulk::Deed,
        record::TaskFilter,
    },
    store::batches::{self, CreateAnswer},
};
use uuid::Uuid;

use super::*;

async fn create(world: &World, mut tasks: Vec<NewTask>) -> (BatchId, Vec<TaskId>) {
    let back = Callback {
        queue: world.queue.clone(),
        kind: "back".to_owned(),
        input: serde_json::Map::new(),
        priority: i16::MIN,
        max_attempts: 1,
        timeout: None,
        stale_after: None,
    };
    let id = BatchId::from_uuid(Uuid::now_v7());
    let callbacks = [(BatchEnd::Complete, back)].into();
    let new = NewBatch { id, idempotency_key: None, open: false, callbacks };
    for task in &mut tasks {
        task.terms.batch = Some(id);
        task.terms.group = Some("g".parse().unwrap());
    }
    let made = world.store.transact(async |db| batches::create(db, &new, &tasks).await).await;
    let CreateAnswer::Created(made) = made.unwrap() else { panic!("it is new") };
    (id, made.into_iter().map(|one| one.id).collect())
}

async fn called_back(world: &World) -> usize {
    let kind = Some("back".to_owned());
    let filter = TaskFilter { kind, limit: 10, ..TaskFilter::default() };
    tasks::list(&world.db, &filter).await.unwrap().len()
}

async fn until_done<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> T {
    loop {
        match work().await {
            Err(error) if error.is_deadlock() => {}
            done => return done.unwrap(),
        }
    }
}

/// What the tally says, against the tasks themselves.
async fn check_counts(world: &World) {
    let wrong = "SELECT scope, state FROM (
            SELECT 'group ' || m.group_name AS scope, t.state, count(*) AS tasks
            FROM hostler.task_members m JOIN hostler.tasks t ON t.id = m.task_id GROUP BY 1, 2
        ) AS real FULL JOIN (
            SELECT scope, state, sum(tasks) AS tasks FROM hostler.task_tally
            WHERE scope LIKE 'group %' GROUP BY 1, 2
        ) AS counted USING (scope, state)
        WHERE coalesce(real.tasks, 0) <> coalesce(counted.tasks, 0)";
    assert_eq!(world.db.query(wrong, &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_batch_is_done_when_a_bad_end_has_cancelled_the_rest() {
    let world = World::new().await;
    let policy = DependencyPolicy::Cancel;
    let rows = [(policy, &[][..]), (policy, &[0]), (policy, &[1])];
    let (id, ids) = create(&world, batch(&world, &rows)).await;
    let record = batches::get(&world.db, id).await.unwrap().unwrap();
    let open = [(TaskState::Blocked, 2), (TaskState::Pending, 1)];
    assert_eq!(record.counts, open.into(), "counted under the ids that they got");
    run(&world, ids[0], TaskEvent::FailedForGood).await;
    let record = batches::get(&world.db, id).await.unwrap().unwrap();
    let ended = [(TaskState::Failed, 1), (TaskState::Cancelled, 2)];
    assert_eq!((record.counts, record.done_at.is_some()), (ended.into(), true));
    assert_eq!(called_back(&world).await, 1);
    check_counts(&world).await;
}

#[tokio::test]
async fn a_retry_of_many_waits_for_what_is_not_done() {
    let world = World::new().await;
    let policy = DependencyPolicy::Cancel;
    let rows = [(policy, &[][..]), (policy, &[0]), (policy, &[1]), (policy, &[])];
    let ids = graph(&world, &rows).await;
    let cancel = Deed::Cancel.possible();
    let off = world.store.transact(async |db| tasks::cancel_many(db, &ids, &cancel).await).await;
    assert_eq!(off.unwrap().len(), 4);
    assert_eq!(states(&world, &ids).await, [TaskState::Cancelled; 4]);
    let again = [TaskState::Cancelled];
    let pace = (Duration::ZERO, Duration::ZERO);
    assert_eq!(tasks::dependents_among(&world.db, &ids).await.unwrap(), ids[1..3]);
    for id in &ids {
        let retried = tasks::retry_many(&world.db, &[*id], &again, None, pace).await.unwrap();
        assert_eq!(retried.len(), 1);
    }
    use TaskState::{Blocked, Pending};
    assert_eq!(states(&world, &ids).await, [Pending, Blocked, Blocked, Pending]);
}

/// Ends, cancels and retries of a graph that is one batch, by many and many at once: the counts are
/// right, and the batch calls back once. Whoever is undone for a deadlock does it again, as hosts do;
/// only a retry, which holds a task before the older ones that it depends on, brings one about.
#[tokio::test]
async fn a_graph_in_a_batch_is_changed_by_many_at_once() {
    let world = World::new().await;
    let mut dice = fastrand::Rng::with_seed(7);
    let policies = [DependencyPolicy::Cancel, DependencyPolicy::Run, DependencyPolicy::Hold];
    let before: Vec<Vec<usize>> =
        (0..40usize).map(|at| (0..at).filter(|_| dice.usize(..at.max(1)) < 2).collect()).collect();
    let rows: Vec<Row<'_>> =
        before.iter().map(|on| (policies[dice.usize(..3)], on.as_slice())).collect();
    let (id, ids) = create(&world, batch(&world, &rows)).await;
    let workers = (0..6).map(|number| {
        let (store, queue, host) = (world.store.clone(), world.queue.clone(), world.host);
        let (mut ids, names) = (ids.clone(), super::super::agents(5));
        async move {
            let mut dice = fastrand::Rng::with_seed(number);
            for _ in 0..15 {
                dice.shuffle(&mut ids);
                let some = &ids[..10];
                let db = store.client().await.unwrap();
                match number % 3 {
                    0 => {
                        let states = [TaskState::Blocked, TaskState::Pending];
                        until_done(async || {
                            store
                                .transact(async |db| tasks::cancel_many(db, some, &states).await)
                                .await
                        })
                        .await;
                    }
                    1 => {
                        let states = [TaskState::Failed, TaskState::Cancelled];
                        let pace = (Duration::ZERO, Duration::ZERO);
                        for one in some {
                            until_done(async || {
                                tasks::retry_many(&db, &[*one], &states, None, pace).await
                            })
                            .await;
                        }
                    }
                    _ => {
                        let queues = [queue.clone()];
                        let given =
                            tasks::claim(&db, host, &queues, &names, i16::MIN).await.unwrap();
                        let events = [TaskEvent::Completed, TaskEvent::FailedForGood];
                        let ends: Vec<_> =
                            given.iter().map(|one| end(one, events[dice.usize(..2)])).collect();
                        until_done(async || tasks::settle(&db, host, &ends).await).await;
                    }
                }
            }
        }
    });
    futures_util::future::join_all(workers).await;
    check_counts(&world).await;
    let cancel = Deed::Cancel.possible();
    world.store.transact(async |db| tasks::cancel_many(db, &ids, &cancel).await).await.unwrap();
    check_counts(&world).await;
    let record = batches::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!((record.ended, record.done_at.is_some()), (40, true), "{record:?}");
    assert_eq!(called_back(&world).await, 1);
    for id in ids {
        world.check_events(id).await;
    }
}
