//! Plans carried out: the real program, mock agents, a real Postgres.

use std::{collections::BTreeSet, fs, path::Path, process::Stdio};

use hostler::domain::glob::Glob;
use serde_json::{Value, json};

use crate::support::{
    host::{HOSTLER, Host},
    processes::eventually,
    wire::Ask,
};

/// A host with so many mock agents, and a queue that a real program serves.
fn host(agents: u32) -> Host {
    Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
count = {agents}
cwd = "@DIR@"

[fleets.paid]
protocol = "exec"
command = ["cat"]
queues = ["paid"]
"#
    ))
    .set("tasks.max_attempts", "1")
    .up()
}

fn seed() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plans/seed.toml");
    file.to_str().unwrap().to_owned()
}

/// Writes a plan, and begins it; the id of the run.
#[track_caller]
fn begin(host: &Host, plan: &str, flags: &[&str]) -> String {
    let file = host.path("plan.yaml");
    fs::write(&file, plan).unwrap();
    let words = [&["plan", "run", file.to_str().unwrap(), "--detach"], flags].concat();
    host.cli_json(&words)["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn run(host: &Host, id: &str) -> Value {
    host.get(&format!("/api/v1/plans/runs/{id}"))
}

#[track_caller]
fn until_run(host: &Host, id: &str, state: &str) -> Value {
    eventually(&format!("{id} is {state}"), || run(host, id)["state"] == state);
    run(host, id)
}

/// The tasks of a run.
#[track_caller]
fn tasks(host: &Host, id: &str) -> Vec<Value> {
    let list = host.get(&format!("/api/v1/plans/runs/{id}/tasks"));
    list["items"].as_array().unwrap().clone()
}

#[track_caller]
fn task(host: &Host, id: &str, name: &str) -> Value {
    tasks(host, id).into_iter().find(|task| task["id"] == name).unwrap()
}

#[track_caller]
fn until_task(host: &Host, id: &str, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), || task(host, id, name)["state"] == state);
}

/// From when to when something was, in texts that compare as times do.
fn span(task: &Value) -> (jiff::Timestamp, jiff::Timestamp) {
    let time = |name: &str| task[name].as_str().unwrap().parse().unwrap();
    (time("began_at"), time("ended_at"))
}

#[test]
fn the_seeds_plan_is_rehearsed_with_three_mock_agents() {
    // There are more than may be at it.
    let host = host(5);
    let words = ["plan", "run", &seed(), "--agents", "3", "--speed", "1h=150ms"];
    let report = host.cli_json(&words);
    assert_eq!(report["run"]["state"], "completed", "{report:#}");
    let id = report["run"]["id"].as_str().unwrap();
    let plan = hostler::plan::read::read(Path::new(&seed())).unwrap();
    let ran = tasks(&host, id);
    // Nine tasks: without the preparation, and without the parts of the split.
    assert_eq!((ran.len(), report["tasks"].as_array().unwrap().len()), (9, 9));
    assert_eq!(
        (&report["planned_ms"], &report["run"]["proven_optimal"]),
        (&json!(1200), &json!(true))
    );
    assert!(report["real_ms"].as_u64().unwrap() >= 1200, "{report:#}");
    let of = |name: &Value| plan.tasks.iter().find(|task| task.id.as_str() == name).unwrap();
    let overlap = |a: &Glob, b: &Glob| a.overlaps(b);
    for one in &ran {
        assert_eq!(one["state"], "completed", "{one}");
        let (began, ended) = span(one);
        for before in one["depends_on"].as_array().unwrap() {
            let before = ran.iter().find(|it| it["place"] == *before).unwrap();
            assert!(span(before).1 <= began, "{} before {}", one["id"], before["id"]);
        }
        let at_once: Vec<&Value> =
            ran.iter().filter(|other| span(other).0 < ended && began < span(other).1).collect();
        // An agent may have the next before the end of the last is written.
        let at_it = at_once.iter().filter(|other| span(other).0 <= began);
        let at_it: BTreeSet<_> = at_it.map(|other| other["agent"].as_str()).collect();
        assert!(at_it.len() <= 3, "{one}");
        for other in at_once.iter().filter(|other| other["id"] != one["id"]) {
            let files = |task: &Value| of(&task["id"]).files.clone();
            let conflict = files(one).iter().any(|a| {
                files(other).iter().any(|b| (a.write || b.write) && overlap(&a.glob, &b.glob))
            });
            assert!(!conflict, "{} and {} write the same files", one["id"], other["id"]);
        }
    }
    let shown = host.cli(&["plan", "show", id]);
    assert!(
        shown.code == 0 && shown.stdout.contains("control-agent-implementation *"),
        "{shown:?}"
    );
    let told = host.cli(&["plan", "report", id]);
    assert!(told.stdout.contains("dependency agent-registry-configuration"), "{told:?}");
    let listed = host.cli_json(&["plan", "list"]);
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["counts"]),
        (&json!(id), &json!({"completed": 9}))
    );
    // Nothing of it is limited any more once the leader has seen its end.
    eventually("its limit is gone", || {
        let limits = host.get("/api/v1/limits");
        !limits["limits"].as_array().unwrap().iter().any(|limit| limit["of"] == "key")
    });
    assert!(run(&host, id)["ended_at"].is_string());
}

