//! The table of a task's life.

use super::{TaskEvent as E, TaskState as S, *};

/// Every legal step. A reviewer should be able to check this against the drawing by eye.
const TABLE: &[(S, E, S)] = &[
    (S::Blocked, E::Unblocked, S::Pending),
    (S::Blocked, E::UnblockedEarly, S::Scheduled),
    (S::Blocked, E::Cancelled, S::Cancelled),
    (S::Scheduled, E::Due, S::Pending),
    (S::Scheduled, E::Cancelled, S::Cancelled),
    (S::Pending, E::Claimed, S::Running),
    (S::Pending, E::Cancelled, S::Cancelled),
    (S::Running, E::Completed, S::Completed),
    (S::Running, E::FailedForNow, S::Scheduled),
    (S::Running, E::FailedForGood, S::Failed),
    (S::Running, E::Released, S::Pending),
    (S::Running, E::InputAsked, S::AwaitingInput),
    (S::Running, E::Cancelled, S::Cancelled),
    (S::AwaitingInput, E::InputGiven, S::Running),
    (S::AwaitingInput, E::FailedForNow, S::Scheduled),
    (S::AwaitingInput, E::FailedForGood, S::Failed),
    (S::AwaitingInput, E::Released, S::Pending),
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
