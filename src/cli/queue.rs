//! `hostler queue`.

use clap::Subcommand;
use serde_json::json;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, counts, or_dash, span},
};
use crate::{
    domain::{QueueName, record::QueueRecord},
    http::api::Listing,
};

/// Look at queues, hold them back, let them go
#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// List queues with their depth
    #[command(visible_alias = "ls", after_help = "Examples:\n  hostler queue list")]
    List,
    /// Hold a queue's tasks back; what runs goes on
    #[command(after_help = "Examples:\n  hostler queue pause default --reason 'the API is down'")]
    Pause {
        /// The queue
        queue: QueueName,
        /// Why, for whoever looks at the queue
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Hand a queue's tasks out again
    #[command(after_help = "Examples:\n  hostler queue resume default")]
    Resume {
        /// The queue
        queue: QueueName,
    },
}

impl Queue {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List => {
                let queues: Listing<QueueRecord> = client.get("/api/v1/queues").await?;
                output.show(&queues, |queues| table(&queues.items))?;
            }
            Self::Pause { queue, reason } => {
                let path = format!("/api/v1/queues/{queue}/pause");
                let paused: QueueRecord =
                    client.post(&path, &json!({ "reason": reason })).await?.json()?;
                output.show(&paused, |_| format!("queue {queue} is paused"))?;
            }
            Self::Resume { queue } => {
                let path = format!("/api/v1/queues/{queue}/resume");
                let resumed: QueueRecord = client.command(&path).await?;
                output.show(&resumed, |_| format!("queue {queue} hands out tasks"))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn table(queues: &[QueueRecord]) -> String {
    let mut table = Table::new(&["QUEUE", "STATE", "DEPTH", "OLDEST", "DESCRIPTION"]);
    for queue in queues {
        let state = match (queue.paused, &queue.paused_reason) {
            (false, _) => "open".to_owned(),
            (true, None) => "paused".to_owned(),
            (true, Some(reason)) => format!("paused: {reason}"),
        };
        table.row(
            if queue.paused { Tone::Warn } else { Tone::Plain },
            [
                queue.name.to_string(),
                state,
                counts(&queue.depth),
                or_dash(queue.oldest_pending_ms.map(span)),
                queue.description.clone(),
            ],
        );
    }
    table.render("no queues; a fleet names those that it serves")
}
