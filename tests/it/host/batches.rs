//! Batches, on the command line and over HTTP.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::eventually,
    wire::Ask,
};

const BATCHES: &str = "/api/v1/batches";

fn echo(value: u64) -> Value {
    json!({"input": {"op": "echo", "value": value}})
}

fn post(host: &Host, path: &str, body: &Value) -> crate::support::wire::Answer {
    host.ask(&Ask::new("POST", path).json(body))
}

/// The callback of a batch that is done, once it has run.
fn called(host: &Host, batch: &str, end: &str) -> Value {
    let record = host.get(&format!("{BATCHES}/{batch}"));
    let id = record["callbacks"][end].as_str().unwrap_or_else(|| panic!("{record}"));
    host.wait(id)
}

#[test]
fn a_batch_lives_its_life_on_the_command_line() {
    let host = Host::new(WORKER).up();
    let file = host.path("tasks.jsonl");
    let lines: String = (0..20).map(|number| format!("{}\n", echo(number))).collect();
    std::fs::write(&file, lines).unwrap();
    let merge = json!({"kind": "merge", "input": {"op": "echo", "value": "merged"}}).to_string();
    let words = [
        "batch",
        "submit",
        "--jsonl",
        file.to_str().unwrap(),
        "--on-complete",
        &merge,
        "--on-failure",
        &merge,
        "--key",
        "import-17",
    ];
    let batch = host.cli_json(&words);
    let id = batch["id"].as_str().unwrap();
    assert_eq!(batch["total"], 20);
    assert!(batch["closed_at"].is_string(), "{batch}");
    let waited = host.cli_json(&["batch", "wait", id]);
    assert_eq!((&waited["ended"], &waited["counts"]), (&json!(20), &json!({"completed": 20})));
    let again = host.cli_json(&words);
    assert_eq!((&again["id"], &again["total"]), (&json!(id), &json!(20)), "one batch of a key");

    let callback = called(&host, id, "complete");
    assert_eq!((&callback["state"], &callback["kind"]), (&json!("completed"), &json!("merge")));
    assert_eq!(callback["output"], "merged", "it has what it was given");
    let summary = &callback["input"]["batch"];
    assert_eq!((&summary["id"], &summary["completed"]), (&json!(id), &json!(20)));
    let members: BTreeSet<String> = host.cli_json(&["task", "list", "--batch", id])["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect();
    let told: BTreeSet<String> =
        serde_json::from_value(summary["tasks"]["completed"].clone()).unwrap();
    assert_eq!((told.len(), told), (20, members));
    assert_eq!(host.get(&format!("{BATCHES}/{id}"))["callbacks"]["failure"], Value::Null);
    let shown = host.cli(&["batch", "show", id]);
    assert!(shown.stdout.contains("20 (20 ended)") && shown.stdout.contains("on complete: tsk_"));
}

#[test]
fn an_open_batch_is_filled_closed_and_waited_for() {
    let host = Host::new(WORKER).up();
    let open =
        host.cli_json(&["batch", "submit", "--open", "--on-failure", "{\"kind\": \"mend\"}"]);
    let id = open["id"].as_str().unwrap();
    let input = r#"{"op": "fail", "message": "no"}"#;
    let words = ["task", "submit", "--batch", id, "-i", input, "--max-attempts", "1", "--wait"];
    assert_eq!(host.cli(&words).code, 1);
    let more = json!({"tasks": [echo(1), echo(2)]});
    let added = post(&host, &format!("{BATCHES}/{id}/tasks"), &more).expect(201);
    assert_eq!(added["created"], 2);
    let short = host.cli(&["batch", "wait", id, "--timeout", "300ms"]);
    assert_eq!(short.code, 124, "it is open: {short:?}");
    let closed = host.cli_json(&["batch", "close", id]);
    assert_eq!(closed["total"], 3);
    let waited = host.cli(&["batch", "wait", id, "--json"]);
    assert_eq!(waited.code, 1, "{waited:?}");
    let record: Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!(record["counts"], json!({"completed": 2, "failed": 1}));
    let mend = called(&host, id, "failure");
    assert_eq!((&mend["kind"], &mend["input"]["batch"]["failed"]), (&json!("mend"), &json!(1)));

    let late = post(&host, &format!("{BATCHES}/{id}/tasks"), &more).expect(409);
    assert_eq!(late["type"], "urn:hostler:problem:wrong-state");
    let late = post(&host, "/api/v1/tasks", &json!({ "batch": id })).expect(409);
    assert!(late["detail"].as_str().unwrap().contains("closed"), "{late}");
}

#[test]
fn a_batch_that_is_called_off_ends_and_calls_back() {
    let host = Host::new(WORKER).up();
    let sleeper = json!({"input": {"op": "sleep", "ms": 600_000}});
    let tasks = [vec![sleeper], vec![echo(1); 5]].concat();
    let body = json!({"tasks": tasks, "on_complete": {"input": {"op": "echo"}}});
    let made = post(&host, BATCHES, &body);
    let location = made.header("Location").unwrap().to_owned();
    let made = made.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["created"], made["items"].as_array().unwrap().len()), (&json!(true), 6));
    assert_eq!(host.get(&location)["id"], made["id"]);
    host.until_task(made["items"][0]["id"].as_str().unwrap(), "running");
    let cancelled = host.cli_json(&["batch", "cancel", id]);
    assert!(cancelled["cancelled_at"].is_string(), "{cancelled}");
    let record = host.get(&format!("{BATCHES}/{id}?wait=60s"));
    assert_eq!((&record["ended"], record["done_at"].is_string()), (&json!(6), true), "{record}");
    let callback = called(&host, id, "complete");
    let cancelled = callback["input"]["batch"]["cancelled"].as_u64().unwrap();
    assert!(cancelled >= 1 && callback["input"]["batch"]["cancelled_at"].is_string());
}

