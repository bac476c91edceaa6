//! What a host does for those who use it: the real program, by its command line and its API.

pub(crate) mod access;
mod admission;
mod agents;
mod attempts;
mod audit;
mod batches;
mod bulk;
mod configs;
mod doors;
pub(crate) mod embedded;
mod events;
mod graphs;
mod heartbeats;
mod holds;
mod input;
mod keys;
mod logs;
mod mcp;
mod mock;
mod once;
mod openapi;
mod order;
mod progress;
mod reach;
mod readiness;
mod reload;
mod roots;
mod schedules;
mod secrets;
mod session_cli;
mod sessions;
mod sql;
mod stop;
mod stories;
mod systemd;
mod tasks;
mod time;
mod tls;
mod unique;
mod webhook;
mod webhooks;
pub(crate) mod workspaces;

use crate::support::host::WORKER;

/// Workers, one-process-per-task agents and a service, each with a queue of its own.
pub(crate) fn all_kinds() -> String {
    format!(
        r#"{WORKER}
count = 2

[fleets.shell]
protocol = "exec"
command = ["sh", "-c", "cat; printf '%s' \"$1\" >&2", "sh", "{{{{ input.say | default('') }}}}"]
queues = ["text"]

[fleets.json]
protocol = "exec"
command = ["sh", "-c", "printf '%s' \"$1\"", "sh", "{{{{ input.print }}}}"]
output = "json"
queues = ["json"]

[fleets.lines]
protocol = "exec"
command = ["sh", "-c", "printf '%b' \"$1\"", "sh", "{{{{ input.print }}}}"]
output = "jsonl"
queues = ["lines"]

[fleets.long]
protocol = "exec"
command = ["sleep", "1000"]
queues = ["long"]

[fleets.side]
protocol = "service"
command = ["sh", "-c", "echo side is up; exec sleep 1000000"]
"#
    )
}
