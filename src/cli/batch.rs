//! `hostler batch`: tasks that end together and then call back.

use std::{fs, time::Duration};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    bulk::carry_out,
    client::Client,
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::{Output, Table, Tone, ago, card, counts, local, or_dash},
    task::{batch::submit_lines, wait::deadline},
};
use crate::{
    domain::{
        BatchId,
        batch::{BatchEnd, BatchRecord},
        record::Page,
        task::TaskState,
    },
    http::api::{BatchBody, BatchCancelled, BatchSubmitted, BulkBody},
    settings::parse_duration,
};

/// How long one request waits, and so how often the bar moves.
const ROUND: Duration = Duration::from_secs(1);

/// A round that ended sooner than this waited for nothing: the host stops, or waits are off.
const NO_ROUND: Duration = Duration::from_millis(100);

/// Submit tasks that end together and then call back, look at them, wait for them
#[derive(Debug, Subcommand)]
pub(super) enum Batch {
    Submit(Submit),
    List(List),
    /// Show a batch: how many of its tasks are in each state, and its callbacks
    #[command(after_help = "Examples:\n  hostler batch show bat_0198c1d2…")]
    Show {
        /// The batch
        batch: BatchId,
    },
    /// Take no more tasks into an open batch; it is done once those that it has have ended
    #[command(after_help = "Examples:\n  hostler batch close bat_0198c1d2…")]
    Close {
        /// The batch
        batch: BatchId,
    },
    /// Close a batch and call off what has not ended of it; it then calls back as any other
    #[command(after_help = "Examples:\n  hostler batch cancel bat_0198c1d2…")]
    Cancel {
        /// The batch
        batch: BatchId,
    },
    Wait(Wait),
}

/// Submit a batch
#[derive(Debug, Args)]
#[command(after_help = "A callback is a task as the API takes it: {\"queue\": …, \"kind\": …, \
    \"input\": {…}}. It finds the counts and the ids of the tasks as `batch` in its input. With \
    --open, more tasks are added by `hostler task submit --batch`, until `hostler batch close`.\n\n\
    Examples:\n  hostler batch submit --jsonl tasks.jsonl --on-complete '{\"kind\": \"merge\"}'\n  \
    hostler batch submit --jsonl - --on-failure @mend.json --key import-17")]
pub(super) struct Submit {
    /// Its tasks: each line of this file, or of stdin (-)
    #[arg(long, value_name = "FILE|-", required_unless_present = "open")]
    jsonl: Option<String>,
    /// The task that is submitted once all have ended: JSON, or @FILE that holds JSON
    #[arg(long, value_name = "JSON|@FILE")]
    on_complete: Option<String>,
    /// The task if all are completed
    #[arg(long, value_name = "JSON|@FILE")]
    on_success: Option<String>,
    /// The task if some failed or were called off
    #[arg(long, value_name = "JSON|@FILE")]
    on_failure: Option<String>,
    /// Leave it open for more tasks
    #[arg(long)]
    open: bool,
    /// A second submit with the same key is the same batch
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// List batches, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler batch list\n  hostler batch list --unfinished --json")]
pub(super) struct List {
    /// Those alone that are not done
    #[arg(long)]
    unfinished: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<BatchId>,
}

/// Wait until a batch is done
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 if all of its tasks are completed, 1 if any failed or was called \
    off, 124 if the time was up first.\n\nExamples:\n  hostler batch wait bat_0198c1d2… --timeout 10m"
)]
pub(super) struct Wait {
    /// The batch
    batch: BatchId,
    /// Give up after so much time; without it, wait for ever
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

impl Batch {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Submit(submit) => submit.run(&client, output).await,
            Self::List(list) => list.run(&client, output).await,
            Self::Show { batch } => show(&client, output, batch).await,
            Self::Close { batch } => {
                let path = format!("/api/v1/batches/{batch}/close");
                let closed: BatchRecord = client.command(&path).await?;
                output.show(&closed, |batch| sheet(batch, Timestamp::now()))?;
                Ok(Exit::Done)
            }
            Self::Cancel { batch } => cancel(&client, output, batch).await,
            Self::Wait(wait) => wait.run(&client, output).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        let unfinished = if self.unfinished { "&unfinished=true" } else { "" };
        let cursor = self.cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/api/v1/batches?limit={}{unfinished}{cursor}", self.limit);
        let page: Page<BatchRecord> = client.get(&path).await?;
        output.show(&page, |page| table(&page.items, Timestamp::now()))?;
        Ok(Exit::Done)
    }
}

