//! Groups: counts that are right whatever happens, and listings.

use std::collections::BTreeMap;

use hostler::{
    domain::{
        GroupName, TaskId,
        record::TaskFilter,
        task::{FailureClass, NewTask, TaskEvent, TaskState},
    },
    store::{groups, tasks},
};
use jiff::Timestamp;

use super::{World, end, ensure, task};

fn member(world: &World, group: &str) -> NewTask {
    let mut task = task(&world.queue);
    task.terms.group = Some(group.parse().unwrap());
    task
}

async fn counts(world: &World, group: &str) -> BTreeMap<TaskState, u64> {
    let name: GroupName = group.parse().unwrap();
    let found = groups::get(&world.db, &name).await.unwrap();
    if let Some(group) = &found {
        assert_eq!(group.total, group.counts.values().sum::<u64>());
        assert!(group.first_at.unwrap() <= group.last_at.unwrap());
    }
    found.map(|group| group.counts).unwrap_or_default()
}

/// What the tasks themselves say.
async fn true_counts(world: &World, group: &str) -> BTreeMap<TaskState, u64> {
    let filter =
        TaskFilter { group: Some(group.parse().unwrap()), limit: 1000, ..TaskFilter::default() };
    let mut counts = BTreeMap::new();
    for task in tasks::list(&world.db, &filter).await.unwrap() {
        *counts.entry(task.state).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_group_is_counted_by_state() {
    let world = World::new().await;
    let mut batch: Vec<_> = (0..6).map(|_| member(&world, "import")).collect();
    batch.push(member(&world, "other"));
    batch.push(task(&world.queue));
    batch[5].run_at = Some("2100-01-01T00:00:00Z".parse().unwrap());
    world.store.transact(async |db| tasks::submit(db, &batch).await).await.unwrap();
    use TaskState as S;
    assert_eq!(counts(&world, "import").await, [(S::Scheduled, 1), (S::Pending, 5)].into());

    let given = world.claim(4).await;
    let now = [(S::Scheduled, 1), (S::Pending, 1), (S::Running, 4)];
    assert_eq!(counts(&world, "import").await, now.into());
    let events = [
        TaskEvent::Completed,
        TaskEvent::FailedForGood,
        TaskEvent::FailedForNow,
        TaskEvent::Released,
    ];
    let ends: Vec<_> = given.iter().zip(events).map(|(given, event)| end(given, event)).collect();
    world.settle(&ends).await;
    tasks::cancel(&world.db, batch[5].id).await.unwrap();
    let now =
        [(S::Scheduled, 1), (S::Pending, 2), (S::Completed, 1), (S::Failed, 1), (S::Cancelled, 1)];
    assert_eq!(counts(&world, "import").await, now.into());
    assert_eq!(true_counts(&world, "import").await, now.into());
    assert_eq!(counts(&world, "other").await, [(S::Pending, 1)].into());
    assert_eq!(counts(&world, "unknown").await, [].into());

    let record = tasks::get(&world.db, batch[0].id).await.unwrap().unwrap();
    assert_eq!(record.group, batch[0].terms.group);
    let plain = tasks::get(&world.db, batch[7].id).await.unwrap().unwrap();
    assert_eq!((plain.group, plain.batch), (None, None));
}

#[tokio::test]
async fn the_tasks_of_a_group_are_listed() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let mut batch: Vec<_> = (0..5).map(|_| member(&world, "import")).collect();
    batch[1].queue = other.clone();
    batch[2].kind = "special".to_owned();
    batch.insert(3, task(&world.queue));
    world.store.transact(async |db| tasks::submit(db, &batch).await).await.unwrap();
    tasks::cancel(&world.db, batch[5].id).await.unwrap();
    let ids: Vec<TaskId> = batch.iter().map(|task| task.id).collect();
    let all =
        TaskFilter { group: Some("import".parse().unwrap()), limit: 50, ..TaskFilter::default() };
    let rows = [
        (all.clone(), vec![5, 4, 2, 1, 0]),
        (TaskFilter { limit: 2, ..all.clone() }, vec![5, 4]),
        (TaskFilter { before: Some(ids[4]), ..all.clone() }, vec![2, 1, 0]),
        (TaskFilter { queue: Some(other), ..all.clone() }, vec![1]),
        (TaskFilter { kind: Some("special".to_owned()), ..all.clone() }, vec![2]),
        (TaskFilter { states: vec![TaskState::Cancelled], ..all.clone() }, vec![5]),
        (TaskFilter { class: Some(FailureClass::Exit), ..all.clone() }, vec![]),
        (TaskFilter { created_before: Some(Timestamp::UNIX_EPOCH), ..all.clone() }, vec![]),
        (
            TaskFilter { created_after: Some(Timestamp::UNIX_EPOCH), limit: 2, ..all.clone() },
            vec![5, 4],
        ),
        (TaskFilter { group: Some("none".parse().unwrap()), ..all }, vec![]),
    ];
    for (filter, expected) in rows {
        let listed = tasks::list(&world.db, &filter).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|record| record.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| ids[index]).collect();
        assert_eq!(listed, expected, "{filter:?}");
    }
}

