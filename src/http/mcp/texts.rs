//! Resources that can be read, and prompts that teach how work is delegated.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    State,
    message::{Call, RpcError},
    object, tools,
};
use crate::{
    domain::{
        PlanRunId, TaskId,
        access::{About, Scope},
    },
    http::{caller::Caller, error::ApiError, gate, plans, tasks::settled},
};

const JSON: &str = "application/json";

/// The resources that are always there.
pub(super) fn resources() -> Value {
    let one = |uri: &str, name: &str, what: &str| json!({ "uri": uri, "name": name, "description": what, "mimeType": JSON });
    json!({ "resources": [
        one("hostler://fleets", "fleets", "The fleets of this host and the queues they serve"),
        one("hostler://agents", "agents", "The agents of this host and what they are at"),
        one("hostler://queues", "queues", "The queues and how full they are"),
    ] })
}

/// The resources that have an id in them.
pub(super) fn templates() -> Value {
    let one = |uri: &str, name: &str, what: &str| json!({ "uriTemplate": uri, "name": name, "description": what, "mimeType": JSON });
    json!({ "resourceTemplates": [
        one("hostler://tasks/{id}", "task", "A task with its output"),
        one("hostler://tasks/{id}/attempts", "attempts", "The attempts of a task, and how each ended"),
        one("hostler://plan-runs/{id}/report", "report", "What came of a run of a plan"),
    ] })
}

/// Reads a resource.
pub(super) async fn read(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let uri = call.text("uri")?;
    let unknown = || {
        let shown: String = uri.chars().filter(|c| !c.is_control()).take(128).collect();
        RpcError::no_resource(format!("there is no resource `{shown}`"))
    };
    let path = uri.strip_prefix("hostler://").ok_or_else(unknown)?;
    let parts: Vec<_> = path.split('/').collect();
    let found = match parts[..] {
        ["fleets"] => tools::fleets(state, caller).await,
        ["agents"] => tools::agents(state, caller).await,
        ["queues"] => tools::queues(state, caller).await,
        ["tasks", id] => {
            let id: TaskId = id.parse().map_err(|_| unknown())?;
            gate::may_task(state, caller, Scope::Read, id).await.map_err(failed)?;
            told(settled(state, id, Duration::ZERO).await)
        }
        ["tasks", id, "attempts"] => {
            let id: TaskId = id.parse().map_err(|_| unknown())?;
            gate::may_task(state, caller, Scope::Read, id).await.map_err(failed)?;
            told(state.queue.attempts(id).await)
        }
        ["plan-runs", id, "report"] => {
            let id: PlanRunId = id.parse().map_err(|_| unknown())?;
            caller.may(Scope::Read, About::Host).map_err(failed)?;
            super::value_of(plans::report_of(state, id).await).await
        }
        _ => return Err(unknown()),
    };
    let value = found.map_err(failed)?;
    Ok(json!({ "contents": [{ "uri": uri, "mimeType": JSON, "text": value.to_string() }] }))
}

fn failed(error: ApiError) -> RpcError {
    let problem = error.problem();
    match problem.status {
        404 => RpcError::no_resource(problem.detail),
        403 => RpcError::params(problem.detail),
        _ => RpcError::internal(problem.detail),
    }
}

fn told<T: serde::Serialize, E: Into<ApiError>>(found: Result<T, E>) -> Result<Value, ApiError> {
    super::value(&found.map_err(Into::into)?)
}

/// One prompt: its name, what it is for, its arguments, and the text with their places.
struct Prompt {
    name: &'static str,
    what: &'static str,
    arguments: &'static [(&'static str, &'static str)],
    text: &'static str,
}

