//! `task_command`: a command for an agent, and its end for a caller who waits.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::answer::Told;
use crate::{
    http::{State, caller::Caller},
    sessions::{CommandEnd, Commanded, SessionError, TaskCommand},
};

/// Carries out a command; the status, the body, and what went wrong behind it. `tell` tells the relay.
pub(super) async fn carry_out(
    state: &State,
    caller: &Caller,
    command: TaskCommand,
    sync: bool,
    tell: &impl Fn(bool),
) -> (StatusCode, Value, Option<String>) {
    let asked_for = command.name.clone();
    match attempt(state, caller, command, sync, tell).await {
        Ok((status, body)) => (status, body, None),
        Err(error) => {
            let told = Told::failed(error);
            let said = told.data.err().unwrap_or_default();
            let body = json!({ "status": "error", "task_id": asked_for, "error": said });
            (told.status, body, told.cause)
        }
    }
}

async fn attempt(
    state: &State,
    caller: &Caller,
    command: TaskCommand,
    sync: bool,
    tell: &impl Fn(bool),
) -> Result<(StatusCode, Value), SessionError> {
    let commanded = state.sessions.task_command(&caller.grants, command).await?;
    if !sync {
        tell(false);
        if commanded.created {
            let body = json!({
                "status": "received", "task_id": commanded.name, "task": commanded.task,
            });
            return Ok((StatusCode::ACCEPTED, body));
        }
        // Seen before: it is not run twice, its state is told.
        let end = state.sessions.command_stands(commanded.task).await?;
        return Ok((StatusCode::OK, body_of(&commanded, &end)));
    }
    let name = commanded.name.as_str();
    let mut answered = state.relay.wait(name, commanded.task);
    tell(true);
    let end = tokio::select! {
        end = state.sessions.command_ended(commanded.task) => end,
        Some(end) = answered.answer() => Ok(end),
        () = state.closing.closed() => state.sessions.command_stands(commanded.task).await,
    };
    drop(answered);
    let end = end?;
    if end.ended {
        return Ok((StatusCode::OK, body_of(&commanded, &end)));
    }
    let mut body = body_of(&commanded, &end);
    body["status"] = json!("timeout");
    body["error"] = json!("it has not ended yet; it goes on, ask again with the same task_id");
    Ok((StatusCode::GATEWAY_TIMEOUT, body))
}

fn body_of(commanded: &Commanded, end: &CommandEnd) -> Value {
    let mut body = json!({
        "status": end.status,
        "task_id": commanded.name,
        "task": commanded.task,
        "created": commanded.created,
    });
    if end.ended {
        body["output"] = end.output.clone();
        body["error"] = json!(end.error);
        body["execution_time_ms"] = json!(end.execution_ms);
    }
    body
}
