//! The shapes of requests and answers: the wire contract, beside [`crate::domain::record`].
//!
//! `docs/HTTP.md` describes them; the command line reads and writes the same types.

mod bodies;
mod plans;
mod session_bodies;
mod words;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    BatchId, GroupName, HostId, QueueName, TaskId,
    admission::{Label, LockUse, PathUse},
    batch::BatchRecord,
    bulk::BulkRecord,
    delivery::{EndpointRecord, target::Target},
    graph::DependencyPolicy,
    plan::Merge,
    record::{AdoptionRecord, UpgradeRecord},
    task::{FailureClass, TaskState},
    unique::{KeyPart, OnConflict},
    upgrade::Plan,
    workspace::Resolver,
};

pub use bodies::*;
pub use plans::{RunBody, RunPreview, RunSubmitted, TaskPreview};
pub use session_bodies::*;
pub use words::*;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The header that names a request in answers and in the log.
pub const REQUEST_ID: &str = "x-request-id";

/// The header that makes a submit safe to send twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// An error, after RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Which kind of error: `urn:hostler:problem:<word>`. Stable; programs decide by it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every error of the kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and where there is one, what to do.
    pub detail: String,
    /// Each field that is wrong; empty where the error is not about fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where it is: `priority`, `tasks[3].input.prompt`.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// One task of a submit, as a client writes it; everything may be left out.
///
/// The server reads the body field by field, to name every mistake at once; this type is for
/// clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TaskBody {
    /// The queue; `default` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<QueueName>)]
    pub queue: Option<String>,
    /// The kind; `task` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub kind: Option<String>,
    /// The input.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Higher runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// Not before this time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Not before so much time has passed: `90s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Length>)]
    pub delay: Option<String>,
    /// How many attempts may fail before the task does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: Option<u32>,
    /// It fails if it is not finished by then: a time, or a duration from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    pub deadline: Option<String>,
    /// How failed attempts are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RetryBody>)]
    pub retry: Option<Map<String, Value>>,
    /// How long one attempt may run: `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Length>)]
    pub timeout: Option<String>,
    /// How long its agent may show no life: `30m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Length>)]
    pub stale_after: Option<String>,
    /// A second submit with the same key is the same task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub idempotency_key: Option<String>,
    /// The locks that it needs while it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<LockBody>, max_items = 64)]
    pub locks: Vec<LockUse>,
    /// The files that it needs while it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<PathBody>, max_items = 64)]
    pub paths: Vec<PathUse>,
    /// The keys that it counts for while it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub keys: Vec<Label>,
    /// What other tasks of the submit call it.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub reference: Option<String>,
    /// The tasks that it waits for, by their `ref` or their id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Line>)]
    pub depends_on: Vec<String>,
    /// What becomes of it when one of these fails: `cancel` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_dependency_failure: Option<DependencyPolicy>,
    /// Whether its input is a template over their results.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub template: bool,
    /// It is to be the only one of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<UniqueBody>,
    /// The group that it is counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The open batch that it is added to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// What its attempts work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceBody>,
    /// The address that is told of its end, by a signed webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<Target>,
}

/// A workspace, as a client writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkspaceBody {
    /// The absolute path of a directory of the repository.
    #[schema(pattern = "^/.*$")]
    pub git: String,
    /// What the branch begins at; `main` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The name of the branch; `hostler/{task}` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What becomes of it: `leave` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Merge>)]
    pub merge: Option<String>,
    /// The branch that it is merged into; the base where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Who resolves conflicts: `agent` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<Resolver>,
}

/// A conflict that a person has resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Resolved {
    /// The task that stood for it.
    pub task: TaskId,
    /// The commit by which it is merged.
    pub commit: String,
}

/// That there is to be one task only, as a client writes it. One of `key` and `by` is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct UniqueBody {
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub key: Option<String>,
    /// What the key is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub by: Vec<KeyPart>,
    /// How long after its submit a task is in the way: `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Length>)]
    pub window: Option<String>,
    /// In which states it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub states: Vec<TaskState>,
    /// What happens if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Several tasks in one submit.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TasksBody {
    /// The tasks; all of them are taken, or none.
    #[schema(value_type = Vec<TaskBody>, min_items = 1)]
    pub tasks: Vec<Map<String, Value>>,
}

