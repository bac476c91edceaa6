//! Reading paths, queries and headers. A parameter that is not known is an error, not ignored: a
//! misspelt filter would show the wrong tasks.

mod pages;
mod wanted;

use std::{fmt::Display, str::FromStr, time::Duration};

use actix_web::{HttpRequest, http::header::HeaderMap, web};
use jiff::Timestamp;

use super::{
    api::IDEMPOTENCY_KEY,
    error::{ApiError, Kind},
    fields::{MAX_KEY, check_text},
    submit::MAX_KIND,
};
use crate::{
    domain::{
        Attempt, TaskId,
        audit::{AuditFilter, MAX_TEXT},
        bulk::Selection,
        delivery::DeliveryState,
        feed::{FeedCursor, NoCursor},
        record::{GraphExtent, TaskFilter},
        task::TaskState,
    },
    settings::parse_duration,
    webhooks::DeliveryFilter,
};

pub(super) use {
    pages::{batches, page},
    wanted::wanted,
};

/// How many tasks a page holds where the caller does not say.
pub(super) const DEFAULT_LIMIT: u32 = 50;

/// The most tasks on a page.
pub(super) const MAX_LIMIT: u32 = 500;

/// How many tasks of a graph are told where the caller does not say.
pub(super) const DEFAULT_GRAPH: u32 = 1_000;

/// The most tasks of a graph that are told.
pub(super) const MAX_GRAPH: u32 = 200_000;

/// How many steps of the feed are told where the caller does not say, and the most.
pub(super) const DEFAULT_FEED: u32 = 100;
pub(super) const MAX_FEED: u32 = 1000;

/// How many lines of a log are shown where the caller does not say.
const DEFAULT_TAIL: u32 = 100;

/// The most lines of a log that are looked for.
const MAX_TAIL: u32 = 100_000;

/// Reads a part of the path.
pub(super) fn path<T: FromStr<Err: Display>>(
    request: &HttpRequest,
    name: &str,
) -> Result<T, ApiError> {
    let text = request.match_info().get(name).unwrap_or_default();
    text.parse().map_err(|error: T::Err| ApiError::new(Kind::BadPath, error.to_string()))
}

/// The parameters of one query, each taken once.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a request whose route knows the parameters `known`.
    pub(super) fn read(query: &str, known: &[&str]) -> Result<Self, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::new(Kind::BadQuery, error.to_string()))?
            .into_inner();
        for (nth, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = match known {
                    [] => format!("`{}` is not known here; no parameter is", plain(name)),
                    known => format!("`{}` is not one of {}", plain(name), known.join(", ")),
                };
                return Err(ApiError::new(Kind::BadQuery, detail));
            }
            if pairs[..nth].iter().any(|(before, _)| before == name) {
                return Err(ApiError::new(Kind::BadQuery, format!("`{name}` is given twice")));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// The list of words that `name` is, each parsed; none if it is absent.
    pub(super) fn words<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Vec<T>, ApiError> {
        let words = self.get(name).into_iter().flat_map(|text| text.split(','));
        words.map(|word| word.parse().map_err(|error: T::Err| bad(name, &error))).collect()
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        self.get(name).map(|text| text.parse().map_err(|e: T::Err| bad(name, &e))).transpose()
    }

    /// A text of 1 to `max` characters, none of them a control character.
    pub(super) fn text(&self, name: &str, max: usize) -> Result<Option<String>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        check_text(text, max).map_err(|detail| bad(name, &detail))?;
        Ok(Some(text.to_owned()))
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let detail = "must be a time with its offset after RFC 3339, as in `2030-01-31T08:00:00Z`";
        self.get(name).map(|text| text.parse().map_err(|_| bad(name, &detail))).transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad(name, &"must be `true` or `false`")),
        }
    }

    fn limit(&self) -> Result<u32, ApiError> {
        self.number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    }

    fn before(&self) -> Result<Option<TaskId>, ApiError> {
        let detail = "is no cursor; send the `next_cursor` of the page before";
        let cursor = self.get("cursor");
        cursor.map(|text| text.parse().map_err(|_| bad("cursor", &detail))).transpose()
    }

    pub(super) fn number(
        &self,
        name: &str,
        default: u32,
        least: u32,
        most: u32,
    ) -> Result<u32, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| bad(name, &format!("must be a whole number from {least} to {most}")))
    }
}

fn bad(name: &str, detail: &dyn Display) -> ApiError {
    ApiError::new(Kind::BadQuery, format!("`{name}`: {detail}"))
}

