//! `hostler group`.

use clap::Subcommand;
use jiff::Timestamp;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{ago, card, counts, local, or_dash},
};
use crate::domain::{GroupName, batch::GroupRecord};

/// Look at groups of tasks
#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// How many tasks of a group are in each state
    #[command(after_help = "Its tasks are listed by `hostler task list --group`.\n\n\
        Examples:\n  hostler group show import")]
    Show {
        /// The group
        group: GroupName,
    },
}

impl Group {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        let Self::Show { group } = self;
        let group: GroupRecord = client.get(&format!("/api/v1/groups/{group}")).await?;
        output.show(&group, |group| sheet(group, Timestamp::now()))?;
        Ok(Exit::Done)
    }
}

fn sheet(group: &GroupRecord, now: Timestamp) -> String {
    let when = |at: Timestamp| format!("{} ({})", local(at), ago(at, now));
    card(&[
        ("group", group.name.to_string()),
        ("tasks", group.total.to_string()),
        ("states", counts(&group.counts)),
        ("first submitted", or_dash(group.first_at.map(when))),
        ("last change", or_dash(group.last_at.map(when))),
    ])
}
