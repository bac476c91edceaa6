//! Runs of plans over HTTP: every route, what it answers, and when it refuses.

use serde_json::{Value, json};

use crate::support::{
    host::{HOSTLER, Host},
    processes::eventually,
    wire::{Answer, Ask},
};

const RUNS: &str = "/api/v1/plans/runs";
const NOBODY: &str = "run_00000000000000000000000000000007";

fn host() -> Host {
    Host::new(&format!(
        "[fleets.mock]\nprotocol = \"worker\"\ncommand = [\"{HOSTLER}\", \"mock-agent\"]\n\
         count = 2\ncwd = \"@DIR@\"\n"
    ))
    .set("tasks.max_attempts", "1")
    .up()
}

fn post(host: &Host, path: &str, body: &Value) -> Answer {
    host.ask(&Ask::new("POST", path).json(body))
}

/// Carries a plan of these tasks out, in a rehearsal that is over in no time; its path.
#[track_caller]
fn begin(host: &Host, tasks: &Value) -> String {
    let body = json!({ "plan": { "version": 1, "tasks": tasks } });
    let made = post(host, RUNS, &body);
    let run = made.expect(201);
    let path = made.header("Location").unwrap().to_owned();
    assert_eq!(path, format!("{RUNS}/{}", run["id"].as_str().unwrap()));
    path
}

#[track_caller]
fn until(host: &Host, run: &str, state: &str) -> Value {
    eventually(&format!("{run} is {state}"), || host.get(run)["state"] == state);
    host.get(run)
}

#[track_caller]
fn state_of(host: &Host, run: &str, task: &str) -> Value {
    let tasks = host.get(&format!("{run}/tasks"));
    let found = tasks["items"].as_array().unwrap().iter().find(|one| one["id"] == task);
    found.unwrap()["state"].clone()
}

#[test]
fn a_run_is_previewed_made_once_listed_and_reported() {
    let host = host();
    let plan = json!({ "version": 1, "title": "Two", "tasks": [
        { "id": "a", "duration": "1h" }, { "id": "b", "duration": "2h", "depends_on": ["a"] },
    ]});
    let preview = post(&host, RUNS, &json!({ "plan": plan, "dry_run": true })).expect(200);
    assert_eq!(
        (&preview["dry_run"], &preview["makespan_ms"]),
        (&json!(true), &json!(3 * 3_600_000))
    );
    assert_eq!(host.get(RUNS)["items"], json!([]), "a preview makes nothing");

    let keyed = Ask::new("POST", RUNS).header("Idempotency-Key", "once");
    let body = json!({ "plan": plan, "speed": "1h=10ms" });
    let run = host.ask(&keyed.clone().json(&body)).expect(201);
    let again = host.ask(&keyed.clone().json(&body)).expect(200);
    assert_eq!((&again["id"], &again["created"]), (&run["id"], &json!(false)));
    let other = host.ask(&keyed.json(&json!({ "plan": plan, "idempotency_key": "twice" })));
    assert_eq!(other.expect(422)["errors"][0]["field"], "idempotency_key");

    let path = format!("{RUNS}/{}", run["id"].as_str().unwrap());
    let ended = until(&host, &path, "completed");
    assert_eq!((&ended["title"], &ended["total"]), (&json!("Two"), &json!(2)));
    let report = host.get(&format!("{path}/report"));
    let order: Vec<_> = report["tasks"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(order, ["a", "b"], "{report}");
    let asked = json!({ "tasks": ["a", "nobody"] });
    let learned = post(&host, "/api/v1/plans/history", &asked).expect(200);
    assert_eq!(learned["items"], json!([]), "a rehearsal teaches nothing");

    let second = begin(&host, &json!([{ "id": "x", "duration": "1h", "owner": "human" }]));
    let page = host.get(&format!("{RUNS}?limit=1"));
    assert_eq!(format!("{RUNS}/{}", page["items"][0]["id"].as_str().unwrap()), second);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = host.get(&format!("{RUNS}?limit=1&cursor={next}"));
    assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&run["id"], &Value::Null));
}