/// What may be repeated to the caller of a word that the caller chose.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Refuses any parameter.
pub(super) fn none(request: &HttpRequest) -> Result<(), ApiError> {
    Query::read(request.query_string(), &[]).map(|_| ())
}

/// Reads `?wait=`. A wait longer than `max` is cut to it.
pub(super) fn wait(query: &str, max: Duration) -> Result<Option<Duration>, ApiError> {
    let query = Query::read(query, &["wait"])?;
    let wait = query.get("wait").map(|text| parse_duration(text).map_err(|e| bad("wait", &e)));
    Ok(wait.transpose()?.map(|wait| wait.min(max)))
}

/// Reads one number, the only parameter there is.
pub(super) fn count(query: &str, name: &str, default: u32, most: u32) -> Result<u32, ApiError> {
    Query::read(query, &[name])?.number(name, default, 1, most)
}

/// Reads the filter of a listing of tasks.
pub(super) fn filter(query: &str) -> Result<TaskFilter, ApiError> {
    let known = [
        "state",
        "queue",
        "kind",
        "group",
        "batch",
        "class",
        "created_after",
        "created_before",
        "limit",
        "cursor",
    ];
    let query = Query::read(query, &known)?;
    let states = match query.get("state") {
        None => Vec::new(),
        Some(words) => words
            .split(',')
            .map(|word| word.parse::<TaskState>().map_err(|error| bad("state", &error)))
            .collect::<Result<_, _>>()?,
    };
    Ok(TaskFilter {
        states,
        queue: query.parsed("queue")?,
        kind: query.text("kind", MAX_KIND)?,
        group: query.parsed("group")?,
        batch: query.parsed("batch")?,
        class: query.parsed("class")?,
        created_after: query.time("created_after")?,
        created_before: query.time("created_before")?,
        limit: query.limit()?,
        before: query.before()?,
    })
}

/// Which failed tasks a listing shows.
#[derive(Debug, PartialEq)]
pub(super) struct Letters {
    /// Those.
    pub(super) selection: Selection,
    /// Older than this one.
    pub(super) before: Option<TaskId>,
    /// At most so many.
    pub(super) limit: u32,
}

/// Reads the filter of a listing of failed tasks.
pub(super) fn letters(query: &str) -> Result<Letters, ApiError> {
    let known = [
        "queue",
        "kind",
        "group",
        "batch",
        "class",
        "created_after",
        "created_before",
        "discarded",
        "limit",
        "cursor",
    ];
    let query = Query::read(query, &known)?;
    let selection = Selection {
        states: vec![TaskState::Failed],
        queue: query.parsed("queue")?,
        kind: query.text("kind", MAX_KIND)?,
        group: query.parsed("group")?,
        batch: query.parsed("batch")?,
        class: query.parsed("class")?,
        created_after: query.time("created_after")?,
        created_before: query.time("created_before")?,
        tasks: None,
        discarded: query.flag("discarded")?,
    };
    Ok(Letters { selection, before: query.before()?, limit: query.limit()? })
}

/// Reads the filter of a listing of webhooks that were sent.
pub(super) fn deliveries(query: &str) -> Result<DeliveryFilter, ApiError> {
    let query = Query::read(query, &["endpoint", "state", "task", "limit", "cursor"])?;
    let state = query.get("state").map(|word| {
        let known = DeliveryState::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| bad("state", &"must be `pending`, `delivered` or `dead`"))
    });
    let before = query.get("cursor").map(|text| {
        let detail = "is no cursor; send the `next_cursor` of the page before";
        text.parse().map_err(|_| bad("cursor", &detail))
    });
    Ok(DeliveryFilter {
        endpoint: query.parsed("endpoint")?,
        state: state.transpose()?,
        task: query.parsed("task")?,
        before: before.transpose()?,
        limit: query.limit()?,
    })
}

/// Reads which part of the audit record is asked for.
pub(super) fn audit(query: &str) -> Result<AuditFilter, ApiError> {
    let known = [
        "who",
        "operation",
        "object",
        "outcome",
        "surface",
        "since",
        "until",
        "order",
        "limit",
        "cursor",
    ];
    let query = Query::read(query, &known)?;
    let line = |name| query.text(name, MAX_TEXT);
    let cursor = query.get("cursor").map(|text| {
        let detail = "is no cursor; send the `next_cursor` of the page before";
        text.parse().map_err(|_| bad("cursor", &detail))
    });
    Ok(AuditFilter {
        who: line("who")?,
        operation: line("operation")?,
        object: line("object")?,
        outcome: query.parsed("outcome")?,
        surface: query.parsed("surface")?,
        since: query.time("since")?,
        until: query.time("until")?,
        oldest_first: match query.get("order") {
            None | Some("newest") => false,
            Some("oldest") => true,
            Some(_) => return Err(bad("order", &"must be `newest` or `oldest`")),
        },
        limit: query.limit()?,
        cursor: cursor.transpose()?,
    })
}

