//! `hostler limit`: limits that are no queue's.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::{Table, Tone, ago, or_dash, span},
};
use crate::domain::{
    FleetName,
    admission::KeyPattern,
    record::{LimitsRecord, RateRecord},
};

/// Limits of keys, of fleets and of everything
#[derive(Debug, Subcommand)]
pub(super) enum Limit {
    /// List limits, and keys that are paused
    #[command(visible_alias = "ls", after_help = "Examples:\n  hostler limit list")]
    List,
    /// Change a limit, on all hosts; what runs goes on
    ///
    /// What is not named stays as it is. It stays when hosts start again, until their config file
    /// says something else than it did.
    #[command(after_help = "Examples:\n  hostler limit set --key 'account:*' --concurrency 2\n  \
        hostler limit set --key account:alice --rate 60/1m\n  \
        hostler limit set --fleet claude --concurrency 8\n  \
        hostler limit set --all --concurrency off")]
    Set {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        change: Change,
    },
}

/// Whose limit.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Of {
    /// Of a key, or of each key that begins so, with a star after it
    #[arg(long, value_name = "KEY")]
    key: Option<KeyPattern>,
    /// Of the agents of a fleet, on all hosts
    #[arg(long, value_name = "FLEET")]
    fleet: Option<FleetName>,
    /// Of all tasks of all hosts
    #[arg(long)]
    all: bool,
}

/// What is to change of a limit.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// How many may run at once, or off
    #[arg(long, value_name = "N|off")]
    pub(super) concurrency: Option<String>,
    /// How many may begin within a window, as in 60/1m, or off
    #[arg(long, value_name = "N/DURATION|off")]
    pub(super) rate: Option<String>,
}

impl Change {
    /// What the API takes. A number that is none is told by the API, with the name of its field.
    pub(super) fn body(&self) -> Map<String, Value> {
        let number = |text: &String| text.parse::<u64>().map_or_else(|_| json!(text), |n| json!(n));
        let concurrency = self.concurrency.as_ref().map(number);
        let rate = self.rate.as_ref().map(|rate| json!(rate));
        let given = [("concurrency", concurrency), ("rate", rate)];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Limit {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        let limits: LimitsRecord = match self {
            Self::List => client.get("/api/v1/limits").await?,
            Self::Set { of, change } => {
                let mut body = change.body();
                if body.is_empty() {
                    let error = CliError::new(Exit::Usage, "nothing is to change");
                    return Err(error.help("name a limit, such as --concurrency 3"));
                }
                body.extend(of.key.map(|key| ("key".to_owned(), json!(key))));
                body.extend(of.fleet.map(|fleet| ("fleet".to_owned(), json!(fleet))));
                body.extend(of.all.then(|| ("all".to_owned(), json!(true))));
                client.patch("/api/v1/limits", &body).await?.json()?
            }
        };
        output.show(&limits, |limits| table(limits, Timestamp::now()))?;
        Ok(Exit::Done)
    }
}

/// `60/1m`, in whole units.
pub(super) fn shown_rate(rate: RateRecord) -> String {
    format!("{}/{}", rate.count, span(rate.per_ms))
}

fn table(limits: &LimitsRecord, now: Timestamp) -> String {
    let mut table = Table::new(&["OF", "NAME", "AT ONCE", "RATE", "PAUSED"]);
    for limit in &limits.limits {
        table.row(
            Tone::Plain,
            [
                limit.of.as_str().to_owned(),
                limit.name.clone(),
                or_dash(limit.concurrency),
                or_dash(limit.rate.map(shown_rate)),
                String::new(),
            ],
        );
    }
    for pause in &limits.paused_keys {
        let ends = pause.until.map(|at| format!(", ends {}", ago(at, now)));
        let why = pause.reason.as_deref().unwrap_or("paused");
        table.row(
            Tone::Warn,
            [
                "key".to_owned(),
                pause.key.to_string(),
                or_dash(None::<u32>),
                or_dash(None::<u32>),
                format!("{why}{}", ends.unwrap_or_default()),
            ],
        );
    }
    table.render("no limits but those of queues (`hostler queue list`)")
}
