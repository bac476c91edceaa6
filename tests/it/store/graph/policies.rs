//! What becomes of a task when those it depends on end.

use std::time::Duration;

use hostler::{
    domain::{
        TaskId,
        graph::{DependencyPolicy as P, Weight, weigh},
        task::{TaskEvent as E, TaskState as S},
    },
    store::tasks::{self, CancelAnswer, ReleaseAnswer, RetryAnswer},
};
use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::{World, batch, dependent, graph, reason, record, run, states, submit};

#[tokio::test]
async fn a_task_is_pending_in_the_commit_of_its_last_dependency() {
    let world = World::new().await;
    let rows = [(P::Cancel, &[][..]), (P::Cancel, &[0]), (P::Run, &[0]), (P::Hold, &[1, 2])];
    let ids = graph(&world, &rows).await;
    assert_eq!(states(&world, &ids).await, [S::Pending, S::Blocked, S::Blocked, S::Blocked]);
    assert_eq!(world.claim(5).await.len(), 1, "what is blocked is not handed out");
    let root = record(&world, ids[0]).await;
    let given = super::super::states::held(ids[0], root.attempt);
    let settled = world.settle(&[super::end(&given, E::Completed)]).await;
    assert!(settled[0].awaited);
    assert_eq!(states(&world, &ids).await, [S::Completed, S::Pending, S::Pending, S::Blocked]);
    let queues = tasks::woken_queues(&world.db, &[ids[0]]).await.unwrap();
    assert_eq!(queues, std::slice::from_ref(&world.queue));
    // Both in one batch.
    let given = world.claim(5).await;
    let ends: Vec<_> = given.iter().map(|one| super::end(one, E::Completed)).collect();
    world.settle(&ends).await;
    assert_eq!(states(&world, &ids).await, [S::Completed, S::Completed, S::Completed, S::Pending]);
    let last = world.claim(5).await.pop().unwrap();
    assert!(last.waited < Duration::from_secs(30), "it counts from when it was ready");
    let settled = world.settle(&[super::end(&last, E::Completed)]).await;
    assert!(!settled[0].awaited);
    assert_eq!(tasks::woken_queues(&world.db, &[ids[3]]).await.unwrap(), []);
}

#[tokio::test]
async fn a_failure_cancels_all_that_cannot_do_without() {
    let world = World::new().await;
    // 0 fails: 1 goes, and 2 and 3 with it; 4 holds on to 3, 5 runs without 2, 6 waits for another.
    let rows = [
        (P::Cancel, &[][..]),
        (P::Cancel, &[0]),
        (P::Cancel, &[1]),
        (P::Cancel, &[2, 0]),
        (P::Hold, &[3]),
        (P::Run, &[2]),
        (P::Run, &[1, 7]),
        (P::Cancel, &[]),
        (P::Cancel, &[7]),
    ];
    let ids = graph(&world, &rows).await;
    run(&world, ids[0], E::FailedForGood).await;
    let expected = [
        S::Failed,
        S::Cancelled,
        S::Cancelled,
        S::Cancelled,
        S::Blocked,
        S::Pending,
        S::Blocked,
        S::Pending,
        S::Blocked,
    ];
    assert_eq!(states(&world, &ids).await, expected);
    let direct = reason(&world, ids[1]).await;
    assert!(direct.starts_with(&ids[0].to_string()), "{direct}");
    let far = reason(&world, ids[2]).await;
    assert!(far.starts_with(&ids[0].to_string()) && far.contains(&ids[1].to_string()), "{far}");
    let held = reason(&world, ids[4]).await;
    assert!(held.starts_with(&ids[3].to_string()) && held.contains("release"), "{held}");
    assert_eq!(reason(&world, ids[6]).await, "waits for a task");
    assert_eq!(record(&world, ids[6]).await.waits_for, [ids[7]]);
    assert_eq!(record(&world, ids[6]).await.depends_on, [ids[1], ids[7]]);
    assert_eq!(record(&world, ids[5]).await.blocked_reason, None);
}

