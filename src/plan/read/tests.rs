//! One plan in three formats, and every problem with its line.

use std::{path::Path, time::Duration};

use proptest::prelude::*;

use super::*;

const TOML: &str = r#"
version = 1
title = "Three ways"
branch = "feature/{task}"

[[agents]]
fleet = "claude"
count = 2
capabilities = ["code"]

[[phases]]
name = "one"
title = "Phase one"

[[tasks]]
id = "a"
title = "First"
duration = "2h"
files = ["src/**", { glob = "docs/*.md", write = false }]
input = { prompt = "do \"it\"", depth = 3 }
phase = "one"

[[tasks]]
id = "b"
duration = { optimistic = "30m", likely = "1h", pessimistic = "3h" }
depends_on = ["a"]
capability = "code"
priority = -3
approval = true
stale_after = "20m"

[[tasks]]
id = "c"
owner = "human"
duration = "45m"
depends_on = ["a", "b"]
condition = "b.result.ok"
"#;

const YAML: &str = r#"
version: 1
title: Three ways
branch: feature/{task}
agents:
  - {fleet: claude, count: 2, capabilities: code}
phases:
  - {name: one, title: Phase one}
tasks:
  - id: a
    title: First
    duration: 2h
    files: ["src/**", {glob: "docs/*.md", write: false}]
    input: {prompt: 'do "it"', depth: 3}
    phase: one
  - id: b
    duration: {optimistic: 30m, likely: 1h, pessimistic: 3h}
    depends_on: a
    capability: code
    priority: -3
    approval: true
    stale_after: 20m
  - {id: c, owner: human, duration: 45m, depends_on: [a, b], condition: b.result.ok}
"#;

const JSON: &str = r#"{
  "version": 1, "title": "Three ways", "branch": "feature/{task}",
  "agents": [{"fleet": "claude", "count": 2, "capabilities": ["code"]}],
  "phases": [{"name": "one", "title": "Phase one"}],
  "tasks": [
    {"id": "a", "title": "First", "duration": "2h", "phase": "one",
     "files": ["src/**", {"glob": "docs/*.md", "write": false}],
     "input": {"prompt": "do \"it\"", "depth": 3}},
    {"id": "b", "duration": {"optimistic": "30m", "likely": "1h", "pessimistic": "3h"},
     "depends_on": ["a"], "capability": "code", "priority": -3, "approval": true, "stale_after": "20m"},
    {"id": "c", "owner": "human", "duration": "45m", "depends_on": ["a", "b"],
     "condition": "b.result.ok", "queue": null}
  ]
}"#;

fn toml(text: &str) -> Result<Plan, Problems> {
    parse(text, Format::Toml, Path::new("plan.toml"))
}

fn problems(text: &str) -> Vec<String> {
    toml(text).unwrap_err().as_slice().iter().map(ToString::to_string).collect()
}

#[test]
fn one_plan_reads_the_same_in_three_formats() {
    let plan = toml(TOML).unwrap();
    assert_eq!(plan, parse(YAML, Format::Yaml, Path::new("plan.yaml")).unwrap());
    assert_eq!(plan, parse(JSON, Format::Json, Path::new("plan.json")).unwrap());
    assert_eq!(plan.tasks[0].branch.as_deref(), Some("feature/a"));
    assert_eq!(plan.tasks[1].estimate.expected(), 75 * 60_000);
    assert_eq!(plan.tasks[1].stale_after, Some(Duration::from_secs(1200)));
    assert_eq!(plan.tasks[2].branch, None, "a person has no branch");
    assert_eq!(plan.tasks[0].input["depth"], 3);
}

