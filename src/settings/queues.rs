//! `[queues.NAME]`.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use config::{Map, Value};

use super::{Queue, check, context::Context, limits, reader::Section, retries};
use crate::domain::{QueueName, fleet::Fleet};

/// How long a queue may let an attempt run.
const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(365 * 24 * 60 * 60);

/// Reads every queue: those that fleets serve, and what their tables say. `complete` says that
/// every fleet could be read, so that a queue which none of them serves is known to have none.
pub(super) fn read(
    context: &Context<'_>,
    root: &Map<String, Value>,
    fleets: &[Fleet],
    complete: bool,
) -> BTreeMap<QueueName, Queue> {
    let like = root.get("queue_defaults");
    let defaults = like.and_then(|like| queue(context, "queue_defaults", like));
    let mut queues: BTreeMap<QueueName, Queue> = fleets
        .iter()
        .flat_map(|fleet| &fleet.queues)
        .map(|name| (name.clone(), defaults.clone().unwrap_or_default()))
        .collect();
    for (name, path, value) in check::named_tables(root, "queues", "queue_defaults") {
        let read = queue(context, &path, &value);
        let table = Map::new();
        let section = Section::new(context, path, &table);
        match name.parse::<QueueName>() {
            Err(error) => section.wrong(error.to_string()),
            Ok(name) if complete && !queues.contains_key(&name) => section.wrong(format!(
                "no fleet serves this queue: put \"{name}\" into the `queues` of a fleet, or remove the table"
            )),
            Ok(name) => _ = queues.insert(name, read.unwrap_or_default()),
        }
    }
    queues
}

fn queue(context: &Context<'_>, path: &str, value: &Value) -> Option<Queue> {
    let config::ValueKind::Table(table) = &value.kind else {
        return None;
    };
    let section = Section::new(context, path.to_owned(), table);
    let (paused, description) = (section.bool("paused"), section.text("description"));
    let limit = limits::read(&section, "concurrency", "rate");
    let key_limit = limits::read(&section, "key_concurrency", "key_rate");
    let (weight, fair) = (section.number("weight", 1..=1000), section.bool("fair"));
    let timeout = section.given("timeout", |section, key| section.duration(key, TIMEOUT));
    let max_attempts = section.given("max_attempts", |section, key| section.number(key, 1..=100));
    let retry = section.section("retry").and_then(|section| retries::terms(&section));
    Some(Queue {
        paused: paused?,
        description: description?,
        limit: limit?,
        key_limit: key_limit?,
        weight: weight?,
        fair: fair?,
        timeout: timeout?,
        max_attempts: max_attempts?,
        retry: retry?,
    })
}