#[tokio::test]
async fn several_causes_in_one_batch_are_told_apart() {
    let world = World::new().await;
    let rows = [
        (P::Cancel, &[][..]),
        (P::Cancel, &[]),
        (P::Cancel, &[0]),
        (P::Cancel, &[1]),
        (P::Cancel, &[2]),
        (P::Cancel, &[3]),
        (P::Cancel, &[4, 5]),
    ];
    let ids = graph(&world, &rows).await;
    let ends: Vec<_> =
        world.claim(2).await.iter().map(|one| super::end(one, E::FailedForGood)).collect();
    world.settle(&ends).await;
    for (task, cause) in [(2, 0), (3, 1), (4, 0), (5, 1), (6, 0)] {
        let reason = record(&world, ids[task]).await.blocked_reason.unwrap();
        assert!(reason.starts_with(&ids[cause].to_string()), "{task}: {reason}");
    }
}

#[tokio::test]
async fn a_task_that_is_called_off_counts_as_one_that_failed() {
    let world = World::new().await;
    for ended in [S::Pending, S::Blocked, S::Running] {
        let rows = [(P::Cancel, &[][..]), (P::Cancel, &[0]), (P::Cancel, &[1]), (P::Run, &[1])];
        let ids = graph(&world, &rows).await;
        let off = match ended {
            S::Pending => 0,
            S::Blocked => 1,
            _ => {
                run(&world, ids[0], E::Completed).await;
                let given = world.claim(1).await.pop().unwrap();
                tasks::cancel(&world.db, ids[1]).await.unwrap();
                world.settle(&[super::end(&given, E::Cancelled)]).await;
                1
            }
        };
        if ended != S::Running {
            let answer = tasks::cancel(&world.db, ids[off]).await.unwrap();
            assert_eq!(answer, CancelAnswer::Cancelled);
        }
        let after = states(&world, &ids).await;
        assert_eq!(after[1..], [S::Cancelled, S::Cancelled, S::Pending], "{ended}");
        tasks::cancel(&world.db, ids[3]).await.unwrap();
        tasks::cancel(&world.db, ids[0]).await.unwrap();
    }
}

#[tokio::test]
async fn a_held_task_waits_for_the_retry_or_is_released() {
    let world = World::new().await;
    let rows = [(P::Cancel, &[][..]), (P::Cancel, &[]), (P::Hold, &[0, 1]), (P::Hold, &[0])];
    let ids = graph(&world, &rows).await;
    let waits = tasks::release(&world.db, ids[2]).await.unwrap();
    assert_eq!(waits, ReleaseAnswer::Waits(2), "nothing holds it up yet");
    run(&world, ids[0], E::FailedForGood).await;
    assert!(reason(&world, ids[2]).await.contains("retry it"));
    // Once it is tried again nothing is held up any more, and once it completes nothing is blocked.
    tasks::retry(&world.db, ids[0]).await.unwrap();
    assert_eq!(reason(&world, ids[2]).await, "waits for 2 tasks");
    run(&world, ids[0], E::FailedForGood).await;
    // Released, the one still waits for the other that it depends on.
    let released = tasks::release(&world.db, ids[2]).await.unwrap();
    let queue = world.queue.clone();
    assert_eq!(released, ReleaseAnswer::Released { state: S::Blocked, queue: queue.clone() });
    assert_eq!(record(&world, ids[2]).await.waits_for, [ids[1]]);
    tasks::retry(&world.db, ids[0]).await.unwrap();
    assert_eq!(record(&world, ids[2]).await.waits_for, [ids[1]], "it is waived");
    run(&world, ids[0], E::Completed).await;
    assert_eq!(states(&world, &ids[2..]).await, [S::Blocked, S::Pending]);
    run(&world, ids[1], E::Completed).await;
    assert_eq!(states(&world, &ids[2..]).await, [S::Pending, S::Pending]);

    let ids = graph(&world, &[(P::Cancel, &[]), (P::Hold, &[0])]).await;
    tasks::cancel(&world.db, ids[0]).await.unwrap();
    let released = tasks::release(&world.db, ids[1]).await.unwrap();
    assert_eq!(released, ReleaseAnswer::Released { state: S::Pending, queue });
    let again = tasks::release(&world.db, ids[1]).await.unwrap();
    assert_eq!(again, ReleaseAnswer::Refused(S::Pending));
    let unknown = TaskId::from_uuid(uuid::Uuid::now_v7());
    assert_eq!(tasks::release(&world.db, unknown).await.unwrap(), ReleaseAnswer::Unknown);
}

