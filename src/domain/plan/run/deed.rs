//! What people do to a run, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::RunTaskRecord;
use crate::domain::{TaskId, task::TaskState};

/// What a person does to one task of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// They did it, with this result.
    Done(Value),
    /// They could not do it, for this reason.
    Fail(String),
    /// They allow it.
    Approve,
    /// They do not want it done: what waits for it goes on.
    Skip,
}

/// What is wrong with a deed, as the task stands; nothing if it can be done by writing it down. That a
/// conflict is resolved can't: it has to be merged.
pub fn refusal(deed: &Deed, task: &RunTaskRecord) -> Option<&'static str> {
    let is_waiting =
        matches!(task.state, TaskState::Blocked | TaskState::Scheduled | TaskState::Pending);
    // Its work is done; what is left to do with it is the merge.
    let is_merging = task.state == TaskState::Completed
        && matches!(task.merge_state, Some(TaskState::Pending | TaskState::Failed));
    match deed {
        Deed::Done(_) if task.is_to_be_resolved() => {
            Some("it has come into conflict since it was looked at: look at it again")
        }
        Deed::Fail(_) if task.is_to_be_resolved() => None,
        Deed::Done(_) | Deed::Fail(_) if !task.human => {
            Some("an agent does it; `skip` leaves it out, `cancel` calls the run off")
        }
        Deed::Done(_) | Deed::Fail(_) if task.is_undecided() => {
            Some("its condition is decided in a moment")
        }
        Deed::Done(_) | Deed::Fail(_) => match task.state {
            TaskState::Pending => None,
            state if state.is_final() => Some("it has ended already"),
            _ => Some("what it waits for has not ended yet"),
        },
        Deed::Approve => match task.approval_state {
            None => Some("it needs no approval"),
            Some(TaskState::Pending) => None,
            Some(state) if state.is_final() => Some("that was decided already"),
            Some(_) => Some("what it waits for has not ended yet"),
        },
        Deed::Skip if task.skipped_at.is_some() => Some("it is left out already"),
        Deed::Skip if is_merging => None,
        Deed::Skip if is_waiting || matches!(task.state, TaskState::Failed) => None,
        Deed::Skip => Some("only a task that waits or has failed can be left out"),
    }
}

/// The tasks of the queue that are tried again with `from`: itself, and what was called off behind it.
/// Without `from`: all that failed, and what was called off. In the order of their ids.
pub fn to_retry(tasks: &[RunTaskRecord], from: Option<usize>) -> Vec<TaskId> {
    let is_over = |state: TaskState| matches!(state, TaskState::Failed | TaskState::Cancelled);
    let behind: Option<BTreeSet<usize>> = from.map(|from| behind(tasks, from));
    let meant =
        |task: &&RunTaskRecord| behind.as_ref().is_none_or(|behind| behind.contains(&task.place));
    let with_others = |task: &RunTaskRecord| {
        let own = Some(task.task).filter(|_| is_over(task.state));
        let gate =
            task.approval.filter(|_| own.is_some() && task.approval_state.is_some_and(is_over));
        let merge = task.merge.filter(|_| task.merge_state.is_some_and(is_over));
        [own, gate, merge]
    };
    let mut chosen: Vec<TaskId> =
        tasks.iter().filter(meant).flat_map(with_others).flatten().collect();
    chosen.sort_unstable();
    chosen
}

/// The places of a task and of all that wait for it, over any number of steps.
fn behind(tasks: &[RunTaskRecord], from: usize) -> BTreeSet<usize> {
    let mut after: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for task in tasks {
        for on in &task.depends_on {
            after.entry(*on).or_default().push(task.place);
        }
    }
    let mut found = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(place) = next.pop() {
        for later in after.get(&place).into_iter().flatten() {
            if found.insert(*later) {
                next.push(*later);
            }
        }
    }
    found
}
