//! The notifications of a worker: what it tells without being asked.
//!
//! Nothing a worker tells here can fail its task. What can't be used is ignored, with the reason.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::session::Received;
use crate::{
    domain::{Attempt, TaskId},
    protocol::excerpt::{excerpt, shorten},
};

/// The most bytes of the params of one `task/progress`; more is ignored.
pub const MAX_PROGRESS: usize = 64 * 1024;

/// The most bytes of one `task/log` message; the rest is cut off.
pub const MAX_LOG: usize = 16 * 1024;

/// The longest time that an agent may give a tool call.
pub(super) const MAX_TOOL: Duration = Duration::from_secs(24 * 60 * 60);

/// The most bytes of an artifact's name, type and path.
pub const MAX_NAME: usize = 1024;

/// How much a log line of an agent matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `trace` or `debug`.
    Debug,
    /// `info`, and whatever is no level.
    #[default]
    Info,
    /// `warn` or `warning`.
    Warn,
    /// `error`, `fatal` or `critical`.
    Error,
}

impl LogLevel {
    /// The word in an agent's own log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "trace" | "debug" => Self::Debug,
            "warn" | "warning" => Self::Warn,
            "error" | "fatal" | "critical" => Self::Error,
            _ => Self::Info,
        }
    }
}

/// Something a task made besides its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// What it is called; not empty.
    pub name: String,
    /// What it is, as a media type; `application/octet-stream` where the agent does not say.
    pub media_type: String,
    /// Where it is.
    pub body: ArtifactBody,
}

/// Where an artifact is.
#[derive(Debug, Clone, PartialEq)]
pub enum ArtifactBody {
    /// In the message: text as a JSON string, or any other JSON.
    Content(Value),
    /// In a file, as the agent names it. Nobody has looked whether it is there.
    Path(String),
}

/// Which attempt a notification is about.
#[derive(Deserialize)]
struct About {
    task_id: TaskId,
    attempt: Attempt,
}

#[derive(Deserialize)]
struct LogParams<'a> {
    #[serde(borrow, default)]
    level: Option<Cow<'a, str>>,
    message: Value,
}

#[derive(Deserialize)]
struct ArtifactParams {
    name: String,
    #[serde(rename = "type", default)]
    media_type: Option<String>,
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToolState {
    Open,
    Closed,
}

#[derive(Deserialize)]
struct ToolParams {
    id: String,
    state: ToolState,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// What a notification means while `current` is under way.
pub(super) fn read(
    method: &str,
    params: Option<&RawValue>,
    current: Option<(TaskId, Attempt)>,
) -> Received {
    let meaning = match method {
        "heartbeat" => Ok(Received::Heartbeat),
        "task/log" => log(params),
        "task/progress" => about(params, current).and_then(progress),
        "task/tool" => about(params, current).and_then(tool),
        "task/artifact" => about(params, current).and_then(artifact),
        other => Err(format!("there is no notification `{}`", excerpt(other.as_bytes()))),
    };
    meaning.unwrap_or_else(|why| Received::Ignored { why })
}

/// The params, as an object.
fn object(params: Option<&RawValue>) -> Result<&RawValue, String> {
    params
        .filter(|params| params.get().starts_with('{'))
        .ok_or_else(|| "its params are no object".to_owned())
}

/// The params, if they are about the attempt that is under way.
fn about(
    params: Option<&RawValue>,
    current: Option<(TaskId, Attempt)>,
) -> Result<&RawValue, String> {
    let params = object(params)?;
    let about: About = serde_json::from_str(params.get()).map_err(|error| error.to_string())?;
    match current {
        Some(current) if current == (about.task_id, about.attempt) => Ok(params),
        Some((task, attempt)) => Err(format!(
            "it is about attempt {} of {}; under way is attempt {attempt} of {task}",
            about.attempt, about.task_id
        )),
        None => Err(format!(
            "it is about attempt {} of {}; nothing is under way",
            about.attempt, about.task_id
        )),
    }
}

fn progress(params: &RawValue) -> Result<Received, String> {
    let size = params.get().len();
    if size > MAX_PROGRESS {
        return Err(format!("its params have {size} bytes; the limit is {MAX_PROGRESS}"));
    }
    let mut told: Map<String, Value> =
        serde_json::from_str(params.get()).map_err(|error| error.to_string())?;
    told.remove("task_id");
    told.remove("attempt");
    Ok(Received::Progress(Value::Object(told)))
}

fn log(params: Option<&RawValue>) -> Result<Received, String> {
    let params: LogParams<'_> =
        serde_json::from_str(object(params)?.get()).map_err(|error| error.to_string())?;
    let level = params.level.as_deref().map_or_else(LogLevel::default, LogLevel::of);
    let message = match &params.message {
        Value::String(text) => shorten(text, MAX_LOG),
        other => shorten(&other.to_string(), MAX_LOG),
    };
    Ok(Received::Log { level, message })
}

fn tool(params: &RawValue) -> Result<Received, String> {
    let ToolParams { id, state, timeout_ms } =
        serde_json::from_str(params.get()).map_err(|error| error.to_string())?;
    if id.is_empty() || id.len() > MAX_NAME {
        return Err(format!("its `id` must have 1 to {MAX_NAME} bytes"));
    }
    let limit = timeout_ms.map(|ms| Duration::from_millis(ms).min(MAX_TOOL));
    Ok(match state {
        ToolState::Open => Received::ToolOpened { id, limit },
        ToolState::Closed => Received::ToolClosed { id },
    })
}

fn artifact(params: &RawValue) -> Result<Received, String> {
    let params: ArtifactParams =
        serde_json::from_str(params.get()).map_err(|error| error.to_string())?;
    let media_type = params.media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let path = params.path.as_deref().unwrap_or_default();
    for (field, text) in [("name", &*params.name), ("type", &*media_type), ("path", path)] {
        if text.len() > MAX_NAME {
            return Err(format!("its `{field}` has {} bytes; the limit is {MAX_NAME}", text.len()));
        }
    }
    if params.name.is_empty() {
        return Err("its `name` is empty".to_owned());
    }
    let body = match (params.content, params.path) {
        (Some(content), None) => ArtifactBody::Content(content),
        (None, Some(path)) if !path.is_empty() => ArtifactBody::Path(path),
        _ => return Err("it needs `content` or `path`, and not both".to_owned()),
    };
    Ok(Received::Artifact(Artifact { name: params.name, media_type, body }))
}
