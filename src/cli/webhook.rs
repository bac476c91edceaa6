//! `hostler webhook`: who is told of events, and what was sent.

use std::{io::Read as _, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    address::with_query,
    client::Client,
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::{Output, Table, Tone, local, or_dash},
};
use crate::{
    domain::{
        EndpointName,
        delivery::{
            DeliveryRecord, DeliveryState, EndpointRecord,
            signature::{self, SigningKey},
            target::Target,
        },
        event::TypePattern,
        record::Page,
    },
    http::api::{EndpointAnswer, Listing, Replayed},
};

const ENDPOINTS: &str = "/api/v1/webhooks/endpoints";

/// Signed webhooks that tell of events
#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// List endpoints: who is told, what of, and how many deliveries wait or are dead
    #[command(
        after_help = "Examples:\n  hostler webhook endpoints\n  hostler webhook endpoints --json"
    )]
    Endpoints,
    Set(Set),
    /// Take out an endpoint, with its deliveries
    #[command(after_help = "Examples:\n  hostler webhook remove ops")]
    Remove {
        /// Its name
        name: EndpointName,
    },
    /// Give an endpoint a new secret; the old one signs, too, for a while
    ///
    /// The new secret is shown once, here.
    #[command(after_help = "Examples:\n  hostler webhook rotate ops\n  \
        hostler webhook rotate callbacks --both 1h")]
    Rotate {
        /// Its name; `callbacks` for the callback URLs of tasks
        name: EndpointName,
        /// How long both secrets sign
        #[arg(long, value_name = "DURATION", default_value = "1d")]
        both: String,
    },
    /// Tell an endpoint again that was disabled
    #[command(after_help = "Examples:\n  hostler webhook enable ops")]
    Enable {
        /// Its name
        name: EndpointName,
    },
    /// Tell an endpoint nothing until it is enabled; its deliveries wait
    #[command(
        after_help = "Examples:\n  hostler webhook disable ops --reason 'moves to another machine'"
    )]
    Disable {
        /// Its name
        name: EndpointName,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Send a test to an endpoint, and wait for what comes of it; 1 if it failed
    #[command(after_help = "Examples:\n  hostler webhook test ops")]
    Test {
        /// Its name
        name: EndpointName,
    },
    Deliveries(Deliveries),
    Replay(Replay),
    Verify(Verify),
}

/// Make an endpoint, or change it
///
/// A new one gets a secret, which is shown once, here; one that is there keeps its own.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hostler webhook set ops --url https://ops.example/hooks --type task.failed\n  \
    hostler webhook set audit --url https://audit.example/in --type 'task.*' --ordered"
)]
pub(super) struct Set {
    /// Its name
    name: EndpointName,
    /// Where events are sent
    #[arg(long)]
    url: Option<Target>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Only of these types: `task.` and a state, `task.ended`, `task.*`; several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypePattern>,
    /// Only of tasks of this queue; several times
    #[arg(long, value_name = "QUEUE")]
    queue: Vec<String>,
    /// Only of tasks of this kind; several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only of tasks of this group; several times
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Only of attempts by agents of this fleet; several times
    #[arg(long, value_name = "FLEET")]
    fleet: Vec<String>,
    /// How many are sent at once
    #[arg(long, value_name = "N")]
    concurrency: Option<u16>,
    /// One after another, in the order of what happened
    #[arg(long)]
    ordered: bool,
    /// How long an answer may take
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Take the secret from the first line of standard input
    #[arg(long)]
    secret_stdin: bool,
}

/// List what was sent, and what waits to be sent, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler webhook deliveries --state dead\n  \
    hostler webhook deliveries --endpoint ops --limit 20 --json")]
pub(super) struct Deliveries {
    /// Only to this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<EndpointName>,
    /// Only those that are pending, delivered or dead
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only about this task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// How many at once
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page, with its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Send again what ended: one delivery, or the dead ones of an endpoint
///
/// Under the same ids: a receiver knows what it has had.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hostler webhook replay msg_0197f2ca7d5b7c3e9d1a2b3c4d5e6f70\n  \
    hostler webhook replay --dead ops --limit 100"
)]
pub(super) struct Replay {
    /// The delivery
    #[arg(required_unless_present = "dead")]
    delivery: Option<String>,
    /// The dead ones of this endpoint, oldest first
    #[arg(long, value_name = "NAME", conflicts_with = "delivery")]
    dead: Option<EndpointName>,
    /// How many at most
    #[arg(long, requires = "dead", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: Option<u32>,
}

