//! A host with a Postgres of its own.

use std::{fs, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    host::{Host, WORKER},
    processes::send,
};

/// Where the private Postgres writes down its pid, once it has.
pub(crate) fn pid_file(host: &Host) -> Option<PathBuf> {
    let found = ["postgres/data", "postgres/cluster", "postgres"].iter();
    found.map(|dir| host.data_dir().join(dir).join("postmaster.pid")).find(|file| file.exists())
}

#[test]
fn the_second_start_finds_what_the_first_one_left() {
    let mut host = Host::embedded(WORKER).up();
    let id = host.submit(&json!({"input": {"op": "echo", "value": "kept"}}));
    let task = host.wait(&id);
    assert!(host.stop().success());
    host.until_nothing_is_left();
    let status = host.cli_json(&["db", "status"]);
    assert_eq!(status["pending"], json!([]), "{status}");
    host.until_nothing_is_left();
    host.restart();
    assert_eq!(host.task(&id), task);
    assert_eq!(host.cli(&["db", "status"]).code, 5, "the host has it");
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

/// The private Postgres is handed on by being stopped and started; agents notice nothing.
#[test]
fn a_host_with_a_postgres_of_its_own_is_upgraded() {
    let mut host = Host::embedded(WORKER).up();
    let pid = host.until_agent("quick-1", "idle")["pid"].clone();
    let before = host.submit(&json!({"input": {"op": "echo", "value": "before"}}));
    let before = host.wait(&before);
    let running = host.submit(&json!({"input": {"op": "sleep", "ms": 3_000}}));
    host.until_task(&running, "running");
    let new = host.path("hostler-new");
    fs::copy(env!("CARGO_BIN_EXE_hostler"), &new).unwrap();
    let after = host.cli_json(&["upgrade", new.to_str().unwrap()]);
    assert_eq!(after["upgrade"]["failed"], json!(null), "{after}");
    assert_eq!((&after["adoption"]["found"], &after["adoption"]["kept"]), (&json!(1), &json!(1)));
    assert_eq!(host.agent("quick-1")["pid"], pid);
    let ran = host.wait(&running);
    assert_eq!((&ran["state"], &ran["attempt"]), (&json!("completed"), &json!(1)), "{ran}");
    assert_eq!(host.task(before["id"].as_str().unwrap()), before);
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

#[test]
fn a_second_host_on_the_directory_is_refused() {
    let host = Host::embedded(WORKER).up();
    let fleets = host.path("fleets.toml");
    let second = host.cli(&["-c", fleets.to_str().unwrap(), "up", "--set", "http.bind=off"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains(&host.pid().to_string()), "it names the first: {second:?}");
    assert!(second.stderr.contains(host.data_dir().to_str().unwrap()), "{second:?}");
    let done = host.wait(&host.submit(&json!({"input": {"op": "echo", "value": 1}})));
    assert_eq!(done["output"], 1, "the first one is not disturbed");
}

#[test]
fn of_a_killed_host_nothing_is_left_and_the_next_one_recovers() {
    let mut host = Host::embedded(WORKER).up();
    let id = host.submit(&json!({"input": {"op": "sleep", "ms": 600_000}}));
    host.until_task(&id, "running");
    send(host.pid(), Signal::SIGKILL);
    host.ended();
    host.until_nothing_is_left();
    host.restart();
    host.until_task(&id, "running");
    assert_eq!(host.task(&id)["attempt"], 2);
}
