//! Which events somebody who listens wants, and from where on.

use std::{fmt::Display, str::FromStr};

use actix_web::http::header::HeaderMap;

use super::{After, Query, bad};
use crate::{
    domain::{
        event::EventFilter,
        feed::{FeedCursor, NoCursor},
    },
    http::{
        error::{ApiError, Kind},
        fields::check_text,
        submit::MAX_KIND,
    },
};

/// The most words of one field of a filter.
const MAX_WORDS: usize = 100;

const LAST_EVENT_ID: &str = "last-event-id";

/// Reads the filter of a stream of events, and where it begins: after `Last-Event-ID`, which a
/// client sends when it comes back, else after `?after=`, else now.
pub(in crate::http) fn wanted(
    query: &str,
    headers: &HeaderMap,
) -> Result<(EventFilter, After), ApiError> {
    let known = ["type", "task", "queue", "kind", "group", "batch", "fleet", "after"];
    let query = Query::read(query, &known)?;
    let kinds: Vec<String> = words(&query, "kind")?;
    for kind in &kinds {
        check_text(kind, MAX_KIND).map_err(|detail| bad("kind", &detail))?;
    }
    let filter = EventFilter {
        types: words(&query, "type")?,
        tasks: words(&query, "task")?,
        queues: words(&query, "queue")?,
        kinds,
        groups: words(&query, "group")?,
        batches: words(&query, "batch")?,
        fleets: words(&query, "fleet")?,
    };
    Ok((filter, after(&query, headers)?))
}

fn after(query: &Query, headers: &HeaderMap) -> Result<After, ApiError> {
    if let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        let wrong =
            |detail: String| ApiError::new(Kind::BadHeader, format!("`Last-Event-ID` {detail}"));
        let text = value.to_str().map_err(|_| wrong("must be plain ASCII".to_owned()))?;
        let cursor: FeedCursor = text.parse().map_err(|e: NoCursor| wrong(e.to_string()))?;
        return Ok(After::Cursor(cursor));
    }
    match query.get("after") {
        None | Some("latest") => Ok(After::Latest),
        Some("beginning") => Ok(After::Cursor(FeedCursor::beginning())),
        Some(text) => text.parse().map(After::Cursor).map_err(|e: NoCursor| bad("after", &e)),
    }
}

/// The words of a field, with commas between them.
fn words<T: FromStr<Err: Display>>(query: &Query, name: &str) -> Result<Vec<T>, ApiError> {
    let Some(text) = query.get(name) else { return Ok(Vec::new()) };
    let words: Vec<_> = text.split(',').collect();
    if words.len() > MAX_WORDS {
        return Err(bad(name, &format!("at most {MAX_WORDS} words")));
    }
    words.into_iter().map(|word| word.parse().map_err(|e: T::Err| bad(name, &e))).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(query: &str, id: Option<&str>) -> Result<(EventFilter, After), String> {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            let name = HeaderName::from_static(LAST_EVENT_ID);
            headers.insert(name, HeaderValue::from_str(id).unwrap());
        }
        wanted(query, &headers).map_err(|error| error.problem().detail)
    }

    #[test]
    fn a_client_that_comes_back_goes_on_where_it_was() {
        let cursor = FeedCursor::beginning();
        let id = cursor.to_string();
        let rows = [
            ("", None, After::Latest),
            ("after=latest", None, After::Latest),
            ("after=beginning", None, After::Cursor(cursor.clone())),
            (&*format!("after={id}"), None, After::Cursor(cursor.clone())),
            ("after=latest", Some(&*id), After::Cursor(cursor)),
            ("after=latest", Some(""), After::Latest),
        ];
        for (query, id, place) in rows {
            assert_eq!(read(query, id).unwrap().1, place, "{query} {id:?}");
        }
    }

    #[test]
    fn filters_are_read_and_what_makes_no_sense_is_named() {
        let (filter, _) = read("type=task.ended,task.running&queue=a,b&kind=x%20y", None).unwrap();
        let expected =
            r#"{"types": ["task.ended", "task.running"], "queues": ["a", "b"], "kinds": ["x y"]}"#;
        assert_eq!(filter, serde_json::from_str(expected).unwrap());
        let many = format!("queue={}", ["q"; 101].join(","));
        let rows = [
            ("type=task.done", None, "`type`"),
            ("queue=A%20B", None, "`queue`"),
            ("queue=", None, "`queue`"),
            ("task=7", None, "`task`"),
            ("kind=", None, "`kind`"),
            (&*many, None, "at most 100"),
            ("queues=a", None, "queues"),
            ("after=x", None, "`after`"),
            ("", Some("x"), "`Last-Event-ID`"),
        ];
        for (query, id, word) in rows {
            let detail = read(query, id).unwrap_err();
            assert!(detail.contains(word), "{query}: {detail}");
        }
    }
}
