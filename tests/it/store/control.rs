//! Cancel, retry, and what is told.

use std::time::Duration;

use hostler::{
    domain::{
        TaskId,
        record::TaskFilter,
        task::{FailureClass, TaskEvent, TaskState},
    },
    store::{
        hosts,
        tasks::{self, CancelAnswer, RetryAnswer},
    },
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{World, end, ensure, states::put_in, task};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn cancel_in_every_state() {
    let world = World::new().await;
    for state in TaskState::ALL {
        let task = put_in(&world, state).await;
        let answer = tasks::cancel(&world.db, task).await.unwrap();
        let record = tasks::get(&world.db, task).await.unwrap().unwrap();
        if state.is_final() {
            assert_eq!(answer, CancelAnswer::AlreadyFinal(state));
            assert_eq!(record.state, state);
        } else if state.is_held() {
            let CancelAnswer::Requested { host, attempt, .. } = &answer else {
                panic!("{state}: {answer:?}")
            };
            assert_eq!((*host, *attempt), (world.host, record.attempt));
            assert_eq!((record.state, record.cancel_requested), (state, true));
            assert_eq!(tasks::cancel(&world.db, task).await.unwrap(), answer, "asked twice");
            let called_off = hosts::renew(&world.db, world.host, LEASE).await.unwrap().unwrap();
            assert!(called_off.contains(&task));
        } else {
            assert_eq!(answer, CancelAnswer::Cancelled);
            assert_eq!(record.state, TaskState::Cancelled);
        }
        world.check_events(task).await;
    }
    let unknown = TaskId::from_uuid(Uuid::now_v7());
    assert_eq!(tasks::cancel(&world.db, unknown).await.unwrap(), CancelAnswer::Unknown);
}

#[tokio::test]
async fn a_task_that_was_called_off_is_not_tried_again() {
    let world = World::new().await;
    let rows = [
        (TaskEvent::FailedForNow, TaskState::Cancelled),
        (TaskEvent::Released, TaskState::Cancelled),
        (TaskEvent::Cancelled, TaskState::Cancelled),
        (TaskEvent::Completed, TaskState::Completed),
        (TaskEvent::FailedForGood, TaskState::Failed),
    ];
    for (event, state) in rows {
        let given = world.running().await;
        tasks::cancel(&world.db, given.task).await.unwrap();
        let settled = world.settle(&[end(&given, event)]).await;
        assert_eq!(settled[0].state, state, "{event:?}");
        let record = tasks::get(&world.db, given.task).await.unwrap().unwrap();
        assert!(!record.cancel_requested && record.finished_at.is_some());
    }
    assert_eq!(hosts::renew(&world.db, world.host, LEASE).await.unwrap(), Some(vec![]));
}

#[tokio::test]
async fn a_retry_begins_a_new_round_of_attempts() {
    let world = World::new().await;
    let given = world.running().await;
    world.settle(&[end(&given, TaskEvent::FailedForGood)]).await;
    let answer = tasks::retry(&world.db, given.task).await.unwrap();
    assert_eq!(answer, RetryAnswer::Retried { queue: world.queue.clone() });
    let again = world.claim(1).await.pop().unwrap();
    assert_eq!((again.task, again.attempt.0, again.failures), (given.task, 2, 0));
    let answer = tasks::retry(&world.db, given.task).await.unwrap();
    assert_eq!(answer, RetryAnswer::Refused(TaskState::Running));
    world.settle(&[end(&again, TaskEvent::Completed)]).await;
    let answer = tasks::retry(&world.db, given.task).await.unwrap();
    assert_eq!(answer, RetryAnswer::Refused(TaskState::Completed));
    let unknown = TaskId::from_uuid(Uuid::now_v7());
    assert_eq!(tasks::retry(&world.db, unknown).await.unwrap(), RetryAnswer::Unknown);
    assert_eq!(world.check_events(given.task).await.len(), 6);
}

#[tokio::test]
async fn listings_are_newest_first_and_filtered() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let mut batch: Vec<_> = (0..6).map(|_| task(&world.queue)).collect();
    batch[4].queue = other.clone();
    batch[5].kind = "special".to_owned();
    tasks::submit(&world.db, &batch).await.unwrap();
    let given = world.claim(1).await.pop().unwrap();
    world.settle(&[end(&given, TaskEvent::FailedForGood)]).await;
    let ids: Vec<TaskId> = batch.iter().map(|task| task.id).collect();
    let at = |hour: i64| Timestamp::from_second(1_900_000_000 + hour * 3600).unwrap();
    for (id, hour) in ids.iter().zip(0..) {
        let date = "UPDATE hostler.tasks SET created_at = $2 WHERE id = $1";
        world.db.execute(date, &[id, &at(hour)]).await.unwrap();
    }

    let all = TaskFilter { limit: 50, ..TaskFilter::default() };
    let rows = [
        (all.clone(), vec![5, 4, 3, 2, 1, 0]),
        (TaskFilter { limit: 2, ..all.clone() }, vec![5, 4]),
        (TaskFilter { before: Some(ids[4]), limit: 2, ..all.clone() }, vec![3, 2]),
        (TaskFilter { queue: Some(other), ..all.clone() }, vec![4]),
        (TaskFilter { kind: Some("special".to_owned()), ..all.clone() }, vec![5]),
        (TaskFilter { states: vec![TaskState::Failed], ..all.clone() }, vec![0]),
        (
            TaskFilter {
                states: vec![TaskState::Failed, TaskState::Pending],
                before: Some(ids[2]),
                ..all.clone()
            },
            vec![1, 0],
        ),
        (TaskFilter { class: Some(FailureClass::Exit), ..all.clone() }, vec![0]),
        (TaskFilter { class: Some(FailureClass::Timeout), ..all.clone() }, vec![]),
        (TaskFilter { created_after: Some(at(2)), ..all.clone() }, vec![5, 4, 3, 2]),
        (
            TaskFilter { created_after: Some(at(1)), created_before: Some(at(4)), ..all },
            vec![3, 2, 1],
        ),
    ];
    for (filter, expected) in rows {
        let listed = tasks::list(&world.db, &filter).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|record| record.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| ids[index]).collect();
        assert_eq!(listed, expected, "{filter:?}");
    }
    let states: Vec<_> = TaskState::ALL.into_iter().filter(|state| state.is_final()).collect();
    let filter = TaskFilter { states, limit: 100, ..TaskFilter::default() };
    let ended = tasks::list(&world.db, &filter).await.unwrap();
    let ended: Vec<_> = ended.iter().map(|record| (record.id, record.state)).collect();
    assert_eq!(ended, [(ids[0], TaskState::Failed)]);
}
