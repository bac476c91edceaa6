//! The effective settings, for people and for programs; secrets are masked.

mod of_fleet;
mod webhooks;

use std::{fmt::Write, path::Path, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    HostFloors, Queue, Settings,
    history::keep_word,
    layers::join,
    limits::format_rate,
    log::{format_word, level_word},
    mask,
    reader::OFF,
    schedules::{CATCH_UPS, OVERLAPS},
    units::{format_duration, format_size},
};
use crate::domain::{
    admission::Rate,
    retry::{Cause, Growth, RetryPolicy},
    schedule::{Cadence, Schedule},
};

use webhooks::{endpoint, of_rule, webhook};

/// The effective settings as TOML, secrets masked; each field says where it is written.
pub fn show(settings: &Settings) -> String {
    let mut toml = String::new();
    if let Value::Object(root) = to_json(settings) {
        table(&mut toml, settings, "", &root);
    }
    toml
}

/// The effective settings as JSON, in the words of the config file; secrets masked.
pub fn to_json(settings: &Settings) -> Value {
    let (host, database, http) = (&settings.host, &settings.database, &settings.http);
    let queues = settings.queues.iter().map(|(name, queue)| (name.to_string(), of_queue(queue)));
    let schedules = settings
        .schedules
        .iter()
        .map(|(schedule, paused)| (schedule.name.to_string(), of_schedule(schedule, *paused)));
    let fleets = settings.fleets.iter().map(|it| (it.name.to_string(), of_fleet::fleet(it)));
    let webhooks = settings.webhooks.iter().map(|it| (it.name.to_string(), endpoint(it)));
    json!({
        "host": {
            "data_dir": path(&host.data_dir),
            "name": host.name,
            "lease": format_duration(host.lease),
            "drain_grace": format_duration(host.drain_grace),
            "watch_config": host.watch_config,
            "keep_attempts": format_duration(host.keep_attempts),
            "cgroups": host.cgroups.to_string(),
            "roots": host.roots.iter().map(|root| path(root)).collect::<Vec<_>>(),
            "start_concurrency": starts_or_off(host.start_concurrency),
            "floors": floors(&host.floors),
        },
        "database": {
            "url": database.url.as_ref().map_or_else(String::new, |url| mask::urls(url.reveal()).into_owned()),
            "pool_size": database.pool_size,
            "connect_timeout": format_duration(database.connect_timeout),
            "embedded": {
                "bin_dir": database.embedded.bin_dir.as_deref().map_or_else(String::new, path),
                "user": database.embedded.user,
                "shared_buffers": format_size(database.embedded.shared_buffers),
            },
        },
        "http": {
            "bind": http.bind.map_or_else(|| OFF.to_owned(), |bind| bind.to_string()),
            "api_key": if http.api_key.is_some() { mask::MASK } else { "" },
            "max_body": format_size(http.max_body),
            "max_wait": format_duration(http.max_wait),
            "allow_plain": http.allow_plain,
            "tls": {
                "cert": http.tls.as_ref().map_or_else(String::new, |tls| path(&tls.cert)),
                "key": http.tls.as_ref().map_or_else(String::new, |tls| path(&tls.key)),
            },
        },
        "log": log(settings),
        "tasks": tasks(settings),
        "limits": limits(settings),
        "history": history(settings),
        "workspaces": {
            "max_disk": settings.workspaces.max_disk.map_or_else(|| OFF.to_owned(), format_size),
            "git_timeout": format_duration(settings.workspaces.git_timeout),
        },
        "deliveries": {
            "allow_loopback": settings.deliveries.reach.loopback,
            "allow_private": settings.deliveries.reach.private,
            "keep_delivered": format_duration(settings.deliveries.keep_delivered),
            "keep_dead": format_duration(settings.deliveries.keep_dead),
        },
        "webhooks": webhooks.collect::<Map<_, _>>(),
        "webhook": webhook(&settings.webhook),
        "github": settings.github.iter().map(of_rule).collect::<Map<_, _>>(),
        "queues": queues.collect::<Map<_, _>>(),
        "schedules": schedules.collect::<Map<_, _>>(),
        "fleets": fleets.collect::<Map<_, _>>(),
    })
}