#[tokio::test]
async fn a_cancelled_task_that_is_retried_waits_again() {
    let world = World::new().await;
    let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[0]), (P::Cancel, &[1])]).await;
    run(&world, ids[0], E::FailedForGood).await;
    for id in [ids[1], ids[2]] {
        let answer = tasks::retry(&world.db, id).await.unwrap();
        assert_eq!(answer, RetryAnswer::Retried { queue: world.queue.clone() });
    }
    assert_eq!(states(&world, &ids).await, [S::Failed, S::Blocked, S::Blocked]);
    let reason = record(&world, ids[1]).await.blocked_reason.unwrap();
    assert!(reason.contains("retry it"), "{reason}");
    // It fails again, and cancels again.
    tasks::retry(&world.db, ids[0]).await.unwrap();
    run(&world, ids[0], E::FailedForGood).await;
    assert_eq!(states(&world, &ids).await, [S::Failed, S::Cancelled, S::Cancelled]);
    for id in &ids {
        tasks::retry(&world.db, *id).await.unwrap();
    }
    assert_eq!(states(&world, &ids).await, [S::Pending, S::Blocked, S::Blocked]);
    for id in &ids {
        run(&world, *id, E::Completed).await;
    }
    // A task whose dependencies are completed is simply tried again.
    let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[0])]).await;
    run(&world, ids[0], E::Completed).await;
    run(&world, ids[1], E::FailedForGood).await;
    tasks::retry(&world.db, ids[1]).await.unwrap();
    assert_eq!(world.state(ids[1]).await, S::Pending);
}

#[tokio::test]
async fn one_that_runs_all_the_same_waits_again_for_what_is_retried() {
    let world = World::new().await;
    let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[]), (P::Run, &[0, 1])]).await;
    run(&world, ids[0], E::FailedForGood).await;
    assert_eq!(record(&world, ids[2]).await.waits_for, [ids[1]]);
    tasks::retry(&world.db, ids[0]).await.unwrap();
    assert_eq!(record(&world, ids[2]).await.waits_for, [ids[0], ids[1]]);
    run(&world, ids[1], E::Completed).await;
    assert_eq!(world.state(ids[2]).await, S::Blocked);
    run(&world, ids[0], E::FailedForGood).await;
    assert_eq!(world.state(ids[2]).await, S::Pending);
}

#[tokio::test]
async fn a_task_whose_time_is_to_come_waits_for_it_too() {
    let world = World::new().await;
    let mut batch = batch(&world, &[(P::Cancel, &[]), (P::Cancel, &[0]), (P::Cancel, &[0])]);
    let at = Timestamp::now() + Duration::from_secs(3_600);
    batch[1].run_at = Some(at);
    batch[2].run_at = Some(Timestamp::now() - Duration::from_secs(3_600));
    let ids = submit(&world, &batch).await;
    run(&world, ids[0], E::Completed).await;
    assert_eq!(states(&world, &ids[1..]).await, [S::Scheduled, S::Pending]);
    assert!(record(&world, ids[1]).await.run_at.duration_since(at).as_millis().abs() < 1);
}

