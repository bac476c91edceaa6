//! What is told of schedules: the shapes that the API and `--json` show.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cadence, CatchUp, Origin, Overlap, Schedule};
use crate::domain::{QueueName, ScheduleName, TaskId, task::TaskState};

/// One schedule, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScheduleRecord {
    /// Its name.
    pub name: ScheduleName,
    /// What it is for.
    pub description: String,
    /// Who made it, or changed it last.
    pub origin: Origin,
    /// Its cron expression, if it has one.
    pub cron: Option<String>,
    /// Else the time between two due times, in milliseconds.
    pub every_ms: Option<u64>,
    /// The time zone of the expression.
    pub zone: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// Their kind.
    pub kind: String,
    /// Their input, before anything is replaced in it.
    pub input: Value,
    /// Their priority.
    pub priority: i16,
    /// How many of their attempts may fail; `null` is as the queue has it.
    pub max_attempts: Option<u32>,
    /// How long one attempt may run, in milliseconds; `null` is as the queue has it.
    pub timeout_ms: Option<u64>,
    /// How long after its due time a task must be finished, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// How long an agent may be silent at one of them, in milliseconds; `null` is as its fleet has it.
    pub stale_after_ms: Option<u64>,
    /// What happens while a task of it is not finished.
    pub overlap: Overlap,
    /// What happens to due times that nobody looked at.
    pub catch_up: CatchUp,
    /// The most due times that `all` fires at once.
    pub catch_up_max: u32,
    /// Whether it submits nothing.
    pub paused: bool,
    /// Why.
    pub paused_reason: Option<String>,
    /// Since when its times count.
    pub since: Timestamp,
    /// When it is due next; `null` while it is paused.
    pub next_at: Option<Timestamp>,
    /// The newest due time that something was done about.
    pub last_due: Option<Timestamp>,
    /// When it last submitted a task.
    pub last_at: Option<Timestamp>,
    /// That task.
    pub last_task: Option<TaskId>,
    /// Where that is; `null` if it is no longer kept.
    pub last_task_state: Option<TaskState>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

impl ScheduleRecord {
    /// The schedule that this tells of.
    ///
    /// # Errors
    ///
    /// What can't be read of it, in words: another version wrote it, or this machine does not know
    /// its time zone.
    pub fn schedule(&self) -> Result<Schedule, String> {
        let cadence = match (&self.cron, self.every_ms) {
            (Some(cron), _) => {
                let cron = cron.parse().map_err(|error| format!("{error}"))?;
                Cadence::Cron(cron, self.zone.parse().map_err(|error| format!("{error}"))?)
            }
            (None, Some(every)) => Cadence::Every(Duration::from_millis(every)),
            (None, None) => return Err("it has neither `cron` nor `every`".to_owned()),
        };
        Ok(Schedule {
            name: self.name.clone(),
            description: self.description.clone(),
            cadence,
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            input: self.input.clone(),
            priority: self.priority,
            max_attempts: self.max_attempts,
            timeout: self.timeout_ms.map(Duration::from_millis),
            deadline: self.deadline_ms.map(Duration::from_millis),
            stale_after: self.stale_after_ms.map(Duration::from_millis),
            overlap: self.overlap,
            catch_up: self.catch_up,
            catch_up_max: self.catch_up_max,
        })
    }
}

/// What became of a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FiringOutcome {
    /// A task was submitted.
    Fired,
    /// The same, because somebody asked for it.
    ByHand,
    /// Nothing: a task of it was not finished.
    Skipped,
    /// Nothing: no host looked in time.
    Missed,
    /// No task could be submitted.
    Failed,
}

impl FiringOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Fired, Self::ByHand, Self::Skipped, Self::Missed, Self::Failed];

    /// The word used in SQL, in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::ByHand => "by_hand",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// What became of one due time of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FiringRecord {
    /// The due time.
    pub scheduled_for: Timestamp,
    /// What became of it.
    pub outcome: FiringOutcome,
    /// The task that was submitted.
    pub task: Option<TaskId>,
    /// The task that was called off for it.
    pub replaced: Option<TaskId>,
    /// More, for a person.
    pub note: Option<String>,
    /// When it was looked at.
    pub at: Timestamp,
}

/// A due time to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// The same by the clocks of the schedule's zone.
    pub local: String,
}

impl Upcoming {
    /// The next `count` due times after `now`, of a schedule whose times count from `since`.
    pub fn of(cadence: &Cadence, now: Timestamp, since: Timestamp, count: u32) -> Vec<Self> {
        let next = |after: &Timestamp| cadence.next_after(*after, since);
        std::iter::successors(next(&now), next)
            .take(count as usize)
            .map(|at| Self { at, local: cadence.zone().show(at) })
            .collect()
    }
}
