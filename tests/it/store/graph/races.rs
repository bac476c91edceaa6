//! Ends, submits and retries at the same time, in transactions of their own.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::Client;
use hostler::{
    domain::{
        HostId, TaskId,
        graph::{DependencyPolicy as P, Weight, weigh},
        task::{Assignment, TaskEvent as E, TaskState as S},
    },
    store::{Recovery, tasks},
};
use uuid::Uuid;

use super::{World, dependent, end, graph, record, states, walk::random};
use crate::store::{agents, pid, register, until_it_waits, until_it_waits_for};

/// Both dependencies of one task complete, each in a transaction that does not see the other.
#[tokio::test]
async fn two_dependencies_that_complete_at_once_unblock_once() {
    let world = World::new().await;
    for (first, second, state) in [
        (E::Completed, E::Completed, S::Pending),
        (E::FailedForGood, E::Completed, S::Cancelled),
        (E::Completed, E::FailedForGood, S::Cancelled),
    ] {
        let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[]), (P::Cancel, &[0, 1])]).await;
        let given = world.claim(2).await;
        let (mut one, mut other) =
            (world.store.client().await.unwrap(), world.store.client().await.unwrap());
        let waiter = pid(&other).await;
        let one = one.transaction().await.unwrap();
        let other = other.transaction().await.unwrap();
        tasks::settle(&one, world.host, &[end(&given[0], first)]).await.unwrap();
        let ends = [end(&given[1], second)];
        let later = async {
            tasks::settle(&other, world.host, &ends).await.unwrap();
            other.commit().await.unwrap();
        };
        let sooner = async {
            until_it_waits(&world, waiter).await;
            assert_eq!(world.state(ids[2]).await, S::Blocked, "nothing is committed");
            one.commit().await.unwrap();
        };
        tokio::join!(later, sooner);
        assert_eq!(world.state(ids[2]).await, state);
        assert_eq!(world.check_events(ids[2]).await.len(), 2);
        tasks::cancel(&world.db, ids[2]).await.unwrap();
    }
}

/// Under REPEATABLE READ one of the two fails, and nothing is missed.
#[tokio::test]
async fn stricter_isolation_misses_nothing() {
    let world = World::new().await;
    let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[]), (P::Cancel, &[0, 1])]).await;
    let given = world.claim(2).await;
    let (mut one, mut other) =
        (world.store.client().await.unwrap(), world.store.client().await.unwrap());
    let strict = tokio_postgres::IsolationLevel::RepeatableRead;
    let one = one.build_transaction().isolation_level(strict).start().await.unwrap();
    let other = other.build_transaction().isolation_level(strict).start().await.unwrap();
    // Both have their snapshots before either writes.
    for transaction in [&one, &other] {
        transaction.query_one("SELECT count(*) FROM hostler.tasks", &[]).await.unwrap();
    }
    tasks::settle(&one, world.host, &[end(&given[0], E::Completed)]).await.unwrap();
    one.commit().await.unwrap();
    let ends = [end(&given[1], E::Completed)];
    let error = tasks::settle(&other, world.host, &ends).await.unwrap_err();
    assert_eq!(error.recovery(), Recovery::RetryLater, "{error}");
    drop(other);
    world.settle(&ends).await;
    assert_eq!(world.state(ids[2]).await, S::Pending);
}

/// A dependency ends while a submit that depends on it is under way, before it and after it.
#[tokio::test]
async fn a_submit_and_the_end_of_its_dependency_do_not_miss_each_other() {
    let world = World::new().await;
    for (event, state) in [(E::Completed, S::Pending), (E::FailedForGood, S::Cancelled)] {
        for submit_first in [true, false] {
            let root = world.submit(1).await[0];
            let given = world.claim(1).await.pop().unwrap();
            let batch = [dependent(&world, P::Cancel, &[root])];
            let ends = [end(&given, event)];
            let (mut one, mut other) =
                (world.store.client().await.unwrap(), world.store.client().await.unwrap());
            let (first, second) = (pid(&one).await, pid(&other).await);
            let submitting = one.transaction().await.unwrap();
            let settling = other.transaction().await.unwrap();
            let made = if submit_first {
                let made = tasks::submit(&submitting, &batch).await.unwrap();
                let commit = async {
                    until_it_waits(&world, second).await;
                    submitting.commit().await.unwrap();
                };
                let (settled, ()) =
                    tokio::join!(tasks::settle(&settling, world.host, &ends), commit);
                settled.unwrap();
                settling.commit().await.unwrap();
                made
            } else {
                tasks::settle(&settling, world.host, &ends).await.unwrap();
                let commit = async {
                    until_it_waits(&world, first).await;
                    settling.commit().await.unwrap();
                };
                let (made, ()) = tokio::join!(tasks::submit(&submitting, &batch), commit);
                submitting.commit().await.unwrap();
                made.unwrap()
            };
            assert_eq!(
                world.state(made[0].id).await,
                state,
                "{event:?}, submit first: {submit_first}"
            );
            world.check_events(made[0].id).await;
            tasks::cancel(&world.db, made[0].id).await.unwrap();
        }
    }
}

