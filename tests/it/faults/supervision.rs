//! What supervisors are measured by, as behaviour: stops of those who do not want to, storms, what a
//! killed process leaves. `make bench-supervision` has the figures.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    host::Host,
    processes::{eventually, is_live, send},
};

/// Agents that do not want to stop, each in its own way, and some that do.
const UNWILLING: &str = r#"
[fleets.deaf]
protocol = "service"
count = 3
command = ["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"]
[fleets.forks]
protocol = "service"
count = 3
command = ["sh", "-c", "sleep 1000 & wait"]
[fleets.leaves]
protocol = "service"
count = 3
command = ["sh", "-c", "setsid sleep 1000 & nohup sh -c '(sleep 1000 &) &' >/dev/null & exec sleep 1000"]
[fleets.stopped]
protocol = "service"
command = ["sh", "-c", "kill -STOP $$; sleep 1000"]
[fleets.willing]
protocol = "service"
count = 10
command = ["sleep", "1000"]
"#;

fn agents(host: &Host) -> Vec<Value> {
    host.get("/api/v1/agents")["items"].as_array().unwrap().clone()
}

fn pid(agent: &Value) -> Option<i32> {
    i32::try_from(agent["pid"].as_i64()?).ok()
}

/// Waits until all have a process, each another than in `old`.
fn until_all_run(host: &Host, old: &[i32]) -> Vec<i32> {
    let running = || -> Option<Vec<i32>> {
        let agents = agents(host);
        let pids: Vec<i32> =
            agents.iter().filter(|one| one["state"] == "idle").filter_map(pid).collect();
        let all_new = !pids.iter().any(|pid| old.contains(pid));
        (pids.len() == agents.len() && all_new).then_some(pids)
    };
    eventually("all agents run anew", || running().is_some());
    running().unwrap()
}

/// The live processes of the host that only sleep and that a shell has started.
fn sleepers(host: &Host) -> Vec<i32> {
    let all = host.processes();
    let sleeping = all.iter().filter(|process| process.command.starts_with("sleep"));
    sleeping.map(|process| process.pid).collect()
}

fn a_stop_leaves_nobody(cgroups: &str) {
    let mut host = Host::new(UNWILLING).set("host.cgroups", cgroups).up();
    until_all_run(&host, &[]);
    // Of the deaf and those that fork one each, of those that leave three each. The willing are started
    // by a path.
    eventually("all have forked", || sleepers(&host).len() == 3 + 3 + 9);
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

#[test]
fn a_stop_of_the_unwilling_leaves_nobody() {
    a_stop_leaves_nobody("auto");
}

#[test]
fn a_stop_of_the_unwilling_leaves_nobody_without_control_groups() {
    a_stop_leaves_nobody("off");
}

#[test]
fn all_killed_at_once_are_all_back_and_the_host_answers_meanwhile() {
    let fleet = "[fleets.many]\nprotocol = \"service\"\ncount = 60\ncommand = [\"sleep\", \"1000\"]\n\
        restart = { backoff_min = \"0s\", backoff_max = \"0s\" }\n";
    let host = Host::new(fleet).up();
    let before = until_all_run(&host, &[]);
    before.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    assert!(host.is_ready());
    let after = until_all_run(&host, &before);
    assert_eq!(after.len(), 60);
    assert!(agents(&host).iter().all(|agent| agent["generation"] == 2));
}

#[test]
fn what_a_killed_agent_forked_is_gone_before_the_next_runs() {
    let fleet = "[fleets.parent]\nprotocol = \"service\"\n\
        command = [\"sh\", \"-c\", \"sleep 1000 & setsid sleep 1000 & wait\"]\n\
        restart = { backoff_min = \"0s\", backoff_max = \"0s\" }\n";
    for cgroups in ["auto", "off"] {
        let host = Host::new(fleet).set("host.cgroups", cgroups).up();
        let leader = until_all_run(&host, &[])[0];
        eventually("both children", || sleepers(&host).len() == 2);
        let children = sleepers(&host);
        send(leader, Signal::SIGKILL);
        until_all_run(&host, &[leader]);
        assert!(!children.iter().any(|pid| is_live(*pid)), "{cgroups}");
    }
}
