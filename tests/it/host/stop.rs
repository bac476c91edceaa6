//! How a host ends: in order, or at once.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, now, send, within},
};

fn both() -> String {
    format!(
        "{WORKER}\n[fleets.long]\nprotocol = \"exec\"\nqueues = [\"long\"]\n\
         command = [\"sh\", \"-c\", \"sleep $1; echo done\", \"sh\", \"{{{{ input.seconds }}}}\"]\n"
    )
}

/// A task runs from when it is claimed; a moment later its agent has it.
fn until_both_work(host: &Host) {
    host.until_agent("quick-1", "busy");
    host.until_agent("long-1", "busy");
}

#[test]
fn running_tasks_finish_and_waiting_ones_stay() {
    let mut host = Host::new(&both()).up();
    // A worker needs a while to start, and the other task would not wait for it.
    host.until_agent("quick-1", "idle");
    let worker = host.submit(&json!({"input": {"op": "sleep", "ms": 2000}}));
    let exec = host.submit(&json!({"queue": "long", "input": {"seconds": 2}}));
    until_both_work(&host);
    let waiting = host.submit(&json!({"input": {"op": "echo", "value": "later"}}));
    assert!(host.stop().success());
    host.until_nothing_is_left();
    host.restart();
    for id in [&worker, &exec] {
        let task = host.task(id);
        assert_eq!((&task["state"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}");
    }
    assert_eq!(host.wait(&waiting)["output"], "later");
}

#[test]
fn what_does_not_finish_goes_back_and_uses_up_no_attempt() {
    let mut host = Host::new(&both()).set("host.drain_grace", "300ms").up();
    let worker = host.submit(&json!({"input": {"op": "sleep", "ms": 600_000}}));
    let exec = host.submit(&json!({"queue": "long", "input": {"seconds": 1000}}));
    until_both_work(&host);
    assert!(host.stop().success());
    host.until_nothing_is_left();
    host.restart();
    for id in [&worker, &exec] {
        host.until_task(id, "running");
        let task = host.task(id);
        assert_eq!((&task["failures"], &task["attempt"]), (&json!(0), &json!(2)), "{task}");
        let first = &host.history(id, "attempts")[0];
        assert_eq!(first["outcome"], "released", "{first}");
        assert!(first["reason"].as_str().unwrap().contains("stopping"), "{first}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let stubborn = "[fleets.deaf]\nprotocol = \"worker\"\ncount = 2\nstop_grace = \"1h\"\n\
        command = [\"sh\", \"@FIXTURES@/ignore_term.sh\"]\n";
    let stubborn = stubborn.replace("1h", "10m");
    let mut host = Host::new(&stubborn).set("host.drain_grace", "1h").up();
    let task = host.submit(&json!({}));
    eventually("an agent has it", || {
        ["deaf-1", "deaf-2"].iter().any(|agent| host.agent(agent)["state"] == "busy")
    });
    let began = now();
    send(host.pid(), Signal::SIGTERM);
    let draining = || host.log().contains("host stopping");
    assert!(within(Duration::from_secs(20), draining), "{}", host.log());
    send(host.pid(), Signal::SIGINT);
    host.ended();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    host.until_nothing_is_left();
    host.restart();
    host.until_task(&task, "running");
    assert_eq!(host.task(&task)["failures"], 0);
}

#[test]
fn a_signal_during_the_start_is_heard() {
    let mut host = Host::new(WORKER);
    host.launch();
    send_once_it_listens(&host);
    assert!(host.ended().success());
    host.until_nothing_is_left();
}

/// The log file is made after the signals are heard... and long before the host is ready.
fn send_once_it_listens(host: &Host) {
    assert!(within(Duration::from_secs(30), || host.log().contains("schema is up to date")));
    send(host.pid(), Signal::SIGTERM);
}
