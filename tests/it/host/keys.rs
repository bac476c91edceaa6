//! API keys: what they allow, what they are limited to, and that they can be taken back.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{access::address, all_kinds};
use crate::support::{
    host::{Host, WORKER},
    processes::{PATIENCE, eventually, within},
    websocket::WebSocket,
    wire::{Answer, Ask},
};

/// Makes a key by the command line, over the socket; returns it and its id.
#[track_caller]
pub(super) fn made(host: &Host, words: &[&str]) -> (String, String) {
    let key = host.cli_json(&[&["key", "create"], words].concat());
    let text = |field: &str| key[field].as_str().unwrap_or_default().to_owned();
    (text("key"), text("id"))
}

pub(super) fn with(key: &str, at: SocketAddr, ask: Ask) -> Answer {
    ask.header("Authorization", &format!("Bearer {key}")).over_tcp(at).unwrap()
}

pub(super) fn get(path: &str) -> Ask {
    Ask::new("GET", path)
}

pub(super) fn post(path: &str, body: &Value) -> Ask {
    Ask::new("POST", path).json(body)
}

#[test]
fn a_key_allows_its_scopes_until_it_is_revoked() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    get("/livez").over_tcp(at).unwrap().expect(200);
    let (reader, id) = made(&host, &["--name", "panel", "--scope", "read"]);
    let (writer, _) = made(&host, &["--scope", "submit", "--expires", "1h"]);

    // There are keys now: one must be sent.
    assert_eq!(
        get("/livez").over_tcp(at).unwrap().expect(401)["type"],
        "urn:hostler:problem:no-key"
    );
    let by_header = get("/api/v1/tasks").header("X-API-Key", &reader);
    by_header.over_tcp(at).unwrap().expect(200);
    with(&reader, at, get("/livez")).expect(200);
    let task = json!({"input": {"op": "echo", "value": 1}});
    let problem = with(&reader, at, post("/api/v1/tasks", &task)).expect(403);
    assert_eq!(problem["type"], "urn:hostler:problem:forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("scope `submit`"), "{problem}");
    let problem = with(&reader, at, post("/api/v1/agents/quick-1/restart", &json!({}))).expect(403);
    assert!(problem["detail"].as_str().unwrap().contains("scope `control`"), "{problem}");
    let problem = with(&reader, at, get("/api/v1/api-keys")).expect(403);
    assert!(problem["detail"].as_str().unwrap().contains("scope `admin`"), "{problem}");
    with(&writer, at, get("/api/v1/tasks")).expect(403);
    // Nor is it told of what others write.
    let listens = get("/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let problem = with(&writer, at, listens).expect(403);
    assert!(problem["detail"].as_str().unwrap().contains("scope `read`"), "{problem}");
    let submitted = with(&writer, at, post("/api/v1/tasks", &task)).expect(201);
    host.wait(submitted["id"].as_str().unwrap());
    // A webhook needs what its command needs.
    let list =
        json!({"type": "collaborative_session_command", "command": "list_sessions", "data": {}});
    with(&reader, at, post("/webhook", &list)).expect(200);
    with(&writer, at, post("/webhook", &list)).expect(403);
    let create = json!({"type": "collaborative_session_command", "command": "create_session",
        "session_id": "s", "data": {"title": "t"}});
    with(&reader, at, post("/webhook", &create)).expect(403);
    assert!(with(&writer, at, post("/webhook", &create)).status < 300);
    let delete = json!({"type": "collaborative_session_command", "command": "delete_session",
        "session_id": "s", "data": {}});
    with(&writer, at, post("/webhook", &delete)).expect(403);
    // A key over the socket counts as well, and the socket without one needs none.
    host.ask(&post("/api/v1/tasks", &task).header("X-API-Key", &reader)).expect(403);
    host.submit(&task);

    eventually("the use is told", || {
        let keys = host.cli_json(&["key", "list"]);
        let of_id = |key: &&Value| key["id"] == id.as_str();
        let found = keys["items"].as_array().unwrap().iter().find(of_id).cloned().unwrap();
        assert_eq!((&found["name"], &found["scopes"]), (&json!("panel"), &json!(["read"])));
        !found["last_used_at"].is_null()
    });
    host.cli_json(&["key", "revoke", &id]);
    let problem = with(&reader, at, get("/livez")).expect(401);
    assert!(problem["detail"].as_str().unwrap().contains("revoked"), "{problem}");
    with(&writer, at, get("/livez")).expect(200);
    assert_eq!(host.cli_json(&["key", "list"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(host.cli(&["key", "revoke", "000000000000"]).code, 4);

    let log = std::fs::read_to_string(host.path("stderr")).unwrap();
    assert!(log.contains(&format!("key:{id}")), "who asked is logged");
    for key in [&reader, &writer] {
        let secret = key.rsplit_once('_').unwrap().1;
        assert!(!log.contains(secret), "no secret in the log");
    }
}

#[test]
fn what_is_no_key_is_told_so_and_nothing_of_it_is_repeated() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let (key, _) = made(&host, &["--scope", "read"]);
    let other = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    for wrong in ["x", "hostler_", &other, &key[1..], &key.to_uppercase()] {
        let problem = with(wrong, at, get("/livez")).expect(401);
        assert!(!problem.to_string().contains(&other[22..]), "{problem}");
    }
    for (body, field) in [
        (json!({}), "scopes"),
        (json!({"scopes": ["root"]}), "scopes[0]"),
        (json!({"scopes": ["read"], "rate": "often"}), "rate"),
    ] {
        let problem = host.ask(&post("/api/v1/api-keys", &body)).expect(422);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    assert_eq!(host.cli_json(&["key", "list"])["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_ends_at_its_time() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let (_, _) = made(&host, &["--scope", "read"]);
    let (short, _) = made(&host, &["--scope", "read", "--expires", "3s"]);
    let mut problem = Value::Null;
    eventually("it has ended", || {
        let answer = with(&short, at, get("/livez"));
        problem = answer.json();
        answer.status == 401
    });
    assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem}");
}

#[test]
fn a_limited_key_reaches_its_queues_and_fleets_alone() {
    let host = Host::new(&all_kinds()).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let scopes = ["--scope", "read,submit,control", "--queue", "text", "--fleet", "shell"];
    let (key, _) = made(&host, &scopes);
    let ask = |ask: Ask| with(&key, at, ask);
    let forbidden = |answer: Answer, part: &str| {
        let problem = answer.expect(403);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part) && detail.contains("queue `text`"), "{problem}");
    };
    let own = ask(post("/api/v1/tasks", &json!({"queue": "text", "input": {"say": "hi"}})));
    let own = own.expect(201)["id"].as_str().unwrap().to_owned();
    let foreign = host.submit(&json!({"input": {"op": "echo", "value": "private"}}));
    host.wait(&foreign);

    assert_eq!(
        ask(get(&format!("/api/v1/tasks/{own}?wait=60s"))).expect(200)["state"],
        "completed"
    );
    ask(get("/api/v1/tasks?queue=text")).expect(200);
    forbidden(ask(get(&format!("/api/v1/tasks/{foreign}"))), "queue `default`");
    forbidden(ask(post(&format!("/api/v1/tasks/{foreign}/retry"), &json!({}))), "queue `default`");
    forbidden(ask(get("/api/v1/tasks?queue=default")), "queue `default`");
    forbidden(ask(get("/api/v1/tasks")), "more than that");
    forbidden(ask(get("/metrics")), "more than that");
    forbidden(ask(post("/api/v1/tasks", &json!({}))), "queue `default`");
    let both = json!({"tasks": [{"queue": "text", "input": {"say": "x"}}, {"queue": "json"}]});
    forbidden(ask(post("/api/v1/tasks", &both)), "queue `json`");
    // Nor does it see what another queue's task gave, by waiting for it.
    let spy = json!({"queue": "text", "depends_on": [foreign], "template": true,
        "input": {"say": format!("{{{{ deps['{foreign}'].output }}}}")}});
    forbidden(ask(post("/api/v1/tasks", &spy)), "queue `default`");
    // Nor by the key of its submit.
    let keyed = json!({"idempotency_key": "k", "input": {"op": "echo", "value": "private"}});
    host.wait(&host.submit(&keyed));
    let again = json!({"queue": "text", "idempotency_key": "k"});
    let answer = ask(post("/api/v1/tasks?wait=1s", &again));
    assert!(!answer.text().contains("private"), "{}", answer.text());
    forbidden(answer, "queue `default`");

    let names = |path: &str| -> Vec<String> {
        let list = ask(get(path)).expect(200);
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/api/v1/fleets"), ["shell"]);
    assert_eq!(names("/api/v1/agents"), ["shell-1"]);
    assert_eq!(names("/api/v1/queues"), ["text"]);
    ask(get("/api/v1/agents/shell-1")).expect(200);
    forbidden(ask(post("/api/v1/agents/quick-1/stop", &json!({}))), "fleet `quick`");
    ask(post("/api/v1/queues/text/pause", &json!({}))).expect(200);
    forbidden(ask(post("/api/v1/queues/default/pause", &json!({}))), "queue `default`");
}

#[test]
fn all_hosts_refuse_a_key_that_one_of_them_took_back() {
    let one = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let two = one.beside(WORKER).set("http.bind", "127.0.0.1:0").up();
    let (key, id) = made(&one, &["--scope", "read"]);
    let at = address(&two);
    eventually("the other host knows it", || with(&key, at, get("/livez")).status == 200);
    one.cli_json(&["key", "revoke", &id]);
    let began = Instant::now();
    let refused = within(PATIENCE, || with(&key, at, get("/livez")).status == 401);
    assert!(refused, "{}", two.log());
    // That it was the only one opens nothing.
    assert_eq!(get("/livez").over_tcp(at).unwrap().status, 401);
    // A second is what is promised; a loaded machine gets more.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// Opens a stream, with a key or without; returns once it has begun.
#[track_caller]
pub(super) fn stream(at: SocketAddr, path: &str, key: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let key = key.map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{key}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    stream
}

/// What comes until the stream is over.
#[track_caller]
fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let mut block = [0; 4096];
    // The connection stays for another request: what ends is the answer.
    while !rest.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut block).unwrap();
        assert!(count > 0, "cut off: {}", String::from_utf8_lossy(&rest));
        rest.extend_from_slice(&block[..count]);
    }
    String::from_utf8(rest).unwrap()
}

#[test]
fn what_goes_on_ends_with_the_key_that_it_was_opened_with() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let log = "/api/v1/agents/quick-1/logs?follow=true";
    let mut anybody = stream(at, "/api/v1/events", None);
    let (key, id) = made(&host, &["--scope", "read", "--scope", "submit"]);
    let text = rest(&mut anybody);
    assert!(text.contains("event: dropped") && text.contains("one is needed now"), "{text}");

    let (other, _) = made(&host, &["--scope", "read"]);
    let mut events = stream(at, "/api/v1/events", Some(&key));
    let mut from_start = stream(at, "/api/v1/events?after=beginning", Some(&key));
    let mut follower = stream(at, log, Some(&key));
    let header = format!("Authorization: Bearer {key}\r\n");
    let mut relay = WebSocket::over_tcp_with(at, "/ws", &header);
    assert_eq!(relay.json()["type"], "connection");
    let mut stays = stream(at, "/api/v1/events?type=task.*", Some(&other));
    host.cli_json(&["key", "revoke", &id]);
    for ended in [&mut events, &mut from_start] {
        let text = rest(ended);
        assert!(text.contains("event: dropped") && text.contains("has ended"), "{text}");
    }
    rest(&mut follower);
    let (code, words) = relay.closed();
    assert_eq!(code, 1008, "a policy");
    assert!(words.contains("has ended"), "{words}");
    // Somebody else's goes on.
    let task = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    let mut told = String::new();
    while !told.contains(&task) {
        let mut block = [0; 4096];
        let count = stays.read(&mut block).unwrap();
        assert!(count > 0, "{told}");
        told.push_str(&String::from_utf8_lossy(&block[..count]));
    }

    // One that ends by itself, while nothing changes.
    let (brief, _) = made(&host, &["--scope", "read", "--expires", "2s"]);
    let text = rest(&mut stream(at, "/api/v1/events", Some(&brief)));
    assert!(text.contains("has ended"), "{text}");
    with(&brief, at, get("/livez")).expect(401);
}

#[test]
fn a_key_asks_as_often_as_it_may() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let (key, _) = made(&host, &["--scope", "read", "--rate", "3/1h"]);
    let (free, _) = made(&host, &["--scope", "read"]);
    for _ in 0..3 {
        with(&key, at, get("/livez")).expect(200);
    }
    let answer = with(&key, at, get("/livez"));
    assert_eq!(answer.expect(429)["type"], "urn:hostler:problem:too-often");
    let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1000..=1200).contains(&wait), "a third of an hour: {wait}");
    with(&free, at, get("/livez")).expect(200);
    // Another key's change does not fill its bucket.
    made(&host, &["--scope", "read"]);
    with(&key, at, get("/livez")).expect(429);
}

