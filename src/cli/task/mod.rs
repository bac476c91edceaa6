//! `hostler task`.

pub(super) mod batch;
mod bulk;
mod graph;
mod logs;
pub(super) mod render;
mod snooze;
mod submit;
mod terms;
pub(super) mod wait;

pub(super) use submit::input as read_input;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{
    address::with_query,
    bulk::Which,
    client::Client,
    exit::{Exit, Outcome},
    global::Global,
    output::Output,
};
use crate::{
    domain::{
        TaskId,
        record::{AttemptRecord, EventRecord, Page, TaskRecord},
        task::TaskState,
    },
    http::api::Listing,
};

/// The most tasks that are asked for at once.
const PAGE: u32 = 500;

/// Submit tasks, look at them, wait for them, call them off
#[derive(Debug, Subcommand)]
pub(super) enum Task {
    Submit(Box<submit::Submit>),
    List(List),
    /// Show one task with its attempts, what it depends on and what depends on it
    #[command(after_help = "Examples:\n  hostler task show tsk_0198c1d2…\n  \
        hostler task show tsk_0198c1d2… --json | jq .task.output")]
    Show {
        /// The task
        task: TaskId,
    },
    Graph(graph::Graph),
    Logs(logs::Logs),
    Wait(wait::Wait),
    Cancel(bulk::Cancel),
    Retry(bulk::Retry),
    /// Let blocked tasks go on without the dependencies that failed or were cancelled
    #[command(after_help = "What may still complete is waited for all the same.\n\nExamples:\n  \
        hostler task release tsk_0198c1d2…")]
    Release {
        /// The tasks
        #[arg(required = true)]
        tasks: Vec<TaskId>,
    },
    Snooze(snooze::Snooze),
}

/// List tasks, newest first
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "Examples:\n  hostler task list --state failed --limit 500\n  \
    hostler task list --queue gpu --state pending,running --json\n  \
    hostler task list --class timeout --created-after 2030-01-31T08:00:00Z"
)]
pub(super) struct List {
    /// In one of these states; with commas, or given several times
    #[arg(long, value_delimiter = ',')]
    state: Vec<TaskState>,
    #[command(flatten)]
    which: Which,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on after a listing: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Task {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Submit(submit) => submit.run(&client, output).await,
            Self::List(list) => list.run(&client, output).await,
            Self::Show { task } => show(&client, output, task).await,
            Self::Graph(graph) => graph.run(&client, output).await,
            Self::Logs(logs) => logs.run(&client).await,
            Self::Release { tasks } => command(&client, output, &tasks, "release").await,
            Self::Wait(wait) => wait.run(&client, output).await,
            Self::Cancel(cancel) => cancel.run(&client, output).await,
            Self::Retry(retry) => retry.run(&client, output).await,
            Self::Snooze(snooze) => snooze.run(&client, output).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        let states: Vec<_> = self.state.iter().map(|state| state.as_str()).collect();
        let mut page = Page { items: Vec::new(), next_cursor: self.cursor };
        loop {
            let have = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            let mut pairs = self.which.pairs();
            pairs.extend([
                ("state", (!states.is_empty()).then(|| states.join(","))),
                ("limit", Some((self.limit - have).min(PAGE).to_string())),
                ("cursor", page.next_cursor.take()),
            ]);
            let next: Page<TaskRecord> = client.get(&with_query("/api/v1/tasks", &pairs)).await?;
            page.items.extend(next.items);
            page.next_cursor = next.next_cursor;
            if page.next_cursor.is_none() || page.items.len() >= self.limit as usize {
                break;
            }
        }
        output.show(&page, |page| render::table(page, Timestamp::now()))?;
        Ok(Exit::Done)
    }
}

async fn show(client: &Client, output: Output, id: TaskId) -> Outcome {
    let path = format!("/api/v1/tasks/{id}");
    let task: TaskRecord = client.get(&path).await?;
    let attempts: Listing<AttemptRecord> = client.get(&format!("{path}/attempts")).await?;
    let events: Listing<EventRecord> = client.get(&format!("{path}/events")).await?;
    let graph = graph::near(client, id).await?;
    let (attempts, events) = (attempts.items, events.items);
    let whole = json!({ "task": task, "attempts": attempts, "events": events, "graph": graph });
    output.show(&whole, |_| {
        render::sheet(&task, &attempts, Timestamp::now()) + &graph::neighbours(&graph)
    })?;
    Ok(Exit::Done)
}

async fn command(client: &Client, output: Output, tasks: &[TaskId], verb: &str) -> Outcome {
    let mut items = Vec::with_capacity(tasks.len());
    for id in tasks {
        let task: TaskRecord = client.command(&format!("/api/v1/tasks/{id}/{verb}")).await?;
        if !output.json {
            let soon = if task.cancel_requested { ", and will be cancelled" } else { "" };
            let why = task.blocked_reason.as_ref().map(|why| format!(": {why}"));
            output.text(&format!("{id} is {}{soon}{}", task.state, why.unwrap_or_default()))?;
        }
        items.push(task);
    }
    if output.json {
        output.show(&Listing { items }, |_| String::new())?;
    }
    Ok(Exit::Done)
}
