//! Graphs of tasks for people: as a tree, as a Mermaid drawing, and as two tables beside one task.

use std::collections::{HashMap, HashSet};

use clap::{Args, ValueEnum};

use super::super::{
    address::with_query,
    client::Client,
    exit::{Exit, Outcome},
    output::{Output, Table, Tone, task_tone},
};
use crate::domain::{
    TaskId,
    record::{GraphNode, GraphRecord},
    task::TaskState,
};

/// The deepest indent of a tree, in steps.
const MAX_INDENT: usize = 40;

/// How many neighbours of each kind are shown beside a task.
const MAX_NEAR: u32 = 20;

/// How a graph is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree: what waits for a task stands below it
    Tree,
    /// A Mermaid flowchart
    Mermaid,
    /// JSON; `--json` says the same
    Json,
}

/// Show the tasks that a task depends on, those that depend on it, and so on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler task graph tsk_0198c1d2…\n  \
    hostler task graph tsk_0198c1d2… --format mermaid > graph.mmd\n  \
    hostler task graph tsk_0198c1d2… --json | jq '.nodes[] | select(.state == \"failed\").id'")]
pub(in crate::cli) struct Graph {
    /// The task
    task: TaskId,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Tree)]
    format: Format,
    /// At most so many tasks, the nearest first
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=200_000))]
    limit: u32,
}

impl Graph {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let graph = fetch(client, self.task, "all", self.limit).await?;
        match self.format {
            Format::Mermaid if !output.json => output.text(&mermaid(&graph))?,
            Format::Tree => output.show(&graph, tree)?,
            _ => Output { json: true }.show(&graph, |_| String::new())?,
        }
        Ok(Exit::Done)
    }
}

/// A task with what it depends on and what depends on it.
pub(super) async fn near(client: &Client, task: TaskId) -> Outcome<GraphRecord> {
    fetch(client, task, "near", MAX_NEAR).await
}

async fn fetch(client: &Client, task: TaskId, extent: &str, limit: u32) -> Outcome<GraphRecord> {
    let pairs = [("extent", Some(extent.to_owned())), ("limit", Some(limit.to_string()))];
    client.get(&with_query(&format!("/api/v1/tasks/{task}/graph"), &pairs)).await
}

/// The two tables beside a task; nothing if it stands alone.
pub(super) fn neighbours(graph: &GraphRecord) -> String {
    let nodes: HashMap<TaskId, &GraphNode> =
        graph.nodes.iter().map(|node| (node.id, node)).collect();
    let mut text = String::new();
    for (title, older) in [("DEPENDS ON", true), ("IS WAITED FOR BY", false)] {
        let mut table = Table::new(&[title, "NAME", "KIND", "STATE"]);
        let mut any = false;
        for edge in &graph.edges {
            let (own, other) = if older { (edge.to, edge.from) } else { (edge.from, edge.to) };
            let Some(node) = nodes.get(&other).filter(|_| own == graph.task) else { continue };
            any = true;
            let waived = if older && edge.waived { ", waived" } else { "" };
            table.row(
                task_tone(node.state),
                [
                    node.id.to_string(),
                    edge.name.clone(),
                    node.kind.clone(),
                    format!("{}{waived}", standing(node)),
                ],
            );
        }
        if any {
            text.push('\n');
            text.push_str(&table.render(""));
        }
    }
    if graph.truncated {
        text.push_str(&dim(&format!("more with `hostler task graph {}`", graph.task)));
    }
    text
}

fn dim(text: &str) -> String {
    format!("{}\n", Tone::Dim.paint(text))
}

/// The state of a task, and how much it waits for.
fn standing(node: &GraphNode) -> String {
    match node.open {
        Some(open) => format!("{}, waits for {open}", node.state),
        None => node.state.to_string(),
    }
}

/// The graph as it is drawn: places instead of ids.
struct Drawn<'a> {
    nodes: &'a [GraphNode],
    /// What others call each task, if they all call it the same.
    names: Vec<Option<&'a str>>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl<'a> Drawn<'a> {
    fn new(graph: &'a GraphRecord) -> Self {
        let places: HashMap<TaskId, usize> =
            graph.nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
        let count = graph.nodes.len();
        let (mut before, mut after) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        let mut called: Vec<HashSet<&str>> = vec![HashSet::new(); count];
        for edge in &graph.edges {
            let (Some(from), Some(to)) = (places.get(&edge.from), places.get(&edge.to)) else {
                continue;
            };
            before[*to].push(*from);
            after[*from].push(*to);
            if edge.name.parse::<TaskId>().is_err() {
                called[*from].insert(&edge.name);
            }
        }
        let names = called.into_iter().map(|names| {
            let one = names.len() == 1;
            names.into_iter().next().filter(|_| one)
        });
        Self { nodes: &graph.nodes, names: names.collect(), before, after }
    }

    /// What people call the task: its name in the submit, or its kind.
    fn called(&self, at: usize) -> String {
        let name = self.names[at].unwrap_or(&self.nodes[at].kind);
        name.chars().filter(|c| !c.is_control()).collect()
    }
}

/// The graph as a tree. A task that waits for several stands below the first of them, and is
/// named again below the others.
fn tree(graph: &GraphRecord) -> String {
    let drawn = Drawn::new(graph);
    let mut shown = vec![false; drawn.nodes.len()];
    let mut text = String::new();
    for root in (0..drawn.nodes.len()).filter(|at| drawn.before[*at].is_empty()) {
        // Each with the pieces of its indent; the last piece says whether more come on its level.
        let mut stack = vec![(root, Vec::new())];
        while let Some((at, indent)) = stack.pop() {
            let again = std::mem::replace(&mut shown[at], true);
            text.push_str(&line(&drawn, at, &indent, again, graph.task));
            if again {
                continue;
            }
            for (nth, next) in drawn.after[at].iter().enumerate().rev() {
                let more = nth + 1 < drawn.after[at].len();
                let indent = indent.iter().copied().chain([more]).collect();
                stack.push((*next, indent));
            }
        }
    }
    if graph.truncated {
        text.push_str(&dim("more with --limit"));
    }
    text
}

