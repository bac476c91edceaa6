//! The mock agent under a real host, by both of its protocols.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    host::{HOSTLER, Host},
    wire::Ask,
};

fn host() -> Host {
    Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
cwd = "@DIR@"
heartbeat = {{ every = "100ms", stale_after = "2s" }}

[fleets.once]
protocol = "exec"
command = ["{HOSTLER}", "mock-agent", "--exec"]
output = "json"
queues = ["once"]
cwd = "@DIR@"
heartbeat = {{ every = "100ms", stale_after = "2s" }}
"#
    ))
    .up()
}

/// A task for the queue, once it has ended.
#[track_caller]
fn ended(host: &Host, queue: &str, mock: Value, more: &Value) -> Value {
    let mut task =
        json!({"queue": queue, "max_attempts": 1, "input": {"prompt": "x", "mock": mock}});
    for (name, value) in more.as_object().into_iter().flatten() {
        task[name] = value.clone();
    }
    host.wait(&host.submit(&task))
}

#[test]
fn a_mock_agent_works_and_writes() {
    let host = host();
    for queue in ["default", "once"] {
        let file = format!("{queue}/made.txt");
        let mock =
            json!({"sleep": "50ms", "progress": 2, "log": "hello", "write": {&file: "text"}});
        let task = ended(&host, queue, mock, &json!({}));
        let wanted = json!({"slept_ms": 50, "wrote": [file]});
        assert_eq!((&task["state"], &task["output"]), (&json!("completed"), &wanted), "{task}");
        assert_eq!(fs::read_to_string(host.path(&file)).unwrap(), "text");
        let plain = host.wait(&host.submit(&json!({"queue": queue, "input": {"prompt": "x"}})));
        assert_eq!(plain["state"], "completed", "{plain}");
        let asked = ended(&host, queue, json!({"output": [1, null]}), &json!({}));
        assert_eq!(asked["output"], json!([1, null]));
    }
    let log = host.cli(&["agent", "logs", "mock-1"]);
    assert!(log.stdout.contains("hello"), "{log:?}");
}

#[test]
fn a_mock_agent_goes_wrong_as_it_is_told() {
    let host = host();
    let rows = [
        ("default", json!({"fail": {"code": 17, "message": "no luck", "data": 5}}), "task"),
        ("default", json!({"slep": "1s"}), "task"),
        ("default", json!({"write": {"../x": "t"}}), "task"),
        ("default", json!({"exit": 3}), "exit"),
        ("default", json!({"flood": "11MiB"}), "protocol"),
        ("default", json!({"hang": "silent"}), "stale"),
        ("once", json!({"fail": "no luck"}), "exit"),
        ("once", json!({"slep": "1s"}), "exit"),
        ("once", json!({"exit": 3}), "exit"),
        ("once", json!({"flood": "11MiB"}), "protocol"),
        ("once", json!({"hang": "silent"}), "stale"),
    ];
    for (queue, mock, class) in rows {
        let task = ended(&host, queue, mock.clone(), &json!({}));
        assert_eq!(task["state"], "failed", "{mock}: {task}");
        assert_eq!(task["error"]["class"], class, "{queue} {mock}: {task}");
    }
    // It shows life, so only a limit of its own ends it.
    for queue in ["default", "once"] {
        let limit = json!({"timeout": "300ms"});
        let task = ended(&host, queue, json!({"hang": "beating"}), &limit);
        assert_eq!(task["error"]["class"], "timeout", "{queue}: {task}");
    }
}

#[test]
fn a_mock_agent_fails_so_many_times() {
    let host = host();
    for (queue, trouble) in [
        ("default", json!({"fail": "no luck", "times": 2})),
        ("default", json!({"exit": 1, "times": 2})),
        ("once", json!({"fail": "no luck", "times": 2})),
    ] {
        let task = ended(&host, queue, trouble.clone(), &json!({"max_attempts": 3}));
        assert_eq!(task["state"], "completed", "{queue} {trouble}: {task}");
        assert_eq!((&task["attempt"], &task["failures"]), (&json!(3), &json!(2)), "{task}");
    }
}

#[test]
fn a_mock_agent_lets_go_and_takes_the_next() {
    let host = host();
    for mock in [json!({"sleep": "1h"}), json!({"hang": "beating"})] {
        let id = host.submit(&json!({"input": {"mock": mock}}));
        host.until_task(&id, "running");
        host.ask(&Ask::new("POST", &format!("/api/v1/tasks/{id}/cancel"))).expect(200);
        assert_eq!(host.wait(&id)["state"], "cancelled");
    }
    assert_eq!(ended(&host, "default", json!({}), &json!({}))["state"], "completed");
    assert_eq!(host.agent("mock-1")["generation"], 1, "the same process did all of it");
}
