//! Agents that misbehave, each in its way: the task ends with the class that says so, the agent is
//! replaced for that cause, and neither a stuck agent, a dead host nor an orphan is left.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::history_is_whole;
use crate::support::{
    host::Host,
    processes::{eventually, is_live, send},
};

/// An agent, how its task ends (a class of failure, or the output), what the message holds, and why
/// its process was replaced.
type Row = (&'static str, Result<Value, &'static str>, &'static str, Option<&'static str>);

fn rows() -> Vec<Row> {
    vec![
        ("crash_in_task", Err("exit"), "signal 9", Some("crash")),
        ("half_line", Err("exit"), r#""resu"#, Some("crash")),
        ("hang_in_task", Err("stale"), "", Some("stale")),
        ("garbage", Err("protocol"), "Segmentation fault", Some("protocol")),
        ("liar", Err("protocol"), "9999", Some("protocol")),
        ("flood", Err("protocol"), "10", Some("protocol")),
        ("late", Ok(json!("own")), "", None),
        ("double", Ok(json!(1)), "", None),
    ]
}

fn fleet(name: &str, more: &str) -> String {
    format!(
        "[fleets.{name}]\nprotocol = \"worker\"\ncommand = [\"sh\", \"@FIXTURES@/{name}.sh\"]\n\
         queues = [\"{name}\"]\n{more}\n"
    )
}

#[test]
fn each_misbehaviour_has_its_name_and_its_end() {
    let rows = rows();
    let silent = "heartbeat = { every = \"50ms\", stale_after = \"500ms\" }";
    let fleets: String = rows
        .iter()
        .map(|(name, ..)| fleet(name, if *name == "hang_in_task" { silent } else { "" }))
        .collect();
    // A host that polls often gives back at once what its agents, slow on a busy machine, have not begun yet.
    let host = Host::new(&fleets).set("tasks.poll", "1m").up();
    let submit =
        |name: &str| host.submit(&json!({"queue": name, "max_attempts": 2, "input": name}));
    // Two each: the second meets what the first one left.
    let tasks: Vec<_> = rows.iter().map(|row| [submit(row.0), submit(row.0)]).collect();
    for ((name, end, part, cause), ids) in rows.iter().zip(&tasks) {
        for id in ids {
            let task = host.wait(id);
            history_is_whole(&host, &task);
            match end {
                Ok(output) => {
                    assert_eq!((&task["output"], &task["attempt"]), (output, &json!(1)), "{task}");
                }
                Err(class) => {
                    assert_eq!(
                        (&task["state"], &task["failures"]),
                        (&json!("failed"), &json!(2)),
                        "{name}: {task}"
                    );
                    assert_eq!(task["error"]["class"], *class, "{name}: {task}");
                    let message = task["error"]["message"].as_str().unwrap();
                    assert!(message.contains(part), "{name}: {message}");
                }
            }
        }
        let agent = host.until_agent(&format!("{name}-1"), "idle");
        let expected = cause.map_or(json!({}), |cause| json!({ cause: 4 }));
        assert_eq!(agent["restarts"], expected, "{agent}");
    }
}

#[test]
fn an_agent_that_does_not_even_start_is_given_up() {
    let few = "restart = { max_restarts = 2, backoff_min = \"10ms\" }";
    let fleets = fleet("crash", few)
        + &fleet("hang", &format!("start_timeout = \"200ms\"\n{few}"))
        + "[fleets.refused]\nprotocol = \"worker\"\ncommand = [\"@DIR@/not-executable\"]\n\
           queues = [\"refused\"]\n"
        + few;
    let host = Host::new(&fleets);
    let program = host.path("not-executable");
    std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let host = host.up();
    let rows = [
        ("crash-1", "crash", "no reason"),
        ("hang-1", "protocol", "initialize"),
        ("refused-1", "spawn", "not-executable"),
    ];
    for (name, cause, part) in rows {
        let agent = host.until_agent(name, "quarantined");
        assert_eq!(agent["restarts"], json!({ cause: 3 }), "{agent}");
        let reason = agent["reason"].as_str().unwrap();
        assert!(reason.contains("3 times") && reason.contains(part), "{reason}");
        assert_eq!(agent["pid"], Value::Null);
    }
    let task = host.submit(&json!({"queue": "crash"}));
    assert_eq!(host.task(&task)["attempt"], 0, "nobody took it");
    assert_eq!(host.cli_json(&["agent", "start", "crash-1"])["items"][0]["reason"], Value::Null);
    host.until_agent("crash-1", "quarantined");
}

#[test]
fn an_agent_that_heeds_nothing_is_killed() {
    let mut host = Host::new(&fleet("ignore_term", "")).up();
    let task = host.submit(&json!({"queue": "ignore_term"}));
    host.until_task(&task, "running");
    let pid = i32::try_from(host.agent("ignore_term-1")["pid"].as_i64().unwrap()).unwrap();
    host.cli_json(&["task", "cancel", &task]);
    assert_eq!(host.wait(&task)["state"], "cancelled");
    assert!(!is_live(pid), "the task is not cancelled before its process is gone");
    let agent = host.until_agent("ignore_term-1", "idle");
    assert_eq!(agent["restarts"], json!({"cancel": 1}));
    assert!(host.stop().success(), "an idle one is killed, too");
    host.until_nothing_is_left();
}

#[test]
fn what_an_agent_forked_away_ends_with_it() {
    let host = Host::new(&fleet("spinner", "")).up();
    let task = host.wait(&host.submit(&json!({"queue": "spinner"})));
    let daemon = i32::try_from(task["output"].as_i64().unwrap()).unwrap();
    assert!(is_live(daemon));
    host.cli_json(&["agent", "restart", "spinner-1"]);
    eventually("the grandchild is gone", || !is_live(daemon));
    let task = host.wait(&host.submit(&json!({"queue": "spinner"})));
    assert_ne!(task["output"].as_i64().unwrap(), i64::from(daemon));
}

#[test]
fn an_agent_that_stops_in_its_tracks_is_replaced() {
    let fleets = "[fleets.quick]\nprotocol = \"worker\"\ncommand = [\"python3\", \"worker.py\"]\n\
        heartbeat = { every = \"100ms\", stale_after = \"3s\" }\n";
    // It beats by itself, and on a busy machine not so often: the limit is far from what is usual there.
    let host = Host::new(fleets).up();
    let task = host.submit(&json!({"input": {"op": "sleep", "ms": 2500}}));
    host.until_task(&task, "running");
    let pid = i32::try_from(host.agent("quick-1")["pid"].as_i64().unwrap()).unwrap();
    send(pid, Signal::SIGSTOP);
    let ended = host.wait(&task);
    assert_eq!((&ended["state"], &ended["attempt"]), (&json!("completed"), &json!(2)), "{ended}");
    assert!(!is_live(pid));
    let first = &host.history(&task, "attempts")[0];
    assert_eq!(first["error"]["class"], "stale", "{first}");
    assert_eq!(host.agent("quick-1")["restarts"], json!({"stale": 1}));
    assert_eq!(host.effects().len(), 1);
}