fn floors(HostFloors { floors, look }: &HostFloors) -> Value {
    json!({
        "memory": size_or_off(floors.memory),
        "disk": size_or_off(floors.disk),
        "load": floors.load.map_or_else(|| json!(OFF), |load| json!(load as u64)),
        "look": format_duration(*look),
    })
}

fn starts_or_off(count: Option<u16>) -> Value {
    count_or_off(count.map(u32::from))
}

fn log(settings: &Settings) -> Value {
    let log = &settings.log;
    let components =
        log.components.iter().map(|(name, level)| (name.clone(), json!(level_word(*level))));
    json!({
        "level": level_word(log.level),
        "format": format_word(log.format),
        "rotate_size": format_size(log.rotate_size),
        "rotate_age": format_duration(log.rotate_age),
        "keep_files": log.keep_files,
        "buffer": log.buffer,
        "agent_rotate_size": format_size(log.agent_rotate_size),
        "agent_rotate_age": format_duration(log.agent_rotate_age),
        "agent_keep_files": log.agent_keep_files,
        "agent_rate": size_or_off(log.agent_rate),
        "components": components.collect::<Map<_, _>>(),
    })
}

fn limits(settings: &Settings) -> Value {
    let limits = &settings.limits;
    let keys = limits.keys.iter().map(|(pattern, limit)| {
        let limit = json!({
            "concurrency": count_or_off(limit.concurrency),
            "rate": rate_or_off(limit.rate),
        });
        (pattern.to_string(), limit)
    });
    json!({
        "concurrency": count_or_off(limits.all.concurrency),
        "patience": format_duration(limits.patience),
        "keys": keys.collect::<Map<_, _>>(),
    })
}

fn history(settings: &Settings) -> Value {
    let (terms, archive) = (&settings.history.terms, settings.history.archive.as_deref());
    json!({
        "completed": keep_word(terms.completed),
        "cancelled": keep_word(terms.cancelled),
        "failed": keep_word(terms.failed),
        "dead_letters": keep_word(terms.dead_letters),
        "feed": keep_word(terms.feed),
        "plans": keep_word(terms.plans),
        "archive": archive.map_or_else(String::new, path),
        "audit": keep_word(settings.history.audit),
        "archive_keep": keep_word(settings.history.archive_keep),
    })
}

fn count_or_off(count: Option<u32>) -> Value {
    count.map_or_else(|| json!(OFF), |count| json!(count))
}

fn size_or_off(size: Option<u64>) -> String {
    size.map_or_else(|| OFF.to_owned(), format_size)
}

fn rate_or_off(rate: Option<Rate>) -> Value {
    json!(rate.map_or_else(|| OFF.to_owned(), format_rate))
}

fn tasks(settings: &Settings) -> Value {
    let tasks = &settings.tasks;
    json!({
        "max_attempts": tasks.max_attempts,
        "max_input": format_size(tasks.max_input),
        "max_batch": tasks.max_batch,
        "poll": format_duration(tasks.poll),
        "settle_buffer": tasks.settle_buffer,
        "retry": retry(&tasks.retry),
    })
}

fn retry(policy: &RetryPolicy) -> Value {
    json!({
        "kind": word(&Growth::WORDS, &policy.kind),
        "backoff_min": format_duration(policy.backoff_min),
        "backoff_max": format_duration(policy.backoff_max),
        "jitter": policy.jitter,
        "retry_on": policy.retry_on,
        "never_on": policy.never_on,
    })
}

