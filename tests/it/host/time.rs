//! Whose word counts for how attempts are tried again, and for how long they may take.

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::eventually,
    wire::Ask,
};

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

#[test]
fn a_task_fails_at_its_deadline_wherever_it_is() {
    // The worker has all the time that it needs to let go.
    let fleets = format!(
        "{WORKER}stop_grace = \"30s\"\n[fleets.long]\nprotocol = \"exec\"\ncommand = [\"sleep\", \"1000\"]\nqueues = [\"long\"]\n\
         [fleets.deaf]\nprotocol = \"worker\"\nqueues = [\"deaf\"]\n\
         command = [\"sh\", \"@FIXTURES@/ignore_term.sh\"]\n"
    );
    let host = Host::new(&fleets).up();
    for agent in ["quick-1", "long-1", "deaf-1"] {
        host.until_agent(agent, "idle");
    }
    let sleep = json!({"op": "sleep", "ms": 600_000});
    // Later than that of those which wait behind them, by far.
    let running = ["default", "long", "deaf"]
        .map(|queue| host.submit(&json!({"queue": queue, "input": sleep, "deadline": "5s"})));
    for id in &running {
        host.until_task(id, "running");
    }
    let waiting = host.submit(&json!({"queue": "long", "deadline": "1s"}));
    let scheduled = host.submit(&json!({"delay": "500ms", "deadline": "1s", "queue": "long"}));
    for id in running.iter().chain([&waiting, &scheduled]) {
        let task = host.wait(id);
        assert_eq!(
            (&task["state"], &task["error"]["class"]),
            (&json!("failed"), &json!("deadline")),
            "{task}"
        );
        assert!(task["error"]["message"].as_str().unwrap().contains("deadline"), "{task}");
    }
    for id in &running {
        assert_eq!(host.task(id)["attempt"], 1, "never tried again");
        let events = host.history(id, "events");
        assert_eq!(events.last().unwrap()["state"], "failed");
    }
    for id in [&waiting, &scheduled] {
        assert_eq!((&host.task(id)["attempt"], &host.task(id)["failures"]), (&json!(0), &json!(0)));
        assert!(host.history(id, "attempts").is_empty(), "it never ran");
    }
    assert_eq!(host.until_agent("quick-1", "idle")["restarts"], json!({}), "it let go");
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    assert!(metrics.contains("hostler_tasks_expired_total 2"), "{metrics}");
    assert!(metrics.contains("class=\"deadline\"} 3"), "{metrics}");

    let in_time = host.submit(&json!({"input": {"op": "echo"}, "deadline": "1h"}));
    let done = host.wait(&in_time);
    assert_eq!(done["state"], "completed");
    assert!(done["deadline"].is_string());
    let retried = host.cli_json(&["task", "retry", &waiting]);
    assert_eq!(retried["items"][0]["deadline"], json!(null));
}

#[test]
fn an_agent_that_does_not_want_a_task_now_gets_it_again_later() {
    let fleets = "
[fleets.answer]
protocol = \"worker\"
command = [\"sh\", \"@FIXTURES@/answer.sh\"]
[fleets.later]
protocol = \"exec\"
command = [\"sh\", \"-c\", \"[ $HOSTLER_ATTEMPT -gt 2 ] || { echo '{\\\"retry_after_ms\\\": 200}'; exit 75; }; echo done\"]
queues = [\"later\"]
";
    let host = Host::new(fleets).up();
    let error =
        json!({"code": -32801, "message": "the API is busy", "data": {"retry_after_ms": 200}});
    let worker = host.submit(&json!({"input": {"error": error}, "max_attempts": 1}));
    eventually("it is put off again and again", || host.history(&worker, "attempts").len() >= 3);
    let task = host.task(&worker);
    assert_eq!((&task["failures"], &task["error"]), (&json!(0), &json!(null)));
    for attempt in host.history(&worker, "attempts") {
        assert_eq!(
            (&attempt["outcome"], &attempt["reason"]),
            (&json!("snoozed"), &json!("the API is busy"))
        );
    }
    let states: Vec<_> = host
        .history(&worker, "events")
        .iter()
        .take(4)
        .map(|event| event["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["pending", "running", "scheduled", "pending"]);
    assert_eq!(host.agent("answer-1")["restarts"], json!({}));

    let exec = host.wait(&host.submit(&json!({"queue": "later", "max_attempts": 1})));
    assert_eq!(
        (&exec["output"], &exec["attempt"], &exec["failures"]),
        (&json!("done"), &json!(3), &json!(0))
    );
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    assert!(metrics.contains("hostler_attempts_total{outcome=\"snoozed\""), "{metrics}");
}

#[test]
fn people_put_tasks_off() {
    let host = Host::new(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    let id = host.submit(&json!({"input": {"op": "echo"}}));
    let snoozed = host.cli_json(&["task", "snooze", &id, "--for", "1h"]);
    assert_eq!(snoozed["items"][0]["state"], "scheduled");
    host.cli_json(&["queue", "resume", "default"]);
    let said = host.cli(&["task", "snooze", &id, "--until", "2130-01-31T08:00:00Z"]);
    assert!(said.code == 0 && said.stdout.contains("waits until 2130"), "{said:?}");
    let path = format!("/api/v1/tasks/{id}/snooze");
    let soon = Ask::new("POST", &path).json(&json!({"for": "100ms"}));
    assert_eq!(host.ask(&soon).expect(200)["state"], "scheduled");
    assert_eq!(host.wait(&id)["state"], "completed");
    assert_eq!(host.ask(&soon).expect(409)["type"], "urn:hostler:problem:wrong-state");
    let rows = [
        (json!({}), "for"),
        (json!({"for": "1h", "until": "2130-01-31T08:00:00Z"}), "until"),
        (json!({"until": "1970-01-31T08:00:00Z"}), "until"),
        (json!({"for": "soon"}), "for"),
        (json!({"for": "1h", "reason": "x"}), "reason"),
    ];
    for (body, field) in rows {
        let problem = host.ask(&Ask::new("POST", &path).json(&body)).expect(422);
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    let gone = "tsk_00000000000000000000000000000007";
    assert_eq!(host.cli(&["task", "snooze", gone, "--for", "1m"]).code, 4);
}