/// Reads how much of a graph is asked for.
pub(super) fn extent(query: &str) -> Result<GraphExtent, ApiError> {
    let query = Query::read(query, &["extent", "limit"])?;
    let limit = query.number("limit", DEFAULT_GRAPH, 1, MAX_GRAPH)?;
    match query.get("extent") {
        None | Some("all") => Ok(GraphExtent::All(limit)),
        Some("near") => Ok(GraphExtent::Near(limit)),
        Some(_) => Err(bad("extent", &"must be `all` or `near`")),
    }
}

/// Where in the feed to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// After what a reader has had.
    Cursor(FeedCursor),
    /// With what happens from now on.
    Latest,
}

/// What of the feed is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Feed {
    /// Where to begin.
    pub(super) after: After,
    /// How many steps at most.
    pub(super) limit: u32,
    /// How long to wait for one.
    pub(super) wait: Duration,
}

/// Reads `?after=`, `?limit=` and `?wait=`. A wait longer than `max` is cut to it.
pub(super) fn feed(query: &str, max: Duration) -> Result<Feed, ApiError> {
    let query = Query::read(query, &["after", "limit", "wait"])?;
    let after = match query.get("after") {
        None | Some("beginning") => After::Cursor(FeedCursor::beginning()),
        Some("latest") => After::Latest,
        Some(text) => After::Cursor(text.parse().map_err(|e: NoCursor| bad("after", &e))?),
    };
    let wait = query.get("wait").map(|text| parse_duration(text).map_err(|e| bad("wait", &e)));
    Ok(Feed {
        after,
        limit: query.number("limit", DEFAULT_FEED, 1, MAX_FEED)?,
        wait: wait.transpose()?.unwrap_or_default().min(max),
    })
}

/// How much of a log is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// Begin so many lines before the end.
    pub(super) lines: u32,
    /// Go on with what is written later.
    pub(super) follow: bool,
}

/// Reads `?tail=` and `?follow=`.
pub(super) fn tail(query: &str) -> Result<Tail, ApiError> {
    let query = Query::read(query, &["tail", "follow"])?;
    let lines = query.number("tail", DEFAULT_TAIL, 0, MAX_TAIL)?;
    Ok(Tail { lines, follow: query.flag("follow")? })
}

/// Which of an attempt's files is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// What a process of its own wrote to stdout.
    Stdout,
    /// And to stderr.
    Stderr,
    /// What a worker wrote meanwhile.
    Log,
}

impl Stream {
    /// Its word, and the name of the file.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
        }
    }
}

/// Which log of a task is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfAttempt {
    pub(super) attempt: Option<Attempt>,
    pub(super) stream: Option<Stream>,
}

/// Reads `tail`, `follow`, `attempt` and `stream`.
pub(super) fn attempt_log(query: &str) -> Result<(Tail, OfAttempt), ApiError> {
    let query = Query::read(query, &["tail", "follow", "attempt", "stream"])?;
    let lines = query.number("tail", DEFAULT_TAIL, 0, MAX_TAIL)?;
    let attempt = match query.get("attempt") {
        Some(_) => Some(Attempt(query.number("attempt", 1, 1, i32::MAX.unsigned_abs())?)),
        None => None,
    };
    let streams = [Stream::Stdout, Stream::Stderr, Stream::Log];
    let stream = query.get("stream").map(|word| {
        let found = streams.into_iter().find(|stream| stream.as_str() == word);
        found.ok_or_else(|| bad("stream", &"must be `stdout`, `stderr` or `log`"))
    });
    let of = OfAttempt { attempt, stream: stream.transpose()? };
    Ok((Tail { lines, follow: query.flag("follow")? }, of))
}

/// Reads the `Idempotency-Key` header.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let bad =
        |detail: String| ApiError::new(Kind::BadHeader, format!("`Idempotency-Key` {detail}"));
    let key = value.to_str().map_err(|_| bad("must be plain ASCII".to_owned()))?;
    check_text(key, MAX_KEY).map_err(bad)?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests;
