//! A plan carried out in git worktrees: real processes, real merges, one real conflict.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    host::workspaces::{git, repository},
    support::{
        host::{HOSTLER, Host},
        processes::eventually,
    },
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
    input: {mock: {sleep: 2s, write: {src/models/a.rs: "models\n", routes.txt: "models\n", stray.txt: "stray\n"}}}
  - id: pages
    duration: 4m
    depends_on: setup
    files: ["src/pages/**", routes.txt]
    input: {mock: {sleep: 3s, write: {src/pages/b.rs: "pages\n", routes.txt: "models and pages\n"}}}
  - id: manual
    duration: 3m
    depends_on: setup
    files: ["docs/**"]
    merge: rebase
    input: {mock: {write: {docs/manual.md: "manual\n"}}}
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

/// Waits until so many agents can take a task: what is to begin at once would else have nobody who begins it,
/// and come to no conflict.
#[track_caller]
fn until_all_are_idle(host: &Host, agents: usize) {
    (1..=agents).for_each(|nth| drop(host.until_agent(&format!("mock-{nth}"), "idle")));
}

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
    until_all_are_idle(&host, 4);
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
    // Both wrote the file at the same time; what the plan ends later met the conflict, and its merge became
    // a task for an agent, who resolved it.
    let (models, pages) = (attempts("models"), attempts("pages"));
    assert_eq!((models.len(), pages.len()), (1, 1), "{pages:?}");
    assert!(pages[0]["started_at"].as_str() < models[0]["ended_at"].as_str(), "at once");
    let unresolved = &pages[0]["workspace"]["unresolved"];
    assert_eq!(unresolved["files"], json!(["routes.txt"]));
    let of = |name: &str| tasks.as_array().unwrap().iter().find(|it| it["id"] == name).unwrap();
    let merge = of("pages")["merge"].as_str().unwrap();
    let resolving = host.history(merge, "attempts");
    assert_eq!(resolving.len(), 1, "{resolving:?}");
    let given = &resolving[0]["workspace"]["conflict"];
    assert_eq!((&given["files"], &given["ours"]), (&json!(["routes.txt"]), &unresolved["ours"]));
    let merge = host.get(&format!("/api/v1/tasks/{merge}"));
    assert_eq!((&merge["kind"], &merge["queue"]), (&json!("merge"), &json!("default")));
    assert_eq!(merge["input"]["conflict"]["files"], json!(["routes.txt"]));
    // Merged in the order of the plan, though `manual` was done before `models`, and `pages` resolved last.
    let merged = |attempts: &[Value]| {
        attempts.last().unwrap()["workspace"]["merged"].as_str().unwrap().to_owned()
    };
    let order = [
        merged(&attempts("setup")),
        merged(&models),
        merged(&attempts("manual")),
        merged(&resolving),
        merged(&attempts("release")),
    ];
    assert!(attempts("manual")[0]["ended_at"].as_str() < models[0]["ended_at"].as_str());
    for pair in order.windows(2) {
        assert_ne!(pair[0], pair[1]);
        git(&repo, &["merge-base", "--is-ancestor", &pair[0], &pair[1]]);
    }
    assert!(of("models")["merge_state"] == "completed" && of("idea")["merge"].is_null());
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

/// Its plan says it all itself: the repository, relative to its file, and that people resolve conflicts.
const BY_HAND: &str = r#"
version = 1
workspace = { git = "repo", branch = "work/{task}", on_conflict = "person" }

[[tasks]]
id = "first"
duration = "2m"
files = ["a.txt"]
input = { mock = { sleep = "1s", write = { "a.txt" = "first\n" } } }

[[tasks]]
id = "second"
duration = "3m"
files = ["a.txt"]
input = { mock = { write = { "a.txt" = "second\n" } } }

[[tasks]]
id = "last"
duration = "1m"
depends_on = ["second"]
input = { mock = { write = { "last.txt" = "last\n" } } }
"#;

fn two_mocks() -> Host {
    Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
count = 2
cwd = "@DIR@"
"#
    ))
}

