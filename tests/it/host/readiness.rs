//! When agents count as ready, and what becomes of those that no longer are.

use std::{fs, net::TcpListener};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, send},
};

/// A worker that is ready while a file is there.
const BY_FILE: &str = r#"
[fleets.quick.ready]
check = "exec"
command = ["test", "-e", "@DIR@/{agent}.ready"]
every = "50ms"
failures = 2
"#;

fn reason(agent: &Value) -> &str {
    agent["reason"].as_str().unwrap_or_default()
}

#[test]
fn an_agent_takes_no_task_before_it_is_ready_and_is_replaced_when_it_no_longer_is() {
    let mut host = Host::new(&format!("{WORKER}{BY_FILE}")).set("log.level", "info").up();
    let file = host.path("quick-1.ready");
    let task = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    eventually("it says what is missing", || {
        let agent = host.agent("quick-1");
        agent["state"] == "starting"
            && reason(&agent).contains("has yet to pass its readiness check")
    });
    let agent = host.agent("quick-1");
    assert_eq!((&agent["ready"], &agent["generation"]), (&json!(false), &json!(1)), "{agent}");
    assert_eq!(host.task(&task)["state"], "pending");
    assert_eq!(host.cli_json(&["fleet", "list"])["items"][0]["ready"], 0);

    fs::write(&file, "").unwrap();
    assert_eq!(host.wait(&task)["state"], "completed");
    let ready = host.until_agent("quick-1", "idle");
    assert_eq!((&ready["ready"], &ready["reason"]), (&json!(true), &json!(null)), "{ready}");
    assert_eq!(host.cli_json(&["fleet", "list"])["items"][0]["ready"], 1);

    // A host that is killed between two looks: the next one goes on with the agent, and looks on.
    host.kill9();
    host.restart();
    let kept = host.until_agent("quick-1", "idle");
    assert_eq!((&kept["pid"], &kept["ready"]), (&ready["pid"], &json!(true)), "{kept}");

    fs::remove_file(&file).unwrap();
    eventually("it was replaced", || host.agent("quick-1")["restarts"] == json!({"unready": 1}));
    fs::write(&file, "").unwrap();
    let again = host.until_agent("quick-1", "idle");
    assert!(again["generation"].as_u64() > ready["generation"].as_u64(), "{again}");
    let failed = "its readiness check failed 2 times in a row";
    eventually(failed, || host.log().contains(failed));
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

#[test]
fn an_agent_that_is_not_ready_in_time_is_replaced_and_says_why() {
    let fleets = r#"
[fleets.never]
protocol = "service"
command = ["sleep", "1000000"]
start_timeout = "3s"
ready = { check = "exec", command = ["false"] }
restart = { max_restarts = 0 }
"#;
    let host = Host::new(fleets).up();
    let agent = host.until_agent("never-1", "quarantined");
    for part in ["it did not pass its readiness check within 3s", "/false` exited with status 1"] {
        assert!(reason(&agent).contains(part), "{part}: {agent}");
    }
    assert_eq!(agent["restarts"], json!({"protocol": 1}));
}

/// A port that nobody has, also in a moment from now: it is below those that the kernel gives to whoever asks
/// for any, as all other tests do.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(15_000..32_000)).find(is_free).unwrap()
}

/// By HTTP a server that is stopped is found, though its port still takes connections.
#[test]
fn a_server_that_hangs_is_found_by_its_answers() {
    let (web, tcp) = (free_port(), free_port());
    let fleets = format!(
        r#"
[fleets.web]
protocol = "service"
command = ["python3", "-m", "http.server", "{web}", "--bind", "127.0.0.1"]
ready = {{ check = "http", url = "http://127.0.0.1:{web}/", every = "50ms", timeout = "2s", failures = 2 }}

[fleets.tcp]
protocol = "service"
command = ["python3", "-m", "http.server", "{tcp}", "--bind", "127.0.0.1"]
ready = {{ check = "tcp", address = "127.0.0.1:{tcp}", every = "50ms" }}
"#
    );
    let host = Host::new(&fleets).set("log.level", "info").up();
    let first = host.until_agent("web-1", "idle");
    host.until_agent("tcp-1", "idle");
    send(i32::try_from(first["pid"].as_u64().unwrap()).unwrap(), Signal::SIGSTOP);
    eventually("it was replaced", || host.agent("web-1")["restarts"] == json!({"unready": 1}));
    let second = host.until_agent("web-1", "idle");
    assert_ne!(second["pid"], first["pid"]);
    eventually("the log says why", || host.log().contains("no answer within 2s"));
    assert_eq!(host.agent("tcp-1")["generation"], 1);
}