#[tokio::test]
async fn what_has_ended_already_counts_at_once() {
    let world = World::new().await;
    let ids = graph(&world, &[(P::Cancel, &[]), (P::Cancel, &[]), (P::Cancel, &[])]).await;
    run(&world, ids[0], E::Completed).await;
    run(&world, ids[1], E::FailedForGood).await;
    let (done, failed, open) = (ids[0], ids[1], ids[2]);
    let rows = [
        (P::Cancel, vec![done], S::Pending),
        (P::Cancel, vec![done, open], S::Blocked),
        (P::Cancel, vec![open, failed], S::Cancelled),
        (P::Run, vec![failed], S::Pending),
        (P::Run, vec![failed, open], S::Blocked),
        (P::Hold, vec![failed, done], S::Blocked),
    ];
    for (policy, on, state) in rows {
        // With one more of the same submit behind it, which goes the same way.
        let first = dependent(&world, policy, &on);
        let mut second = dependent(&world, P::Cancel, &[first.id]);
        second.terms.graph.policy = policy;
        let made = super::try_submit(&world, &[first, second]).await.unwrap();
        let next = match (state, policy) {
            (S::Cancelled, P::Cancel) => S::Cancelled,
            _ => S::Blocked,
        };
        assert_eq!((made[0].state, made[1].state), (state, next), "{policy} {on:?}");
        assert_eq!(states(&world, &[made[0].id, made[1].id]).await, [state, next]);
    }
    let both = [dependent(&world, P::Cancel, &[failed]), dependent(&world, P::Run, &[])];
    let mut both = both;
    both[1].terms.graph = super::node(P::Run, &[both[0].id]);
    let made = super::try_submit(&world, &both).await.unwrap();
    assert_eq!((made[0].state, made[1].state), (S::Cancelled, S::Pending));
    let reason = record(&world, made[0].id).await.blocked_reason.unwrap();
    assert!(reason.starts_with(&failed.to_string()), "{reason}");
}

#[tokio::test]
async fn the_database_weighs_as_the_domain_does() {
    let world = World::new().await;
    let ask = "SELECT hostler.dependency_is_done($1::text::hostler.dependency_policy,
        $2::text::hostler.task_state)";
    let ask = world.db.prepare_typed(ask, &[Type::TEXT, Type::TEXT]).await.unwrap();
    for state in S::ALL {
        for policy in P::ALL {
            let row = world.db.query_one(&ask, &[&policy.as_str(), &state.as_str()]).await.unwrap();
            let done = weigh(policy, state) == Weight::Done;
            assert_eq!(row.get::<_, bool>(0), done, "{state} for {policy}");
        }
    }
}

#[tokio::test]
async fn a_deleted_task_takes_its_dependencies_along() {
    let world = World::new().await;
    let ids = graph(&world, &[(P::Cancel, &[]), (P::Hold, &[0]), (P::Hold, &[1])]).await;
    tasks::cancel(&world.db, ids[0]).await.unwrap();
    assert!(is_awaited(&world, ids[0]).await && !is_awaited(&world, ids[2]).await);
    // What is gone holds up what depends on it, until that is released.
    let delete = "DELETE FROM hostler.tasks WHERE id = $1";
    world.db.execute(delete, &[ids[0].as_uuid()]).await.unwrap();
    let reason = record(&world, ids[1]).await.blocked_reason.unwrap();
    assert!(reason.contains(&ids[0].to_string()), "{reason}");
    tasks::release(&world.db, ids[1]).await.unwrap();
    assert_eq!(world.state(ids[1]).await, S::Pending);
    run(&world, ids[1], E::Completed).await;
    world.db.execute(delete, &[ids[1].as_uuid()]).await.unwrap();
    let left = "SELECT task_id FROM hostler.dependents";
    let left = world.db.query(left, &[]).await.unwrap();
    assert_eq!(left.len(), 1);
}

async fn is_awaited(world: &World, id: TaskId) -> bool {
    let ask = "SELECT hostler.is_awaited($1)";
    world.db.query_one(ask, &[id.as_uuid()]).await.unwrap().get(0)
}
