//! A plan carried out in git worktrees: real processes, real merges, one real conflict.

use std::fs;

use serde_json::{Value, json};

use crate::{
    host::workspaces::{git, repository},
    support::host::{HOSTLER, Host},
};

/// As the seed's: a base that all wait for, three streams at once of which two write the same file, and
/// what waits for all of them.
const PLAN: &str = r#"
version: 1
title: A shop
tasks:
  - id: setup
    duration: 1m
    files: [src/lib.rs]
    branch: feature/setup
    input: {mock: {write: {src/lib.rs: "setup\n"}}}
  - id: models
    duration: 2m
    depends_on: setup
    files: ["src/models/**", routes.txt]
    branch: feature/models
    input: {mock: {sleep: 1s, write: {src/models/a.rs: "models\n", routes.txt: "models\n", stray.txt: "stray\n"}}}
  - id: pages
    duration: 3m
    depends_on: setup
    files: ["src/pages/**", routes.txt]
    input: {mock: {sleep: 3s, write: {src/pages/b.rs: "pages\n", routes.txt: "models and pages\n"}}}
  - id: manual
    duration: 2m
    depends_on: setup
    files: ["docs/**"]
    merge: rebase
    input: {mock: {sleep: 2s, write: {docs/manual.md: "manual\n"}}}
  - id: idea
    duration: 1m
    depends_on: setup
    files: [idea.md]
    merge: leave
    branch: idea
    input: {mock: {write: {idea.md: "idea\n"}}}
  - id: release
    duration: 1m
    depends_on: [models, pages, manual]
    files: [CHANGES.md]
    input: {mock: {write: {CHANGES.md: "release\n"}}}
"#;

#[test]
fn a_plan_in_worktrees_ends_in_one_tree_with_its_conflict_resolved() {
    let host = Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
count = 4
cwd = "@DIR@"
"#
    ))
    .set("tasks.retry.backoff_min", "10ms");
    let repo = host.path("repo");
    repository(&repo, &[("src/lib.rs", "empty\n"), ("routes.txt", "none\n")]);
    let before = git(&repo, &["rev-parse", "main"]);
    let host = host.up();
    let file = host.path("plan.yaml");
    fs::write(&file, PLAN).unwrap();
    let (file, place) = (file.to_str().unwrap(), repo.to_str().unwrap());
    let report = host.cli_json(&["plan", "run", file, "--agents", "4", "--git", place]);
    assert_eq!(report["run"]["state"], "completed", "{report:#}");
    let id = report["run"]["id"].as_str().unwrap();
    let branch = format!("plan/{id}");

    // The final tree: all that was merged, once, and not what was left.
    let files = git(&repo, &["ls-tree", "-r", "--name-only", &branch]);
    let expected = [
        "CHANGES.md",
        "docs/manual.md",
        "routes.txt",
        "src/lib.rs",
        "src/models/a.rs",
        "src/pages/b.rs",
        "stray.txt",
    ];
    assert_eq!(files.lines().collect::<Vec<_>>(), expected);
    let shown = |file: &str| git(&repo, &["show", &format!("{branch}:{file}")]);
    assert_eq!(shown("src/lib.rs"), "setup");
    assert_eq!(shown("routes.txt"), "models and pages");
    assert_eq!(shown("CHANGES.md"), "release");
    assert_eq!(git(&repo, &["show", "idea:idea.md"]), "idea");
    // What a person has checked out is untouched.
    assert_eq!(git(&repo, &["rev-parse", "main"]), before);
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");

    let tasks = host.get(&format!("/api/v1/plans/runs/{id}/tasks"))["items"].clone();
    let attempts = |name: &str| -> Vec<Value> {
        let task = tasks.as_array().unwrap().iter().find(|task| task["id"] == name).unwrap();
        host.history(task["task"].as_str().unwrap(), "attempts")
    };
    // Both wrote the file at the same time; the second to be done met the conflict, and resolved it.
    let (models, pages) = (attempts("models"), attempts("pages"));
    assert_eq!((models.len(), pages.len()), (1, 2), "{pages:?}");
    assert!(pages[0]["started_at"].as_str() < models[0]["ended_at"].as_str(), "at once");
    assert_eq!(pages[0]["outcome"], "failed");
    let conflict = &pages[0]["error"]["detail"]["conflict"];
    assert_eq!(conflict["files"], json!(["routes.txt"]));
    assert_eq!(pages[0]["workspace"]["unresolved"]["files"], json!(["routes.txt"]));
    let given = &pages[1]["workspace"]["conflict"];
    assert_eq!((&given["files"], &given["ours"]), (&json!(["routes.txt"]), &conflict["ours"]));
    assert_eq!(pages[1]["workspace"]["unresolved"], Value::Null);
    let workspace = &models[0]["workspace"];
    assert_eq!(
        (&workspace["branch"], &workspace["into"]),
        (&json!("feature/models"), &json!(branch))
    );
    assert_eq!(workspace["outside"], json!(["stray.txt"]));

    // All but what was left may go.
    let pruning = host.cli_json(&["workspace", "prune"]);
    let kept: Vec<&Value> =
        pruning["kept"].as_array().unwrap().iter().map(|kept| &kept["branch"]).collect();
    assert!(kept.contains(&&json!("idea")), "{kept:?}");
    assert!(!kept.contains(&&json!("feature/models")), "{kept:?}");
}
