//! Restart storms are bounded: by fleet, by how many start at once, and by what the machine has left.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, send},
    wire::Ask,
};

fn reason(agent: &Value) -> &str {
    agent["reason"].as_str().unwrap_or_default()
}

fn agents(host: &Host) -> Vec<Value> {
    host.get("/api/v1/agents")["items"].as_array().unwrap().clone()
}

fn metrics(host: &Host) -> String {
    host.ask(&Ask::new("GET", "/metrics")).text()
}

/// What the feed tells under this word, as the agent or fleet and the reason.
fn told(host: &Host, word: &str) -> Vec<(String, String)> {
    let page = host.get("/api/v1/events?limit=1000");
    let items = page["items"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items
        .iter()
        .filter(|item| item["type"] == word)
        .map(|item| {
            let who = if item["agent"].is_null() { &item["fleet"] } else { &item["agent"] };
            (text(who), text(&item["reason"]))
        })
        .collect()
}

/// Waits until the feed tells at least so many times of that, each with a reason that holds `why`.
#[track_caller]
fn is_told(host: &Host, word: &str, times: usize, why: &str) {
    eventually(&format!("{word} is told {times} times"), || told(host, word).len() >= times);
    let all = told(host, word);
    assert!(all.iter().all(|(_, said)| said.contains(why)), "{word}: {all:?}");
}

const CRASHERS: &str = r#"
[fleets.crash]
protocol = "service"
count = 4
command = ["sh", "-c", "test -e @DIR@/well && exec sleep 1000000; exit 1"]
restart = { fleet_max_restarts = 6, fleet_then = "@THEN@", fleet_wait = "3s", backoff_min = "50ms" }

[fleets.calm]
protocol = "service"
command = ["sleep", "1000000"]
"#;

#[test]
fn a_fleet_that_fails_too_often_waits_and_goes_on_by_itself() {
    let host = Host::new(&CRASHERS.replace("@THEN@", "wait")).up();
    eventually("the whole fleet waits", || {
        let all = agents(&host);
        let mut of_fleet = all.iter().filter(|agent| agent["fleet"] == "crash");
        of_fleet
            .all(|agent| agent["state"] == "paused" && reason(agent).contains("its fleet failed"))
    });
    host.until_agent("calm-1", "idle");
    fs::write(host.path("well"), "").unwrap();
    for nth in 1..=4 {
        let agent = host.until_agent(&format!("crash-{nth}"), "idle");
        assert_eq!(agent["reason"], json!(null), "{agent}");
    }
    is_told(&host, "fleet.held", 1, "its fleet failed");
    is_told(&host, "fleet.resumed", 1, "");
    is_told(&host, "agent.held", 4, "nothing of it is started for 3s");
    is_told(&host, "agent.resumed", 4, "");
    let words = ["events", "tail", "--after", "beginning", "--type", "agent.*", "--count", "8"];
    let lines = host.cli(&words);
    assert_eq!((lines.code, lines.stdout.matches("agent.held").count()), (0, 4), "{lines:?}");
    assert_eq!(host.cli(&["events", "list", "--limit", "1000"]).code, 0);
}

#[test]
fn a_fleet_that_is_given_up_is_released_by_an_operator() {
    let host = Host::new(&CRASHERS.replace("@THEN@", "quarantine")).up();
    for nth in 1..=4 {
        let agent = host.until_agent(&format!("crash-{nth}"), "quarantined");
        assert!(reason(&agent).contains("its fleet failed 7 times within 5m"), "{agent}");
    }
    assert!(metrics(&host).contains("hostler_agents{fleet=\"crash\",state=\"quarantined\"} 4"));
    let calm = host.cli(&["agent", "release", "calm-1"]);
    assert_eq!(calm.code, 5, "it is in no quarantine: {calm:?}");
    fs::write(host.path("well"), "").unwrap();
    let released = host.cli(&["agent", "release", "crash-1", "crash-2", "crash-3"]);
    assert_eq!(released.code, 0, "{released:?}");
    for nth in 1..=3 {
        host.until_agent(&format!("crash-{nth}"), "idle");
    }
    assert_eq!(host.agent("crash-4")["state"], "quarantined", "it was not released");
    is_told(&host, "agent.quarantined", 4, "its fleet failed 7 times");
    is_told(&host, "agent.released", 3, "");
    // The fleet begins anew: one failure is one failure.
    let pid = host.agent("crash-1")["pid"].as_u64().unwrap();
    send(i32::try_from(pid).unwrap(), Signal::SIGKILL);
    eventually("it is back", || {
        let agent = host.agent("crash-1");
        agent["state"] == "idle" && agent["pid"] != pid
    });
}

#[test]
fn no_more_start_at_once_than_are_allowed_and_who_waits_says_so() {
    let fleets = r#"
[fleets.slow]
protocol = "service"
count = 5
command = ["sleep", "1000000"]
start_concurrency = 2
ready = { check = "exec", command = ["test", "-e", "@DIR@/{agent}"], every = "50ms" }
"#;
    let mut host = Host::new(fleets).up();
    let started = |host: &Host| -> Vec<String> {
        let all = agents(host);
        let with_pid = all.iter().filter(|agent| !agent["pid"].is_null());
        with_pid.map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
    };
    let waiting = |host: &Host| {
        let all = agents(host);
        all.iter().filter(|agent| reason(agent).contains("waits for its turn to start")).count()
    };
    eventually("two start, three wait", || started(&host).len() == 2 && waiting(&host) == 3);
    is_told(&host, "agent.held", 3, "waits for its turn to start");
    let first = started(&host);
    fs::write(host.path(&first[0]), "").unwrap();
    eventually("the next one starts", || started(&host).len() == 3 && waiting(&host) == 2);
    is_told(&host, "agent.resumed", 1, "");
    // One that waits can be stopped: it never starts.
    let all = agents(&host);
    let waits = all.iter().find(|agent| reason(agent).contains("waits for its turn")).unwrap();
    let name = waits["name"].as_str().unwrap();
    assert_eq!(host.cli(&["agent", "stop", name]).code, 0);
    let stopped = host.until_agent(name, "stopped");
    assert_eq!(stopped["pid"], json!(null), "{stopped}");
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

/// More memory than any machine has: below that floor nothing starts. Then the floor is not there any more.
#[test]
fn below_a_floor_nothing_starts_and_everybody_says_why() {
    let fleets = format!(
        "{WORKER}\n[fleets.shell]\nprotocol = \"exec\"\nqueues = [\"text\"]\ncommand = [\"true\"]\n"
    );
    let host =
        Host::new(&fleets).set("host.floors.memory", "1000TiB").set("host.floors.look", "50ms");
    let mut host = host.up();
    for name in ["quick-1", "shell-1"] {
        let agent = host.until_agent(name, "paused");
        assert!(reason(&agent).contains("of memory are left"), "{agent}");
        assert!(reason(&agent).contains("host.floors.memory"), "{agent}");
        assert_eq!((&agent["ready"], &agent["pid"]), (&json!(false), &json!(null)));
    }
    let metrics = metrics(&host);
    assert!(metrics.contains("hostler_starts_held{cause=\"memory\"} 1"), "{metrics}");
    assert!(metrics.contains("hostler_starts_held{cause=\"disk\"} 0"), "{metrics}");
    let task = host.submit(&json!({"queue": "text", "input": {}}));
    let started = host.cli(&["agent", "start", "quick-1"]);
    assert_eq!(started.code, 0, "{started:?}");
    assert_eq!(host.until_agent("quick-1", "paused")["pid"], json!(null), "an operator waits, too");
    assert_eq!(host.task(&task)["state"], "pending");
    assert!(host.log().contains("nothing is started for now"), "{}", host.log());
    is_told(&host, "host.held", 1, "of memory are left");
    // The operator's word was one more try.
    eventually("each is told", || {
        let all = told(&host, "agent.held");
        ["quick-1", "shell-1"].iter().all(|name| all.iter().any(|(who, _)| who == name))
    });
    assert!(host.stop().success(), "who waits does not hold up a stop");

    let mut host = host.set("host.floors.memory", "off");
    host.restart();
    assert_eq!(host.wait(&task)["state"], "completed");
    host.until_agent("quick-1", "idle");
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

#[test]
fn a_disk_that_is_too_full_holds_agents_up_as_well() {
    let host = Host::new(WORKER).set("host.floors.disk", "1000TiB").up();
    let agent = host.until_agent("quick-1", "paused");
    assert!(reason(&agent).contains("are free on the disk of the data directory"), "{agent}");
    assert!(metrics(&host).contains("hostler_starts_held{cause=\"disk\"} 1"));
    is_told(&host, "host.held", 1, "host.floors.disk");
}

/// The result counts, and the agent takes the next task.
#[test]
fn a_process_that_goes_on_after_its_result_is_ended() {
    let fleets = r#"
[fleets.json]
protocol = "exec"
command = ["sh", "-c", "echo '{\"answer\": 42}'; exec sleep 1000000"]
output = "json"
stdin = "null"
linger = "300ms"
"#;
    let host = Host::new(fleets).up();
    for nth in 1..=2 {
        let task = host.wait(&host.submit(&json!({"input": {}, "max_attempts": 1})));
        assert_eq!(
            (&task["state"], &task["output"]),
            (&json!("completed"), &json!({"answer": 42}))
        );
        let agent = host.until_agent("json-1", "idle");
        assert_eq!(agent["restarts"], json!({"linger": nth}), "{agent}");
    }
}