#[test]
fn with_a_key_of_the_database_a_host_listens_for_all() {
    let mut host = Host::new(WORKER).up();
    let (key, _) = made(&host, &["--scope", "read"]);
    host.stop();
    let mut host = host.set("http.bind", "0.0.0.0:0").set("http.allow_plain", "true");
    host.restart();
    let at = SocketAddr::from(([127, 0, 0, 1], address(&host).port()));
    get("/livez").over_tcp(at).unwrap().expect(401);
    with(&key, at, get("/livez")).expect(200);
    // Nor does a page of another site get through with the key.
    let page = get("/livez").header("Origin", "http://evil.example");
    assert_eq!(with(&key, at, page).expect(403)["type"], "urn:hostler:problem:cross-site");
}

#[test]
fn a_key_that_was_taken_back_stays_so_whoever_reads_the_keys_meanwhile() {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let another = json!({"scopes": ["read"]});
    for _ in 0..10 {
        let (key, id) = made(&host, &["--scope", "read"]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                // Each has the keys read.
                scope.spawn(|| {
                    for _ in 0..3 {
                        host.ask(&post("/api/v1/api-keys", &another)).expect(201);
                    }
                });
            }
            host.ask(&post(&format!("/api/v1/api-keys/{id}/revoke"), &json!({}))).expect(200);
            for _ in 0..10 {
                assert_eq!(with(&key, at, get("/livez")).status, 401);
            }
        });
        assert_eq!(with(&key, at, get("/livez")).status, 401);
    }
}
