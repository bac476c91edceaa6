//! `hostler events tail`: follows the stream of events, over any loss of the connection.

use std::{io::Write, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::who;
use crate::{
    cli::{
        address::with_query,
        client::Client,
        exit::{CliError, Exit, Outcome},
        global::Global,
        output::{Output, local},
    },
    domain::event::{Event, HostEvent, TaskEvent, TypePattern},
    protocol::sse::{Reader, Received},
};

/// How long to wait before a connection that was lost is made again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Follow what becomes of tasks as it happens; goes on by itself after the host was away
#[derive(Debug, Args)]
#[command(after_help = "Each filter may be given several times: one of its words is enough. With \
    --json each line has its `cursor`: give it to --after later, and nothing is missed.\n\n\
    Examples:\n  hostler events tail\n  hostler events tail --type task.failed --fleet claude --json\n  \
    hostler events tail --task tsk_0197f2ca7d5b7c3e9d1a2b3c4d5e6f70 --type task.ended --count 1")]
pub(in crate::cli) struct Tail {
    /// Only these types: `task.` and a state, `task.ended`, `task.*`; `agent.held`, `agent.*`, …
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypePattern>,
    /// Only of this task
    #[arg(long, value_name = "TASK")]
    task: Vec<String>,
    /// Only of tasks of this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Vec<String>,
    /// Only of tasks of this kind
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only of tasks of this group
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Only of tasks of this batch
    #[arg(long, value_name = "BATCH")]
    batch: Vec<String>,
    /// Only of attempts by agents of this fleet
    #[arg(long, value_name = "FLEET")]
    fleet: Vec<String>,
    /// Begin after this cursor, or at the `beginning`; now where absent
    #[arg(long, value_name = "CURSOR|beginning")]
    after: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// How a connection ended.
enum End {
    /// As many events as were asked for have come.
    Enough,
    /// The host stopped, or said that it tells no more on this one.
    Lost,
}

impl Tail {
    pub(in crate::cli) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        let path = with_query("/api/v1/events", &self.pairs());
        let mut place = Place { last: None, left: self.count };
        // A host that is not there at all is told at once; one that went away is waited for.
        let mut had_one = false;
        loop {
            let end = follow(&client, &output, &path, &mut place, &mut had_one).await;
            match end {
                Ok(End::Enough) => return Ok(Exit::Done),
                Ok(End::Lost) => {}
                Err(error) if had_one && error.exit == Exit::NotReachable => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn pairs(&self) -> [(&'static str, Option<String>); 8] {
        let joined = |words: &[String]| (!words.is_empty()).then(|| words.join(","));
        let types: Vec<_> = self.types.iter().map(ToString::to_string).collect();
        [
            ("type", joined(&types)),
            ("task", joined(&self.task)),
            ("queue", joined(&self.queue)),
            ("kind", joined(&self.kind)),
            ("group", joined(&self.group)),
            ("batch", joined(&self.batch)),
            ("fleet", joined(&self.fleet)),
            ("after", self.after.clone()),
        ]
    }
}

/// Where the stream has come to.
struct Place {
    last: Option<String>,
    left: Option<u64>,
}

async fn follow(
    client: &Client,
    output: &Output,
    path: &str,
    place: &mut Place,
    had_one: &mut bool,
) -> Outcome<End> {
    let mut body = client.events(path, place.last.as_deref()).await?;
    *had_one = true;
    let mut reader = Reader::default();
    while let Some(piece) = client.next_piece(&mut body).await? {
        let events = reader.push(&piece).map_err(|error| {
            CliError::new(Exit::Failed, format!("the host's events can't be read: {error}"))
        })?;
        for (event, id) in events {
            if event.name == "dropped" {
                return Ok(End::Lost);
            }
            show(output, &event, id.as_deref())?;
            place.last = id.or_else(|| place.last.take());
            if let Some(left) = &mut place.left {
                *left -= 1;
                if *left == 0 {
                    return Ok(End::Enough);
                }
            }
        }
        // A sign of life has a place, too.
        place.last = reader.last_id().map(str::to_owned).or_else(|| place.last.take());
    }
    Ok(End::Lost)
}

fn show(output: &Output, event: &Received, id: Option<&str>) -> Outcome<()> {
    let unreadable = |error: serde_json::Error| {
        CliError::new(Exit::Failed, format!("the host's event can't be read: {error}"))
            .help("the host and this command may be of different versions")
    };
    let line = if output.json {
        let mut value: Value = serde_json::from_str(&event.data).map_err(unreadable)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("cursor".to_owned(), json!(id));
        }
        value.to_string()
    } else {
        match serde_json::from_str(&event.data).map_err(unreadable)? {
            Event::Task(event) => of_task(event),
            Event::Host(event) => of_host(&event),
        }
    };
    output.text(&format!("{line}\n"))?;
    // Whoever reads along must not wait until much has come.
    std::io::stdout().flush()?;
    Ok(())
}

fn of_task(event: TaskEvent) -> String {
    let TaskEvent { word, step, queue, kind, agent, .. } = event;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    format!(
        "{}  {}  {:<19}  attempt {}  {}  {}  {}",
        local(step.at),
        step.task,
        word.to_string(),
        step.attempt,
        or_dash(queue.map(|name| name.to_string())),
        or_dash(kind),
        or_dash(agent.map(|name| name.to_string())),
    )
}

fn of_host(event: &HostEvent) -> String {
    let reason = event.reason.as_deref().unwrap_or("-");
    format!("{}  {}  {:<19}  {reason}", local(event.at), who(event), event.word.to_string())
}