fn line(drawn: &Drawn<'_>, at: usize, indent: &[bool], again: bool, asked: TaskId) -> String {
    let node = &drawn.nodes[at];
    let mut text = String::new();
    let cut = indent.len().saturating_sub(MAX_INDENT);
    if cut > 0 {
        text.push_str("… ");
    }
    if let Some((last, above)) = indent[cut..].split_last() {
        for more in above {
            text.push_str(if *more { "│  " } else { "   " });
        }
        text.push_str(if *last { "├─ " } else { "└─ " });
    }
    let mark = if node.id == asked { " ◀" } else { "" };
    let called = drawn.called(at);
    if again {
        text.push_str(&Tone::Dim.paint(&format!("{called} {} (above)", node.id)));
    } else {
        let state = task_tone(node.state).paint(&standing(node));
        text.push_str(&format!("{called} {} {state}{mark}", node.id));
    }
    text.push('\n');
    text
}

/// The graph as a Mermaid flowchart.
fn mermaid(graph: &GraphRecord) -> String {
    let drawn = Drawn::new(graph);
    let mut text = "flowchart LR\n".to_owned();
    for (at, node) in drawn.nodes.iter().enumerate() {
        let called = plain(&drawn.called(at));
        let state = node.state;
        text.push_str(&format!("    t{at}[\"{called}<br>{state}\"]:::{state}\n"));
    }
    for (to, before) in drawn.before.iter().enumerate() {
        for from in before {
            text.push_str(&format!("    t{from} --> t{to}\n"));
        }
    }
    let colours = [
        (TaskState::Running, "fill:#cde"),
        (TaskState::Completed, "fill:#cec"),
        (TaskState::Failed, "fill:#ecc"),
        (TaskState::Cancelled, "fill:#ddd"),
    ];
    for (state, colour) in colours {
        text.push_str(&format!("    classDef {state} {colour}\n"));
    }
    text
}

/// Text without what Mermaid would read as more than text.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '"' | '<' | '>' | '#' | ';' | '`') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{graph::DependencyPolicy, record::GraphEdge};

    fn id(number: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(number))
    }

    /// 1 → 2 → 4, 1 → 3 → 4, of which 4 is asked for.
    fn diamond() -> GraphRecord {
        let states =
            [TaskState::Completed, TaskState::Completed, TaskState::Running, TaskState::Blocked];
        let node = |(number, state)| GraphNode {
            id: id(number),
            queue: "default".parse().unwrap(),
            kind: format!("k{number}\u{1b}[2J"),
            state,
            on_dependency_failure: (number > 1).then_some(DependencyPolicy::Cancel),
            open: (state == TaskState::Blocked).then_some(1),
            stopped_by: None,
        };
        let edge = |(from, to, name): (u128, u128, &str)| GraphEdge {
            from: id(from),
            to: id(to),
            name: name.to_owned(),
            waived: false,
        };
        let edges = [(1, 2, "build"), (1, 3, "build"), (2, 4, "test"), (3, 4, "\"lint\"")];
        GraphRecord {
            task: id(4),
            nodes: (1..).zip(states).map(node).collect(),
            edges: edges.into_iter().map(edge).collect(),
            truncated: false,
        }
    }

    fn shown(text: &str) -> String {
        let text = anstream::adapter::strip_str(text).to_string();
        (1..5).fold(text, |text, n| text.replace(&id(n).to_string(), &format!("#{n}")))
    }

    #[test]
    fn a_tree_shows_each_task_once() {
        let expected = "\
build #1 completed
├─ test #2 completed
│  └─ k4[2J #4 blocked, waits for 1 ◀
└─ \"lint\" #3 running
   └─ k4[2J #4 (above)
";
        assert_eq!(shown(&tree(&diamond())), expected);
    }

    #[test]
    fn a_long_chain_stays_in_sight() {
        let mut graph = diamond();
        let first = graph.nodes[0].clone();
        graph.nodes = (1..=100).map(|n| GraphNode { id: id(n), ..first.clone() }).collect();
        let edge = graph.edges[0].clone();
        graph.edges =
            (1..100).map(|n| GraphEdge { from: id(n), to: id(n + 1), ..edge.clone() }).collect();
        let text = tree(&graph);
        assert_eq!(text.lines().count(), 100);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest < MAX_INDENT * 3 + 100, "{longest}");
    }

    #[test]
    fn a_drawing_is_plain_text_to_mermaid() {
        let text = mermaid(&diamond());
        for part in [
            "flowchart LR\n",
            "t0[\"build<br>completed\"]:::completed",
            "t2[\" lint <br>running\"]",
            "t0 --> t1\n",
            "t2 --> t3\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn neighbours_stand_beside_a_task() {
        let text = shown(&neighbours(&diamond()));
        assert!(text.contains("DEPENDS ON"), "{text}");
        assert!(text.contains("#2") && text.contains("test") && !text.contains("#1"), "{text}");
        assert!(!text.contains("WAITED FOR"), "{text}");
        let first = GraphRecord { task: id(1), truncated: true, ..diamond() };
        let text = shown(&neighbours(&first));
        assert!(text.contains("IS WAITED FOR BY") && text.contains("task graph #1"), "{text}");
    }
}