#[test]
fn people_do_and_allow_what_is_theirs() {
    let host = host(2);
    let id = begin(
        &host,
        "version: 1\ntasks:\n  - {id: build, duration: 1m}\n  \
         - {id: review, duration: 1h, owner: human, depends_on: build}\n  \
         - {id: ship, duration: 1m, depends_on: review, approval: true}\n  \
         - {id: after, duration: 1m, depends_on: ship}\n",
        &[],
    );
    until_task(&host, &id, "review", "pending");
    let early = host.cli(&["plan", "approve", &id, "ship"]);
    assert_eq!(early.code, 5, "{early:?}");
    assert!(early.stderr.contains("what it waits for has not ended yet"), "{early:?}");
    assert_eq!(host.cli(&["plan", "done", &id, "build"]).code, 5);
    assert_eq!(host.cli(&["plan", "done", &id, "nothing"]).code, 4);
    let done = host.cli_json(&["plan", "done", &id, "review", "--output", "{\"good\": true}"]);
    assert_eq!((&done["state"], &done["agent"]), (&json!("completed"), &json!("person")));
    let in_queue = host.task(done["task"].as_str().unwrap());
    assert_eq!(in_queue["output"], json!({"good": true}));
    assert_eq!(host.cli(&["plan", "done", &id, "review"]).code, 5, "only once");
    // It waits for the approval, though all that it depends on is done and agents are idle.
    eventually("the approval is asked for", || {
        task(&host, &id, "ship")["approval_state"] == "pending"
    });
    assert_eq!(task(&host, &id, "ship")["state"], "blocked");
    assert!(host.cli(&["plan", "show", &id]).stdout.contains("waits for a person"));
    host.cli_json(&["plan", "approve", &id, "ship"]);
    let ended = until_run(&host, &id, "completed");
    assert_eq!((&ended["total"], &ended["counts"]), (&json!(4), &json!({"completed": 4})));
}

#[test]
fn what_failed_is_tried_again_or_left_out() {
    let host = host(2);
    let plan = "version: 1\ntasks:\n  \
        - {id: a, duration: 1m, input: {mock: {fail: no luck, times: 1}}}\n  \
        - {id: b, duration: 1m, depends_on: a}\n  - {id: c, duration: 1m, depends_on: b}\n  \
        - {id: other, duration: 1m}\n";
    let id = begin(&host, plan, &[]);
    let failed = until_run(&host, &id, "failed");
    assert_eq!(failed["counts"], json!({"completed": 1, "failed": 1, "cancelled": 2}));
    assert!(task(&host, &id, "a")["message"].as_str().unwrap().contains("no luck"));
    assert_eq!(host.cli(&["plan", "show", &id, "-f", "--json"]).code, 1);
    assert_eq!(host.cli(&["plan", "retry", &id, "other"]).code, 5, "it is done");
    host.cli_json(&["plan", "retry", &id, "a"]);
    let ended = until_run(&host, &id, "completed");
    assert_eq!(ended["counts"], json!({"completed": 4}));
    assert_eq!(host.cli(&["plan", "retry", &id]).code, 5, "nothing to try again");

    let id = begin(&host, &plan.replace("times: 1", "times: 9"), &[]);
    until_run(&host, &id, "failed");
    host.cli_json(&["plan", "skip", &id, "a"]);
    until_run(&host, &id, "completed");
    assert!(task(&host, &id, "a")["skipped_at"].is_string());
    let output = host.task(task(&host, &id, "a")["task"].as_str().unwrap())["output"].clone();
    assert_eq!(output, json!({"skipped": true}));
}

