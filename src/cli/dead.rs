//! `hostler dead`: tasks that failed for good.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    address::with_query,
    bulk::{Selection, Which, carry_out, told},
    client::Client,
    exit::{Exit, Outcome},
    global::Global,
    output::{Output, Table, Tone, ago, card, local},
    task::render,
};
use crate::{
    domain::{
        QueueName, TaskId,
        bulk::{DeadLetter, Rate},
        record::{AttemptRecord, Page},
    },
    http::api::Listing,
};

/// The most tasks that are asked for at once.
const PAGE: u32 = 500;

/// Look at the tasks that failed for good, try them again, give them up
#[derive(Debug, Subcommand)]
pub(super) enum Dead {
    List(List),
    /// Show one failed task with its attempts
    #[command(after_help = "Examples:\n  hostler dead show tsk_0198c1d2…")]
    Show {
        /// The task
        task: TaskId,
    },
    Redrive(Redrive),
    Discard(Discard),
}

/// List failed tasks with their reasons, newest first
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "Examples:\n  hostler dead list --class timeout\n  \
    hostler dead list --queue gpu --created-after 2030-01-31T08:00:00Z --json"
)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// Also those that were discarded
    #[arg(long)]
    discarded: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on after a listing: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Give failed tasks another round of attempts; their history goes on
#[derive(Debug, Args)]
#[command(after_help = "With --rate, they run one after the other, evenly.\n\nExamples:\n  \
    hostler dead redrive tsk_0198c1d2…\n  hostler dead redrive --class timeout --rate 10/s\n  \
    hostler dead redrive --queue gpu --to gpu-large --dry-run")]
pub(super) struct Redrive {
    /// The tasks
    tasks: Vec<TaskId>,
    #[command(flatten)]
    selection: Selection,
    /// Also those that were discarded
    #[arg(long)]
    discarded: bool,
    /// In this queue
    #[arg(long, value_name = "QUEUE")]
    to: Option<QueueName>,
    /// No more in a time than this: 10/s, 600/m, 5/30s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<String>,
}

/// Mark failed tasks as given up; they are kept, and no longer listed
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hostler dead discard tsk_0198c1d2… --reason 'the account is gone'\n  \
    hostler dead discard --group import --reason 'imported by hand'"
)]
pub(super) struct Discard {
    /// The tasks
    tasks: Vec<TaskId>,
    #[command(flatten)]
    selection: Selection,
    /// Why, for whoever finds them later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// A rate is sent as it was written.
fn rate(text: &str) -> Result<String, String> {
    text.parse::<Rate>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Dead {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List(list) => list.run(&client, output).await,
            Self::Show { task } => show(&client, output, task).await,
            Self::Redrive(redrive) => redrive.run(&client, output).await,
            Self::Discard(discard) => discard.run(&client, output).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        let mut page = Page { items: Vec::new(), next_cursor: self.cursor };
        loop {
            let have = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            let mut pairs = self.which.pairs();
            pairs.extend([
                ("discarded", self.discarded.then(|| "true".to_owned())),
                ("limit", Some((self.limit - have).min(PAGE).to_string())),
                ("cursor", page.next_cursor.take()),
            ]);
            let path = with_query("/api/v1/dead-letters", &pairs);
            let next: Page<DeadLetter> = client.get(&path).await?;
            page.items.extend(next.items);
            page.next_cursor = next.next_cursor;
            if page.next_cursor.is_none() || page.items.len() >= self.limit as usize {
                break;
            }
        }
        output.show(&page, |page| table(page, Timestamp::now()))?;
        Ok(Exit::Done)
    }
}

impl Redrive {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        let mut body = self.selection.body(&self.tasks)?;
        (body.to, body.rate, body.discarded) = (self.to, self.rate, self.discarded);
        // Who names a task means it, whatever was done about it before.
        body.discarded |= !self.tasks.is_empty();
        let record = carry_out(client, output, "/api/v1/dead-letters/redrive", body).await?;
        output.show(&record, |record| told(record, "redriven"))?;
        Ok(Exit::Done)
    }
}

impl Discard {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        let mut body = self.selection.body(&self.tasks)?;
        body.reason = Some(self.reason);
        let record = carry_out(client, output, "/api/v1/dead-letters/discard", body).await?;
        output.show(&record, |record| told(record, "discarded"))?;
        Ok(Exit::Done)
    }
}

async fn show(client: &Client, output: Output, id: TaskId) -> Outcome {
    let letter: DeadLetter = client.get(&format!("/api/v1/dead-letters/{id}")).await?;
    let path = format!("/api/v1/tasks/{id}/attempts");
    let attempts: Listing<AttemptRecord> = client.get(&path).await?;
    let whole = serde_json::json!({ "letter": letter, "attempts": attempts.items });
    output.show(&whole, |_| sheet(&letter, &attempts.items, Timestamp::now()))?;
    Ok(Exit::Done)
}

fn table(page: &Page<DeadLetter>, now: Timestamp) -> String {
    let heads = ["TASK", "QUEUE", "KIND", "CLASS", "FAILED", "TRIES", "REDRIVES", "REASON"];
    let mut table = Table::new(&heads);
    for letter in &page.items {
        let (task, error) = (&letter.task, letter.task.error.as_ref());
        let tone = if letter.discarded_at.is_some() { Tone::Dim } else { Tone::Bad };
        let message = error.map(|error| error.message.clone()).unwrap_or_default();
        table.row(
            tone,
            [
                task.id.to_string(),
                task.queue.to_string(),
                task.kind.clone(),
                error.map(|error| error.class.to_string()).unwrap_or_default(),
                task.finished_at.map(|at| ago(at, now)).unwrap_or_default(),
                task.attempt.to_string(),
                letter.redrives.to_string(),
                letter.discard_reason.as_ref().map_or(message, |why| format!("discarded: {why}")),
            ],
        );
    }
    let mut text = table.render("no dead letters");
    if let Some(cursor) = &page.next_cursor {
        text.push_str(&Tone::Dim.paint(&format!("more with --cursor {cursor}")));
        text.push('\n');
    }
    text
}

fn sheet(letter: &DeadLetter, attempts: &[AttemptRecord], now: Timestamp) -> String {
    let when = |at: Timestamp| format!("{} ({})", local(at), ago(at, now));
    let mut lines = vec![("redrives", letter.redrives.to_string())];
    lines.extend(letter.redriven_at.map(|at| ("redriven", when(at))));
    lines.extend(letter.discarded_at.map(|at| ("discarded", when(at))));
    lines.extend(letter.discard_reason.clone().map(|why| ("reason", why)));
    format!("{}{}", render::sheet(&letter.task, attempts, now), card(&lines))
}
