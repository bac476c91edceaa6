//! `hostler queue`.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    exit::{CliError, Exit, Outcome},
    global::Global,
    limit::{Change, shown_rate},
    output::{Table, Tone, ago, counts, local, or_dash, span},
};
use crate::{
    domain::{
        QueueName,
        admission::KeyPattern,
        record::{KeyPauseRecord, LimitsRecord, QueueLimits, QueueRecord},
    },
    http::api::Listing,
    settings::parse_duration,
};

/// Look at queues, hold them back, let them go, limit them
#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// List queues with their depth
    #[command(visible_alias = "ls", after_help = "Examples:\n  hostler queue list")]
    List,
    Pause(Pause),
    /// Hand the tasks of a queue or a key out again
    #[command(after_help = "Examples:\n  hostler queue resume default\n  \
        hostler queue resume --key account:alice")]
    Resume {
        #[command(flatten)]
        what: What,
    },
    /// Change what is limited of a queue, on all hosts; what runs goes on
    ///
    /// What is not named stays as it is. It stays when hosts start again, until their config file
    /// says something else than it did.
    #[command(after_help = "Examples:\n  hostler queue limit build --concurrency 3\n  \
        hostler queue limit mail --rate 60/1m --key-concurrency 1 --fair true\n  \
        hostler queue limit build --concurrency off")]
    Limit {
        /// The queue
        queue: QueueName,
        #[command(flatten)]
        limits: QueueChange,
    },
}

/// Hold the tasks of a queue or a key back; what runs goes on
#[derive(Debug, Args)]
#[command(after_help = "Tasks that are held back use up no attempts.\n\nExamples:\n  \
    hostler queue pause default --reason 'the API is down'\n  \
    hostler queue pause review --for 2h --reason 'the quota is used up'\n  \
    hostler queue pause --key account:alice --until 2030-01-31T08:00:00Z\n  \
    hostler queue pause --key 'account:*' --for 10m")]
pub(super) struct Pause {
    #[command(flatten)]
    what: What,
    /// Why, for whoever looks at it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// It ends by itself at this time, as in 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "length")]
    until: Option<Timestamp>,
    /// It ends by itself after so long, as in 30m
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,
}

/// A queue, or a key.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct What {
    /// The queue
    queue: Option<QueueName>,
    /// The key, or the beginning of keys with a star after it
    #[arg(long, value_name = "KEY")]
    key: Option<KeyPattern>,
}

/// What is to change of a queue.
#[derive(Debug, Args)]
pub(super) struct QueueChange {
    #[command(flatten)]
    all: Change,
    /// How many of its tasks with one key may run at once, or off
    #[arg(long, value_name = "N|off")]
    key_concurrency: Option<String>,
    /// How many of its tasks with one key may begin within a window, as in 5/1s, or off
    #[arg(long, value_name = "N/DURATION|off")]
    key_rate: Option<String>,
    /// Its share of the agents that serve other queues too [default of a queue: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    weight: Option<u32>,
    /// Whether its keys take turns
    #[arg(long, value_name = "true|false")]
    fair: Option<bool>,
}

impl QueueChange {
    fn body(&self) -> Map<String, Value> {
        let mut body = self.all.body();
        let of_key =
            Change { concurrency: self.key_concurrency.clone(), rate: self.key_rate.clone() };
        body.extend(of_key.body().into_iter().map(|(name, value)| (format!("key_{name}"), value)));
        body.extend(self.weight.map(|weight| ("weight".to_owned(), json!(weight))));
        body.extend(self.fair.map(|fair| ("fair".to_owned(), json!(fair))));
        body
    }
}

