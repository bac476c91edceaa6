//! `[deliveries]`, and `[webhooks.NAME]`.

use std::{fmt::Display, str::FromStr, time::Duration};

use config::{Map, Value, ValueKind};

use super::{Deliveries, Endpoint, Secret, check, context::Context, reader::Section, secrets};
use crate::domain::{
    EndpointName,
    delivery::{CALLBACKS, EndpointSpec, signature::SigningKey, target::NoTarget},
    event::EventFilter,
    outbound::Reach,
};

const DAY: Duration = Duration::from_secs(86_400);

/// How long an answer may take.
const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(120);

/// Reads the section `[deliveries]`.
pub(super) fn read(section: &Section<'_>) -> Option<Deliveries> {
    let loopback = section.bool("allow_loopback");
    let private = section.bool("allow_private");
    let kept = Duration::from_secs(60)..=DAY * 3650;
    let keep_delivered = section.duration("keep_delivered", kept.clone());
    let keep_dead = section.duration("keep_dead", kept);
    Some(Deliveries {
        reach: Reach { loopback: loopback?, private: private? },
        keep_delivered: keep_delivered?,
        keep_dead: keep_dead?,
    })
}

/// Reads every endpoint, and the defaults even where there is none.
pub(super) fn endpoints(context: &Context<'_>, root: &Map<String, Value>) -> Vec<Endpoint> {
    if let Some(ValueKind::Table(table)) = root.get("webhook_defaults").map(|value| &value.kind) {
        let section = Section::new(context, "webhook_defaults".to_owned(), table);
        fields(&section);
        secrets::read(&section, "secret", "secret_file");
    }
    check::named_tables(root, "webhooks", "webhook_defaults")
        .iter()
        .filter_map(|(name, path, value)| match &value.kind {
            ValueKind::Table(table) => endpoint(name, &Section::new(context, path.clone(), table)),
            _ => None,
        })
        .collect()
}

fn endpoint(name: &str, section: &Section<'_>) -> Option<Endpoint> {
    let parsed: Option<EndpointName> =
        name.parse().map_err(|error| section.wrong(format!("{error}"))).ok();
    if name == CALLBACKS {
        section.wrong("stands for the callback URLs of tasks: give it another name".to_owned());
        return None;
    }
    let spec = fields(section);
    let secret = secrets::read(section, "secret", "secret_file");
    if let Some(Some(secret)) = &secret
        && let Err(error) = secret.reveal().parse::<SigningKey>()
    {
        let used = secrets::used(section, "secret", "secret_file");
        section.problem(used, format!("{error}: make one with `openssl rand -base64 32`"));
        return None;
    }
    let spec = spec?;
    if spec.url.is_none() {
        section.wrong("has no address: set `url`".to_owned());
        return None;
    }
    Some(Endpoint { name: parsed?, spec, secret: secret? })
}

fn fields(section: &Section<'_>) -> Option<EndpointSpec> {
    let url = section.given("url", |section, key| {
        let text = section.text(key)?;
        text.parse().map_err(|error: NoTarget| section.problem(key, error.to_string())).ok()
    });
    let description = section.text("description");
    let filter = EventFilter {
        types: list(section, "types").unwrap_or_default(),
        tasks: Vec::new(),
        queues: list(section, "queues").unwrap_or_default(),
        kinds: section.texts("kinds").unwrap_or_default(),
        groups: list(section, "groups").unwrap_or_default(),
        batches: Vec::new(),
        fleets: list(section, "fleets").unwrap_or_default(),
    };
    let concurrency = section.number("concurrency", 1..=64);
    let ordered = section.bool("ordered");
    let timeout = section.duration("timeout", TIMEOUT);
    Some(EndpointSpec {
        url: url?,
        description: description?,
        filter,
        concurrency: concurrency?,
        ordered: ordered?,
        timeout_ms: u32::try_from(timeout?.as_millis()).unwrap_or(u32::MAX),
    })
}

/// A list of words that each parse.
fn list<T: FromStr<Err: Display>>(section: &Section<'_>, key: &str) -> Option<Vec<T>> {
    let mut items = Some(Vec::new());
    for (at, text) in section.texts(key)?.iter().enumerate() {
        match (text.parse(), &mut items) {
            (Ok(item), Some(items)) => items.push(item),
            (Ok(_), None) => {}
            (Err(error), _) => {
                items = None;
                section.wrong_item(key, at, format!("`{text}` {error}"));
            }
        }
    }
    items
}

impl Endpoint {
    /// The secret, if the file has one.
    pub fn key(&self) -> Option<SigningKey> {
        self.secret.as_ref().map(Secret::reveal).and_then(|text| text.parse().ok())
    }
}
