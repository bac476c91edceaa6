//! Tasks that end together and then call back; and the counts of those that belong together.
//!
//! When a batch is done, and that its callbacks are submitted once, is decided where the ends are
//! written: `sql/migrations` has it as triggers, in the transaction of the last end.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BatchId, GroupName, QueueName, TaskId, task::TaskState};

/// An end of a batch that calls back.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BatchEnd {
    /// However it ended.
    Complete,
    /// All of its tasks are completed.
    Success,
    /// Some failed or were called off.
    Failure,
}

impl BatchEnd {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Complete, Self::Success, Self::Failure];

    /// The word used in SQL and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// Whether a batch of `total` tasks, of which so many are completed once all have ended, ends so.
    pub const fn is_of(self, total: u64, completed: u64) -> bool {
        match self {
            Self::Complete => true,
            Self::Success => completed == total,
            Self::Failure => completed < total,
        }
    }
}

/// A task that is submitted once a batch is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Callback {
    /// The queue it goes to.
    pub queue: QueueName,
    /// What kind of task it is.
    pub kind: String,
    /// Its input, to which `batch` is added.
    pub input: Map<String, Value>,
    /// Higher runs first.
    pub priority: i16,
    /// How many attempts may fail before the task does.
    pub max_attempts: u32,
    /// How long an attempt may run; the fleet's limit where absent.
    pub timeout: Option<Duration>,
    /// How long an agent may be silent at it; the fleet's limit where absent.
    pub stale_after: Option<Duration>,
}

/// A batch as somebody submits it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBatch {
    /// Its id, made by the submitter's host.
    pub id: BatchId,
    /// A second submit with the same key is the same batch.
    pub idempotency_key: Option<String>,
    /// Whether more tasks are to be added.
    pub open: bool,
    /// What is submitted once it is done.
    pub callbacks: BTreeMap<BatchEnd, Callback>,
}

/// One batch, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchRecord {
    /// Its id.
    pub id: BatchId,
    /// How many tasks were added to it.
    pub total: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How many are in each state.
    pub counts: BTreeMap<TaskState, u64>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// Since when no more tasks can be added.
    pub closed_at: Option<Timestamp>,
    /// When it was called off.
    pub cancelled_at: Option<Timestamp>,
    /// When it was closed and all of its tasks had ended.
    pub done_at: Option<Timestamp>,
    /// The tasks that are to be submitted once it is done; each with its id once it was.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub callbacks: BTreeMap<BatchEnd, Option<TaskId>>,
}

impl BatchRecord {
    /// How many of its tasks are in `state`.
    pub fn count(&self, state: TaskState) -> u64 {
        self.counts.get(&state).copied().unwrap_or(0)
    }
}

/// One group, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupRecord {
    /// Its name.
    pub name: GroupName,
    /// How many tasks it has.
    pub total: u64,
    /// How many are in each state.
    pub counts: BTreeMap<TaskState, u64>,
    /// When the first of them was submitted.
    pub first_at: Option<Timestamp>,
    /// When one of them last came to another state.
    pub last_at: Option<Timestamp>,
}