impl Queue {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List => {
                let queues: Listing<QueueRecord> = client.get("/api/v1/queues").await?;
                output.show(&queues, |queues| table(&queues.items, Timestamp::now()))?;
            }
            Self::Pause(pause) => {
                let body = pause.body();
                if let Some(queue) = &pause.what.queue {
                    let path = format!("/api/v1/queues/{queue}/pause");
                    let paused: QueueRecord = client.post(&path, &body).await?.json()?;
                    output.show(&paused, |it| {
                        format!("queue {queue} is paused{}", ends(it.paused_until))
                    })?;
                } else {
                    let path = "/api/v1/keys/pause";
                    let paused: KeyPauseRecord = client.post(path, &body).await?.json()?;
                    output.show(&paused, |it| {
                        format!("key {} is paused{}", it.key, ends(it.until))
                    })?;
                }
            }
            Self::Resume { what } => {
                if let Some(queue) = &what.queue {
                    let path = format!("/api/v1/queues/{queue}/resume");
                    let resumed: QueueRecord = client.command(&path).await?;
                    output.show(&resumed, |_| format!("queue {queue} hands out tasks"))?;
                } else {
                    let body = json!({ "key": what.key });
                    let left: LimitsRecord =
                        client.post("/api/v1/keys/resume", &body).await?.json()?;
                    output.show(&left, |_| format!("key {} is resumed", or_dash(what.key)))?;
                }
            }
            Self::Limit { queue, limits } => {
                let body = limits.body();
                if body.is_empty() {
                    let error = CliError::new(Exit::Usage, "nothing is to change");
                    return Err(error.help("name a limit, such as --concurrency 3"));
                }
                let path = format!("/api/v1/queues/{queue}/limits");
                let changed: QueueRecord = client.patch(&path, &body).await?.json()?;
                output.show(&changed, |it| format!("queue {queue}: {}", limits_of(&it.limits)))?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Pause {
    fn body(&self) -> Value {
        let mut body = json!({ "reason": self.reason, "until": self.until });
        if let Some(key) = &self.what.key {
            body["key"] = json!(key);
        }
        if let Some(length) = self.length {
            body["for"] = json!(format!("{}ms", length.as_millis()));
        }
        body
    }
}

fn ends(until: Option<Timestamp>) -> String {
    until.map(|at| format!(" until {}", local(at))).unwrap_or_default()
}

fn table(queues: &[QueueRecord], now: Timestamp) -> String {
    let mut table = Table::new(&["QUEUE", "STATE", "DEPTH", "OLDEST", "LIMITS", "DESCRIPTION"]);
    for queue in queues {
        let ends = queue.paused_until.map(|at| format!(", ends {}", ago(at, now)));
        let state = match (queue.paused, &queue.paused_reason) {
            (false, _) => "open".to_owned(),
            (true, None) => format!("paused{}", ends.unwrap_or_default()),
            (true, Some(reason)) => format!("paused: {reason}{}", ends.unwrap_or_default()),
        };
        table.row(
            if queue.paused { Tone::Warn } else { Tone::Plain },
            [
                queue.name.to_string(),
                state,
                counts(&queue.depth),
                or_dash(queue.oldest_pending_ms.map(span)),
                limits_of(&queue.limits),
                queue.description.clone(),
            ],
        );
    }
    table.render("no queues; a fleet names those that it serves")
}

/// The limits of a queue that differ from the ordinary.
fn limits_of(limits: &QueueLimits) -> String {
    let at_once = |count: u32| format!("{count} at once");
    let words = [
        limits.concurrency.map(at_once),
        limits.rate.map(shown_rate),
        limits.key_concurrency.map(|count| format!("{} per key", at_once(count))),
        limits.key_rate.map(|rate| format!("{} per key", shown_rate(rate))),
        (limits.weight != 1).then(|| format!("weight {}", limits.weight)),
        limits.fair.then(|| "fair".to_owned()),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        queue: Queue,
    }

    fn parse(line: &str) -> Result<Queue, clap::Error> {
        Line::try_parse_from(["x"].into_iter().chain(line.split(' '))).map(|line| line.queue)
    }

    #[test]
    fn flags_become_a_pause() {
        let rows = [
            ("pause q", json!({"reason": null, "until": null})),
            ("pause q --for 90s", json!({"reason": null, "until": null, "for": "90000ms"})),
            (
                "pause --key account:* --reason quota --until 2030-01-31T08:00:00Z",
                json!({"reason": "quota", "until": "2030-01-31T08:00:00Z", "key": "account:*"}),
            ),
        ];
        for (line, body) in rows {
            let Ok(Queue::Pause(pause)) = parse(line) else { panic!("{line}") };
            assert_eq!(pause.body(), body, "{line}");
        }
        for wrong in
            ["pause", "pause q --key k", "resume", "pause q --for 1s --until 2030-01-31T08:00:00Z"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_become_limits() {
        let line = "limit q --concurrency 3 --rate off --key-rate 5/1s --weight 2 --fair true";
        let Ok(Queue::Limit { limits, .. }) = parse(line) else { panic!("{line}") };
        let body =
            json!({"concurrency": 3, "rate": "off", "key_rate": "5/1s", "weight": 2, "fair": true});
        assert_eq!(Value::Object(limits.body()), body);
    }
}