#[test]
fn a_task_that_waits_is_left_out_when_its_turn_comes() {
    let host = host(1);
    let id = begin(
        &host,
        "version: 1\ntasks:\n  - {id: first, duration: 1m, owner: human}\n  \
         - {id: middle, duration: 1m, depends_on: first, input: {mock: {fail: never}}}\n  \
         - {id: last, duration: 1m, depends_on: middle}\n",
        &[],
    );
    until_task(&host, &id, "first", "pending");
    host.cli_json(&["plan", "skip", &id, "middle"]);
    assert_eq!(task(&host, &id, "last")["state"], "blocked", "it waits for what middle waited for");
    host.cli_json(&["plan", "done", &id, "first"]);
    until_run(&host, &id, "completed");
    assert_eq!(task(&host, &id, "middle")["agent"], "person");
}

#[test]
fn a_condition_decides_by_earlier_results() {
    let host = host(2);
    let id = begin(
        &host,
        "version: 1\ntasks:\n  - {id: look, duration: 1m, input: {mock: {output: {found: 3}}}}\n  \
         - {id: mend, duration: 1m, depends_on: look, condition: deps.look.output.found > 2}\n  \
         - {id: praise, duration: 1m, depends_on: look, condition: deps.look.output.found == 0}\n  \
         - {id: odd, duration: 1m, depends_on: look, condition: deps.look.output.none.at > 0}\n  \
         - {id: after, duration: 1m, depends_on: praise}\n",
        &[],
    );
    let ended = until_run(&host, &id, "failed");
    assert_eq!(ended["counts"], json!({"completed": 4, "failed": 1}));
    let decided = |name: &str| task(&host, &id, name)["decided"].clone();
    assert_eq!((decided("mend"), decided("praise")), (json!(true), json!(false)));
    assert_eq!(task(&host, &id, "mend")["agent"].as_str().unwrap()[..4], *"mock");
    let output = host.task(task(&host, &id, "praise")["task"].as_str().unwrap())["output"].clone();
    assert_eq!(output, json!({"skipped": true, "condition": "deps.look.output.found == 0"}));
    let why = host.task(task(&host, &id, "odd")["task"].as_str().unwrap())["error"].clone();
    assert!(why["message"].as_str().unwrap().contains("can't be decided"), "{why}");
    // Who did that is recorded: nobody asked for it.
    let did = |operation: &str| {
        let query = format!("/api/v1/audit?who=plan:{id}&operation=plans.runs.{operation}");
        let page = host.get(&query);
        let of = |record: &Value| record["object"].as_str().unwrap().to_owned();
        page["items"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let tasks = |name: &str| vec![task(&host, &id, name)["task"].as_str().unwrap().to_owned()];
    eventually("the end is recorded", || did("end") == [id.clone()]);
    assert_eq!(did("tasks.begin"), tasks("mend"));
    assert_eq!(did("tasks.skip"), tasks("praise"));
    assert_eq!(did("tasks.fail"), tasks("odd"));
}

#[test]
fn a_run_is_held_back_goes_on_and_is_called_off() {
    let host = host(1);
    let plan = "version: 1\ntasks:\n  - {id: go, duration: 1m, owner: human}\n  \
        - {id: a, duration: 1m, depends_on: go}\n  - {id: b, duration: 1m, depends_on: a}\n";
    let id = begin(&host, plan, &["--agents", "1"]);
    let paused = host.cli_json(&["plan", "pause", &id, "--reason", "lunch"]);
    assert_eq!((&paused["state"], &paused["paused_reason"]), (&json!("paused"), &json!("lunch")));
    host.cli_json(&["plan", "done", &id, "go"]);
    let held = task(&host, &id, "a")["task"].as_str().unwrap().to_owned();
    eventually("it says why it waits", || {
        let waits = host.task(&held)["waits_for"].clone();
        waits.as_array().is_some_and(|waits| waits.iter().any(|wait| wait["reason"] == "lunch"))
    });
    host.cli_json(&["plan", "resume", &id]);
    until_run(&host, &id, "completed");
    assert_eq!(host.cli(&["plan", "pause", &id]).code, 5, "it has ended");

    let tasks: String = (0..4)
        .map(|n| format!("  - {{id: t{n}, duration: 1m, input: {{mock: {{sleep: 1h}}}}}}\n"))
        .collect();
    let id = begin(&host, &format!("version: 1\ntasks:\n{tasks}"), &["--agents", "1"]);
    eventually("one runs", || run(&host, &id)["counts"]["running"] == 1);
    host.cli_json(&["plan", "cancel", &id]);
    let ended = until_run(&host, &id, "cancelled");
    assert_eq!(ended["counts"], json!({"cancelled": 4}));
    let nobody = "run_00000000000000000000000000000007";
    assert_eq!(host.cli(&["plan", "show", nobody]).code, 4);
}

#[test]
fn durations_are_learned_from_real_runs() {
    let host = host(2);
    let plan = "version: 1\ntasks:\n  - {id: a, duration: 5h, input: {mock: {sleep: 300ms}}}\n  \
        - {id: b, duration: 1h, owner: human, depends_on: a}\n";
    let file = host.path("plan.yaml");
    let learned = || {
        let words = ["plan", "analyze", file.to_str().unwrap(), "--from-history"];
        host.cli_json(&words)
    };
    for round in 1..=3 {
        let rehearsed = begin(&host, plan, &["--speed", "1h=1ms"]);
        until_run(&host, &rehearsed, "completed");
        let id = begin(&host, plan, &[]);
        until_task(&host, &id, "b", "pending");
        host.cli_json(&["plan", "done", &id, "b"]);
        eventually("the leader has seen it", || run(&host, &id)["ended_at"].is_string());
        let found = learned();
        let items = found["learned"].as_array().unwrap();
        assert_eq!(
            (items.len(), &items[0]["task"], &items[0]["runs"]),
            (1, &json!("a"), &json!(round))
        );
    }
    let found = learned();
    let hours = found["learned"][0]["median_h"].as_f64().unwrap();
    assert!(hours > 0.0 && hours < 1.0, "a fraction of a second, not the 5 h of the plan: {hours}");
    assert_eq!(found["tasks"][1]["duration_h"], 1.0, "nothing is learned of people");
    let shown = host.cli(&["plan", "analyze", file.to_str().unwrap(), "--from-history"]);
    assert!(shown.stdout.contains("LEARNED"), "{shown:?}");
    let words = ["plan", "run", file.to_str().unwrap(), "--dry-run", "--from-history"];
    let dry = host.cli_json(&words);
    assert!(dry["tasks"][0]["planned_ms"].as_u64().unwrap() < 3_600_000, "{dry}");
}

#[test]
fn a_plan_is_analyzed_for_the_fleets_that_are_there() {
    let host = host(3);
    let plan = "version: 1\ntasks:\n  - {id: a, duration: 1h}\n  - {id: b, duration: 1h}\n  \
        - {id: c, duration: 1h}\n  - {id: d, duration: 1h}\n";
    let file = host.path("plan.yaml");
    fs::write(&file, plan).unwrap();
    let file = file.to_str().unwrap();
    let makespan = |flags: &[&str]| {
        let found = host.cli_json(&[&["plan", "analyze", file, "--live"], flags].concat());
        found["makespan_h"].as_f64().unwrap()
    };
    // Four agents are there, but one serves another queue.
    assert_eq!(makespan(&[]), 2.0);
    assert_eq!(makespan(&["--queue", "paid"]), 4.0);
    host.cli_json(&["fleet", "scale", "mock", "4"]);
    assert_eq!(makespan(&[]), 1.0);
    let nobody = host.cli(&["plan", "analyze", file, "--live", "--queue", "none"]);
    assert_eq!(nobody.code, 2, "{nobody:?}");
    assert!(nobody.stderr.contains("`a` is for queue `none`, which no fleet serves"), "{nobody:?}");
}

/// Held back, so that nothing begins: the order is a bad one, as if durations had turned out otherwise
/// than was thought.
#[test]
fn the_leader_finds_the_order_that_ends_sooner() {
    let host = host(2);
    let plan = "version: 1\ntasks:\n  - {id: go, duration: 1h, owner: human}\n  \
        - {id: long, duration: 9h, depends_on: go}\n  - {id: a, duration: 1h, depends_on: go}\n  \
        - {id: b, duration: 1h, depends_on: go}\n  - {id: c, duration: 9h, depends_on: b}\n";
    let id = begin(&host, plan, &["--agents", "2"]);
    host.cli_json(&["plan", "pause", &id]);
    let set = |name: &str, priority: i32| {
        format!("UPDATE hostler.tasks SET priority = {priority} WHERE kind = '{name}'")
    };
    let bad = [set("long", 5), set("a", 4), set("b", 3), set("c", 2)];
    host.database().execute(&bad.each_ref().map(String::as_str));
    host.cli_json(&["plan", "done", &id, "go"]);
    eventually("it has another order", || run(&host, &id)["replanned"] != 0);
    let priority = |name: &str| task(&host, &id, name)["priority"].as_i64().unwrap();
    assert!(priority("b") > priority("a"), "what has much behind it goes first");
    let record = run(&host, &id);
    let time = |name: &str| record[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let left = time("expected_end_at").duration_since(time("looked_at")).as_secs();
    assert_eq!(left, 10 * 3600, "two agents need ten hours for what is left");
    host.cli_json(&["plan", "resume", &id]);
    until_run(&host, &id, "completed");
}

#[test]
fn a_run_outlives_its_host() {
    let mut host = host(2);
    let id = begin(
        &host,
        "version: 1\ntasks:\n  - {id: a, duration: 1h}\n  - {id: b, duration: 1h, depends_on: a}\n  \
         - {id: c, duration: 1h, owner: human, depends_on: a}\n  \
         - {id: d, duration: 1h, depends_on: [b, c]}\n",
        &["--speed", "1h=1s", "--agents", "2"],
    );
    until_task(&host, &id, "a", "running");
    let mut follow = host.command();
    follow.args(["plan", "show", &id, "-f"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let follow = follow.spawn().unwrap();
    host.kill9();
    host.restart();
    let ended = until_run(&host, &id, "completed");
    let followed = follow.wait_with_output().unwrap();
    let lines = String::from_utf8(followed.stdout).unwrap();
    assert!(followed.status.success() && lines.contains("d * completed"), "{lines}");
    assert_eq!(ended["counts"], json!({"completed": 4}));
    assert_eq!(task(&host, &id, "c")["agent"], "person", "the rehearsal did what a person would");
}

#[test]
fn what_can_not_be_carried_out_is_refused_and_changes_nothing() {
    let host = host(1);
    let dry = host.cli_json(&["plan", "run", &seed(), "--agents", "3", "--dry-run"]);
    assert_eq!(
        (&dry["makespan_ms"], &dry["tasks"].as_array().unwrap().len()),
        (&json!(28_800_000), &9)
    );
    assert_eq!(
        dry["tasks"][0]["id"], "agent-registry-configuration",
        "the longest chain goes first"
    );
    let real = host.cli(&["plan", "run", &seed(), "--speed", "1h=1s", "--queue", "paid"]);
    assert_eq!(real.code, 2, "{real:?}");
    assert!(real.stderr.contains("no mock agent"), "{real:?}");
    let nobody = host.cli(&["plan", "run", &seed(), "--queue", "nowhere"]);
    assert!(nobody.code == 2 || nobody.code == 4, "{nobody:?}");
    let ask = |body: &Value| host.ask(&Ask::new("POST", "/api/v1/plans/runs").json(body));
    let broken = json!({"plan": {"version": 1, "tasks": [{"id": "a", "duration": "1h", "depends_on": ["b"]}]}});
    let problem = ask(&broken).expect(422);
    assert_eq!(problem["errors"][0]["field"], "plan.tasks.a.depends_on", "{problem}");
    let unknown = json!({"plan": {"version": 1, "tasks": []}, "speed": "fast"});
    let fields: Vec<_> = ask(&unknown).expect(422)["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].clone())
        .collect();
    assert!(
        fields.contains(&json!("speed")) && fields.contains(&json!("plan.tasks")),
        "{fields:?}"
    );
    assert_eq!(host.get("/api/v1/plans/runs")["items"], json!([]));

    let plan = json!({"version": 1, "tasks": [{"id": "a", "duration": "1h"}]});
    let body = json!({"plan": plan, "idempotency_key": "once"});
    let first = ask(&body).expect(201);
    let again = ask(&body).expect(200);
    assert_eq!((&first["id"], &again["created"]), (&again["id"], &json!(false)));
}
