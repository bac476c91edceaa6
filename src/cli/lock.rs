//! `hostler lock`.

use clap::Subcommand;
use jiff::Timestamp;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, ago, or_dash},
};
use crate::{domain::record::LockRecord, http::api::Listing};

/// What running tasks hold for themselves
#[derive(Debug, Subcommand)]
pub(super) enum Lock {
    /// List locks, files and keys that are held, by whom, and who waits
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hostler lock list\n  \
        hostler lock list --json"
    )]
    List,
}

impl Lock {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List => {
                let locks: Listing<LockRecord> = client.get("/api/v1/locks").await?;
                output.show(&locks, |locks| table(&locks.items, Timestamp::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn table(locks: &[LockRecord], now: Timestamp) -> String {
    let mut table = Table::new(&["HELD", "NAME", "BY", "QUEUE", "AGENT", "SINCE", "WAITING"]);
    for lock in locks {
        table.row(
            if lock.waiters.is_empty() { Tone::Plain } else { Tone::Warn },
            [
                lock.kind.to_string(),
                lock.name.clone(),
                lock.holder.to_string(),
                lock.queue.to_string(),
                or_dash(lock.agent.as_ref()),
                ago(lock.since, now),
                lock.waiters.len().to_string(),
            ],
        );
    }
    table.render("nothing is held")
}
