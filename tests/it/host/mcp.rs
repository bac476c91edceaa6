//! The Model Context Protocol: on the wire, over a pipe, and by clients of others.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{access::address, all_kinds, webhook};
use crate::support::{
    host::{HOSTLER, Host},
    tools,
    wire::{Answer, Ask},
};

/// Calls a tool by its name with arguments, as somebody.
type Tool = Box<dyn Fn(&str, Value) -> Value>;

const STATELESS: &str = "2026-07-28";

/// A call by the older revision.
fn old(host: &Host, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    host.ask(&Ask::new("POST", "/mcp").header("MCP-Protocol-Version", "2025-11-25").json(&body))
        .expect(200)
}

/// A call by the newer revision; `extensions` are those that the client knows.
fn new(host: &Host, method: &str, mut params: Value, extensions: &Value) -> Answer {
    let name = ["name", "uri", "taskId"].iter().find_map(|key| params[*key].as_str());
    let name = name.unwrap_or_default().to_owned();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {"extensions": extensions},
    });
    let body = json!({"jsonrpc": "2.0", "id": "a", "method": method, "params": params});
    let mut ask = Ask::new("POST", "/mcp")
        .header("MCP-Protocol-Version", STATELESS)
        .header("Mcp-Method", method)
        .json(&body);
    if !name.is_empty() {
        ask = ask.header("Mcp-Name", &name);
    }
    host.ask(&ask)
}

pub(super) fn tool(host: &Host, name: &str, arguments: &Value) -> Value {
    let answer = old(host, "tools/call", &json!({"name": name, "arguments": arguments}));
    answer["result"].clone()
}

#[test]
fn a_client_of_the_older_revision_delegates_waits_and_reads() {
    let host = Host::new(&all_kinds()).up();
    let hello = old(
        &host,
        "initialize",
        &json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
        }),
    );
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(hello["result"]["serverInfo"]["name"], "hostler");
    let unknown = old(&host, "initialize", &json!({"protocolVersion": "1999-01-01"}));
    assert_eq!(unknown["result"]["protocolVersion"], "2025-11-25");
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(host.ask(&Ask::new("POST", "/mcp").json(&told)).status, 202);
    assert_eq!(old(&host, "ping", &json!({}))["result"], json!({}));

    let echo = json!({"input": {"op": "echo", "value": 7}});
    let made = tool(&host, "delegate_task", &echo);
    assert_eq!(made["isError"], false, "{made}");
    let id = made["structuredContent"]["id"].as_str().unwrap().to_owned();
    let done = tool(&host, "wait_task", &json!({"task": id}));
    assert_eq!(done["structuredContent"]["output"], 7, "{done}");
    let waited = json!({"input": {"op": "echo", "value": 8}, "wait": 20});
    assert_eq!(tool(&host, "delegate_task", &waited)["structuredContent"]["output"], 8);

    // As a task of MCP.
    let params = json!({"name": "delegate_task", "arguments": echo, "task": {"ttl": 60000}});
    let task = old(&host, "tools/call", &params)["result"]["task"].clone();
    assert_eq!(task["taskId"].as_str().map(|id| id.starts_with("tsk_")), Some(true), "{task}");
    let of_task = json!({"taskId": task["taskId"]});
    let result = old(&host, "tasks/result", &of_task)["result"].clone();
    assert_eq!(result["structuredContent"]["output"], 7);
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"], of_task);
    assert_eq!(old(&host, "tasks/get", &of_task)["result"]["status"], "completed");
    assert_eq!(old(&host, "tasks/cancel", &of_task)["error"]["code"], -32602);
    assert!(old(&host, "tasks/list", &json!({}))["result"]["tasks"].as_array().unwrap().len() >= 3);
    let sleep = json!({"name": "delegate_task", "arguments": {"queue": "long"}, "task": {}});
    let long = old(&host, "tools/call", &sleep)["result"]["task"]["taskId"].clone();
    host.until_task(long.as_str().unwrap(), "running");
    old(&host, "tasks/cancel", &json!({"taskId": long}));
    host.until_task(long.as_str().unwrap(), "cancelled");
    assert_eq!(old(&host, "tasks/get", &json!({"taskId": long}))["result"]["status"], "cancelled");

    let read = |uri: String| old(&host, "resources/read", &json!({"uri": uri}));
    let task = read(format!("hostler://tasks/{id}"));
    assert!(task["result"]["contents"][0]["text"].as_str().unwrap().contains("completed"));
    assert_eq!(read("hostler://nothing".to_owned())["error"]["code"], -32002);
    assert_eq!(old(&host, "tools/none", &json!({}))["error"]["code"], -32601);
}

