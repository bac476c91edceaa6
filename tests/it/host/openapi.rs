//! The document of the API, held against the host that it describes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::access::address;
use crate::support::{
    host::{Host, WORKER},
    wire::Ask,
};

const KEY: &str = "correct-horse-battery-staple";

/// The document that is kept.
const KEPT: &str = include_str!("../../../docs/openapi.json");

#[test]
fn the_document_and_its_page_are_for_everybody_and_nothing_else_is() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").set("http.api_key", KEY).up();
    let at = address(&host);
    let ask = |path: &str| Ask::new("GET", path).over_tcp(at).unwrap();
    let kept: Value = serde_json::from_str(KEPT).unwrap();
    assert_eq!(ask("/openapi.json").expect(200), kept);
    assert_eq!(ask("/openapi.json").header("Content-Type"), Some("application/json"));
    let files = [
        ("/docs", "text/html"),
        ("/docs/page.js", "text/javascript"),
        ("/docs/page.css", "text/css"),
    ];
    for (path, kind) in files {
        let answer = ask(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("Content-Type").unwrap().starts_with(kind), "{path}");
        assert!(answer.header("Content-Security-Policy").unwrap().contains("default-src 'none'"));
    }
    Ask::new("POST", "/docs").over_tcp(at).unwrap().expect(405);
    for path in ["/docs/", "/docs/other.js", "/openapi.yaml", "/livez", "/api/v1/host"] {
        ask(path).expect(401);
    }
}

#[test]
fn the_command_prints_the_document_or_a_part_where_no_host_runs() {
    let place = Host::embedded("");
    let print = |words: &[&str]| -> Value {
        let done = place.cli(&[&["openapi"], words].concat());
        assert_eq!(done.code, 0, "{done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    };
    let kept: Value = serde_json::from_str(KEPT).unwrap();
    assert_eq!(print(&[]), kept);
    // As docs/CHATGPT_INTEGRATION.md says it.
    let action = print(&["--only", "sendCommand", "--server", "https://hosts.example"]);
    assert_eq!(action["servers"], json!([{ "url": "https://hosts.example" }]));
    assert_eq!(action["paths"].as_object().unwrap().len(), 1);
    assert_eq!(action["paths"]["/webhook"]["post"]["x-openai-isConsequential"], false);
    let none = place.cli(&["openapi", "--only", "fly", "--json"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stderr.contains("`fly`"), "{none:?}");
}

#[test]
fn the_fields_that_are_told_of_bodies_are_those_that_are_read() {
    let host = Host::new(WORKER).up();
    let document: Value = serde_json::from_str(KEPT).unwrap();
    let mut looked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            for schema in
                schema["anyOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice)
            {
                let schema = followed(&document, schema);
                if schema["additionalProperties"] != false {
                    continue;
                }
                let ask = Ask::new(&method.to_uppercase(), &with_names(&document, path, operation));
                look(&host, &document, &ask, schema, &[]);
                looked += 1;
            }
        }
    }
    assert!(looked > 50, "{looked}");
}

#[test]
fn the_examples_of_bodies_are_taken() {
    let host = Host::new(WORKER).up();
    let document: Value = serde_json::from_str(KEPT).unwrap();
    let mut sent = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            if example.is_null() {
                continue;
            }
            // Nobody else is called from a test; the host refuses to call itself.
            let example = example.to_string().replace("https://ops.example", "http://127.0.0.1:9");
            // The fleet of this host has another name.
            let example = example.replace("claude", "quick");
            let path = with_names(&document, path, operation);
            let answer = host.ask(&Ask::new(&method.to_uppercase(), &path).text(example));
            // There may be no such thing, or not in the state for it; nothing is wrong with the request.
            assert!(
                matches!(answer.status, 200..=299 | 404 | 409)
                    // Only who is at work may say that.
                    || answer.status == 403 && path.ends_with("/progress"),
                "{method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            sent += 1;
        }
    }
    assert!(sent > 50, "{sent}");
}

/// The schema itself, where another place is named.
fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let one = schema["oneOf"]
        .as_array()
        .and_then(|parts| parts.iter().find(|part| part["type"] != "null"));
    match one.unwrap_or(schema)["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The path with a name in each of its places.
fn with_names(document: &Value, path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|one| one["in"] == "path").fold(path.to_owned(), |path, one| {
        let pattern = followed(document, &one["schema"])["pattern"].as_str().unwrap_or_default();
        let name = match pattern.split_once('_') {
            Some((prefix, "[0-9a-f]{32}$")) => format!("{}_{:032}", &prefix[1..], 0),
            _ if pattern == "^[0-9a-f]{12}$" => "0".repeat(12),
            _ => "a".to_owned(),
        };
        path.replace(&format!("{{{}}}", one["name"].as_str().unwrap()), &name)
    })
}

/// Sends a field that nobody knows, at the place `within` the body. The answer names those that are
/// known there.
fn look(host: &Host, document: &Value, ask: &Ask, schema: &Value, within: &[&str]) {
    const STRANGE: &str = "zz_unknown";
    let mut inner = json!({ STRANGE: 1 });
    // What tells one body from another that could stand there as well.
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if schema["properties"][name]["type"] == "array" {
            inner[name] = json!([]);
        }
    }
    let body = within.iter().rev().fold(inner, |inner, name| json!({ *name: inner }));
    let answer = host.ask(&ask.clone().json(&body));
    let errors = answer.expect(422)["errors"].as_array().cloned().unwrap_or_default();
    let field = [within, &[STRANGE]].concat().join(".");
    let said = errors.iter().find(|error| error["field"] == field.as_str());
    let said = said.unwrap_or_else(|| panic!("{} {} {field}: {errors:?}", ask.method, ask.path));
    let detail = said["detail"].as_str().unwrap();
    let read: BTreeSet<&str> = match detail.split_once("the fields are ") {
        Some((_, names)) => names.split(", ").collect(),
        None => BTreeSet::new(),
    };
    let told: &Map<String, Value> = &schema["properties"].as_object().cloned().unwrap_or_default();
    let names: BTreeSet<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, read, "{} {} {within:?}: told, and read", ask.method, ask.path);
    for (name, field) in told {
        let inside = followed(document, field);
        if inside["additionalProperties"] == false {
            look(host, document, ask, inside, &[within, &[name]].concat());
        }
    }
}
