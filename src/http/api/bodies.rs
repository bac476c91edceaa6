//! Bodies of requests that no command sends as a whole: what the document of the API says of them.
//!
//! The server reads every body field by field, to name every mistake at once. Everything may be left
//! out where its text does not say otherwise.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::words::{CountOrOff, Length, Line, Moment, RateOrOff, RateText, SecretText, Share};
use crate::domain::{
    BatchId, FleetName, GroupName, PlanTaskId, QueueName, TaskId,
    access::Scope,
    admission::{Access, KeyPattern, Label, Mode},
    delivery::target::Target,
    event::TypePattern,
    glob::Glob,
    retry::{Cause, Growth},
    schedule::{CatchUp, Overlap},
};

/// How failed attempts are tried again.
#[derive(ToSchema)]
pub struct RetryBody {
    /// How waits grow.
    pub kind: Option<Growth>,
    /// The first wait.
    #[schema(value_type = Option<Length>)]
    pub backoff_min: Option<String>,
    /// The longest wait.
    #[schema(value_type = Option<Length>)]
    pub backoff_max: Option<String>,
    /// Which part of a wait is left to chance.
    #[schema(minimum = 0, maximum = 1)]
    pub jitter: Option<f64>,
    /// The failures that are tried again; all of them where absent.
    pub retry_on: Option<Vec<Cause>>,
    /// The failures that are not.
    pub never_on: Option<Vec<Cause>>,
    /// How many attempts may fail before the task does.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: Option<u32>,
}

/// What is said of failed tasks that are tried again, beside which they are.
#[derive(ToSchema)]
pub struct RetryManyBody {
    /// Whether those that were discarded are meant, too.
    pub discarded: Option<bool>,
}

/// What is said of a redrive, beside which tasks it is about.
#[derive(ToSchema)]
pub struct RedriveBody {
    /// Whether those that were discarded are meant, too.
    pub discarded: Option<bool>,
    /// Into this queue; each into its own where absent.
    pub to: Option<QueueName>,
    /// No more in a time than this.
    #[schema(value_type = Option<RateText>)]
    pub rate: Option<String>,
}

/// What is said of a discard, beside which tasks it is about.
#[derive(ToSchema)]
pub struct DiscardBody {
    /// Why, for whoever finds a task later.
    #[schema(value_type = Line)]
    pub reason: String,
}

/// A task that is submitted once a batch is done.
#[derive(ToSchema)]
pub struct CallbackBody {
    /// The queue; `default` where absent.
    pub queue: Option<QueueName>,
    /// The kind; `task` where absent.
    #[schema(value_type = Option<Line>)]
    pub kind: Option<String>,
    /// The input; `batch` is added to it.
    pub input: Option<Map<String, Value>>,
    /// Higher runs first.
    pub priority: Option<i16>,
    /// How many attempts may fail before the task does.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: Option<u32>,
    /// How long one attempt may run.
    #[schema(value_type = Option<Length>)]
    pub timeout: Option<String>,
    /// How long an agent may be silent at it; its fleet's limit where absent.
    #[schema(value_type = Option<Length>)]
    pub stale_after: Option<String>,
}

/// A lock that a task needs: its name, held alone; or its name and how it is held.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum LockBody {
    /// Its name.
    Name(Label),
    /// Its name, and how it is held.
    Use {
        /// Its name.
        name: Label,
        /// How it is held; alone where absent.
        mode: Option<Mode>,
    },
}

/// Files that a task needs: which, to write them; or which and how they are used.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum PathBody {
    /// Which.
    Glob(Glob),
    /// Which, and how they are used.
    Use {
        /// Which.
        glob: Glob,
        /// How they are used; written where absent.
        mode: Option<Access>,
    },
}

/// A program that takes the host's place.
#[derive(ToSchema)]
pub struct UpgradeBody {
    /// Its absolute path.
    #[schema(pattern = "^/.*$")]
    pub program: String,
}