/// A cancelled task is retried while what it waits for completes in another transaction.
#[tokio::test]
async fn a_retry_and_the_end_of_a_dependency_do_not_miss_each_other() {
    let world = World::new().await;
    for retry_first in [true, false] {
        let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[0])]).await;
        tasks::cancel(&world.db, ids[1]).await.unwrap();
        let given = world.claim(1).await.pop().unwrap();
        let ends = [end(&given, E::Completed)];
        let (mut one, mut other) =
            (world.store.client().await.unwrap(), world.store.client().await.unwrap());
        let (first, second) = (pid(&one).await, pid(&other).await);
        let retrying = one.transaction().await.unwrap();
        let settling = other.transaction().await.unwrap();
        if retry_first {
            tasks::retry(&retrying, ids[1]).await.unwrap();
            let commit = async {
                until_it_waits(&world, second).await;
                retrying.commit().await.unwrap();
            };
            let (settled, ()) = tokio::join!(tasks::settle(&settling, world.host, &ends), commit);
            settled.unwrap();
            settling.commit().await.unwrap();
        } else {
            tasks::settle(&settling, world.host, &ends).await.unwrap();
            let commit = async {
                until_it_waits(&world, first).await;
                settling.commit().await.unwrap();
            };
            let (retried, ()) = tokio::join!(tasks::retry(&retrying, ids[1]), commit);
            retried.unwrap();
            retrying.commit().await.unwrap();
        }
        assert_eq!(world.state(ids[1]).await, S::Pending, "retry first: {retry_first}");
        world.check_events(ids[1]).await;
        tasks::cancel(&world.db, ids[1]).await.unwrap();
    }
}

/// Another submit takes a key between the look and the insert, and its task is the younger one.
#[tokio::test]
async fn a_submit_that_was_overtaken_is_done_again() {
    let world = World::new().await;
    let mut root = super::task(&world.queue);
    root.idempotency_key = Some("k".to_owned());
    let leaf = dependent(&world, P::Cancel, &[root.id]);
    let mut rival = super::task(&world.queue);
    rival.idempotency_key = Some("k".to_owned());
    assert!(rival.id > leaf.id);

    let (mut one, mut other) =
        (world.store.client().await.unwrap(), world.store.client().await.unwrap());
    let waiter = pid(&one).await;
    let submitting = one.transaction().await.unwrap();
    let overtaking = other.transaction().await.unwrap();
    tasks::submit(&overtaking, std::slice::from_ref(&rival)).await.unwrap();
    let batch = [root, leaf];
    let commit = async {
        until_it_waits(&world, waiter).await;
        overtaking.commit().await.unwrap();
    };
    let (made, ()) = tokio::join!(tasks::submit(&submitting, &batch), commit);
    let error = made.unwrap_err();
    assert_eq!(error.recovery(), Recovery::RetryLater, "{error}");
    drop(submitting);
    let ids = super::submit(&world, &batch).await;
    assert!(ids[0] == rival.id && ids[1] > rival.id);
    assert_eq!(record(&world, ids[1]).await.awaited_tasks(), [rival.id]);
}

