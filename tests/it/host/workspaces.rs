//! Workspaces: the real program, mock agents and git.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    host::{HOSTLER, Host},
    processes::eventually,
};

/// Runs git in `dir`; what it wrote.
#[track_caller]
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Makes a repository with these files in one commit on `main`.
pub(crate) fn repository(dir: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(dir).unwrap();
    git(dir, &["init", "--quiet", "--initial-branch=main"]);
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    git(dir, &["add", "."]);
    git(dir, &["commit", "--quiet", "-m", "first"]);
}

/// A host with fleets of both protocols in workspaces, over a repository with a file.
fn host() -> Host {
    let host = Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
queues = ["worker"]
cwd = "@DIR@"
workspace = {{ git = "@DIR@/repo", branch = "feature/{{kind}}" }}

[fleets.once]
protocol = "exec"
command = ["{HOSTLER}", "mock-agent", "--exec"]
queues = ["exec"]
output = "json"
cwd = "@DIR@"

[fleets.shell]
protocol = "exec"
command = ["sh", "-c", "pwd; echo left > half; exit 3"]
queues = ["shell"]
cwd = "@DIR@"
workspace = {{ git = "@DIR@/repo" }}
"#
    ))
    .set("tasks.max_attempts", "1");
    repository(&host.path("repo"), &[("src/a.txt", "one\n")]);
    host.up()
}

/// The workspace of the only attempt of a task.
#[track_caller]
fn workspace(host: &Host, id: &str) -> Value {
    let attempts = host.history(id, "attempts");
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    attempts[0]["workspace"].clone()
}

#[track_caller]
fn listed(host: &Host) -> Vec<Value> {
    host.cli_json(&["workspace", "list"])["items"].as_array().unwrap().clone()
}

#[test]
fn workers_and_processes_work_apart_and_what_they_left_is_committed() {
    let host = host();
    let repo = host.path("repo");
    let write = |file: &str, text: &str| json!({"mock": {"write": {file: text}}});
    let worker = host
        .submit(&json!({"queue": "worker", "kind": "one", "input": write("src/a.txt", "worker\n"),
        "paths": ["src/**"]}));
    let other = json!({"git": repo, "base": "main", "branch": "other/{kind}.{attempt}"});
    let exec = host
        .submit(&json!({"queue": "exec", "kind": "two", "input": write("docs/b.md", "exec\n"),
        "paths": ["src/**"], "workspace": other}));
    for id in [&worker, &exec] {
        assert_eq!(host.wait(id)["state"], "completed");
    }
    assert_eq!(host.task(&exec)["workspace"], other);
    assert_eq!(host.task(&worker)["workspace"], Value::Null, "that is the fleet's");

    let of_worker = workspace(&host, &worker);
    assert_eq!((&of_worker["branch"], &of_worker["changed"]), (&json!("feature/one"), &json!(1)));
    assert_eq!((&of_worker["files"], &of_worker["outside"]), (&json!(["src/a.txt"]), &json!([])));
    assert_eq!(git(&repo, &["show", "feature/one:src/a.txt"]), "worker");
    let of_exec = workspace(&host, &exec);
    assert_eq!(
        (&of_exec["branch"], &of_exec["outside"]),
        (&json!("other/two.1"), &json!(["docs/b.md"]))
    );
    assert_eq!(git(&repo, &["show", "other/two.1:docs/b.md"]), "exec");
    // What a person has checked out is as it was, and what the agents made is not in their directory.
    assert_eq!(fs::read_to_string(repo.join("src/a.txt")).unwrap(), "one\n");
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");
    assert!(!host.path("docs").exists());
    let shown = host.cli(&["task", "show", &exec]);
    assert!(shown.stdout.contains("1 outside of its paths, such as docs/b.md"), "{shown:?}");

    // Unmerged work stays; what is merged goes, and its branch is still there.
    assert_eq!(listed(&host).len(), 2);
    let pruning = host.cli_json(&["workspace", "prune"]);
    assert_eq!((&pruning["removed"], &pruning["freed"]), (&json!([]), &json!(0)));
    git(&repo, &["merge", "--quiet", "feature/one"]);
    let dry = host.cli_json(&["workspace", "prune", "--dry-run"]);
    assert_eq!(dry["removed"][0]["task"], json!(worker));
    assert_eq!(listed(&host).len(), 2);
    let pruning = host.cli_json(&["workspace", "prune"]);
    assert_eq!(pruning["removed"][0]["task"], json!(worker));
    let left = listed(&host);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["stays"]["kept"], "unmerged");
    assert!(workspace(&host, &worker)["removed_at"].is_string());
    assert!(!Path::new(of_worker["path"].as_str().unwrap()).exists());
    assert_eq!(git(&repo, &["show", "feature/one:src/a.txt"]), "worker");
}

#[test]
fn a_failed_attempt_leaves_its_work_on_a_branch_and_runs_where_its_workspace_is() {
    let host = host();
    let id = host.submit(&json!({"queue": "shell"}));
    let task = host.wait(&id);
    assert_eq!(task["state"], "failed");
    let workspace = workspace(&host, &id);
    let ran_in = task["error"]["detail"]["stdout_tail"].as_str().unwrap().trim().to_owned();
    assert_eq!(ran_in, workspace["path"].as_str().unwrap());
    let branch = format!("hostler/{id}");
    assert_eq!((&workspace["branch"], &workspace["left_over"]), (&json!(branch), &json!(true)));
    assert_eq!(git(&host.path("repo"), &["show", &format!("{branch}:half")]), "left");
}