impl Submit {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        // Open while its tasks are on their way: of a large file that takes several requests.
        let body = BatchBody {
            tasks: Vec::new(),
            open: true,
            idempotency_key: self.key,
            on_complete: callback("--on-complete", self.on_complete.as_deref())?,
            on_success: callback("--on-success", self.on_success.as_deref())?,
            on_failure: callback("--on-failure", self.on_failure.as_deref())?,
        };
        let made: BatchSubmitted = client.post("/api/v1/batches", &body).await?.json()?;
        let id = made.batch.id;
        if made.batch.closed_at.is_none() {
            if let Some(from) = &self.jsonl {
                let path = format!("/api/v1/batches/{id}/tasks");
                let sent = submit_lines(client, output, path, from).await;
                sent.map_err(|error| CliError {
                    help: Some(format!(
                        "the batch {id} is open: `hostler batch cancel {id}` calls it off"
                    )),
                    ..error
                })?;
            }
            if !self.open {
                client.command::<BatchRecord>(&format!("/api/v1/batches/{id}/close")).await?;
            }
        }
        show(client, output, id).await
    }
}

/// Reads a callback.
fn callback(flag: &str, from: Option<&str>) -> Outcome<Option<Value>> {
    let wrong = |why: String| CliError::new(Exit::Usage, why);
    let Some(from) = from else { return Ok(None) };
    let text = match from.strip_prefix('@') {
        None => from.to_owned(),
        Some(path) => {
            fs::read_to_string(path).map_err(|error| wrong(format!("{flag} {path}: {error}")))?
        }
    };
    match serde_json::from_str(&text) {
        Ok(callback @ Value::Object(_)) => Ok(Some(callback)),
        Ok(_) => Err(wrong(format!("{flag}: must be a task as {{\"kind\": \"merge\"}}"))),
        Err(error) => Err(wrong(format!("{flag}: is not JSON: {error}"))),
    }
}

async fn show(client: &Client, output: Output, id: BatchId) -> Outcome {
    let batch: BatchRecord = client.get(&format!("/api/v1/batches/{id}")).await?;
    output.show(&batch, |batch| sheet(batch, Timestamp::now()))?;
    Ok(Exit::Done)
}

async fn cancel(client: &Client, output: Output, id: BatchId) -> Outcome {
    let path = format!("/api/v1/batches/{id}/cancel");
    let first: BatchCancelled = client.command(&path).await?;
    if first.done.next_cursor.is_some() {
        let cursor = first.done.next_cursor;
        let rest = BulkBody { batch: Some(id), cursor, ..BulkBody::default() };
        carry_out(client, output, "/api/v1/tasks/cancel", rest).await?;
    }
    show(client, output, id).await
}

impl Wait {
    async fn run(self, client: &Client, output: Output) -> Outcome {
        let deadline = deadline(self.timeout);
        let bar = if output.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let bar = match ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let batch = loop {
            let began = Instant::now();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(began));
            let round = left.unwrap_or(ROUND).min(ROUND);
            let path = format!("/api/v1/batches/{}?wait={}ms", self.batch, round.as_millis());
            let batch: BatchRecord = client.get_within(&path, round).await?;
            bar.set_length(batch.total);
            bar.set_position(batch.ended);
            bar.set_message(counts(&batch.counts));
            if batch.done_at.is_some() || left.is_some_and(|left| left.is_zero()) {
                break batch;
            }
            if began.elapsed() < NO_ROUND.min(round) {
                sleep(NO_ROUND).await;
            }
        };
        bar.finish_and_clear();
        output.show(&batch, |batch| sheet(batch, Timestamp::now()))?;
        Ok(verdict(&batch))
    }
}

