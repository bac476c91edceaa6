//! What a key reaches that is limited to queues or fleets: the work of these, on every way there is, and nothing
//! of others.

use std::{
    io::Read as _,
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};

use super::{
    access::address,
    keys::{get, made, post, stream, with},
    webhook::{command, done, fleets},
};
use crate::support::{
    host::Host,
    processes::eventually,
    wire::{Answer, Ask},
};

/// Beside workers, whose queue is `default`, and agents for commands: a fleet with a queue of its own, and one
/// that shares one.
fn kinds() -> String {
    format!(
        r#"{}
[fleets.shell]
protocol = "exec"
command = ["sh", "-c", "printf '%s' \"$1\"", "sh", "{{{{ input.say | default('done') }}}}"]
queues = ["text"]

[fleets.mixed]
protocol = "exec"
command = ["sh", "-c", "printf mixed"]
queues = ["default", "own"]
"#,
        fleets()
    )
}

/// A host, its address, and a way to ask it with a key that is limited by `words`.
fn limited(words: &[&str]) -> (Host, SocketAddr, String) {
    let host = Host::new(&kinds()).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let (key, _) = made(&host, &[&["--scope", "read,submit,control"], words].concat());
    (host, at, key)
}

fn said(word: &str, data: &Value) -> Value {
    json!({"type": "collaborative_session_command", "command": word, "session_id": "walk", "data": data})
}

fn order(task: Option<&str>, action: &str, params: &Value) -> Value {
    json!({"type": "task_command", "sync": true,
        "data": {"task_id": task, "action_type": action, "params": params}})
}

#[track_caller]
fn refused(answer: &Answer, part: &str) {
    let text = answer.text();
    assert!(answer.status == 403 && text.contains(part), "{} {text}", answer.status);
    assert!(!text.contains("private"), "{text}");
}

/// The session of somebody who may do everything: with a memory, an artifact, and a task of another queue.
fn somebody(host: &Host) {
    done(host, "create_session", "walk", json!({"title": "private"}));
    done(host, "store_memory", "walk", json!({"key": "m", "content": "private"}));
    done(host, "add_artifact", "walk", json!({"artifact_id": "a", "content": "private"}));
    let theirs = json!({"task_id": "theirs", "agent_name": "quick",
        "input_data": {"op": "echo", "value": "private"}});
    done(host, "delegate_task", "walk", theirs);
    eventually("their task has ended", || {
        done(host, "get_task", "walk", json!({"task_id": "theirs"}))["status"] == "completed"
    });
}

