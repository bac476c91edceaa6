//! `hostler audit`: who changed what, when, and from where.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    address::with_query,
    client::Client,
    exit::{Exit, Outcome},
    global::Global,
    output::{Output, Table, Tone, local, or_dash},
};
use crate::{
    domain::{
        audit::{AuditRecord, Outcome as CameOf, Surface},
        record::Page,
    },
    settings::parse_duration,
};

/// How often it is looked for what is new.
const LOOK: Duration = Duration::from_secs(1);

/// How many are asked for at once by who follows.
const AT_ONCE: u32 = 500;

/// Who changed what, when, and from where; and who was refused
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Show what was done, the newest first
    #[command(
        visible_alias = "ls",
        after_help = "An operation is named as its path in the API: tasks.cancel, fleets.scale, \
        api-keys.create; of webhooks and MCP it is the word of the command or tool. `--operation tasks` \
        shows all that begin with `tasks.`.\n\nExamples:\n  hostler audit list --since 1h\n  \
        hostler audit list --who key:3f9a2c41b07d --operation tasks\n  \
        hostler audit list --outcome refused --limit 500 --json"
    )]
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at once
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Go on after an answer: its `next_cursor`
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show what is done from now on, until it is interrupted
    #[command(after_help = "Examples:\n  hostler audit tail\n  \
        hostler audit tail --outcome refused --json")]
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Begin with so many of the newest that are there
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=500))]
        last: u32,
        /// End after so many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
}

/// A time, or a duration before now.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ago = parse_duration(text)
        .map_err(|error| format!("is no time after RFC 3339, and as a duration {error}"))?;
    Timestamp::now().checked_sub(ago).map_err(|_| "is too long ago".to_owned())
}

/// What is shown
#[derive(Debug, Clone, Args)]
pub(super) struct Filter {
    /// What this caller did: owner, key:ID, `http.api_key`, system, …
    #[arg(long)]
    who: Option<String>,
    /// This operation, or those below it
    #[arg(long)]
    operation: Option<String>,
    /// What was done about this: a task, a key, a fleet, a session
    #[arg(long)]
    object: Option<String>,
    /// What came of it: done, refused or failed
    #[arg(long)]
    outcome: Option<CameOf>,
    /// By which way: http, webhook, mcp, signal, host or cli
    #[arg(long)]
    surface: Option<Surface>,
    /// From this time on: a time, or a duration before now
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    until: Option<Timestamp>,
}

impl Filter {
    async fn ask(
        &self,
        client: &Client,
        order: &str,
        limit: u32,
        cursor: Option<String>,
    ) -> Outcome<Page<AuditRecord>> {
        let pairs = [
            ("who", self.who.clone()),
            ("operation", self.operation.clone()),
            ("object", self.object.clone()),
            ("outcome", self.outcome.map(|outcome| outcome.to_string())),
            ("surface", self.surface.map(|surface| surface.to_string())),
            ("since", self.since.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
            ("order", Some(order.to_owned())),
            ("limit", Some(limit.to_string())),
            ("cursor", cursor),
        ];
        client.get(&with_query("/api/v1/audit", &pairs)).await
    }
}

impl Audit {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let client = global.client()?;
        match self {
            Self::List { filter, limit, cursor } => {
                let page = filter.ask(&client, "newest", limit, cursor).await?;
                global.output().show(&page, |page| {
                    let more = page.next_cursor.as_ref();
                    let more = more.map(|next| format!("more: --cursor {next}\n"));
                    format!("{}{}", table(&page.items), more.unwrap_or_default())
                })?;
                Ok(Exit::Done)
            }
            Self::Tail { filter, last, count } => {
                let (output, left) = (global.output(), count.unwrap_or(u64::MAX));
                follow(output, &client, &filter, (last, left)).await
            }
        }
    }
}

/// Shows what comes, until somebody interrupts.
async fn follow(
    output: Output,
    client: &Client,
    filter: &Filter,
    (last, mut left): (u32, u64),
) -> Outcome {
    let newest = filter.ask(client, "newest", last.max(1), None).await?.items;
    let mut cursor = newest.first().map_or(0, |record| record.number);
    let shown = newest.len().min(last as usize);
    let mut items: Vec<_> = newest.into_iter().take(shown).rev().collect();
    loop {
        for record in &items {
            print(output, record)?;
            cursor = record.number;
            left -= 1;
            if left == 0 {
                return Ok(Exit::Done);
            }
        }
        if items.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        items = filter.ask(client, "oldest", AT_ONCE, Some(cursor.to_string())).await?.items;
    }
}

/// One line for each.
fn print(output: Output, record: &AuditRecord) -> Outcome<()> {
    if !output.json {
        return output.text(&line(record));
    }
    output.text(&serde_json::to_string(record).map_err(std::io::Error::from)?)
}

fn line(record: &AuditRecord) -> String {
    let AuditRecord { who, operation, object, outcome, .. } = record;
    let from = record.peer.as_ref().map_or_else(String::new, |peer| format!(" from {peer}"));
    let times = if record.count > 1 { format!(" ({} times)", record.count) } else { String::new() };
    let status = record.status.map_or_else(String::new, |status| format!(" {status}"));
    format!("{} {who}{from}: {operation} {object} {outcome}{status}{times}", local(record.at))
}

fn table(records: &[AuditRecord]) -> String {
    let mut table =
        Table::new(&["AT", "WHO", "FROM", "OPERATION", "OBJECT", "OUTCOME", "TIMES", "HOST"]);
    for record in records {
        let tone = if record.outcome == CameOf::Done { Tone::Plain } else { Tone::Bad };
        let status = record.status.map_or_else(String::new, |status| format!(" {status}"));
        table.row(
            tone,
            [
                local(record.at),
                record.who.clone(),
                or_dash(record.peer.clone()),
                record.operation.clone(),
                or_dash(Some(record.object.clone()).filter(|object| !object.is_empty())),
                format!("{}{status}", record.outcome),
                record.count.to_string(),
                record.host.clone(),
            ],
        );
    }
    table.render("nothing of the kind was done")
}
