use serde_json::json;
use uuid::Uuid;

use super::*;

fn task(place: usize, state: TaskState, depends_on: &[usize]) -> RunTaskRecord {
    RunTaskRecord {
        id: format!("t{place}").parse().unwrap(),
        place,
        title: String::new(),
        phase: None,
        human: false,
        state,
        task: TaskId::from_uuid(Uuid::from_u128(place as u128)),
        approval: None,
        approval_state: None,
        merge: None,
        merge_state: None,
        merge_queue: None,
        depends_on: depends_on.to_vec(),
        planned: Planned { length: 1, start: 0, finish: 1 },
        worker: "agent 1".to_owned(),
        critical: false,
        priority: 0,
        condition: None,
        decided: None,
        skipped_at: None,
        ready_at: None,
        began_at: None,
        running_since: None,
        ended_at: None,
        agent: None,
        took_ms: None,
        message: None,
    }
}

#[test]
fn a_run_stands_as_its_tasks_do() {
    use TaskState::{Blocked, Cancelled, Completed, Failed};
    let rows = [
        (vec![Completed, Completed], false, false, RunState::Completed),
        (vec![Completed, Blocked], false, false, RunState::Running),
        (vec![Failed, Blocked], true, false, RunState::Paused),
        (vec![Failed, Cancelled], false, false, RunState::Failed),
        (vec![Completed, Cancelled], true, true, RunState::Cancelled),
        (vec![Completed, Blocked], false, true, RunState::Running),
    ];
    for (states, paused, cancelled, wanted) in rows {
        let mut counts = BTreeMap::new();
        states.iter().for_each(|state| *counts.entry(*state).or_default() += 1);
        let none = BTreeMap::new();
        for both in [[&counts, &none], [&none, &counts]] {
            assert_eq!(RunState::of(both, paused, cancelled), wanted, "{states:?}");
        }
    }
}

/// A task whose work is done, with its merge in `state` and `queue`.
fn merging(state: TaskState, queue: &str) -> RunTaskRecord {
    RunTaskRecord {
        merge: Some(TaskId::from_uuid(Uuid::from_u128(8))),
        merge_state: Some(state),
        merge_queue: Some(queue.parse().unwrap()),
        ..task(0, TaskState::Completed, &[])
    }
}

#[test]
fn a_merge_that_goes_on_is_for_its_turn_for_a_person_or_for_agents() {
    use TaskState::{Blocked, Cancelled, Completed, Failed, Pending};
    let (done, fail) = (Deed::Done(json!(1)), Deed::Fail("no".to_owned()));
    for state in TaskState::ALL {
        for queue in [MERGES, PEOPLE, "default"] {
            let task = merging(state, queue);
            let waits = state == Pending;
            assert_eq!(task.waits_for_its_turn(), waits && queue == MERGES);
            assert_eq!(task.waits_for_a_person(), waits && queue == PEOPLE);
            // That it is resolved is never only written down: it has to be merged.
            assert!(refusal(&done, &task).is_some(), "{state}");
            assert_eq!(refusal(&fail, &task).is_none(), waits && queue == PEOPLE, "{state}");
            let can_skip = matches!(state, Pending | Failed);
            assert_eq!(refusal(&Deed::Skip, &task).is_none(), can_skip, "{state}");
            assert_eq!(task.is_over(), state.is_final());
        }
    }
    let later = RunTaskRecord { merge_state: Some(Blocked), ..task(1, Blocked, &[0]) };
    assert!(!later.is_over());
    // What is tried again is the merge, and what was called off behind it.
    let tasks = [merging(Failed, "default"), task(1, Cancelled, &[0]), merging(Completed, MERGES)];
    let chosen = to_retry(&tasks, Some(0));
    assert_eq!(chosen.iter().map(|id| id.as_uuid().as_u128()).collect::<Vec<_>>(), [1, 8]);
}

#[test]
fn a_person_does_what_the_task_allows() {
    use TaskState::{Blocked, Cancelled, Completed, Failed, Pending, Running, Scheduled};
    let human = |state| RunTaskRecord { human: true, ..task(0, state, &[]) };
    let gated = |state| RunTaskRecord { approval_state: Some(state), ..task(0, Blocked, &[]) };
    let (done, fail) = (Deed::Done(json!(1)), Deed::Fail("no".to_owned()));
    for state in TaskState::ALL {
        for deed in [&done, &fail] {
            assert_eq!(refusal(deed, &human(state)).is_none(), state == Pending, "{state}");
            assert!(refusal(deed, &task(0, state, &[])).is_some());
        }
        assert_eq!(refusal(&Deed::Approve, &gated(state)).is_none(), state == Pending);
        assert!(refusal(&Deed::Approve, &task(0, state, &[])).is_some());
        let can_skip = matches!(state, Blocked | Scheduled | Pending | Failed);
        assert_eq!(refusal(&Deed::Skip, &task(0, state, &[])).is_none(), can_skip, "{state}");
    }
    let undecided = RunTaskRecord { condition: Some("true".to_owned()), ..human(Pending) };
    assert!(refusal(&done, &undecided).is_some() && !undecided.waits_for_a_person());
    let decided = RunTaskRecord { decided: Some(true), ..undecided };
    assert!(refusal(&done, &decided).is_none() && decided.waits_for_a_person());
    let skipped =
        RunTaskRecord { skipped_at: Some(Timestamp::UNIX_EPOCH), ..task(0, Blocked, &[]) };
    assert!(refusal(&Deed::Skip, &skipped).is_some());
    assert!(gated(Pending).waits_for_a_person() && human(Pending).waits_for_a_person());
    for state in [Running, Completed, Cancelled] {
        assert!(!human(state).waits_for_a_person() && !gated(state).waits_for_a_person());
    }
}

#[test]
fn a_retry_takes_with_it_what_was_called_off_behind() {
    use TaskState::{Cancelled, Completed, Failed};
    // 0 → 1 → 3, 2 → 3; 4 failed by itself.
    let tasks = [
        task(0, Completed, &[]),
        task(1, Failed, &[0]),
        task(2, Completed, &[]),
        RunTaskRecord {
            approval: Some(TaskId::from_uuid(Uuid::from_u128(9))),
            approval_state: Some(Cancelled),
            ..task(3, Cancelled, &[1, 2])
        },
        task(4, Failed, &[]),
    ];
    let numbers = |from| -> Vec<u128> {
        to_retry(&tasks, from).iter().map(|id| id.as_uuid().as_u128()).collect()
    };
    assert_eq!(numbers(Some(1)), [1, 3, 9]);
    assert_eq!(numbers(Some(4)), [4]);
    assert_eq!(numbers(None), [1, 3, 4, 9]);
}

#[test]
fn the_clock_of_a_rehearsal_runs_faster() {
    assert_eq!(by_clock(8 * HOUR, 1_000), 8_000);
    assert_eq!(by_plan(8_000, 1_000), 8 * HOUR);
    assert_eq!(by_clock(HOUR, HOUR), HOUR);
}
