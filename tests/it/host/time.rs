//! Whose word counts for how attempts are tried again, and for how long they may take.

use serde_json::{Value, json};

use crate::support::host::{Host, WORKER};

/// Agents of two queues, one of which has terms of its own, and workers that answer as they are told.
fn two_queues() -> String {
    format!(
        "{WORKER}queues = [\"default\", \"slow\"]
[queues.slow]
timeout = \"300ms\"
[fleets.answer]
protocol = \"worker\"
command = [\"sh\", \"@FIXTURES@/answer.sh\"]
queues = [\"loose\", \"strict\"]
[queues.strict]
max_attempts = 2
retry = {{ kind = \"fixed\", backoff_min = \"20ms\", jitter = 0, never_on = [\"task:17\"] }}
"
    )
}

fn failing(code: u64) -> Value {
    json!({"error": {"code": code, "message": "no luck"}})
}

#[test]
fn a_queue_and_a_task_have_their_own_word_on_retries() {
    let host = Host::new(&two_queues()).up();
    let ended = |task: &Value| host.wait(&host.submit(task));
    let in_queue = |queue: &str, code: u64| json!({"queue": queue, "input": failing(code)});

    let rows = [
        (in_queue("loose", 17), 3, "three attempts, as in [tasks]"),
        (in_queue("strict", 1), 2, "two, as the queue says"),
        (in_queue("strict", 17), 1, "never again for this code"),
    ];
    for (task, failures, why) in rows {
        let task = ended(&task);
        assert_eq!(
            (&task["state"], &task["failures"]),
            (&json!("failed"), &json!(failures)),
            "{why}"
        );
        assert_eq!(task["retry"], json!(null));
    }
    let mut own = in_queue("strict", 17);
    own["retry"] = json!({"max_attempts": 4, "never_on": [], "backoff_min": "1ms"});
    let task = ended(&own);
    assert_eq!(task["failures"], 4, "the task's own word: {task}");
    assert_eq!(task["retry"]["never_on"], json!([]));
    assert_eq!(task["retry"]["backoff_min_ms"], 1);

    let words = ["task", "submit", "--queue", "strict", "--input", &failing(1).to_string()];
    let flags = ["--retry", "retry_on=timeout,exit:3", "--retry", "kind=linear"];
    let submitted = host.cli_json(&[&words[..], &flags[..]].concat());
    let task = host.wait(submitted["id"].as_str().unwrap());
    assert_eq!(task["failures"], 1, "its kind is not in the list: {task}");
    let shown = host.cli(&["task", "show", task["id"].as_str().unwrap()]);
    assert!(shown.stdout.contains("kind=linear retry_on=timeout,exit:3"), "{shown:?}");
}

#[test]
fn a_task_its_queue_and_its_fleet_say_how_long_an_attempt_may_take() {
    let host = Host::new(&two_queues()).up();
    let sleep = |queue: &str, timeout: Option<&str>| {
        let input = json!({"op": "sleep", "ms": 600_000});
        json!({"queue": queue, "input": input, "timeout": timeout, "max_attempts": 1})
    };
    let rows = [
        (sleep("slow", None), json!(300), "queue"),
        (sleep("slow", Some("200ms")), json!(200), "task"),
    ];
    for (task, limit, from) in rows {
        let task = host.wait(&host.submit(&task));
        assert_eq!(task["error"]["class"], "timeout", "{task}");
        assert_eq!((&task["timeout_ms"], &task["timeout_from"]), (&limit, &json!(from)));
        let listed = host.get("/api/v1/tasks?queue=slow&limit=1");
        assert_eq!(listed["items"][0]["timeout_from"], from);
    }
    let plain = host.wait(&host.submit(&json!({"input": {"op": "echo"}})));
    assert_eq!((&plain["timeout_ms"], &plain["timeout_from"]), (&json!(null), &json!("fleet")));
}
