//! The feed: every step of every task is told once, and of each task in order.

use std::collections::HashMap;

use hostler::{
    domain::{Attempt, feed::FeedCursor, record::FeedEvent},
    store::{ends, feed, log, migrate},
};

use super::*;
use crate::support::{cluster::on_a_runtime, database::store, server::Server};

/// Reads on from `cursor` until nothing more comes, in pages of `limit`.
async fn rest(world: &World, cursor: &mut FeedCursor, limit: u32) -> Vec<FeedEvent> {
    let mut events = Vec::new();
    loop {
        let page = feed::read(&world.db, cursor, limit).await.unwrap();
        // As a reader keeps it.
        *cursor = page.next.to_string().parse().unwrap();
        if page.items.is_empty() {
            return events;
        }
        assert!(page.items.len() <= limit as usize);
        events.extend(page.steps());
    }
}

/// Checks that the steps of each task are numbered from 1, each once and in order, and returns the
/// states they lead through.
fn stories(events: &[FeedEvent]) -> HashMap<TaskId, Vec<TaskState>> {
    let mut stories: HashMap<TaskId, Vec<TaskState>> = HashMap::new();
    for event in events {
        let story = stories.entry(event.task).or_default();
        story.push(event.state);
        assert_eq!(event.number as usize, story.len(), "{event:?}");
    }
    stories
}

/// A lane of the world's queue with `count` plain tasks.
async fn append(world: &World, count: usize) -> (Uuid, Vec<TaskId>) {
    let slot = Uuid::new_v4();
    let queues = std::slice::from_ref(&world.queue);
    let lane = log::lanes(&world.db, slot, queues).await.unwrap()[&world.queue];
    let tasks: Vec<NewTask> = (0..count).map(|_| task(&world.queue)).collect();
    let ids = tasks.iter().map(|task| task.id).collect();
    let ready = log::Ready::all(tasks).unwrap();
    let placed: Vec<_> = ready.iter().map(|task| (lane, task)).collect();
    log::submit(&world.db, &placed, None).await.unwrap();
    (slot, ids)
}

