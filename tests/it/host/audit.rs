//! The audit record: who changed what, and who was refused.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::access::address;
use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, send},
    wire::{Answer, Ask},
};

fn post(path: &str, body: &Value) -> Ask {
    Ask::new("POST", path).json(body)
}

/// The records that a query finds, the newest first.
fn records(host: &Host, query: &str) -> Vec<Value> {
    let page = host.get(&format!("/api/v1/audit?{query}"));
    page["items"].as_array().expect("items").clone()
}

/// Waits for the only record of an operation.
#[track_caller]
fn only(host: &Host, operation: &str) -> Value {
    let query = format!("operation={operation}");
    eventually(&format!("{operation} is recorded"), || !records(host, &query).is_empty());
    let found = records(host, &query);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

fn with(key: &str, at: SocketAddr, ask: Ask) -> Answer {
    ask.header("Authorization", &format!("Bearer {key}")).over_tcp(at).unwrap()
}

#[test]
fn every_change_is_recorded_with_who_and_from_where_and_never_what_it_held() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let made = host.cli_json(&["key", "create", "--scope", "submit", "--scope", "control"]);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    // In the transaction of the key: it is there at once.
    let created = records(&host, "operation=api-keys.create");
    assert_eq!(created[0]["object"], id, "{created:#?}");
    assert_eq!((&created[0]["who"], &created[0]["peer"]), (&json!("owner"), &Value::Null));
    assert_eq!((&created[0]["status"], &created[0]["outcome"]), (&json!(201), &json!("done")));

    let task = json!({"input": {"op": "echo", "value": "a-secret-in-the-input"}});
    let submit = post("/api/v1/tasks", &task).header("X-Request-Id", "req-7");
    let task = with(key, at, submit).expect(201)["id"].as_str().unwrap().to_owned();
    let record = only(&host, "tasks.create");
    assert_eq!(record["who"], format!("key:{id}"));
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    assert_eq!((&record["object"], &record["request"]), (&json!(task), &json!("req-7")));
    assert_eq!((&record["surface"], &record["count"]), (&json!("http"), &json!(1)));
    host.wait(&task);
    with(key, at, post(&format!("/api/v1/tasks/{task}/cancel"), &json!({}))).expect(409);
    let record = only(&host, "tasks.cancel");
    assert_eq!((&record["outcome"], &record["status"]), (&json!("failed"), &json!(409)));
    assert_eq!(record["object"], task);

    host.ask(&post("/api/v1/fleets/quick/scale", &json!({"count": 2}))).expect(200);
    assert_eq!(only(&host, "fleets.scale")["object"], "quick");
    host.ask(&Ask::new("POST", "/api/v1/reload")).expect(200);
    assert_eq!(only(&host, "reload")["who"], "owner");
    send(host.pid(), Signal::SIGHUP);
    eventually("a signal is recorded", || {
        records(&host, "operation=reload&surface=signal").len() == 1
    });
    host.cli_json(&["key", "revoke", id]);
    assert_eq!(records(&host, "operation=api-keys.revoke")[0]["object"], id);
    assert_eq!(records(&host, "operation=host.start&who=system").len(), 1);

    // To look is no change, and no record tells what a change held.
    let all = records(&host, "limit=500");
    let text = json!(all).to_string();
    assert!(!text.contains("a-secret-in-the-input") && !text.contains(key), "{text}");
    assert!(all.iter().all(|record| !record["operation"].as_str().unwrap().ends_with(".get")));
}

#[test]
fn what_a_schedule_does_by_itself_is_recorded() {
    let ticking = "[schedules.tick]\nevery = \"1s\"\noverlap = \"queue\"\n\
        input = { op = \"echo\", value = 1 }\n";
    let host = Host::new(&format!("{WORKER}\n{ticking}")).up();
    let fired = "operation=schedules.fire&who=schedule:tick&surface=host&outcome=done";
    eventually("two are recorded", || records(&host, fired).len() >= 2);
    host.cli_json(&["schedule", "pause", "tick"]);
    for record in records(&host, fired) {
        let task = host.task(record["object"].as_str().unwrap());
        assert_eq!(task["input"]["op"], "echo", "{record}");
    }
    let firings = host.get("/api/v1/schedules/tick/firings?limit=200");
    let due = firings["items"].as_array().unwrap().len();
    eventually("each is recorded once", || records(&host, fired).len() == due);
}

