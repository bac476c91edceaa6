//! What is told of locks, limits and pauses.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    AgentName, HostId, QueueName, TaskId,
    admission::{KeyPattern, NeedKind, Rate},
};

/// What kind of thing a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// A task that it depends on.
    Task,
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
            Self::Task => "task",
            Self::Lock => "lock",
            Self::Path => "path",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::Paused => "paused",
        }
    }
}

/// One thing that a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WaitRecord {
    /// What kind of thing.
    pub kind: WaitKind,
    /// Its name: of the lock, the files, the key, the queue; `all` is the limit of all tasks. The id
    /// of a task that it depends on.
    pub name: String,
    /// The task that has it, is to get it before, or that it depends on.
    pub holder: Option<TaskId>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// More, for people.
    pub reason: Option<String>,
}

impl WaitRecord {
    /// A task that another depends on.
    pub fn of_task(task: TaskId) -> Self {
        Self {
            kind: WaitKind::Task,
            name: task.to_string(),
            holder: Some(task),
            since: None,
            until: None,
            reason: None,
        }
    }
}

/// One thing that a running task holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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

/// How many attempts may begin within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitsRecord {
    /// The limits.
    pub limits: Vec<LimitRecord>,
    /// The keys that are held back.
    pub paused_keys: Vec<KeyPauseRecord>,
}