/// Check the signature of a webhook whose body is on standard input; 1 if it is not good
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hostler webhook verify --secret-file ops.secret --id msg_… \\\n    \
    --timestamp 1764183661 --signature 'v1,…' < body.json"
)]
pub(super) struct Verify {
    /// The file with the secret, `whsec_…`
    #[arg(long, value_name = "FILE")]
    secret_file: std::path::PathBuf,
    /// The header `webhook-id`
    #[arg(long)]
    id: String,
    /// The header `webhook-timestamp`
    #[arg(long)]
    timestamp: String,
    /// The header `webhook-signature`
    #[arg(long)]
    signature: String,
}

impl Webhook {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        if let Self::Verify(verify) = self {
            return verify.run(&global.output());
        }
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Endpoints => {
                let all: Listing<EndpointRecord> = client.get(ENDPOINTS).await?;
                output.show(&all, |all| endpoints(&all.items))?;
            }
            Self::Set(set) => set.run(&client, &output).await?,
            Self::Remove { name } => client.delete(&format!("{ENDPOINTS}/{name}")).await?,
            Self::Rotate { name, both } => {
                let path = format!("{ENDPOINTS}/{name}/rotate");
                let answer = client.post(&path, &json!({ "both": both })).await?.json()?;
                shown(&output, &answer)?;
            }
            Self::Enable { name } => {
                let record = client.command(&format!("{ENDPOINTS}/{name}/enable")).await?;
                output.show(&record, |record| endpoints(std::slice::from_ref(record)))?;
            }
            Self::Disable { name, reason } => {
                let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
                let path = format!("{ENDPOINTS}/{name}/disable");
                let record: EndpointRecord = client.post(&path, &body).await?.json()?;
                output.show(&record, |record| endpoints(std::slice::from_ref(record)))?;
            }
            Self::Test { name } => return test(&client, &output, &name).await,
            Self::Deliveries(wanted) => wanted.run(&client, &output).await?,
            Self::Replay(replay) => replay.run(&client, &output).await?,
            Self::Verify(_) => {}
        }
        Ok(Exit::Done)
    }
}

impl Set {
    async fn run(self, client: &Client, output: &Output) -> Outcome<()> {
        let mut body = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("url", self.url.map(|url| json!(url)));
        add("description", self.description.map(|text| json!(text)));
        add("concurrency", self.concurrency.map(|count| json!(count)));
        add("timeout", self.timeout.map(|text| json!(text)));
        add("ordered", self.ordered.then_some(Value::Bool(true)));
        let filter = json!({
            "types": self.types, "queues": self.queue, "kinds": self.kind,
            "groups": self.group, "fleets": self.fleet,
        });
        add("filter", Some(filter));
        if self.secret_stdin {
            let mut text = String::new();
            std::io::stdin().take(1024).read_to_string(&mut text)?;
            add("secret", Some(json!(text.trim())));
        }
        let path = format!("{ENDPOINTS}/{}", self.name);
        shown(output, &client.put(&path, &body).await?.json()?)
    }
}

impl Deliveries {
    async fn run(self, client: &Client, output: &Output) -> Outcome<()> {
        let pairs = [
            ("endpoint", self.endpoint.map(|name| name.to_string())),
            ("state", self.state),
            ("task", self.task),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor),
        ];
        let page: Page<DeliveryRecord> =
            client.get(&with_query("/api/v1/webhooks/deliveries", &pairs)).await?;
        output.show(&page, |page| {
            let next = page.next_cursor.as_ref().map(|next| format!("next: --cursor {next}\n"));
            format!("{}{}", deliveries(&page.items), next.unwrap_or_default())
        })?;
        Ok(())
    }
}

