//! Locks, limits, and keys that are held back.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};
use jiff::Timestamp;

use super::{Answer, State, api::Listing, body, error::ApiError, fields::Fields, ok, query};
use crate::{
    domain::{
        FleetName,
        admission::{KeyPattern, LimitChange, Limited, QueueChange, Rate, Until},
    },
    settings::parse_rate,
};

/// The longest reason of a pause, in characters.
const MAX_REASON: usize = 1000;

/// The longest pause that is told by its length.
const MAX_PAUSE: Duration = Duration::from_secs(3650 * 86_400);

/// The longest rate, in characters.
const MAX_RATE: usize = 64;

/// The most that a limit may allow.
const MOST: i64 = 1_000_000;

pub(super) async fn locks(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.queue.locks().await? }))
}

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&state.queue.limits().await?))
}

pub(super) async fn change(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let read = body::fields(&state, &request, payload, |fields| {
        (limited(fields), limit(fields, "concurrency", "rate"))
    });
    match read.await? {
        (Some(limited), change) => Ok(ok(&state.queue.limit(&limited, &change).await?)),
        (None, _) => Err(ApiError::fault("a limit was read, and not whose it is")),
    }
}

/// Whose limit is to change: `key`, `fleet` or `all`, and only one of them.
fn limited(fields: &mut Fields<'_>) -> Option<Limited> {
    let key = fields.parsed::<KeyPattern>("key").map(Limited::Key);
    let fleet = fields.parsed::<FleetName>("fleet").map(Limited::Fleet);
    let all = fields.bool("all").filter(|all| *all).map(|_| Limited::All);
    let mut named = key.into_iter().chain(fleet).chain(all);
    let first = named.next();
    if first.is_none() || named.next().is_some() {
        fields.wrong("key", "name one thing that is limited: `key`, `fleet`, or `all: true`");
        return None;
    }
    first
}

fn limit(fields: &mut Fields<'_>, concurrency: &'static str, rate: &'static str) -> LimitChange {
    LimitChange { concurrency: count_or_off(fields, concurrency), rate: rate_or_off(fields, rate) }
}

/// How many, or `"off"`, which is none.
fn count_or_off(fields: &mut Fields<'_>, name: &'static str) -> Option<Option<u32>> {
    if fields.is_off(name) {
        return Some(None);
    }
    fields.integer(name, 0..=MOST).map(|count| u32::try_from(count).ok())
}

/// A rate such as `"60/1m"`, or `"off"`, which is none.
pub(super) fn rate_or_off(fields: &mut Fields<'_>, name: &'static str) -> Option<Option<Rate>> {
    if fields.is_off(name) {
        return Some(None);
    }
    let text = fields.text(name, MAX_RATE)?;
    parse_rate(&text).map_err(|detail| fields.wrong(name, detail)).ok().map(Some)
}

pub(super) async fn of_queue(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = query::path(&request, "name")?;
    let change = body::fields(&state, &request, payload, |fields| QueueChange {
        limit: limit(fields, "concurrency", "rate"),
        key_limit: limit(fields, "key_concurrency", "key_rate"),
        weight: fields.integer("weight", 1..=1000).and_then(|weight| u32::try_from(weight).ok()),
        fair: fields.bool("fair"),
    });
    let change = change.await?;
    Ok(ok(&state.queue.limit_queue(name, &change).await?))
}

pub(super) async fn pause_queue(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let name = query::path(&request, "name")?;
    let (reason, until) = body::fields(&state, &request, payload, pause).await?;
    Ok(ok(&state.queue.pause(name, reason, until).await?))
}

pub(super) async fn pause_key(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let read = body::fields(&state, &request, payload, |fields| (key(fields), pause(fields)));
    match read.await? {
        (Some(key), (reason, until)) => Ok(ok(&state.queue.pause_key(key, reason, until).await?)),
        (None, _) => Err(ApiError::fault("a pause was read, and not of which key")),
    }
}

pub(super) async fn resume_key(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    match body::fields(&state, &request, payload, key).await? {
        Some(key) => Ok(ok(&state.queue.resume_key(key).await?)),
        None => Err(ApiError::fault("the end of a pause was read, and not of which key")),
    }
}

fn key(fields: &mut Fields<'_>) -> Option<KeyPattern> {
    let known = fields.gives("key");
    let key = fields.parsed("key");
    if !known {
        fields.wrong("key", "is missing: name a key, or the beginning of keys with a `*` after it");
    }
    key
}

/// Why something is paused, and until when.
fn pause(fields: &mut Fields<'_>) -> (Option<String>, Until) {
    (fields.text("reason", MAX_REASON), until(fields))
}

/// When a pause ends: `until` or `for`.
fn until(fields: &mut Fields<'_>) -> Until {
    let (at, length) = (fields.time("until"), fields.duration("for", false, MAX_PAUSE));
    match (at, length) {
        (Some(_), Some(_)) => {
            fields.wrong("for", "give either `until` or `for`");
            Until::Resumed
        }
        (Some(at), None) if at <= Timestamp::now() => {
            fields.wrong("until", "must be a time to come: nothing would be paused");
            Until::Resumed
        }
        (Some(at), None) => Until::At(at),
        (None, Some(length)) => Until::For(length),
        (None, None) => Until::Resumed,
    }
}