#[test]
fn every_problem_has_its_line_and_field() {
    let found = problems(
        r#"version = 2
titel = "x"

[[tasks]]
id = "a"
duration = "2"
files = ["/etc"]
depends_on = ["bb", "a"]

[[tasks]]
id = "b"
duration = { optimistic = "2h", likely = "1h", pessimistic = "3h" }
fleet = "f"
queue = "q"
owner = "humon"

[[tasks]]
id = "b"
priority = 99999
approval = "yes"
stale_after = "0s"

[[tasks]]
id = "c"
duration = "1h"
owner = "human"
stale_after = "1h"
"#,
    );
    let wanted = [
        "plan.toml:1: version: must be 1",
        "plan.toml:2: titel: unknown key; did you mean `title`?",
        "plan.toml:6: tasks.a.duration: a duration needs a unit",
        "plan.toml:7: tasks.a.files[0]: `/etc` is not a file pattern: it must be relative",
        "plan.toml:8: tasks.a.depends_on: there is no task `bb`; did you mean `b`?",
        "plan.toml:8: tasks.a.depends_on: the task waits for itself: a → a",
        "plan.toml:12: tasks.b.duration: must not sink",
        "plan.toml:14: tasks.b.queue: a task names a fleet, a queue or a capability",
        "plan.toml:15: tasks.b.owner: `humon` is not known; did you mean `human`?",
        "plan.toml:17: tasks.b.duration: is missing",
        "plan.toml:18: tasks.b.id: `b` is the name of the task on line 11 already",
        "plan.toml:19: tasks.b.priority: must be a whole number, -32768 to 32767",
        "plan.toml:20: tasks.b.approval: must be true or false, got a text",
        "plan.toml:21: tasks.b.stale_after: must be at least 1ms",
        "plan.toml:27: tasks.c.stale_after: a person does this task",
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found}\n{wanted}");
    }
}

/// A plan of tasks `id: fields`, each of an hour.
fn of_tasks(tasks: &[(&str, &str)]) -> String {
    let task = |(id, more): &(&str, &str)| {
        format!("[[tasks]]\nid = \"{id}\"\nduration = \"1h\"\n{more}\n")
    };
    format!("version = 1\n{}", tasks.iter().map(task).collect::<String>())
}

#[test]
fn a_circle_is_shown_as_the_loop() {
    let text = of_tasks(&[
        ("a", "depends_on = [\"c\"]"),
        ("b", "depends_on = [\"a\"]"),
        ("c", "depends_on = [\"b\"]"),
        ("d", "depends_on = [\"c\"]"),
    ]);
    let found = problems(&text);
    assert_eq!(
        found,
        ["plan.toml:5: tasks.a.depends_on: tasks wait for each other in a circle: a → c → b → a"]
    );
}

#[test]
fn a_split_must_be_consistent() {
    let part = |more: &str| format!("split_of = [\"a\"]\n{more}");
    let cases = [
        (part("depends_on = [\"a\"]"), "the part stands for `a` and can not wait for it"),
        ("split_of = [\"p\"]".to_owned(), "parts are not split again"),
        ("split_of = [\"a\", \"b\"]".to_owned(), "say the same `split_of`"),
        ("depends_on = [\"p\"]".to_owned(), "`p` is a part: depend on what it stands for, `a`"),
        (part("owner = \"human\""), "tasks of a person are not split"),
    ];
    for (fields, why) in &cases {
        let text = of_tasks(&[("a", ""), ("b", ""), ("p", &part("")), ("q", fields)]);
        let found = problems(&text);
        assert!(found.iter().any(|it| it.contains(why)), "{why}: {found:?}");
    }
    assert!(
        toml(&of_tasks(&[("a", ""), ("p", &part("")), ("q", &part("depends_on = \"p\""))])).is_ok()
    );
}

#[test]
fn what_no_agent_can_do_is_found() {
    let text = of_tasks(&[("a", "capability = \"gpuu\"\n\n[[agents]]\ncapabilities = [\"gpu\"]")]);
    let found = problems(&text);
    assert_eq!(
        found,
        [
            "plan.toml:5: tasks.a.capability: no agents of the plan have the capability `gpuu`; did you mean `gpu`?"
        ]
    );
}

