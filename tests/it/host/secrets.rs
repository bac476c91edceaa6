//! Secrets of agents: they have them, and nobody else sees them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::support::{cluster::on_a_runtime, host::Host, processes::eventually};

/// Each agent compares what it was given with what the test has put into files that are not the host's.
const FLEETS: &str = r#"
[fleets.keen]
protocol = "service"
command = ["sh", "-c", "[ $BY_FILE = $(cat @DIR@/truth/file) ] && [ $BY_ENV = $(cat @DIR@/truth/env) ] && [ $BY_COMMAND = $(cat @DIR@/truth/command) ] && touch @DIR@/fits-$$ && exec sleep 1000000; exit 9"]
[fleets.keen.secrets]
BY_FILE = { file = "key.txt" }
BY_ENV = { env = "OF_THE_HOST" }
BY_COMMAND = { command = ["sh", "-c", "cat @DIR@/truth/command"] }

[fleets.chatty]
protocol = "exec"
command = ["sh", "-c", "echo I have $BY_FILE >&2; exit 3"]
secrets = { BY_FILE = { file = "key.txt" } }

[fleets.rude]
protocol = "service"
command = ["sh", "-c", "echo I have $BY_FILE >&2; sleep 0.1; exit 4"]
secrets = { BY_FILE = { file = "key.txt" } }
restart = { max_restarts = 1 }
"#;

/// What nobody may see, and what was true before.
const SECRETS: [(&str, &str); 4] = [
    ("file", "sk-file-5f1e0a9c7d"),
    ("env", "sk-env-0b7c3e5d11"),
    ("command", "sk-command-c0ffee77"),
    ("next", "sk-next-9a8b7c6d5e"),
];

fn secret(of: &str) -> &'static str {
    SECRETS.iter().find(|(name, _)| *name == of).unwrap().1
}

fn host() -> Host {
    let mut host = Host::new(FLEETS);
    fs::create_dir(host.path("truth")).unwrap();
    for (name, value) in SECRETS {
        fs::write(host.path("truth").join(name), value).unwrap();
    }
    fs::write(host.path("key.txt"), format!("{}\n", secret("file"))).unwrap();
    host.env("OF_THE_HOST", secret("env"));
    host
}

