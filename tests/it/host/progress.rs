//! How far a task is, told over MCP while a call waits for it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use serde_json::{Value, json};

use super::{all_kinds, webhook};
use crate::support::{
    host::Host,
    processes::eventually,
    wire::{Answer, Ask},
};

const BOTH: &str = "application/json, text/event-stream";

fn call(name: &str, arguments: &Value, token: Option<&str>) -> Value {
    let mut params = json!({"name": name, "arguments": arguments});
    if let Some(token) = token {
        params["_meta"] = json!({"progressToken": token});
    }
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
}

fn ask(host: &Host, accept: &str, body: &Value) -> Answer {
    host.ask(&Ask::new("POST", "/mcp").header("Accept", accept).json(body))
}

/// The messages of a stream: notices of progress, whose numbers rise, and the response.
#[track_caller]
fn messages(answer: &Answer) -> (Vec<Value>, Value) {
    assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{}", answer.text());
    let text = answer.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut all: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let response = all.pop().unwrap();
    let mut before = -1.0;
    for notice in &all {
        assert_eq!(notice["method"], "notifications/progress", "{notice}");
        assert_eq!(notice["params"]["progressToken"], "p", "{notice}");
        let progress = notice["params"]["progress"].as_f64().unwrap();
        assert!(progress > before, "{all:?}");
        before = progress;
    }
    assert_eq!(response["id"], 7, "{response}");
    (all, response)
}

#[test]
fn a_call_that_waits_is_told_how_far_its_task_is_and_then_answered() {
    let host = Host::new(&webhook::fleets()).up();
    let slow = json!({"input": {"op": "sleep", "ms": 2500}, "wait": 60});
    let (told, response) = messages(&ask(&host, BOTH, &call("delegate_task", &slow, Some("p"))));
    let said = json!(told).to_string();
    assert!(said.contains("the task is running, attempt 1 by quick-"), "{said}");
    assert_eq!(told[0]["params"]["total"].as_f64(), Some(60.0));
    assert_eq!(response["result"]["structuredContent"]["state"], "completed", "{response}");
    // Recorded as ever, though the answer began before.
    eventually("it is recorded", || {
        let record = host.cli_json(&["audit", "list", "--operation", "delegate_task"]);
        let items = record["items"].as_array().unwrap();
        items.len() == 1 && items[0]["surface"] == "mcp" && items[0]["outcome"] == "done"
    });

    webhook::done(&host, "create_session", "s", json!({}));
    let slow = json!({"session_id": "s", "agent_name": "quick", "wait": 60,
        "input_data": {"op": "sleep", "ms": 1500}});
    let in_session = call("delegate_in_session", &slow, Some("p"));
    let (told, response) = messages(&ask(&host, BOTH, &in_session));
    assert!(!told.is_empty() && response["result"]["isError"] == false, "{told:?} {response}");
    assert_eq!(response["result"]["structuredContent"]["status"], "completed", "{response}");
    // What can't be waited for is told by the response alone.
    let none = json!({"task": "tsk_00000000000000000000000000000001"});
    let (told, response) = messages(&ask(&host, BOTH, &call("wait_task", &none, Some("p"))));
    assert!(told.is_empty() && response["result"]["isError"] == true, "{told:?} {response}");
}

#[test]
fn who_takes_no_stream_or_gives_no_token_is_answered_by_one_message() {
    let host = Host::new(&all_kinds()).up();
    let task = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    host.wait(&task);
    let wait = json!({"task": task});
    let looked = call("task_status", &wait, Some("p"));
    for (accept, body) in [
        ("application/json", &call("wait_task", &wait, Some("p"))),
        (BOTH, &call("wait_task", &wait, None)),
        (BOTH, &looked),
    ] {
        let answer = ask(&host, accept, body);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept} {body}");
        assert_eq!(answer.expect(200)["result"]["structuredContent"]["output"], 1);
    }
    // One that has ended is answered at once, in a stream of one.
    let (told, response) = messages(&ask(&host, BOTH, &call("wait_task", &wait, Some("p"))));
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(response["result"]["structuredContent"]["output"], 1, "{response}");
}

#[test]
fn over_a_pipe_each_notice_is_a_line() {
    let host = Host::new(&all_kinds()).up();
    let mut pipe = host.command();
    let mut pipe = pipe.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, from) = (pipe.stdin.take().unwrap(), pipe.stdout.take().unwrap());
    let slow = json!({"input": {"op": "sleep", "ms": 1500}, "wait": 60});
    writeln!(to, "{}", call("delegate_task", &slow, Some("p"))).unwrap();
    let mut notices = 0;
    for line in BufReader::new(from).lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if message["method"] == "notifications/progress" {
            notices += 1;
            continue;
        }
        assert_eq!((&message["id"], &message["result"]["isError"]), (&json!(7), &json!(false)));
        break;
    }
    assert!(notices > 0);
    drop(to);
    assert!(pipe.wait().unwrap().success());
}