#[test]
fn texts_that_are_no_plan_say_where() {
    let cases = [
        (Format::Toml, "version = 1\ntasks = [", ":2: is not TOML"),
        (Format::Json, "{\"version\": 1,\n oops}", ":2: is not JSON"),
        (
            Format::Json,
            "{\"version\": 1,\n \"version\": 1}",
            ":2: the key `version` is there already, on line 1",
        ),
        (Format::Yaml, "version: 1\nversion: 1\n", ":2: the key `version` is there already"),
        (Format::Yaml, "version: 1\ntasks: [\n", "is not YAML"),
        (Format::Yaml, "", "is empty"),
        (
            Format::Yaml,
            "version: 1\ntasks:\n  - id: a\n    duration: 5\n",
            ":4: tasks.a.duration: a duration needs a unit",
        ),
        (
            Format::Json,
            "{\"version\": 1, \"tasks\": [\n{\"id\": \"a\",\n\"duration\": 5}]}",
            ":3: tasks.a.duration: a duration needs a unit",
        ),
        (Format::Json, "[]", ":1: must be a table, got a list"),
    ];
    for (format, text, why) in cases {
        let found = parse(text, format, Path::new("p")).unwrap_err().to_string();
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[test]
fn yaml_aliases_are_written_out_but_not_without_end() {
    let shared = "version: 1\ntasks:\n  - {id: a, duration: &d 1h}\n  - {id: b, duration: *d}\n";
    let plan = parse(shared, Format::Yaml, Path::new("p")).unwrap();
    assert_eq!(plan.tasks[0].estimate, plan.tasks[1].estimate);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..9 {
        let alias = format!("*a{}", at - 1);
        bomb.push_str(&format!("a{at}: &a{at} [{}]\n", vec![alias; 10].join(", ")));
    }
    let found = parse(&bomb, Format::Yaml, Path::new("p")).unwrap_err().to_string();
    assert!(found.contains("holds more than"), "{found}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), yaml in "[-a: {}\\[\\]\"'|>\n&*!#,]{0,40}") {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            for text in [&text, &yaml] {
                prop_assert!(parse(text, format, Path::new("p")).is_err());
            }
        }
    }
}

#[test]
fn workspaces_are_of_the_plan_and_of_its_tasks() {
    let text = "version: 1\nbranch: work/{task}\nworkspace: {git: shop, base: dev, on_conflict: person}\ntasks:\n  \
        - {id: a, duration: 1h}\n  \
        - {id: b, duration: 1h, merge: leave, workspace: {git: /other, branch: own, on_conflict: agent}}\n  \
        - {id: c, duration: 1h, branch: ''}\n  \
        - {id: d, duration: 1h, owner: human}\n";
    let plan = parse(text, Format::Yaml, Path::new("plan.yaml")).unwrap();
    let said: Vec<_> = plan
        .tasks
        .iter()
        .map(|task| {
            let git = task.git.as_ref().map(|git| git.to_str().unwrap());
            (git, task.base.as_deref(), task.branch.as_deref(), task.on_conflict.as_str())
        })
        .collect();
    assert_eq!(
        said,
        [
            (Some("shop"), Some("dev"), Some("work/a"), "person"),
            (Some("/other"), Some("dev"), Some("own"), "agent"),
            (None, None, None, "person"),
            (None, None, None, "person"),
        ]
    );
    let again = crate::plan::write::to_toml(&plan);
    assert_eq!(parse(&again, Format::Toml, Path::new("plan.toml")).unwrap(), plan);
    // Who names a repository has a branch.
    let bare =
        "version = 1\nworkspace = { git = \"x\" }\n[[tasks]]\nid = \"a\"\nduration = \"1h\"\n";
    let plan = parse(bare, Format::Toml, Path::new("plan.toml")).unwrap();
    assert_eq!(plan.tasks[0].branch.as_deref(), Some("hostler/a"));
}

#[test]
fn what_is_wrong_with_workspaces_names_its_line() {
    let rows = [
        ("workspace = 7", 2, "must be a table"),
        ("workspace = { gti = \"x\" }", 2, "the keys here are `git`"),
        ("workspace = { git = \"\" }", 2, "is empty"),
        ("workspace = { base = \"-x\" }", 2, "must be a branch"),
        ("workspace = { merge = \"squash\" }", 2, "must be one of"),
        ("workspace = { on_conflict = \"persons\" }", 2, "did you mean `person`?"),
        ("workspace = { branch = \"one\" }", 2, "must hold `{task}`"),
        ("branch = \"x/{task}\"\nworkspace = { branch = \"y/{task}\" }", 3, "say `branch` once"),
        ("branch = \"a b/{task}\"", 2, "no name of a branch"),
        ("branch = \"{colour}/{task}\"", 2, "means nothing"),
    ];
    for (said, line, message) in rows {
        let text = format!("version = 1\n{said}\n[[tasks]]\nid = \"a\"\nduration = \"1h\"\n");
        let problems = parse(&text, Format::Toml, Path::new("plan.toml")).unwrap_err().to_string();
        assert!(problems.contains(&format!("plan.toml:{line}: ")), "{said}: {problems}");
        assert!(problems.contains(message), "{said}: {problems}");
    }
}
