//! Schedules: tasks that are submitted again and again at their times.
//!
//! [`plan`] decides what is done about the times that have come; who carries it out holds the row of
//! the schedule, and keeps one record per due time, so that none fires twice. Pure.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{
    QueueName, ScheduleName, TaskId,
    cron::Cron,
    task::{NewTask, Terms},
};

/// A due time counts as missed under [`CatchUp::None`] when it is looked at so late.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// The shortest time between two due times of [`Cadence::Every`].
pub const MIN_EVERY: Duration = Duration::from_secs(1);

/// The longest time between two due times of [`Cadence::Every`].
pub const MAX_EVERY: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// So many missed due times are counted; beyond, it is only said that there were more.
const MAX_COUNTED: usize = 5_000;

/// The most due times that one look catches up on.
pub const MAX_CATCH_UP: u32 = 1000;

/// A time zone by its name in the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that is no time zone's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time zone: write a name of the IANA database, as in `Europe/Berlin`, or `UTC`"
)]
pub struct UnknownZone(String);

impl Zone {
    /// The zone without a change of the clocks.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its rules.
    pub const fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// `time` by its clocks, as RFC 3339 has it.
    pub fn show(&self, time: Timestamp) -> String {
        time.display_with_offset(self.0.to_offset(time)).to_string()
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(text.chars().filter(|c| !c.is_control()).take(64).collect());
        let zone = TimeZone::get(text).map_err(|_| unknown())?;
        if zone.iana_name().is_some() { Ok(Self(zone)) } else { Err(unknown()) }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    /// At these times of day, by the clocks of the zone.
    Cron(Cron, Zone),
    /// Whenever so much time has passed since it was made or changed.
    Every(Duration),
}

impl Cadence {
    /// The first due time after `after`, of a schedule that was made at `anchor`.
    pub fn next_after(&self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron, zone) => cron.next_after(after.max(anchor), zone.rules()),
            Self::Every(every) => {
                let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
                let since = after.duration_since(anchor).as_millis().max(0);
                let rounds = i64::try_from(since).ok()? / every + 1;
                let wait = SignedDuration::from_millis(every.checked_mul(rounds)?);
                anchor.checked_add(wait).ok()
            }
        }
    }

    /// The zone that its times are shown in.
    pub fn zone(&self) -> &Zone {
        static UTC: Zone = Zone::UTC;
        match self {
            Self::Cron(_, zone) => zone,
            Self::Every(_) => &UTC,
        }
    }
}

/// What happens at a due time while a task of it is not finished.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing: the due time is passed over.
    Skip,
    /// Another task is submitted all the same.
    Queue,
    /// What is not finished is called off, and another one submitted.
    Replace,
}

impl Overlap {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Queue, Self::Replace];

    /// The word used in SQL, in the API and in the config file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
        }
    }
}

/// What happens to due times at which no host looked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are passed over.
    None,
    /// The last of them fires.
    Last,
    /// All of them fire, up to a bound.
    All,
}

impl CatchUp {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::None, Self::Last, Self::All];

    /// The word used in SQL, in the API and in the config file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Last => "last",
            Self::All => "all",
        }
    }
}

/// Who made a schedule.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The config file of a host; the file wins at each start.
    Config,
    /// Somebody, by the API or the command line.
    Api,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 2] = [Self::Config, Self::Api];

    /// The word used in SQL and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Api => "api",
        }
    }
}

/// A schedule, as somebody writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// What it is for, for people.
    pub description: String,
    /// When it is due.
    pub cadence: Cadence,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// Their kind.
    pub kind: String,
    /// Their input; see [`Schedule::task`] for what is replaced in it.
    pub input: Value,
    /// Their priority.
    pub priority: i16,
    /// How many of their attempts may fail; the queue's where absent.
    pub max_attempts: Option<u32>,
    /// How long one attempt may run; the queue's where absent.
    pub timeout: Option<Duration>,
    /// How long after its due time a task must be finished.
    pub deadline: Option<Duration>,
    /// How long an agent may be silent at one of them; its fleet's limit where absent.
    pub stale_after: Option<Duration>,
    /// What happens while a task of it is not finished.
    pub overlap: Overlap,
    /// What happens to due times that nobody looked at.
    pub catch_up: CatchUp,
    /// The most due times that [`CatchUp::All`] fires at once.
    pub catch_up_max: u32,
}

impl Schedule {
    /// The task for the due time `due`. In every text of its input `{{ scheduled_for }}` is
    /// replaced by that time by the clocks of the zone, and `{{ schedule }}` by the name.
    pub fn task(&self, id: TaskId, due: Timestamp, max_attempts: u32) -> NewTask {
        let names =
            [("scheduled_for", self.cadence.zone().show(due)), ("schedule", self.name.to_string())];
        NewTask {
            id,
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            input: filled(&self.input, &names),
            priority: self.priority,
            run_at: None,
            max_attempts: self.max_attempts.unwrap_or(max_attempts),
            timeout: self.timeout,
            idempotency_key: None,
            terms: Terms {
                schedule: Some(self.name.clone()),
                deadline: self.deadline.and_then(|wait| due.checked_add(wait).ok()),
                stale_after: self.stale_after,
                ..Terms::default()
            },
        }
    }
}

