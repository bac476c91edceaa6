//! The table of a task's life.

use super::{TaskEvent as E, TaskState as S, *};

/// Every legal step. A reviewer should be able to check this against the drawing by eye.
const TABLE: &[(S, E, S)] = &[
    (S::Blocked, E::Unblocked, S::Pending),
    (S::Blocked, E::UnblockedEarly, S::Scheduled),
    (S::Blocked, E::Cancelled, S::Cancelled),
    (S::Blocked, E::Expired, S::Failed),
    (S::Scheduled, E::Due, S::Pending),
    (S::Scheduled, E::Cancelled, S::Cancelled),
    (S::Scheduled, E::Expired, S::Failed),
    (S::Pending, E::Claimed, S::Running),
    (S::Pending, E::Cancelled, S::Cancelled),
    (S::Pending, E::Expired, S::Failed),
    (S::Running, E::Completed, S::Completed),
    (S::Running, E::FailedForNow, S::Scheduled),
    (S::Running, E::FailedForGood, S::Failed),
    (S::Running, E::Released, S::Pending),
    (S::Running, E::Snoozed, S::Scheduled),
    (S::Running, E::InputAsked, S::AwaitingInput),
    (S::Running, E::Cancelled, S::Cancelled),
    (S::AwaitingInput, E::InputGiven, S::Running),
    (S::AwaitingInput, E::FailedForNow, S::Scheduled),
    (S::AwaitingInput, E::FailedForGood, S::Failed),
    (S::AwaitingInput, E::Released, S::Pending),
    (S::AwaitingInput, E::Snoozed, S::Scheduled),
    (S::AwaitingInput, E::Cancelled, S::Cancelled),
    (S::Failed, E::Retried, S::Pending),
    (S::Cancelled, E::Retried, S::Pending),
    (S::Failed, E::RetriedEarly, S::Blocked),
    (S::Cancelled, E::RetriedEarly, S::Blocked),
    (S::Pending, E::Deferred, S::Scheduled),
    (S::Failed, E::Deferred, S::Scheduled),
    (S::Cancelled, E::Deferred, S::Scheduled),
];

#[test]
fn every_pair_does_what_the_table_says_and_no_other_is_legal() {
    for state in S::ALL {
        for event in E::ALL {
            let listed = TABLE.iter().find(|row| row.0 == state && row.1 == event);
            let expected = listed.map_or(Err(IllegalStep { state, event }), |row| Ok(row.2));
            assert_eq!(step(state, event), expected, "{state:?} + {event:?}");
        }
    }
}

#[test]
fn only_a_retry_by_hand_leaves_a_final_state() {
    for (from, event, _) in TABLE.iter().filter(|row| row.0.is_final()) {
        assert!(matches!(event, E::Retried | E::RetriedEarly | E::Deferred), "{from}");
    }
}

#[test]
fn state_words_parse_back() {
    for state in S::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    assert!("done".parse::<TaskState>().unwrap_err().to_string().contains("awaiting_input"));
}

fn assignment(timeout: Option<u64>, deadline_in: Option<u64>) -> Assignment {
    let seconds = |number: Option<u64>| number.map(Duration::from_secs);
    Assignment {
        task: TaskId::from_uuid(uuid::Uuid::nil()),
        attempt: Attempt(1),
        failures: 0,
        max_attempts: 3,
        agent: "a-1".parse().unwrap(),
        queue: "q".parse().unwrap(),
        kind: String::new(),
        input: Value::Null,
        timeout: seconds(timeout),
        results: None,
        waited: Duration::ZERO,
        entry: None,
        frees: false,
        terms: RunTerms { deadline_in: seconds(deadline_in), ..RunTerms::default() },
    }
}

#[test]
fn an_attempt_has_the_time_of_its_nearest_limit() {
    // The task's limit, the fleet's, the deadline, how long it has run, how long ago it was claimed;
    // what is left, and of what.
    let rows = [
        (None, None, None, 0, 0, None),
        (None, Some(9), None, 0, 0, Some((9, false))),
        (Some(5), Some(9), None, 0, 2, Some((5, false))),
        (Some(5), None, None, 3, 3, Some((2, false))),
        (Some(5), None, None, 8, 8, Some((0, false))),
        (Some(5), None, Some(7), 0, 0, Some((5, false))),
        (Some(5), None, Some(7), 0, 3, Some((4, true))),
        (Some(5), None, Some(4), 0, 0, Some((4, true))),
        (Some(5), None, Some(4), 2, 0, Some((3, false))),
        (None, None, Some(4), 2, 2, Some((2, true))),
        (None, Some(3), Some(3), 0, 0, Some((3, true))),
        (None, None, Some(4), 0, 9, Some((0, true))),
    ];
    for (timeout, of_fleet, deadline, ran, ago, expected) in rows {
        let left = assignment(timeout, deadline).time_left(
            of_fleet.map(Duration::from_secs),
            Duration::from_secs(ran),
            Duration::from_secs(ago),
        );
        let left = left.map(|left| (left.limit.as_secs(), left.is_deadline));
        assert_eq!(left, expected, "{timeout:?} {of_fleet:?} {deadline:?} {ran} {ago}");
    }
}

#[test]
fn a_deadline_is_never_tried_again_and_a_snooze_uses_up_no_try() {
    let policy = RetryPolicy {
        kind: crate::domain::retry::Growth::Fixed,
        backoff_min: Duration::from_secs(2),
        backoff_max: Duration::from_secs(2),
        jitter: 0.0,
        retry_on: Vec::new(),
        never_on: Vec::new(),
    };
    let of = |outcome| {
        let end = Settlement::of(&assignment(None, None), outcome, &policy, 0.5);
        (end.event, end.retry_after.as_secs())
    };
    let rows = [
        (Outcome::failed(FailureClass::Deadline, "late"), E::FailedForGood, 0),
        (Outcome::failed(FailureClass::Timeout, "slow"), E::FailedForNow, 2),
        (
            Outcome::Snoozed { wait: Duration::from_secs(600), reason: String::new() },
            E::Snoozed,
            600,
        ),
        (Outcome::Released { reason: String::new() }, E::Released, 0),
    ];
    for (outcome, event, wait) in rows {
        assert_eq!(of(outcome), (event, wait));
    }
}
