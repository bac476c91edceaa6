//! The problems that operations answer with.

use serde_json::{Map, Value, json};

use super::shape::{Schemas, Shape, of};
use crate::http::api::{PROBLEM_JSON, Problem};

/// The problems that operations answer with: status, `type`, name here, and when.
pub(super) const PROBLEMS: [(&str, &str, &str, &str); 13] = [
    ("400", "bad-query", "BadRequest", "The path, the query, a header or the JSON can't be read"),
    ("401", "no-key", "Unauthorized", "The API key is missing, not known, expired or revoked"),
    (
        "403",
        "forbidden",
        "Forbidden",
        "The API key does not allow this; `detail` says what is missing",
    ),
    ("404", "not-found", "NotFound", "There is no such thing"),
    ("408", "slow-body", "SlowBody", "The body took too long to arrive"),
    ("409", "wrong-state", "Conflict", "It is not in the state for this"),
    ("410", "feed-cut", "Gone", "What comes next was deleted"),
    ("413", "too-large", "TooLarge", "The body is larger than `http.max_body`"),
    ("415", "not-json", "NotJson", "The body is not sent as `application/json`"),
    ("422", "invalid", "Invalid", "Fields of the body are wrong; `errors` names each"),
    ("429", "too-often", "TooOften", "The API key has asked as often as it may"),
    ("500", "internal", "Internal", "A fault of Hostler; its log says why"),
    ("503", "unavailable", "Unavailable", "Postgres can't be reached just now"),
];

/// The answers that are problems, and the schemas they are made of.
pub(super) fn problems() -> (Map<String, Value>, Schemas) {
    let Shape { schema, parts } = of::<Problem>();
    let mut answers = Map::new();
    for (status, word, name, description) in PROBLEMS {
        let mut answer = json!({ "description": description, "content": { PROBLEM_JSON: {
            "schema": schema,
            "example": {
                "type": format!("urn:hostler:problem:{word}"),
                "title": description,
                "status": status.parse::<u16>().unwrap_or_default(),
                "detail": "what was wrong with this request, and what to do about it",
            },
        }}});
        if matches!(status, "429" | "503") {
            answer["headers"]["Retry-After"] = json!({
                "schema": { "type": "integer" }, "description": "When to try again, in seconds",
            });
        }
        answers.insert(name.to_owned(), answer);
    }
    (answers, parts)
}