#[test]
fn commands_of_webhooks_and_tools_of_mcp_are_recorded_by_their_names() {
    let host = Host::new(WORKER).up();
    let command = |word: &str, data: Value| {
        json!({"type": "collaborative_session_command", "command": word, "session_id": "walk",
            "data": data})
    };
    let create = command("create_session", json!({"title": "private thoughts"}));
    assert!(host.ask(&post("/webhook", &create)).status < 300);
    let record = only(&host, "create_session");
    assert_eq!((&record["surface"], &record["object"]), (&json!("webhook"), &json!("walk")));
    let batch = command(
        "batch",
        json!({"commands": [
            {"command": "store_memory", "data": {"key": "k", "content": "private thoughts"}},
            {"command": "get_session_summary", "data": {}},
            {"command": "complete_session", "data": {}},
        ]}),
    );
    assert!(host.ask(&post("/webhook", &batch)).status < 300);
    assert_eq!(only(&host, "store_memory")["outcome"], "done");
    assert_eq!(only(&host, "complete_session")["object"], "walk");
    assert_eq!(records(&host, "operation=get_session_summary").len(), 0, "to look is no change");

    let call = |name: &str, arguments: Value| {
        let params = json!({"name": name, "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let ask = post("/mcp", &call).header("Accept", "application/json, text/event-stream");
        host.ask(&ask.header("MCP-Protocol-Version", "2025-11-25")).expect(200)
    };
    let task = call("delegate_task", json!({"input": {"op": "echo", "value": "private thoughts"}}));
    let record = only(&host, "delegate_task");
    assert_eq!(record["surface"], "mcp");
    assert_eq!(record["object"], task["result"]["structuredContent"]["id"], "{task}");
    call("list_fleets", json!({}));
    call("cancel_task", json!({"task": "tsk_00000000000000000000000000000001"}));
    let record = only(&host, "cancel_task");
    assert_eq!((&record["outcome"], &record["status"]), (&json!("failed"), &json!(404)));
    assert_eq!(records(&host, "surface=mcp").len(), 2);
    assert!(!json!(records(&host, "limit=500")).to_string().contains("private thoughts"));
}

#[test]
fn who_is_refused_is_recorded_and_a_flood_of_it_stays_small() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let made = host.cli_json(&["key", "create", "--scope", "read", "--rate", "5/1h"]);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    with(key, at, post("/api/v1/tasks", &json!({}))).expect(403);
    for nth in 0..150 {
        let path = format!("/api/v1/tasks/tsk_{nth:032x}");
        Ask::new("GET", &path).over_tcp(at).unwrap().expect(401);
    }
    for _ in 0..20 {
        with(key, at, Ask::new("GET", "/api/v1/tasks"));
    }
    let refused = || records(&host, "outcome=refused");
    eventually("all kinds are recorded", || refused().len() == 3);
    let refused = refused();
    let statuses: Vec<_> = refused.iter().rev().map(|it| it["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [403, 401, 429], "{refused:#?}");
    assert_eq!(refused[2]["who"], format!("key:{id}"));
    assert_eq!(
        (&refused[1]["who"], &refused[1]["operation"]),
        (&json!("nobody"), &json!("tasks.get"))
    );
    assert_eq!(refused[0]["who"], format!("key:{id}"), "one that is known is named");
}

#[test]
fn a_host_that_is_killed_loses_nothing_of_the_record() {
    let mut host = Host::new(WORKER).up();
    for _ in 0..40 {
        host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    }
    host.kill9();
    host.restart();
    eventually("all are recorded", || {
        records(&host, "operation=tasks.create&limit=500").len() == 40
    });
    // What was counted is told when the host stops.
    for _ in 0..7 {
        host.ask(&post("/api/v1/tasks", &json!({"queue": "gone"})));
    }
    host.stop();
    host.restart();
    let failed = records(&host, "operation=tasks.create&outcome=failed");
    let counts: u64 = failed.iter().map(|record| record["count"].as_u64().unwrap()).sum();
    assert_eq!((failed.len(), counts), (2, 7), "{failed:#?}");
}

#[test]
fn the_record_is_read_page_by_page_and_followed() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let ids: Vec<String> = (0..7).map(|_| host.submit(&json!({"input": {"op": "echo"}}))).collect();
    eventually("all are recorded", || records(&host, "operation=tasks").len() == 7);
    for order in ["newest", "oldest"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..4 {
            let query = format!("operation=tasks&limit=3&order={order}{cursor}");
            let page = host.get(&format!("/api/v1/audit?{query}"));
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|it| it["object"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if order == "newest" {
            seen.reverse();
        }
        assert_eq!(seen, ids, "{order}");
    }
    let listed = host.cli_json(&["audit", "list", "--operation", "tasks", "--since", "1h"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 7);
    let text = host.cli(&["audit", "list", "--who", "owner", "--limit", "2"]).stdout;
    assert!(text.contains("tasks.create") && text.contains("more: --cursor"), "{text}");
    let words = ["audit", "tail", "--operation", "tasks.create", "--last=1", "--count=3", "--json"];
    let follow = std::thread::scope(|scope| {
        let follow = scope.spawn(|| host.cli(&words));
        eventually("it has told of three", || {
            host.submit(&json!({"input": {"op": "echo"}}));
            follow.is_finished()
        });
        follow.join().expect("it ends")
    });
    assert_eq!(follow.code, 0, "{follow:?}");
    let lines: Vec<Value> =
        follow.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.windows(2).all(|two| two[0]["number"].as_i64() < two[1]["number"].as_i64()));
    for bad in ["outcome=well", "surface=door", "order=up", "cursor=x", "since=now", "what=1"] {
        host.ask(&Ask::new("GET", &format!("/api/v1/audit?{bad}"))).expect(400);
    }
    // It is for those who may do everything.
    let key = host.cli_json(&["key", "create", "--scope", "read", "--scope", "control"]);
    let key = key["key"].as_str().unwrap();
    with(key, address(&host), Ask::new("GET", "/api/v1/audit")).expect(403);
}

#[test]
fn what_is_over_its_term_goes_and_nothing_is_changed() {
    let mut host = Host::new(WORKER).set("history.audit", "1day").up();
    host.database().execute(&["
        INSERT INTO hostler.audit (id, at, host, who, surface, operation, object, outcome, count)
        SELECT gen_random_uuid(), now() - nth * interval '1 hour', 'h', 'old', 'http', 'x', '', 'done', 1
        FROM generate_series(1, 48) nth"]);
    // The duty of whoever leads begins with the host.
    host.stop();
    host.restart();
    eventually("the old ones are gone", || records(&host, "who=old&limit=500").len() == 23);
    host.database().execute(&["DO $$ BEGIN
        UPDATE hostler.audit SET who = 'another';
        RAISE 'a row was changed';
    EXCEPTION WHEN restrict_violation THEN NULL; END $$"]);
}
