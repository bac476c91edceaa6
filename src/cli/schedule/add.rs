//! `hostler schedule add`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::{
    super::{
        client::Client,
        exit::{CliError, Exit, Outcome},
        output::Output,
        task,
    },
    path, render,
};
use crate::{
    domain::{
        QueueName, ScheduleName,
        cron::Cron,
        schedule::{Cadence, CatchUp, MAX_CATCH_UP, MIN_EVERY, Overlap, ScheduleRecord, Zone},
    },
    settings::parse_duration,
};

/// Make a schedule, or change it
#[derive(Debug, Args)]
#[command(
    visible_alias = "put",
    group = ArgGroup::new("due").required(true).args(["cron", "every"]),
    after_help = "In the texts of the input {{ scheduled_for }} is replaced by the due time, and \
    {{ schedule }} by the name. A schedule that is there is replaced as a whole, and stays paused if \
    it is.\n\nExamples:\n  \
    hostler schedule add nightly --cron '30 2 * * *' --zone Europe/Berlin --kind report\n  \
    hostler schedule add ping --every 5m --queue checks --overlap skip\n  \
    hostler schedule add week --cron '0 9 * * mon' --input '{\"for\": \"{{ scheduled_for }}\"}'"
)]
pub(in crate::cli) struct Add {
    /// Its name
    schedule: ScheduleName,
    #[command(flatten)]
    when: When,
    /// The queue of its tasks [default: default]
    #[arg(short, long)]
    queue: Option<QueueName>,
    /// What kind of tasks they are, for their agents [default: task]
    #[arg(short, long)]
    kind: Option<String>,
    /// Their input: JSON, @FILE that holds JSON, or - for JSON on stdin
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// Higher runs first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i16>,
    /// How many attempts of a task may fail [default: the queue's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// How long one attempt may run [default: the queue's]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// How long after its due time a task must be finished, or it fails
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// How long an agent may be silent at a task [default: its fleet's]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    stale_after: Option<Duration>,
    /// While a task of it is not finished: skip, queue or replace [default: skip]
    #[arg(long, value_name = "POLICY", value_parser = overlap)]
    overlap: Option<Overlap>,
    /// Due times when no host ran: none, last or all [default: last]
    #[arg(long, value_name = "POLICY", value_parser = catch_up)]
    catch_up: Option<CatchUp>,
    /// The most due times that `all` makes up for at once [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CATCH_UP)))]
    catch_up_max: Option<u32>,
    /// What it is for, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Make it paused
    #[arg(long)]
    paused: bool,
}

/// When something is due.
#[derive(Debug, Args)]
pub(in crate::cli) struct When {
    /// A cron expression of 5 fields, or 6 with the second first
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "every")]
    cron: Option<Cron>,
    /// So much time after the last due time, as in 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    every: Option<Duration>,
    /// The time zone of the expression, as in Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    zone: Option<Zone>,
}

impl When {
    /// What was said; nothing where nothing was.
    pub(super) fn cadence(&self) -> Outcome<Option<Cadence>> {
        Ok(match (&self.cron, self.every) {
            (Some(cron), _) => {
                let zone = self.zone.clone().unwrap_or(Zone::UTC);
                Some(Cadence::Cron(cron.clone(), zone))
            }
            (None, Some(every)) if every < MIN_EVERY => {
                return Err(CliError::new(Exit::Usage, "--every must be at least 1s"));
            }
            (None, every) => every.map(Cadence::Every),
        })
    }
}

impl Add {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let body = self.body()?;
        let record: ScheduleRecord =
            client.put(&path(&self.schedule), &Value::Object(body)).await?.json()?;
        output.show(&record, render::due)?;
        Ok(Exit::Done)
    }

    /// The schedule as the API takes it.
    fn body(&self) -> Outcome<Map<String, Value>> {
        let mut body = Map::new();
        match self.when.cadence()? {
            Some(Cadence::Cron(cron, zone)) => {
                body.insert("cron".to_owned(), json!(cron.as_str()));
                body.insert("zone".to_owned(), json!(zone.to_string()));
            }
            Some(Cadence::Every(every)) => {
                body.insert("every".to_owned(), json!(millis(every)));
            }
            None => {
                return Err(CliError::new(Exit::Usage, "say when: --cron or --every"));
            }
        }
        let input = self.input.as_deref().map(task::read_input).transpose()?;
        let fields = [
            ("queue", self.queue.as_ref().map(|queue| json!(queue))),
            ("kind", self.kind.as_ref().map(|kind| json!(kind))),
            ("input", input),
            ("priority", self.priority.map(|number| json!(number))),
            ("max_attempts", self.max_attempts.map(|number| json!(number))),
            ("timeout", self.timeout.map(|timeout| json!(millis(timeout)))),
            ("deadline", self.deadline.map(|wait| json!(millis(wait)))),
            ("stale_after", self.stale_after.map(|wait| json!(millis(wait)))),
            ("overlap", self.overlap.map(|overlap| json!(overlap))),
            ("catch_up", self.catch_up.map(|catch_up| json!(catch_up))),
            ("catch_up_max", self.catch_up_max.map(|number| json!(number))),
            ("description", self.description.as_ref().map(|text| json!(text))),
            ("paused", self.paused.then_some(Value::Bool(true))),
        ];
        for (name, value) in fields {
            body.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(body)
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn overlap(text: &str) -> Result<Overlap, String> {
    let found = Overlap::ALL.into_iter().find(|one| one.as_str() == text);
    found.ok_or_else(|| "write skip, queue or replace".to_owned())
}

fn catch_up(text: &str) -> Result<CatchUp, String> {
    let found = CatchUp::ALL.into_iter().find(|one| one.as_str() == text);
    found.ok_or_else(|| "write none, last or all".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    #[test]
    fn flags_become_a_schedule() {
        let body = |line: &[&str]| {
            let words = ["add", "nightly"].iter().chain(line);
            Line::try_parse_from(words).unwrap().add.body().map(Value::Object)
        };
        assert_eq!(body(&["--every", "5m"]).unwrap(), json!({"every": "300000ms"}));
        let line = [
            "--cron",
            "0 9 * * mon",
            "--zone",
            "Europe/Berlin",
            "-q",
            "gpu",
            "-k",
            "report",
            "-i",
            "[1]",
            "--priority",
            "-3",
            "--max-attempts",
            "4",
            "--timeout",
            "2s",
            "--deadline",
            "3s",
            "--stale-after",
            "4s",
            "--overlap",
            "replace",
            "--catch-up",
            "all",
            "--catch-up-max",
            "3",
            "--description",
            "the week",
            "--paused",
        ];
        let expected = json!({"cron": "0 9 * * mon", "zone": "Europe/Berlin", "queue": "gpu",
            "kind": "report", "input": [1], "priority": -3, "max_attempts": 4,
            "timeout": "2000ms", "deadline": "3000ms", "stale_after": "4000ms",
            "overlap": "replace", "catch_up": "all", "catch_up_max": 3,
            "description": "the week", "paused": true});
        assert_eq!(body(&line).unwrap(), expected);
        assert_eq!(body(&["--every", "1ms"]).unwrap_err().exit, Exit::Usage);
    }
}