#[test]
fn a_client_of_the_newer_revision_says_all_about_itself() {
    let host = Host::new(&all_kinds()).up();
    let found = new(&host, "server/discover", json!({}), &json!({})).expect(200);
    let found = &found["result"];
    assert_eq!(
        (&found["supportedVersions"][0], &found["resultType"]),
        (&json!(STATELESS), &json!("complete"))
    );
    let tools = new(&host, "tools/list", json!({}), &json!({})).expect(200)["result"].clone();
    assert!(tools["ttlMs"].is_u64() && tools["cacheScope"] == "public", "{tools}");
    assert_eq!(new(&host, "none", json!({}), &json!({})).expect(404)["error"]["code"], -32601);

    let tasks = json!({"io.modelcontextprotocol/tasks": {}});
    let call = |value: i64, known: &Value| {
        let arguments = json!({"input": {"op": "echo", "value": value}, "wait": 20});
        let params = json!({"name": "delegate_task", "arguments": arguments});
        new(&host, "tools/call", params, known).expect(200)["result"].clone()
    };
    let plain = call(1, &json!({}));
    assert_eq!(
        (&plain["resultType"], &plain["structuredContent"]["output"]),
        (&json!("complete"), &json!(1))
    );
    let task = call(2, &tasks);
    assert_eq!(task["resultType"], "task", "{task}");
    host.wait(task["taskId"].as_str().unwrap());
    let params = json!({"taskId": task["taskId"]});
    let got = new(&host, "tasks/get", params, &tasks).expect(200)["result"].clone();
    assert_eq!(
        (&got["status"], &got["result"]["structuredContent"]["output"]),
        (&json!("completed"), &json!(2))
    );
}

#[test]
fn what_misleads_is_refused_and_an_unknown_session_begins_anew() {
    let host = Host::new(&all_kinds()).up();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let ask = || Ask::new("POST", "/mcp").json(&list);
    host.ask(&ask().header("Mcp-Session-Id", "of-another-host")).expect(404);
    let version = host.ask(&ask().header("MCP-Protocol-Version", "2031-01-01")).expect(400);
    assert_eq!(version["error"]["code"], -32022);
    let lying = host.ask(&ask().header("MCP-Protocol-Version", STATELESS)).expect(400);
    assert_eq!(lying["error"]["code"], -32602, "it says nothing about itself");
    assert_eq!(host.ask(&Ask::new("POST", "/mcp").text("{")).expect(400)["error"]["code"], -32700);
    for method in ["GET", "DELETE"] {
        assert_eq!(host.ask(&Ask::new(method, "/mcp")).status, 405);
    }
    let bad = tool(&host, "delegate_task", &json!({"qeue": "x", "priority": "high"}));
    let text = bad["content"][0]["text"].as_str().unwrap();
    assert!(bad["isError"] == true && text.contains("qeue") && text.contains("priority"), "{bad}");
    let none = tool(&host, "wait_task", &json!({}));
    assert!(none["isError"] == true && none.to_string().contains("task"), "{none}");
    assert_eq!(host.get("/api/v1/tasks")["items"], json!([]), "bad input changed nothing");
}

