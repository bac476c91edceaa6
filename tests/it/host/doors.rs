//! The same doors before every route there is: the key, `Host`, `Origin`, and no CORS.

use std::{collections::BTreeSet, net::SocketAddr};

use super::access::address;
use crate::support::{
    host::{Host, WORKER},
    wire::{Answer, Ask},
};

const KEY: &str = "correct-horse-battery-staple";

/// What everybody may see: it is the same on every host, and tells nothing of this one to who has no key.
const PUBLIC: [&str; 5] =
    ["/openapi.json", "/docs", "/docs/page.js", "/docs/page.css", "/llm-instructions"];

/// Every method and path that `docs/HTTP.md` names; that these are all is a test of the table of routes.
fn routes() -> BTreeSet<(String, String)> {
    let document = include_str!("../../../docs/HTTP.md");
    let mut found = BTreeSet::new();
    for quoted in document.split('`').skip(1).step_by(2) {
        let mut words = quoted.split([' ', '?']);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { continue };
        let is_method = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method);
        if is_method && path.starts_with('/') && !path.contains('…') {
            found.insert((method.to_owned(), path.to_owned()));
        }
    }
    assert!(found.len() > 100, "{found:?}");
    for one in [("POST", "/mcp"), ("GET", "/ws"), ("GET", "/api/v1/events"), ("POST", "/webhook")] {
        assert!(found.contains(&(one.0.to_owned(), one.1.to_owned())), "{one:?}");
    }
    found
}

/// A path with something in place of each parameter.
fn filled(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[track_caller]
fn asked(at: SocketAddr, (method, path): &(String, String), headers: &[(&str, &str)]) -> Answer {
    let mut ask = Ask::new(method, &filled(path));
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    let answer = ask.over_tcp(at).unwrap();
    let names = ["Origin", "Methods", "Headers", "Credentials", "Expose-Headers", "Max-Age"];
    for name in names {
        let header = format!("Access-Control-Allow-{name}");
        assert_eq!(answer.header(&header), None, "{method} {path}: {header}");
    }
    answer
}

#[track_caller]
fn refused(at: SocketAddr, route: &(String, String), headers: &[(&str, &str)], word: &str) {
    let answer = asked(at, route, headers);
    let problem = answer.json();
    let shown = format!("{route:?} {headers:?}: {} {problem}", answer.status);
    assert_eq!(problem["type"], format!("urn:hostler:problem:{word}"), "{shown}");
    assert_eq!(answer.status, if word == "no-key" { 401 } else { 403 }, "{shown}");
}

#[test]
fn where_there_is_a_key_every_route_asks_for_it_and_no_page_of_another_site_gets_in() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").set("http.api_key", KEY).up();
    let at = address(&host);
    let almost = format!("{}x", &KEY[..KEY.len() - 1]);
    let forged = format!("hostler_attempt_{:032x}_1_{:064x}", 7, 7);
    for route in routes().iter().filter(|route| !PUBLIC.contains(&route.1.as_str())) {
        refused(at, route, &[], "no-key");
        refused(at, route, &[("X-API-Key", &almost)], "no-key");
        refused(at, route, &[("X-API-Key", &forged)], "no-key");
        refused(at, route, &[("Authorization", "Basic eDp5")], "no-key");
        for origin in ["http://evil.example", "null", "https://localhost.evil.example"] {
            let headers = [("X-API-Key", KEY), ("Origin", origin)];
            refused(at, route, &headers, "cross-site");
        }
        // What a browser asks before it sends a key from elsewhere is not granted.
        let (_, path) = route;
        let preflight = [
            ("Origin", "http://evil.example"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-api-key"),
        ];
        refused(at, &("OPTIONS".to_owned(), path.clone()), &preflight, "no-key");
    }
}

#[test]
fn where_there_is_no_key_every_route_is_for_this_machine_alone() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    for route in routes().iter().filter(|route| !PUBLIC.contains(&route.1.as_str())) {
        for name in ["evil.example", "localhost.evil.example", "169.254.169.254"] {
            refused(at, route, &[("Host", name)], "cross-site");
        }
        for header in [
            ("Origin", "http://evil.example"),
            ("Origin", "null"),
            ("Origin", "https://localhost"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            refused(at, route, &[header], "cross-site");
        }
    }
    let tasks = host.get("/api/v1/tasks");
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(0), "nothing got through");
}
