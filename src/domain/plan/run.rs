//! A plan that is carried out: its run, what is told of it, and what follows from how its tasks stand.
//!
//! Each task of the plan is a task of the queue, in one group and with one key of the run: so it is
//! limited to its agents, held back and called off by what queues can do anyway. What people do are
//! tasks of a queue that no agent serves, which are [ended by hand](Deed).

mod deed;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{super::task::NewTask, Millis, PhaseName, PlanTaskId};
use crate::domain::{
    PlanRunId, QueueName, TaskId,
    admission::{KeyPattern, Label},
    task::TaskState,
};

pub use deed::{Deed, refusal, to_retry};

/// How many milliseconds an hour has.
pub const HOUR: Millis = 3_600_000;

/// The queue of what waits for a person. No agent serves it.
pub const PEOPLE: &str = "plan.people";

/// What the queue is for, as it is shown.
pub const PEOPLE_DESCRIPTION: &str = "What plans wait for a person to do or to allow";

/// The queue of what waits for its turn to be merged. No agent serves it.
pub const MERGES: &str = "plan.merges";

/// What that queue is for, as it is shown.
pub const MERGES_DESCRIPTION: &str = "What plans merge when its turn has come";

/// Who merges, where an agent would be named.
pub const HOST: &str = "host";

/// The queue of what waits for its turn to be merged.
pub fn merges() -> Option<QueueName> {
    MERGES.parse().ok()
}

/// Who ends a task by hand, where an agent would be named.
pub const PERSON: &str = "person";

/// The queue of what waits for a person.
pub fn people() -> Option<QueueName> {
    PEOPLE.parse().ok()
}

impl PlanRunId {
    /// What all tasks of agents of the run count for: so the run is limited, and held back.
    pub fn key(&self) -> Option<Label> {
        format!("plan:{self}").parse().ok()
    }

    /// The branch that the work of its agents is merged into, where they work in workspaces.
    pub fn branch(&self) -> String {
        format!("plan/{self}")
    }

    /// The key, as a limit and a pause name it.
    pub fn pattern(&self) -> Option<KeyPattern> {
        format!("plan:{self}").parse().ok()
    }

    /// What the tasks of people of the run count for. They need something, so no agent that is not
    /// ours takes them for plain ones.
    pub fn people_key(&self) -> Option<Label> {
        format!("people:{self}").parse().ok()
    }
}

/// A length of the plan, by the clock.
pub const fn by_clock(time: Millis, hour_ms: u64) -> Millis {
    (time as u128 * hour_ms as u128 / HOUR as u128) as Millis
}

/// A length by the clock, in the time of the plan.
pub const fn by_plan(time: Millis, hour_ms: u64) -> Millis {
    (time as u128 * HOUR as u128 / hour_ms as u128) as Millis
}

/// A run as it is begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: PlanRunId,
    /// What people call it.
    pub title: String,
    /// The plan as it is carried out, as a plan file.
    pub plan: String,
    /// How many agents work at once, at the most.
    pub agents: u32,
    /// How many milliseconds of the clock an hour of the plan takes.
    pub hour_ms: u64,
    /// Whether mock agents do it.
    pub rehearsal: bool,
    /// Whether phases are barriers.
    pub phased: bool,
    /// What was planned of it.
    pub figures: RunFigures,
    /// A second submit with the same key is the same run.
    pub idempotency_key: Option<String>,
    /// Its tasks.
    pub tasks: Vec<NewRunTask>,
}

/// What was planned of a run, in the time of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunFigures {
    /// One task after the other.
    pub sequential_ms: Millis,
    /// The schedule.
    pub makespan_ms: Millis,
    /// What no schedule can beat.
    pub lower_bound_ms: Millis,
    /// What found the schedule.
    pub found_by: String,
}

impl RunFigures {
    /// Whether no schedule is shorter.
    pub const fn is_proven(&self) -> bool {
        self.makespan_ms == self.lower_bound_ms
    }
}

/// A task of a run as it is begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRunTask {
    /// Where it stands in the plan.
    pub place: usize,
    /// Its name in the plan.
    pub name: PlanTaskId,
    /// What people call it.
    pub title: String,
    /// Its phase.
    pub phase: Option<PhaseName>,
    /// Whether a person does it.
    pub human: bool,
    /// The places of those that it waits for.
    pub depends_on: Vec<usize>,
    /// How long it takes, when it starts and when it is done, by the schedule.
    pub planned: Planned,
    /// Who was to do it.
    pub worker: String,
    /// Whether it is on the longest chain.
    pub critical: bool,
    /// The queue of its agents: that of the task, unless this waits for a condition there.
    pub queue: QueueName,
    /// When it is done at all.
    pub condition: Option<String>,
    /// The task of the queue.
    pub task: NewTask,
    /// The task that ends when a person allows it.
    pub gate: Option<NewTask>,
    /// The task that ends when its work is merged, if it is.
    pub merge: Option<NewMerge>,
}

/// The merge of the work of a task as it is begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMerge {
    /// Which it is of all merges of its run, in the order of the plan.
    pub rank: usize,
    /// The task that ends when it is done.
    pub task: NewTask,
}

