//! Locks, limits and pauses, by the real program. The poll is so rare that whatever happens, happens
//! because somebody was woken.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    host::Host,
    processes::{PATIENCE, eventually, now, within},
    wire::Ask,
};

/// A host of two workers that serve `code` and `default`.
const FLEETS: &str = r#"
[fleets.quick]
protocol = "worker"
command = ["python3", "worker.py"]
count = 2
queues = ["default", "code"]
"#;

/// One that serves another queue.
const OTHER: &str = r#"
[fleets.other]
protocol = "worker"
command = ["python3", "worker.py"]
count = 2
queues = ["other"]
"#;

fn rarely(host: Host) -> Host {
    host.set("tasks.poll", "\"10m\"").up()
}

fn sleeper(ms: u64, terms: &Value) -> Value {
    let mut task = json!({"input": {"op": "sleep", "ms": ms}});
    task.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    task
}

fn state(host: &Host, id: &str) -> String {
    host.task(id)["state"].as_str().unwrap().to_owned()
}

/// When the only attempt began and ended.
fn ran(host: &Host, id: &str) -> (String, String) {
    let attempts = host.history(id, "attempts");
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    let text = |name: &str| attempts[0][name].as_str().unwrap().to_owned();
    (text("started_at"), text("ended_at"))
}

#[test]
fn a_lock_is_handed_on_at_once_here_and_on_other_hosts() {
    let host = rarely(Host::new(FLEETS));
    let beside = rarely(host.beside(OTHER));
    let paths = |glob: &str, mode: &str| json!([{"glob": glob, "mode": mode}]);
    // It holds what it has until it is called off.
    let first =
        host.submit(&sleeper(600_000, &json!({"locks": ["repo"], "keys": ["account:alice"]})));
    host.until_task(&first, "running");
    let here = host.submit(&sleeper(
        10,
        &json!({"queue": "code", "locks": [{"name": "repo", "mode": "shared"}]}),
    ));
    let there = host.submit(&sleeper(10, &json!({"queue": "other", "locks": ["repo"]})));
    let free =
        host.submit(&sleeper(10, &json!({"queue": "other", "paths": paths("src/**", "write")})));
    assert_eq!(host.wait(&free)["state"], "completed", "it stood behind one that waits");
    let waits = host.task(&there)["waits_for"].clone();
    assert_eq!((&waits[0]["kind"], &waits[0]["name"]), (&json!("lock"), &json!("repo")), "{waits}");
    assert_eq!(waits[0]["holder"], json!(first), "{waits}");

    let mut locks = Value::Null;
    let told = within(PATIENCE, || {
        locks = host.cli_json(&["lock", "list"])["items"].clone();
        locks[0]["waiters"].as_array().is_some_and(|waiters| waiters.len() == 2)
    });
    assert!(told, "{locks}");
    assert_eq!((&locks[0]["holder"], &locks[0]["kind"]), (&json!(first), &json!("exclusive")));
    assert_eq!((&locks[1]["name"], &locks[1]["kind"]), (&json!("account:alice"), &json!("key")));
    let shown = host.cli(&["task", "show", &there]).stdout;
    assert!(shown.contains(&format!("lock repo, {first} has it")), "{shown}");
    let listed = host.cli(&["lock", "list"]).stdout;
    assert!(listed.contains("exclusive") && listed.contains("quick-"), "{listed}");

    host.cli(&["task", "cancel", &first]);
    for (id, state) in [(&first, "cancelled"), (&here, "completed"), (&there, "completed")] {
        assert_eq!(host.wait(id)["state"], state);
    }
    let (first, here, there) = (ran(&host, &first), ran(&host, &here), ran(&host, &there));
    assert!(first.1 <= here.0 && first.1 <= there.0, "{first:?} {here:?} {there:?}");
    assert!(here.1 <= there.0 || there.1 <= here.0, "{here:?} {there:?}");
    drop(beside);
}

