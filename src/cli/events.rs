//! `hostler events`: what becomes of all tasks.

use clap::Args;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, local},
};
use crate::{domain::record::FeedEvent, http::api::FeedAnswer};

/// How long one request waits for something to happen.
const WAIT: &str = "20s";

/// Show what becomes of all tasks, in order, and follow it
#[derive(Debug, Args)]
#[command(after_help = "Every page ends with a cursor: give it to --after, and nothing is missed \
    and nothing told twice.\n\nExamples:\n  hostler events --after latest --follow\n  \
    hostler events --limit 500 --json")]
pub(super) struct Events {
    /// Begin after this cursor, or with what happens from now on; at the beginning where absent
    #[arg(long, value_name = "CURSOR|latest")]
    after: Option<String>,
    /// How many at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on with what happens later; with --json, one event a line
    #[arg(long, short)]
    follow: bool,
}

impl Events {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        let mut after = self.after;
        loop {
            let mut path = format!("/api/v1/events?limit={}", self.limit);
            if let Some(after) = &after {
                path = format!("{path}&after={after}");
            }
            if !self.follow {
                let page: FeedAnswer = client.get(&path).await?;
                output
                    .show(&page, |page| format!("{}next: {}\n", table(&page.items), page.next))?;
                return Ok(Exit::Done);
            }
            let page: FeedAnswer = client.get(&format!("{path}&wait={WAIT}")).await?;
            for event in &page.items {
                let line = if global.json {
                    serde_json::to_string(event).unwrap_or_default()
                } else {
                    let FeedEvent { task, number, state, attempt, at } = event;
                    format!("{}  {task}  {number}  {state:<14}  attempt {attempt}", local(*at))
                };
                output.text(&format!("{line}\n"))?;
            }
            after = Some(page.next);
        }
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
