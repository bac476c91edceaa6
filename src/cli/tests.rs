//! The shape of the command line.

use clap::{CommandFactory, Parser};

use super::Cli;

/// Every command that a person can type.
const COMMANDS: &[&str] = &[
    "up",
    "demo",
    "reload",
    "upgrade",
    "doctor",
    "config check",
    "config show",
    "host list",
    "fleet list",
    "fleet show",
    "fleet scale",
    "fleet restart",
    "agent list",
    "agent show",
    "agent start",
    "agent stop",
    "agent restart",
    "agent pause",
    "agent drain",
    "agent release",
    "agent logs",
    "task submit",
    "task list",
    "task show",
    "task graph",
    "task logs",
    "task wait",
    "task cancel",
    "task retry",
    "task release",
    "task snooze",
    "batch submit",
    "batch list",
    "batch show",
    "batch close",
    "batch cancel",
    "batch wait",
    "group list",
    "group show",
    "dead list",
    "dead show",
    "dead redrive",
    "dead discard",
    "queue list",
    "queue pause",
    "queue resume",
    "queue limit",
    "key create",
    "key list",
    "key revoke",
    "audit list",
    "audit tail",
    "limit list",
    "limit set",
    "lock list",
    "schedule list",
    "schedule show",
    "schedule add",
    "schedule remove",
    "schedule pause",
    "schedule resume",
    "schedule run",
    "schedule next",
    "plan check",
    "plan import",
    "plan analyze",
    "plan run",
    "plan list",
    "plan show",
    "plan report",
    "plan pause",
    "plan resume",
    "plan cancel",
    "plan retry",
    "plan done",
    "plan fail",
    "plan approve",
    "plan skip",
    "session create",
    "session list",
    "session show",
    "session summary",
    "session pause",
    "session resume",
    "session complete",
    "session delete",
    "session search",
    "session export",
    "session import",
    "memory add",
    "memory list",
    "memory get",
    "memory search",
    "artifact add",
    "artifact get",
    "artifact list",
    "import-json",
    "mock-agent",
    "command-agent",
    "workspace list",
    "workspace prune",
    "workspace resolved",
    "mcp",
    "webhook endpoints",
    "webhook set",
    "webhook remove",
    "webhook rotate",
    "webhook enable",
    "webhook disable",
    "webhook test",
    "webhook deliveries",
    "webhook replay",
    "webhook verify",
    "db migrate",
    "db status",
    "db roles",
    "db backup",
    "db restore",
    "db verify",
    "db prune",
    "db archive list",
    "db archive show",
    "db vacuum-report",
    "events list",
    "events tail",
    "openapi",
    "completions",
];

fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name()).trim().to_owned();
        if inner.has_subcommands() {
            leaves(inner, &path, found);
        } else {
            found.push((path, inner.clone()));
        }
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    found
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_commands_are_these() {
    let names: Vec<_> = all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, COMMANDS);
}

#[test]
fn every_command_says_what_it_does_and_has_an_example() {
    for (name, mut command) in all() {
        assert!(command.get_about().is_some(), "{name}");
        let help = command.render_help().to_string();
        assert!(help.contains(&format!("  hostler {name}")), "{name} has no example:\n{help}");
    }
}

#[test]
fn every_command_and_every_exit_code_is_in_the_document() {
    let document = include_str!("../../docs/CLI.md");
    for name in COMMANDS {
        assert!(document.contains(&format!("`hostler {name}")), "docs/CLI.md lacks {name}");
    }
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |", "| 5 |", "| 6 |", "| 124 |"] {
        assert!(document.contains(code), "docs/CLI.md lacks {code}");
    }
}