/// Somebody who is to be told of events.
#[derive(ToSchema)]
pub struct EndpointBody {
    /// Where they are sent; must be given, but for `callbacks`, which has none.
    pub url: Option<Target>,
    /// What it is for, for people.
    #[schema(value_type = Option<Line>)]
    pub description: Option<String>,
    /// Which events; all where absent.
    pub filter: Option<FilterBody>,
    /// How many are sent at once at most; 4 where absent.
    #[schema(minimum = 1, maximum = 64)]
    pub concurrency: Option<u16>,
    /// One after another, in the order of what happened.
    pub ordered: Option<bool>,
    /// How long an answer may take; 20 s where absent.
    #[schema(value_type = Option<Length>)]
    pub timeout: Option<String>,
    /// A secret to sign with; made up where absent.
    pub secret: Option<SecretText>,
}

/// Which events are wanted; what is left out leaves everything through.
#[derive(ToSchema)]
pub struct FilterBody {
    /// Of these types.
    #[schema(max_items = 100)]
    pub types: Option<Vec<TypePattern>>,
    /// Of these tasks.
    #[schema(max_items = 100)]
    pub tasks: Option<Vec<TaskId>>,
    /// Of tasks of these queues.
    #[schema(max_items = 100)]
    pub queues: Option<Vec<QueueName>>,
    /// Of tasks of these kinds.
    #[schema(value_type = Option<Vec<Line>>)]
    pub kinds: Option<Vec<String>>,
    /// Of tasks of these groups.
    #[schema(max_items = 100)]
    pub groups: Option<Vec<GroupName>>,
    /// Of tasks of these batches.
    #[schema(max_items = 100)]
    pub batches: Option<Vec<BatchId>>,
    /// Of attempts by agents of these fleets.
    #[schema(max_items = 100)]
    pub fleets: Option<Vec<FleetName>>,
}

/// Another secret for an endpoint.
#[derive(ToSchema)]
pub struct RotateBody {
    /// The new one; made up where absent.
    pub secret: Option<SecretText>,
    /// How long the old one signs, too; a day where absent.
    #[schema(value_type = Option<Length>)]
    pub both: Option<String>,
}

/// How many deliveries are sent again.
#[derive(ToSchema)]
pub struct ReplayBody {
    /// At most so many; 1000 where absent.
    #[schema(minimum = 1, maximum = 100000)]
    pub limit: Option<u32>,
}

/// A body without fields.
#[derive(ToSchema)]
pub struct NothingBody {}

/// Why something is held back.
#[derive(ToSchema)]
pub struct ReasonBody {
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub reason: Option<String>,
}

/// Why something is held back, and for how long: until it is let go where neither is said.
#[derive(ToSchema)]
pub struct PauseBody {
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// After how long it ends by itself: `2h`.
    #[schema(value_type = Option<Length>)]
    pub r#for: Option<String>,
}

/// A key that tasks are counted by, or the beginning of such keys with a star after it, and how long its
/// tasks are held back.
#[derive(ToSchema)]
pub struct KeyPauseBody {
    /// Which; must be given.
    pub key: KeyPattern,
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// After how long it ends by itself: `10m`.
    #[schema(value_type = Option<Length>)]
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
    #[schema(value_type = Option<CountOrOff>)]
    pub concurrency: Option<Value>,
    /// How many may begin within a window, as `60/1m`; `"off"` lifts the limit.
    #[schema(value_type = Option<RateOrOff>)]
    pub rate: Option<String>,
}