#[track_caller]
fn has_none(what: &str, text: &str) {
    for (name, value) in SECRETS {
        assert!(!text.contains(value), "the secret of {name} is in {what}:\n{text}");
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&path, found),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

/// Every file of the data directory but those that are the agents' own.
fn in_no_file(host: &Host) {
    let mut found = vec![host.path("stderr")];
    files(&host.data_dir(), &mut found);
    let own = [host.data_dir().join("logs/agents"), host.data_dir().join("attempts")];
    for file in found.iter().filter(|file| !own.iter().any(|dir| file.starts_with(dir))) {
        let bytes = fs::read(file).unwrap_or_default();
        has_none(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}

/// Every row of every table.
fn in_no_table(host: &Host) {
    let rows: Vec<String> = on_a_runtime(async {
        let db = host.database().store().await.client().await.unwrap();
        let tables = "SELECT table_name::text FROM information_schema.tables
            WHERE table_schema = 'hostler' AND table_type = 'BASE TABLE'";
        let mut rows = Vec::new();
        for table in db.query(tables, &[]).await.unwrap() {
            let all =
                format!("SELECT one::text FROM hostler.\"{}\" AS one", table.get::<_, &str>(0));
            rows.extend(
                db.query(&all, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)),
            );
        }
        rows
    });
    assert!(rows.len() > 10, "something was looked at");
    has_none("a table", &rows.join("\n"));
}

/// The command line of every process there is.
fn in_no_process_list() {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // One that has ended meanwhile has none.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        has_none("a process list", &String::from_utf8_lossy(&line));
    }
}

fn in_no_answer(host: &Host) {
    let config = host.path("fleets.toml").display().to_string();
    let commands: [&[&str]; 10] = [
        &["-c", &config, "config", "show"],
        &["-c", &config, "config", "show", "--json"],
        &["agent", "list", "--json"],
        &["agent", "show", "rude-1", "--json"],
        &["fleet", "list", "--json"],
        &["task", "list", "--json"],
        &["host", "list", "--json"],
        &["events", "list", "--json"],
        &["queue", "list"],
        &["agent", "list"],
    ];
    for words in commands {
        let done = host.cli(words);
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        has_none(&format!("{words:?}"), &format!("{}{}", done.stdout, done.stderr));
    }
    for path in
        ["/api/v1/agents", "/api/v1/fleets", "/api/v1/tasks", "/api/v1/host", "/api/v1/events"]
    {
        has_none(path, &host.get(path).to_string());
    }
}

/// How many processes of the keen fleet have found that all of it fits.
fn fits(host: &Host) -> usize {
    let dir = fs::read_dir(host.path("")).unwrap();
    dir.flatten().filter(|one| one.file_name().to_string_lossy().starts_with("fits-")).count()
}

#[test]
fn agents_have_their_secrets_and_nobody_else_sees_them() {
    let mut host = host().up();
    eventually("the agent has all three", || fits(&host) == 1);
    host.until_agent("keen-1", "idle");
    let task = host.wait(&host.submit(&json!({"input": {}, "max_attempts": 1})));
    assert_eq!(task["error"]["class"], "exit", "{task}");
    assert!(task["error"].to_string().contains("I have ***"), "{task}");
    let rude = host.until_agent("rude-1", "quarantined");
    assert!(rude["reason"].as_str().unwrap().contains("I have ***"), "{rude}");
    // What the agent itself wrote is its own.
    let own = fs::read_to_string(host.data_dir().join("logs/agents/rude-1.log")).unwrap();
    assert!(own.contains(secret("file")), "{own}");
    let shown =
        host.cli(&["-c", host.path("fleets.toml").to_str().unwrap(), "config", "show"]).stdout;
    assert!(shown.contains("key.txt") && shown.contains("OF_THE_HOST"), "{shown}");

    // Another value: the agents that have it are replaced.
    let old = host.agent("keen-1")["pid"].clone();
    fs::write(host.path("truth/file"), secret("next")).unwrap();
    fs::write(host.path("key.txt"), secret("next")).unwrap();
    let reloaded = host.cli(&["reload"]);
    assert_eq!(reloaded.code, 0, "{reloaded:?}");
    eventually("another has the new one", || fits(&host) == 2);
    let new = host.until_agent("keen-1", "idle");
    assert_ne!(new["pid"], old);

    // One that can't be had: nothing changes.
    fs::remove_file(host.path("key.txt")).unwrap();
    let refused = host.cli(&["reload"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    for part in ["fleets.keen.secrets.BY_FILE", "key.txt", "check the path"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert_eq!(host.agent("keen-1")["pid"], new["pid"]);

    in_no_answer(&host);
    in_no_process_list();
    in_no_table(&host);
    in_no_file(&host);
    assert!(host.stop().success());
    in_no_file(&host);
    in_no_table(&host);
    host.until_nothing_is_left();
}

/// The hash in the keeper's note has the secrets, too.
#[test]
fn an_agent_with_an_old_secret_is_not_taken_over() {
    let mut host = host().up();
    eventually("it runs", || fits(&host) == 1);
    let first = host.until_agent("keen-1", "idle")["pid"].clone();
    host.kill9();
    host.restart();
    assert_eq!(host.until_agent("keen-1", "idle")["pid"], first, "nothing has changed");
    host.kill9();
    fs::write(host.path("truth/file"), secret("next")).unwrap();
    fs::write(host.path("key.txt"), secret("next")).unwrap();
    host.restart();
    assert_ne!(host.until_agent("keen-1", "idle")["pid"], first);
    eventually("the new one has the new secret", || fits(&host) == 2);
    assert!(host.stop().success());
    in_no_file(&host);
}

#[test]
fn a_host_without_a_secret_does_not_start_and_says_which() {
    let host = host();
    fs::write(host.path("key.txt"), "").unwrap();
    let fleets = host.path("fleets.toml");
    let up = host.cli(&["-c", fleets.to_str().unwrap(), "up", "--set", "http.bind=off"]);
    assert_eq!(up.code, 1, "{up:?}");
    let said: Vec<&str> = up.stderr.lines().filter(|line| line.contains(".secrets.")).collect();
    let of = |name: &str| said.iter().find(|line| line.contains(name)).copied().unwrap_or_default();
    for fleet in ["keen", "chatty", "rude"] {
        let line = of(&format!("fleets.{fleet}.secrets.BY_FILE"));
        assert!(line.contains("key.txt") && line.contains("is empty"), "{up:?}");
    }
    // The variable is the host's that was to be started, and this one has none.
    let line = of("fleets.keen.secrets.BY_ENV");
    assert!(line.contains("OF_THE_HOST") || line.is_empty(), "{up:?}");
    has_none("the error", &up.stderr);
    // Whoever only looks at the settings asks for nothing.
    let check = host.cli(&["config", "check", fleets.to_str().unwrap()]);
    assert_eq!(check.code, 0, "{check:?}");
}

#[test]
fn a_secret_that_is_declared_wrongly_is_told_of_by_its_place() {
    let rows = [
        ("A = \"text\"", "fleets.x.secrets.A", "must be a table"),
        ("A = {}", "fleets.x.secrets.A", "must have one of `file`, `env` and `command`"),
        ("A = { file = \"a\", env = \"B\" }", "fleets.x.secrets.A", "must have one of"),
        (
            "A = { vault = \"a\" }",
            "fleets.x.secrets.A.vault",
            "the keys here are file, env, command",
        ),
        ("A = { file = \"\" }", "fleets.x.secrets.A.file", "is empty"),
        ("A = { env = \"B=C\" }", "fleets.x.secrets.A.env", "is not the name of a variable"),
        ("A = { command = [] }", "fleets.x.secrets.A.command", "is empty"),
        (
            "A = { command = [\"no-such-program\"] }",
            "fleets.x.secrets.A.command",
            "not a program in PATH",
        ),
        ("HOSTLER_A = { env = \"B\" }", "fleets.x.secrets.HOSTLER_A", "the host's own"),
        ("TWICE = { env = \"B\" }", "fleets.x.secrets.TWICE", "is in `env`, too"),
    ];
    for (line, field, message) in rows {
        let host = Host::new(&format!(
            "[fleets.x]\nprotocol = \"service\"\ncommand = [\"sleep\", \"1\"]\nenv = {{ TWICE = \"1\" }}\n\
             [fleets.x.secrets]\n{line}\n"
        ));
        let done = host.cli(&["config", "check", host.path("fleets.toml").to_str().unwrap()]);
        assert_ne!(done.code, 0, "{line}: {done:?}");
        let said = done.stderr + &done.stdout;
        assert!(said.contains(field) && said.contains(message), "{line}: {said}");
    }
}
