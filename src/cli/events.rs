//! `hostler events`: what becomes of all tasks, and what happens to agents.

mod tail;

use clap::{Args, Subcommand};

use super::{
    address::with_query,
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, local},
};
use crate::{
    domain::{event::HostEvent, record::FeedItem},
    http::api::FeedAnswer,
};

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

/// What an event of a host is about.
fn who(event: &HostEvent) -> String {
    let agent = event.agent.as_ref().map(ToString::to_string);
    let fleet = event.fleet.as_ref().map(ToString::to_string);
    agent.or(fleet).unwrap_or_else(|| event.host.to_string())
}

fn table(items: &[FeedItem]) -> String {
    let mut table = Table::new(&["AT", "WHO", "EVENT", "WHAT", "ATTEMPT"]);
    for item in items {
        let cells = match item {
            FeedItem::Step(step) => [
                local(step.at),
                step.task.to_string(),
                step.number.to_string(),
                step.state.to_string(),
                step.attempt.to_string(),
            ],
            FeedItem::Host(event) => [
                local(event.at),
                who(event),
                event.word.to_string(),
                event.reason.clone().unwrap_or_default(),
                String::new(),
            ],
        };
        table.row(Tone::Plain, cells);
    }
    table.render("nothing has happened since")
}
