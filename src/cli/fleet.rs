//! `hostler fleet`.

use clap::Subcommand;
use serde_json::json;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, card, counts},
};
use crate::{
    domain::{FleetName, record::FleetRecord, rollout::Share},
    http::api::Listing,
};

/// Look at fleets, scale them, restart them
#[derive(Debug, Subcommand)]
pub(super) enum Fleet {
    /// List the fleets of the host
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hostler fleet list\n  hostler fleet list --json"
    )]
    List,
    /// Show one fleet
    #[command(after_help = "Examples:\n  hostler fleet show claude")]
    Show {
        /// The fleet
        fleet: FleetName,
    },
    /// Have a fleet have so many agents
    #[command(
        after_help = "Those that are too many, the ones with the highest numbers, end their \
        attempt first.\nIt holds, through restarts of the host too, until the config says another \
        `count` than it\ndoes now. A fleet with `scale.max` is scaled within its bounds, and goes \
        on to scale itself.\n\nExamples:\n  hostler fleet scale claude 8"
    )]
    Scale {
        /// The fleet
        fleet: FleetName,
        /// How many agents
        #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
        count: u16,
    },
    /// Replace every agent of a fleet, a few at a time
    #[command(
        after_help = "Each ends its attempt first. Where the new ones do not come up, the rest \
        stay.\n`hostler fleet show` tells how many are left.\n\n\
        Examples:\n  hostler fleet restart claude\n  hostler fleet restart claude --max-unavailable 50%"
    )]
    Restart {
        /// The fleet
        fleet: FleetName,
        /// How many may be away at once, as 2 or 25% [setting: `max_unavailable`]
        #[arg(long, value_name = "N")]
        max_unavailable: Option<Share>,
    },
}

impl Fleet {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        let fleet: FleetRecord = match self {
            Self::List => {
                let fleets: Listing<FleetRecord> = client.get("/api/v1/fleets").await?;
                output.show(&fleets, |fleets| table(&fleets.items))?;
                return Ok(Exit::Done);
            }
            Self::Show { fleet } => client.get(&format!("/api/v1/fleets/{fleet}")).await?,
            Self::Scale { fleet, count } => {
                let path = format!("/api/v1/fleets/{fleet}/scale");
                client.post(&path, &json!({ "count": count })).await?.json()?
            }
            Self::Restart { fleet, max_unavailable } => {
                let share = max_unavailable.map(|share| share.to_string());
                let path = format!("/api/v1/fleets/{fleet}/restart");
                client.post(&path, &json!({ "max_unavailable": share })).await?.json()?
            }
        };
        output.show(&fleet, sheet)?;
        Ok(Exit::Done)
    }
}

/// How many agents, and how many are still to come or to go.
fn agents(fleet: &FleetRecord) -> String {
    let mut text = fleet.count.to_string();
    if let Some(scale) = fleet.scale {
        text += &format!(" ({} to {})", scale.min, scale.max);
    }
    if fleet.outdated > 0 {
        text += &format!(", {} to change", fleet.outdated);
    }
    text
}

fn queues(fleet: &FleetRecord) -> String {
    let queues: Vec<_> = fleet.queues.iter().map(ToString::to_string).collect();
    if queues.is_empty() { "-".to_owned() } else { queues.join(", ") }
}

fn sheet(fleet: &FleetRecord) -> String {
    let configured = if fleet.configured == fleet.count {
        String::new()
    } else {
        format!("; the config says {}", fleet.configured)
    };
    card(&[
        ("fleet", format!("{} ({})", fleet.name, fleet.protocol)),
        ("agents", format!("{}{configured}", agents(fleet))),
        ("ready", fleet.ready.to_string()),
        ("states", counts(&fleet.states)),
        ("queues", queues(fleet)),
        ("command", fleet.command.join(" ")),
    ])
}

fn table(fleets: &[FleetRecord]) -> String {
    let mut table =
        Table::new(&["FLEET", "PROTOCOL", "AGENTS", "READY", "STATES", "QUEUES", "COMMAND"]);
    for fleet in fleets {
        table.row(
            Tone::Plain,
            [
                fleet.name.to_string(),
                fleet.protocol.to_string(),
                agents(fleet),
                fleet.ready.to_string(),
                counts(&fleet.states),
                queues(fleet),
                fleet.command.join(" "),
            ],
        );
    }
    table.render("no fleets; give one a table in the config file: [fleets.NAME]")
}
