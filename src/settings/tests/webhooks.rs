//! `[webhooks.NAME]`, right and wrong.

use super::*;

/// The config, and its problems.
const TABLE: &[(&str, &str)] = &[
    ("[webhooks.ops]\ntimeout = \"5s\"", "hostler.toml:1: webhooks.ops: has no address: set `url`"),
    (
        "[webhooks.ops]\nurl = \"https://user@a.example\"",
        "hostler.toml:2: webhooks.ops.url: is no address to send to: write `https://HOST/PATH` (or `http://`) in ASCII, without a user name, a password or a `#`",
    ),
    (
        "[webhooks.ops]\nurl = \"https://a.example\"\nsecret = \"hunter2\"",
        "hostler.toml:3: webhooks.ops.secret: is no signing secret: write `whsec_` and 24 to 64 random bytes in base64: make one with `openssl rand -base64 32`",
    ),
    (
        "[webhook_defaults]\ntypes = [\"task.done\"]",
        "hostler.toml:2: webhook_defaults.types[0]: `task.done` is no type of events: send `task.` with a state, as in `task.completed`, or `task.ended`, or `task.*`; or a word of hosts, as in `agent.held`, or `agent.*`, `fleet.*`, `host.*`",
    ),
    (
        "[webhooks.callbacks]\nurl = \"https://a.example\"",
        "hostler.toml:1: webhooks.callbacks: stands for the callback URLs of tasks: give it another name",
    ),
];

#[test]
fn each_broken_endpoint_is_answered_exactly() {
    for (toml, said) in TABLE {
        assert_eq!(World::with(toml).problems(), *said, "{toml}");
    }
}