/// How the batch ended, as an exit code.
fn verdict(batch: &BatchRecord) -> Exit {
    match batch.done_at {
        None => Exit::TimedOut,
        Some(_) if BatchEnd::Success.is_of(batch.total, batch.count(TaskState::Completed)) => {
            Exit::Done
        }
        Some(_) => Exit::Failed,
    }
}

/// In which state a batch is, and how that is shown.
fn standing(batch: &BatchRecord) -> (&'static str, Tone) {
    match (batch.done_at, batch.closed_at) {
        (Some(_), _) if verdict(batch) == Exit::Done => ("done", Tone::Good),
        (Some(_), _) => ("done", Tone::Bad),
        (None, Some(_)) => ("closed", Tone::Plain),
        (None, None) => ("open", Tone::Warn),
    }
}

fn table(batches: &[BatchRecord], now: Timestamp) -> String {
    let mut table = Table::new(&["BATCH", "STATE", "ENDED", "STATES", "SUBMITTED"]);
    for batch in batches {
        let (word, tone) = standing(batch);
        let cells = [
            batch.id.to_string(),
            word.to_owned(),
            format!("{}/{}", batch.ended, batch.total),
            counts(&batch.counts),
            ago(batch.created_at, now),
        ];
        table.row(tone, cells);
    }
    table.render("no batches")
}

fn sheet(batch: &BatchRecord, now: Timestamp) -> String {
    let when = |at: Timestamp| format!("{} ({})", local(at), ago(at, now));
    let (word, tone) = standing(batch);
    let mut lines = vec![
        ("tasks", format!("{} ({} ended)", batch.total, batch.ended)),
        ("states", counts(&batch.counts)),
        ("submitted", when(batch.created_at)),
        ("closed", or_dash(batch.closed_at.map(when))),
        ("done", or_dash(batch.done_at.map(when))),
    ];
    lines.extend(batch.cancelled_at.map(|at| ("called off", when(at))));
    let callbacks: Vec<_> = batch
        .callbacks
        .iter()
        .map(|(end, task)| {
            let task = task.map_or_else(|| "to come".to_owned(), |task| task.to_string());
            format!("on {}: {task}", end.as_str())
        })
        .collect();
    if !callbacks.is_empty() {
        lines.push(("callbacks", callbacks.join(", ")));
    }
    format!("{} {}\n{}", batch.id, tone.paint(word), card(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(done: bool, completed: u64) -> BatchRecord {
        let at = Timestamp::UNIX_EPOCH;
        BatchRecord {
            id: "bat_00000000000000000000000000000007".parse().unwrap(),
            total: 3,
            ended: completed,
            counts: [(TaskState::Completed, completed)].into(),
            created_at: at,
            closed_at: done.then_some(at),
            cancelled_at: None,
            done_at: done.then_some(at),
            callbacks: [(BatchEnd::Success, None)].into(),
        }
    }

    #[test]
    fn the_verdict_is_that_of_all_tasks() {
        assert_eq!(verdict(&batch(true, 3)), Exit::Done);
        assert_eq!(verdict(&batch(true, 2)), Exit::Failed);
        assert_eq!(verdict(&batch(false, 3)), Exit::TimedOut);
    }

    #[test]
    fn a_batch_is_shown_with_its_callbacks() {
        let text = sheet(&batch(false, 2), Timestamp::from_second(60).unwrap());
        let text = anstream::adapter::strip_str(&text).to_string();
        let parts = [" open\n", "3 (2 ended)", "completed 2", "on success: to come"];
        for part in parts {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn callbacks_are_read() {
        assert_eq!(callback("--on-complete", None).unwrap(), None);
        let given = callback("--on-complete", Some("{\"kind\": \"k\"}")).unwrap();
        assert_eq!(given, Some(serde_json::json!({"kind": "k"})));
        for bad in ["7", "{", "@/nowhere/x.json"] {
            let error = callback("--on-complete", Some(bad)).unwrap_err();
            assert!(error.what.contains("--on-complete"), "{}", error.what);
        }
    }
}