#[test]
fn a_workspace_that_can_not_be_made_fails_the_task_and_not_the_agent() {
    let host = host();
    for queue in ["worker", "exec"] {
        let nowhere = json!({"git": host.path("repo"), "base": "nowhere"});
        let id = host.submit(&json!({"queue": queue, "workspace": nowhere}));
        let task = host.wait(&id);
        assert_eq!(task["error"]["class"], "spawn", "{task}");
        let why = task["error"]["message"].as_str().unwrap();
        assert!(why.contains("there is no commit `nowhere`"), "{why}");
        let sound = json!({"git": host.path("repo"), "branch": format!("sound/{queue}")});
        let id = host.submit(&json!({"queue": queue, "workspace": sound}));
        assert_eq!(host.wait(&id)["state"], "completed");
    }
}

#[test]
fn what_a_killed_host_left_open_is_closed_by_the_next() {
    let mut host = host();
    let input = json!({"mock": {"write": {"src/a.txt": "late\n"}, "sleep": "3s"}});
    let place = json!({"git": host.path("repo"), "branch": "late"});
    let id = host.submit(&json!({"queue": "exec", "input": input, "workspace": place}));
    host.until_task(&id, "running");
    // Before it runs nothing could be taken over: it would be done again, on another branch.
    eventually("its process runs", || host.agent("once-1")["pid"].is_i64());
    host.kill9();
    host.restart();
    assert_eq!(host.wait(&id)["state"], "completed");
    assert_eq!(git(&host.path("repo"), &["show", "late:src/a.txt"]), "late");
    assert_eq!(listed(&host)[0]["stays"]["kept"], "unmerged");
}

#[test]
fn without_room_tasks_are_put_off() {
    let host = Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
cwd = "@DIR@"
workspace = {{ git = "@DIR@/repo" }}
"#
    ))
    .set("workspaces.max_disk", "1MiB")
    .set("tasks.max_input", "4MiB");
    repository(&host.path("repo"), &[("a", "x")]);
    let host = host.up();
    let large = json!({"mock": {"write": {"large": "x".repeat(1 << 20)}}});
    let first = host.submit(&json!({ "input": large }));
    assert_eq!(host.wait(&first)["state"], "completed");
    let second = host.submit(&json!({}));
    host.until_task(&second, "scheduled");
    let attempts = host.history(&second, "attempts");
    assert_eq!(attempts[0]["outcome"], "snoozed");
    let why = attempts[0]["reason"].as_str().unwrap();
    assert!(why.contains("workspaces take") && why.contains("of 1MiB"), "{why}");
    // Once it is merged there is room.
    git(&host.path("repo"), &["merge", "--quiet", &format!("hostler/{first}")]);
    host.cli_json(&["task", "snooze", &second, "--for", "1ms"]);
    assert_eq!(host.wait(&second)["state"], "completed");
}

#[test]
fn a_task_that_stands_alone_is_merged_and_a_person_resolves_its_conflict() {
    let host = Host::new(&format!(
        r#"
[fleets.mock]
protocol = "worker"
command = ["{HOSTLER}", "mock-agent"]
count = 2
cwd = "@DIR@"
workspace = {{ git = "@DIR@/repo", merge = "merge", into = "all", on_conflict = "person" }}
"#
    ));
    let repo = host.path("repo");
    repository(&repo, &[("a.txt", "one\n")]);
    let host = host.up();
    let task = |text: &str, sleep: &str| {
        host.submit(&json!({"kind": "k", "input": {
            "mock": {"sleep": sleep, "write": {"a.txt": text}}
        }}))
    };
    ["mock-1", "mock-2"].iter().for_each(|name| drop(host.until_agent(name, "idle")));
    // Both begin at the same commit: the second to be done has the conflict.
    let (quick, slow) = (task("quick\n", "1s"), task("slow\n", "3s"));
    assert_eq!(host.wait(&quick)["state"], "completed");
    assert_eq!(git(&repo, &["show", "all:a.txt"]), "quick");
    assert_eq!(host.wait(&slow)["state"], "completed", "the agent has done its work");
    let asked = host.get("/api/v1/tasks?queue=plan.people")["items"][0].clone();
    let asked = host.task(asked["id"].as_str().unwrap());
    assert_eq!((&asked["kind"], &asked["state"]), (&json!("merge"), &json!("pending")));
    let path = asked["input"]["conflict"]["path"].as_str().unwrap();
    fs::write(Path::new(path).join("a.txt"), "both\n").unwrap();
    let resolved = host.cli_json(&["workspace", "resolved", &slow]);
    assert_eq!(resolved["task"], asked["id"]);
    assert_eq!(resolved["commit"], git(&repo, &["rev-parse", "all"]));
    assert_eq!(git(&repo, &["show", "all:a.txt"]), "both");
    assert_eq!(host.task(asked["id"].as_str().unwrap())["state"], "completed");
    assert_eq!(host.cli(&["workspace", "resolved", &slow]).code, 4);
}
