//! `[schedules.NAME]`.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use config::{Map, Value, ValueKind};

use super::{Queue, check, context::Context, reader::Section};
use crate::domain::{
    QueueName, ScheduleName,
    schedule::{Cadence, CatchUp, MAX_CATCH_UP, MAX_EVERY, MIN_EVERY, Overlap, Schedule, Zone},
};

/// The words of `overlap`.
pub(super) const OVERLAPS: [(&str, Overlap); 3] = [
    (Overlap::Skip.as_str(), Overlap::Skip),
    (Overlap::Queue.as_str(), Overlap::Queue),
    (Overlap::Replace.as_str(), Overlap::Replace),
];

/// The words of `catch_up`.
pub(super) const CATCH_UPS: [(&str, CatchUp); 3] = [
    (CatchUp::None.as_str(), CatchUp::None),
    (CatchUp::Last.as_str(), CatchUp::Last),
    (CatchUp::All.as_str(), CatchUp::All),
];

/// How long an attempt may run, and how long after its due time a task must be finished.
const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(365 * 24 * 60 * 60);

/// The longest kind, in characters.
const MAX_KIND: usize = 255;

/// Reads every schedule, and the defaults even where there is none; each with whether it is made
/// paused. `complete` says that all queues of this host are known.
pub(super) fn read(
    context: &Context<'_>,
    root: &Map<String, Value>,
    queues: &BTreeMap<QueueName, Queue>,
    complete: bool,
) -> Vec<(Schedule, bool)> {
    if let Some(ValueKind::Table(table)) = root.get("schedule_defaults").map(|value| &value.kind) {
        let section = Section::new(context, "schedule_defaults".to_owned(), table);
        fields(&section);
        cadence(&section);
    }
    check::named_tables(root, "schedules", "schedule_defaults")
        .iter()
        .filter_map(|(name, path, value)| match &value.kind {
            ValueKind::Table(table) => {
                let section = Section::new(context, path.clone(), table);
                schedule(name, &section, complete.then_some(queues))
            }
            _ => None,
        })
        .collect()
}

/// The fields that can be read of a schedule and of the defaults alike.
struct Fields {
    queue: Option<QueueName>,
    kind: Option<String>,
    input: Option<serde_json::Value>,
    priority: Option<i16>,
    max_attempts: Option<Option<u32>>,
    timeout: Option<Option<Duration>>,
    deadline: Option<Option<Duration>>,
    stale_after: Option<Option<Duration>>,
    overlap: Option<Overlap>,
    catch_up: Option<CatchUp>,
    catch_up_max: Option<u32>,
    paused: Option<bool>,
    description: Option<String>,
}

fn fields(section: &Section<'_>) -> Fields {
    Fields {
        queue: parsed(section, "queue"),
        kind: kind(section),
        input: section.json("input"),
        priority: section.number("priority", i16::MIN..=i16::MAX),
        max_attempts: section.given("max_attempts", |section, key| section.number(key, 1..=1000)),
        timeout: section.given("timeout", |section, key| section.duration(key, TIMEOUT)),
        deadline: section.given("deadline", |section, key| section.duration(key, TIMEOUT)),
        stale_after: section.given("stale_after", |section, key| section.duration(key, TIMEOUT)),
        overlap: section.word("overlap", &OVERLAPS),
        catch_up: section.word("catch_up", &CATCH_UPS),
        catch_up_max: section.number("catch_up_max", 1..=MAX_CATCH_UP),
        paused: section.bool("paused"),
        description: section.text("description"),
    }
}

fn schedule(
    name: &str,
    section: &Section<'_>,
    queues: Option<&BTreeMap<QueueName, Queue>>,
) -> Option<(Schedule, bool)> {
    let name: Option<ScheduleName> =
        name.parse().map_err(|error| section.wrong(format!("{error}"))).ok();
    let cadence = cadence(section);
    let fields = fields(section);
    if let (Some(queue), Some(queues)) = (&fields.queue, queues)
        && !queues.contains_key(queue)
    {
        let message =
            format!("no fleet serves the queue `{queue}`: put it into the `queues` of a fleet");
        if section.is_own("queue") {
            section.problem("queue", message);
        } else {
            section.missing("queue", &message);
        }
    }
    let cadence = match cadence? {
        Some(cadence) => cadence,
        None => {
            section.wrong("has no time: set `cron` or `every`".to_owned());
            return None;
        }
    };
    let schedule = Schedule {
        name: name?,
        description: fields.description?,
        cadence,
        queue: fields.queue?,
        kind: fields.kind?,
        input: fields.input?,
        priority: fields.priority?,
        max_attempts: fields.max_attempts?,
        timeout: fields.timeout?,
        deadline: fields.deadline?,
        stale_after: fields.stale_after?,
        overlap: fields.overlap?,
        catch_up: fields.catch_up?,
        catch_up_max: fields.catch_up_max?,
    };
    Some((schedule, fields.paused?))
}

/// The cadence; nothing in it where neither kind is set.
fn cadence(section: &Section<'_>) -> Option<Option<Cadence>> {
    let cron = section.given("cron", parsed);
    let every = section.given("every", |section, key| section.duration(key, MIN_EVERY..=MAX_EVERY));
    let zone: Option<Zone> = parsed(section, "zone");
    match (cron?, every?) {
        (Some(_), Some(_)) => {
            section.problem("every", "give either `cron` or `every`".to_owned());
            None
        }
        (Some(cron), None) => Some(Some(Cadence::Cron(cron, zone?))),
        (None, Some(every)) => Some(Some(Cadence::Every(every))),
        (None, None) => Some(None),
    }
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    section: &Section<'_>,
    key: &str,
) -> Option<T> {
    let text = section.text(key)?;
    text.parse().map_err(|error: T::Err| section.problem(key, error.to_string())).ok()
}

pub(super) fn kind(section: &Section<'_>) -> Option<String> {
    let kind = section.text("kind")?;
    let is_plain =
        !kind.is_empty() && kind.chars().count() <= MAX_KIND && !kind.chars().any(char::is_control);
    if !is_plain {
        let message = format!("must have 1 to {MAX_KIND} characters, and no control characters");
        section.problem("kind", message);
        return None;
    }
    Some(kind)
}
