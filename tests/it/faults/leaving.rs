//! A host is asked to stop while its database is away.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{nothing_was_lost, submit_many, until_all_are_final};
use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, send},
};

#[test]
fn a_host_without_its_database_ends_and_its_tasks_run_again() {
    let mut host = Host::new(WORKER).up();
    let id = host.submit(&json!({"input": {"op": "sleep", "ms": 500}}));
    // Not `running`: the answer to the claim may still be on its way when that can be read.
    host.until_agent("quick-1", "busy");
    host.database().cut();
    send(host.pid(), Signal::SIGTERM);
    eventually("the task is done", || host.effects().len() == 1);
    let exit = host.ended();
    assert!(!exit.success(), "an outcome could not be written");
    host.until_nothing_is_left();
    host.database().mend();
    host.restart();
    let mut ids = vec![id.clone()];
    ids.extend(submit_many(&host, 5));
    until_all_are_final(&host);
    nothing_was_lost(&host, &ids);
    assert_eq!(host.task(&id)["attempt"], 2);
}
