//! A host that hands over to another program.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::Value;

use super::world::{Host, runs};

const AGENTS: [&str; 4] = ["exec-1", "worker-1", "worker-2", "service-1"];

fn pids(host: &Host) -> Vec<u32> {
    AGENTS.iter().map(|agent| host.pid(agent)).collect()
}

/// One of each kind; an `exec` agent and a worker are at work.
fn at_work() -> (Host, [String; 2]) {
    let mut host = Host::of_all_kinds();
    host.up();
    let idle = |host: &Host, agent: &str| host.agent(agent)["state"] == "idle";
    host.until("workers are ready", |host| idle(host, "worker-1") && idle(host, "worker-2"));
    let tasks = [host.begin("exec"), host.begin("worker")];
    (host, tasks)
}

/// A program that does this.
fn script(host: &Host, text: &str) -> PathBuf {
    let path = host.path("new.sh");
    let text = text.replace("@HOSTLER@", env!("CARGO_BIN_EXE_hostler"));
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn goes_on(host: &Host, before: &[u32], tasks: &[String]) {
    assert_eq!(pids(host), before, "{}", host.log());
    host.go();
    for task in tasks {
        let record = host.ended(task);
        assert_eq!((&record["state"], &record["attempt"]), (&"completed".into(), &1.into()));
        host.ran_once(task);
    }
}

#[test]
fn another_program_takes_over_and_every_agent_goes_on() {
    let (mut host, tasks) = at_work();
    let before = pids(&host);
    let old: Value = host.cli(&["agent", "list"]);
    assert!(old["items"].as_array().unwrap().iter().all(|agent| agent["adopted"].is_null()));
    let new = host.path("hostler-new");
    fs::copy(env!("CARGO_BIN_EXE_hostler"), &new).unwrap();
    // And once more, from the program that took over, which is gone from the disk meanwhile.
    for _ in 0..2 {
        let after = host.cli(&["upgrade", new.to_str().unwrap()]);
        assert_eq!(after["upgrade"], serde_json::json!({"from": after["version"], "failed": null}));
        let adoption = &after["adoption"];
        assert_eq!((&adoption["found"], &adoption["kept"]), (&4.into(), &4.into()), "{after}");
        assert!(runs(u32::try_from(after["pid"].as_u64().unwrap()).unwrap()));
    }
    fs::remove_file(&new).unwrap();
    let agent = host.agent("worker-1");
    assert_eq!(agent["adopted"]["generation"], 1, "{agent}");
    goes_on(&host, &before, &tasks);
    assert!(host.stop().success(), "{}", host.log());
    assert!(!before.iter().any(|pid| runs(*pid)));
}

#[test]
fn a_program_that_can_not_take_over_changes_nothing() {
    let (host, tasks) = at_work();
    let before = pids(&host);
    let id = host.cli(&["host", "list"])["items"][0]["id"].clone();
    let rows = [
        ("exit 3", "can't take over"),
        ("echo hello", "did not say what it is"),
        ("echo '{\"version\": \"0.0.1\", \"schema\": 1, \"keeper\": 2}'", "the database has"),
    ];
    for (text, why) in rows {
        let output = host.output(&["upgrade", script(&host, text).to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("nothing has changed") && said.contains(why), "{said}");
    }
    let missing = host.output(&["upgrade", "/nowhere/hostler"]);
    assert_eq!(missing.status.code(), Some(5));
    assert_eq!(host.cli(&["host", "list"])["items"][0]["id"], id);
    goes_on(&host, &before, &tasks);
}

#[test]
fn a_program_that_speaks_otherwise_with_keepers_lets_attempts_end_first() {
    let (host, tasks) = at_work();
    let before = pids(&host);
    let other = script(
        &host,
        "case \"$*\" in *--probe*) @HOSTLER@ \"$@\" | sed 's/\\(\"keeper[a-z_]*\":\\)[0-9]*/\\1999/g' ;; \
         *) exec @HOSTLER@ \"$@\" ;; esac",
    );
    let asked = host.start(&["upgrade", other.to_str().unwrap()]);
    host.until("it hands over", |host| host.log().contains("host stopping"));
    host.go();
    assert!(asked.wait_with_output().unwrap().status.success(), "{}", host.log());
    for task in &tasks {
        assert_eq!(host.ended(task)["attempt"], 1);
        host.ran_once(task);
    }
    host.until("agents of the new program", |host| host.agent("worker-1")["state"] == "idle");
    assert!(!before.iter().any(|pid| runs(*pid)), "{}", host.log());
}

/// The one that takes over is started otherwise, and can't read its settings so. What ran before comes back as it
/// was started itself.
#[test]
fn where_the_new_program_fails_the_old_one_goes_on_as_it_was_started() {
    let (mut host, tasks) = at_work();
    let before = pids(&host);
    let otherwise = script(
        &host,
        "case \"$*\" in *--probe*) exec @HOSTLER@ \"$@\" ;; \
         *) export ANOTHER=1; exec @HOSTLER@ \"$@\" --set no.such=1 ;; esac",
    );
    for _ in 0..2 {
        let output = host.output(&["upgrade", otherwise.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}\n{}", host.log());
        assert!(said.contains("no.such"), "{said}");
    }
    let pid = host.process();
    let started = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(started.contains("up\0") && !started.contains("no.such"), "{started:?}");
    let env = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(env.contains("HOME=") && !env.contains("ANOTHER="), "{env:?}");
    assert!(host.log().contains("this one goes on"), "{}", host.log());
    goes_on(&host, &before, &tasks);
    assert!(host.stop().success(), "{}", host.log());
}

#[test]
fn a_program_that_ends_is_told_of() {
    let (mut host, _) = at_work();
    let gone =
        script(&host, "case \"$*\" in *--probe*) exec @HOSTLER@ \"$@\" ;; *) exit 7 ;; esac");
    let asked = host.start(&["upgrade", gone.to_str().unwrap()]);
    host.reap();
    let output = asked.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no host runs now"), "{said}");
    host.up();
    host.go();
}

fn terminate(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
}

/// A worker that stops in the middle of a line holds a hand-over up for a while: what asks for a stop then
/// would be heard by nobody.
#[test]
fn a_stop_in_the_middle_of_an_upgrade_is_carried_out_by_whoever_takes_over() {
    let mut host = Host::new();
    let half = "read -r hello; echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocol_version\":1}}'; \
                read -r task; printf '{\"json'; touch half; sleep 1000";
    fs::write(host.path("half.sh"), half).unwrap();
    host.configure(&["[fleets.half]\nprotocol = \"worker\"\nqueues = [\"half\"]\n\
                      command = [\"sh\", \"half.sh\"]\n"]);
    let config = fs::read_to_string(host.path("hostler.toml")).unwrap();
    let config = config.replace("lease = \"6s\"", "lease = \"30s\"\ndrain_grace = \"500ms\"");
    fs::write(host.path("hostler.toml"), config).unwrap();
    host.up();
    let task = host.submit("half");
    host.until("it has begun to answer", |host| host.path("half").exists());
    let (agent, before) = (host.pid("half-1"), host.process());
    let asked = host.start(&["upgrade", env!("CARGO_BIN_EXE_hostler")]);
    host.until("it hands over", |host| host.log().contains("host hands over"));
    terminate(before);
    host.until("the host ends", |_| !runs(before));
    host.reap();
    assert!(!runs(agent), "{}", host.log());
    assert!(host.keeper().is_none());
    asked.wait_with_output().unwrap();
    assert!(host.log().contains("asked to stop during the upgrade"), "{}", host.log());
    assert!(host.log().contains("host stopped"), "{}", host.log());
    host.up();
    assert_ne!(host.task(&task)["state"], "completed");
}

#[test]
fn a_stop_while_an_upgrade_waits_for_attempts_needs_no_other_program() {
    let (mut host, tasks) = at_work();
    let before = pids(&host);
    let text = "case \"$*\" in *--probe*) @HOSTLER@ \"$@\" | sed 's/\\(\"keeper[a-z_]*\":\\)[0-9]*/\\1999/g' ;; \
                *) touch @STARTED@; exec @HOSTLER@ \"$@\" ;; esac";
    let other = script(&host, &text.replace("@STARTED@", host.path("started").to_str().unwrap()));
    let asked = host.start(&["upgrade", other.to_str().unwrap()]);
    host.until("it hands over", |host| host.log().contains("host stopping"));
    let process = host.process();
    terminate(process);
    host.go();
    host.until("the host ends", |_| !runs(process));
    host.reap();
    asked.wait_with_output().unwrap();
    assert!(!before.iter().any(|pid| runs(*pid)), "{}", host.log());
    assert!(!host.path("started").exists(), "{}", host.log());
    host.up();
    for task in &tasks {
        assert_eq!(host.ended(task)["attempt"], 1, "it was let finish");
        host.ran_once(task);
    }
}