const PROMPTS: &[Prompt] = &[
    Prompt {
        name: "delegate_and_follow",
        what: "Give work to an agent, and report when it is done",
        arguments: &[("work", "What is to be done"), ("queue", "For which agents")],
        text: "Delegate this work to an agent on my host: {work}\n\nLook at `list_fleets` first, and use the queue \
            `{queue}` if it is there, else the one that fits. Call `delegate_task` with an input that says \
            everything the agent needs, for it knows nothing of this conversation, and with an \
            `idempotency_key`, so that calling again makes no second task. Tell me the id. Then call \
            `wait_task`; if it has not ended by then, tell me so and stop: it goes on by itself, and \
            `task_status` finds it later. When it has ended, say in a few words what came of it. If it \
            failed, say why before you try anything again.",
    },
    Prompt {
        name: "plan_and_run",
        what: "Make a plan of many tasks, check it, and carry it out",
        arguments: &[("goal", "What is to be reached")],
        text: "Make a plan for this goal: {goal}\n\nWrite it as an object with `version` 1, a `title` and `tasks`, each with an `id`, a \
            `title`, a `duration` and `depends_on`. Call `check_plan` until it is sound, then \
            `analyze_plan`, and show me how long it takes with how many agents. Ask me before you call \
            `run_plan`. Then follow it with `plan_status` and tell me what waits for me.",
    },
    Prompt {
        name: "look_after_agents",
        what: "See whether the host is well, and what to do if not",
        arguments: &[],
        text: "Call `list_agents` and `list_queues`. Tell me which agents are stale, quarantined or in backoff \
            with their reasons, which queues are paused or have tasks that wait for long, and which tasks \
            failed (`list_tasks` with the state `failed`). Suggest what to do; ask me before you call \
            `restart_agent`, `retry_task` or `cancel_task`.",
    },
];

/// All prompts.
pub(super) fn prompts() -> Value {
    let told = |prompt: &Prompt| {
        let argument = |(name, what): &(&str, &str)| json!({ "name": name, "description": what, "required": true });
        let arguments: Vec<_> = prompt.arguments.iter().map(argument).collect();
        json!({ "name": prompt.name, "description": prompt.what, "arguments": arguments })
    };
    json!({ "prompts": PROMPTS.iter().map(told).collect::<Vec<_>>() })
}

/// One prompt with its arguments filled in.
pub(super) fn prompt(call: &Call) -> Result<Value, RpcError> {
    let name = call.text("name")?;
    let prompt = PROMPTS.iter().find(|prompt| prompt.name == name);
    let prompt = prompt.ok_or_else(|| RpcError::params("there is no such prompt"))?;
    let given = object(&call.params, "arguments");
    let mut text = String::new();
    let mut rest = prompt.text;
    // Each place is filled once, so that what is filled in can't have a place of its own.
    while let Some((before, after)) = rest.split_once('{') {
        let Some((argument, behind)) = after.split_once('}') else { break };
        let value = given.get(argument).and_then(Value::as_str);
        let value = value
            .ok_or_else(|| RpcError::params(format!("the argument `{argument}` is missing")))?;
        text.push_str(before);
        text.push_str(value);
        rest = behind;
    }
    text.push_str(rest);
    let message = json!({ "role": "user", "content": { "type": "text", "text": text } });
    Ok(json!({ "description": prompt.what, "messages": [message] }))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::{super::message::Era, *};

    fn get(params: Value) -> Result<Value, RpcError> {
        let Value::Object(params) = params else { return Ok(json!(Map::new())) };
        prompt(&Call { id: json!(1), method: "prompts/get".to_owned(), params, era: Era::Session })
    }

    #[test]
    fn prompts_are_filled_in_once() {
        let arguments = json!({ "work": "say {queue}", "queue": "review" });
        let got = get(json!({ "name": "delegate_and_follow", "arguments": arguments })).unwrap();
        let text = got["messages"][0]["content"]["text"].as_str().unwrap();
        assert!(text.contains("my host: say {queue}") && text.contains("queue `review`"), "{text}");
        for bad in [
            json!({}),
            json!({ "name": "none" }),
            json!({ "name": "plan_and_run" }),
            json!({ "name": "plan_and_run", "arguments": { "goal": 7 } }),
        ] {
            assert!(get(bad.clone()).is_err(), "{bad}");
        }
        assert!(get(json!({ "name": "look_after_agents" })).is_ok());
    }
}
