//! `hostler schedule`.

mod add;
mod render;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{
    address::with_query,
    client::Client,
    exit::{Exit, Outcome},
    global::Global,
    output::Output,
};
use crate::{
    domain::{
        ScheduleName,
        record::Submitted,
        schedule::{FiringRecord, ScheduleRecord, Upcoming},
    },
    http::api::Listing,
};

/// The most due times that are asked for at once.
const MAX_COUNT: u32 = 1000;

/// Submit tasks again and again: at times of day, or after so much time
#[derive(Debug, Subcommand)]
pub(super) enum Schedule {
    /// List schedules
    #[command(visible_alias = "ls", after_help = "Examples:\n  hostler schedule list")]
    List,
    /// Show one schedule, and what became of its newest due times
    #[command(after_help = "Examples:\n  hostler schedule show nightly\n  \
        hostler schedule show nightly --json | jq .firings")]
    Show {
        /// The schedule
        schedule: ScheduleName,
    },
    Add(Box<add::Add>),
    /// Take schedules out; their tasks go on
    #[command(
        visible_alias = "rm",
        after_help = "One that a config file has comes back when its host starts again.\n\nExamples:\n  \
            hostler schedule remove nightly"
    )]
    Remove {
        /// The schedules
        #[arg(required = true)]
        schedules: Vec<ScheduleName>,
    },
    /// Let a schedule submit nothing; its tasks go on
    #[command(after_help = "Examples:\n  hostler schedule pause nightly --reason 'moving house'")]
    Pause {
        /// The schedule
        schedule: ScheduleName,
        /// Why, for whoever looks at it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a schedule go on with the next of its due times
    #[command(after_help = "Examples:\n  hostler schedule resume nightly")]
    Resume {
        /// The schedule
        schedule: ScheduleName,
    },
    /// Submit the task of a schedule now, whatever its times and its policies say
    #[command(after_help = "Examples:\n  hostler schedule run nightly")]
    Run {
        /// The schedule
        schedule: ScheduleName,
    },
    Next(Next),
}

/// Show the next due times, of a schedule or of a cron expression
#[derive(Debug, Args)]
#[command(
    after_help = "An expression needs no host.\n\nExamples:\n  hostler schedule next nightly\n  \
    hostler schedule next --cron '30 2 * * sun' --zone Europe/Berlin --count 10"
)]
pub(super) struct Next {
    /// The schedule
    #[arg(required_unless_present_any = ["cron", "every"], conflicts_with_all = ["cron", "every", "zone"])]
    schedule: Option<ScheduleName>,
    #[command(flatten)]
    when: add::When,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    count: u32,
}

impl Schedule {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let output = global.output();
        if let Self::Next(next) = self {
            return next.run(global, output).await;
        }
        let client = global.client()?;
        match self {
            Self::List => {
                let schedules: Listing<ScheduleRecord> = client.get("/api/v1/schedules").await?;
                output.show(&schedules, |list| render::table(&list.items, Timestamp::now()))?;
            }
            Self::Show { schedule } => show(&client, output, &schedule).await?,
            Self::Add(add) => return add.run(&client, output).await,
            Self::Remove { schedules } => {
                for schedule in &schedules {
                    client.delete(&path(schedule)).await?;
                }
                let removed = json!({ "removed": schedules });
                output.show(&removed, |_| {
                    let names: Vec<_> = schedules.iter().map(ToString::to_string).collect();
                    format!("removed {}", names.join(", "))
                })?;
            }
            Self::Pause { schedule, reason } => {
                let path = format!("{}/pause", path(&schedule));
                let paused: ScheduleRecord =
                    client.post(&path, &json!({ "reason": reason })).await?.json()?;
                output.show(&paused, |_| format!("schedule {schedule} is paused"))?;
            }
            Self::Resume { schedule } => {
                let path = format!("{}/resume", path(&schedule));
                let resumed: ScheduleRecord = client.command(&path).await?;
                output.show(&resumed, render::due)?;
            }
            Self::Run { schedule } => {
                let path = format!("{}/run", path(&schedule));
                let task: Submitted = client.command(&path).await?;
                output.show(&task, |task| format!("{} submitted, {}", task.id, task.state))?;
            }
            Self::Next(_) => {}
        }
        Ok(Exit::Done)
    }
}

impl Next {
    async fn run(self, global: &Global, output: Output) -> Outcome {
        let items: Vec<Upcoming> = match (&self.schedule, self.when.cadence()?) {
            (Some(schedule), _) => {
                let path = with_query(
                    &format!("{}/next", path(schedule)),
                    &[("count", Some(self.count.to_string()))],
                );
                let listing: Listing<Upcoming> = global.client()?.get(&path).await?;
                listing.items
            }
            (None, Some(cadence)) => {
                // As of one that is made now.
                let now = Timestamp::now();
                Upcoming::of(&cadence, now, now, self.count)
            }
            (None, None) => Vec::new(),
        };
        output.show(&Listing { items }, |list| {
            list.items.iter().map(|one| format!("{}\n", one.local)).collect()
        })?;
        Ok(Exit::Done)
    }
}

async fn show(client: &Client, output: Output, schedule: &ScheduleName) -> Outcome<()> {
    let path = path(schedule);
    let record: ScheduleRecord = client.get(&path).await?;
    let firings: Listing<FiringRecord> = client.get(&format!("{path}/firings?limit=20")).await?;
    let shown = json!({ "schedule": record, "firings": firings.items });
    output.show(&shown, |_| render::sheet(&record, &firings.items, Timestamp::now()))
}

fn path(schedule: &ScheduleName) -> String {
    format!("/api/v1/schedules/{schedule}")
}
