//! `hostler task snooze`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde_json::json;

use super::super::{
    client::Client,
    exit::{Exit, Outcome},
    output::{Output, ago, local},
};
use crate::{
    domain::{TaskId, record::TaskRecord},
    http::api::Listing,
    settings::parse_duration,
};

/// Put tasks off that wait for their turn; give those that wait for their time another
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("time").required(true).args(["wait", "until"]),
    after_help = "Examples:\n  hostler task snooze tsk_0198c1d2… --for 10m\n  \
    hostler task snooze tsk_0198c1d2… tsk_0198c1d3… --until 2030-01-31T08:00:00Z"
)]
pub(in crate::cli) struct Snooze {
    /// The tasks
    #[arg(required = true)]
    tasks: Vec<TaskId>,
    /// For so long from now
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

impl Snooze {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let body = match self.until {
            Some(until) => json!({ "until": until }),
            None => {
                let wait = self.wait.unwrap_or_default();
                json!({ "for": format!("{}ms", wait.as_millis()) })
            }
        };
        let mut items = Vec::with_capacity(self.tasks.len());
        for id in &self.tasks {
            let path = format!("/api/v1/tasks/{id}/snooze");
            let task: TaskRecord = client.post(&path, &body).await?.json()?;
            if !output.json {
                let (at, now) = (task.run_at, Timestamp::now());
                output.text(&format!("{id} waits until {} ({})", local(at), ago(at, now)))?;
            }
            items.push(task);
        }
        if output.json {
            output.show(&Listing { items }, |_| String::new())?;
        }
        Ok(Exit::Done)
    }
}
