//! The life of one task, as pure functions.
//!
//! See `docs/LIFECYCLES.md` for the drawing. The database refuses every step that [`step`]
//! refuses: `sql/migrations` has the same table as a guard, and a test walks both.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AgentName, Attempt, BatchId, Entry, GroupName, QueueName, ScheduleName, TaskId,
    admission::Needs,
    delivery::target::Target,
    graph,
    retry::{AfterFailure, RetryPolicy, RetryTerms},
    secret,
    unique::Unique,
    workspace::{Place, WorkspaceSpec},
};

mod failure;

pub use failure::{FailureClass, UnknownClass};

/// Where a task is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for other tasks.
    Blocked,
    /// Waits for its time: a run-at, or the backoff after a failed attempt.
    Scheduled,
    /// Can be claimed.
    Pending,
    /// One attempt is under way, on one host.
    Running,
    /// Its agent asked a question; the attempt is still under way.
    AwaitingInput,
    /// Ended with a result. Final.
    Completed,
    /// Out of attempts; kept, and can be retried by hand. Final.
    Failed,
    /// Called off. Final; can be retried by hand.
    Cancelled,
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::AwaitingInput,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing more happens to the task by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether an attempt is under way, so that a host holds a lease.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Running | Self::AwaitingInput)
    }

    /// The word used in SQL, in the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::AwaitingInput => "awaiting_input",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no task state; the states are blocked, scheduled, pending, running, awaiting_input, completed, failed and cancelled"
)]
pub struct UnknownState(String);

impl std::str::FromStr for TaskState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEvent {
    /// It waits for no other task any more.
    Unblocked,
    /// The same, before its time has come.
    UnblockedEarly,
    /// Its time has come.
    Due,
    /// A host took it: a new attempt begins.
    Claimed,
    /// The attempt ended with a result.
    Completed,
    /// The attempt failed and may be tried again later.
    FailedForNow,
    /// The attempt failed and was the last.
    FailedForGood,
    /// The attempt is put back through no fault of the task: a drain, or a lost host.
    Released,
    /// The agent put it off: it does not want it now.
    Snoozed,
    /// Its deadline has passed, and no attempt is under way.
    Expired,
    /// The agent asked a question.
    InputAsked,
    /// The question was answered.
    InputGiven,
    /// Somebody called the task off, and no attempt is (any longer) under way.
    Cancelled,
    /// Somebody asked for another try by hand.
    Retried,
    /// The same, while a task that it depends on is not done.
    RetriedEarly,
    /// It is to run, but later: its submit was replaced by one with a later time, or it is one of
    /// many that are retried by hand at a rate.
    Deferred,
}

impl TaskEvent {
    /// Every event.
    pub const ALL: [Self; 16] = [
        Self::Unblocked,
        Self::UnblockedEarly,
        Self::Due,
        Self::Claimed,
        Self::Completed,
        Self::FailedForNow,
        Self::FailedForGood,
        Self::Released,
        Self::Snoozed,
        Self::Expired,
        Self::InputAsked,
        Self::InputGiven,
        Self::Cancelled,
        Self::Retried,
        Self::RetriedEarly,
        Self::Deferred,
    ];
}

/// An event that makes no sense in that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} makes no sense for a task that is {state}")]
pub struct IllegalStep {
    /// Where the task was.
    pub state: TaskState,
    /// What was said to have happened.
    pub event: TaskEvent,
}

/// Decides what `event` makes of a task in `state`.
///
/// # Errors
///
/// [`IllegalStep`] where the pair is not in the table: the caller's view of the task is old.
pub const fn step(state: TaskState, event: TaskEvent) -> Result<TaskState, IllegalStep> {
    use TaskEvent as E;
    use TaskState as S;
    Ok(match (state, event) {
        (S::Blocked, E::Unblocked) | (S::Scheduled, E::Due) => S::Pending,
        (S::Blocked, E::UnblockedEarly) => S::Scheduled,
        (S::Pending, E::Claimed) | (S::AwaitingInput, E::InputGiven) => S::Running,
        (S::Running, E::InputAsked) => S::AwaitingInput,
        (S::Running, E::Completed) => S::Completed,
        (S::Running | S::AwaitingInput, E::FailedForNow | E::Snoozed) => S::Scheduled,
        (S::Blocked | S::Scheduled | S::Pending, E::Expired) => S::Failed,
        (S::Running | S::AwaitingInput, E::FailedForGood) => S::Failed,
        (S::Running | S::AwaitingInput, E::Released) => S::Pending,
        (S::Blocked | S::Scheduled | S::Pending | S::Running | S::AwaitingInput, E::Cancelled) => {
            S::Cancelled
        }
        (S::Failed | S::Cancelled, E::Retried) => S::Pending,
        (S::Failed | S::Cancelled, E::RetriedEarly) => S::Blocked,
        (S::Pending | S::Failed | S::Cancelled, E::Deferred) => S::Scheduled,
        (state, event) => return Err(IllegalStep { state, event }),
    })
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With a result.
    Completed {
        /// The result, any JSON.
        output: Value,
    },
    /// With an error.
    Failed {
        /// What kind of error.
        class: FailureClass,
        /// What happened, for a person.
        message: String,
        /// More for a program: exit status, the agent's own error data. `Null` where there is none.
        detail: Value,
    },
    /// It did not end: it is put back, and uses up no try.
    Released {
        /// Why, for a person.
        reason: String,
    },
    /// The agent does not want it now: it is put off, and uses up no try.
    Snoozed {
        /// For how long.
        wait: Duration,
        /// Why, for a person.
        reason: String,
    },
    /// Somebody called it off, and the agent has stopped working on it.
    Cancelled,
}