impl Replay {
    async fn run(self, client: &Client, output: &Output) -> Outcome<()> {
        let replayed: Replayed = match (self.dead, self.delivery) {
            (Some(name), _) => {
                let body = self.limit.map_or_else(|| json!({}), |limit| json!({ "limit": limit }));
                client.post(&format!("{ENDPOINTS}/{name}/replay"), &body).await?.json()?
            }
            (None, id) => {
                let id = id.unwrap_or_default();
                client.command(&format!("/api/v1/webhooks/deliveries/{id}/replay")).await?
            }
        };
        output.show(&replayed, |replayed| match replayed.replayed {
            0 => "nothing is sent again: what is pending is sent anyway\n".to_owned(),
            1 => "1 delivery is sent again\n".to_owned(),
            many => format!("{many} deliveries are sent again\n"),
        })?;
        Ok(())
    }
}

impl Verify {
    fn run(self, output: &Output) -> Outcome {
        let wrong = |what: String| CliError::new(Exit::Usage, what);
        let text = std::fs::read_to_string(&self.secret_file)
            .map_err(|error| wrong(format!("{}: {error}", self.secret_file.display())))?;
        let key: SigningKey = text
            .trim()
            .parse()
            .map_err(|error| wrong(format!("{} {error}", self.secret_file.display())))?;
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body)?;
        let now = jiff::Timestamp::now().as_second();
        let headers = (&*self.id, &*self.timestamp, &*self.signature);
        signature::verify(&key, headers, &body, now)
            .map_err(|refused| CliError::new(Exit::Failed, refused.to_string()))?;
        output.show(&json!({ "good": true }), |_| "the signature is good\n".to_owned())?;
        Ok(Exit::Done)
    }
}

/// Sends a test, and looks until it is known what came of it.
async fn test(client: &Client, output: &Output, name: &EndpointName) -> Outcome {
    let mut sent: DeliveryRecord = client.command(&format!("{ENDPOINTS}/{name}/test")).await?;
    let path = format!("/api/v1/webhooks/deliveries/{}", sent.id);
    let mut looks = 0;
    while sent.state == DeliveryState::Pending && sent.failures == 0 && looks < 600 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        sent = client.get(&path).await?;
        looks += 1;
    }
    output.show(&sent, |sent| deliveries(std::slice::from_ref(sent)))?;
    if sent.state == DeliveryState::Delivered {
        return Ok(Exit::Done);
    }
    let why = sent.problem.unwrap_or_else(|| "it waits; is the endpoint enabled?".to_owned());
    Err(CliError::new(Exit::Failed, format!("the test was not taken: {why}")))
}

fn shown(output: &Output, answer: &EndpointAnswer) -> Outcome<()> {
    output.show(answer, |answer| {
        let secret = answer.secret.as_ref().map(|secret| {
            format!("secret: {secret}\nIt is not shown again; `hostler webhook rotate` makes a new one.\n")
        });
        format!("{}{}", endpoints(std::slice::from_ref(&answer.endpoint)), secret.unwrap_or_default())
    })?;
    Ok(())
}

fn endpoints(endpoints: &[EndpointRecord]) -> String {
    let mut table = Table::new(&["ENDPOINT", "STATE", "URL", "TYPES", "WAIT", "DEAD", "REASON"]);
    for one in endpoints {
        let (state, tone) =
            if one.enabled { ("enabled", Tone::Plain) } else { ("disabled", Tone::Bad) };
        let types: Vec<_> = one.spec.filter.types.iter().map(ToString::to_string).collect();
        table.row(
            tone,
            [
                one.name.to_string(),
                state.to_owned(),
                or_dash(one.spec.url.as_ref()),
                if types.is_empty() { "all".to_owned() } else { types.join(" ") },
                one.pending.to_string(),
                one.dead.to_string(),
                one.disabled_reason.clone().unwrap_or_default(),
            ],
        );
    }
    table.render("no endpoints; make one with `hostler webhook set NAME --url URL`")
}

fn deliveries(deliveries: &[DeliveryRecord]) -> String {
    let mut table =
        Table::new(&["DELIVERY", "AT", "ENDPOINT", "TYPE", "STATE", "FAILED", "NEXT", "PROBLEM"]);
    for one in deliveries {
        let tone = if one.state == DeliveryState::Dead { Tone::Bad } else { Tone::Plain };
        table.row(
            tone,
            [
                one.id.clone(),
                local(one.created_at),
                one.endpoint.to_string(),
                one.word.clone(),
                one.state.as_str().to_owned(),
                one.failures.to_string(),
                or_dash(one.due_at.map(local)),
                one.problem.clone().unwrap_or_default(),
            ],
        );
    }
    table.render("nothing was sent")
}
