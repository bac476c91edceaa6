//! Agents die at random while many tasks run.

use std::{fs, path::Path, time::Duration};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{all_tasks, nothing_was_lost, unfinished, until_all_are_final};
use crate::support::{
    host::Host,
    processes::{is_live, now, pause, send},
    wire::Ask,
};

/// Agents die faster than three attempts of a task would allow for.
const MAX_ATTEMPTS: u32 = 1000;

fn task(nth: usize) -> Value {
    json!({"input": {"op": "echo", "value": nth}, "max_attempts": MAX_ATTEMPTS})
}

/// Submits so many tasks at once; returns their ids.
fn submit(host: &Host, count: usize) -> Vec<String> {
    let tasks: Vec<_> = (0..count).map(task).collect();
    let answer = host.ask(&Ask::new("POST", "/api/v1/tasks").json(&json!({ "tasks": tasks })));
    let items = answer.expect(201)["items"].as_array().unwrap().clone();
    items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Kills the process of one agent, if that has one. Returns whether it had.
fn kill_one(host: &Host, agents: usize) -> bool {
    let name = format!("quick-{}", fastrand::usize(1..=agents));
    let Some(pid) = host.agent(&name)["pid"].as_i64() else { return false };
    let pid = i32::try_from(pid).unwrap();
    let is_agent = fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|command| command.contains("worker.py"));
    if is_agent && is_live(pid) {
        send(pid, Signal::SIGKILL);
    }
    is_agent
}

fn restarts(host: &Host) -> u64 {
    let agents = host.get("/api/v1/agents");
    let agents = agents["items"].as_array().unwrap().iter();
    agents.filter_map(|one| one["restarts"]["crash"].as_u64()).sum()
}

#[test]
fn two_thousand_tasks_survive_their_agents() {
    let fleets = "[fleets.quick]\nprotocol = \"worker\"\ncount = 3\n\
        command = [\"python3\", \"worker.py\"]\n";
    let mut host = Host::new(fleets).set("log.level", "info").up();
    let ids = submit(&host, 2000);
    let mut killed = 0_u64;
    while unfinished(&host) > 0 && killed < 25 {
        killed += u64::from(kill_one(&host, 3));
        // The pace of the faults, not a wait for anything.
        pause(Duration::from_millis(40));
    }
    until_all_are_final(&host);
    nothing_was_lost(&host, &ids);
    assert!(killed >= 5 && restarts(&host) >= 1, "{killed} killed");
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

/// The same at length, as a person would try it: the quickstart, ten thousand tasks by the command
/// line and by HTTP, and agents that die for a minute. `make test-soak` runs it.
#[test]
#[ignore = "takes minutes; run by `make test-soak`"]
fn soak_ten_thousand_tasks_survive_a_minute_of_deaths() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quickstart = fs::read_to_string(root.join("examples/fleets/quickstart.toml")).unwrap();
    let host = Host::new(&quickstart.replace("../agents", "@EXAMPLES@"));
    let host = host.set("log.level", "info").up();
    let until = now() + Duration::from_secs(60);
    let (mut submitted, mut killed) = (0, 0_u64);
    while now() < until {
        if submitted < 10_000 {
            submit_by_turns(&host, submitted);
            submitted += 250;
        }
        killed += u64::from(kill_one(&host, 2));
        // The pace of the faults, not a wait for anything.
        pause(Duration::from_millis(200));
    }
    while submitted < 10_000 {
        submit_by_turns(&host, submitted);
        submitted += 250;
    }
    until_all_are_final(&host);
    let tasks = all_tasks(&host);
    assert_eq!(tasks.len(), submitted);
    let ids: Vec<_> = tasks.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    nothing_was_lost(&host, &ids);
    println!("{submitted} tasks, {killed} agents killed, {} restarts", restarts(&host));
}

/// 250 tasks: by HTTP and by the command line in turns.
fn submit_by_turns(host: &Host, from: usize) {
    if from.is_multiple_of(500) {
        submit(host, 250);
        return;
    }
    let lines: String = (from..from + 250).map(|nth| format!("{}\n", task(nth))).collect();
    let file = host.path("tasks.jsonl");
    fs::write(&file, lines).unwrap();
    let totals = host.cli_json(&["task", "submit", "--jsonl", file.to_str().unwrap()]);
    assert_eq!(totals["created"], 250);
}