/// Begins the plan with people for conflicts; its run, and where the repository is.
fn by_hand(host: &Host) -> (String, std::path::PathBuf) {
    until_all_are_idle(host, 2);
    let repo = host.path("repo");
    repository(&repo, &[("a.txt", "none\n")]);
    let file = host.path("by_hand.toml");
    fs::write(&file, BY_HAND).unwrap();
    let run = host.cli_json(&["plan", "run", file.to_str().unwrap(), "--agents", "2", "--detach"]);
    (run["id"].as_str().unwrap().to_owned(), repo)
}

#[track_caller]
fn of_run(host: &Host, run: &str, name: &str) -> Value {
    let tasks = host.get(&format!("/api/v1/plans/runs/{run}/tasks"))["items"].clone();
    tasks.as_array().unwrap().iter().find(|task| task["id"] == name).unwrap().clone()
}

#[test]
fn a_person_resolves_a_conflict_in_the_worktree_and_the_plan_goes_on() {
    let mut host = two_mocks().up();
    let (run, repo) = by_hand(&host);
    eventually("a person is to resolve it", || {
        of_run(&host, &run, "second")["merge_queue"] == "plan.people"
    });
    // Also over the end of the host.
    host.kill9();
    host.restart();
    let merge = of_run(&host, &run, "second")["merge"].as_str().unwrap().to_owned();
    let input = host.task(&merge)["input"]["conflict"].clone();
    assert_eq!(input["files"], json!(["a.txt"]));
    let path = std::path::PathBuf::from(input["path"].as_str().unwrap());
    let marked = fs::read_to_string(path.join("a.txt")).unwrap();
    assert!(marked.contains("<<<<<<<") && marked.contains("first"), "{marked}");
    let early = host.cli(&["plan", "done", &run, "second"]);
    assert_eq!(early.code, 5);
    assert!(early.stderr.contains("marks of the conflict"), "{}", early.stderr);
    assert_eq!(of_run(&host, &run, "last")["state"], "blocked");

    fs::write(path.join("a.txt"), "first and second\n").unwrap();
    let done = host.cli_json(&["plan", "done", &run, "second"]);
    assert_eq!(done["merge_state"], "completed", "{done:#}");
    eventually("the run is completed", || {
        host.get(&format!("/api/v1/plans/runs/{run}"))["state"] == "completed"
    });
    let branch = format!("plan/{run}");
    assert_eq!(git(&repo, &["show", &format!("{branch}:a.txt")]), "first and second");
    assert_eq!(git(&repo, &["show", &format!("{branch}:last.txt")]), "last");
}

#[test]
fn what_is_left_unmerged_holds_nobody_up() {
    let host = two_mocks().up();
    let (run, repo) = by_hand(&host);
    eventually("a person is to resolve it", || {
        of_run(&host, &run, "second")["merge_queue"] == "plan.people"
    });
    host.cli_json(&["plan", "skip", &run, "second"]);
    eventually("the run is completed", || {
        host.get(&format!("/api/v1/plans/runs/{run}"))["state"] == "completed"
    });
    let branch = format!("plan/{run}");
    assert_eq!(git(&repo, &["show", &format!("{branch}:a.txt")]), "first");
    assert_eq!(git(&repo, &["show", "work/second:a.txt"]), "second");
}

#[test]
fn what_can_not_be_merged_for_now_waits_until_it_can() {
    let host = two_mocks().up();
    let repo = host.path("repo");
    repository(&repo, &[("a.txt", "none\n")]);
    let file = host.path("plan.yaml");
    let text = "version: 1\nworkspace: {git: repo}\ntasks:\n  - {id: a, duration: 2m, approval: true, input: {mock: {write: {a: a}}}}\n  - {id: b, duration: 3m, input: {mock: {write: {b: b}}}}\n";
    fs::write(&file, text).unwrap();
    let run = host.cli_json(&["plan", "run", file.to_str().unwrap(), "--agents", "2", "--detach"]);
    let run = run["id"].as_str().unwrap().to_owned();
    eventually("b is done", || of_run(&host, &run, "b")["state"] == "completed");
    // It is its turn only after `a`, which nobody has allowed yet.
    let record = host.get(&format!("/api/v1/plans/runs/{run}"));
    assert_eq!((&record["state"], &record["merges"]["pending"]), (&json!("running"), &json!(1)));
    assert!(git(&repo, &["branch", "--list", &format!("plan/{run}")]).is_empty());
    host.cli_json(&["plan", "skip", &run, "a"]);
    eventually("the run is completed", || {
        host.get(&format!("/api/v1/plans/runs/{run}"))["state"] == "completed"
    });
    let files = git(&repo, &["ls-tree", "-r", "--name-only", &format!("plan/{run}")]);
    assert_eq!(files.lines().collect::<Vec<_>>(), ["a.txt", "b"]);
}

