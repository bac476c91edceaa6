//! The schema: which fields there are, and what they are read into. `docs/PLANS.md` has it for
//! people.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::{
    VERSION, check,
    fields::{Findings, Table},
    tree::{Entry, Node, Tree},
    workspace::Said,
};
use crate::{
    domain::{
        PhaseName, PlanTaskId,
        plan::{Estimate, FileUse, Needs, Owner, Phase, Plan, PlanTask, Pool},
    },
    settings::{Problem, parse_duration},
};

/// The keys of a plan.
const PLAN: [&str; 9] =
    ["version", "title", "people", "branch", "merge", "workspace", "agents", "phases", "tasks"];

/// The keys of a task.
const TASK: [&str; 19] = [
    "id",
    "title",
    "fleet",
    "queue",
    "capability",
    "duration",
    "depends_on",
    "files",
    "priority",
    "input",
    "condition",
    "approval",
    "stale_after",
    "phase",
    "owner",
    "split_of",
    "branch",
    "merge",
    "workspace",
];

/// The longest estimate.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A task with the lines that problems may be about.
pub(super) struct Written {
    /// The task.
    pub(super) task: PlanTask,
    /// The line that it begins on.
    pub(super) line: usize,
    /// The line of each dependency.
    pub(super) depends_on: Vec<usize>,
    /// The line of each task that it is split of.
    pub(super) split_of: Vec<usize>,
    /// The line of its phase.
    pub(super) phase: usize,
    /// The line of what it needs of an agent.
    pub(super) needs: usize,
}

/// The plan in `root`, and what is wrong with it. With a problem the plan is not to be used.
pub(super) fn plan(root: &Node, file: &Path) -> (Plan, Vec<Problem>) {
    let findings = Findings::new(file);
    let mut plan = Plan::default();
    if let Some(table) = Table::of(&findings, "", root) {
        table.only(&PLAN);
        version(&table);
        plan.title = table.text("title").unwrap_or_default().to_owned();
        plan.people = table.number("people", 1..=1_000).unwrap_or(1);
        let defaults = Said::of_plan(&table);
        plan.pools = pools(&table);
        plan.phases = phases(&table);
        let declared = !plan.phases.is_empty();
        let mut written = tasks(&table, &defaults);
        if !declared {
            plan.phases = phases_of(&written);
        }
        check::whole(&findings, &plan, &written, declared);
        plan.tasks = written.drain(..).map(|written| written.task).collect();
    }
    (plan, findings.into_vec())
}

fn version(table: &Table<'_>) {
    match table.get("version").map(|node| &node.value) {
        Some(Tree::Integer(VERSION)) => {}
        Some(_) => {
            table.problem("version", format!("must be {VERSION}: this program reads no other"))
        }
        None => table.problem("version", format!("is missing: write version = {VERSION}")),
    }
}

fn pools(table: &Table<'_>) -> Vec<Pool> {
    let mut pools = Vec::new();
    for (at, node) in table.nodes("agents").iter().enumerate() {
        let path = format!("agents[{at}]");
        let Some(table) = Table::of(table.findings(), &path, node) else { continue };
        table.only(&["fleet", "count", "queues", "capabilities"]);
        pools.push(Pool {
            fleet: table.parsed("fleet"),
            count: table.number("count", 1..=10_000).unwrap_or(1),
            queues: names(&table, "queues"),
            capabilities: names(&table, "capabilities"),
        });
    }
    pools
}

fn names<T: std::str::FromStr<Err: std::fmt::Display>>(table: &Table<'_>, key: &str) -> Vec<T> {
    table.parsed_list(key).into_iter().map(|(name, _)| name).collect()
}

fn phases(table: &Table<'_>) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for (at, node) in table.nodes("phases").iter().enumerate() {
        let path = format!("phases[{at}]");
        let Some(table) = Table::of(table.findings(), &path, node) else { continue };
        table.only(&["name", "title", "preparation"]);
        if table.get("name").is_none() {
            table.problem("name", "is missing: every phase has a name");
        }
        let Some(name) = table.parsed::<PhaseName>("name") else { continue };
        if phases.iter().any(|phase| phase.name == name) {
            table.problem("name", format!("`{name}` is the name of a phase already"));
        }
        let title = table.text("title").unwrap_or(name.as_str()).to_owned();
        let preparation = table.flag("preparation").unwrap_or(false);
        phases.push(Phase { name, title, preparation });
    }
    phases
}

/// The phases that tasks name, in the order of their first tasks.
fn phases_of(tasks: &[Written]) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for name in tasks.iter().filter_map(|written| written.task.phase.as_ref()) {
        if !phases.iter().any(|phase| phase.name == *name) {
            let title = name.to_string();
            phases.push(Phase { name: name.clone(), title, preparation: false });
        }
    }
    phases
}

fn tasks(table: &Table<'_>, defaults: &Said) -> Vec<Written> {
    let nodes = table.nodes("tasks");
    if nodes.is_empty() {
        table.problem("tasks", "there are none: a plan has at least one task");
    }
    let mut tasks = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        // A name says more to people than a number.
        let path = match &node.value {
            Tree::Table(entries) => match entries.iter().find(|entry| entry.key == "id") {
                Some(Entry { node: Node { value: Tree::Text(id), .. }, .. }) => {
                    format!("tasks.{id}")
                }
                _ => format!("tasks[{at}]"),
            },
            _ => format!("tasks[{at}]"),
        };
        if let Some(table) = Table::of(table.findings(), &path, node) {
            tasks.extend(task(&table, defaults));
        }
    }
    tasks
}