/// `value` with the names replaced in all of its texts.
fn filled(value: &Value, names: &[(&str, String)]) -> Value {
    match value {
        Value::String(text) => Value::String(filled_text(text, names)),
        Value::Array(items) => items.iter().map(|item| filled(item, names)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), filled(field, names)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// `{{ name }}` becomes its value; other braces stay as they are, whatever is between them.
fn filled_text(text: &str, names: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let inside = &rest[open + 2..];
        let word = inside.find("}}").map(|close| (inside[..close].trim(), close));
        let value = word.and_then(|(word, close)| {
            names.iter().find(|(name, _)| *name == word).map(|(_, value)| (value, close))
        });
        // Past one brace only: the next may begin a name.
        let (shown, past) = match value {
            Some((value, close)) => (value.as_str(), open + 2 + close + 2),
            None => ("{", open + 1),
        };
        out.push_str(&rest[..open]);
        out.push_str(shown);
        rest = &rest[past..];
    }
    out + rest
}

/// What is done about one due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A task is submitted.
    Fire,
    /// What is not finished is called off, and a task is submitted.
    Replace,
    /// Nothing: a task of it is not finished, or the next due time takes its place.
    Skip,
}

/// Due times that nobody looked at and that are not caught up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first of them.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many they are; absent where they were not counted.
    pub count: Option<u64>,
}

/// What is done about a schedule now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The due times that something is done about, in their order.
    pub firings: Vec<(Timestamp, Action)>,
    /// Those before them that are passed over.
    pub missed: Option<Missed>,
    /// The next due time; none only at the end of the calendar.
    pub next: Option<Timestamp>,
}

/// Decides what is done at `now` about `schedule`, which has been due since `due`. `anchor` is when
/// it was made, and `busy` says that a task of it is not finished.
pub fn plan(
    schedule: &Schedule,
    anchor: Timestamp,
    due: Timestamp,
    now: Timestamp,
    busy: bool,
) -> Plan {
    let next = schedule.cadence.next_after(now, anchor);
    if due > now {
        return Plan { firings: Vec::new(), missed: None, next: Some(due) };
    }
    let most = match schedule.catch_up {
        CatchUp::None | CatchUp::Last => 1,
        CatchUp::All => schedule.catch_up_max.max(1) as usize,
    };
    let (mut times, mut missed) = newest(&schedule.cadence, anchor, due, now, most);
    if schedule.catch_up == CatchUp::None {
        let is_late = |time: &Timestamp| now.duration_since(*time).unsigned_abs() > ON_TIME;
        if let Some(late) = times.pop_if(|time| is_late(time)) {
            let before = missed.map(|missed| (missed.first, missed.count));
            let (first, count) = before.unwrap_or((late, Some(0)));
            missed = Some(Missed { first, last: late, count: count.map(|count| count + 1) });
        }
    }
    let last = times.len().saturating_sub(1);
    let action = |(nth, time)| {
        let action = match schedule.overlap {
            Overlap::Skip if busy || nth > 0 => Action::Skip,
            // What the next one would replace at once is not begun.
            Overlap::Replace if nth < last => Action::Skip,
            Overlap::Replace if busy => Action::Replace,
            _ => Action::Fire,
        };
        (time, action)
    };
    let firings = times.into_iter().enumerate().map(action).collect();
    Plan { firings, missed, next }
}

/// The last `most` due times from `due` to `now`, and those before them.
fn newest(
    cadence: &Cadence,
    anchor: Timestamp,
    due: Timestamp,
    now: Timestamp,
    most: usize,
) -> (Vec<Timestamp>, Option<Missed>) {
    let from = |last| Times { cadence, anchor, now, last };
    let mut times: Vec<Timestamp> =
        std::iter::once(due).chain(from(due)).take(MAX_COUNTED + 1).collect();
    let are_all = times.len() <= MAX_COUNTED;
    if !are_all {
        times = tail(now, due, most + 1, from);
    }
    let older: Vec<Timestamp> = times.drain(..times.len().saturating_sub(most)).collect();
    let missed = older.last().map(|last| Missed {
        first: due,
        last: *last,
        count: u64::try_from(older.len()).ok().filter(|_| are_all),
    });
    (times, missed)
}

/// At least the last `most` due times up to `now`: looked for from close to `now`, and from further
/// back only if they are too few.
fn tail<'a>(
    now: Timestamp,
    due: Timestamp,
    most: usize,
    from: impl Fn(Timestamp) -> Times<'a>,
) -> Vec<Timestamp> {
    let mut back = SignedDuration::from_mins(2);
    loop {
        let begin = now.checked_sub(back).map_or(due, |begin| begin.max(due));
        let times: Vec<Timestamp> = from(begin).collect();
        if times.len() >= most || begin == due {
            return times;
        }
        back = back.saturating_mul(8);
    }
}

/// The due times after `last`, up to `now`.
struct Times<'a> {
    cadence: &'a Cadence,
    anchor: Timestamp,
    now: Timestamp,
    last: Timestamp,
}

impl Iterator for Times<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let next = self.cadence.next_after(self.last, self.anchor);
        let next = next.filter(|next| *next <= self.now)?;
        self.last = next;
        Some(next)
    }
}

mod record;

pub use record::{FiringOutcome, FiringRecord, ScheduleRecord, Upcoming};

#[cfg(test)]
mod tests;
