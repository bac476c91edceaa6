//! What is told of tasks, queues, fleets and agents: the shapes that the API and `--json` show.
//!
//! Times are UTC. A field that is not known is `null`, never left out, so that a program can rely
//! on every name.

mod agents;
mod change;
mod limits;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AgentName, Attempt, BatchId, GroupName, HostId, QueueName, TaskId,
    admission::Needs,
    event::HostEvent,
    graph::DependencyPolicy,
    restart::millis,
    retry::{QueueTerms, RetryTerms},
    task::{FailureClass, TaskState},
    workspace::{WorkspaceRecord, WorkspaceSpec},
};

pub use agents::{AgentRecord, FleetRecord, RestartCause};
pub use change::{
    AdoptedRecord, AdoptionRecord, EndedRecord, FleetChange, FleetChangeRecord, ReloadRecord,
    ScaleRecord, UpgradeRecord,
};
pub use limits::{
    KeyPauseRecord, LimitRecord, LimitedKind, LimitsRecord, LockRecord, QueueLimits, RateRecord,
    WaitKind, WaitRecord,
};

/// One task, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// The queue it was submitted to.
    pub queue: QueueName,
    /// What kind of task it is.
    pub kind: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// Higher runs first.
    pub priority: i16,
    /// The input.
    pub input: Value,
    /// The result, once completed.
    pub output: Option<Value>,
    /// The newest failure: of the task if it failed, else of its latest attempt.
    pub error: Option<TaskError>,
    /// The number of the newest attempt; 0 before the first.
    pub attempt: Attempt,
    /// How many attempts failed.
    pub failures: u32,
    /// How many may fail before the task does.
    pub max_attempts: u32,
    /// How long an attempt may run, in milliseconds: as the task says, else its queue; `null` is the
    /// fleet's limit.
    pub timeout_ms: Option<u64>,
    /// Whose word that is.
    pub timeout_from: TimeoutFrom,
    /// What the task itself says of retries; the rest is as its queue has it.
    pub retry: Option<RetryTerms>,
    /// It fails if it is not finished by then.
    pub deadline: Option<Timestamp>,
    /// The key of its submit.
    pub idempotency_key: Option<String>,
    /// The group that it is counted in.
    pub group: Option<GroupName>,
    /// The batch that it ends with.
    pub batch: Option<BatchId>,
    /// The host that runs it now.
    pub host: Option<HostId>,
    /// The agent that runs it now.
    pub agent: Option<AgentName>,
    /// Somebody called it off while it ran, and its agent has not let go yet.
    pub cancel_requested: bool,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// Not before this time.
    pub run_at: Timestamp,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it needs for itself while it runs: `locks`, `paths` and `keys`.
    #[serde(flatten)]
    pub needs: Needs,
    /// The tasks that it depends on, in the order of its submit: the first thousand.
    pub depends_on: Vec<TaskId>,
    /// What it waits for: while it is blocked those of these tasks that have not ended, the first
    /// thousand; while it is pending what is in its way, and nothing if it waits for an agent alone,
    /// or `null` in listings.
    pub waits_for: Option<Vec<WaitRecord>>,
    /// Why it is blocked, or was cancelled for a task that it depends on.
    pub blocked_reason: Option<String>,
    /// What becomes of it when one of these fails; `null` if it depends on none.
    pub on_dependency_failure: Option<DependencyPolicy>,
    /// Whether its input is a template over their results.
    pub template: bool,
    /// What its attempts work in, if it says so itself.
    pub workspace: Option<WorkspaceSpec>,
    /// How long its agent may show no life, in milliseconds; `null` is as the fleet says.
    #[serde(default)]
    pub stale_after_ms: Option<u64>,
}

/// Who says how long an attempt of a task may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutFrom {
    /// The task.
    Task,
    /// Its queue, in the settings of the host that is asked.
    Queue,
    /// The fleet whose agent gets it.
    Fleet,
}

impl TaskRecord {
    /// The tasks that it depends on and still waits for: the first thousand.
    pub fn awaited_tasks(&self) -> Vec<TaskId> {
        let waits = self.waits_for.iter().flatten();
        waits.filter(|wait| wait.kind == WaitKind::Task).filter_map(|wait| wait.holder).collect()
    }

    /// Fills in what its queue says, where the task says nothing.
    #[must_use]
    pub fn in_queue(mut self, terms: &QueueTerms) -> Self {
        if let (TimeoutFrom::Fleet, Some(timeout)) = (self.timeout_from, terms.timeout) {
            self.timeout_ms = Some(millis(timeout));
            self.timeout_from = TimeoutFrom::Queue;
        }
        self
    }
}

/// A failure, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskError {
    /// What kind.
    pub class: FailureClass,
    /// What happened, for a person.
    pub message: String,
    /// More for a program.
    pub detail: Value,
}

/// One ended attempt of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: Attempt,
    /// How it ended: `completed`, `failed`, `released`, `snoozed` or `cancelled`.
    pub outcome: String,
    /// The failure, if it was one.
    pub error: Option<TaskError>,
    /// Why it was put back or put off, if it was.
    pub reason: Option<String>,
    /// The host that ran it.
    pub host: Option<HostId>,
    /// The agent that ran it.
    pub agent: Option<AgentName>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it worked in, if that was a workspace of its own.
    pub workspace: Option<WorkspaceRecord>,
}