/// The answer to a submit of several tasks, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SubmittedMany {
    /// One answer per task.
    pub items: Vec<crate::domain::record::Submitted>,
    /// How many of them this submit made; the others were there already.
    pub created: usize,
}

/// A batch in a submit, as a client writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BatchBody {
    /// Its first tasks.
    #[schema(value_type = Vec<TaskBody>, required = false)]
    pub tasks: Vec<Map<String, Value>>,
    /// Whether more are to be added.
    #[schema(required = false)]
    pub open: bool,
    /// A second submit with the same key is the same batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub idempotency_key: Option<String>,
    /// The task that is submitted once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CallbackBody>)]
    pub on_complete: Option<Value>,
    /// The one if all of its tasks are completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CallbackBody>)]
    pub on_success: Option<Value>,
    /// The one if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CallbackBody>)]
    pub on_failure: Option<Value>,
}

/// The answer to a submit of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchSubmitted {
    /// The batch: the one that was there already, if its key was.
    #[serde(flatten)]
    pub batch: BatchRecord,
    /// Whether this submit made it.
    pub created: bool,
    /// One answer per task; none if the batch was there already.
    pub items: Vec<crate::domain::record::Submitted>,
}

/// The answer to calling a batch off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchCancelled {
    /// The batch.
    pub batch: BatchRecord,
    /// What was done to its tasks.
    #[serde(flatten)]
    pub done: BulkRecord,
}

/// Many tasks and what is done to them, as a client writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BulkBody {
    /// Of these tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub tasks: Vec<TaskId>,
    /// In this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
    /// Of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub kind: Option<String>,
    /// In any of these states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub states: Vec<TaskState>,
    /// In this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Of this batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// Whose newest failure is of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// Submitted at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
    /// Submitted before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Timestamp>,
    /// Whether those that were discarded are meant, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(ignore)]
    pub discarded: bool,
    /// Every one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub limit: Option<u64>,
    /// Go on after an answer: its `next_cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^tsk_[0-9a-f]{32}[.][0-9]{1,9}$")]
    pub cursor: Option<String>,
    /// Only count them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// A redrive: into this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub to: Option<QueueName>,
    /// A redrive: no more in a time than this: `10/s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub rate: Option<String>,
    /// A discard: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub reason: Option<String>,
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedAnswer {
    /// What happened, in its order.
    pub items: Vec<crate::domain::record::FeedItem>,
    /// Ask with this as `after` for what follows.
    pub next: String,
}

/// A listing that fits into one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// What there is.
    pub items: Vec<T>,
}

/// An endpoint of webhooks that was made or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointAnswer {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: EndpointRecord,
    /// Its secret, if that was made just now: it is told once.
    pub secret: Option<String>,
}

/// How many deliveries are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replayed {
    /// So many.
    pub replayed: u64,
}

/// What the host is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostRecord {
    /// Its id: a new one at each start.
    pub id: HostId,
    /// Its name in listings.
    pub name: String,
    /// The version of Hostler that runs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// How long ago that is, in milliseconds.
    pub uptime_ms: u64,
    /// The most tasks in one submit.
    pub max_batch: u32,
    /// The program whose place it took, if it did.
    pub upgrade: Option<UpgradeRecord>,
    /// What became of the processes of the host before it.
    pub adoption: AdoptionRecord,
}

/// The answer to an upgrade: it begins now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeStarted {
    /// The host that hands over.
    pub host: HostId,
    /// What is going to happen.
    #[serde(flatten)]
    pub plan: Plan,
}

/// Whether the host can work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Whether everything is ready.
    pub ready: bool,
    /// Each part.
    pub checks: Vec<ReadyCheck>,
}

/// Whether one part of the host is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReadyCheck {
    /// Which part: `queue` (Postgres answers, the lease is held), `supervisor`.
    pub name: String,
    /// Whether it is.
    pub ready: bool,
    /// What is not ready.
    pub detail: Option<String>,
}

/// That the host answers at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alive {
    /// Always true: no answer is the other answer.
    pub alive: bool,
}
