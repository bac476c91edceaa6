//! What is told of tasks, queues, fleets and agents: the shapes that the API and `--json` show.
//!
//! Times are UTC. A field that is not known is `null`, never left out, so that a program can rely
//! on every name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AgentName, Attempt, FleetName, Generation, HostId, QueueName, TaskId,
    admission::{KeyPattern, NeedKind, Needs, Rate},
    agent::AgentState,
    fleet::Protocol,
    task::{FailureClass, TaskState},
};

/// One task, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How long an attempt may run, in milliseconds; `null` is the fleet's limit.
    pub timeout_ms: Option<u64>,
    /// The key of its submit.
    pub idempotency_key: Option<String>,
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
    /// What a task waits for that is not given out; empty if it waits for an agent alone. `null` in
    /// listings.
    pub waits_for: Option<Vec<WaitRecord>>,
}

/// What kind of thing a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// A lock that another task holds, or is to get before.
    Lock,
    /// Files that another task uses, or is to get before.
    Path,
    /// A limit of how many run at once.
    Concurrency,
    /// A limit of how many begin within a window.
    Rate,
    /// A queue or a key that is held back.
    Paused,
}

impl WaitKind {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Path => "path",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::Paused => "paused",
        }
    }
}

/// One thing that a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitRecord {
    /// What kind of thing.
    pub kind: WaitKind,
    /// Its name: of the lock, the files, the key, the queue; `all` is the limit of all tasks.
    pub name: String,
    /// The task that has it, or is to get it before.
    pub holder: Option<TaskId>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// More, for people.
    pub reason: Option<String>,
}

/// One thing that a running task holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// How: `exclusive`, `shared`, `write`, `read` or `key`.
    pub kind: NeedKind,
    /// Its name: of the lock or the key, or the pattern of the files.
    pub name: String,
    /// The task.
    pub holder: TaskId,
    /// The queue of the task.
    pub queue: QueueName,
    /// The agent that runs it.
    pub agent: Option<AgentName>,
    /// The host that runs it.
    pub host: Option<HostId>,
    /// Since when.
    pub since: Timestamp,
    /// Tasks that were passed over because of it.
    pub waiters: Vec<TaskId>,
}

/// A failure, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    /// What kind.
    pub class: FailureClass,
    /// What happened, for a person.
    pub message: String,
    /// More for a program.
    pub detail: Value,
}

/// One ended attempt of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: Attempt,
    /// How it ended: `completed`, `failed`, `released` or `cancelled`.
    pub outcome: String,
    /// The failure, if it was one.
    pub error: Option<TaskError>,
    /// Why it was put back, if it was.
    pub reason: Option<String>,
    /// The host that ran it.
    pub host: Option<HostId>,
    /// The agent that ran it.
    pub agent: Option<AgentName>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// One fact about a task. The numbers of one task have no gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// A submit's answer for one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// The task: the one that was there already, if its key was.
    pub id: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// Whether this submit made it.
    pub created: bool,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Ask with this for the next page; `null` on the last.
    pub next_cursor: Option<String>,
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
    /// At most so many.
    pub limit: u32,
    /// Older than this task: tasks are listed newest first.
    pub before: Option<TaskId>,
}

/// One queue, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// How many attempts may begin within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRecord {
    /// So many.
    pub count: u32,
    /// The length of the window, in milliseconds.
    pub per_ms: u64,
}

impl RateRecord {
    /// The rate as it is told.
    pub fn of(rate: Rate) -> Self {
        let per_ms = u64::try_from(rate.per.as_millis()).unwrap_or(u64::MAX);
        Self { count: rate.count, per_ms }
    }
}

/// What is limited of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLimits {
    /// How many of its tasks may run at once, on all hosts.
    pub concurrency: Option<u32>,
    /// How many of its tasks may begin within a window.
    pub rate: Option<RateRecord>,
    /// How many of its tasks with one key may run at once.
    pub key_concurrency: Option<u32>,
    /// How many of its tasks with one key may begin within a window.
    pub key_rate: Option<RateRecord>,
    /// Its share of the agents that serve other queues too.
    pub weight: u32,
    /// Whether its keys take turns.
    pub fair: bool,
}

/// Whose a limit is that is no queue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedKind {
    /// That of all tasks.
    All,
    /// That of a fleet.
    Fleet,
    /// That of each key that a pattern means.
    Key,
}

impl LimitedKind {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Fleet => "fleet",
            Self::Key => "key",
        }
    }
}

/// A limit that is no queue's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRecord {
    /// Whose it is.
    pub of: LimitedKind,
    /// The fleet, or the pattern of keys; empty for that of all tasks.
    pub name: String,
    /// How many tasks may run at once, on all hosts.
    pub concurrency: Option<u32>,
    /// How many attempts may begin within a window.
    pub rate: Option<RateRecord>,
}

/// Keys whose tasks are held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPauseRecord {
    /// Which.
    pub key: KeyPattern,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// When they are let go by themselves.
    pub until: Option<Timestamp>,
}

/// What is limited or held back, but for the queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsRecord {
    /// The limits.
    pub limits: Vec<LimitRecord>,
    /// The keys that are held back.
    pub paused_keys: Vec<KeyPauseRecord>,
}

/// One fleet, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetRecord {
    /// Its name.
    pub name: FleetName,
    /// How its agents are talked to.
    pub protocol: Protocol,
    /// The argv, templates and all.
    pub command: Vec<String>,
    /// The queues it serves.
    pub queues: Vec<QueueName>,
    /// How many agents it has.
    pub count: u16,
    /// How many are in each state.
    pub states: BTreeMap<AgentState, u16>,
}

/// One agent, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Its name.
    pub name: AgentName,
    /// Its fleet.
    pub fleet: FleetName,
    /// How it is talked to.
    pub protocol: Protocol,
    /// Where it is in its life.
    pub state: AgentState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is there, where there is a reason to tell.
    pub reason: Option<String>,
    /// How many processes it has had.
    pub generation: Generation,
    /// Its live process.
    pub pid: Option<u32>,
    /// The task it runs.
    pub task: Option<TaskId>,
    /// The attempt it runs.
    pub attempt: Option<Attempt>,
    /// The newest `task/progress`, as the agent told it.
    pub progress: Option<Value>,
    /// How long ago it last showed life, in milliseconds; `null` without a process.
    pub heard_ms_ago: Option<u64>,
    /// How often a process of its was replaced, by cause.
    pub restarts: BTreeMap<RestartCause, u64>,
    /// How many attempts it has ended since the host started.
    pub attempts_ended: u64,
}

/// Why a process was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartCause {
    /// It ended by itself.
    Crash,
    /// It showed no life.
    Stale,
    /// It broke the protocol, or never said hello.
    Protocol,
    /// Its task took too long.
    Timeout,
    /// Its task was called off and it did not let go.
    Cancel,
    /// It could not be started.
    Spawn,
    /// An operator asked.
    Operator,
}

impl RestartCause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Crash,
        Self::Stale,
        Self::Protocol,
        Self::Timeout,
        Self::Cancel,
        Self::Spawn,
        Self::Operator,
    ];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Stale => "stale",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Cancel => "cancel",
            Self::Spawn => "spawn",
            Self::Operator => "operator",
        }
    }
}
