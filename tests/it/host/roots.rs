//! Where agents may work, and that a link that comes in between leads nowhere else.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::support::{host::Host, processes::eventually, wire::Ask};

const FLEETS: &str = "
[fleets.where]
protocol = \"exec\"
cwd = \"@DIR@/open/work\"
command = [\"pwd\", \"-P\"]
[fleets.stays]
protocol = \"worker\"
queues = [\"stays\"]
cwd = \"@DIR@/open/work\"
command = [\"python3\", \"@EXAMPLES@/worker.py\"]
";

fn place() -> Host {
    let host = Host::new(FLEETS);
    fs::create_dir_all(host.path("open/work")).expect("a directory");
    fs::create_dir(host.path("outside")).expect("a directory");
    let roots = format!("[\"{}\"]", host.path("open").display());
    host.set("host.roots", &roots)
}

/// Puts a link to the outside in place of the directory that agents work in.
fn swap(host: &Host) {
    fs::rename(host.path("open/work"), host.path("open/before")).expect("it moves");
    symlink(host.path("outside"), host.path("open/work")).expect("a link");
}

#[test]
fn an_agent_whose_directory_became_a_link_to_the_outside_is_not_started() {
    let host = place().up();
    let task = host.submit(&json!({"max_attempts": 1}));
    let work = host.path("open/work").canonicalize().expect("it is there");
    assert_eq!(host.wait(&task)["output"], work.to_str().expect("a plain name"));
    host.until_agent("stays-1", "idle");
    swap(&host);
    let task = host.submit(&json!({"max_attempts": 1}));
    let failed = host.wait(&task);
    assert_eq!((&failed["state"], &failed["error"]["class"]), (&json!("failed"), &json!("spawn")));
    assert!(failed["error"]["message"].as_str().expect("a text").contains("open/work"), "{failed}");
    // One that stays is in the directory that it was started in, and its next process is not started.
    host.ask(&Ask::new("POST", "/api/v1/agents/stays-1/restart")).expect(200);
    eventually("it is not started", || {
        let agent = host.agent("stays-1");
        agent["reason"].as_str().is_some_and(|reason| reason.contains("open/work"))
    });
    // Once it is a directory again, all goes on.
    fs::remove_file(host.path("open/work")).expect("the link goes");
    fs::rename(host.path("open/before"), host.path("open/work")).expect("it moves");
    host.until_agent("stays-1", "idle");
    let task = host.submit(&json!({}));
    assert_eq!(host.wait(&task)["state"], "completed");
}

#[test]
fn a_host_does_not_start_with_a_fleet_outside() {
    let mut host = place();
    swap(&host);
    host.launch();
    assert_eq!(host.ended().code(), Some(1), "{}", host.log());
    let log = fs::read_to_string(host.path("stderr")).expect("a log");
    assert!(log.contains("fleets.where.cwd") && log.contains("host.roots"), "{log}");
}

#[test]
fn a_task_can_name_no_repository_outside() {
    let host = place().up();
    let repository = |at: &str| {
        let path = host.path(at);
        fs::create_dir(&path).expect("a directory");
        for words in [
            &["init", "-q", "-b", "main"][..],
            &[
                "-c",
                "user.name=n",
                "-c",
                "user.email=e@x",
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                "m",
            ],
        ] {
            let done = std::process::Command::new("git").args(words).current_dir(&path).output();
            assert!(done.expect("git runs").status.success());
        }
        path.display().to_string()
    };
    let (inside, outside) = (repository("open/repo"), repository("outside/repo"));
    symlink(&outside, host.path("open/alias")).expect("a link");
    let alias = host.path("open/alias").display().to_string();
    let with = |git: &str| -> Value {
        let task = host.submit(&json!({"max_attempts": 1, "workspace": {"git": git}}));
        host.wait(&task)
    };
    assert_eq!(with(&inside)["state"], "completed");
    for refused in [outside, alias] {
        let failed = with(&refused);
        assert_eq!(failed["state"], "failed", "{refused}");
        assert!(
            failed["error"]["message"].as_str().expect("a text").contains("host.roots"),
            "{failed}"
        );
    }
}
