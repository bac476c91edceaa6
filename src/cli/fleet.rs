//! `hostler fleet`.

use clap::Subcommand;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, counts},
};
use crate::{domain::record::FleetRecord, http::api::Listing};

/// Look at fleets
#[derive(Debug, Subcommand)]
pub(super) enum Fleet {
    /// List the fleets of the host
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hostler fleet list\n  hostler fleet list --json"
    )]
    List,
}

impl Fleet {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let Self::List = self;
        let fleets: Listing<FleetRecord> = global.client()?.get("/api/v1/fleets").await?;
        global.output().show(&fleets, |fleets| table(&fleets.items))?;
        Ok(Exit::Done)
    }
}

fn table(fleets: &[FleetRecord]) -> String {
    let mut table =
        Table::new(&["FLEET", "PROTOCOL", "AGENTS", "READY", "STATES", "QUEUES", "COMMAND"]);
    for fleet in fleets {
        let queues: Vec<_> = fleet.queues.iter().map(ToString::to_string).collect();
        table.row(
            Tone::Plain,
            [
                fleet.name.to_string(),
                fleet.protocol.to_string(),
                fleet.count.to_string(),
                fleet.ready.to_string(),
                counts(&fleet.states),
                if queues.is_empty() { "-".to_owned() } else { queues.join(", ") },
                fleet.command.join(" "),
            ],
        );
    }
    table.render("no fleets; give one a table in the config file: [fleets.NAME]")
}
