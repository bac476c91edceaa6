//! What is done to many tasks at once: which, what, and how fast. Pure.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BatchId, GroupName, QueueName, TaskId,
    record::TaskRecord,
    task::{FailureClass, TaskState},
};

#[cfg(test)]
mod tests;

/// Which tasks are meant. Everything set must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// In any of these states.
    pub states: Vec<TaskState>,
    /// In this queue.
    pub queue: Option<QueueName>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this group.
    pub group: Option<GroupName>,
    /// Of this batch.
    pub batch: Option<BatchId>,
    /// Whose newest failure is of this class.
    pub class: Option<FailureClass>,
    /// Submitted at this time or later.
    pub created_after: Option<Timestamp>,
    /// Submitted before this time.
    pub created_before: Option<Timestamp>,
    /// Of these tasks.
    pub tasks: Option<Vec<TaskId>>,
    /// Whether failed tasks that were discarded are meant, too.
    pub discarded: bool,
}

/// What is done to each of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// It is called off.
    Cancel,
    /// It gets another round of attempts.
    Retry {
        /// In this queue from then on.
        to: Option<QueueName>,
        /// No more of them in a time than this.
        rate: Option<Rate>,
    },
    /// It is marked as given up, with the reason.
    Discard {
        /// Why.
        reason: String,
    },
}

impl Deed {
    /// The states in which it makes sense.
    pub fn possible(&self) -> Vec<TaskState> {
        let possible = |state: &TaskState| match self {
            Self::Cancel => !state.is_final(),
            Self::Retry { .. } => matches!(state, TaskState::Failed | TaskState::Cancelled),
            Self::Discard { .. } => *state == TaskState::Failed,
        };
        TaskState::ALL.into_iter().filter(possible).collect()
    }

    /// The states that are meant where nobody says: a task that was called off is only tried again
    /// by somebody who says so.
    pub fn usual(&self) -> Vec<TaskState> {
        match self {
            Self::Retry { .. } => vec![TaskState::Failed],
            Self::Cancel | Self::Discard { .. } => self.possible(),
        }
    }
}

/// So many in a time: `10/s`, `600/m`, `5/30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

impl Rate {
    /// When the one after `before` others has its turn, from the first on.
    pub fn offset(self, before: u64) -> Duration {
        let nanos = self.per.as_nanos() * u128::from(before) / u128::from(self.count);
        // More than 500 years from now is never.
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rate: write how many in which time, as 10/s, 600/m, 100/h or 5/30s; at most 1000000, and the time at most a day"
)]
pub struct ParseRateError(String);

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        const DAY: u64 = 86_400;
        let read = || {
            let (count, time) = text.split_once('/')?;
            let count = count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
            let (unit, size) = [("s", 1), ("m", 60), ("h", 3600), ("d", DAY)]
                .into_iter()
                .find(|(unit, _)| time.ends_with(unit))?;
            let times = match time.strip_suffix(unit)? {
                "" => 1,
                digits if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse().ok()?,
                _ => return None,
            };
            let seconds = size * u64::from(u32::try_from(times).ok()?);
            (1..=DAY).contains(&seconds).then(|| Self { count, per: Duration::from_secs(seconds) })
        };
        read().ok_or_else(|| ParseRateError(text.to_owned()))
    }
}

/// Where to go on: after which task, and how many were changed so far. A text for callers, who send
/// it back as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// All up to this one were looked at.
    pub after: TaskId,
    /// So many were changed.
    pub changed: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.after, self.changed)
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no cursor; send the `next_cursor` of the answer before")]
pub struct ParseCursorError;

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (after, changed) = text.split_once('.').ok_or(ParseCursorError)?;
        Ok(Self {
            after: after.parse().map_err(|_| ParseCursorError)?,
            changed: changed.parse().map_err(|_| ParseCursorError)?,
        })
    }
}

/// What was done to many tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BulkRecord {
    /// How many were meant.
    pub matched: u64,
    /// How many came to another state, or were discarded.
    pub changed: u64,
    /// How many run and were asked to stop.
    pub requested: u64,
    /// Whether this only says what would be done.
    pub dry_run: bool,
    /// There may be more: ask with this to go on.
    pub next_cursor: Option<String>,
}

/// A failed task, and what was done about it. `error` says why it failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// The task.
    #[serde(flatten)]
    pub task: TaskRecord,
    /// How often it was given another round of attempts by hand.
    pub redrives: u32,
    /// When it was, most lately.
    pub redriven_at: Option<Timestamp>,
    /// When it was given up.
    pub discarded_at: Option<Timestamp>,
    /// Why it was.
    pub discard_reason: Option<String>,
}
