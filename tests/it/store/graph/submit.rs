//! What a submit of tasks that depend on each other does with ids, keys and mistakes.

use hostler::{
    domain::{TaskId, graph::DependencyPolicy as P, task::TaskState as S},
    store::{Recovery, StoreError, tasks},
};
use uuid::Uuid;

use super::{World, batch, dependent, graph, node, states, submit, try_submit};

#[tokio::test]
async fn a_dependency_always_has_the_smaller_id() {
    let world = World::new().await;
    let rows = [(P::Cancel, &[2][..]), (P::Cancel, &[]), (P::Cancel, &[3]), (P::Cancel, &[])];
    let ids = graph(&world, &rows).await;
    assert!(ids[3] < ids[2] && ids[2] < ids[0]);
    assert_eq!(states(&world, &ids).await, [S::Blocked, S::Pending, S::Blocked, S::Pending]);

    // One that was made by a host whose clock is ahead.
    let ahead = TaskId::from_uuid(Uuid::from_u128(u128::MAX >> 2));
    let mut early = super::task(&world.queue);
    early.id = ahead;
    tasks::submit(&world.db, &[early]).await.unwrap();
    let ids = submit(&world, &[dependent(&world, P::Cancel, &[ahead])]).await;
    assert!(ids[0] > ahead);

    let up = "INSERT INTO hostler.dependencies VALUES ($1, 9, $2, 'x')";
    let refused = world.db.execute(up, &[ahead.as_uuid(), ids[0].as_uuid()]).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().constraint(), Some("a_dependency_is_older"));
}

#[tokio::test]
async fn a_dependency_that_is_no_task_is_named_and_nothing_is_inserted() {
    let world = World::new().await;
    let there = world.submit(1).await[0];
    let nowhere = TaskId::from_uuid(Uuid::now_v7());
    let good = super::task(&world.queue);
    let bad = dependent(&world, P::Cancel, &[good.id, there, nowhere]);
    let error = try_submit(&world, &[good.clone(), bad]).await.unwrap_err();
    assert_eq!(error.recovery(), Recovery::GiveUp);
    let StoreError::UnknownDependency { position, nth, task } = error else { panic!("{error}") };
    assert_eq!((position, nth, task), (1, 2, nowhere));
    assert_eq!(tasks::get(&world.db, good.id).await.unwrap(), None);
}

#[tokio::test]
async fn keys_in_a_graph_are_the_tasks_that_have_them() {
    let world = World::new().await;
    let keyed = |key: &str, on: &[TaskId]| {
        let mut task = dependent(&world, P::Cancel, on);
        task.idempotency_key = Some(key.to_owned());
        task
    };
    let graph = || {
        let (b, a) = (keyed("b", &[]), keyed("a", &[]));
        let c = dependent(&world, P::Cancel, &[a.id, b.id]);
        [b, a, c]
    };
    let first = submit(&world, &graph()).await;
    let again = try_submit(&world, &graph()).await.unwrap();
    assert_eq!((again[0].id, again[1].id), (first[0], first[1]));
    assert!(again[2].created && again[2].id != first[2]);
    let on = super::record(&world, again[2].id).await.depends_on;
    assert_eq!(on, [first[1], first[0]]);
    super::run(&world, first[0], hostler::domain::task::TaskEvent::Completed).await;
    let third = submit(&world, &graph()).await;
    assert_eq!(super::record(&world, third[2]).await.waits_for, [first[1]]);

    // Two tasks with one key are one, under both of their names; what that makes is checked again.
    let (one, two) = (keyed("k", &[]), keyed("k", &[]));
    let mut both = dependent(&world, P::Cancel, &[one.id, two.id]);
    let ids = submit(&world, &[one.clone(), two.clone(), both.clone()]).await;
    assert_eq!(ids[0], ids[1]);
    super::run(&world, ids[0], hostler::domain::task::TaskEvent::Completed).await;
    assert_eq!(world.state(ids[2]).await, S::Pending);
    both.id = TaskId::from_uuid(Uuid::now_v7());
    let (one, two) = (keyed("l", &[both.id]), keyed("l", &[]));
    both.terms.graph = node(P::Cancel, &[two.id]);
    let error = try_submit(&world, &[both, one, two]).await.unwrap_err();
    let StoreError::Unstorable { field, problem, .. } = error else { panic!("{error}") };
    assert!(field == "depends_on" && problem.contains("circle"), "{problem}");
}

#[tokio::test]
async fn a_thousand_tasks_in_slices_keep_their_order() {
    let world = World::new().await;
    // More than one slice, keys among them, each task after the one before.
    let rows: Vec<Vec<usize>> =
        (0..6_000).map(|at: usize| at.checked_sub(1).into_iter().collect()).collect();
    let rows: Vec<_> = rows.iter().map(|before| (P::Cancel, before.as_slice())).collect();
    let mut batch = batch(&world, &rows);
    for at in (0..6_000).step_by(7) {
        batch[at].idempotency_key = Some(format!("k{}", 10_000 - at));
    }
    let ids = submit(&world, &batch).await;
    assert_eq!(ids, batch.iter().map(|task| task.id).collect::<Vec<_>>());
    let counts = "SELECT count(*) FILTER (WHERE state = 'blocked'), count(*) FROM hostler.tasks";
    let row = world.db.query_one(counts, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (5_999, 6_000));
    // The head is called off, and the chain with it.
    tasks::cancel(&world.db, ids[0]).await.unwrap();
    let row = world.db.query_one(counts, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    let last = super::record(&world, ids[5_999]).await;
    assert_eq!(last.state, S::Cancelled);
    assert!(last.blocked_reason.unwrap().starts_with(&ids[0].to_string()));
}
