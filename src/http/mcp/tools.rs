//! The tools. Each reads its arguments as strictly as the API does, and does what the API does.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    State, complete,
    message::{Call, Era, RpcError},
    table::{TOOLS, Tool},
    tasks, value, value_of,
};
use crate::{
    domain::{
        AgentName, PlanRunId, TaskId,
        access::{About, Scope},
        record::{Submitted, TaskFilter, TaskRecord},
        task::TaskState,
    },
    http::{
        api::FieldError,
        caller::Caller,
        error::ApiError,
        fields::{self, Fields},
        gate, plans,
        tasks::{self as api_tasks, settled},
    },
    supervisor::Command,
};

/// How many tasks a listing has, unless it is said, and at most.
const LISTED: i64 = 20;
const MAX_LISTED: i64 = 200;

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
            "annotations": { "readOnlyHint": tool.reads, "openWorldHint": false },
        });
        if let (Era::Session, true, Some(fields)) = (era, tool.long, told.as_object_mut()) {
            fields.insert("execution".to_owned(), json!({ "taskSupport": "optional" }));
        }
        told
    };
    TOOLS.iter().map(told).collect()
}

/// Calls a tool. What is wrong with its arguments, or can't be done, is told to the model.
pub(super) async fn call(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let name = call.text("name")?;
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(RpcError::params(format!("there is no tool `{shown}`")));
    };
    let arguments = match call.params.get("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(RpcError::params("`arguments` must be an object")),
    };
    let wants_task = match call.era {
        Era::Session => call.params.contains_key("task"),
        // Whoever waits would rather ask later, if it can.
        Era::Stateless => call.knows(tasks::EXTENSION) && arguments.contains_key("wait"),
    };
    if wants_task && !tool.long && call.era == Era::Session {
        return Err(RpcError::params(format!(
            "`{name}` is no tool for long work: call it as it is"
        )));
    }
    if wants_task && tool.long {
        return match delegate(state, caller, arguments, false).await {
            Ok((id, _)) => match delegated(state, caller, id).await {
                Ok(task) => Ok(tasks::made(&task, call.era)),
                Err(error) => Ok(complete(call, refused(&error), None)),
            },
            Err(error) => Ok(complete(call, refused(&error), None)),
        };
    }
    let result = match run(state, caller, name, arguments).await {
        Ok(value) => shown(value, false),
        Err(error) => refused(&error),
    };
    Ok(complete(call, result, None))
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
    name: &str,
    arguments: Map<String, Value>,
) -> Result<Value, ApiError> {
    match name {
        "delegate_task" => {
            let (_, answer) = delegate(state, caller, arguments, true).await?;
            Ok(answer)
        }
        "wait_task" => {
            let (id, seconds) = read(arguments, |fields| {
                (fields.parsed::<TaskId>("task"), fields.integer("seconds", 1..=MAX_WAIT))
            })?;
            let wait = seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30);
            let wait = Duration::from_secs(wait).min(state.settings.max_wait);
            let id = needed("task", id)?;
            gate::may_task(state, caller, Scope::Read, id).await?;
            value(&settled(state, id, wait).await?)
        }
        "task_status" => {
            let id = task(arguments)?;
            gate::may_task(state, caller, Scope::Read, id).await?;
            value(&settled(state, id, Duration::ZERO).await?)
        }
        "cancel_task" => {
            let id = task(arguments)?;
            gate::may_task(state, caller, Scope::Control, id).await?;
            value(&state.queue.cancel(id).await?)
        }
        "retry_task" => {
            let id = task(arguments)?;
            gate::may_task(state, caller, Scope::Control, id).await?;
            value(&state.queue.retry(id).await?)
        }
        "list_tasks" => {
            let filter = read(arguments, |fields| TaskFilter {
                states: fields.list::<TaskState>("state", 10).unwrap_or_default(),
                queue: fields.parsed("queue"),
                limit: fields
                    .integer("limit", 1..=MAX_LISTED)
                    .and_then(|limit| u32::try_from(limit).ok())
                    .unwrap_or(LISTED as u32),
                ..TaskFilter::default()
            })?;
            caller.may(Scope::Read, filter.queue.as_ref().map_or(About::Host, About::Queue))?;
            value(&state.queue.list(filter).await?)
        }
        "list_fleets" => {
            read(arguments, |_| ())?;
            fleets(state, caller).await
        }
        "list_agents" => {
            read(arguments, |_| ())?;
            agents(state, caller).await
        }
        "restart_agent" => {
            let agent = read(arguments, |fields| fields.parsed::<AgentName>("agent"))?;
            let agent = needed("agent", agent)?;
            let fleet = agent.fleet();
            caller.may(Scope::Control, fleet.as_ref().map_or(About::Host, About::Fleet))?;
            value(&state.supervisor.command(agent, Command::Restart).await?)
        }
        "list_queues" => {
            read(arguments, |_| ())?;
            queues(state, caller).await
        }
        "check_plan" => {
            caller.may(Scope::Read, About::Nothing)?;
            plans::check(arguments).map_err(ApiError::invalid)
        }
        "analyze_plan" | "run_plan" => {
            caller.may(Scope::Submit, About::Host)?;
            let mut body = arguments;
            if name == "analyze_plan" {
                body.insert("dry_run".to_owned(), json!(true));
            } else if body.contains_key("dry_run") {
                let detail = "is no argument: call `analyze_plan`".to_owned();
                return Err(ApiError::invalid(vec![FieldError {
                    field: "dry_run".to_owned(),
                    detail,
                }]));
            }
            value_of(plans::take(state, body, None).await).await
        }
        "plan_status" => {
            caller.may(Scope::Read, About::Host)?;
            let id = run_of(arguments)?;
            let (run, tasks) = (state.queue.run(id).await?, state.queue.run_tasks(id).await?);
            Ok(json!({ "run": value(&run)?, "tasks": value(&tasks)? }))
        }
        "cancel_plan" => {
            caller.may(Scope::Control, About::Host)?;
            value(&state.queue.cancel_run(run_of(arguments)?).await?)
        }
        _ => Err(ApiError::fault("a tool is listed that is not there")),
    }
}