/// The plan of `examples/plans/seed.toml`, in which each task writes the files that it names: a glob stands
/// for the file that another task changes, too.
fn seed_that_writes() -> (String, BTreeMap<String, BTreeSet<String>>) {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plans/seed.toml");
    let plan = hostler::plan::read::read(&seed).unwrap();
    let mut text = fs::read_to_string(seed).unwrap();
    let mut written = BTreeMap::new();
    for task in plan.tasks {
        let files: BTreeSet<String> = task
            .files
            .iter()
            .map(|file| file.glob.to_string().replace("**", "client.py"))
            .collect();
        if !files.is_empty() {
            let lines: Vec<String> =
                files.iter().map(|file| format!("{file:?} = \"{}\\n\"", task.id)).collect();
            let id = format!("id = \"{}\"\n", task.id);
            let with = format!("{id}input.mock.write = {{ {} }}\n", lines.join(", "));
            assert_eq!(text.matches(&id).count(), 1);
            text = text.replace(&id, &with);
            written.insert(task.id.to_string(), files);
        }
    }
    (text, written)
}

/// All that depends on nothing begins at once, in worktrees; two of these tasks change the same file.
#[test]
fn the_plan_of_the_seed_is_rehearsed_in_worktrees_and_ends_in_one_tree() {
    let host = Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
count = 7
cwd = "@DIR@"
"#
    ))
    .up();
    until_all_are_idle(&host, 7);
    let repo = host.path("repo");
    repository(&repo, &[("README.md", "a client\n"), ("client/client.py", "none\n")]);
    let (text, written) = seed_that_writes();
    let file = host.path("seed.toml");
    fs::write(&file, text).unwrap();
    let (file, place) = (file.to_str().unwrap(), repo.to_str().unwrap());
    let words = ["plan", "run", file, "--agents", "7", "--speed", "1h=1s", "--git", place];
    let report = host.cli_json(&words);
    assert_eq!(report["run"]["state"], "completed", "{report:#}");
    let run = report["run"]["id"].as_str().unwrap();

    let branch = format!("plan/{run}");
    let mut expected: BTreeSet<&str> = written.values().flatten().map(String::as_str).collect();
    expected.insert("README.md");
    let files = git(&repo, &["ls-tree", "-r", "--name-only", &branch]);
    assert_eq!(files.lines().collect::<BTreeSet<_>>(), expected);

    let unresolved = |name: &str| {
        let id = of_run(&host, run, name)["task"].as_str().unwrap().to_owned();
        host.history(&id, "attempts")[0]["workspace"]["unresolved"]["files"].clone()
    };
    let in_conflict: Vec<&String> =
        written.keys().filter(|name| !unresolved(name).is_null()).collect();
    assert_eq!(in_conflict.len(), 1, "{in_conflict:?}");
    let name = in_conflict[0];
    assert!(["listen-notify", "structured-logging"].contains(&name.as_str()), "{name}");
    assert_eq!(unresolved(name), json!(["client/client.py"]));
    assert_eq!(of_run(&host, run, name)["merge_state"], "completed");
    // Its agent resolved the conflict; every other file is what the one task made that names it.
    for (task, files) in &written {
        for file in files {
            let owner = if file == "client/client.py" { name } else { task };
            let shown = git(&repo, &["show", &format!("{branch}:{file}")]);
            assert_eq!(&shown, owner, "{file}");
        }
    }
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");
}
