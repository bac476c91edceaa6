//! Locks, limits, and keys that are held back.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};

use super::{
    Answer, State,
    api::Listing,
    body,
    error::ApiError,
    fields::{Errors, Fields},
    ok, query,
};
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
    query::none(&request)?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let limited = limited(&mut fields);
    let change = limit(&mut fields, "concurrency", "rate");
    fields.finish();
    match errors.or(limited).map_err(ApiError::invalid)? {
        Some(limited) => Ok(ok(&state.queue.limit(&limited, &change).await?)),
        None => Err(ApiError::fault("a limit was read, and not whose it is")),
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
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let change = QueueChange {
        limit: limit(&mut fields, "concurrency", "rate"),
        key_limit: limit(&mut fields, "key_concurrency", "key_rate"),
        weight: fields.integer("weight", 1..=1000).and_then(|weight| u32::try_from(weight).ok()),
        fair: fields.bool("fair"),
    };
    fields.finish();
    let change = errors.or(change).map_err(ApiError::invalid)?;
    Ok(ok(&state.queue.limit_queue(name, &change).await?))
}

pub(super) async fn pause_queue(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let (reason, until) = (fields.text("reason", MAX_REASON), until(&mut fields));
    fields.finish();
    let (reason, until) = errors.or((reason, until)).map_err(ApiError::invalid)?;
    Ok(ok(&state.queue.pause(name, reason, until).await?))
}

pub(super) async fn pause_key(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let key = key(&mut fields);
    let (reason, until) = (fields.text("reason", MAX_REASON), until(&mut fields));
    fields.finish();
    let (key, reason, until) = errors.or((key, reason, until)).map_err(ApiError::invalid)?;
    match key {
        Some(key) => Ok(ok(&state.queue.pause_key(key, reason, until).await?)),
        None => Err(ApiError::fault("a pause was read, and not of which key")),
    }
}

pub(super) async fn resume_key(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let key = key(&mut fields);
    fields.finish();
    match errors.or(key).map_err(ApiError::invalid)? {
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

/// When a pause ends: `until` or `for`.
fn until(fields: &mut Fields<'_>) -> Until {
    let (at, length) = (fields.time("until"), fields.duration("for", false, MAX_PAUSE));
    match (at, length) {
        (Some(_), Some(_)) => {
            fields.wrong("for", "give either `until` or `for`");
            Until::Resumed
        }
        (Some(at), None) => Until::At(at),
        (None, Some(length)) => Until::For(length),
        (None, None) => Until::Resumed,
    }
}
