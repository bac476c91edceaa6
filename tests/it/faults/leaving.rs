//! A host is asked to stop while its database is away.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{nothing_was_lost, submit_many, until_all_are_final};
use crate::support::{
    host::Host,
    processes::{eventually, send},
};

/// Its tasks end when the file `go` is there: not before the database is away.
const FLEET: &str = r#"
[fleets.quick]
protocol = "worker"
command = ["sh", "@FIXTURES@/gate.sh", "@DIR@/go"]
"#;

#[test]
fn a_host_without_its_database_ends_and_its_tasks_run_again() {
    let mut host = Host::new(FLEET).up();
    let id = host.submit(&json!({}));
    // Not `running`: the answer to the claim may still be on its way when that can be read.
    host.until_agent("quick-1", "busy");
    host.database().cut();
    send(host.pid(), Signal::SIGTERM);
    eventually("it is about to stop", || host.log().contains("host stopping"));
    std::fs::write(host.path("go"), "").unwrap();
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
