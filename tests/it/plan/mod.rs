//! `hostler plan`, as a person runs it.

mod http;
mod run;
mod workspaces;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hostler::plan::{import, read};
use serde_json::Value;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn plan(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hostler"))
        .arg("plan")
        .args(args)
        .current_dir(in_repository("."))
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const SEED: &str = "examples/plans/seed.toml";

/// The document that the seed's plan was written as.
const DOCUMENT: &str = "tests/fixtures/seed_plan.md";

#[test]
fn the_seed_document_imports_as_the_plan_by_hand() {
    let document = std::fs::read_to_string(in_repository(DOCUMENT)).unwrap();
    let imported = import::import(&document);
    let by_hand = read::read(&in_repository(SEED)).unwrap();
    assert_eq!(imported.plan.phases, by_hand.phases);
    assert_eq!(imported.plan.pools, by_hand.pools);
    for (one, other) in imported.plan.tasks.iter().zip(&by_hand.tasks) {
        assert_eq!(one, other);
    }
    assert_eq!(imported.plan, by_hand);
    let doubts: Vec<String> =
        imported.doubts.iter().map(|doubt| format!("{}: {}", doubt.line, doubt.message)).collect();
    for wanted in [
        "taken for a preparation",
        "shared out evenly",
        "can be done without, so it is no dependency on control-agent-implementation",
        "taken for `client/**`",
        "stand for agent-registry-configuration and control-agent-implementation",
    ] {
        assert!(doubts.iter().any(|doubt| doubt.contains(wanted)), "{wanted}: {doubts:#?}");
    }
    assert!(imported.doubts.iter().all(|doubt| doubt.line > 0));
}

#[test]
fn import_writes_a_file_that_check_accepts_and_never_writes_over_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("plan.toml");
    let out = out.to_str().unwrap();
    let imported = plan(&["import", DOCUMENT, "-o", out]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert!(text(&imported.stderr).contains("unsure: tests/fixtures/seed_plan.md:9:"));
    assert!(plan(&["check", out]).status.success());
    let again = plan(&["import", DOCUMENT, "-o", out]);
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn analyze_prints_the_seeds_figures_and_the_better_schedule() {
    let run = plan(&["analyze", SEED, "--agents", "3", "--phased", "--json"]);
    let json: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(json["sequential_h"], 20.0);
    assert_eq!(json["makespan_h"], 13.0);
    assert_eq!(json["saved_percent"], 35.0);
    assert_eq!(json["unphased"]["makespan_h"], 8.0);
    assert_eq!(json["unphased"]["proven_optimal"], true);
    let free = plan(&["analyze", SEED]);
    let shown = text(&free.stdout);
    assert!(shown.contains("makespan       8 h"), "{shown}");
    assert!(shown.contains("listen-notify, structured-logging"), "{shown}");
    for (format, begin) in [("markdown", "# Parallel"), ("mermaid", "gantt\n"), ("svg", "<svg ")] {
        let run = plan(&["analyze", SEED, "--format", format]);
        assert!(text(&run.stdout).starts_with(begin), "{format}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yaml");
    std::fs::write(&file, "version: 1\ntasks:\n  - {id: a, duration: 1h, depends_on: b}\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let check = plan(&["check", file]);
    assert_eq!(check.status.code(), Some(1));
    assert!(text(&check.stdout).contains("bad.yaml:3: tasks.a.depends_on: there is no task `b`"));
    let analyze = plan(&["analyze", file]);
    assert_eq!(analyze.status.code(), Some(2));
    assert_eq!(plan(&["check", "no-such-file.toml"]).status.code(), Some(1));
}

#[test]
fn phases_that_a_dependency_crosses_backward_are_no_barriers() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("back.yaml");
    let tasks = "version: 1\ntasks:\n  - {id: a, duration: 1h, phase: one, depends_on: b}\n  - {id: c, duration: 1h, phase: one}\n  - {id: b, duration: 1h, phase: two}\n";
    std::fs::write(&file, tasks).unwrap();
    let file = file.to_str().unwrap();
    let run = plan(&["analyze", file, "--phased"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("`a` waits for `b`, which is in a later phase"));
    assert!(plan(&["analyze", file]).status.success());
}