#[test]
fn a_run_is_paused_goes_on_is_called_off_and_tried_again() {
    let host = host();
    let run = begin(
        &host,
        &json!([
            { "id": "go", "duration": "1m", "owner": "human" },
            { "id": "a", "duration": "1m", "depends_on": ["go"] },
        ]),
    );
    let paused = post(&host, &format!("{run}/pause"), &json!({ "reason": "lunch" })).expect(200);
    assert_eq!((&paused["state"], &paused["paused_reason"]), (&json!("paused"), &json!("lunch")));
    let wrong = post(&host, &format!("{run}/pause"), &json!({ "why": "lunch" })).expect(422);
    assert_eq!(wrong["errors"][0]["field"], "why");
    let resumed = post(&host, &format!("{run}/resume"), &json!({})).expect(200);
    assert_eq!((&resumed["state"], &resumed["paused_reason"]), (&json!("running"), &Value::Null));

    post(&host, &format!("{run}/cancel"), &json!({})).expect(200);
    let ended = until(&host, &run, "cancelled");
    assert_eq!(ended["counts"], json!({ "cancelled": 2 }));
    post(&host, &format!("{run}/pause"), &json!({})).expect(409);

    let failing = json!({ "mock": { "fail": "no luck", "times": 1 } });
    let run = begin(
        &host,
        &json!([
            { "id": "a", "duration": "1m", "input": failing },
            { "id": "b", "duration": "1m", "depends_on": ["a"] },
        ]),
    );
    until(&host, &run, "failed");
    let retry = format!("{run}/retry");
    post(&host, &retry, &json!({ "task": "B!" })).expect(422);
    post(&host, &retry, &json!({ "task": "nobody" })).expect(404);
    post(&host, &retry, &json!({ "task": "a" })).expect(200);
    until(&host, &run, "completed");
    post(&host, &retry, &json!({})).expect(409);
}

#[test]
fn people_do_fail_approve_and_skip_what_is_theirs() {
    let host = host();
    let run = begin(
        &host,
        &json!([
            { "id": "sign", "duration": "1m", "owner": "human" },
            { "id": "ship", "duration": "1m", "depends_on": ["sign"], "approval": true },
            { "id": "call", "duration": "1m", "owner": "human", "depends_on": ["ship"] },
            { "id": "rest", "duration": "1m", "depends_on": ["call"] },
        ]),
    );
    let deal = |task: &str, deed: &str, body: &Value| {
        post(&host, &format!("{run}/tasks/{task}/{deed}"), body)
    };
    let until_task = |task: &str, state: &str| {
        eventually(&format!("{task} is {state}"), || state_of(&host, &run, task) == state);
    };
    until_task("sign", "pending");
    deal("ship", "approve", &json!({})).expect(409);
    deal("ship", "done", &json!({})).expect(409);
    deal("nobody", "skip", &json!({})).expect(404);
    deal("sign", "done", &json!({ "result": 1 })).expect(422);
    let done = deal("sign", "done", &json!({ "output": { "by": "ada" } })).expect(200);
    assert_eq!((&done["id"], &done["state"]), (&json!("sign"), &json!("completed")));
    assert_eq!(host.task(done["task"].as_str().unwrap())["output"], json!({ "by": "ada" }));
    deal("sign", "done", &json!({})).expect(409);

    eventually("the approval is asked for", || deal("ship", "approve", &json!({})).status == 200);
    until_task("call", "pending");
    let failed = deal("call", "fail", &json!({ "message": "nobody answered" })).expect(200);
    assert_eq!(failed["id"], "call");
    until_task("call", "failed");
    until(&host, &run, "failed");
    let skipped = deal("call", "skip", &json!({})).expect(200);
    assert!(skipped["skipped_at"].is_string(), "{skipped}");
    until(&host, &run, "completed");
}

#[test]
fn a_run_that_is_not_there_is_said_to_be_so_on_every_route() {
    let host = host();
    let at = format!("{RUNS}/{NOBODY}");
    for path in ["", "/tasks", "/report"] {
        host.ask(&Ask::new("GET", &format!("{at}{path}"))).expect(404);
    }
    for deed in ["pause", "resume", "cancel", "retry"] {
        post(&host, &format!("{at}/{deed}"), &json!({})).expect(404);
    }
    for deed in ["done", "fail", "approve", "skip"] {
        post(&host, &format!("{at}/tasks/a/{deed}"), &json!({})).expect(404);
    }
    host.ask(&Ask::new("GET", &format!("{RUNS}/7"))).expect(400);
}