#[test]
fn two_hosts_end_many_batches_and_each_calls_back_once() {
    let fleets = WORKER.replace("[fleets.quick]", "[fleets.quick]\ncount = 3");
    let host = Host::new(&fleets).up();
    let other = host.beside(&fleets).up();
    for agent in ["quick-1", "quick-2", "quick-3"] {
        host.until_agent(agent, "idle");
        other.until_agent(agent, "idle");
    }
    let ids: Vec<String> = (0..8)
        .map(|number| {
            let body = json!({"tasks": vec![echo(number); 9],
                "on_success": {"kind": "back", "input": {"op": "echo", "value": number}}});
            let to = if number % 2 == 0 { &host } else { &other };
            post(to, BATCHES, &body).expect(201)["id"].as_str().unwrap().to_owned()
        })
        .collect();
    for id in &ids {
        let record = host.get(&format!("{BATCHES}/{id}?wait=60s"));
        assert_eq!(record["counts"], json!({"completed": 9}), "{record}");
        assert_eq!(called(&host, id, "success")["state"], "completed");
    }
    let back = host.get("/api/v1/tasks?kind=back&limit=100");
    assert_eq!(back["items"].as_array().unwrap().len(), ids.len());
    eventually("both hosts did some of it", || {
        !host.effects().is_empty() && !other.effects().is_empty()
    });
}

#[test]
fn a_batch_that_is_wrong_is_refused_whole() {
    let host = Host::new(WORKER).up();
    let rows = [
        (json!({"tasks": [{"queue": "nowhere"}]}), 422, "tasks[0].queue"),
        (json!({"tasks": [{}], "on_success": {"queue": "nowhere"}}), 422, "on_success.queue"),
        (json!({"tasks": [{}, {"priority": "x"}]}), 422, "tasks[1].priority"),
        (json!({"tasks": [{}], "on_complete": {"input": 1}}), 422, "on_complete.input"),
    ];
    for (body, status, field) in rows {
        let problem = post(&host, BATCHES, &body).expect(status);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let gone = "bat_0198f3c2a7d47c10b5a86f0e2d91c344";
    let problem = post(&host, "/api/v1/tasks", &json!({"tasks": [{}, {"batch": gone}]}));
    assert_eq!(problem.expect(422)["errors"][0]["field"], "tasks[1].batch");
    assert_eq!(host.get("/api/v1/tasks")["items"], json!([]), "nothing was submitted");
    let file = host.path("broken.jsonl");
    std::fs::write(&file, "{\"kind\": \"a\"}\n{\"kind\": 7}\n").unwrap();
    let done = host.cli(&["batch", "submit", "--jsonl", file.to_str().unwrap()]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("line 2: kind") && done.stderr.contains("batch cancel bat_"));
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
fn batches_and_groups_are_listed_page_by_page() {
    let host = Host::new(WORKER).up();
    let make = |body: Value| post(&host, BATCHES, &body).expect(201)["id"].clone();
    let done = make(json!({"tasks": [echo(1), echo(2)]}));
    let later = json!({"input": {"op": "echo"}, "run_at": "2999-01-01T00:00:00Z", "group": "b"});
    let closed = make(json!({"tasks": [later]}));
    let open = make(json!({"open": true}));
    host.cli_json(&["batch", "wait", done.as_str().unwrap()]);
    let (done, closed, open) =
        (done.as_str().unwrap(), closed.as_str().unwrap(), open.as_str().unwrap());

    let all = host.get(BATCHES);
    assert_eq!((ids(&all), &all["next_cursor"]), (vec![open, closed, done], &Value::Null));
    assert_eq!(all["items"][2], host.get(&format!("{BATCHES}/{done}")), "as it is shown alone");
    assert_eq!(ids(&host.get(&format!("{BATCHES}?unfinished=true"))), [open, closed]);
    let first = host.get(&format!("{BATCHES}?limit=2"));
    assert_eq!(ids(&first), [open, closed]);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&host.get(&format!("{BATCHES}?limit=2&cursor={cursor}"))), [done]);
    let listed = host.cli_json(&["batch", "list", "--unfinished", "--limit", "1"]);
    assert_eq!(ids(&listed), [open]);
    let text = host.cli(&["batch", "list"]).stdout;
    assert!(text.contains("BATCH") && text.contains("0/1") && text.contains("2/2"), "{text}");

    for group in ["c", "a", "a.b"] {
        host.submit(&json!({"input": {"op": "echo"}, "group": group}));
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let groups = "/api/v1/groups";
    assert_eq!(names(&host.get(groups)), ["a", "a.b", "b", "c"]);
    assert_eq!(host.get(groups)["items"][2], host.get("/api/v1/groups/b"), "as it is shown alone");
    let first = host.get(&format!("{groups}?limit=3"));
    assert_eq!((names(&first).len(), &first["next_cursor"]), (3, &json!("c")));
    assert_eq!(names(&host.cli_json(&["group", "list", "--cursor", "c"])), ["c"]);
    assert!(host.cli(&["group", "list"]).stdout.contains("scheduled 1"));

    for bad in ["?limit=0", "?cursor=%20", "?unfinished=maybe", "?state=done"] {
        host.ask(&Ask::new("GET", &format!("{BATCHES}{bad}"))).expect(400);
    }
    host.ask(&Ask::new("GET", "/api/v1/groups?cursor=Not%20one")).expect(400);
}
