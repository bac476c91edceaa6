//! SIGKILL to the host, the keeper and Postgres, with tasks in flight.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{history_is_whole, nothing_was_lost, submit_many, until_all_are_final};
use crate::support::{
    host::Host,
    processes::{eventually, is_live, send},
};

/// Four workers; one of them forks away a process that would outlive it. What `slow` and `once` are at goes on
/// until the file `go` is there: it is under way when somebody is killed, however long all before that takes.
const FLEETS: &str = r#"
[fleets.quick]
protocol = "worker"
command = ["python3", "worker.py"]
count = 3
# Finds the worker that was to get a task in the instant of the host's death, and did not; or whose
# answer the host had read and not yet written down.
heartbeat = { every = "1s", stale_after = "8s" }

[fleets.slow]
protocol = "worker"
command = ["sh", "@FIXTURES@/gate.sh", "@DIR@/go"]
queues = ["slow"]

[fleets.once]
protocol = "exec"
command = ["sh", "-c", "while [ ! -e @DIR@/go ]; do sleep 0.02; done; echo \"$HOSTLER_TASK_ID $HOSTLER_ATTEMPT x\" >>$EFFECTS_FILE"]
queues = ["once"]

[fleets.forks]
protocol = "worker"
command = ["sh", "@FIXTURES@/spinner.sh"]
queues = ["forks"]
"#;

/// Tasks at work on every kind of agent, and a few hundred short ones behind them. Returns all ids,
/// those at work first, and the pids of all agent processes.
fn in_flight(host: &Host) -> (Vec<String>, Vec<i32>) {
    let slow = host.submit(&json!({"queue": "slow"}));
    let once = host.submit(&json!({"queue": "once"}));
    host.until_task(&slow, "running");
    host.until_task(&once, "running");
    let spinner = host.submit(&json!({"queue": "forks"}));
    let daemon = host.wait(&spinner)["output"].as_i64().unwrap();
    std::fs::write(host.path("spinner"), spinner).unwrap();
    let mut ids = vec![slow, once];
    ids.extend(submit_many(host, 300));
    eventually("some are done", || host.effects().len() > 20);
    // A worker that has not said hello is not taken over.
    let mut agents = Value::Null;
    eventually("all agents have said hello", || {
        agents = host.get("/api/v1/agents");
        agents["items"].as_array().unwrap().iter().all(|one| one["state"] != "starting")
    });
    let pids = agents["items"].as_array().unwrap().iter().filter_map(|one| one["pid"].as_i64());
    let pids = pids.chain([daemon]).map(|pid| i32::try_from(pid).unwrap()).collect();
    (ids, pids)
}

/// Lets what is at work end. Every task ended once, as far as the record and the agents say; the spinner's is
/// no part of it, as it writes nothing down.
fn all_ended_once(host: &Host, mut ids: Vec<String>) {
    std::fs::write(host.path("go"), "").unwrap();
    until_all_are_final(host);
    let spinner = std::fs::read_to_string(host.path("spinner")).unwrap();
    let attempt = host.task(&spinner)["attempt"].as_u64().unwrap();
    let mut noted = std::fs::read_to_string(host.path("effects")).unwrap();
    noted += &format!("{spinner} {attempt} forks-1\n");
    std::fs::write(host.path("effects"), noted).unwrap();
    for id in &ids[..2] {
        history_is_whole(host, &host.task(id));
    }
    ids.push(spinner);
    nothing_was_lost(host, &ids);
}

#[track_caller]
fn until_gone(pids: &[i32]) {
    eventually("the agents of before are gone", || pids.iter().all(|pid| !is_live(*pid)));
}

