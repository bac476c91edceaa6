//! Prompts that teach how work is done with a host.

use serde_json::{Value, json};

use super::{
    message::{Call, RpcError},
    object,
};

/// One prompt: its name, what it is for, its arguments, and the text with their places.
struct Prompt {
    name: &'static str,
    what: &'static str,
    arguments: &'static [(&'static str, &'static str)],
    text: &'static str,
}

const PROMPTS: &[Prompt] = &[
    Prompt {
        name: "work_in_a_session",
        what: "Think about something together, keep what matters, and give work to agents on the way",
        arguments: &[("topic", "What it is about")],
        text: "Let us work on this: {topic}\n\nCall `create_session` with a telling `session_id`, a title and \
            what it is about as `context`, and tell me its id. While we talk, keep what matters with \
            `store_memory` as soon as it is said: `idea`, `decision` (with its reason), `question`, \
            `action_item`, `risk`; one thing each, under a short key, with tags that you use again. If I \
            change my mind, store the same key again. When something can be done by an agent, say so; once \
            I agree, call `list_fleets`, then `delegate_in_session` with a `task_id` of your own and a \
            description that says everything, for the agent knows nothing of this conversation. Look with \
            `task_status` when I ask, and tell me in a few words what came of it; keep what was made with \
            `add_artifact`. When we stop, call `append_conversation` with a summary, and name what is open.",
    },
    Prompt {
        name: "pick_up_a_session",
        what: "Go on where an earlier conversation stopped",
        arguments: &[("session", "Its id, or words that are in it")],
        text: "Let us go on with this session: {session}\n\nCall `get_session_summary` with it; if there is \
            none of that id, look with `search_sessions` and `list_sessions`, and ask me which one I mean. \
            If it is paused, call `resume_session`. Then read `query_memories` (decisions and action items \
            first) and `list_session_tasks`. Tell me in a few sentences what was decided, what is open, and \
            what the agents have done since. Read artifacts only if I ask for them. From then on keep what \
            matters with `store_memory`, as before.",
    },
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
pub(super) fn all() -> Value {
    let told = |prompt: &Prompt| {
        let argument = |(name, what): &(&str, &str)| json!({ "name": name, "description": what, "required": true });
        let arguments: Vec<_> = prompt.arguments.iter().map(argument).collect();
        json!({ "name": prompt.name, "description": prompt.what, "arguments": arguments })
    };
    json!({ "prompts": PROMPTS.iter().map(told).collect::<Vec<_>>() })
}

/// One prompt with its arguments filled in.
pub(super) fn get(call: &Call) -> Result<Value, RpcError> {
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

    fn filled(params: Value) -> Result<Value, RpcError> {
        let Value::Object(params) = params else { return Ok(json!(Map::new())) };
        get(&Call { id: json!(1), method: "prompts/get".to_owned(), params, era: Era::Session })
    }

    #[test]
    fn prompts_are_filled_in_once() {
        let arguments = json!({ "work": "say {queue}", "queue": "review" });
        let got = filled(json!({ "name": "delegate_and_follow", "arguments": arguments })).unwrap();
        let text = got["messages"][0]["content"]["text"].as_str().unwrap();
        assert!(text.contains("my host: say {queue}") && text.contains("queue `review`"), "{text}");
        for bad in [
            json!({}),
            json!({ "name": "none" }),
            json!({ "name": "plan_and_run" }),
            json!({ "name": "plan_and_run", "arguments": { "goal": 7 } }),
        ] {
            assert!(filled(bad.clone()).is_err(), "{bad}");
        }
        assert!(filled(json!({ "name": "look_after_agents" })).is_ok());
    }
}
