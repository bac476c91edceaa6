//! A host whose settings change while it runs.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, send},
    wire::Ask,
};

const LONG: &str = "
[fleets.long]
protocol = \"exec\"
queues = [\"long\"]
command = [\"sh\", \"-c\", \"while [ ! -e @DIR@/go ]; do sleep 0.02; done; echo $MARK\"]
env = { MARK = \"old\" }
";

/// Writes the fleets of a host anew; the same words are replaced as at its start.
fn rewrite(host: &Host, fleets: &str) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agents");
    let dir = host.path("").display().to_string();
    let text = fleets.replace("@EXAMPLES@", root).replace("@DIR@", dir.trim_end_matches('/'));
    fs::write(host.path("fleets.toml"), text).expect("a config file");
}

fn reload(host: &Host) -> Value {
    host.ask(&Ask::new("POST", "/api/v1/reload")).expect(200)
}

fn pid(host: &Host, agent: &str) -> u64 {
    host.until_agent(agent, "idle")["pid"].as_u64().expect("a pid")
}

/// Polls until there is such an agent, and it is in this state.
fn until_there(host: &Host, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), || {
        let agents = host.get("/api/v1/agents");
        let agents = agents["items"].as_array().expect("items");
        agents.iter().any(|agent| agent["name"] == name && agent["state"] == state)
    });
}

fn settled(host: &Host, fleet: &str) {
    eventually(&format!("{fleet} is as it is to be"), || {
        host.get(&format!("/api/v1/fleets/{fleet}"))["outdated"] == 0
    });
}

#[test]
fn only_what_changed_restarts_and_work_is_finished_first() {
    let host = Host::new(&format!("{WORKER}{LONG}")).up();
    let quick = pid(&host, "quick-1");
    let task = host.submit(&json!({"queue": "long"}));
    host.until_agent("long-1", "busy");
    rewrite(&host, &format!("{WORKER}{}", LONG.replace("\"old\"", "\"new\"")));
    let done = reload(&host);
    assert_eq!(
        done["fleets"],
        json!([{"name": "long", "change": "replaced", "fields": ["env.MARK"]}])
    );
    assert_eq!((&done["applied"], &done["needs_restart"]), (&json!([]), &json!([])), "{done}");
    fs::write(host.path("go"), "").expect("a file");
    assert_eq!(host.wait(&task)["output"], "old", "it ends as what it began as");
    settled(&host, "long");
    let task = host.submit(&json!({"queue": "long"}));
    assert_eq!(host.wait(&task)["output"], "new");
    assert_eq!(pid(&host, "quick-1"), quick, "the other fleet was not touched");
    assert_eq!(host.agent("quick-1")["generation"], 1);
}

#[test]
fn fleets_and_queues_come_and_go_and_what_can_not_change_is_said() {
    let host = Host::new(WORKER).up();
    pid(&host, "quick-1");
    let more = format!("{WORKER}count = 2\nqueues = [\"default\", \"more\"]\n{LONG}");
    rewrite(&host, &format!("{more}[host]\nlease = \"31s\"\n[queues.more]\nmax_attempts = 7\n"));
    let done = host.cli_json(&["reload"]);
    let fleets: Vec<_> = done["fleets"].as_array().expect("a list").iter().collect();
    assert_eq!(fleets[0]["change"], "added", "{done}");
    assert_eq!(fleets[1]["fields"], json!(["count", "queues"]), "{done}");
    assert_eq!(fleets[1]["change"], "adjusted", "{done}");
    assert_eq!(done["needs_restart"], json!(["host.lease"]));
    let task = host.submit(&json!({"queue": "more", "input": {"op": "echo", "value": 1}}));
    assert_eq!(host.wait(&task)["max_attempts"], 7);
    until_there(&host, "quick-2", "idle");
    rewrite(&host, WORKER);
    let text = host.cli(&["reload"]).stdout;
    assert!(text.contains("fleet long: is gone"), "{text}");
    eventually("agents have left", || {
        let agents = host.get("/api/v1/agents")["items"].as_array().expect("items").len();
        let fleets = host.get("/api/v1/fleets")["items"].as_array().expect("items").len();
        (agents, fleets) == (1, 1)
    });
    let nobody = host.submit(&json!({"queue": "more"}));
    assert_eq!(host.task(&nobody)["state"], "pending", "nobody serves it any more");
    assert!(host.cli(&["reload"]).stdout.contains("nothing differs"));
}

