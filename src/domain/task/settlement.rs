//! The end of an attempt, and what it makes of its task.

use std::time::Duration;

use super::{Assignment, Outcome, TaskEvent};
use crate::domain::{
    AgentName, Attempt, Entry, TaskId,
    retry::{AfterFailure, RetryPolicy},
};

/// The end of one attempt, ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The task.
    pub task: TaskId,
    /// The attempt that ended. Only the newest counts.
    pub attempt: Attempt,
    /// How it ended.
    pub outcome: Outcome,
    /// What that makes of the task: [`TaskEvent::Completed`], [`TaskEvent::FailedForNow`],
    /// [`TaskEvent::FailedForGood`], [`TaskEvent::Released`], [`TaskEvent::Snoozed`] or
    /// [`TaskEvent::Cancelled`].
    pub event: TaskEvent,
    /// The wait before the next attempt, after [`TaskEvent::FailedForNow`] or
    /// [`TaskEvent::Snoozed`].
    pub retry_after: Duration,
    /// Who ran it.
    pub agent: AgentName,
    /// How long ago it began, when this is written.
    pub began_ago: Duration,
    /// Its place in the log, if it is a plain task.
    pub entry: Option<Entry>,
}

impl Settlement {
    /// Decides what `outcome` makes of the task; `policy` is that of its queue, and `dice` in
    /// `0.0..1.0` spreads the wait.
    pub fn of(assignment: &Assignment, outcome: Outcome, policy: &RetryPolicy, dice: f64) -> Self {
        let (event, retry_after) = match &outcome {
            Outcome::Completed { .. } => (TaskEvent::Completed, Duration::ZERO),
            Outcome::Released { .. } => (TaskEvent::Released, Duration::ZERO),
            Outcome::Snoozed { wait, .. } => (TaskEvent::Snoozed, *wait),
            Outcome::Cancelled => (TaskEvent::Cancelled, Duration::ZERO),
            Outcome::Failed { .. } => match assignment.after_failure(&outcome, policy, dice) {
                AfterFailure::Retry(wait) => (TaskEvent::FailedForNow, wait),
                AfterFailure::GiveUp => (TaskEvent::FailedForGood, Duration::ZERO),
            },
        };
        Self {
            task: assignment.task,
            attempt: assignment.attempt,
            outcome,
            event,
            retry_after,
            agent: assignment.agent.clone(),
            began_ago: Duration::ZERO,
            entry: assignment.entry,
        }
    }
}
