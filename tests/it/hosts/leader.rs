//! Who leads when the leader dies, freezes, or stops.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;

use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, now, send, within},
};

/// Far more than a hand-over takes that is as quick as it should be.
const SECONDS: Duration = Duration::from_secs(6);

/// Whether the host says that it leads.
fn leads(host: &Host) -> bool {
    let log = fs::read_to_string(host.path("stderr")).unwrap();
    let last = log.lines().rfind(|line| line.contains("\"msg\":\"this host "));
    last.is_some_and(|line| line.contains("\"msg\":\"this host leads\""))
}

#[test]
fn another_host_leads_within_seconds_after_the_leader_was_killed() {
    let mut first = Host::new(WORKER).up();
    eventually("the only host leads", || leads(&first));
    let second = first.beside(WORKER).up();
    let third = first.beside(WORKER).up();
    first.kill9();
    let killed = now();
    assert!(within(SECONDS, || leads(&second) || leads(&third)), "{}", second.log());
    assert!(killed.elapsed() < SECONDS);
    assert!(!(leads(&second) && leads(&third)), "one of them");
    // The one that was killed comes back, and follows.
    first.restart();
    let (mut leader, other) = if leads(&second) { (second, third) } else { (third, second) };
    assert!(leader.stop().success());
    assert!(within(SECONDS, || leads(&first) || leads(&other)), "{}", other.log());
}

#[test]
fn a_leader_that_freezes_is_followed_by_another_and_notices() {
    let first = Host::new(WORKER).set("host.lease", "60s").up();
    eventually("the only host leads", || leads(&first));
    let second = first.beside(WORKER).up();
    send(first.pid(), Signal::SIGSTOP);
    let followed = within(SECONDS * 2, || leads(&second));
    send(first.pid(), Signal::SIGCONT);
    assert!(followed, "{}", second.log());
    eventually("it knows that it leads no longer", || !leads(&first));
    assert!(leads(&second));
}
