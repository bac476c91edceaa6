//! Tasks, from submit to their end.

use std::time::Duration;

use serde_json::{Value, json};

use super::all_kinds;
use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, now},
    wire::Ask,
};

fn states(host: &Host, task: &str) -> Vec<String> {
    let events = host.history(task, "events");
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(event["number"], nth + 1, "gapless and in order: {events:?}");
    }
    events.iter().map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

fn echo(value: &str) -> Value {
    json!({"input": {"op": "echo", "value": value}})
}

fn sleeper(ms: u64) -> Value {
    json!({"input": {"op": "sleep", "ms": ms}})
}

#[test]
fn results_come_back_in_every_form() {
    let host = Host::new(&all_kinds()).up();
    let print = |queue: &str, text: &str| json!({"queue": queue, "input": {"print": text}});
    let rows = [
        (echo("héllo"), json!("héllo")),
        (print("json", r#"{"a": [1, null]}"#), json!({"a": [1, null]})),
        (print("lines", r#"{"step": 1}\n{"step": 2}\n"#), json!({"step": 2})),
    ];
    for (task, output) in rows {
        let ended = host.wait(&host.submit(&task));
        assert_eq!((&ended["state"], &ended["output"]), (&json!("completed"), &output), "{ended}");
        let id = ended["id"].as_str().unwrap();
        assert_eq!(states(&host, id), ["pending", "running", "completed"]);
        assert_eq!(host.history(id, "attempts").len(), 1);
    }
    let text = host.wait(&host.submit(&json!({"queue": "text", "kind": "cat", "input": {}})));
    let said: Value = serde_json::from_str(text["output"].as_str().unwrap()).unwrap();
    assert_eq!((&said["kind"], &said["queue"]), (&json!("cat"), &json!("text")));

    for (queue, printed) in [("json", "no json"), ("json", ""), ("lines", "{}\\nno json")] {
        let task = json!({"queue": queue, "input": {"print": printed}, "max_attempts": 1});
        let ended = host.wait(&host.submit(&task));
        assert_eq!(ended["state"], "failed", "{ended}");
        assert_eq!(ended["error"]["class"], "protocol", "{ended}");
    }
    let no_name = json!({"queue": "json", "input": {}, "max_attempts": 1});
    let ended = host.wait(&host.submit(&no_name));
    assert_eq!(ended["error"]["class"], "spawn", "{ended}");
    assert!(ended["error"]["message"].as_str().unwrap().contains("print"), "{ended}");
}

#[test]
fn a_task_lives_its_life_on_the_command_line() {
    let host = Host::new(&all_kinds()).up();
    let input = r#"{"op": "echo", "value": 7}"#;
    let task = host.cli_json(&["task", "submit", "--kind", "k", "--input", input, "--wait=60s"]);
    assert_eq!((&task["state"], &task["output"]), (&json!("completed"), &json!(7)));
    let id = task["id"].as_str().unwrap();
    let shown = host.cli_json(&["task", "show", id]);
    assert_eq!(shown["task"], task);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(shown["events"].as_array().unwrap().len(), 3);
    let listed = host.cli_json(&["task", "list", "--kind", "k", "--state", "completed"]);
    assert_eq!(listed["items"][0]["id"], id);
    let waited = host.cli_json(&["task", "wait", id]);
    assert_eq!(waited["items"][0]["id"], id);

    let fail = r#"{"op": "fail", "message": "no luck"}"#;
    let words = ["task", "submit", "--input", fail, "--max-attempts", "2", "--wait", "--json"];
    let done = host.cli(&words);
    assert_eq!(done.code, 1, "{done:?}");
    let failed: Value = serde_json::from_str(&done.stdout).unwrap();
    let id = failed["id"].as_str().unwrap();
    assert_eq!((&failed["failures"], &failed["error"]["class"]), (&json!(2), &json!("task")));
    assert!(failed["error"]["message"].as_str().unwrap().contains("no luck"));
    let path = ["pending", "running", "scheduled", "pending", "running", "failed"];
    assert_eq!(states(&host, id), path);
    let attempts = host.history(id, "attempts");
    let numbers: Vec<_> = attempts.iter().map(|one| one["attempt"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(attempts.iter().all(|one| one["outcome"] == "failed"), "{attempts:?}");

    host.cli_json(&["task", "retry", id]);
    assert_eq!(host.wait(id)["failures"], 2, "all its attempts again");
    assert_eq!(host.history(id, "attempts").len(), 4);
    let plain = host.cli(&["task", "list"]);
    assert!(plain.code == 0 && plain.stdout.contains(id), "{plain:?}");
}

#[test]
fn a_task_is_called_off_wherever_it_is() {
    let host = Host::new(&all_kinds()).up();
    let later = host.submit(&json!({"delay": "1h"}));
    host.cli_json(&["queue", "pause", "json"]);
    let pending = host.submit(&json!({"queue": "json"}));
    for id in [&later, &pending] {
        let answer = host.cli_json(&["task", "cancel", id]);
        assert_eq!(answer["items"][0]["state"], "cancelled");
        assert_eq!(states(&host, id).last().unwrap(), "cancelled");
        let again = host.ask(&Ask::new("POST", &format!("/api/v1/tasks/{id}/cancel")));
        assert_eq!(again.expect(409)["type"], "urn:hostler:problem:wrong-state");
    }
    let running = [host.submit(&sleeper(600_000)), host.submit(&json!({"queue": "long"}))];
    for id in &running {
        host.until_task(id, "running");
        let answer = host.ask(&Ask::new("POST", &format!("/api/v1/tasks/{id}/cancel")));
        answer.expect(200);
        let ended = host.wait(id);
        assert_eq!(ended["state"], "cancelled", "{ended}");
        assert_eq!((&ended["failures"], &ended["cancel_requested"]), (&json!(0), &json!(false)));
        assert_eq!(host.history(id, "attempts")[0]["outcome"], "cancelled");
    }
    // The worker let go and stays; the other's process had to be ended.
    let restarts: u64 = ["quick-1", "quick-2"]
        .iter()
        .map(|name| host.agent(name)["restarts"].as_object().unwrap().len() as u64)
        .sum();
    assert_eq!(restarts, 0);
    let retried = host.cli_json(&["task", "retry", &pending]);
    assert_eq!(retried["items"][0]["state"], "pending");
}

#[test]
fn tasks_wait_for_their_time_and_go_by_priority() {
    // A look in the very moment of the resume may find the plain tasks, and not yet the others.
    let host = Host::new(WORKER).set("tasks.poll", "10m").up();
    let began = now();
    // Long enough to be seen.
    let delayed = json!({"input": {"op": "echo"}, "delay": "2s"});
    let delayed = host.submit(&delayed);
    assert_eq!(host.task(&delayed)["state"], "scheduled");
    host.wait(&delayed);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!(states(&host, &delayed), ["scheduled", "pending", "running", "completed"]);
    let past = json!({"input": {"op": "echo"}, "run_at": "2020-01-01T00:00:00Z"});
    assert_eq!(host.wait(&host.submit(&past))["state"], "completed");

    host.cli_json(&["queue", "pause", "default", "--reason", "to line them up"]);
    let queue = &host.get("/api/v1/queues")["items"][0];
    assert_eq!(
        (&queue["paused"], &queue["paused_reason"]),
        (&json!(true), &json!("to line them up"))
    );
    let ids: Vec<_> = [0, -5, 9, 0]
        .iter()
        .map(|priority| host.submit(&json!({"input": {"op": "echo"}, "priority": priority})))
        .collect();
    assert!(ids.iter().all(|id| host.task(id)["state"] == "pending"));
    host.cli_json(&["queue", "resume", "default"]);
    ids.iter().for_each(|id| drop(host.wait(id)));
    // As the only agent did them: the moments of two clocks may differ by more than a task takes.
    let done = std::fs::read_to_string(host.path("effects")).unwrap();
    let done = done.lines().filter_map(|line| line.split(' ').next());
    let order: Vec<_> = done.filter(|id| ids.iter().any(|one| one == id)).collect();
    assert_eq!(order, [&ids[2], &ids[0], &ids[3], &ids[1]]);
}

#[test]
fn a_key_makes_a_submit_safe_to_repeat() {
    let host = Host::new(WORKER).up();
    let post = |key: &str| {
        let ask = Ask::new("POST", "/api/v1/tasks?wait=60s").header("Idempotency-Key", key);
        host.ask(&ask.json(&echo("once")))
    };
    let first = post("k-1");
    assert_eq!(first.expect(201)["state"], "completed");
    let location = first.header("Location").unwrap().to_owned();
    let second = post("k-1");
    assert_eq!(second.expect(200)["id"], first.json()["id"]);
    assert_eq!(host.get(&location)["id"], first.json()["id"]);
    assert_ne!(post("k-2").expect(201)["id"], first.json()["id"]);
    let by_cli = host.cli_json(&["task", "submit", "--key", "k-1"]);
    assert_eq!((&by_cli["created"], &by_cli["id"]), (&json!(false), &first.json()["id"]));
    assert_eq!(host.effects().values().sum::<usize>(), 2);
}

#[test]
fn an_attempt_that_takes_too_long_is_ended() {
    // The worker has all the time that it needs to let go.
    let fleets = format!(
        "{WORKER}stop_grace = \"30s\"\n[fleets.deaf]\nprotocol = \"worker\"\nqueues = [\"deaf\"]\n\
         command = [\"sh\", \"@FIXTURES@/ignore_term.sh\"]\n\
         [fleets.long]\nprotocol = \"exec\"\ncommand = [\"sleep\", \"1000\"]\nqueues = [\"long\"]\n"
    );
    let host = Host::new(&fleets).up();
    let timed = |queue: &str| {
        let input = json!({"op": "sleep", "ms": 600_000});
        host.submit(&json!({"queue": queue, "input": input, "timeout": "300ms", "max_attempts": 1}))
    };
    let tasks = ["default", "deaf", "long"].map(|queue| (queue, timed(queue)));
    for (queue, id) in &tasks {
        let ended = host.wait(id);
        let error = &ended["error"];
        assert_eq!(
            (&ended["state"], &error["class"]),
            (&json!("failed"), &json!("timeout")),
            "{queue}"
        );
        assert!(error["message"].as_str().unwrap().contains("limit"), "{ended}");
    }
    let lets_go = host.agent("quick-1");
    assert_eq!(lets_go["restarts"], json!({}), "it let go, so it stays");
    let deaf = host.until_agent("deaf-1", "idle");
    assert_eq!(deaf["restarts"], json!({"timeout": 1}), "it did not, so it is another");
    host.until_agent("long-1", "idle");
}

#[test]
fn many_tasks_are_listed_page_by_page_and_counted() {
    let host = Host::new(WORKER).set("tasks.max_batch", "50").up();
    host.cli_json(&["queue", "pause", "default"]);
    let totals = host.cli_json(&["task", "submit", "--count", "120", "--kind", "many"]);
    assert_eq!(totals["created"], 120);
    std::fs::write(host.path("two.jsonl"), "{\"kind\": \"many\"}\n\n{\"kind\": \"many\"}\n")
        .unwrap();
    let file = host.path("two.jsonl");
    let totals = host.cli_json(&["task", "submit", "--jsonl", file.to_str().unwrap()]);
    assert_eq!(totals["submitted"], 2);
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let page = host.get(&format!("/api/v1/tasks?kind=many&limit=50{cursor}"));
        for task in page["items"].as_array().unwrap() {
            assert!(seen.insert(task["id"].as_str().unwrap().to_owned()), "{task}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 122);
    let queue = &host.cli_json(&["queue", "list"])["items"][0];
    assert_eq!(queue["depth"]["pending"], 122);
    assert!(queue["oldest_pending_ms"].as_u64().is_some());
    eventually("the metrics count them", || {
        let text = host.ask(&Ask::new("GET", "/metrics")).text();
        text.contains("122")
    });
}