/// Many tasks whose files overlap, on two hosts, one of which is killed: no two ever ran at once.
#[test]
fn tasks_that_exclude_each_other_never_run_at_once_on_two_hosts() {
    let host = Host::new(FLEETS).up();
    let mut beside = host.beside(FLEETS).set("host.lease", "\"2s\"").up();
    let globs = ["src/**", "src/http/**", "src/http/auth.rs", "src/db/*", "docs/**", "docs/a.md"];
    let ids: Vec<(String, String)> = (0..60)
        .map(|n| {
            let glob = globs[n % globs.len()];
            let terms =
                json!({"paths": [glob], "queue": if n % 2 == 0 { "code" } else { "default" }});
            (host.submit(&sleeper(5 + (n as u64 * 13) % 40, &terms)), glob.to_owned())
        })
        .collect();
    eventually("both have begun", || {
        ids.iter().filter(|(id, _)| state(&host, id) == "completed").count() > 10
    });
    beside.kill9();
    for (id, _) in &ids {
        assert_eq!(host.wait(id)["state"], "completed");
    }
    let mut spans = Vec::new();
    for (id, glob) in &ids {
        for attempt in host.history(id, "attempts") {
            let text = |name: &str| attempt[name].as_str().unwrap().to_owned();
            spans.push((text("started_at"), text("ended_at"), glob.clone(), id.clone()));
        }
    }
    let globs: Vec<hostler::domain::glob::Glob> =
        spans.iter().map(|(_, _, glob, _)| glob.parse().unwrap()).collect();
    for (nth, one) in spans.iter().enumerate() {
        for (more, other) in spans.iter().enumerate().skip(nth + 1) {
            let at_once = one.0 < other.1 && other.0 < one.1;
            assert!(!at_once || !globs[nth].overlaps(&globs[more]), "{one:?} {other:?}");
        }
    }
}

#[test]
fn limits_are_changed_while_it_runs_and_every_host_goes_by_them() {
    let config = format!(
        "{FLEETS}\n[queues.code]\nconcurrency = 1\n[limits.keys.\"account:*\"]\nconcurrency = 1\n"
    );
    let host = rarely(Host::new(&config));
    let ids: Vec<_> =
        (0..3).map(|_| host.submit(&sleeper(60_000, &json!({"queue": "code"})))).collect();
    host.until_task(&ids[0], "running");
    let waits = host.task(&ids[1])["waits_for"].clone();
    assert_eq!(
        (&waits[0]["kind"], &waits[0]["name"]),
        (&json!("concurrency"), &json!("code")),
        "{waits}"
    );
    let limited = host.cli_json(&["queue", "limit", "code", "--concurrency", "2"]);
    assert_eq!(limited["limits"]["concurrency"], 2);
    host.until_task(&ids[1], "running");
    assert_eq!(state(&host, &ids[2]), "pending");
    let listed = host.cli(&["queue", "list"]).stdout;
    assert!(listed.contains("2 at once"), "{listed}");
    let limits = host.cli_json(&["limit", "list"])["limits"].clone();
    assert_eq!((&limits[0]["name"], &limits[0]["concurrency"]), (&json!("account:*"), &json!(1)));
    for id in &ids {
        host.cli_json(&["task", "cancel", id]);
    }
    for id in &ids {
        host.wait(id);
    }

    // What limits the only fleet that serves the queue is in the way, too.
    host.cli_json(&["limit", "set", "--fleet", "quick", "--concurrency", "0"]);
    let kept = host.submit(&sleeper(1, &json!({"queue": "code"})));
    let waits = host.task(&kept)["waits_for"].as_array().unwrap().clone();
    let of_fleet = |wait: &Value| wait["kind"] == "concurrency" && wait["name"] == "quick";
    assert!(waits.iter().any(of_fleet), "{waits:?}");
    host.cli_json(&["limit", "set", "--fleet", "quick", "--concurrency", "off"]);
    assert_eq!(host.wait(&kept)["state"], "completed");

    // A rate opens by itself.
    host.cli_json(&["queue", "limit", "code", "--concurrency", "off", "--rate", "2/2s"]);
    let ids: Vec<_> = (0..4).map(|_| host.submit(&sleeper(1, &json!({"queue": "code"})))).collect();
    let began = now();
    for id in &ids {
        assert_eq!(host.wait(id)["state"], "completed");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "nobody waited for a poll");
    let (second, third) = (ran(&host, &ids[1]).0, ran(&host, &ids[2]).0);
    let apart = third.parse::<jiff::Timestamp>().unwrap().duration_since(second.parse().unwrap());
    assert!(apart.as_millis() > 1_000, "{second} {third}");
}