fn of_schedule(schedule: &Schedule, paused: bool) -> Value {
    let (cron, every, zone) = match &schedule.cadence {
        Cadence::Cron(cron, zone) => (cron.to_string(), None, zone.to_string()),
        Cadence::Every(every) => (String::new(), Some(*every), "UTC".to_owned()),
    };
    json!({
        "cron": cron,
        "every": duration_or_empty(every),
        "zone": zone,
        "queue": schedule.queue,
        "kind": schedule.kind,
        "input": masked(&schedule.input),
        "priority": schedule.priority,
        "max_attempts": number_or_empty(schedule.max_attempts),
        "timeout": duration_or_empty(schedule.timeout),
        "deadline": duration_or_empty(schedule.deadline),
        "stale_after": duration_or_empty(schedule.stale_after),
        "overlap": word(&OVERLAPS, &schedule.overlap),
        "catch_up": word(&CATCH_UPS, &schedule.catch_up),
        "catch_up_max": schedule.catch_up_max,
        "paused": paused,
        "description": schedule.description,
    })
}

/// A value with the passwords of URLs masked in all of its texts.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(mask::urls(text)),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), masked(field))).collect()
        }
        other => other.clone(),
    }
}

fn duration_or_empty(duration: Option<Duration>) -> String {
    duration.map_or_else(String::new, format_duration)
}

fn number_or_empty(number: Option<u32>) -> Value {
    number.map_or_else(|| json!(""), |number| json!(number))
}

fn of_queue(queue: &Queue) -> Value {
    let retry = &queue.retry;
    let causes = |causes: &Option<Vec<Cause>>| json!(causes.as_deref().unwrap_or_default());
    json!({
        "paused": queue.paused,
        "description": queue.description,
        "concurrency": count_or_off(queue.limit.concurrency),
        "rate": rate_or_off(queue.limit.rate),
        "key_concurrency": count_or_off(queue.key_limit.concurrency),
        "key_rate": rate_or_off(queue.key_limit.rate),
        "weight": queue.weight,
        "fair": queue.fair,
        "timeout": duration_or_empty(queue.timeout),
        "max_attempts": number_or_empty(queue.max_attempts),
        "retry": {
            "kind": retry.kind.map_or_else(|| json!(""), |kind| word(&Growth::WORDS, &kind)),
            "backoff_min": duration_or_empty(retry.backoff_min),
            "backoff_max": duration_or_empty(retry.backoff_max),
            "jitter": retry.jitter.map_or_else(|| json!(""), |jitter| json!(jitter)),
            "retry_on": causes(&retry.retry_on),
            "never_on": causes(&retry.never_on),
        },
    })
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn duration_or_off(duration: Option<Duration>) -> Value {
    json!(duration.map_or_else(|| OFF.to_owned(), format_duration))
}

/// The word of the config file that means `value`.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> Value {
    words.iter().find(|(_, known)| known == value).map_or(Value::Null, |(word, _)| json!(word))
}

/// Writes a table: its own fields first, then the tables in it.
fn table(toml: &mut String, settings: &Settings, name: &str, fields: &Map<String, Value>) {
    let is_table = |value: &Value| value.is_object();
    if !name.is_empty() && (fields.is_empty() || fields.values().any(|value| !is_table(value))) {
        line(toml, format_args!("\n[{name}]"));
    }
    for (key, value) in fields.iter().filter(|(_, value)| !is_table(value)) {
        let origin = settings.provenance.get(&join(name, key));
        let origin = origin.map(|origin| format!(" # {origin}").replace('\n', " "));
        line(
            toml,
            format_args!("{} = {}{}", join("", key), literal(value), origin.unwrap_or_default()),
        );
    }
    for (key, value) in fields {
        if let Value::Object(inner) = value {
            table(toml, settings, &join(name, key), inner);
        }
    }
}

fn line(toml: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if writeln!(toml, "{line}").is_err() {
        toml.push('\n');
    }
}

/// A value as TOML. JSON's texts and numbers are TOML's, but for DEL, which TOML escapes.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{} = {}", join("", key), literal(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string().replace('\u{7f}', "\\u007F"),
    }
}
