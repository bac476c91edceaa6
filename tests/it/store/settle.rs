//! The ends of attempts: what counts, what is written, and what comes too late.

use std::time::Duration;

use hostler::{
    domain::{
        Attempt,
        task::{FailureClass, Outcome, Settlement, TaskEvent, TaskState},
    },
    store::{Recovery, StoreError, hosts, tasks},
};
use serde_json::json;
use uuid::Uuid;

use super::{World, end, register};

#[tokio::test]
async fn a_batch_with_every_event() {
    let world = World::new().await;
    let events = [
        TaskEvent::Completed,
        TaskEvent::FailedForNow,
        TaskEvent::FailedForGood,
        TaskEvent::Released,
        TaskEvent::Cancelled,
    ];
    world.submit(events.len()).await;
    let given = world.claim(events.len()).await;
    let ends: Vec<Settlement> =
        given.iter().zip(events).rev().map(|(given, event)| end(given, event)).collect();
    let settled = world.settle(&ends).await;
    let states = [
        TaskState::Completed,
        TaskState::Scheduled,
        TaskState::Failed,
        TaskState::Pending,
        TaskState::Cancelled,
    ];
    assert_eq!(settled.iter().map(|end| end.state).collect::<Vec<_>>(), states);

    let outcomes = ["completed", "failed", "failed", "released", "cancelled"];
    let failures = [0, 1, 1, 0, 0];
    for (index, given) in given.iter().enumerate() {
        let record = tasks::get(&world.db, given.task).await.unwrap().unwrap();
        assert_eq!(record.state, states[index]);
        assert_eq!(record.failures, failures[index]);
        assert_eq!(record.finished_at.is_some(), record.state.is_final());
        assert_eq!(record.output, (index == 0).then(|| json!({"ok": true})));
        assert_eq!(record.error.is_some(), outcomes[index] == "failed");
        let attempts = tasks::attempts(&world.db, given.task).await.unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].outcome, outcomes[index]);
        assert_eq!(attempts[0].host, Some(world.host));
        assert_eq!(attempts[0].agent.as_ref(), Some(&given.agent));
        assert_eq!(attempts[0].reason.is_some(), index == 3);
        assert_eq!(record.started_at, Some(attempts[0].started_at));
        assert_eq!(world.check_events(given.task).await.len(), 3);
    }
    let retried = tasks::get(&world.db, given[1].task).await.unwrap().unwrap();
    let wait = retried.run_at.duration_since(retried.created_at);
    assert!(wait.as_secs() >= 30, "{wait:?}");
    assert_eq!(retried.error.unwrap().class, FailureClass::Exit);
}

#[tokio::test]
async fn a_late_answer_changes_nothing() {
    let world = World::new().await;
    let old = world.running().await;
    world.settle(&[end(&old, TaskEvent::Released)]).await;
    let new = world.claim(1).await.pop().unwrap();
    assert_eq!((new.task, new.attempt), (old.task, Attempt(2)));
    let before = tasks::get(&world.db, new.task).await.unwrap();

    let other = register(&world.db, Uuid::new_v4(), Duration::from_secs(60)).await;
    let late = end(&old, TaskEvent::Completed);
    let mut early = end(&new, TaskEvent::Completed);
    early.attempt = Attempt(3);
    let stranger = end(&new, TaskEvent::Completed);
    assert_eq!(world.settle(&[late.clone(), early]).await, []);
    assert_eq!(tasks::settle(&world.db, other, &[stranger]).await.unwrap(), []);
    assert_eq!(tasks::get(&world.db, new.task).await.unwrap(), before);
    assert_eq!(tasks::attempts(&world.db, new.task).await.unwrap().len(), 1);

    // In one batch with the true answer, and with the same answer twice: the first one counts.
    let mut second = end(&new, TaskEvent::FailedForGood);
    second.outcome = Outcome::failed(FailureClass::Task, "no");
    let settled = world.settle(&[late, end(&new, TaskEvent::Completed), second]).await;
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0].state, TaskState::Completed);
    assert_eq!(world.settle(&[end(&new, TaskEvent::Completed)]).await, []);
}

#[tokio::test]
async fn the_answer_of_a_host_that_was_taken_over_is_late() {
    let world = World::new().await;
    let given = world.running().await;
    hosts::retire(&world.db, world.host).await.unwrap();
    assert_eq!(world.settle(&[end(&given, TaskEvent::Completed)]).await, []);
    assert_eq!(world.state(given.task).await, TaskState::Pending);
}

#[tokio::test]
async fn odd_characters_do_not_keep_a_batch_from_being_written() {
    let world = World::new().await;
    world.submit(3).await;
    let given = world.claim(3).await;
    let mut ends: Vec<_> = given.iter().map(|given| end(given, TaskEvent::Completed)).collect();
    ends[0].outcome = Outcome::Completed { output: json!({"a\0": "b\0", "c": "\\u0000"}) };
    ends[1].event = TaskEvent::FailedForGood;
    ends[1].outcome = Outcome::Failed {
        class: FailureClass::Protocol,
        message: "got \0".to_owned(),
        detail: json!(["\0"]),
    };
    ends[2].event = TaskEvent::Released;
    ends[2].outcome = Outcome::Released { reason: "\0".to_owned() };
    assert_eq!(world.settle(&ends).await.len(), 3);
    let record = tasks::get(&world.db, given[0].task).await.unwrap().unwrap();
    assert_eq!(record.output, Some(json!({"a\u{fffd}": "b\u{fffd}", "c": "\\u0000"})));
    let record = tasks::get(&world.db, given[1].task).await.unwrap().unwrap();
    assert_eq!(record.error.unwrap().message, "got \u{fffd}");
}

#[tokio::test]
async fn what_ends_no_attempt_is_refused() {
    let world = World::new().await;
    let given = world.running().await;
    for event in [TaskEvent::Claimed, TaskEvent::InputAsked, TaskEvent::Retried, TaskEvent::Due] {
        let ends = [end(&given, event)];
        let error = tasks::settle(&world.db, world.host, &ends).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAnEnd { .. }), "{error}");
        assert_eq!(error.recovery(), Recovery::GiveUp);
    }
    assert_eq!(world.state(given.task).await, TaskState::Running);
    assert_eq!(world.settle(&[]).await, []);
}