#[test]
fn a_page_of_another_site_and_who_has_no_key_are_refused() {
    let key = "0123456789abcdef0123";
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let ask = || Ask::new("POST", "/mcp").json(&list);
    let open = Host::new(&all_kinds()).set("http.bind", "127.0.0.1:0").up();
    let at = address(&open);
    assert_eq!(ask().over_tcp(at).unwrap().status, 200);
    assert_eq!(ask().header("Origin", "https://evil.example").over_tcp(at).unwrap().status, 403);
    let closed =
        Host::new(&all_kinds()).set("http.bind", "127.0.0.1:0").set("http.api_key", key).up();
    let at = address(&closed);
    assert_eq!(ask().over_tcp(at).unwrap().status, 401);
    let bearer = format!("Bearer {key}");
    assert_eq!(ask().header("Authorization", &bearer).over_tcp(at).unwrap().status, 200);
}

#[test]
fn a_key_does_by_a_tool_what_it_may_do_by_the_api_and_no_more() {
    let host = Host::new(&all_kinds()).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let with = |words: &[&str]| -> Tool {
        let made = host.cli_json(&[&["key", "create"], words].concat());
        let bearer = format!("Bearer {}", made["key"].as_str().unwrap_or_else(|| panic!("{made}")));
        Box::new(move |name, arguments| {
            let params = json!({"name": name, "arguments": arguments});
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
            let ask = Ask::new("POST", "/mcp").header("Authorization", &bearer).json(&body);
            ask.over_tcp(at).unwrap().expect(200)["result"].clone()
        })
    };
    let reader = with(&["--name", "reader", "--scope", "read"]);
    let limited = with(&["--name", "limited", "--scope", "read,submit,control", "--queue", "text"]);
    let echo = json!({"input": {"op": "echo", "value": 1}});
    let refused = |answer: Value, word: &str| {
        assert!(answer["isError"] == true && answer.to_string().contains(word), "{answer}");
    };
    refused(reader("delegate_task", echo.clone()), "submit");
    refused(reader("restart_agent", json!({"agent": "quick-1"})), "control");
    refused(reader("create_session", json!({})), "submit");
    refused(reader("delete_session", json!({"session_id": "s"})), "control");
    assert_eq!(reader("list_sessions", json!({}))["isError"], false);
    refused(limited("list_sessions", json!({})), "limited to");
    refused(limited("create_session", json!({})), "limited to");
    refused(limited("delegate_task", echo.clone()), "limited to");
    let task = host.submit(&echo);
    assert_eq!(reader("wait_task", json!({"task": task}))["isError"], false);
    for name in ["task_status", "wait_task", "cancel_task", "retry_task"] {
        refused(limited(name, json!({"task": task})), "limited to");
    }
    refused(limited("restart_agent", json!({"agent": "quick-1"})), "limited to");
    refused(limited("list_tasks", json!({})), "limited to");
    refused(limited("run_plan", json!({"plan": {}})), "limited to");
    assert_eq!(
        limited("list_queues", json!({}))["structuredContent"]["queues"].as_array().unwrap().len(),
        1
    );
    let own = limited("delegate_task", json!({"queue": "text", "input": {"say": "x"}, "wait": 20}));
    assert_eq!(own["structuredContent"]["state"], "completed", "{own}");
}