#[test]
fn a_pause_of_a_queue_or_a_key_ends_by_itself() {
    let host = rarely(Host::new(FLEETS));
    let paused = host.cli_json(&["queue", "pause", "code", "--for", "1s", "--reason", "quota"]);
    assert_eq!((&paused["paused"], &paused["paused_reason"]), (&json!(true), &json!("quota")));
    assert!(paused["paused_until"].is_string(), "{paused}");
    // Long enough to be looked at.
    let words = ["queue", "pause", "--key", "account:*", "--for", "4s"];
    assert_eq!(host.cli_json(&words)["key"], "account:*");
    let plain = host.submit(&sleeper(1, &json!({"queue": "code"})));
    let keyed = host.submit(&sleeper(1, &json!({"keys": ["account:alice"]})));
    let waits = host.task(&keyed)["waits_for"].clone();
    assert_eq!(waits[0]["kind"], json!("paused"), "{waits}");
    for id in [&plain, &keyed] {
        let ended = host.wait(id);
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("completed"), &json!(1)));
    }
    eventually("it says so in the log", || host.log().contains("its pause has ended"));
    assert_eq!(host.get("/api/v1/queues")["items"][0]["paused"], false);

    host.cli_json(&["queue", "pause", "--key", "account:bob"]);
    let waits = host.submit(&sleeper(1, &json!({"keys": ["account:bob"]})));
    host.cli_json(&["queue", "resume", "--key", "account:bob"]);
    assert_eq!(host.wait(&waits)["state"], "completed");
    assert_eq!(host.cli(&["queue", "resume", "--key", "account:bob"]).code, 4, "not found");
}

#[test]
fn what_makes_no_sense_is_told_with_its_field() {
    let host = Host::new(FLEETS).up();
    let tasks = [
        (json!({"locks": "repo"}), "locks"),
        (json!({"locks": ["a", {"name": "b", "mode": "half"}]}), "locks[1].mode"),
        (json!({"locks": [{"nam": "b"}]}), "locks[0].nam"),
        (json!({"locks": [""]}), "locks[0]"),
        (json!({"paths": ["../x"]}), "paths[0]"),
        (json!({"paths": [{"glob": "a/**b"}]}), "paths[0]"),
        (json!({"keys": [7]}), "keys[0]"),
        (json!({"keys": vec!["k"; 65]}), "keys"),
    ];
    for (task, field) in tasks {
        let answer = host.ask(&Ask::new("POST", "/api/v1/tasks").json(&task)).expect(422);
        let fields: Vec<_> =
            answer["errors"].as_array().unwrap().iter().map(|it| it["field"].clone()).collect();
        assert!(fields.contains(&json!(field)), "{task}: {answer}");
    }
    let limits = [
        ("/api/v1/queues/code/limits", json!({"concurrency": -1}), 422),
        ("/api/v1/queues/code/limits", json!({"rate": "often"}), 422),
        ("/api/v1/queues/nowhere/limits", json!({"fair": true}), 404),
        ("/api/v1/limits", json!({"concurrency": 1}), 422),
        ("/api/v1/limits", json!({"key": "a", "fleet": "b", "concurrency": 1}), 422),
    ];
    for (path, body, status) in limits {
        host.ask(&Ask::new("PATCH", path).json(&body)).expect(status);
    }
    for body in [json!({}), json!({"key": "a", "for": "1s", "until": "2030-01-31T08:00:00Z"})] {
        host.ask(&Ask::new("POST", "/api/v1/keys/pause").json(&body)).expect(422);
    }
    let over = Ask::new("POST", "/api/v1/queues/code/pause");
    let over = host.ask(&over.json(&json!({"until": "2020-01-31T08:00:00Z"}))).expect(422);
    assert_eq!(over["errors"][0]["field"], "until", "it would pause nothing: {over}");
    assert_eq!(host.cli(&["queue", "limit", "code"]).code, 2);
}
