//! `hostler key`: API keys.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    exit::{Exit, Outcome},
    global::Global,
    limit::shown_rate,
    output::{Table, Tone, ago, or_dash},
};
use crate::{
    domain::{
        FleetName, QueueName,
        access::{ApiKeyRecord, KeyId, NewApiKeyRecord, Scope},
    },
    http::api::Listing,
};

/// API keys: who may call this host over TCP, and what for
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    Create(Create),
    /// List keys, with when each was last used
    #[command(visible_alias = "ls", after_help = "Examples:\n  hostler key list")]
    List {
        /// Those too that can't be used any more
        #[arg(long)]
        all: bool,
    },
    /// Take a key back; every host refuses it within a second
    #[command(after_help = "Examples:\n  hostler key revoke 3f9a2c41b07d")]
    Revoke {
        /// Its id: the part of the key between its underscores
        key: KeyId,
    },
}

/// Make a key; it is shown once, and only its hash is kept
///
/// From then on callers over TCP need a key. Commands on this machine that use the socket do not.
#[derive(Debug, Args)]
#[command(
    after_help = "Scopes: read (look), submit (give work), control (cancel, retry, restart, pause, \
    limit), admin (all of it, and keys).\n\nExamples:\n  \
    hostler key create --name phone --scope read --scope submit --expires 90d\n  \
    hostler key create --name ci --scope submit --queue review --rate 60/1m\n  \
    hostler key create --name panel --scope read --scope control --fleet claude"
)]
pub(super) struct Create {
    /// What it is for
    #[arg(long, default_value = "key")]
    name: String,
    /// What it allows; several times for several
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// Limit it to this fleet, and the queues that no other serves; several times for several
    #[arg(long = "fleet", value_name = "FLEET", value_delimiter = ',')]
    fleets: Vec<FleetName>,
    /// Limit it to this queue; several times for several
    #[arg(long = "queue", value_name = "QUEUE", value_delimiter = ',')]
    queues: Vec<QueueName>,
    /// How often it may ask, as in 60/1m
    #[arg(long, value_name = "N/DURATION")]
    rate: Option<String>,
    /// When it ends: a time, or a duration from now
    #[arg(long, value_name = "TIME|DURATION")]
    expires: Option<String>,
}

impl Create {
    fn body(self) -> Map<String, Value> {
        let given = [
            ("name", Some(json!(self.name))),
            ("scopes", Some(json!(self.scopes))),
            ("fleets", Some(json!(self.fleets))),
            ("queues", Some(json!(self.queues))),
            ("rate", self.rate.map(Value::from)),
            ("expires", self.expires.map(Value::from)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Key {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Create(create) => {
                let answer = client.post("/api/v1/api-keys", &create.body()).await?;
                let made: NewApiKeyRecord = answer.json()?;
                output.show(&made, |made| {
                    let id = &made.record.id;
                    format!(
                        "{}\nKeep it: it is not shown again. `hostler key revoke {id}` takes it back.\n",
                        made.key
                    )
                })?;
            }
            Self::List { all } => {
                let mut keys: Listing<ApiKeyRecord> = client.get("/api/v1/api-keys").await?;
                let now = Timestamp::now();
                keys.items.retain(|key| all || key.is_live(now));
                output.show(&keys, |keys| table(&keys.items, now))?;
            }
            Self::Revoke { key } => {
                let path = format!("/api/v1/api-keys/{key}/revoke");
                let revoked: ApiKeyRecord = client.command(&path).await?;
                output.show(&revoked, |key| table(std::slice::from_ref(key), Timestamp::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn table(keys: &[ApiKeyRecord], now: Timestamp) -> String {
    let mut table =
        Table::new(&["ID", "NAME", "SCOPES", "LIMITED TO", "RATE", "ENDS", "LAST USED"]);
    for key in keys {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let fleets = key.fleets.iter().map(|fleet| format!("fleet {fleet}"));
        let queues = key.queues.iter().map(|queue| format!("queue {queue}"));
        let limits: Vec<_> = fleets.chain(queues).collect();
        let ends = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", ago(at, now)),
            (None, ends) => or_dash(ends.map(|at| ago(at, now))),
        };
        table.row(
            if key.is_live(now) { Tone::Plain } else { Tone::Bad },
            [
                key.id.to_string(),
                key.name.clone(),
                scopes.join(" "),
                or_dash((!limits.is_empty()).then(|| limits.join(", "))),
                or_dash(key.rate.map(shown_rate)),
                ends,
                or_dash(key.last_used_at.map(|at| ago(at, now))),
            ],
        );
    }
    table.render("no keys: make one with `hostler key create`")
}