#[test]
fn its_queue_is_given_tasks_in_any_session_and_no_session_is_read() {
    let (host, at, key) = limited(&["--queue", "text"]);
    somebody(&host);
    let ask = |word: &str, data: Value| with(&key, at, post("/webhook", &said(word, &data)));
    let mine = json!({"task_id": "mine", "agent_name": "shell", "input_data": {"say": "hi"}});
    assert_eq!(ask("delegate_task", mine.clone()).expect(202)["data"]["task_id"], "mine");
    eventually("its task has ended", || {
        ask("get_task", json!({"task_id": "mine"})).expect(200)["data"]["result"] == "hi"
    });
    // The same again is the same.
    assert_eq!(ask("delegate_task", mine).expect(200)["data"]["result"], "hi");
    refused(&ask("delegate_task", json!({"agent_name": "quick"})), "queue `default`");
    for word in ["get_task", "cancel_task"] {
        refused(&ask(word, json!({"task_id": "theirs"})), "queue `default`");
    }
    // Nor by a name that somebody has given to another.
    let named = json!({"task_id": "theirs", "agent_name": "shell"});
    refused(&ask("delegate_task", named), "queue `default`");
    assert_eq!(ask("get_task", json!({"task_id": "none"})).status, 404);

    for (word, data) in [
        ("list_sessions", json!({})),
        ("get_session_summary", json!({})),
        ("create_session", json!({"title": "t"})),
        ("store_memory", json!({"content": 1})),
        ("retrieve_memory", json!({"key": "m"})),
        ("query_memories", json!({})),
        ("add_artifact", json!({"content": "c"})),
        ("get_artifact", json!({"artifact_id": "a"})),
        ("list_artifacts", json!({})),
        ("conversation_chunk", json!({"content": "c"})),
        ("complete_session", json!({})),
        ("delete_session", json!({})),
    ] {
        refused(&ask(word, data), "more than that");
    }
    let with_memory = json!({"commands": [
        {"command": "delegate_task", "data": {"task_id": "half", "agent_name": "shell"}},
        {"command": "store_memory", "data": {"content": 1}},
    ]});
    refused(&ask("batch", with_memory), "more than that");
    let together = json!({"atomic": true, "commands": [
        {"command": "delegate_task", "data": {"task_id": "half", "agent_name": "shell"}},
        {"command": "get_task", "data": {"task_id": "theirs"}},
    ]});
    refused(&ask("batch", together), "queue `default`");
    assert_eq!(ask("get_task", json!({"task_id": "half"})).status, 404, "nothing was done");
    let each = json!({"commands": [
        {"command": "delegate_task", "data": {"task_id": "whole", "agent_name": "shell"}},
        {"command": "get_task", "data": {"task_id": "theirs"}},
    ]});
    let each = ask("batch", each).expect(207);
    assert!(each["data"]["failed"] == 1 && !each.to_string().contains("private"), "{each}");

    // And the same as resources, and as a tool.
    let tasks = "/api/v1/sessions/walk/tasks";
    let body = json!({"agent_name": "shell", "task_id": "by-rest"});
    with(&key, at, post(tasks, &body)).expect(201);
    with(&key, at, get(&format!("{tasks}/by-rest"))).expect(200);
    refused(&with(&key, at, get(&format!("{tasks}/theirs"))), "queue `default`");
    let cancel = post(&format!("{tasks}/theirs/cancel"), &json!({}));
    refused(&with(&key, at, cancel), "queue `default`");
    for path in ["", "/tasks", "/memories", "/artifacts", "/export", "/artifacts/a/content"] {
        refused(&with(&key, at, get(&format!("/api/v1/sessions/walk{path}"))), "more than that");
    }
    refused(&with(&key, at, get("/api/v1/search?text=private")), "more than that");
    let arguments = json!({"session_id": "walk", "agent_name": "shell", "wait": 30});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "delegate_in_session", "arguments": arguments}});
    let told = with(&key, at, post("/mcp", &call)).expect(200);
    assert_eq!(told["result"]["structuredContent"]["result"], "done", "{told}");
    let page = with(&key, at, get("/llm-instructions")).text();
    assert!(page.contains("`shell`") && !page.contains("`quick`"), "{page}");
    // Whoever is not limited sees all of it.
    assert_eq!(command(&host, "get_task", "walk", json!({"task_id": "by-rest"})).status, 200);
}