#[test]
fn good_lines_parse() {
    let id = "tsk_00000000000000000000000000000007";
    let lines = [
        "up -c a.toml -c b.toml --set host.name=x --set http.bind=127.0.0.1:0".to_owned(),
        "--json demo".to_owned(),
        "agent logs echo-1 -f --tail 5".to_owned(),
        format!("task logs {id} -f --attempt 2 --stream stderr --tail 5"),
        "task submit --queue q --kind k --input {} --priority -5 --delay 5s --timeout 1m"
            .to_owned(),
        "task submit --wait".to_owned(),
        "task submit --wait=30s --key k".to_owned(),
        "task submit --count 5".to_owned(),
        "task submit --unique k --on-conflict replace --unique-window 1h".to_owned(),
        "task submit --unique-by kind,input --unique-states pending".to_owned(),
        "task submit --jsonl -".to_owned(),
        format!("task wait {id} {id} --timeout 5m"),
        "task list --group g".to_owned(),
        "task cancel --queue q --state pending,scheduled --dry-run".to_owned(),
        "task cancel --all --limit 5".to_owned(),
        "task retry --class timeout --created-after 2030-01-31T08:00:00Z".to_owned(),
        "dead redrive --class exit --rate 10/s --to other".to_owned(),
        format!("dead discard {id} --reason gone"),
        "batch submit --jsonl - --on-complete {} --key k".to_owned(),
        "batch submit --open".to_owned(),
        format!("task submit --depends-on {id},{id} --on-dependency-failure hold --template"),
        format!("task graph {id} --format mermaid --limit 5"),
        format!("task snooze {id} {id} --for 5m"),
        format!("task snooze {id} --until 2030-01-31T08:00:00Z"),
        "task list --state pending,running --state failed --limit 7".to_owned(),
        "queue pause default --reason upkeep".to_owned(),
        "schedule add n --every 5m --queue q --overlap queue --catch-up all".to_owned(),
        "schedule next n --count 3".to_owned(),
        "schedule next --every 5m".to_owned(),
        "fleet list --url http://127.0.0.1:7070 --api-key k".to_owned(),
        "completions zsh".to_owned(),
    ];
    for line in lines {
        let words = ["hostler"].into_iter().chain(line.split(' '));
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn broken_lines_are_refused() {
    let lines = [
        "",
        "frobnicate",
        "up --set",
        "up --set host.name",
        "agent show",
        "agent show UPPER",
        "agent logs a-1 --tail x",
        "task show 7",
        "task wait",
        "task snooze tsk_00000000000000000000000000000007",
        "task snooze --for 5m",
        "task snooze tsk_00000000000000000000000000000007 --for soon",
        "task submit --queue UPPER",
        "task submit --priority 40000",
        "task submit --max-attempts 0",
        "task submit --delay soon",
        "task submit --timeout 30",
        "task submit --run-at tomorrow",
        "task submit --run-at 2030-01-31T08:00:00Z --delay 5s",
        "task submit --count 0",
        "task submit --count 2 --key k",
        "task submit --count 2 --wait",
        "task submit --jsonl - --input 1",
        "task submit --jsonl - --wait",
        "task submit --template",
        "task submit --depends-on a",
        "task submit --on-dependency-failure run",
        "task submit --jsonl - --depends-on tsk_00000000000000000000000000000007",
        "task submit --unique k --unique-by input",
        "task submit --unique-by id",
        "task submit --unique-window 1h",
        "task submit --on-conflict reject",
        "task submit --unique k --on-conflict ignore",
        "task submit --jsonl - --unique k",
        "task list --state done",
        "task list --group G",
        "task list --batch 7",
        "task cancel --class oops",
        "task cancel --state done",
        "task retry --created-before yesterday",
        "dead redrive --all --rate fast",
        "dead redrive --all --to UPPER",
        "dead discard --all",
        "batch submit",
        "batch show 7",
        "batch wait bat_00000000000000000000000000000007 --timeout soon",
        "group show G",
        "task list --limit 0",
        "queue pause",
        "schedule add",
        "schedule add n",
        "schedule add n --every 5m --cron @daily",
        "schedule add n --cron 5",
        "schedule add n --every soon",
        "schedule add N --every 5m",
        "schedule add n --every 5m --overlap sometimes",
        "schedule next",
        "schedule next n --every 5m",
        "schedule next --cron @daily --zone Mars",
        "fleet list --url localhost",
        "fleet list --url http://u:p@h",
        "completions tcsh",
    ];
    for line in lines {
        let words = ["hostler"].into_iter().chain(line.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}

#[test]
fn a_key_is_not_shown_by_debug() {
    let words = "hostler fleet list --url http://h --api-key hunter2".split(' ');
    let cli = Cli::try_parse_from(words).unwrap();
    assert!(!format!("{cli:?}").contains("hunter2"));
}
