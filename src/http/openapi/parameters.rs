//! What is asked beside a body: parameters of the query, and headers.

use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::shape::value;
use crate::http::api::Length;

/// A parameter of the query.
pub(super) fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": schema, "description": description })
}

/// A parameter that is what `T` is.
pub(super) fn a<T: PartialSchema>(name: &str, description: &str) -> Value {
    query(name, value(&T::schema()), description)
}

/// The same, but it must be given.
pub(super) fn required(mut parameter: Value) -> Value {
    parameter["required"] = json!(true);
    parameter
}

/// A parameter that is a list of some words, with commas between them.
pub(super) fn words(
    name: &str,
    words: impl IntoIterator<Item = &'static str>,
    description: &str,
) -> Value {
    let any = words.into_iter().collect::<Vec<_>>().join("|");
    let schema = json!({ "type": "string", "pattern": format!("^({any})(,({any}))*$") });
    query(name, schema, &format!("{description} With commas between them."))
}

/// A parameter that is a list of what `T` is, with commas between them.
pub(super) fn list<T: PartialSchema>(name: &str, description: &str) -> Value {
    let one = value(&T::schema());
    let one = one["pattern"].as_str().unwrap_or("^.+$");
    let one = one.trim_start_matches('^').trim_end_matches('$');
    let schema = json!({ "type": "string", "pattern": format!("^{one}(,{one})*$") });
    query(name, schema, &format!("{description} With commas between them."))
}

/// A parameter that is a time.
pub(super) fn time(name: &str, description: &str) -> Value {
    query(name, json!({ "type": "string", "format": "date-time" }), description)
}

/// A parameter that is true or false.
pub(super) fn flag(name: &str, description: &str) -> Value {
    query(name, json!({ "type": "boolean" }), description)
}

/// `?cursor=`, which looks so.
pub(super) fn cursor(pattern: &str) -> Value {
    let schema = json!({ "type": "string", "pattern": pattern });
    query("cursor", schema, "Go on after a page: its `next_cursor`.")
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
    a::<Length>("wait", "Wait so long for it to end; cut to `http.max_wait`.")
}

/// The header by which a request that comes again is known.
pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header",
        "schema": { "type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$" },
        "description": "A second request with the same key, by the same API key, is the same.",
    })
}

/// `?tail=` and `?follow=`.
pub(super) fn tail() -> [Value; 2] {
    let lines = json!({ "type": "integer", "minimum": 0, "maximum": 100_000, "default": 100 });
    [
        query("tail", lines, "Begin so many lines before the end."),
        flag("follow", "Go on with what is written later."),
    ]
}

/// What a log is for one who asks for `text/event-stream`.
pub(super) const LOG: &str = "Its last lines; as events they are `{\"text\": …}`, or \
    `{\"base64\": …}` where they are no text";
