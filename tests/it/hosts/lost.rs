//! A host is killed: its tasks run on the others, or on itself when it comes back.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::{FLEETS, is_begin, keep_busy, of_attempt, seen};
use crate::support::{
    effects::Effect,
    host::Host,
    processes::{eventually, now, send},
};

/// Nothing of earlier attempts happened once the one had begun that goes on, which is the second, or at the
/// most the one of number `last`; nobody's try was used up.
#[track_caller]
fn one_after_the_other(host: &Host, ids: &[String], effects: &[Effect], last: u64) {
    for id in ids {
        let task = host.task(id);
        let now = task["attempt"].as_u64().unwrap();
        assert!((2..=last).contains(&now) && task["failures"] == 0, "{task}");
        let begin = of_attempt(effects, id, now).into_iter().find(is_begin).unwrap();
        assert!(!of_attempt(effects, id, 1).is_empty());
        for earlier in 1..now {
            let done = of_attempt(effects, id, earlier);
            assert!(done.iter().all(|one| one.at < begin.at), "{id}: {done:?} {begin:?}");
        }
        let mut before = host.history(id, "attempts");
        before.retain(|one| one["attempt"] != now);
        assert!(before.iter().all(|one| one["outcome"] == "released"), "{before:?}");
    }
}

/// Whether all of them have been begun again, at the latest by the attempt of number `last`.
fn run_again(ids: &[String], effects: &[Effect], last: u64) -> bool {
    let begun = |id: &String, attempt| of_attempt(effects, id, attempt).iter().any(is_begin);
    ids.iter().all(|id| (2..=last).any(|attempt| begun(id, attempt)))
}

#[test]
fn a_killed_hosts_tasks_run_elsewhere_within_one_lease() {
    let lease = Duration::from_secs(4);
    let mut first = Host::new(FLEETS).set("host.lease", "4s").up();
    let ids = keep_busy(&first, 600_000);
    let second = first.beside(FLEETS).set("host.lease", "4s").up();
    first.kill9();
    let killed = now();
    eventually("they run on the other host", || run_again(&ids, &seen(&second), 2));
    let took = killed.elapsed();
    // To find it out, and for a process to begin: twice as long on a machine that is busy.
    assert!(took < lease * 2, "{took:?}");
    let effects = [seen(&first), seen(&second)].concat();
    one_after_the_other(&second, &ids, &effects, 2);
}

/// It is there, and its keeper still has it; but nobody there sees its lease end.
#[test]
fn a_frozen_hosts_agents_end_before_its_tasks_run_elsewhere() {
    let first = Host::new(FLEETS).set("host.lease", "4s").up();
    let ids = keep_busy(&first, 600_000);
    let second = first.beside(FLEETS).set("host.lease", "4s").up();
    send(first.pid(), Signal::SIGSTOP);
    eventually("they run on the other host", || run_again(&ids, &seen(&second), 2));
    let effects = [seen(&first), seen(&second)].concat();
    send(first.pid(), Signal::SIGCONT);
    one_after_the_other(&second, &ids, &effects, 2);
    eventually("the host is back", || first.is_ready());
    let more = first.submit(&json!({"input": {"ms": 1}}));
    assert_eq!(first.wait(&more)["state"], "completed", "its agents are back, too");
}

/// It goes on before its lease has ended, and finds its agents ended by their keeper: its own fault.
#[test]
fn a_frozen_host_that_goes_on_in_time_uses_up_no_try() {
    let host = Host::new(FLEETS).set("host.lease", "8s").up();
    let ids = keep_busy(&host, 600_000);
    let agents =
        || host.processes().iter().filter(|one| one.command.contains("witness.py")).count();
    assert_eq!(agents(), ids.len());
    send(host.pid(), Signal::SIGSTOP);
    eventually("the keeper ends its agents", || agents() == 0);
    send(host.pid(), Signal::SIGCONT);
    // On a busy machine one may be handed out and taken back before it does anything.
    eventually("they run again", || run_again(&ids, &seen(&host), 4));
    one_after_the_other(&host, &ids, &seen(&host), 4);
}

#[test]
fn a_host_that_starts_again_takes_its_own_back_at_once() {
    let mut first = Host::new(FLEETS).set("host.lease", "600s").up();
    let ids = keep_busy(&first, 2_000);
    let second = first.beside(FLEETS).set("host.lease", "600s").up();
    let keeper = first.keeper();
    first.kill9();
    // With its keeper, or its agents would go on, and nothing had to be taken back.
    send(keeper, Signal::SIGKILL);
    first.restart();
    for id in &ids {
        assert_eq!(second.wait(id)["state"], "completed");
    }
    let effects = [seen(&first), seen(&second)].concat();
    one_after_the_other(&second, &ids, &effects, 2);
}
