//! The tools for tasks, fleets, agents, queues and plans.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    super::{State, value, value_of},
    MAX_WAIT, Teller, needed, read,
};
use crate::{
    domain::{
        AgentName, FleetName, PlanRunId, PlanTaskId, TaskId,
        access::{About, Scope},
        record::TaskFilter,
        task::TaskState,
    },
    http::{
        api::FieldError, caller::Caller, error::ApiError, fields::Fields, fleets, gate, plans,
        tasks::settled,
    },
    supervisor::Command,
};

/// How many tasks or runs a listing has, unless it is said, and at most.
const LISTED: u32 = 20;
const MAX_LISTED: i64 = 200;

/// Calls a tool.
pub(super) async fn run(
    state: &State,
    caller: &Caller,
    name: &str,
    arguments: Map<String, Value>,
    teller: &Teller,
) -> Result<Value, ApiError> {
    match name {
        "wait_task" => {
            let (id, seconds) = read(arguments, |fields| {
                (fields.parsed::<TaskId>("task"), fields.integer("seconds", 1..=MAX_WAIT))
            })?;
            let wait = seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30);
            let wait = Duration::from_secs(wait).min(state.settings.max_wait);
            let id = needed("task", id)?;
            gate::may_task(state, caller, Scope::Read, id).await?;
            value(&teller.settled(state, id, wait).await?)
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
                limit: limit(fields),
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
        "restart_fleet" => {
            let (fleet, share) = read(arguments, |fields| {
                (fields.parsed::<FleetName>("fleet"), fleets::share(fields))
            })?;
            let fleet = needed("fleet", fleet)?;
            caller.may(Scope::Control, About::Fleet(&fleet))?;
            value(&state.supervisor.roll(fleet, share).await?)
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
        _ => plan_run(state, caller, name, arguments).await,
    }
}

/// The tools for runs of plans.
async fn plan_run(
    state: &State,
    caller: &Caller,
    name: &str,
    arguments: Map<String, Value>,
) -> Result<Value, ApiError> {
    match name {
        "list_plans" => {
            caller.may(Scope::Read, About::Host)?;
            let limit = read(arguments, limit)?;
            Ok(json!({ "runs": value(&state.queue.runs(None, limit).await?)? }))
        }
        "plan_status" => {
            caller.may(Scope::Read, About::Host)?;
            let id = run_of(arguments)?;
            let (run, tasks) = (state.queue.run(id).await?, state.queue.run_tasks(id).await?);
            Ok(json!({ "run": value(&run)?, "tasks": value(&tasks)? }))
        }
        "pause_plan" => {
            caller.may(Scope::Control, About::Host)?;
            let (run, reason) = read(arguments, |fields| {
                (fields.parsed("run"), fields.text("reason", plans::MAX_TEXT))
            })?;
            value(&state.queue.pause_run(needed("run", run)?, reason).await?)
        }
        "resume_plan" => {
            caller.may(Scope::Control, About::Host)?;
            value(&state.queue.resume_run(run_of(arguments)?).await?)
        }
        "retry_plan" => {
            caller.may(Scope::Control, About::Host)?;
            let (run, task) =
                read(arguments, |fields| (fields.parsed("run"), fields.parsed("task")))?;
            value(&state.queue.retry_run(needed("run", run)?, task).await?)
        }
        "do_plan_task" => {
            caller.may(Scope::Control, About::Host)?;
            let (run, task, deed) = read(arguments, |fields| {
                (
                    fields.parsed("run"),
                    fields.parsed::<PlanTaskId>("task"),
                    plans::deed(fields, state.tasks.max_input),
                )
            })?;
            let (run, task) = (needed("run", run)?, needed("task", task)?);
            let deed = needed("deed", deed)?;
            value(&plans::deal_with(state, run, &task, deed).await?)
        }
        "cancel_plan" => {
            caller.may(Scope::Control, About::Host)?;
            value(&state.queue.cancel_run(run_of(arguments)?).await?)
        }
        _ => Err(ApiError::fault("a tool is listed that is not there")),
    }
}

/// The fleets that the caller may look at.
pub(in crate::http::mcp) async fn fleets(
    state: &State,
    caller: &Caller,
) -> Result<Value, ApiError> {
    caller.may(Scope::Read, About::Nothing)?;
    let mut fleets = state.supervisor.fleets().await?;
    fleets.retain(|fleet| caller.sees(About::Fleet(&fleet.name)));
    Ok(json!({ "fleets": value(&fleets)? }))
}

/// The agents that the caller may look at.
pub(in crate::http::mcp) async fn agents(
    state: &State,
    caller: &Caller,
) -> Result<Value, ApiError> {
    caller.may(Scope::Read, About::Nothing)?;
    let mut agents = state.supervisor.agents().await?;
    agents.retain(|agent| caller.sees(About::Fleet(&agent.fleet)));
    Ok(json!({ "agents": value(&agents)? }))
}

/// The queues that the caller may look at.
pub(in crate::http::mcp) async fn queues(
    state: &State,
    caller: &Caller,
) -> Result<Value, ApiError> {
    caller.may(Scope::Read, About::Nothing)?;
    let mut queues = state.queue.queues().await?;
    queues.retain(|queue| caller.sees(About::Queue(&queue.name)));
    Ok(json!({ "queues": value(&queues)? }))
}

/// Takes how many a listing is to have.
fn limit(fields: &mut Fields<'_>) -> u32 {
    let limit = fields.integer("limit", 1..=MAX_LISTED);
    limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(LISTED)
}

fn task(arguments: Map<String, Value>) -> Result<TaskId, ApiError> {
    needed("task", read(arguments, |fields| fields.parsed("task"))?)
}

fn run_of(arguments: Map<String, Value>) -> Result<PlanRunId, ApiError> {
    needed("run", read(arguments, |fields| fields.parsed("run"))?)
}
