//! Agents, as an operator sees and commands them.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use nix::sys::signal::Signal;
use serde_json::json;

use super::all_kinds;
use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, is_live, send},
    wire::Ask,
};

#[test]
fn every_agent_is_shown_where_it_is() {
    let host = Host::new(&all_kinds()).up();
    for (name, state) in [("quick-1", "idle"), ("quick-2", "idle"), ("side-1", "busy")] {
        let state = if name == "side-1" { "idle" } else { state };
        let agent = host.until_agent(name, state);
        assert_eq!((&agent["generation"], &agent["restarts"]), (&json!(1), &json!({})), "{agent}");
        assert!(is_live(i32::try_from(agent["pid"].as_u64().unwrap()).unwrap()));
    }
    assert_eq!(host.agent("shell-1")["pid"], json!(null), "a process per task");
    let listed = host.cli_json(&["agent", "list"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 7);
    let fleets = host.cli_json(&["fleet", "list"]);
    let quick = fleets["items"].as_array().unwrap().iter().find(|one| one["name"] == "quick");
    assert_eq!(quick.unwrap()["states"], json!({"idle": 2}));
    let table = host.cli(&["agent", "list"]);
    assert!(table.stdout.contains("quick-1") && table.stdout.contains("idle"), "{table:?}");
    assert_eq!(host.cli_json(&["agent", "show", "quick-1"])["fleet"], "quick");
    assert_eq!(host.cli(&["agent", "show", "quick-9"]).code, 4);
}

/// Room that grows while there are threads holds up whatever starts (`process::make_room`).
#[test]
fn host_and_keeper_have_room_for_the_descriptors_of_many_agents() {
    let host = Host::new(WORKER).up();
    for pid in [host.pid(), host.keeper()] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let room = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        let room: u64 = room.and_then(|room| room.trim().parse().ok()).expect("a number");
        assert!(room >= 1024, "{pid} has room for {room}");
    }
}

#[test]
fn an_operator_stops_starts_and_restarts_agents() {
    let host = Host::new(WORKER).up();
    let first = host.until_agent("quick-1", "idle")["pid"].clone();
    host.cli_json(&["agent", "restart", "quick-1"]);
    eventually("it is another process", || {
        let agent = host.agent("quick-1");
        agent["generation"] == 2 && agent["state"] == "idle" && agent["pid"] != first
    });
    assert_eq!(host.agent("quick-1")["restarts"], json!({"operator": 1}));

    let task = host.submit(&json!({"input": {"op": "sleep", "ms": 600_000}}));
    host.until_task(&task, "running");
    host.cli_json(&["agent", "stop", "quick-1"]);
    let stopped = host.until_agent("quick-1", "stopped");
    assert_eq!(stopped["pid"], json!(null));
    assert!(stopped["reason"].as_str().unwrap().contains("operator"), "{stopped}");
    host.until_task(&task, "pending");
    assert_eq!(host.task(&task)["failures"], 0);
    assert_eq!(host.history(&task, "attempts")[0]["outcome"], "released");
    let twice = host.cli(&["agent", "stop", "quick-1", "--json"]);
    assert_eq!(twice.code, 5, "{twice:?}");

    host.ask(&Ask::new("POST", "/api/v1/agents/quick-1/start")).expect(200);
    host.until_task(&task, "running");
    assert_eq!(host.task(&task)["attempt"], 2);
}

#[test]
fn an_agent_that_crashes_is_started_again() {
    let host = Host::new(WORKER).up();
    let agent = host.until_agent("quick-1", "idle");
    send(i32::try_from(agent["pid"].as_u64().unwrap()).unwrap(), Signal::SIGKILL);
    eventually("it is back", || host.agent("quick-1")["generation"] == 2);
    let agent = host.until_agent("quick-1", "idle");
    assert_eq!(agent["restarts"], json!({"crash": 1}));
    let done = host.wait(&host.submit(&json!({"input": {"op": "echo", "value": 1}})));
    assert_eq!(done["state"], "completed");
}

#[test]
fn an_agents_log_is_shown_and_followed() {
    let chatty = "[fleets.chatty]\nprotocol = \"service\"\n\
        command = [\"sh\", \"-c\", \"echo one; echo two >&2; while read -r x <@DIR@/pipe; do echo $x; done\"]\n";
    let host = Host::new(chatty);
    let pipe = host.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let host = host.up();
    eventually("both lines are there", || {
        let log = host.cli(&["agent", "logs", "chatty-1"]).stdout;
        log.contains("one") && log.contains("two")
    });
    let mut follow = host
        .command()
        .args(["agent", "logs", "chatty-1", "-f", "--tail", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(["one", "two"].contains(&lines.next().unwrap().unwrap().as_str()));
    std::fs::write(&pipe, "three\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "three");
    let mut host = host;
    assert!(host.stop().success());
    // It ends with the host: whatever the agent still said on its way out, there is an end.
    assert!(lines.all(|line| line.is_ok()));
    assert!(follow.wait().unwrap().success());
}
