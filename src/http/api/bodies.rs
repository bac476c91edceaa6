//! Bodies of requests that no command sends as a whole: what the document of the API says of them.
//!
//! The server reads every body field by field, to name every mistake at once. Everything may be left
//! out where its text does not say otherwise.

use jiff::Timestamp;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{
    FleetName, PlanTaskId, QueueName,
    access::Scope,
    admission::KeyPattern,
    schedule::{CatchUp, Overlap},
};

/// A body without fields.
#[derive(ToSchema)]
pub struct NothingBody {}

/// Why something is held back.
#[derive(ToSchema)]
pub struct ReasonBody {
    /// For people.
    pub reason: Option<String>,
}

/// Why something is held back, and for how long: until it is let go where neither is said.
#[derive(ToSchema)]
pub struct PauseBody {
    /// For people.
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// After how long it ends by itself: `2h`.
    pub r#for: Option<String>,
}

/// A key that tasks are counted by, or the beginning of such keys with a star after it, and how long its
/// tasks are held back.
#[derive(ToSchema)]
pub struct KeyPauseBody {
    /// Which; must be given.
    pub key: KeyPattern,
    /// For people.
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// After how long it ends by itself: `10m`.
    pub r#for: Option<String>,
}

/// A key that tasks are counted by, or the beginning of such keys with a star after it.
#[derive(ToSchema)]
pub struct KeyBody {
    /// Which; must be given.
    pub key: KeyPattern,
}

/// A change of one limit. One of `key`, `fleet` and `all` says whose.
#[derive(ToSchema)]
pub struct LimitBody {
    /// That of a key, or of each key that begins so.
    pub key: Option<KeyPattern>,
    /// That of a fleet.
    pub fleet: Option<FleetName>,
    /// That of all tasks.
    pub all: Option<bool>,
    /// How many may run at once; `"off"` lifts the limit.
    pub concurrency: Option<Value>,
    /// How many may begin within a window, as `60/1m`; `"off"` lifts the limit.
    pub rate: Option<String>,
}

/// A change of what is limited of a queue.
#[derive(ToSchema)]
pub struct QueueLimitsBody {
    /// How many of its tasks may run at once; `"off"` lifts the limit.
    pub concurrency: Option<Value>,
    /// How many of its tasks may begin within a window, as `60/1m`; `"off"` lifts the limit.
    pub rate: Option<String>,
    /// How many of its tasks with one key may run at once; `"off"` lifts the limit.
    pub key_concurrency: Option<Value>,
    /// How many of its tasks with one key may begin within a window; `"off"` lifts the limit.
    pub key_rate: Option<String>,
    /// Its share of the agents that serve other queues too, 1 to 1000.
    pub weight: Option<u32>,
    /// Whether its keys take turns.
    pub fair: Option<bool>,
}

/// Until when a task is put off. One of them is given.
#[derive(ToSchema)]
pub struct SnoozeBody {
    /// Until this time.
    pub until: Option<Timestamp>,
    /// For so long: `1h`.
    pub r#for: Option<String>,
}

/// How many agents a fleet is to have.
#[derive(ToSchema)]
pub struct ScaleBody {
    /// So many; must be given.
    pub count: u16,
}

/// How a fleet is restarted, a few agents at a time.
#[derive(ToSchema)]
pub struct RollBody {
    /// How many may be away at once: a number, or a part such as `25%`.
    pub max_unavailable: Option<Value>,
}

/// Whether something is only told.
#[derive(ToSchema)]
pub struct DryRunBody {
    /// Only say what would be done.
    pub dry_run: Option<bool>,
}

/// A schedule, as it is put. `cron` or `every` must be given.
#[derive(ToSchema)]
pub struct ScheduleBody {
    /// When it is due: a cron expression.
    pub cron: Option<String>,
    /// The time between two due times: `15m`.
    pub every: Option<String>,
    /// The time zone of the expression, by its IANA name.
    pub zone: Option<String>,
    /// The queue of its tasks.
    pub queue: Option<QueueName>,
    /// The kind of its tasks.
    pub kind: Option<String>,
    /// The input of its tasks.
    pub input: Option<Value>,
    /// The priority of its tasks.
    pub priority: Option<i16>,
    /// How many attempts of a task may fail before the task does.
    pub max_attempts: Option<u32>,
    /// How long one attempt may run.
    pub timeout: Option<String>,
    /// How long after its due time a task must be finished.
    pub deadline: Option<String>,
    /// What happens at a due time while the last task is not finished.
    pub overlap: Option<Overlap>,
    /// What happens about due times at which no host ran.
    pub catch_up: Option<CatchUp>,
    /// Of how many of these, at the most.
    pub catch_up_max: Option<u32>,
    /// Made paused.
    pub paused: Option<bool>,
    /// For people.
    pub description: Option<String>,
}

/// An API key that is wanted.
#[derive(ToSchema)]
pub struct ApiKeyBody {
    /// What it is for.
    pub name: Option<String>,
    /// What it allows; must be given.
    pub scopes: Vec<Scope>,
    /// Limit it to these fleets.
    pub fleets: Option<Vec<FleetName>>,
    /// Limit it to these queues.
    pub queues: Option<Vec<QueueName>>,
    /// How often it may ask, as `60/1m`.
    pub rate: Option<String>,
    /// When it ends: a time, or a duration from now.
    pub expires: Option<String>,
}

/// Which tasks of plans are asked about.
#[derive(ToSchema)]
pub struct HistoryBody {
    /// Their names in their plans.
    pub tasks: Vec<PlanTaskId>,
}

/// Which task of a run is tried again.
#[derive(ToSchema)]
pub struct RunRetryBody {
    /// This one, and what was called off behind it; all that can be where absent.
    pub task: Option<PlanTaskId>,
}

/// That a person has done a task.
#[derive(ToSchema)]
pub struct DoneBody {
    /// What came of it.
    pub output: Option<Value>,
}

/// That a person could not do a task.
#[derive(ToSchema)]
pub struct FailBody {
    /// Why.
    pub message: Option<String>,
}
