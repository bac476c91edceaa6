//! What is held against each other once all is over: what submitters were answered, what Postgres
//! has on record, what readers of the feed were told, and what the agents wrote down themselves.

use hostler::domain::task::TaskState;

use super::work::Spec;
use crate::support::effects::Effect;

/// Both sides.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) submitted: Vec<Submitted>,
    pub(super) tasks: Vec<Recorded>,
    pub(super) feed: Vec<Told>,
    pub(super) effects: Vec<Effect>,
}

/// A task, and what its submitter knows of it.
#[derive(Debug, Clone)]
pub(super) struct Submitted {
    pub(super) spec: Spec,
    pub(super) answer: Answer,
}

/// What a submitter was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The task is there, under this id where that was told.
    Accepted(Option<String>),
    /// It is not, and never will be.
    Refused,
    /// The answer got lost, or says that nobody knows.
    Unknown,
}

/// A task on record.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) id: String,
    /// The tag in its input.
    pub(super) tag: Option<u64>,
    pub(super) state: TaskState,
    /// The number of its newest attempt.
    pub(super) attempt: u64,
    /// The word in its output.
    pub(super) word: Option<String>,
    pub(super) attempts: Vec<Tried>,
    pub(super) events: Vec<Stepped>,
}

/// An attempt on record, by the clock of Postgres, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) number: u64,
    pub(super) outcome: String,
    /// Of which host, and who.
    pub(super) agent: String,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// A step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stepped {
    pub(super) number: u32,
    pub(super) state: TaskState,
    pub(super) attempt: u64,
}

/// A step as a reader of the feed was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) task: String,
    pub(super) step: Stepped,
}