/// What a schedule says of a task, in the time of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Planned {
    /// How long it takes.
    #[serde(rename = "planned_ms")]
    pub length: Millis,
    /// When it starts.
    #[serde(rename = "planned_start_ms")]
    pub start: Millis,
    /// When it is done.
    #[serde(rename = "planned_finish_ms")]
    pub finish: Millis,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// It is held back; what runs goes on.
    Paused,
    /// All of it is done.
    Completed,
    /// All has ended, and some failed or was called off with what failed.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl RunState {
    /// How a run with tasks, and merges, in these states stands.
    pub fn of(
        [tasks, merges]: [&BTreeMap<TaskState, u64>; 2],
        paused: bool,
        cancelled: bool,
    ) -> Self {
        let has = |wanted: fn(TaskState) -> bool| {
            tasks.iter().chain(merges).any(|(state, tasks)| *tasks > 0 && wanted(*state))
        };
        if has(|state| !state.is_final()) {
            if paused { Self::Paused } else { Self::Running }
        } else if !has(|state| state != TaskState::Completed) {
            Self::Completed
        } else if cancelled {
            Self::Cancelled
        } else {
            Self::Failed
        }
    }

    /// Whether nothing more happens by itself.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One run, as it is now. Planned times are those of the plan; `hour_ms` makes them those of the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunRecord {
    /// Its id, and the name of its group.
    pub id: PlanRunId,
    /// What people call it.
    pub title: String,
    /// How it stands.
    pub state: RunState,
    /// How many agents work at once, at the most.
    pub agents: u32,
    /// How many milliseconds of the clock an hour of the plan takes.
    pub hour_ms: u64,
    /// Whether mock agents do it.
    pub rehearsal: bool,
    /// Whether phases are barriers.
    pub phased: bool,
    /// What was planned.
    #[serde(flatten)]
    pub figures: RunFigures,
    /// Whether no schedule is shorter than the one that was planned.
    pub proven_optimal: bool,
    /// How many tasks it has.
    pub total: u64,
    /// How many are in each state.
    pub counts: BTreeMap<TaskState, u64>,
    /// How many of the merges of their work are in each state.
    #[serde(default)]
    pub merges: BTreeMap<TaskState, u64>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When the leader last looked at it.
    pub looked_at: Option<Timestamp>,
    /// When it is expected to end, as of then.
    pub expected_end_at: Option<Timestamp>,
    /// How often what is to come got another order.
    pub replanned: u64,
    /// Since when it is held back.
    pub paused_at: Option<Timestamp>,
    /// Why.
    pub paused_reason: Option<String>,
    /// When it was called off.
    pub cancelled_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl RunRecord {
    /// How many of its tasks are in `state`.
    pub fn count(&self, state: TaskState) -> u64 {
        self.counts.get(&state).copied().unwrap_or(0)
    }

    /// How many of its tasks have ended.
    pub fn ended(&self) -> u64 {
        self.counts.iter().filter(|(state, _)| state.is_final()).map(|(_, tasks)| tasks).sum()
    }
}

/// One task of a run, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunTaskRecord {
    /// Its name in the plan.
    pub id: PlanTaskId,
    /// Where it stands in the plan.
    pub place: usize,
    /// What people call it.
    pub title: String,
    /// Its phase.
    pub phase: Option<PhaseName>,
    /// Whether a person does it.
    pub human: bool,
    /// Where it is.
    pub state: TaskState,
    /// The task of the queue.
    pub task: TaskId,
    /// The task that ends when a person allows it.
    pub approval: Option<TaskId>,
    /// Where that is.
    pub approval_state: Option<TaskState>,
    /// The task that ends when its work is merged, if it is.
    pub merge: Option<TaskId>,
    /// Where that is.
    pub merge_state: Option<TaskState>,
    /// The queue of that, while it goes on: that of merges, of people, or of agents who resolve a conflict.
    pub merge_queue: Option<QueueName>,
    /// The places of those that it waits for.
    pub depends_on: Vec<usize>,
    /// What was planned.
    #[serde(flatten)]
    pub planned: Planned,
    /// Who was to do it.
    pub worker: String,
    /// Whether it is on the longest chain of the plan.
    pub critical: bool,
    /// Higher goes first.
    pub priority: i16,
    /// When it is done at all: an expression over the results of what it depends on.
    pub condition: Option<String>,
    /// Whether it is, once that is known.
    pub decided: Option<bool>,
    /// Since when somebody does not want it done.
    pub skipped_at: Option<Timestamp>,
    /// When all that it waits for had ended.
    pub ready_at: Option<Timestamp>,
    /// When its first attempt began.
    pub began_at: Option<Timestamp>,
    /// Since when its newest attempt runs.
    pub running_since: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who did it.
    pub agent: Option<String>,
    /// How long the attempt took that completed it.
    pub took_ms: Option<u64>,
    /// Why its newest attempt failed.
    pub message: Option<String>,
}

impl RunTaskRecord {
    /// Whether it waits for nothing but its condition.
    pub fn is_undecided(&self) -> bool {
        self.condition.is_some()
            && self.decided.is_none()
            && self.skipped_at.is_none()
            && self.state == TaskState::Pending
    }

    /// Whether it has ended, and its merge too.
    pub fn is_over(&self) -> bool {
        self.state.is_final() && self.merge_state.is_none_or(TaskState::is_final)
    }

    /// Whether its work is done and waits for the others to be merged.
    pub fn waits_for_its_turn(&self) -> bool {
        self.merges_in(MERGES)
    }

    /// Whether a person is to resolve what could not be merged.
    pub fn is_to_be_resolved(&self) -> bool {
        self.merges_in(PEOPLE)
    }

    fn merges_in(&self, queue: &str) -> bool {
        self.merge_state == Some(TaskState::Pending)
            && self.merge_queue.as_ref().is_some_and(|it| it.as_str() == queue)
    }

    /// Whether it waits for a person: to be done, to be allowed, or to have a conflict resolved.
    pub fn waits_for_a_person(&self) -> bool {
        self.is_to_be_resolved()
            || (self.human && self.state == TaskState::Pending && !self.is_undecided())
            || self.approval_state == Some(TaskState::Pending)
    }
}

#[cfg(test)]
mod tests;