#[test]
fn a_bad_file_changes_nothing_and_says_where() {
    let host = Host::new(WORKER).up();
    let first = pid(&host, "quick-1");
    rewrite(
        &host,
        &format!("{WORKER}count = 2\nprefetch = \"many\"\n[fleets.x]\nprotocol = \"exec\"\n"),
    );
    let answer = host.ask(&Ask::new("POST", "/api/v1/reload"));
    assert_eq!(answer.status, 422);
    let problem = answer.expect(422);
    let errors = problem["errors"].to_string();
    assert!(
        errors.contains("fleets.quick.prefetch") && errors.contains("fleets.toml:6"),
        "{problem}"
    );
    assert!(errors.contains("fleets.x.command"), "{problem}");
    let done = host.cli(&["reload"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("fleets.toml:6"), "{done:?}");
    send(host.pid(), Signal::SIGHUP);
    eventually("it is in the log", || {
        host.log().matches("settings are not sound: nothing has changed").count() >= 3
    });
    assert_eq!(pid(&host, "quick-1"), first);
    assert_eq!(host.get("/api/v1/agents")["items"].as_array().expect("items").len(), 1);
}

#[test]
fn a_signal_and_a_watched_file_have_it_read_again() {
    let host = Host::new(WORKER).set("host.watch_config", "true").up();
    rewrite(&host, &format!("{WORKER}count = 2\n"));
    until_there(&host, "quick-2", "idle");
    rewrite(&host, &format!("{WORKER}count = 3\n"));
    send(host.pid(), Signal::SIGHUP);
    until_there(&host, "quick-3", "idle");
}

#[test]
fn a_new_definition_that_does_not_work_does_not_spread() {
    let four = format!("{WORKER}count = 4\n[fleets.quick.restart]\nmax_restarts = 0\n");
    let host = Host::new(&four).up();
    for agent in ["quick-1", "quick-2", "quick-3", "quick-4"] {
        pid(&host, agent);
    }
    rewrite(&host, &four.replace("[\"python3\", \"worker.py\"]", "[\"sh\", \"-c\", \"exit 3\"]"));
    reload(&host);
    host.until_agent("quick-1", "quarantined");
    for agent in ["quick-2", "quick-3", "quick-4"] {
        let agent = host.agent(agent);
        assert_eq!((&agent["state"], &agent["generation"]), (&json!("idle"), &json!(1)), "{agent}");
    }
    assert_eq!(host.get("/api/v1/fleets/quick")["outdated"], 3);
    rewrite(&host, &four);
    reload(&host);
    settled(&host, "quick");
    host.until_agent("quick-1", "idle");
}

#[test]
fn a_fleet_is_scaled_by_hand_and_keeps_its_size() {
    let mut host = Host::new(WORKER).up();
    let first = pid(&host, "quick-1");
    let fleet = host.cli_json(&["fleet", "scale", "quick", "3"]);
    assert_eq!((&fleet["count"], &fleet["configured"]), (&json!(3), &json!(1)), "{fleet}");
    until_there(&host, "quick-3", "idle");
    let third = pid(&host, "quick-3");
    host.kill9();
    host.restart();
    assert_eq!(pid(&host, "quick-1"), first, "taken back");
    assert_eq!(pid(&host, "quick-3"), third, "though the config says one");
    host.cli_json(&["fleet", "scale", "quick", "0"]);
    eventually("all have left", || host.get("/api/v1/agents")["items"] == json!([]));
    for (words, code) in [
        (["fleet", "scale", "none", "1"], 4),
        (["fleet", "scale", "quick", "1001"], 2),
        (["fleet", "restart", "quick", "--max-unavailable=0"], 2),
    ] {
        assert_eq!(host.cli(&words).code, code, "{words:?}");
    }
    host.cli_json(&["fleet", "scale", "quick", "1"]);
    until_there(&host, "quick-1", "idle");
}

#[test]
fn a_rolling_restart_never_takes_more_than_it_may() {
    let host = Host::new(&format!("{WORKER}count = 3\n")).up();
    for agent in ["quick-1", "quick-2", "quick-3"] {
        pid(&host, agent);
    }
    host.cli_json(&["fleet", "restart", "quick", "--max-unavailable", "1"]);
    let mut least = 3;
    eventually("it is through", || {
        let fleet = host.get("/api/v1/fleets/quick");
        let of = |state: &str| fleet["states"][state].as_u64().unwrap_or(0);
        least = least.min(of("idle") + of("busy"));
        fleet["outdated"] == 0 && of("idle") == 3
    });
    assert!(least >= 2, "{least} were there");
    for agent in ["quick-1", "quick-2", "quick-3"] {
        assert_eq!(host.agent(agent)["generation"], 2);
    }
}

#[test]
fn one_agent_is_drained_or_paused() {
    let host = Host::new(LONG).up();
    let task = host.submit(&json!({"queue": "long"}));
    host.until_agent("long-1", "busy");
    assert_eq!(host.cli(&["agent", "drain", "long-1"]).code, 0);
    let next = host.submit(&json!({"queue": "long"}));
    fs::write(host.path("go"), "").expect("a file");
    assert_eq!(host.wait(&task)["state"], "completed");
    host.until_agent("long-1", "stopped");
    assert_eq!(host.task(&next)["state"], "pending");
    assert_eq!(host.cli(&["agent", "drain", "long-1"]).code, 5);
    assert_eq!(host.cli(&["agent", "pause", "long-1"]).code, 0);
    host.until_agent("long-1", "paused");
    assert_eq!(host.cli(&["agent", "start", "long-1"]).code, 0);
    assert_eq!(host.wait(&next)["state"], "completed");
}

#[test]
fn a_fleet_grows_with_its_load_and_shrinks_in_the_calm() {
    let scaled = format!(
        "{LONG}[fleets.long.scale]\nmin = 1\nmax = 3\nup_after = \"300ms\"\ndown_after = \"1s\"\ncooldown = \"200ms\"\n"
    );
    let host = Host::new(&scaled).up();
    let tasks: Vec<_> = (0..5).map(|_| host.submit(&json!({"queue": "long"}))).collect();
    until_there(&host, "long-3", "busy");
    assert_eq!(host.get("/api/v1/fleets/long")["count"], 3, "no more than it may");
    assert_eq!(host.cli(&["fleet", "scale", "long", "4"]).code, 2);
    fs::write(host.path("go"), "").expect("a file");
    for task in &tasks {
        assert_eq!(host.wait(task)["state"], "completed");
    }
    eventually("it is small again", || host.get("/api/v1/fleets/long")["count"] == 1);
    settled(&host, "long");
}