#[tokio::test]
async fn plain_and_tracked_tasks_are_told_in_one_order() {
    let world = World::new().await;
    let tracked = world.submit(2).await;
    let (slot, plain) = append(&world, 5).await;
    let queues = std::slice::from_ref(&world.queue);
    let db = &world.db;
    // One is called off before it is claimed, one fails, one completes; the others wait.
    tasks::cancel(db, plain[1]).await.unwrap();
    let range = log::claim(db, world.host, slot, &"agent".parse().unwrap(), queues, 3)
        .await
        .unwrap()
        .range()
        .unwrap();
    let events = [TaskEvent::FailedForNow, TaskEvent::Completed];
    let ends: Vec<_> = range.tasks.iter().zip(events).map(|(one, event)| end(one, event)).collect();
    assert_eq!(ends::settle(db, world.host, &ends, &[range.claim]).await.unwrap().len(), 2);
    let given = world.claim(1).await;
    world.settle(&[end(&given[0], TaskEvent::Completed)]).await;

    for limit in [1, 2, 3, 100] {
        let mut cursor = FeedCursor::beginning();
        let told = rest(&world, &mut cursor, limit).await;
        let stories = stories(&told);
        use TaskState as S;
        assert_eq!(stories[&plain[0]], [S::Pending, S::Running, S::Scheduled]);
        assert_eq!(stories[&plain[1]], [S::Pending, S::Cancelled]);
        assert_eq!(stories[&plain[2]], [S::Pending, S::Running, S::Completed]);
        assert_eq!(stories[&plain[4]], [S::Pending]);
        assert_eq!(stories[&tracked[0]], [S::Pending, S::Running, S::Completed]);
        assert_eq!((stories.len(), told.len()), (7, 3 + 2 + 3 + 1 + 1 + 3 + 1));
        assert_eq!(told.last().unwrap().attempt, Attempt(1));
    }
    // What is told one by one is told the same by each task's own events.
    let own = tasks::events(db, plain[0]).await.unwrap();
    assert_eq!(own.iter().map(|event| event.state).collect::<Vec<_>>().len(), 3);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_and_misses_nothing() {
    let world = World::new().await;
    world.submit(2).await;
    let mut now = feed::latest(&world.db).await.unwrap();
    assert_eq!(rest(&world, &mut now, 10).await, []);
    let (_, plain) = append(&world, 3).await;
    let told = rest(&world, &mut now, 10).await;
    assert_eq!(told.iter().map(|event| event.task).collect::<Vec<_>>(), plain);
    assert_eq!(rest(&world, &mut now, 10).await, [], "nothing twice");
}

/// The transaction with the lowest position commits last: its steps are told late, but they are told.
#[tokio::test]
async fn what_is_committed_late_is_told_late_and_holds_nobody_up() {
    let world = World::new().await;
    let mut cursor = feed::latest(&world.db).await.unwrap();
    let mut other = world.store.client().await.unwrap();
    let open = other.transaction().await.unwrap();
    let late = task(&world.queue);
    tasks::submit(&open, std::slice::from_ref(&late)).await.unwrap();
    let early = world.submit(3).await;
    let told: Vec<_> = rest(&world, &mut cursor, 2).await.iter().map(|event| event.task).collect();
    assert_eq!(told, early);
    let more = world.submit(1).await;
    let told: Vec<_> = rest(&world, &mut cursor, 2).await.iter().map(|event| event.task).collect();
    assert_eq!(told, more);
    open.commit().await.unwrap();
    let told: Vec<_> = rest(&world, &mut cursor, 2).await.iter().map(|event| event.task).collect();
    assert_eq!(told, [late.id]);
    assert_eq!(rest(&world, &mut cursor, 2).await, []);
}

/// The moment is planned as a part of the statement that asks for it.
#[tokio::test]
async fn the_moment_is_no_call() {
    let world = World::new().await;
    for column in ["upto", "gone"] {
        let explain = format!("EXPLAIN SELECT {column} FROM hostler.feed_moment()");
        let rows = world.db.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let is_called = plan.iter().any(|line| line.contains("Function Scan on feed_moment"));
        assert!(!is_called && plan.join(" ").contains("task_events_tx"), "{plan:#?}");
    }
}

/// Numbers of transactions that did nothing are on no disk, and a reader's snapshot may be past them.
#[test]
fn a_number_that_is_given_again_after_a_crash_is_told() {
    let mut server = Server::start(None);
    let read = async |db: &Client, cursor: &FeedCursor| feed::read(db, cursor, 100).await.unwrap();
    let (cursor, queue) = on_a_runtime(async {
        let store = store(server.database());
        migrate::run(&store).await.unwrap();
        let mut db = store.client().await.unwrap();
        let queue = ensure(&db, "default").await;
        tasks::submit(&db, &[task(&queue)]).await.unwrap();
        for _ in 0..5 {
            let vain = db.transaction().await.unwrap();
            vain.query_one("SELECT pg_current_xact_id()::text", &[]).await.unwrap();
            vain.rollback().await.unwrap();
        }
        let latest = feed::latest(&db).await.unwrap();
        let page = read(&db, &FeedCursor::beginning()).await;
        assert_eq!((page.items.len(), page.next.seen()), (1, latest.seen()));
        (page.next, queue)
    });
    server.stop_at_once();
    server.start_again();
    on_a_runtime(async {
        let store = store(server.database());
        let db = store.client().await.unwrap();
        let mut made = Vec::new();
        for _ in 0..3 {
            made.extend(tasks::submit(&db, &[task(&queue)]).await.unwrap());
        }
        let page = read(&db, &cursor).await;
        let told: Vec<_> = page.steps().iter().map(|event| event.task).collect();
        assert_eq!(told, made.iter().map(|made| made.id).collect::<Vec<_>>());
        assert_eq!(read(&db, &page.next).await.items, [], "nothing twice");
    });
}

/// Writers of all kinds at once, and a reader that begins anew with its cursor as text all the time.
#[tokio::test]
async fn a_reader_beside_many_writers_is_told_every_step_once() {
    let world = World::new().await;
    let mut cursor = feed::latest(&world.db).await.unwrap();
    let writers = (0..6).map(|_| {
        let (store, queue) = (world.store.clone(), world.queue.clone());
        tokio::spawn(async move {
            let mut made = Vec::new();
            for _ in 0..20 {
                let work = async |db: &deadpool_postgres::Transaction<'_>| {
                    let tasks = [task(&queue), task(&queue)];
                    tasks::submit(db, &tasks[..1]).await?;
                    tokio::task::yield_now().await;
                    tasks::submit(db, &tasks[1..]).await?;
                    Ok(tasks.map(|task| task.id))
                };
                made.extend(store.transact(work).await.unwrap());
            }
            made
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut told = Vec::new();
    while writers.iter().any(|writer| !writer.is_finished()) {
        told.extend(rest(&world, &mut cursor, 7).await);
        let given = world.claim(5).await;
        let ends: Vec<_> = given.iter().map(|one| end(one, TaskEvent::Completed)).collect();
        world.settle(&ends).await;
        tokio::task::yield_now().await;
    }
    told.extend(rest(&world, &mut cursor, 7).await);
    let stories = stories(&told);
    let mut made = 0;
    for writer in writers {
        for id in writer.await.unwrap() {
            made += 1;
            let own = tasks::events(&world.db, id).await.unwrap();
            assert_eq!(stories[&id].len(), own.len(), "{id}");
        }
    }
    assert_eq!(stories.len(), made);
}