/// A change of what is limited of a queue.
#[derive(ToSchema)]
pub struct QueueLimitsBody {
    /// How many of its tasks may run at once; `"off"` lifts the limit.
    #[schema(value_type = Option<CountOrOff>)]
    pub concurrency: Option<Value>,
    /// How many of its tasks may begin within a window, as `60/1m`; `"off"` lifts the limit.
    #[schema(value_type = Option<RateOrOff>)]
    pub rate: Option<String>,
    /// How many of its tasks with one key may run at once; `"off"` lifts the limit.
    #[schema(value_type = Option<CountOrOff>)]
    pub key_concurrency: Option<Value>,
    /// How many of its tasks with one key may begin within a window; `"off"` lifts the limit.
    #[schema(value_type = Option<RateOrOff>)]
    pub key_rate: Option<String>,
    /// Its share of the agents that serve other queues too, 1 to 1000.
    #[schema(minimum = 1, maximum = 1000)]
    pub weight: Option<u32>,
    /// Whether its keys take turns.
    pub fair: Option<bool>,
}

/// Until when a task is put off. One of them is given.
#[derive(ToSchema)]
#[schema(min_properties = 1, max_properties = 1)]
pub struct SnoozeBody {
    /// Until this time.
    pub until: Option<Timestamp>,
    /// For so long: `1h`.
    #[schema(value_type = Option<Length>)]
    pub r#for: Option<String>,
}

/// How many agents a fleet is to have.
#[derive(ToSchema)]
pub struct ScaleBody {
    /// So many; must be given.
    #[schema(maximum = 1000)]
    pub count: u16,
}

/// How a fleet is restarted, a few agents at a time.
#[derive(ToSchema)]
pub struct RollBody {
    /// How many may be away at once: a number, or a part such as `25%`.
    #[schema(value_type = Option<Share>)]
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
    #[schema(value_type = Option<Line>)]
    pub cron: Option<String>,
    /// The time between two due times: `15m`.
    #[schema(value_type = Option<Length>)]
    pub every: Option<String>,
    /// The time zone of the expression, by its IANA name.
    #[schema(value_type = Option<Line>)]
    pub zone: Option<String>,
    /// The queue of its tasks.
    pub queue: Option<QueueName>,
    /// The kind of its tasks.
    #[schema(value_type = Option<Line>)]
    pub kind: Option<String>,
    /// The input of its tasks.
    pub input: Option<Value>,
    /// The priority of its tasks.
    pub priority: Option<i16>,
    /// How many attempts of a task may fail before the task does.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: Option<u32>,
    /// How long one attempt may run.
    #[schema(value_type = Option<Length>)]
    pub timeout: Option<String>,
    /// How long after its due time a task must be finished.
    #[schema(value_type = Option<Length>)]
    pub deadline: Option<String>,
    /// How long an agent may be silent at a task; its fleet's limit where absent.
    #[schema(value_type = Option<Length>)]
    pub stale_after: Option<String>,
    /// What happens at a due time while a task of it is not finished.
    pub overlap: Option<Overlap>,
    /// What happens about due times at which no host ran.
    pub catch_up: Option<CatchUp>,
    /// Of how many of these, at the most.
    pub catch_up_max: Option<u32>,
    /// Made paused.
    pub paused: Option<bool>,
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub description: Option<String>,
}

/// An API key that is wanted.
#[derive(ToSchema)]
pub struct ApiKeyBody {
    /// What it is for.
    #[schema(value_type = Option<Line>)]
    pub name: Option<String>,
    /// What it allows; must be given.
    #[schema(min_items = 1)]
    pub scopes: Vec<Scope>,
    /// Limit it to these fleets.
    pub fleets: Option<Vec<FleetName>>,
    /// Limit it to these queues.
    pub queues: Option<Vec<QueueName>>,
    /// How often it may ask, as `60/1m`.
    #[schema(value_type = Option<RateOrOff>)]
    pub rate: Option<String>,
    /// When it ends: a time, or a duration from now.
    #[schema(value_type = Option<Moment>)]
    pub expires: Option<String>,
}

/// Which tasks of plans are asked about.
#[derive(ToSchema)]
pub struct HistoryBody {
    /// Their names in their plans.
    pub tasks: Option<Vec<PlanTaskId>>,
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
    #[schema(value_type = Option<Line>)]
    pub message: Option<String>,
}