/// While a settle waits for one blocked task, another that it would touch is unblocked, claimed and
/// ends together with one whose dependents the settle holds.
#[tokio::test]
async fn a_settle_does_not_wait_for_what_was_unblocked_while_it_waited() {
    let world = World::new().await;
    let rows: [super::Row<'_>; 7] = [
        (P::Cancel, &[]),
        (P::Cancel, &[]),
        (P::Cancel, &[]),
        (P::Cancel, &[0, 1]),
        (P::Cancel, &[0, 2]),
        (P::Cancel, &[0, 2]),
        (P::Run, &[3]),
    ];
    let ids = graph(&world, &rows).await;
    let given = world.claim(3).await;
    let (mut one, mut other, mut person) = (
        world.store.client().await.unwrap(),
        world.store.client().await.unwrap(),
        world.store.client().await.unwrap(),
    );
    let last = world.store.client().await.unwrap();
    let (waiter, holder, late) = (pid(&one).await, pid(&person).await, pid(&last).await);
    let settling = one.transaction().await.unwrap();
    let releasing = other.transaction().await.unwrap();
    let holding = person.transaction().await.unwrap();
    let hold = "SELECT FROM hostler.tasks WHERE id = $1 FOR UPDATE";
    holding.execute(hold, &[&ids[5]]).await.unwrap();
    tasks::settle(&releasing, world.host, &[end(&given[1], E::FailedForGood)]).await.unwrap();

    // It waits for task 3, and has seen 6 blocked; then for 5, and holds 4.
    let ends = [end(&given[0], E::FailedForGood)];
    let settle = async {
        tasks::settle(&settling, world.host, &ends).await.unwrap();
        settling.commit().await.unwrap();
    };
    let meanwhile = async {
        until_it_waits(&world, waiter).await;
        releasing.commit().await.unwrap();
        until_it_waits_for(&world, waiter, holder).await;
        let unblocked = world.claim(1).await.pop().unwrap();
        assert_eq!(unblocked.task, ids[6]);
        let ends = [end(&given[2], E::Completed), end(&unblocked, E::Completed)];
        let release = async {
            until_it_waits_for(&world, late, waiter).await;
            holding.commit().await.unwrap();
        };
        let (ended, ()) = tokio::join!(tasks::settle(&last, world.host, &ends), release);
        assert_eq!(ended.unwrap().len(), 2);
    };
    tokio::join!(settle, meanwhile);
    let [failed, cancelled, completed] = [S::Failed, S::Cancelled, S::Completed];
    assert_eq!(
        states(&world, &ids).await,
        [failed, failed, completed, cancelled, cancelled, cancelled, completed]
    );
}

/// Several hosts settle one graph at the same time, while tasks are called off, and no two of them
/// ever lock each other out.
#[tokio::test]
async fn hosts_that_settle_at_once_do_not_deadlock() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let world = World::new().await;
    let rows = wide(&mut dice);
    let slices: Vec<_> = rows.iter().map(|(policy, on)| (*policy, on.as_slice())).collect();
    let ids = graph(&world, &slices).await;
    let places: HashMap<TaskId, usize> = ids.iter().copied().zip(0..).collect();
    // How each task ends is decided beforehand, so that the end of all is known.
    let fails: Vec<bool> = ids.iter().map(|_| dice.u8(..12) == 0).collect();
    let workers = (0..4).map(|_| {
        let (world, fails, places) = (&world, &fails, &places);
        async move {
            let db = world.store.client().await.unwrap();
            let host = register(&db, Uuid::new_v4(), Duration::from_secs(60)).await;
            let mut idle = 0;
            while idle < 50 {
                let given = claim(&db, host, world).await;
                idle = if given.is_empty() { idle + 1 } else { 0 };
                if given.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                let ends: Vec<_> = given
                    .iter()
                    .map(|one| {
                        let fails = fails[places[&one.task]];
                        end(one, if fails { E::FailedForGood } else { E::Completed })
                    })
                    .collect();
                tasks::settle(&db, host, &ends).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(workers).await;
    assert_eq!(states(&world, &ids).await, foreseen(&rows, &fails));
}

async fn claim(db: &Client, host: HostId, world: &World) -> Vec<Assignment> {
    let queues = std::slice::from_ref(&world.queue);
    tasks::claim(db, host, queues, &agents(7), i16::MIN).await.unwrap()
}

/// Many roots, tasks that many wait for, and tasks that wait for many.
fn wide(dice: &mut fastrand::Rng) -> Vec<(P, Vec<usize>)> {
    let mut rows = vec![(P::Cancel, Vec::new()); 30];
    rows.extend(random(dice, 40).into_iter().map(|(policy, before)| {
        (policy, before.into_iter().map(|one| one + 30).chain([dice.usize(..30)]).collect())
    }));
    for at in 70..220 {
        let mut before: Vec<usize> = (0..dice.usize(1..25)).map(|_| dice.usize(..at)).collect();
        before.sort_unstable();
        before.dedup();
        rows.push((P::ALL[dice.usize(..3)], before));
    }
    rows
}

/// How it ends if every task that can run does, and none is tried again.
fn foreseen(rows: &[(P, Vec<usize>)], fails: &[bool]) -> Vec<S> {
    let mut ends = Vec::with_capacity(rows.len());
    for ((policy, before), fails) in rows.iter().zip(fails) {
        let weights: Vec<_> = before.iter().map(|one| weigh(*policy, ends[*one])).collect();
        ends.push(if weights.contains(&Weight::Cancels) {
            S::Cancelled
        } else if weights.iter().any(|weight| *weight != Weight::Done) {
            S::Blocked
        } else if *fails {
            S::Failed
        } else {
            S::Completed
        });
    }
    ends
}