fn task(table: &Table<'_>, defaults: &Said) -> Option<Written> {
    table.only(&TASK);
    if table.get("id").is_none() {
        table.problem("id", "is missing: every task has a name that others depend on");
    }
    let owner = table.word("owner", &[("agent", Owner::Agent), ("human", Owner::Human)]);
    let (needs, needs_line) = needs(table, owner.unwrap_or_default());
    let estimate = estimate(table);
    let files = files(table);
    let id: Option<PlanTaskId> = table.parsed("id");
    let (depends_on, depends_lines) = table.parsed_list("depends_on").into_iter().unzip();
    let (split_of, split_lines) = table.parsed_list("split_of").into_iter().unzip();
    let id = id?;
    let workspace = Said::read(table).of_task(&id, owner.unwrap_or_default(), defaults);
    let task = PlanTask {
        title: table.text("title").unwrap_or(id.as_str()).to_owned(),
        needs,
        // What is missing is a problem by now, so that the plan is not used.
        estimate: estimate.unwrap_or(Estimate::Fixed(Duration::ZERO)),
        depends_on,
        files,
        priority: table.number("priority", i16::MIN..=i16::MAX).unwrap_or(0),
        input: table.get("input").map_or(Value::Null, Node::to_json),
        condition: table.text("condition").map(str::to_owned),
        approval: table.flag("approval").unwrap_or(false),
        stale_after: stale_after(table, owner.unwrap_or_default()),
        phase: table.parsed("phase"),
        owner: owner.unwrap_or_default(),
        split_of,
        branch: workspace.branch,
        merge: workspace.merge,
        git: workspace.git,
        base: workspace.base,
        on_conflict: workspace.on_conflict,
        id,
    };
    let phase = table.line_of("phase");
    Some(Written {
        task,
        line: table.line_of("id"),
        depends_on: depends_lines,
        split_of: split_lines,
        phase,
        needs: needs_line,
    })
}

fn needs(table: &Table<'_>, owner: Owner) -> (Needs, usize) {
    let given: Vec<&str> = ["fleet", "queue", "capability"]
        .into_iter()
        .filter(|key| table.get(key).is_some())
        .collect();
    if let [_, second, ..] = given.as_slice() {
        table
            .problem(second, "a task names a fleet, a queue or a capability, but only one of them");
    }
    let Some(first) = given.first() else { return (Needs::Anyone, table.line) };
    if owner == Owner::Human {
        table.problem(first, "a person does this task: it needs nothing of an agent");
    }
    let needs = match *first {
        "fleet" => table.parsed(first).map(Needs::Fleet),
        "queue" => table.parsed(first).map(Needs::Queue),
        _ => table.parsed(first).map(Needs::Capability),
    };
    (needs.unwrap_or_default(), table.line_of(first))
}

fn files(table: &Table<'_>) -> Vec<FileUse> {
    let mut files = Vec::new();
    for (at, node) in table.list("files").iter().enumerate() {
        let path = format!("{}[{at}]", table.name("files"));
        let findings = table.findings();
        if let Tree::Text(text) = &node.value {
            match text.parse() {
                Ok(glob) => files.push(FileUse { glob, write: true }),
                Err(error) => findings.add(node.line, path, format!("{error}")),
            }
            continue;
        }
        let Some(file) = Table::of(findings, &path, node) else { continue };
        file.only(&["glob", "write"]);
        if file.get("glob").is_none() {
            file.problem("glob", "is missing: say which files");
        }
        if let Some(glob) = file.parsed("glob") {
            files.push(FileUse { glob, write: file.flag("write").unwrap_or(true) });
        }
    }
    files
}

fn estimate(table: &Table<'_>) -> Option<Estimate> {
    match table.get("duration") {
        None => {
            table.problem("duration", "is missing: say how long it takes, such as \"2h\"");
            None
        }
        Some(node @ Node { value: Tree::Table(_), .. }) => {
            let path = table.name("duration");
            let range = Table::of(table.findings(), &path, node)?;
            range.only(&["optimistic", "likely", "pessimistic"]);
            let figures = ["optimistic", "likely", "pessimistic"].map(|key| {
                if range.get(key).is_none() {
                    range.problem(key, "is missing: an estimate has one figure or three");
                }
                duration(&range, key)
            });
            let [Some(optimistic), Some(likely), Some(pessimistic)] = figures else { return None };
            if optimistic > likely || likely > pessimistic {
                table.problem("duration", "must not sink from optimistic to likely to pessimistic");
                return None;
            }
            Some(Estimate::Range { optimistic, likely, pessimistic })
        }
        Some(_) => duration(table, "duration").map(Estimate::Fixed),
    }
}

/// How long the agent of a task may be silent.
fn stale_after(table: &Table<'_>, owner: Owner) -> Option<Duration> {
    let limit = duration(table, "stale_after")?;
    if limit < Duration::from_millis(1) {
        table.problem("stale_after", "must be at least 1ms");
    }
    if owner == Owner::Human {
        table.problem("stale_after", "a person does this task: nobody waits for a sign of life");
    }
    Some(limit)
}

fn duration(table: &Table<'_>, key: &str) -> Option<Duration> {
    let node = table.get(key)?;
    let parsed = match &node.value {
        Tree::Text(text) => parse_duration(text),
        Tree::Integer(number) => parse_duration(&number.to_string()),
        _ => Err(format!("must be a duration in quotes, such as \"2h\", got {}", node.kind())),
    };
    match parsed {
        Ok(duration) if duration <= MAX_DURATION => Some(duration),
        Ok(_) => {
            table.problem(key, "is longer than ten years");
            None
        }
        Err(why) => {
            table.problem(key, why);
            None
        }
    }
}
