//! Long work as tasks of MCP: they are tasks of the queue, under the same ids.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    State, complete,
    message::{Call, Era, RpcError},
    progress::Teller,
};
use crate::{
    domain::{
        TaskId,
        access::{About, Scope},
        record::{TaskFilter, TaskRecord},
        task::TaskState,
    },
    http::{caller::Caller, error::ApiError, gate, tasks::settled},
};

/// The extension of 2026-07-28.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// How often a client should ask, in milliseconds.
const POLL_MS: u64 = 1_000;

/// How many tasks a page has.
const PAGE: u32 = 50;

/// The status of a task in the words of MCP.
const fn status(state: TaskState, era: Era) -> &'static str {
    match (state, era) {
        // By the newer rules a tool that reports an error has done its work.
        (TaskState::Completed, _) | (TaskState::Failed, Era::Stateless) => "completed",
        (TaskState::Failed, Era::Session) => "failed",
        (TaskState::Cancelled, _) => "cancelled",
        _ => "working",
    }
}

/// A task of the queue as one of MCP.
fn told(task: &TaskRecord, era: Era) -> Value {
    let newest = task.finished_at.or(task.started_at).unwrap_or(task.created_at);
    let message = match (&task.error, task.state) {
        (Some(error), TaskState::Failed) => error.message.clone(),
        (_, state) => format!("the task is {state}"),
    };
    let mut told = json!({
        "taskId": task.id,
        "status": status(task.state, era),
        "statusMessage": message,
        "createdAt": task.created_at,
        "lastUpdatedAt": newest,
    });
    if let Some(fields) = told.as_object_mut() {
        let (ttl, poll) = match era {
            Era::Session => ("ttl", "pollInterval"),
            Era::Stateless => ("ttlMs", "pollIntervalMs"),
        };
        fields.insert(ttl.to_owned(), Value::Null);
        fields.insert(poll.to_owned(), json!(POLL_MS));
    }
    told
}

/// What a tool answers that made this task and is to be asked about it later.
pub(super) fn made(task: &TaskRecord, era: Era) -> Value {
    let mut task = told(task, era);
    match era {
        Era::Session => json!({ "task": task }),
        Era::Stateless => {
            if let Some(fields) = task.as_object_mut() {
                fields.insert("resultType".to_owned(), json!("task"));
            }
            task
        }
    }
}

/// The result of the tool that made a task which has ended.
fn outcome(task: &TaskRecord) -> Value {
    super::tools::shown(json!(task), task.state != TaskState::Completed)
}

pub(super) async fn get(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let task = find(state, (caller, Scope::Read), call).await?;
    let mut value = told(&task, call.era);
    if let (Era::Stateless, Some(fields)) = (call.era, value.as_object_mut())
        && matches!(task.state, TaskState::Completed | TaskState::Failed)
    {
        fields.insert("result".to_owned(), outcome(&task));
    }
    Ok(complete(call, value, None))
}

/// Waits for the end, for as long as a request may.
pub(super) async fn result(
    state: &State,
    caller: &Caller,
    call: &Call,
    teller: &Teller,
) -> Result<Value, RpcError> {
    let task = find(state, (caller, Scope::Read), call).await?;
    let limit = state.settings.max_wait;
    let task = teller.settled(state, task.id, limit).await.map_err(failed)?;
    if !task.state.is_final() {
        let what = format!("task {} is {} still: ask again", task.id, task.state);
        return Err(RpcError::internal(what));
    }
    let mut value = outcome(&task);
    if let Some(fields) = value.as_object_mut() {
        let related = json!({ "io.modelcontextprotocol/related-task": { "taskId": task.id } });
        fields.insert("_meta".to_owned(), related);
    }
    Ok(value)
}

pub(super) async fn cancel(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let task = find(state, (caller, Scope::Control), call).await?;
    if task.state.is_final() && call.era == Era::Session {
        return Err(RpcError::params(format!("task {} is {} already", task.id, task.state)));
    }
    let task = match task.state.is_final() {
        true => task,
        false => state.queue.cancel(task.id).await.map_err(|error| failed(error.into()))?,
    };
    Ok(match call.era {
        Era::Session => told(&task, call.era),
        Era::Stateless => complete(call, json!({}), None),
    })
}

/// Takes answers for a task. None of ours asks anything, so there is nothing to do with them.
pub(super) async fn update(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    find(state, (caller, Scope::Submit), call).await?;
    Ok(complete(call, json!({}), None))
}

pub(super) async fn list(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    caller.may(Scope::Read, About::Host).map_err(failed)?;
    let cursor = call.params.get("cursor").and_then(Value::as_str);
    let before = cursor.map(|text| text.parse().map_err(|_| RpcError::params("`cursor` is none")));
    let filter = TaskFilter { limit: PAGE, before: before.transpose()?, ..TaskFilter::default() };
    let page = state.queue.list(filter).await.map_err(|error| failed(error.into()))?;
    let tasks: Vec<_> = page.items.iter().map(|task| told(task, call.era)).collect();
    let mut value = json!({ "tasks": tasks });
    if let (Some(fields), Some(next)) = (value.as_object_mut(), page.next_cursor) {
        fields.insert("nextCursor".to_owned(), json!(next));
    }
    Ok(value)
}

/// The task of a call, if the caller may do this to it.
async fn find(
    state: &State,
    (caller, scope): (&Caller, Scope),
    call: &Call,
) -> Result<TaskRecord, RpcError> {
    let text = call.text("taskId")?;
    let id: TaskId =
        text.parse().map_err(|_| RpcError::params("`taskId` is no id of a task, `tsk_…`"))?;
    gate::may_task(state, caller, scope, id).await.map_err(failed)?;
    settled(state, id, Duration::ZERO).await.map_err(failed)
}

fn failed(error: ApiError) -> RpcError {
    let problem = error.problem();
    if problem.status >= 500 {
        return RpcError::internal(problem.detail);
    }
    RpcError::params(problem.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_status() {
        for state in TaskState::ALL {
            for era in [Era::Session, Era::Stateless] {
                let word = status(state, era);
                assert_eq!(word == "working", !state.is_final(), "{state}");
            }
        }
        assert_eq!(status(TaskState::Failed, Era::Session), "failed");
        assert_eq!(status(TaskState::Failed, Era::Stateless), "completed");
    }
}
