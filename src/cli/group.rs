//! `hostler group`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, ago, card, counts, local, or_dash},
};
use crate::domain::{GroupName, batch::GroupRecord, record::Page};

/// Look at groups of tasks
#[derive(Debug, Subcommand)]
pub(super) enum Group {
    List(List),
    /// How many tasks of a group are in each state
    #[command(after_help = "Its tasks are listed by `hostler task list --group`.\n\n\
        Examples:\n  hostler group show import")]
    Show {
        /// The group
        group: GroupName,
    },
}

/// List the groups that have tasks, by their names
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler group list\n  hostler group list --limit 200 --json")]
pub(super) struct List {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<GroupName>,
}

impl Group {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List(List { limit, cursor }) => {
                let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
                let path = format!("/api/v1/groups?limit={limit}{cursor}");
                let page: Page<GroupRecord> = client.get(&path).await?;
                output.show(&page, |page| table(&page.items, Timestamp::now()))?;
            }
            Self::Show { group } => {
                let group: GroupRecord = client.get(&format!("/api/v1/groups/{group}")).await?;
                output.show(&group, |group| sheet(group, Timestamp::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn table(groups: &[GroupRecord], now: Timestamp) -> String {
    let mut table = Table::new(&["GROUP", "TASKS", "STATES", "LAST CHANGE"]);
    for group in groups {
        let cells = [
            group.name.to_string(),
            group.total.to_string(),
            counts(&group.counts),
            or_dash(group.last_at.map(|at| ago(at, now))),
        ];
        table.row(Tone::Plain, cells);
    }
    table.render("no groups")
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
