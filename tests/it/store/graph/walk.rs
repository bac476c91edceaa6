//! Any walk through a graph keeps its counters right.

use hostler::{
    domain::{
        TaskId,
        graph::{DependencyPolicy as P, Weight, weigh},
        task::{TaskEvent as E, TaskState as S},
    },
    store::tasks::{self, ReleaseAnswer},
};

use super::{World, graph, record, run};

/// A random graph in which a task depends on earlier ones.
pub(super) fn random(dice: &mut fastrand::Rng, count: usize) -> Vec<(P, Vec<usize>)> {
    (0..count)
        .map(|at| {
            let policy = P::ALL[dice.usize(..3)];
            let mut before: Vec<usize> = (0..at).filter(|_| dice.usize(..3) == 0).collect();
            dice.shuffle(&mut before);
            before.truncate(4);
            (policy, before)
        })
        .collect()
}

/// Whatever happens to its tasks, a blocked task waits for exactly what is not done, and one that
/// waits for nothing is not blocked. A failure prints the seed to walk it again.
#[tokio::test]
async fn any_walk_keeps_the_counters_right() {
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let world = World::new().await;
    for _ in 0..4 {
        let rows = random(&mut dice, 14);
        let slices: Vec<_> = rows.iter().map(|(policy, on)| (*policy, on.as_slice())).collect();
        let ids = graph(&world, &slices).await;
        // What an operator let a task go on without.
        let mut waived = vec![Vec::new(); ids.len()];
        for _ in 0..60 {
            let at = dice.usize(..ids.len());
            step(&world, &mut dice, &ids, &rows, &mut waived, at).await;
            check(&world, &ids, &rows, &waived).await;
        }
        for id in &ids {
            world.check_events(*id).await;
            tasks::cancel(&world.db, *id).await.unwrap();
        }
    }
}

async fn step(
    world: &World,
    dice: &mut fastrand::Rng,
    ids: &[TaskId],
    rows: &[(P, Vec<usize>)],
    waived: &mut [Vec<usize>],
    at: usize,
) {
    match (world.state(ids[at]).await, dice.u8(..6)) {
        (S::Pending, 0..=2) => run(world, ids[at], E::Completed).await,
        (S::Pending, 3) => run(world, ids[at], E::FailedForGood).await,
        (S::Pending | S::Blocked, 5) => {
            tasks::cancel(&world.db, ids[at]).await.unwrap();
        }
        (S::Blocked, _) => {
            let (policy, before) = &rows[at];
            let mut bad = Vec::new();
            for one in before {
                let state = world.state(ids[*one]).await;
                let ended = matches!(state, S::Failed | S::Cancelled);
                if ended && weigh(*policy, state) != Weight::Done && !waived[at].contains(one) {
                    bad.push(*one);
                }
            }
            let answer = tasks::release(&world.db, ids[at]).await.unwrap();
            assert_eq!(matches!(answer, ReleaseAnswer::Waits(_)), bad.is_empty(), "{answer:?}");
            waived[at].extend(bad);
        }
        (S::Failed | S::Cancelled, 0..=2) => {
            tasks::retry(&world.db, ids[at]).await.unwrap();
        }
        _ => {}
    }
}

async fn check(world: &World, ids: &[TaskId], rows: &[(P, Vec<usize>)], waived: &[Vec<usize>]) {
    let mut states = Vec::new();
    for id in ids {
        states.push(world.state(*id).await);
    }
    for (at, (policy, before)) in rows.iter().enumerate() {
        let open: Vec<TaskId> = before
            .iter()
            .filter(|one| {
                !waived[at].contains(one) && weigh(*policy, states[**one]) != Weight::Done
            })
            .map(|one| ids[*one])
            .collect();
        if states[at] == S::Blocked {
            let record = record(world, ids[at]).await;
            assert_eq!(record.waits_for, open, "{at} of {rows:?}: {states:?}");
            assert!(!open.is_empty(), "{at} of {rows:?}: {states:?}");
            let count = "SELECT open FROM hostler.dependents WHERE task_id = $1";
            let row = world.db.query_one(count, &[ids[at].as_uuid()]).await.unwrap();
            assert_eq!(usize::try_from(row.get::<_, i32>(0)).unwrap(), open.len());
        } else if states[at] == S::Pending {
            // A task that waits for nothing may have become ready before a dependency was retried.
            let ready = record(world, ids[at]).await.waits_for;
            assert!(ready.is_empty());
        }
    }
}