/// Many at once count in one group, and nobody waits for a count: the sums are right at the end, and
/// in every look between.
#[tokio::test]
async fn counts_are_right_while_many_write() {
    let world = World::new().await;
    let writers = (0..8).map(|number| {
        let (store, queue, host) = (world.store.clone(), world.queue.clone(), world.host);
        let names = super::agents(3);
        tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(number);
            for _ in 0..15 {
                let batch: Vec<_> = (0..3)
                    .map(|_| {
                        let mut task = task(&queue);
                        task.terms.group = Some("g".parse().unwrap());
                        task
                    })
                    .collect();
                store.transact(async |db| tasks::submit(db, &batch).await).await.unwrap();
                let db = store.client().await.unwrap();
                let queues = [queue.clone()];
                let given = tasks::claim(&db, host, &queues, &names, i16::MIN).await.unwrap();
                let events = [TaskEvent::Completed, TaskEvent::FailedForGood, TaskEvent::Released];
                let ends: Vec<_> =
                    given.iter().map(|one| end(one, events[dice.usize(..3)])).collect();
                tasks::settle(&db, host, &ends).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while writers.iter().any(|one| !one.is_finished()) {
        // One statement sees one moment: what came is what is somewhere.
        let seen = "SELECT (SELECT count(*) FROM hostler.task_members) AS members,
            (SELECT sum(tasks)::bigint FROM hostler.task_tally) AS counted";
        let row = world.db.query_one(seen, &[]).await.unwrap();
        let counted: Option<i64> = row.get("counted");
        assert_eq!(row.get::<_, i64>("members"), counted.unwrap_or(0));
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let counted = counts(&world, "g").await;
    assert_eq!(counted, true_counts(&world, "g").await);
    assert_eq!(counted.values().sum::<u64>(), 8 * 15 * 3);
    let rows = "SELECT count(*) FROM hostler.task_tally";
    let rows: i64 = world.db.query_one(rows, &[]).await.unwrap().get(0);
    assert!(rows <= 8 * 8, "{rows} rows: no more for a state than there are writers");
}

#[tokio::test]
async fn a_group_goes_with_its_tasks() {
    let world = World::new().await;
    let batch: Vec<_> = (0..2).map(|_| member(&world, "g")).collect();
    world.store.transact(async |db| tasks::submit(db, &batch).await).await.unwrap();
    let delete = "DELETE FROM hostler.tasks WHERE id = $1";
    for (task, left) in batch.iter().zip([1, 0]) {
        tasks::cancel(&world.db, task.id).await.unwrap();
        world.db.execute(delete, &[task.id.as_uuid()]).await.unwrap();
        assert_eq!(counts(&world, "g").await.values().sum::<u64>(), left);
    }
    for table in ["task_members", "task_tally"] {
        let rows = world.db.query(&format!("SELECT FROM hostler.{table}"), &[]).await.unwrap();
        assert_eq!(rows.len(), 0, "{table}");
    }
}