/// One fact about a task. The numbers of one task have no gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventRecord {
    /// 1 for the first fact about this task.
    pub number: u32,
    /// The state the task came to.
    pub state: TaskState,
    /// The newest attempt then.
    pub attempt: Attempt,
    /// When.
    pub at: Timestamp,
}

/// One fact about a task, as the feed of all tasks tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedEvent {
    /// The task.
    pub task: TaskId,
    /// 1 for the first fact about this task.
    pub number: u32,
    /// The state the task came to.
    pub state: TaskState,
    /// The newest attempt then.
    pub attempt: Attempt,
    /// When.
    pub at: Timestamp,
}

/// One fact of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum FeedItem {
    /// About a task.
    Step(FeedEvent),
    /// About a host, a fleet or an agent.
    Host(HostEvent),
}

/// A submit's answer for one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Submitted {
    /// The task: the one that was there already, if its key was.
    pub id: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// Whether this submit made it.
    pub created: bool,
    /// What this submit did.
    pub outcome: SubmitOutcome,
}

impl Submitted {
    /// The answer that `task` is now in `state`, after `outcome`.
    pub fn new(id: TaskId, state: TaskState, outcome: SubmitOutcome) -> Self {
        Self { id, state, created: outcome == SubmitOutcome::Created, outcome }
    }
}

/// What a submit did with one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmitOutcome {
    /// It was made.
    Created,
    /// It was there already, and stays as it is.
    Existing,
    /// It was there already, and took over what the submit says.
    Replaced,
}

/// A task and those that are connected with it by dependencies, over any number of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GraphRecord {
    /// The task that was asked for.
    pub task: TaskId,
    /// The tasks, oldest first: each after those that it depends on.
    pub nodes: Vec<GraphNode>,
    /// The dependencies between them.
    pub edges: Vec<GraphEdge>,
    /// Whether there are more tasks than are told.
    pub truncated: bool,
}

/// How much of a graph is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphExtent {
    /// The task, up to so many that it depends on, and up to so many that depend on it.
    Near(u32),
    /// Up to so many tasks that are connected with it over any number of steps, the nearest first.
    All(u32),
}

/// A task of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GraphNode {
    /// Its id.
    pub id: TaskId,
    /// Its queue.
    pub queue: QueueName,
    /// What kind of task it is.
    pub kind: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// What becomes of it when a task fails that it depends on; `null` if it depends on none.
    pub on_dependency_failure: Option<DependencyPolicy>,
    /// How many tasks it still waits for, while it is blocked.
    pub open: Option<u32>,
    /// The dependency for which it was cancelled.
    pub stopped_by: Option<TaskId>,
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GraphEdge {
    /// The task that is waited for.
    pub from: TaskId,
    /// The task that waits.
    pub to: TaskId,
    /// What the one that waits calls the other.
    pub name: String,
    /// Whether an operator let it go on without the other.
    pub waived: bool,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Ask with this for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of what was found; the next page begins with the one after them, if there is one.
    pub fn cut<C: ToString>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next_cursor = items.get(limit).map(|next| cursor(next).to_string());
        items.truncate(limit);
        Self { items, next_cursor }
    }
}

/// Which tasks a listing shows. Everything set must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    /// In any of these states; in any at all if empty.
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
    /// At most so many.
    pub limit: u32,
    /// Older than this task: tasks are listed newest first.
    pub before: Option<TaskId>,
}

/// A host on the database, as it registered itself; or an agent that is not ours and holds a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RegisteredHost {
    /// Its id: a new one at each start, and after each lost lease.
    pub id: HostId,
    /// Its name; that of the program that such an agent belongs to.
    pub name: String,
    /// The agent that is not ours, if it is one; `null` for a host.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// The version of Hostler that runs; empty for such an agent.
    pub version: String,
    /// When it registered under this id.
    pub started_at: Timestamp,
    /// When its lease ends, if it is not renewed, by the clock of Postgres.
    pub lease_ends_at: Timestamp,
    /// How long that is from now, in milliseconds; 0 for one that is lost, and whose tasks go
    /// back to their queues in this moment.
    pub lease_left_ms: u64,
    /// How many tasks it holds.
    pub held: u64,
    /// Whether it is the host that gives this answer.
    pub answers: bool,
    /// Whether it leads: does what one host among all has to do.
    pub leads: bool,
}

/// One queue, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueRecord {
    /// Its name.
    pub name: QueueName,
    /// What it is for.
    pub description: String,
    /// Whether its tasks are held back.
    pub paused: bool,
    /// Why they are.
    pub paused_reason: Option<String>,
    /// When they are let go by themselves.
    pub paused_until: Option<Timestamp>,
    /// What is limited of it.
    pub limits: QueueLimits,
    /// How many tasks are in each state that is not final.
    pub depth: BTreeMap<TaskState, u64>,
    /// How long its oldest pending task has waited, in milliseconds.
    pub oldest_pending_ms: Option<u64>,
}