impl Outcome {
    /// A failure without detail.
    pub fn failed(class: FailureClass, message: impl Into<String>) -> Self {
        Self::Failed { class, message: message.into(), detail: Value::Null }
    }

    /// The same without the secrets of its agent's fleet, but for a result: that is the task's own.
    #[must_use]
    pub fn without(mut self, secrets: &secret::FleetSecrets) -> Self {
        match &mut self {
            Self::Failed { message, detail, .. } => {
                *message = secret::hide(secrets, message).into_owned();
                secret::hide_in(secrets, detail);
            }
            Self::Released { reason } | Self::Snoozed { reason, .. } => {
                *reason = secret::hide(secrets, reason).into_owned();
            }
            Self::Completed { .. } | Self::Cancelled => {}
        }
        self
    }

    /// The word for metrics and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Released { .. } => "released",
            Self::Snoozed { .. } => "snoozed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A task as somebody submits it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its id, made by the submitter's host.
    pub id: TaskId,
    /// The queue it goes to.
    pub queue: QueueName,
    /// What kind of task it is, in the words of its agents; free text.
    pub kind: String,
    /// The input, any JSON.
    pub input: Value,
    /// Higher runs first; 0 is ordinary.
    pub priority: i16,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// How many attempts may fail before the task does; at least 1.
    pub max_attempts: u32,
    /// How long an attempt may run; the fleet's limit where absent.
    pub timeout: Option<Duration>,
    /// A second submit with the same key is the same task.
    pub idempotency_key: Option<String>,
    /// What else it asks for.
    pub terms: Terms,
}

/// What makes a task more than plain: what it waits for, needs, and is part of.
///
/// A task without terms is the common one; whatever reads this asks first whether there are any.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// What it needs for itself while it runs.
    pub needs: Needs,
    /// Where it stands among the tasks that wait for each other. One that has a name here may be
    /// waited for, and so is not plain.
    pub graph: graph::Node,
    /// What differs from how its queue tries failed attempts again.
    pub retry: RetryTerms,
    /// It is to be the only one of its key.
    pub unique: Option<Unique>,
    /// The group that it is counted in.
    pub group: Option<GroupName>,
    /// The batch that it ends with; that must be open.
    pub batch: Option<BatchId>,
    /// The schedule that makes it, which looks later what has become of it.
    pub schedule: Option<ScheduleName>,
    /// It fails if it is not finished by then.
    pub deadline: Option<Timestamp>,
    /// What its attempts work in; what the fleet says where absent.
    pub workspace: Option<WorkspaceSpec>,
    /// How long its agent may show no life; what the fleet says where absent.
    pub stale_after: Option<Duration>,
    /// Where its end is told.
    pub callback: Option<Target>,
}

impl Terms {
    /// Whether the task asks for nothing of this.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl NewTask {
    /// Whether it asks for nothing but to be run once, in its turn: then the log can keep it.
    pub fn is_plain(&self) -> bool {
        self.priority == 0
            && self.run_at.is_none()
            && self.idempotency_key.is_none()
            && self.terms.is_empty()
    }
}

/// One attempt of a task, as a host hands it to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The number of this attempt: the fencing token.
    pub attempt: Attempt,
    /// How many attempts failed before this one.
    pub failures: u32,
    /// How many may fail before the task does.
    pub max_attempts: u32,
    /// The agent it is for.
    pub agent: AgentName,
    /// The queue it came from.
    pub queue: QueueName,
    /// What kind of task it is.
    pub kind: String,
    /// The input.
    pub input: Value,
    /// The results of what it depends on, if the input is a template over them. Whoever hands the
    /// attempt out fills it in.
    pub results: Option<Box<graph::Results>>,
    /// How long it may run; the fleet's limit where absent.
    pub timeout: Option<Duration>,
    /// How long it had been ready when it was claimed.
    pub waited: Duration,
    /// Others may wait for its end: it holds something, or counts for a limit.
    pub frees: bool,
    /// Its place in the log, if it is a plain task.
    pub entry: Option<Entry>,
    /// What the task asks for that concerns its attempts.
    pub terms: RunTerms,
}

/// What a task's terms say of its attempts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunTerms {
    /// What differs from how its queue tries failed attempts again.
    pub retry: Option<RetryTerms>,
    /// How long it is until its deadline, from when it was claimed.
    pub deadline_in: Option<Duration>,
    /// What its attempts work in; what the fleet says where absent.
    pub workspace: Option<WorkspaceSpec>,
    /// How long the agent may show no life; what the fleet says where absent.
    pub stale_after: Option<Duration>,
    /// Where the attempt works, once that is made.
    pub place: Option<Place>,
    /// Why nothing can be done with its input, or with the results that this uses: what somebody
    /// wrote by SQL may be more than a program can read. Whoever hands the attempt out fails it.
    pub unreadable: Option<String>,
}

impl Assignment {
    /// What follows the failure `outcome`, where the queue's policy is `policy`.
    fn after_failure(&self, outcome: &Outcome, policy: &RetryPolicy, dice: f64) -> AfterFailure {
        if matches!(outcome, Outcome::Failed { class: FailureClass::Deadline, .. }) {
            return AfterFailure::GiveUp;
        }
        let (failures, most) = (self.failures, self.max_attempts);
        match &self.terms.retry {
            Some(own) => policy.with(own).after(outcome, failures, most, dice),
            None => policy.after(outcome, failures, most, dice),
        }
    }
}

mod limit;
mod settlement;

pub use limit::TimeLeft;
pub use settlement::Settlement;

#[cfg(test)]
mod tests;
