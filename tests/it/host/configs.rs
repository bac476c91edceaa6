//! Broken config files, by `hostler config check`: the file, the line and the field, all at once.

use std::fs;

use serde_json::Value;

use crate::support::host::{Host, WORKER};

const FLEET: &str = "[fleets.a]\nprotocol = \"worker\"\ncommand = [\"sh\", \"-c\", \"cat\"]\n";

/// A file, and the line and the field that are wrong in it. The fleet above stands before it where
/// it begins with a line end.
const BROKEN: &[(&str, u64, &str)] = &[
    ("fleets = [", 1, "TOML"),
    ("[http]\nbnd = \"off\"", 2, "http.bnd"),
    ("[htpp]\nbind = \"off\"", 1, "htpp"),
    ("[host]\nlease = 30", 2, "host.lease"),
    ("[host]\nlease = \"30 parsecs\"", 2, "host.lease"),
    ("[host]\nlease = \"100ms\"", 2, "host.lease"),
    ("[http]\nmax_body = \"10 potatoes\"", 2, "http.max_body"),
    ("[http]\napi_key = \"short\"", 2, "http.api_key"),
    ("[database]\nurl = \"mysql://root@localhost/x\"", 2, "database.url"),
    ("[log]\nlevel = \"loud\"", 2, "log.level"),
    ("[log.components]\nqeue = \"debug\"", 2, "log.components.qeue"),
    ("[queues.lonely]\npaused = true", 1, "queues.lonely"),
    ("[fleets.a]\ncommand = [\"sh\"]", 1, "fleets.a.protocol"),
    ("[fleets.a]\nprotocol = \"exec\"", 1, "fleets.a.command"),
    ("[fleets.a]\nprotocol = \"exec\"\ncommand = \"sh -c x\"", 3, "fleets.a.command"),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"no-such-program-here\"]",
        3,
        "fleets.a.command[0]",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"sh\", \"{{ inptu.x }}\"]",
        3,
        "fleets.a.command",
    ),
    ("[fleets.a]\nprotocol = \"exec\"\ncommand = [\"sh\"]\n[fleets.a]", 4, "TOML"),
    ("\ncount = 0", 5, "fleets.a.count"),
    ("\nqueues = []", 5, "fleets.a.queues"),
    ("\ncwd = \"/no/such/place\"", 5, "fleets.a.cwd"),
    ("\nenv = { HOSTLER_AGENT = \"x\" }", 5, "fleets.a.env.HOSTLER_AGENT"),
    ("\nheartbeat.stale_after = \"1s\"", 5, "fleets.a.heartbeat.stale_after"),
    ("\nrestart.when = \"sometimes\"", 5, "fleets.a.restart.when"),
    ("\nstop_signal = \"SIGKILL\"", 5, "fleets.a.stop_signal"),
];

#[test]
fn each_broken_file_is_refused_with_its_line_and_field() {
    let host = Host::new(WORKER);
    let file = host.path("broken.toml");
    let name = file.to_str().unwrap();
    let mut wrong = String::new();
    for (toml, line, field) in BROKEN {
        let toml =
            if toml.starts_with('\n') { format!("{FLEET}{toml}") } else { (*toml).to_owned() };
        fs::write(&file, &toml).unwrap();
        let done = host.cli(&["config", "check", name]);
        let place = format!("broken.toml:{line}:");
        if done.code != 1 || !done.stdout.contains(&place) || !done.stdout.contains(field) {
            wrong += &format!("\n{toml}\n  want {place} {field}\n  got {done:?}\n");
        }
        let done = host.cli(&["config", "check", name, "--json"]);
        let found: Value = serde_json::from_str(&done.stdout).unwrap();
        let problems = found["problems"].as_array().unwrap();
        if !problems.iter().any(|one| one["line"] == *line && one["file"] == name) {
            wrong += &format!("\n{toml}\n  no line {line} in {found}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(!host.data_dir().exists(), "checking makes nothing");
}

#[test]
fn all_mistakes_are_told_at_once_and_a_host_does_not_begin_with_one() {
    let host = Host::new(WORKER);
    let file = host.path("broken.toml");
    let toml = format!("{FLEET}count = 0\n[http]\nbnd = 1\n[host]\nlease = 1\n");
    fs::write(&file, toml).unwrap();
    let name = file.to_str().unwrap();
    let check = host.cli(&["config", "check", name]);
    for place in ["broken.toml:4:", "broken.toml:6:", "broken.toml:8:"] {
        assert!(check.stdout.contains(place), "{check:?}");
    }
    let up = host.cli(&["-c", name, "up"]);
    assert_eq!(up.code, 1, "{up:?}");
    for place in ["broken.toml:4:", "broken.toml:6:", "broken.toml:8:"] {
        assert!(up.stderr.contains(place), "{up:?}");
    }
    assert!(!host.data_dir().exists(), "nothing was made");
    host.until_nothing_is_left();

    let good = host.cli(&["config", "check", host.path("fleets.toml").to_str().unwrap()]);
    assert_eq!(good.code, 0, "{good:?}");
    let missing = host.cli(&["config", "check", "no-such-file.toml"]);
    assert!(missing.code == 1 && missing.stdout.contains("no-such-file.toml"), "{missing:?}");
}

#[test]
fn secrets_are_shown_to_nobody() {
    let host = Host::new(WORKER);
    let file = host.path("secret.toml");
    let toml = format!(
        "{FLEET}env = {{ TOKEN = \"hunter2-token\" }}\n[http]\napi_key = \"hunter2-hunter2-hunter2\"\n\
         [database]\nurl = \"postgres://u:hunter2pass@localhost/d\"\n"
    );
    fs::write(&file, toml).unwrap();
    for words in [&["config", "show"][..], &["config", "show", "--json"]] {
        let done = host.cli(&[&["-c", file.to_str().unwrap()], words].concat());
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!done.stdout.contains("hunter2"), "{}", done.stdout);
    }
}
