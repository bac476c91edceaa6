//! What is shown of the settings.

use super::*;

const TOML: &str = r#"
[host]
name = "tab\there \u007f"
[database]
url = "postgres://u:hunter2@h/db"
[http]
api_key = "hunter2-hunter2-hunter2"
[fleets.a]
protocol = "exec"
command = ["agent", "--db=postgres://u:hunter2@h/db"]
limits = { open_files = 100, memory = "1GiB" }
[fleets.a.env]
API_TOKEN = "hunter2"
PLAIN = "seen"
DATABASE_URL = "postgres://u:hunter2@h/db"
[fleets."b.c"]
protocol = "service"
command = ["agent"]
[webhook]
github_secret = "hunter2-of-github-hunter2"
[webhooks.ci]
url = "https://ci.example/hook"
secret = "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==" # hunter2
[github.review]
event = "push"
queue = "default"
input = { clone = "https://u:hunter2@git.example/r" }
[schedules.nightly]
cron = "0 2 * * *"
zone = "Europe/Berlin"
overlap = "replace"
paused = true
[schedules.nightly.input]
prompt = "of {{ scheduled_for }}"
steps = [{ do = "a", "odd key" = [1, 2.5, true] }, "postgres://u:hunter2@h/db"]
[schedules.tick]
every = "90s"
max_attempts = 2
[queues.default]
description = "all of it"
timeout = "2m"
max_attempts = 5
retry = { kind = "linear", jitter = 0.25, never_on = ["task:17"] }
"#;

#[test]
fn secrets_are_masked_in_every_form() {
    let settings = World::with(TOML).settings();
    for shown in [show(&settings), to_json(&settings).to_string()] {
        assert!(!shown.contains("hunter2") && !shown.contains("whsec_"), "{shown}");
    }
    let mut secrets = settings.secrets();
    secrets.sort_unstable();
    assert_eq!(
        secrets,
        [
            "hunter2",
            "hunter2-hunter2-hunter2",
            "hunter2-of-github-hunter2",
            "postgres://u:hunter2@h/db",
            "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==",
        ]
    );
    let toml = show(&settings);
    for line in [
        "url = \"postgres://u:***@h/db\" # hostler.toml:5",
        "api_key = \"***\" # hostler.toml:7",
        "API_TOKEN = \"***\" # hostler.toml:13",
        "PLAIN = \"seen\" # hostler.toml:14",
        "lease = \"30s\" # built in",
        "[fleets.\"b.c\".restart]",
    ] {
        assert!(toml.lines().any(|shown| shown == line), "{line} is not in\n{toml}");
    }
}

#[test]
fn what_is_shown_can_be_loaded_and_shows_the_same() {
    let without_secrets: String =
        TOML.lines().filter(|line| !line.contains("hunter2")).collect::<Vec<_>>().join("\n");
    let toml = without_secrets.replace("limits =", "command = [\"agent\"]\nlimits =");
    let first = World::with(&toml);
    let shown = show(&first.settings());
    let second = World::with(&shown);
    let again = second.settings();
    assert_eq!(to_json(&again), to_json(&first.settings()));
    assert_eq!(again.fleets, first.settings().fleets);
}

#[test]
fn a_secret_from_a_file_names_the_line_of_the_file() {
    let world = World::with("[http]\napi_key_file = \"key\"");
    world.write("key", "hunter2-hunter2-hunter2");
    let toml = show(&world.settings());
    assert!(toml.contains("api_key = \"***\" # hostler.toml:2"), "{toml}");
}
