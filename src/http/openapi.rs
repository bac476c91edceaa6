//! The document of the API after OpenAPI 3.1, at `/openapi.json`.
//!
//! Schemas are generated from the types that go over the wire; what is said of each route stands in the
//! files below, and a test holds them against the table of routes. What a caller needs is read from
//! that table.

mod crew;
mod events;
mod op;
mod parameters;
mod part;
mod plans;
mod problem;
mod sessions;
mod shape;
mod tasks;

use std::{collections::BTreeMap, sync::LazyLock};

use actix_web::HttpResponse;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    Answer,
    gate::Needs,
    routes::{Verb, routes},
};
use op::Op;
use problem::problems;

pub use part::{NoOperation, Part};

/// The document, as bytes: it is the same for every caller.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

pub(super) async fn show() -> Answer {
    Ok(HttpResponse::Ok().content_type("application/json").body(DOCUMENT.clone()))
}

/// What is said of every route.
fn operations() -> Vec<Op> {
    let mut all = tasks::operations();
    all.extend(plans::operations());
    all.extend(crew::operations());
    all.extend(events::operations());
    all.extend(sessions::operations());
    all
}

/// The whole document.
pub fn document() -> Value {
    let needs: BTreeMap<(String, &str), Needs> = routes()
        .into_iter()
        .flat_map(|(path, verbs)| verbs.into_iter().map(move |verb| of_verb(path, &verb)))
        .collect();
    let mut schemas = BTreeMap::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for mut op in operations() {
        schemas.append(&mut op.schemas);
        let needed = needs.get(&(op.method.to_string(), op.path)).copied();
        let method = op.method.as_str().to_ascii_lowercase();
        paths.entry(op.path).or_default().insert(method, op.describe(needed));
    }
    let (problem, of_problem) = problems();
    schemas.extend(of_problem);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hostler",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keeps fleets of agent processes working. Times are RFC 3339 in UTC; durations \
                in requests are text with a unit (`30s`), in answers whole milliseconds in fields that end \
                in `_ms`. A field that is not known is `null`. Errors are problem documents (RFC 9457).",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This host" }],
        "security": [{ "bearer": [] }, { "apiKey": [] }, {}],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": problem,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": KEY },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": KEY },
            },
        },
    })
}

const KEY: &str = "An API key, as `hostler key create` shows it. Over the unix socket, and on loopback where \
    there are no keys, none is needed.";

const TAGS: [(&str, &str); 11] = [
    ("tasks", "Submit work, and see what becomes of it"),
    ("batches", "Tasks that are counted, or end, together"),
    ("dead letters", "Failed tasks, and what is done about them"),
    ("sessions", "What people and assistants write down, and the webhook"),
    ("plans", "Graphs of tasks that are carried out"),
    ("schedules", "Tasks that are submitted at their times"),
    ("agents", "Fleets, agents and their logs"),
    ("webhooks", "Webhooks that go out, signed"),
    ("limits", "Queues, limits, locks and pauses"),
    ("keys", "API keys, and who did what"),
    ("host", "The host itself"),
];

fn of_verb(path: &'static str, verb: &Verb) -> ((String, &'static str), Needs) {
    ((verb.method.to_string(), path), verb.needs)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn the_document_has_each_route_and_no_other() {
        let in_table: BTreeSet<String> = routes()
            .iter()
            .flat_map(|(path, verbs)| {
                verbs.iter().map(move |verb| format!("{} {path}", verb.method))
            })
            .collect();
        let told: Vec<String> =
            operations().iter().map(|op| format!("{} {}", op.method, op.path)).collect();
        let set: BTreeSet<String> = told.iter().cloned().collect();
        assert_eq!(set.len(), told.len(), "one is told twice");
        assert_eq!(set, in_table);
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_id_is_its_own() {
        fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str));
                    object.values().for_each(|value| walk(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        walk(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let there = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(there.is_some(), "{reference} leads nowhere");
        }
        let ids: Vec<_> = operations().iter().map(|op| op.id).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        // What it would be called if times were told as any text.
        assert!(document.pointer("/components/schemas/String").is_none());
        let tags: BTreeSet<_> = TAGS.iter().map(|(name, _)| *name).collect();
        assert!(operations().iter().all(|op| tags.contains(op.tag)));
    }

    #[test]
    fn what_is_kept_of_the_document_is_what_it_is() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("HOSTLER_WRITE_OPENAPI").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == text,
            "docs/openapi.json is old: run this test with HOSTLER_WRITE_OPENAPI=1"
        );
    }
}
