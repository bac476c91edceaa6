//! Who may call, what commands answer when something is wrong, and what is measured.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    host::{Host, WORKER},
    processes::{PATIENCE, send, within},
    wire::Ask,
};

const KEY: &str = "correct-horse-battery-staple";

/// Where the host listens, as it says itself.
pub(crate) fn address(host: &Host) -> SocketAddr {
    let log = std::fs::read_to_string(host.path("stderr")).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = lines.filter_map(|line| line["address"].as_str()?.parse().ok()).next();
    found.unwrap_or_else(|| panic!("no address in\n{log}"))
}

#[test]
fn over_tcp_the_key_is_asked_for() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").set("http.api_key", KEY).up();
    let at = address(&host);
    let ask = |path: &str| Ask::new("GET", path);
    for path in ["/api/v1/tasks", "/livez", "/readyz", "/metrics", "/nothing"] {
        let answer = ask(path).over_tcp(at).unwrap();
        assert_eq!(answer.expect(401)["type"], "urn:hostler:problem:no-key", "{path}");
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
    }
    let wrong =
        ask("/livez").header("X-API-Key", "correct-horse-battery-stapl").over_tcp(at).unwrap();
    wrong.expect(401);
    let bearer = format!("Bearer {KEY}");
    ask("/livez").header("Authorization", &bearer).over_tcp(at).unwrap().expect(200);
    ask("/livez").header("X-API-Key", KEY).over_tcp(at).unwrap().expect(200);
    // With a key, whoever has it may come by any name.
    let by_name = ask("/livez").header("X-API-Key", KEY).header("Host", "hostler.example");
    by_name.over_tcp(at).unwrap().expect(200);

    let url = format!("http://{at}");
    let none = host.cli(&["--url", &url, "agent", "list"]);
    assert_eq!(none.code, 6, "{none:?}");
    let file = host.path("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let with =
        host.cli(&["--url", &url, "--api-key-file", file.to_str().unwrap(), "agent", "list"]);
    assert_eq!(with.code, 0, "{with:?}");
    let log = std::fs::read_to_string(host.path("stderr")).unwrap();
    assert!(!log.contains(KEY), "no secret in the log");
}

#[test]
fn without_a_key_no_page_of_another_site_gets_through() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let ask = || Ask::new("GET", "/api/v1/host");
    let rows = [
        (ask(), 200),
        (ask().header("Host", &at.to_string()), 200),
        (ask().header("Host", "evil.example"), 403),
        (ask().header("Host", "localhost.evil.example"), 403),
        (ask().header("Host", "127.0.0.1.evil.example"), 403),
        (ask().header("Origin", "http://evil.example"), 403),
        (ask().header("Origin", "null"), 403),
        (ask().header("Sec-Fetch-Site", "cross-site"), 403),
        (ask().header("Sec-Fetch-Site", "none"), 200),
    ];
    for (ask, status) in rows {
        let answer = ask.over_tcp(at).unwrap();
        assert_eq!(answer.status, status, "{ask:?}: {}", answer.text());
    }
    let submit =
        Ask::new("POST", "/api/v1/tasks").header("Origin", "http://evil.example").text("{}");
    submit.over_tcp(at).unwrap().expect(403);
    assert_eq!(host.get("/api/v1/tasks")["items"].as_array().unwrap().len(), 0);
}

#[test]
fn an_address_for_all_needs_a_key() {
    let host = Host::new(WORKER);
    let fleets = host.path("fleets.toml");
    let words = ["-c", fleets.to_str().unwrap(), "up", "--set", "http.bind=0.0.0.0:0"];
    let done = host.cli(&words);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stderr.contains("http.api_key"), "{done:?}");
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let mut host = Host::new(WORKER);
    let gone = "tsk_0198f3c2a7d47c10b5a86f0e2d91c344";
    let rows: [(&[&str], i32); 12] = [
        (&["task", "show", gone], 4),
        (&["task", "cancel", gone], 4),
        (&["agent", "show", "nobody-1"], 4),
        (&["queue", "pause", "gone"], 4),
        (&["task", "show", "seven"], 2),
        (&["task", "submit", "--input", "{"], 2),
        (&["task", "submit", "--queue", "gone"], 2),
        (&["task", "submit", "--priority", "99999"], 2),
        (&["task", "frobnicate"], 2),
        (&["agent", "start", "quick-1"], 5),
        (&["task", "submit", "--input", r#"{"op": "fail"}"#, "--max-attempts", "1", "--wait"], 1),
        (&["task", "submit", "--input", r#"{"op": "sleep", "ms": 60000}"#, "--wait=100ms"], 124),
    ];
    for (words, _) in &rows[..4] {
        assert_eq!(host.cli(words).code, 3, "no host: {words:?}");
    }
    host.restart();
    host.until_agent("quick-1", "idle");
    for (words, code) in rows {
        let done = host.cli(words);
        assert_eq!(done.code, code, "{words:?}: {done:?}");
        if code != 124 && words[1] != "submit" || code == 2 {
            assert!(!done.stderr.is_empty(), "{words:?} says why");
        }
    }
    let json = host.cli(&["task", "show", gone, "--json"]);
    let error: Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(error["error"]["exit"], 4, "{error}");
    assert!(json.stdout.is_empty(), "{json:?}");

    send(host.pid(), Signal::SIGKILL);
    host.ended();
    let done = host.cli(&["agent", "list"]);
    assert_eq!(done.code, 3, "a socket that nobody listens on: {done:?}");
}

#[test]
fn what_happens_is_measured() {
    let host = Host::new(WORKER).up();
    host.wait(&host.submit(&serde_json::json!({"input": {"op": "echo"}})));
    let families = [
        "hostler_build_info{",
        "hostler_tasks_submitted_total 1",
        "hostler_attempts_total{",
        "outcome=\"completed\"",
        "hostler_claim_batch_size_count",
        "hostler_settle_batch_size_count",
        "hostler_claim_seconds_count",
        "hostler_settle_seconds_count",
        "hostler_agents{",
        "hostler_tasks{queue=\"default\",state=\"pending\"} 0",
        "hostler_log_lines_dropped",
    ];
    let mut text = String::new();
    // What is measured of a task may be counted a moment after its end is told.
    let is_there = |family: &str, text: &mut String| {
        let answer = host.ask(&Ask::new("GET", "/metrics"));
        assert_eq!(answer.status, 200);
        *text = answer.text();
        text.contains(family)
    };
    for family in families {
        assert!(within(PATIENCE, || is_there(family, &mut text)), "{family} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
