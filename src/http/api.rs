//! The shapes of requests and answers: the wire contract, beside [`crate::domain::record`].
//!
//! `docs/HTTP.md` describes them; the command line reads and writes the same types.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    HostId,
    graph::DependencyPolicy,
    task::TaskState,
    unique::{KeyPart, OnConflict},
};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The header that names a request in answers and in the log.
pub const REQUEST_ID: &str = "x-request-id";

/// The header that makes a submit safe to send twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// An error, after RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TaskBody {
    /// The queue; `default` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The kind; `task` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    pub delay: Option<String>,
    /// How many attempts may fail before the task does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// How failed attempts are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Map<String, Value>>,
    /// How long one attempt may run: `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// A second submit with the same key is the same task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What other tasks of the submit call it.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The tasks that it waits for, by their `ref` or their id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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
}

/// That there is to be one task only, as a client writes it. One of `key` and `by` is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UniqueBody {
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the key is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<KeyPart>,
    /// How long after its submit a task is in the way: `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// In which states it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<TaskState>,
    /// What happens if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Several tasks in one submit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TasksBody {
    /// The tasks; all of them are taken, or none.
    pub tasks: Vec<Map<String, Value>>,
}

/// The answer to a submit of several tasks, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubmittedMany {
    /// One answer per task.
    pub items: Vec<crate::domain::record::Submitted>,
    /// How many of them this submit made; the others were there already.
    pub created: usize,
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedAnswer {
    /// What happened, in its order.
    pub items: Vec<crate::domain::record::FeedEvent>,
    /// Ask with this as `after` for what follows.
    pub next: String,
}

/// A listing that fits into one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// What there is.
    pub items: Vec<T>,
}

/// What the host is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// Whether the host can work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether everything is ready.
    pub ready: bool,
    /// Each part.
    pub checks: Vec<ReadyCheck>,
}

/// Whether one part of the host is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyCheck {
    /// Which part: `queue` (Postgres answers, the lease is held), `supervisor`.
    pub name: String,
    /// Whether it is.
    pub ready: bool,
    /// What is not ready.
    pub detail: Option<String>,
}

/// That the host answers at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Always true: no answer is the other answer.
    pub alive: bool,
}
