//! One task per key, over HTTP and on the command line.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    wire::Ask,
};

const TASKS: &str = "/api/v1/tasks";

fn unique(way: &str, value: u64) -> Value {
    json!({"input": {"op": "echo", "value": value},
        "unique": {"key": "report", "on_conflict": way}})
}

#[test]
fn a_conflict_is_answered_as_the_submit_asks() {
    let host = Host::new(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    let post = |body: &Value| host.ask(&Ask::new("POST", TASKS).json(body));
    let first = post(&unique("return", 1)).expect(201);
    assert_eq!((&first["outcome"], &first["created"]), (&json!("created"), &json!(true)));
    let second = post(&unique("return", 2)).expect(200);
    assert_eq!((&second["outcome"], &second["id"]), (&json!("existing"), &first["id"]));
    let third = post(&unique("replace", 3)).expect(200);
    assert_eq!((&third["outcome"], &third["id"]), (&json!("replaced"), &first["id"]));
    let fourth = post(&unique("reject", 4)).expect(409);
    assert_eq!(fourth["type"], "urn:hostler:problem:not-unique");
    assert_eq!(fourth["errors"][0]["field"], "unique");
    let detail = fourth["detail"].as_str().unwrap();
    assert!(
        detail.contains(first["id"].as_str().unwrap()) && detail.contains("pending"),
        "{detail}"
    );

    let batch = json!({"tasks": [{"kind": "other"}, unique("reject", 5)]});
    let refused = post(&batch).expect(409);
    assert_eq!(refused["errors"][0]["field"], "tasks[1].unique");
    assert_eq!(host.get("/api/v1/tasks?kind=other")["items"], json!([]), "all or none");
    let mut same = [unique("return", 6), unique("reject", 7)];
    for task in &mut same {
        task["unique"]["key"] = json!("same");
    }
    let refused = post(&json!({"tasks": same})).expect(409);
    let detail = refused["errors"][0]["detail"].as_str().unwrap();
    assert_eq!(detail, "tasks[0] of the same submit has the key already");

    let id = first["id"].as_str().unwrap();
    host.cli_json(&["queue", "resume", "default"]);
    assert_eq!(host.wait(id)["output"], 3, "the last that replaced it counts");
    let next = post(&unique("reject", 8)).expect(201);
    assert_ne!(next["id"], first["id"], "the first is done");
}

#[test]
fn a_task_is_made_unique_on_the_command_line() {
    let host = Host::new(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    let submit = |input: &str, way: &str| {
        let input = format!("{{\"op\": \"echo\", \"value\": {input}}}");
        let words =
            ["task", "submit", "-i", &input, "--unique-by", "kind,input", "--on-conflict", way];
        host.cli(&[&words[..], &["--json"]].concat())
    };
    let made = |input: &str, way: &str| {
        let done = submit(input, way);
        assert_eq!(done.code, 0, "{done:?}");
        serde_json::from_str::<Value>(&done.stdout).unwrap()
    };
    let first = made("1", "return");
    assert_eq!(made("1.0", "replace")["id"], first["id"], "the same number");
    assert_ne!(made("2", "return")["id"], first["id"]);
    let refused = submit("1", "reject");
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains(first["id"].as_str().unwrap()), "{refused:?}");

    let file = host.path("tasks.jsonl");
    let line = json!({"unique": {"key": "k", "on_conflict": "replace"}, "input": {"op": "echo"}});
    std::fs::write(&file, format!("{line}\n{line}\n{line}\n")).unwrap();
    let totals = host.cli_json(&["task", "submit", "--jsonl", file.to_str().unwrap()]);
    let expected = json!({"submitted": 3, "created": 1, "existing": 0, "replaced": 2});
    assert_eq!(totals, expected);
}

#[test]
fn two_hosts_and_twenty_submitters_make_one_task() {
    let host = Host::new(WORKER).up();
    let other = host.beside(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..20)
            .map(|number| {
                let to = if number % 2 == 0 { &host } else { &other };
                scope.spawn(move || {
                    let ask = Ask::new("POST", TASKS).json(&unique("replace", number));
                    to.ask(&ask).json()
                })
            })
            .collect();
        submitters.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    let made = answers.iter().filter(|answer| answer["outcome"] == "created").count();
    assert_eq!(made, 1, "{answers:?}");
    host.cli_json(&["queue", "resume", "default"]);
    assert_eq!(host.wait(answers[0]["id"].as_str().unwrap())["state"], "completed");
    assert_eq!(host.effects().len() + other.effects().len(), 1);
}
