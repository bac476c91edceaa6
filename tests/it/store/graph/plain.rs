//! Tasks that depend on plain ones, which are in the log until somebody waits for them.

use hostler::{
    domain::{
        graph::DependencyPolicy as P,
        record::GraphExtent,
        task::{Assignment, TaskEvent as E, TaskState as S},
    },
    store::{ends, log, tasks},
};
use uuid::Uuid;

use super::{World, dependent, end, reason, record, run, states, submit, try_submit};

/// Appends plain tasks to the log, and claims the first of them. Returns all ids, and those claims.
async fn append(
    world: &World,
    count: usize,
    claimed: usize,
) -> (Vec<hostler::domain::TaskId>, Vec<Assignment>) {
    let slot = Uuid::new_v4();
    let queues = std::slice::from_ref(&world.queue);
    let lanes = log::lanes(&world.db, slot, queues).await.unwrap();
    let batch: Vec<_> = (0..count).map(|_| super::task(&world.queue)).collect();
    let ready = log::Ready::all(batch.clone()).unwrap();
    let placed: Vec<_> = ready.iter().map(|task| (lanes[&world.queue], task)).collect();
    log::submit(&world.db, &placed, None).await.unwrap();
    let range = log::claim(&world.db, world.host, slot, &"agent".parse().unwrap(), queues, claimed)
        .await
        .unwrap();
    let given = range.range().map(|range| range.tasks).unwrap_or_default();
    (batch.iter().map(|task| task.id).collect(), given)
}

#[tokio::test]
async fn a_plain_task_wherever_it_is_can_be_waited_for() {
    let world = World::new().await;
    let (ids, given) = append(&world, 4, 3).await;
    // One completed in the log, one running, one pending; the fourth has nothing to do with it.
    let done = [end(&given[0], E::Completed)];
    ends::settle(&world.db, world.host, &done, &[]).await.unwrap();
    let mut task = dependent(&world, P::Cancel, &[ids[0], ids[1]]);
    task.terms.graph.template = true;
    for (one, name) in task.terms.graph.depends_on.iter_mut().zip(["a", "b"]) {
        (one.name, one.used) = (name.to_owned(), true);
    }
    let both = submit(&world, &[task, dependent(&world, P::Hold, &[ids[0], ids[3]])]).await;
    let alone = submit(&world, &[dependent(&world, P::Cancel, &[ids[0]])]).await[0];
    assert_eq!(world.state(alone).await, S::Pending, "what is completed in the log is done");
    assert_eq!(record(&world, both[0]).await.awaited_tasks(), [ids[1]]);
    assert_eq!(record(&world, both[1]).await.awaited_tasks(), [ids[3]]);
    assert_eq!(states(&world, &ids[1..2]).await, [S::Running], "it goes on under its host");
    run(&world, alone, E::Completed).await;

    // The host that runs it ends it as ever, and that is told on.
    let ended = [end(&given[1], E::Completed)];
    let settled = ends::settle(&world.db, world.host, &ended, &[]).await.unwrap();
    assert!(settled[0].awaited && settled[0].state == S::Completed);
    assert_eq!(world.state(both[0]).await, S::Pending);
    super::put_first(&world, both[0]).await;
    let next = world.claim(1).await.pop().unwrap();
    assert_eq!(next.task, both[0]);
    let deps = next.results.unwrap().deps.unwrap();
    for name in ["a", "b"] {
        assert_eq!(deps[name]["state"], "completed");
        assert_eq!(deps[name]["output"], serde_json::json!({"ok": true}));
    }
    run(&world, ids[3], E::FailedForGood).await;
    assert!(reason(&world, both[1]).await.starts_with(&ids[3].to_string()));

    let told = tasks::graph(&world.db, ids[0], GraphExtent::All(10)).await.unwrap().unwrap();
    assert_eq!(told.nodes.len(), 6, "{told:?}");
    let kept = told.nodes.iter().find(|node| node.id == ids[0]).unwrap();
    assert_eq!(kept.state, S::Completed);
    // A plain task that nobody waits for is a graph of its own.
    let own = tasks::graph(&world.db, ids[2], GraphExtent::All(10)).await.unwrap().unwrap();
    assert_eq!((own.nodes.len(), own.edges.len()), (1, 0));
}

/// A plain task ends in the log while a submit that depends on it is under way.
#[tokio::test]
async fn the_end_of_a_plain_task_and_a_submit_do_not_miss_each_other() {
    let world = World::new().await;
    for submit_first in [true, false] {
        let (ids, given) = append(&world, 1, 1).await;
        let ended = [end(&given[0], E::Completed)];
        let batch = [dependent(&world, P::Cancel, &ids)];
        let made = if submit_first {
            let mut client = world.store.client().await.unwrap();
            let other = world.store.client().await.unwrap();
            let waiter = crate::store::pid(&other).await;
            let transaction = client.transaction().await.unwrap();
            let made = tasks::submit(&transaction, &batch).await.unwrap();
            let commit = async {
                crate::store::until_it_waits(&world, waiter).await;
                transaction.commit().await.unwrap();
            };
            let (settled, ()) = tokio::join!(ends::settle(&other, world.host, &ended, &[]), commit);
            assert_eq!(settled.unwrap().len(), 1);
            made
        } else {
            ends::settle(&world.db, world.host, &ended, &[]).await.unwrap();
            try_submit(&world, &batch).await.unwrap()
        };
        assert_eq!(world.state(made[0].id).await, S::Pending, "submit first: {submit_first}");
        world.check_events(made[0].id).await;
        tasks::cancel(&world.db, made[0].id).await.unwrap();
    }
}