#[test]
fn the_host_is_killed_and_nobody_comes_before_its_lease_ends() {
    let mut host = Host::new(FLEETS).set("host.lease", "2s").up();
    let (ids, pids) = in_flight(&host);
    let keeper = host.keeper();
    host.kill9();
    host.until_nothing_is_left();
    assert!(!is_live(keeper) && pids.iter().all(|pid| !is_live(*pid)));
    let before = host.effects();
    host.restart();
    all_ended_once(&host, ids.clone());
    let slow = host.task(&ids[0]);
    assert_eq!((&slow["attempt"], &slow["failures"]), (&json!(2), &json!(0)), "{slow}");
    let first = &host.history(&ids[0], "attempts")[0];
    assert_eq!(first["outcome"], "released", "{first}");
    assert!(before.len() < ids.len(), "it was killed at work");
}

#[test]
fn the_host_is_killed_and_the_next_one_starts_at_once() {
    let mut host = Host::new(FLEETS).up();
    let (ids, pids) = in_flight(&host);
    host.kill9();
    assert!(pids.iter().all(|pid| is_live(*pid)), "they outlive the host");
    host.restart();
    all_ended_once(&host, ids.clone());
    for id in &ids[..2] {
        assert_eq!(host.task(id)["attempt"], 1, "what was at work goes on");
    }
    for name in ["quick-1", "quick-2", "quick-3", "slow-1", "forks-1"] {
        let agent = host.until_agent(name, "idle");
        if name.starts_with("quick") && agent["restarts"] == json!({"stale": 1}) {
            // Its answer died with the host: `nothing_was_lost` has seen that the task ran again.
            continue;
        }
        assert_eq!((&agent["generation"], &agent["restarts"]), (&json!(1), &json!({})), "{agent}");
        assert!(pids.contains(&i32::try_from(agent["pid"].as_i64().unwrap()).unwrap()), "{agent}");
    }
}

#[test]
fn the_keeper_is_killed() {
    let host = Host::new(FLEETS).up();
    let (ids, pids) = in_flight(&host);
    let (keeper, pid) = (host.keeper(), host.pid());
    send(keeper, Signal::SIGKILL);
    until_gone(&pids);
    all_ended_once(&host, ids.clone());
    assert_ne!(host.keeper(), keeper, "there is a new one");
    assert!(is_live(pid), "the host lives on");
    let first = &host.history(&ids[0], "attempts")[0];
    assert_eq!(first["outcome"], "released", "nobody's fault: {first}");
    for name in ["quick-1", "slow-1", "forks-1"] {
        assert_eq!(host.until_agent(name, "idle")["restarts"], json!({"crash": 1}));
    }
}

#[test]
fn the_private_postgres_is_killed() {
    let mut host = Host::embedded(FLEETS).up();
    let (ids, _) = in_flight(&host);
    let postmaster = postmaster(&host);
    send(postmaster, Signal::SIGKILL);
    eventually("Postgres is another", || is_another(&host, postmaster));
    eventually("the host is ready again", || host.is_ready());
    all_ended_once(&host, ids.clone());
    let slow: Value = host.task(&ids[0]);
    assert_eq!(slow["attempt"], 1, "an outage is no reason to do it again: {slow}");
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

#[test]
fn everything_is_killed_one_after_the_other() {
    let mut host = Host::embedded(FLEETS).up();
    let (ids, pids) = in_flight(&host);
    let postmaster = postmaster(&host);
    send(postmaster, Signal::SIGKILL);
    send(host.keeper(), Signal::SIGKILL);
    host.kill9();
    // With both of them gone nobody is left to end what an agent forked away, until the next start.
    host.restart();
    until_gone(&pids);
    all_ended_once(&host, ids);
}

/// The pid of the private Postgres, as it wrote it down.
fn postmaster(host: &Host) -> i32 {
    try_postmaster(host).expect("postmaster.pid")
}

fn try_postmaster(host: &Host) -> Option<i32> {
    let file = crate::host::embedded::pid_file(host)?;
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

fn is_another(host: &Host, postmaster: i32) -> bool {
    try_postmaster(host).is_some_and(|pid| pid != postmaster)
}
