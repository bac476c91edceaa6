//! Broken policies of fleets: readiness.

use super::*;

/// What stands in a fleet of that protocol, and what is said about it.
const TABLE: &[(&str, &str, &str)] = &[
    (
        "worker",
        "ready = { check = \"http\" }",
        "hostler.toml:4: fleets.a.ready.url: is missing: a check by http needs it",
    ),
    (
        "worker",
        "ready = { check = \"tcp\", address = \"nowhere\" }",
        "hostler.toml:4: fleets.a.ready.address: must be a host and a port, such as \"127.0.0.1:8080\"",
    ),
    (
        "worker",
        "ready = { url = \"http://h/\" }",
        "hostler.toml:4: fleets.a.ready.url: means something only where check = \"http\": remove it",
    ),
    (
        "service",
        "ready = { check = \"http\", url = \"https://h/\" }",
        "hostler.toml:4: fleets.a.ready.url: must begin with http://, such as \"http://127.0.0.1:8080/health\"",
    ),
    (
        "exec",
        "ready = { check = \"notify\" }",
        "hostler.toml:4: fleets.a.ready.check: has no process to look at before it has a task: an exec agent is ready as it is",
    ),
];

#[test]
fn each_broken_policy_is_answered_exactly() {
    for (protocol, text, problem) in TABLE {
        let toml =
            format!("[fleets.a]\nprotocol = \"{protocol}\"\ncommand = [\"agent\"]\n{text}\n");
        assert_eq!(World::with(&toml).problems().trim(), *problem, "{text}");
    }
}
