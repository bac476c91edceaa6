//! `hostler events`: what becomes of all tasks.

mod tail;

use clap::{Args, Subcommand};

use super::{
    address::with_query,
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, local},
};
use crate::{domain::record::FeedEvent, http::api::FeedAnswer};

/// What becomes of all tasks, in order
#[derive(Debug, Subcommand)]
pub(super) enum Events {
    List(List),
    Tail(tail::Tail),
}

/// Show a page of what became of tasks
#[derive(Debug, Args)]
#[command(after_help = "Every page ends with a cursor: give it to --after, and nothing is missed \
    and nothing told twice.\n\nExamples:\n  hostler events list --after latest\n  \
    hostler events list --limit 500 --json")]
pub(super) struct List {
    /// Begin after this cursor, or with what happens from now on; at the beginning where absent
    #[arg(long, value_name = "CURSOR|latest")]
    after: Option<String>,
    /// How many at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

impl Events {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        match self {
            Self::List(list) => list.run(global).await,
            Self::Tail(tail) => tail.run(global).await,
        }
    }
}

impl List {
    async fn run(self, global: &Global) -> Outcome {
        let pairs = [("limit", Some(self.limit.to_string())), ("after", self.after)];
        let page: FeedAnswer = global.client()?.get(&with_query("/api/v1/events", &pairs)).await?;
        global
            .output()
            .show(&page, |page| format!("{}next: {}\n", table(&page.items), page.next))?;
        Ok(Exit::Done)
    }
}

fn table(events: &[FeedEvent]) -> String {
    let mut table = Table::new(&["AT", "TASK", "EVENT", "STATE", "ATTEMPT"]);
    for event in events {
        let cells = [
            local(event.at),
            event.task.to_string(),
            event.number.to_string(),
            event.state.to_string(),
            event.attempt.to_string(),
        ];
        table.row(Tone::Plain, cells);
    }
    table.render("nothing has happened since")
}