#[test]
fn a_session_is_kept_by_tools_and_is_the_one_of_the_webhook() {
    let host = Host::new(&webhook::fleets()).up();
    let done = |name: &str, arguments: Value| {
        let answer = tool(&host, name, &arguments);
        assert_eq!(answer["isError"], false, "{name}: {answer}");
        answer["structuredContent"].clone()
    };
    let refused = |name: &str, arguments: Value| {
        let answer = tool(&host, name, &arguments);
        assert_eq!(answer["isError"], true, "{name}: {answer}");
        answer["structuredContent"]["detail"].to_string()
            + &answer["structuredContent"]["errors"].to_string()
    };
    let made = done("create_session", json!({"session_id": "a walk", "title": "Plans"}));
    assert_eq!((&made["status"], &made["title"]), (&json!("active"), &json!("Plans")));
    assert!(
        done("create_session", json!({}))["session_id"].as_str().unwrap().starts_with("session-")
    );
    let memory = json!({"session_id": "a walk", "type": "decision", "key": "db", "content": {"say": "Postgres, said-of-it"}, "tags": ["store"]});
    assert_eq!(done("store_memory", memory.clone())["replaced"], false);
    assert_eq!(done("store_memory", memory)["replaced"], true);
    let spoken = json!({"session_id": "a walk", "content": "we talked", "extracted_items": {"ideas": ["cache it"]}});
    assert_eq!(done("append_conversation", spoken)["extracted_items_processed"], 1);
    let of = |more: Value| {
        let mut arguments = json!({"session_id": "a walk"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    assert_eq!(done("query_memories", of(json!({"tags": ["store"]})))["memories"][0]["key"], "db");
    assert_eq!(done("query_memories", of(json!({"text": "postgres"})))["count"], 1);
    let by_webhook = webhook::done(&host, "retrieve_memory", "a walk", json!({"key": "db"}));
    assert_eq!(done("retrieve_memory", of(json!({"key": "db"}))), by_webhook);
    let hits = done("search_sessions", json!({"text": "talked", "kinds": ["chunk"]}));
    assert_eq!(hits["items"][0]["session_id"], "a walk", "{hits}");
    let of_type =
        |kind: &str| done("search_sessions", json!({"text": "postgres", "types": [kind]}));
    assert_eq!(of_type("decision")["items"][0]["id"], "db");
    assert_eq!(of_type("risk")["items"], json!([]));
    done(
        "add_artifact",
        of(json!({"artifact_id": "a/b", "content": "# Hi", "format": "markdown"})),
    );
    assert_eq!(done("get_artifact", of(json!({"artifact_id": "a/b"})))["content"], "# Hi");
    assert_eq!(done("list_artifacts", of(json!({})))["count"], 1);

    let given = json!({"agent_name": "quick", "task_id": "t", "input_data": {"op": "echo", "value": 1}, "wait": 20});
    let ended = done("delegate_in_session", of(given.clone()));
    assert_eq!(
        (&ended["status"], &ended["created"]),
        (&json!("completed"), &json!(true)),
        "{ended}"
    );
    assert_eq!(done("delegate_in_session", of(given.clone()))["created"], false, "the same task");
    let seen = done("task_status", json!({"task": ended["task"]}));
    assert_eq!(seen["state"], "completed");
    let params = json!({"name": "delegate_in_session", "arguments": of(given.clone()), "task": {}});
    let task = old(&host, "tools/call", &params)["result"]["task"].clone();
    assert_eq!(task["taskId"], ended["task"], "the task of MCP is that of the queue");
    let params = json!({"name": "delegate_in_session", "arguments": of(given)});
    let task =
        new(&host, "tools/call", params, &json!({"io.modelcontextprotocol/tasks": {}})).expect(200);
    assert_eq!(
        (&task["result"]["resultType"], &task["result"]["taskId"]),
        (&json!("task"), &ended["task"])
    );
    assert_eq!(done("list_session_tasks", of(json!({})))["tasks"][0]["task_id"], "t");

    let read = |uri: &str| old(&host, "resources/read", &json!({"uri": uri}));
    let text = |uri: &str| read(uri)["result"]["contents"][0].clone();
    let artifact = text("hostler://sessions/a%20walk/artifacts/a%2Fb");
    assert_eq!(
        (&artifact["text"], &artifact["mimeType"]),
        (&json!("# Hi"), &json!("text/markdown"))
    );
    for part in ["", "/memories", "/artifacts", "/tasks"] {
        let found = text(&format!("hostler://sessions/a%20walk{part}"));
        assert!(
            found["text"].as_str().is_some_and(|text| text.contains("a walk")),
            "{part}: {found}"
        );
    }
    for none in
        ["hostler://sessions/none", "hostler://sessions/a%20walk/none", "hostler://sessions/%zz"]
    {
        assert_eq!(read(none)["error"]["code"], -32002, "{none}");
    }
    let listed = old(&host, "resources/list", &json!({}))["result"]["resources"].to_string();
    assert!(listed.contains("hostler://sessions/a%20walk"), "{listed}");

    assert!(refused("store_memory", of(json!({"content": 1, "contnet": 2}))).contains("contnet"));
    assert!(refused("store_memory", json!({"content": 1})).contains("session_id"));
    assert!(refused("retrieve_memory", of(json!({"key": "none"}))).contains("none"));
    assert!(
        refused("delegate_in_session", of(json!({"agent_name": "nobody"}))).contains("agent_name")
    );
    done("pause_session", of(json!({})));
    done("resume_session", of(json!({})));
    done("complete_session", of(json!({})));
    assert!(refused("store_memory", of(json!({"content": 1}))).contains("completed"));
    assert_eq!(done("delete_session", of(json!({})))["deleted"]["memories"], 2);
    assert!(refused("get_session_summary", of(json!({}))).contains("a walk"));

    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    for line in [
        "hostler_mcp_calls_total{kind=\"store_memory\",outcome=\"done\"} 2",
        "hostler_mcp_calls_total{kind=\"store_memory\",outcome=\"refused\"} 3",
        "hostler_mcp_calls_total{kind=\"read_resource\",outcome=\"done\"} 5",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let log = || std::fs::read_to_string(host.path("stderr")).unwrap();
    // The last of them; lines are written by a thread of their own.
    crate::support::processes::eventually("all lines", || {
        log().matches("\"command\":\"get_session_summary\"").count() == 1
    });
    let log = log();
    let line = log.lines().find(|line| line.contains("\"command\":\"store_memory\"")).unwrap();
    assert!(
        line.contains("\"session\":\"a walk\"") && line.contains("\"caller\":\"owner\""),
        "{line}"
    );
    assert!(!log.contains("said-of-it"));
}

#[test]
fn plans_and_fleets_are_tools() {
    let host = Host::new(&all_kinds()).up();
    let plan = json!({"version": 1, "title": "Two", "tasks": [
        {"id": "a", "title": "First", "duration": "1h"},
        {"id": "b", "title": "Second", "duration": "1h", "depends_on": ["a"]},
    ]});
    let sound = tool(&host, "check_plan", &json!({"plan": plan}));
    assert_eq!(sound["isError"], false, "{sound}");
    let broken = tool(
        &host,
        "check_plan",
        &json!({"plan": {"version": 1, "tasks": [{"id": "a", "title": "A", "duration": "1h", "depends_on": ["z"]}]}}),
    );
    assert!(broken["isError"] == true && broken.to_string().contains('z'), "{broken}");
    let preview = tool(&host, "analyze_plan", &json!({"plan": plan, "queue": "default"}));
    assert_eq!(preview["isError"], false, "{preview}");
    let run = tool(&host, "run_plan", &json!({"plan": plan, "queue": "default"}));
    let id = run["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned();
    let seen = tool(&host, "plan_status", &json!({"run": id}));
    assert_eq!(seen["structuredContent"]["tasks"].as_array().unwrap().len(), 2, "{seen}");
    let runs = tool(&host, "list_plans", &json!({"limit": 1}));
    assert_eq!(runs["structuredContent"]["runs"][0]["id"], id, "{runs}");
    let paused = tool(&host, "pause_plan", &json!({"run": id, "reason": "lunch"}));
    assert!(paused["isError"] == false && paused.to_string().contains("lunch"), "{paused}");
    let resumed = tool(&host, "resume_plan", &json!({"run": id}));
    assert!(resumed["isError"] == false && !resumed.to_string().contains("lunch"), "{resumed}");
    tool(&host, "cancel_plan", &json!({"run": id}));
    a_persons_part_of_a_plan_is_a_tool(&host);
    let retried = tool(&host, "retry_plan", &json!({"run": id, "task": "none"}));
    assert!(retried["isError"] == true && retried.to_string().contains("none"), "{retried}");
    let fleets = tool(&host, "list_fleets", &json!({}));
    assert!(fleets.to_string().contains("quick"), "{fleets}");
    let before = host.agent("quick-1")["generation"].as_u64().unwrap();
    assert_eq!(tool(&host, "restart_agent", &json!({"agent": "quick-1"}))["isError"], false);
    crate::support::processes::eventually("another process", || {
        host.agent("quick-1")["generation"].as_u64().unwrap() > before
    });
    let before = host.agent("quick-1")["generation"].as_u64().unwrap();
    let rolled =
        tool(&host, "restart_fleet", &json!({"fleet": "quick", "max_unavailable": "100%"}));
    assert_eq!(rolled["isError"], false, "{rolled}");
    crate::support::processes::eventually("a process of the whole fleet", || {
        host.agent("quick-1")["generation"].as_u64().unwrap() > before
    });
}

fn a_persons_part_of_a_plan_is_a_tool(host: &Host) {
    let tasks: Vec<Value> = ["done", "fail", "skip"]
        .map(|id| json!({"id": id, "title": id, "duration": "1h", "owner": "human"}))
        .into_iter()
        .chain([json!({"id": "approve", "title": "A", "duration": "1h", "approval": true, "input": {"op": "echo", "value": 1}})])
        .collect();
    let plan = json!({"version": 1, "title": "People", "tasks": tasks});
    let run = tool(host, "run_plan", &json!({"plan": plan, "queue": "default"}));
    let id = run["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned();
    let deal = |task: &str, more: Value| {
        let mut arguments = json!({"run": id, "task": task, "deed": task});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tool(host, "do_plan_task", &arguments)
    };
    let wrong = deal("skip", json!({"output": 1}));
    assert!(wrong["isError"] == true && wrong.to_string().contains("`done` alone"), "{wrong}");
    let told = deal("done", json!({"output": {"it": "went well"}}));
    assert_eq!(told["structuredContent"]["state"], "completed", "{told}");
    let told = deal("fail", json!({"message": "no time"}));
    assert_eq!(told["structuredContent"]["state"], "failed", "{told}");
    assert_eq!(deal("skip", json!({}))["structuredContent"]["state"], "completed");
    assert_eq!(deal("approve", json!({}))["isError"], false);
    crate::support::processes::eventually("the task that was allowed", || {
        let seen = tool(host, "plan_status", &json!({"run": id}));
        let tasks = seen["structuredContent"]["tasks"].as_array().unwrap().clone();
        tasks.iter().any(|task| task["id"] == "approve" && task["state"] == "completed")
    });
}

#[test]
fn over_a_pipe_the_answers_come_as_they_are_ready_and_a_restart_loses_nothing() {
    let mut host = Host::new(&all_kinds()).up();
    let mut pipe = host.command();
    let mut pipe = pipe.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) =
        (pipe.stdin.take().unwrap(), BufReader::new(pipe.stdout.take().unwrap()).lines());
    let mut say = |value: Value| writeln!(to, "{value}").unwrap();
    let mut hear = || -> Value { serde_json::from_str(&from.next().unwrap().unwrap()).unwrap() };
    let call = |id: u32, name: &str, arguments: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}});
    let long = host.submit(&json!({"queue": "long"}));
    say(call(1, "wait_task", json!({"task": long, "seconds": 600})));
    say(call(2, "delegate_task", json!({"input": {"op": "echo", "value": 1}})));
    let made = hear();
    assert_eq!(made["id"], 2, "one that waits does not hold up others");
    say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    host.wait(made["result"]["structuredContent"]["id"].as_str().unwrap());
    host.kill9();
    say(call(3, "list_queues", json!({})));
    assert_eq!(hear()["error"]["code"], -32603, "told, and the pipe goes on");
    host.restart();
    say(call(4, "task_status", json!({"task": made["result"]["structuredContent"]["id"]})));
    assert_eq!(hear()["result"]["structuredContent"]["output"], 1);
    say(json!({"jsonrpc": "2.0", "id": 5}));
    assert_eq!(hear()["error"]["code"], -32600);
    drop(to);
    assert!(pipe.wait().unwrap().success());
}

#[test]
fn the_official_client_for_python_delegates_over_a_pipe_and_over_http() {
    let Some(dir) = tools::python("mcp-py", &["mcp==2.3.0"]) else { return };
    let host = Host::new(&all_kinds()).set("http.bind", "127.0.0.1:0").up();
    let script = r#"
import asyncio, json, sys
from mcp import Client, StdioServerParameters
program, data, url = sys.argv[1:]
async def use(server, mode):
    async with Client(server, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "delegate_task" in names, names
        done = await client.call_tool("delegate_task", {"input": {"op": "echo", "value": 5}, "wait": 20})
        assert json.loads(done.content[0].text)["output"] == 5, done
        told = []
        async def heard(progress, total, message):
            told.append(message)
        slow = {"input": {"op": "sleep", "ms": 1500}, "wait": 20}
        slow = await client.call_tool("delegate_task", slow, progress_callback=heard)
        assert not slow.is_error and any("is running" in message for message in told), (slow, told)
        bad = await client.call_tool("cancel_task", {"task": "tsk_00000000000000000000000000000001"})
        assert bad.is_error, bad
        assert len((await client.list_prompts()).prompts) == 5
        taught = await client.get_prompt("work_in_a_session", {"topic": "queues"})
        assert "queues" in taught.messages[0].content.text
        session = "by-" + mode + "-" + ("pipe" if server is not url else "http")
        await client.call_tool("create_session", {"session_id": session, "title": "T"})
        kept = await client.call_tool("store_memory", {"session_id": session, "key": "k", "content": "plans", "tags": ["t"]})
        assert not kept.is_error, kept
        found = await client.call_tool("query_memories", {"session_id": session, "text": "planning"})
        assert json.loads(found.content[0].text)["memories"][0]["key"] == "k", found
        of_session = await client.read_resource("hostler://sessions/" + session + "/memories")
        assert "plans" in of_session.contents[0].text
        assert any(session in str(r.uri) for r in (await client.list_resources()).resources)
        read = await client.read_resource("hostler://fleets")
        assert "quick" in read.contents[0].text
async def main():
    pipe = StdioServerParameters(command=program, args=["--data-dir", data, "mcp"])
    for server in (pipe, url):
        for mode in ("legacy", "2026-07-28"):
            await use(server, mode)
    print("both, twice")
asyncio.run(main())
"#;
    let url = format!("http://{}/mcp", address(&host));
    let output = Command::new("timeout")
        .args(["120", "python3", "-c", script, HOSTLER])
        .arg(host.data_dir())
        .arg(url)
        .env("PYTHONPATH", dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "both, twice", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_inspector_lists_the_tools_and_calls_one() {
    let Some(dir) = tools::node("mcp-inspector", &["@modelcontextprotocol/inspector@0.15.0"])
    else {
        return;
    };
    let host = Host::new(&all_kinds()).up();
    let inspect = |words: &[&str]| -> Value {
        let output = Command::new("timeout")
            .args(["120", "node"])
            .arg(dir.join("node_modules/.bin/mcp-inspector"))
            .args(["--cli", HOSTLER, "--data-dir"])
            .arg(host.data_dir())
            .arg("mcp")
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&said).unwrap_or_else(|error| {
            panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr))
        })
    };
    let tools = inspect(&["--method", "tools/list"]);
    assert!(tools["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "wait_task"));
    let called = inspect(&["--method", "tools/call", "--tool-name", "list_queues"]);
    assert!(called["content"][0]["text"].as_str().unwrap().contains("default"), "{called}");
    let made = inspect(&[
        "--method",
        "tools/call",
        "--tool-name",
        "create_session",
        "--tool-arg",
        "session_id=s",
    ]);
    assert_eq!(made["isError"], false, "{made}");
    let listed = inspect(&["--method", "resources/list"]);
    assert!(listed.to_string().contains("hostler://sessions/s"), "{listed}");
    let prompts = inspect(&["--method", "prompts/list"]);
    assert_eq!(prompts["prompts"].as_array().map(Vec::len), Some(5));
}
