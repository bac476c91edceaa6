//! Fleets that depend on each other, and agents that are restarted together.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    host::Host,
    processes::{eventually, send},
};

/// `web` waits for `api`, that for `migrate` and `db`. Each writes down when it comes and when it goes.
/// `api` is healthy once it has written: of two processes that have only begun, either may write first.
/// Each has all the time that it needs to write down that it goes.
const CHAIN: &str = r#"
[fleets.web]
protocol = "service"
command = ["sh", "-c", "trap 'echo -web >>@DIR@/seen; exit 0' TERM; echo +web >>@DIR@/seen; while :; do sleep 0.02; done"]
stop_grace = "30s"
depends_on = ["api"]

[fleets.api]
protocol = "service"
command = ["sh", "-c", "trap 'echo -api >>@DIR@/seen; exit 0' TERM; echo +api >>@DIR@/seen; while :; do sleep 0.02; done"]
stop_grace = "30s"
depends_on = ["migrate:completed", "db:started"]
ready = { check = "exec", command = ["grep", "-q", "+api", "@DIR@/seen"], every = "50ms" }

[fleets.migrate]
protocol = "service"
command = ["sh", "-c", "while [ ! -e @DIR@/go ]; do sleep 0.02; done; echo +migrate >>@DIR@/seen"]
restart = { when = "on_failure" }

[fleets.db]
protocol = "service"
command = ["sh", "-c", "trap 'echo -db >>@DIR@/seen; exit 0' TERM; echo +db >>@DIR@/seen; while :; do sleep 0.02; done"]
stop_grace = "30s"
"#;

fn seen(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.path("seen")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn fleets_start_after_what_they_depend_on_and_stop_before_it() {
    let mut host = Host::new(CHAIN).up();
    eventually("the first is there", || seen(&host) == ["+db"]);
    let web = host.until_agent("web-1", "stopped");
    assert_eq!(web["reason"], "waits for api:healthy");
    assert_eq!(host.agent("api-1")["reason"], "waits for migrate:completed");
    fs::write(host.path("go"), "").expect("a file");
    eventually("all are there", || seen(&host) == ["+db", "+migrate", "+api", "+web"]);
    host.until_agent("web-1", "idle");
    assert!(host.stop().success());
    assert_eq!(seen(&host)[4..], ["-web", "-api", "-db"]);
}

#[test]
fn a_circle_is_refused_and_named() {
    let circle = CHAIN.replace("\n[fleets.db]", "\n[fleets.db]\ndepends_on = [\"web:started\"]");
    let host = Host::new(&circle);
    let file = host.path("fleets.toml");
    let done = host.cli(&["config", "check", file.to_str().expect("a name")]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stdout.contains("fleets.api.depends_on"), "{done:?}");
    assert!(done.stdout.contains("api -> db -> web -> api"), "{done:?}");
    let unknown = CHAIN.replace("\"api\"", "\"appi\"");
    fs::write(&file, unknown).expect("a file");
    let done = host.cli(&["config", "check", file.to_str().expect("a name")]);
    assert!(done.stdout.contains("did you mean `api`?"), "{done:?}");
}

fn pids(host: &Host) -> Vec<i32> {
    let pid = |number| {
        let agent = host.until_agent(&format!("one-{number}"), "idle");
        i32::try_from(agent["pid"].as_i64().expect("a pid")).expect("a pid")
    };
    (1..=3).map(pid).collect()
}

/// Which of three agents have another process once the second was killed.
fn replaced(strategy: &str) -> Vec<bool> {
    let fleet = format!(
        "[fleets.one]\nprotocol = \"service\"\ncount = 3\nstrategy = \"{strategy}\"\n\
         command = [\"sleep\", \"1000\"]\n"
    );
    let host = Host::new(&fleet).up();
    let before = pids(&host);
    send(before[1], Signal::SIGKILL);
    let expected: u64 = match strategy {
        "one_for_one" => 1,
        "rest_for_one" => 2,
        _ => 3,
    };
    eventually("they are replaced", || {
        let agents = host.get("/api/v1/agents");
        let agents = agents["items"].as_array().expect("items");
        let all: u64 = agents.iter().map(|one| one["generation"].as_u64().expect("a number")).sum();
        all == 3 + expected && agents.iter().all(|agent| agent["state"] == json!("idle"))
    });
    before.iter().zip(pids(&host)).map(|(old, new)| *old != new).collect()
}

#[test]
fn a_failure_takes_along_whom_the_strategy_names() {
    assert_eq!(replaced("one_for_one"), [false, true, false]);
    assert_eq!(replaced("rest_for_one"), [false, true, true]);
    assert_eq!(replaced("one_for_all"), [true, true, true]);
}