/// The fleets that the caller may look at.
pub(super) async fn fleets(state: &State, caller: &Caller) -> Result<Value, ApiError> {
    caller.may(Scope::Read, About::Nothing)?;
    let mut fleets = state.supervisor.fleets().await?;
    fleets.retain(|fleet| caller.sees(About::Fleet(&fleet.name)));
    Ok(json!({ "fleets": value(&fleets)? }))
}

/// The agents that the caller may look at.
pub(super) async fn agents(state: &State, caller: &Caller) -> Result<Value, ApiError> {
    caller.may(Scope::Read, About::Nothing)?;
    let mut agents = state.supervisor.agents().await?;
    agents.retain(|agent| caller.sees(About::Fleet(&agent.fleet)));
    Ok(json!({ "agents": value(&agents)? }))
}

/// The queues that the caller may look at.
pub(super) async fn queues(state: &State, caller: &Caller) -> Result<Value, ApiError> {
    caller.may(Scope::Read, About::Nothing)?;
    let mut queues = state.queue.queues().await?;
    queues.retain(|queue| caller.sees(About::Queue(&queue.name)));
    Ok(json!({ "queues": value(&queues)? }))
}

/// Submits the task that `arguments` describe, in the words of the API; its id, and what is told of it
/// after the wait that it asks for, if it is to be waited for.
async fn delegate(
    state: &State,
    caller: &Caller,
    mut arguments: Map<String, Value>,
    waits: bool,
) -> Result<(TaskId, Value), ApiError> {
    caller.may(Scope::Submit, About::Nothing)?;
    let wait = arguments.remove("wait");
    let mut of_wait = Map::new();
    of_wait.extend(wait.map(|wait| ("wait".to_owned(), wait)));
    let wait = read(of_wait, |fields| fields.integer("wait", 0..=MAX_WAIT))?;
    let answer =
        value_of(api_tasks::take(state, caller, Value::Object(arguments), None, None).await)
            .await?;
    let made: Submitted = serde_json::from_value(answer.clone())
        .map_err(|error| ApiError::fault(format!("a submit was answered oddly: {error}")))?;
    let seconds = wait.and_then(|seconds| u64::try_from(seconds).ok()).filter(|wait| *wait > 0);
    let Some(seconds) = seconds.filter(|_| waits) else { return Ok((made.id, answer)) };
    let wait = Duration::from_secs(seconds).min(state.settings.max_wait);
    let task = settled(state, made.id, wait).await?;
    // A key of a submit finds its task in whichever queue that is.
    caller.may(Scope::Submit, About::Queue(&task.queue))?;
    Ok((made.id, value(&task)?))
}

/// A task that was made, or found by its key, if it may be told of.
async fn delegated(state: &State, caller: &Caller, id: TaskId) -> Result<TaskRecord, ApiError> {
    let task = settled(state, id, Duration::ZERO).await?;
    caller.may(Scope::Submit, About::Queue(&task.queue))?;
    Ok(task)
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

fn task(arguments: Map<String, Value>) -> Result<TaskId, ApiError> {
    needed("task", read(arguments, |fields| fields.parsed("task"))?)
}

fn run_of(arguments: Map<String, Value>) -> Result<PlanRunId, ApiError> {
    needed("run", read(arguments, |fields| fields.parsed("run"))?)
}

#[cfg(test)]
mod tests;
