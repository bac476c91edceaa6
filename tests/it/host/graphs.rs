//! Tasks that wait for other tasks, as their submitter and an operator see them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::all_kinds;
use crate::support::{
    host::{Host, WORKER},
    processes::now,
    wire::Ask,
};

fn echo(value: &Value) -> Value {
    json!({"op": "echo", "value": value})
}

/// Submits tasks, and returns their ids.
fn submit(host: &Host, tasks: &Value) -> Vec<String> {
    let ask = Ask::new("POST", "/api/v1/tasks").json(&json!({ "tasks": tasks }));
    let answer = host.ask(&ask).expect(201);
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn states(host: &Host, task: &str) -> Vec<String> {
    let events = host.history(task, "events");
    events.iter().map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_diamond_hands_its_results_on() {
    let host = Host::new(&format!("{WORKER}\ncount = 2\n")).up();
    // The last stands first: the order of a submit is not the order of its graph.
    let ids = submit(
        &host,
        &json!([
            {"ref": "end", "depends_on": ["left", "right"], "template": true,
                "input": echo(&json!(["{{ deps.left.output }}", "{{ deps.right.output }}, and {{ deps.left.output.n }}"]))},
            {"ref": "left", "depends_on": ["root"], "template": true,
                "input": echo(&json!({"n": "{{ deps.root.output.n + 1 }}"}))},
            {"ref": "right", "depends_on": ["root"], "template": true,
                "input": echo(&json!("{{ deps.root.state }}: {{ deps.root.output }}"))},
            {"ref": "root", "kind": "first", "input": echo(&json!({"n": 7}))},
        ]),
    );
    let end = host.wait(&ids[0]);
    assert_eq!(end["output"], json!([{"n": 8}, "completed: {\"n\":7}, and 8"]), "{end}");
    assert_eq!(states(&host, &ids[0]), ["blocked", "pending", "running", "completed"]);
    assert_eq!(end["depends_on"], json!([ids[1], ids[2]]));
    assert_eq!((&end["waits_for"], &end["blocked_reason"]), (&json!([]), &Value::Null));
    assert_eq!(end["input"]["value"][0], "{{ deps.left.output }}", "it is kept as it was said");

    let graph = host.cli_json(&["task", "graph", &ids[0]]);
    assert_eq!((graph["nodes"].as_array().unwrap().len(), &graph["task"]), (4, &json!(ids[0])));
    assert_eq!(graph["edges"].as_array().unwrap().len(), 4);
    let tree = host.cli(&["task", "graph", &ids[3]]).stdout;
    assert!(tree.starts_with(&format!("root {} completed ◀\n", ids[3])), "{tree}");
    assert!(tree.contains(&format!("└─ right {} completed\n", ids[2])), "{tree}");
    let drawing = host.cli(&["task", "graph", &ids[1], "--format", "mermaid"]).stdout;
    assert!(drawing.starts_with("flowchart LR\n") && drawing.contains("t0 --> t1"), "{drawing}");
    let shown = host.cli(&["task", "show", &ids[1]]).stdout;
    let parts = ["DEPENDS ON", "IS WAITED FOR BY", &ids[3], &ids[0], "input (a template)"];
    assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
    let whole = host.cli_json(&["task", "show", &ids[1]]);
    assert_eq!(whole["graph"]["nodes"].as_array().unwrap().len(), 3);
}

#[test]
fn a_failing_branch_goes_by_the_policy_of_each() {
    let host = Host::new(&format!("{WORKER}\ncount = 2\n")).up();
    let fail = json!({"op": "fail", "message": "no luck"});
    let ids = submit(
        &host,
        &json!([
            {"ref": "bad", "input": fail, "max_attempts": 1},
            {"ref": "gone", "depends_on": ["bad"], "input": echo(&json!(1))},
            {"ref": "after", "depends_on": ["gone"], "input": echo(&json!(2))},
            {"ref": "run", "depends_on": ["bad", "after"], "on_dependency_failure": "run", "template": true,
                "input": echo(&json!("{{ deps.bad.error.message }}; {{ deps.after.state }}"))},
            {"ref": "hold", "depends_on": ["bad"], "on_dependency_failure": "hold", "input": echo(&json!(3))},
            {"ref": "later", "depends_on": ["hold"], "on_dependency_failure": "hold", "input": echo(&json!(4))},
        ]),
    );
    assert_eq!(host.wait(&ids[0])["state"], "failed");
    let run = host.wait(&ids[3]);
    assert_eq!(run["output"], "no luck; cancelled", "{run}");
    for (id, by) in [(&ids[1], &ids[0]), (&ids[2], &ids[1])] {
        let task = host.wait(id);
        assert_eq!(task["state"], "cancelled");
        let why = task["blocked_reason"].as_str().unwrap();
        assert!(why.starts_with(&ids[0]) && why.contains(by.as_str()), "{why}");
        assert!(host.history(id, "attempts").is_empty());
    }
    let held = host.task(&ids[4]);
    assert_eq!((&held["state"], &held["waits_for"]), (&json!("blocked"), &json!([ids[0]])));
    let shown = host.cli(&["task", "show", &ids[4]]).stdout;
    assert!(shown.contains("retry it, or release this task"), "{shown}");
    let listed = host.cli(&["task", "list", "--state", "cancelled"]).stdout;
    assert!(listed.contains("ended without a result"), "{listed}");

    // Neither can be released that waits for nothing bad, nor one that does not wait.
    for (id, code) in [(&ids[5], 5), (&ids[0], 5)] {
        let done = host.cli(&["task", "release", id]);
        assert_eq!(done.code, code, "{done:?}");
    }
    host.cli_json(&["task", "release", &ids[4]]);
    assert_eq!(host.wait(&ids[5])["output"], 4);
    // What was cancelled waits again once it is tried again, and so can be let go on by hand.
    let retried = host.cli_json(&["task", "retry", &ids[1]]);
    assert_eq!(retried["items"][0]["state"], "blocked");
    host.cli_json(&["task", "retry", &ids[2]]);
    let released = host.ask(&Ask::new("POST", &format!("/api/v1/tasks/{}/release", ids[1])));
    assert_ne!(released.expect(200)["state"], "blocked");
    assert_eq!(host.wait(&ids[2])["output"], 2);
}

#[test]
fn an_input_that_cannot_be_made_fails_its_task_and_not_its_agent() {
    let host = Host::new(&all_kinds()).up();
    let ids = submit(
        &host,
        &json!([
            {"ref": "a", "input": echo(&json!({"text": "hi"}))},
            {"depends_on": ["a"], "template": true,
                "input": echo(&json!({"deep": ["{{ deps.a.output.txt }}"]}))},
            {"depends_on": ["a"], "template": true, "input": echo(&json!("{{ deps.a.output.text * 1000000 }}"))},
            {"depends_on": ["a"], "queue": "json", "template": true,
                "input": {"print": "{\"got\": \"{{ deps.a.output.text }}\"}"}},
        ]),
    );
    let failed = host.wait(&ids[1]);
    let error = &failed["error"];
    assert_eq!(
        (&failed["state"], &error["class"]),
        (&json!("failed"), &json!("input")),
        "{failed}"
    );
    let told = error["message"].as_str().unwrap();
    assert!(
        told.contains("input.value.deep[0]: `deps.a.output` has no `txt`; it has `text`"),
        "{told}"
    );
    assert_eq!(host.history(&ids[1], "attempts").len(), 1, "trying again is in vain");
    let large = host.wait(&ids[2]);
    let told = large["error"]["message"].as_str().unwrap();
    assert!(told.contains("tasks.max_input") || told.contains("steps"), "{large}");
    assert_eq!(host.wait(&ids[3])["output"], json!({"got": "hi"}), "argv and stdin are made of it");
    let restarts = |name: &str| host.until_agent(name, "idle")["restarts"].clone();
    assert_eq!((restarts("quick-1"), restarts("quick-2")), (json!({}), json!({})));
}

#[test]
fn a_graph_that_makes_no_sense_is_refused_and_leaves_nothing() {
    let host = Host::new(WORKER).up();
    let nowhere = "tsk_00000000000000000000000000000009";
    let rows = [
        (
            json!([{"ref": "a", "depends_on": ["c"]}, {"ref": "b", "depends_on": ["a"]}, {"ref": "c", "depends_on": ["b"]}]),
            "tasks[0].depends_on[0]",
            "a → c → b → a",
        ),
        (json!([{}, {"depends_on": [nowhere]}]), "tasks[1].depends_on[0]", "there is no task"),
        (
            json!([{"ref": "a", "idempotency_key": "k", "depends_on": ["c"]}, {"ref": "b", "idempotency_key": "k"},
                {"ref": "c", "depends_on": ["b"]}]),
            "tasks[0].depends_on",
            "the same idempotency key",
        ),
    ];
    for (tasks, field, word) in rows {
        let ask = Ask::new("POST", "/api/v1/tasks").json(&json!({ "tasks": tasks }));
        let problem = host.ask(&ask).expect(422);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    let done = host.cli(&["task", "submit", "--depends-on", nowhere]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("depends_on[0]"), "{done:?}");
    assert_eq!(host.cli_json(&["task", "list"])["items"], json!([]));
    let unknown = host.ask(&Ask::new("GET", &format!("/api/v1/tasks/{nowhere}/graph")));
    assert_eq!(unknown.expect(404)["type"], "urn:hostler:problem:not-found");
}

/// What a task unblocks may be for the agents of another host, which hears of it at once.
#[test]
fn another_host_hears_of_what_became_ready() {
    let first = Host::new(WORKER).set("tasks.poll", "10m").up();
    let other = WORKER.replace("quick", "far") + "queues = [\"far\"]\n";
    let second = first.beside(&other).set("tasks.poll", "10m").up();
    second.until_agent("far-1", "idle");
    let ids = submit(
        &first,
        &json!([
            {"ref": "a", "input": {"op": "sleep", "ms": 300}},
            {"queue": "far", "depends_on": ["a"], "input": echo(&json!("here"))},
        ]),
    );
    assert_eq!(first.wait(&ids[1])["output"], "here");
    // And here, where the dependent is submitted later, by the command line.
    let words =
        ["task", "submit", "--depends-on", &ids[1], "--input", r#"{"op": "echo"}"#, "--wait=60s"];
    assert_eq!(first.cli_json(&words)["state"], "completed");
}

/// A file whose lines name each other goes in one submit, however long it is.
#[test]
fn a_file_of_tasks_that_name_each_other_is_one_submit() {
    let host = Host::new(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    let file = chains(&host, 3_000, 30);
    let totals = host.cli_json(&["task", "submit", "--jsonl", &file]);
    assert_eq!((&totals["submitted"], &totals["created"]), (&json!(3_000), &json!(3_000)));
    let depth = &host.cli_json(&["queue", "list"])["items"][0]["depth"];
    assert_eq!((&depth["pending"], &depth["blocked"]), (&json!(30), &json!(2_970)));
    // All of it or nothing: the last line is wrong.
    let mut text = std::fs::read_to_string(&file).unwrap();
    writeln!(text, "{{\"depends_on\": [\"nobody\"]}}").unwrap();
    std::fs::write(&file, text).unwrap();
    let done = host.cli(&["task", "submit", "--jsonl", &file]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("line 3001: depends_on[0]"), "{done:?}");
    let depth = &host.cli_json(&["queue", "list"])["items"][0]["depth"];
    assert_eq!(depth["blocked"], 2_970);
}

/// Writes a file of so many tasks in so many chains, with one task that waits for all their ends.
fn chains(host: &Host, count: usize, width: usize) -> String {
    let mut text = String::new();
    for at in 0..count - 1 {
        let before = at.checked_sub(width).map(|before| format!("t{before}"));
        let task = json!({"ref": format!("t{at}"), "depends_on": before.into_iter().collect::<Vec<_>>(),
            "input": {"op": "echo", "value": at}});
        writeln!(text, "{task}").unwrap();
    }
    let ends: Vec<_> = (count - 1 - width..count - 1).map(|at| format!("t{at}")).collect();
    writeln!(text, "{}", json!({"depends_on": ends})).unwrap();
    let path = host.path("graph.jsonl");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A graph of 100,000 tasks is one call.
#[test]
#[ignore = "takes half a minute on a busy machine; run by `make test-soak`"]
fn soak_a_hundred_thousand_tasks_are_one_submit() {
    let host = Host::new(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    let file = chains(&host, 100_000, 1_000);
    let began = now();
    let totals = host.cli_json(&["task", "submit", "--jsonl", &file]);
    let took = began.elapsed();
    assert_eq!(totals["created"], 100_000);
    println!("a graph of 100,000 tasks was submitted in {} ms", took.as_millis());
    let depth = &host.cli_json(&["queue", "list"])["items"][0]["depth"];
    assert_eq!((&depth["pending"], &depth["blocked"]), (&json!(1_000), &json!(99_000)));
}