#[test]
fn the_feed_tells_it_of_its_own_alone() {
    let (host, at, key) = limited(&["--queue", "text", "--fleet", "shell"]);
    let foreign = host.submit(&json!({"input": {"op": "echo", "value": "private"}}));
    host.wait(&foreign);
    let own = |nth: u32| {
        let body = json!({"queue": "text", "input": {"say": nth.to_string()}});
        let task = with(&key, at, post("/api/v1/tasks", &body)).expect(201);
        let id = task["id"].as_str().unwrap().to_owned();
        host.wait(&id);
        id
    };
    let first = own(1);
    let page = |query: &str| with(&key, at, get(&format!("/api/v1/events{query}"))).expect(200);
    let told = page("");
    let of = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.filter_map(|item| item["task"].as_str().map(str::to_owned)).collect()
    };
    assert!(!of(&told).is_empty() && of(&told).iter().all(|task| *task == first), "{told}");
    // However small the page is: what is for others does not end it.
    let small = page("?limit=1");
    assert_eq!(of(&small), [&*first], "{small}");
    assert_eq!(of(&page("?after=latest")), Vec::<String>::new());

    let mut past = stream(at, "/api/v1/events?after=beginning", Some(&key));
    let mut wide = stream(at, "/api/v1/events", Some(&key));
    let named = get("/api/v1/events?queue=text,default").header("Accept", "text/event-stream");
    refused(&with(&key, at, named), "queue `default`");
    host.wait(&host.submit(&json!({"input": {"op": "echo", "value": "private"}})));
    let second = own(2);
    let (past, wide) = (until(&mut past, &second), until(&mut wide, &second));
    assert!(past.contains(&first) && !past.contains("\"queue\":\"default\""), "{past}");
    assert!(!wide.contains(&first) && !wide.contains("\"queue\":\"default\""), "{wide}");
    // One that has nothing of its own is told of nothing.
    let (reader, id) = made(&host, &["--scope", "read", "--queue", "own"]);
    let mut nothing = stream(at, "/api/v1/events?after=beginning", Some(&reader));
    host.cli_json(&["key", "revoke", &id]);
    let text = until(&mut nothing, "dropped");
    assert!(!text.contains("tsk_"), "{text}");
    // Nor is it told what others send.
    let listens = Ask::new("GET", "/ws").header("Connection", "Upgrade");
    refused(&with(&key, at, listens.header("Upgrade", "websocket")), "more than that");
}

/// Reads a stream up to a word, and to the end of its event.
#[track_caller]
fn until(stream: &mut TcpStream, word: &str) -> String {
    let (mut text, mut block) = (String::new(), [0; 4096]);
    loop {
        if let Some(at) = text.find(word)
            && text[at..].contains("\n\n")
        {
            return text;
        }
        let count = stream.read(&mut block).unwrap();
        assert!(count > 0, "cut off: {text}");
        text.push_str(&String::from_utf8_lossy(&block[..count]));
    }
}

#[test]
fn a_fleet_brings_along_the_queues_that_it_alone_serves() {
    let (host, at, key) = limited(&["--fleet", "mixed"]);
    somebody(&host);
    let submit = |queue: &str| with(&key, at, post("/api/v1/tasks", &json!({"queue": queue})));
    let own = submit("own").expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/tasks/{own}?wait=60s");
    assert_eq!(with(&key, at, get(&path)).expect(200)["output"], "mixed");
    // That one is served by others, too.
    refused(&submit("default"), "queue `default`");
    refused(&with(&key, at, get("/api/v1/tasks?queue=default")), "queue `default`");
    // Named by its fleet, work goes where the key reaches it, and not into the first of its queues.
    let given = said("delegate_task", &json!({"task_id": "t", "agent_name": "mixed"}));
    with(&key, at, post("/webhook", &given)).expect(202);
    let ran = with(&key, at, post("/webhook", &order(Some("c"), "mixed", &json!({})))).expect(200);
    assert_eq!(ran["output"]["stdout"], "mixed", "{ran}");
    let listed = host.cli_json(&["task", "list", "--queue", "own"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
    // A name that somebody has given to a command for another queue is not his.
    let theirs = order(Some("theirs"), "quick", &json!({"op": "echo", "value": "private"}));
    host.ask(&Ask::new("POST", "/webhook").json(&theirs)).expect(200);
    let same = order(Some("theirs"), "mixed", &json!({}));
    refused(&with(&key, at, post("/webhook", &same)), "queue `default`");
    refused(&with(&key, at, post("/webhook", &order(None, "quick", &json!({})))), "`default`");
    let git = order(None, "git", &json!({"command": ["git", "status"]}));
    refused(&with(&key, at, post("/webhook", &git)), "queue `commands`");
}
