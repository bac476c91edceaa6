//! What is asked beside a body: parameters of the query, and headers.

use serde_json::{Value, json};

/// A parameter of the query.
pub(super) fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": schema, "description": description })
}

/// A parameter that is a text.
pub(super) fn text(name: &str, description: &str) -> Value {
    query(name, json!({ "type": "string" }), description)
}

/// A parameter that is one of some words.
pub(super) fn word(name: &str, words: &[&str], description: &str) -> Value {
    query(name, json!({ "type": "string", "enum": words }), description)
}

/// A parameter that is a whole number.
pub(super) fn number(name: &str, (default, most): (u32, u32), description: &str) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default });
    query(name, schema, description)
}

/// `?wait=`.
pub(super) fn wait() -> Value {
    let schema = json!({ "type": "string", "examples": ["30s"] });
    query("wait", schema, "Wait so long for it to end; cut to `http.max_wait`.")
}

/// The header by which a request that comes again is known.
pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        "description": "A second submit with the same key is the same.",
    })
}

/// `?tail=` and `?follow=`.
pub(super) fn tail() -> [Value; 2] {
    let lines = json!({ "type": "integer", "minimum": 0, "maximum": 100_000, "default": 100 });
    [
        query("tail", lines, "Begin so many lines before the end."),
        query("follow", json!({ "type": "boolean" }), "Go on with what is written later."),
    ]
}

/// What a log is for one who asks for `text/event-stream`.
pub(super) const LOG: &str = "Its last lines; as events they are `{\"text\": …}`, or \
    `{\"base64\": …}` where they are no text";
