//! The tools. Each reads its arguments as strictly as the API does, and does what the API does.

mod host;
mod sessions;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    State, complete,
    message::{Call, Era, RpcError},
    progress::Teller,
    table::{self, Tool},
    tasks, value, value_of,
};
use crate::{
    domain::{
        TaskId,
        access::{About, Scope},
        record::{Submitted, TaskRecord},
        session::SessionId,
    },
    http::{
        api::FieldError,
        caller::Caller,
        error::ApiError,
        fields::{self, Fields},
        journal,
        tasks::{self as api_tasks, settled},
    },
};

pub(super) use host::{agents, fleets, queues};

/// The longest wait that can be asked for, in seconds; the host may give less.
const MAX_WAIT: i64 = 600;

/// All tools, as a client is told of them.
pub(super) fn list(era: Era) -> Vec<Value> {
    let told = |tool: &Tool| {
        let properties: Value = serde_json::from_str(tool.arguments).unwrap_or_default();
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": tool.required,
            "additionalProperties": false,
        });
        let mut told = json!({
            "name": tool.name,
            "title": tool.title,
            "description": tool.what,
            "inputSchema": schema,
            "annotations": {
                "readOnlyHint": tool.reads,
                "destructiveHint": tool.scope == Scope::Control,
                "openWorldHint": false,
            },
        });
        if let (Era::Session, true, Some(fields)) = (era, tool.long, told.as_object_mut()) {
            fields.insert("execution".to_owned(), json!({ "taskSupport": "optional" }));
        }
        told
    };
    table::all().map(told).collect()
}

/// Whether a tool of this name changes something.
pub(super) fn changes(name: &str) -> bool {
    table::find(name).is_some_and(|tool| !tool.reads)
}

/// Calls a tool. What is wrong with its arguments, or can't be done, is told to the model.
pub(super) async fn call(
    state: &State,
    caller: &Caller,
    call: &Call,
    teller: &Teller,
) -> Result<Value, RpcError> {
    let name = call.text("name")?;
    let Some(tool) = table::find(name) else {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(RpcError::params(format!("there is no tool `{shown}`")));
    };
    let arguments = match call.params.get("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(RpcError::params("`arguments` must be an object")),
    };
    let wants_task = wants_task(call);
    if wants_task && !tool.long && call.era == Era::Session {
        return Err(RpcError::params(format!(
            "`{name}` is no tool for long work: call it as it is"
        )));
    }
    let session = arguments.get("session_id").and_then(Value::as_str);
    let session: Option<SessionId> = session.and_then(|session| session.parse().ok());
    let said = if wants_task && tool.long {
        let given = delegated(state, caller, tool, arguments).await;
        given.map(|task| tasks::made(&task, call.era))
    } else {
        let done = run(state, caller, tool, arguments, teller).await;
        done.map(|value| complete(call, shown(value, false), None))
    };
    journal::called(state, caller, tool.name, session.as_ref(), said.as_ref().err());
    Ok(said.unwrap_or_else(|error| complete(call, refused(&error), None)))
}

/// Whether a call of a tool for long work is to be answered by the task, to be asked about later.
pub(super) fn wants_task(call: &Call) -> bool {
    let waits = || call.params.get("arguments").is_some_and(|all| all.get("wait").is_some());
    match call.era {
        Era::Session => call.params.contains_key("task"),
        // Whoever waits would rather ask later, if it can.
        Era::Stateless => call.knows(tasks::EXTENSION) && waits(),
    }
}

/// What a tool says: as text for the model, and as it is for programs.
pub(super) fn shown(value: Value, is_error: bool) -> Value {
    let text = value.to_string();
    let content = json!([{ "type": "text", "text": text }]);
    json!({ "content": content, "structuredContent": value, "isError": is_error })
}

fn refused(error: &ApiError) -> Value {
    shown(json!(error.problem()), true)
}

async fn run(
    state: &State,
    caller: &Caller,
    tool: &Tool,
    arguments: Map<String, Value>,
    teller: &Teller,
) -> Result<Value, ApiError> {
    caller.may(tool.scope, About::Nothing)?;
    if tool.name == "delegate_task" {
        return Ok(delegate(state, caller, arguments, Some(teller)).await?.1);
    }
    if table::is_of_sessions(tool) {
        return sessions::run(state, caller, tool, arguments, teller).await;
    }
    host::run(state, caller, tool.name, arguments, teller).await
}

/// Submits the task that `arguments` describe, in the words of the API; its id, and what is told of it
/// after the wait that it asks for, if it is to be waited for; `teller` is told of that.
async fn delegate(
    state: &State,
    caller: &Caller,
    mut arguments: Map<String, Value>,
    teller: Option<&Teller>,
) -> Result<(TaskId, Value), ApiError> {
    let wait = wait_of(&mut arguments)?;
    let answer =
        value_of(api_tasks::take(state, caller, Value::Object(arguments), None, None).await)
            .await?;
    let made: Submitted = serde_json::from_value(answer.clone())
        .map_err(|error| ApiError::fault(format!("a submit was answered oddly: {error}")))?;
    let Some((wait, teller)) = wait.zip(teller) else { return Ok((made.id, answer)) };
    let task = settled(state, made.id, Duration::ZERO).await?;
    // A key of a submit finds its task in whichever queue that is.
    caller.may(Scope::Submit, About::Queue(&task.queue))?;
    let wait = wait.min(state.settings.max_wait);
    let task = teller.settled(state, made.id, wait).await?;
    Ok((made.id, value(&task)?))
}

/// The task that a tool for long work made, or found by its key, if it may be told of.
async fn delegated(
    state: &State,
    caller: &Caller,
    tool: &Tool,
    arguments: Map<String, Value>,
) -> Result<TaskRecord, ApiError> {
    caller.may(tool.scope, About::Nothing)?;
    let id = if table::is_of_sessions(tool) {
        sessions::delegated(state, caller, tool, arguments).await?
    } else {
        delegate(state, caller, arguments, None).await?.0
    };
    let task = settled(state, id, Duration::ZERO).await?;
    caller.may(Scope::Submit, About::Queue(&task.queue))?;
    Ok(task)
}

/// Takes `wait` out of arguments: how long to wait for a result, if at all.
fn wait_of(arguments: &mut Map<String, Value>) -> Result<Option<Duration>, ApiError> {
    let wait = arguments.remove("wait").map(|wait| ("wait".to_owned(), wait));
    let seconds = read(wait.into_iter().collect(), |fields| fields.integer("wait", 0..=MAX_WAIT))?;
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// Reads arguments, and refuses any that the tool does not know.
fn read<T>(
    arguments: Map<String, Value>,
    take: impl FnOnce(&mut Fields<'_>) -> T,
) -> Result<T, ApiError> {
    fields::read(arguments, take).map_err(ApiError::invalid)
}

fn needed<T>(name: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| {
        let (field, detail) = (name.to_owned(), "is missing".to_owned());
        ApiError::invalid(vec![FieldError { field, detail }])
    })
}

/// Reads the arguments of a call of a tool for sessions.
#[cfg(fuzzing)]
pub(super) fn fuzzed(call: &Call) {
    let tool = call.text("name").ok().and_then(table::find);
    if let Some(word) = tool.and_then(|tool| tool.word) {
        drop(sessions::command(word, super::object(&call.params, "arguments")));
    }
}

#[cfg(test)]
mod tests;
