//! Broken input over HTTP: each a clear error that names what is wrong; nothing changes, and the host
//! lives on.

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    wire::Ask,
};

const TASKS: &str = "/api/v1/tasks";
/// Has the form of an id, and is none that there is.
const GONE: &str = "tsk_0198f3c2a7d47c10b5a86f0e2d91c344";
/// The same of a batch.
const BATCH: &str = "bat_0198f3c2a7d47c10b5a86f0e2d91c344";

/// A pattern that stands for far more than is written.
const WIDE: &str = "{\"paths\": [\"{aaaa,bbbb,cccc,dddd}{aaaa,bbbb,cccc,dddd}\
    {aaaa,bbbb,cccc,dddd}{aaaa,bbbb,cccc,dddd}/0123456789012345678901234567890123456789\"]}";
/// Bodies of a submit, the status, and what the problem names.
const BODIES: &[(&str, u16, &str)] = &[
    ("", 400, "empty"),
    ("{", 400, "line 1 column 1"),
    ("{\"kind\": \"a\",\n \"input\": }", 400, "line 2 column 11"),
    ("{} {}", 400, "line 1 column 4"),
    ("{'kind': 1}", 400, "line 1 column 2"),
    ("{\"input\": NaN}", 400, "line 1 column 11"),
    ("{\"input\": 1e999}", 400, "line 1 column"),
    ("\u{feff}{}", 400, "line 1 column 1"),
    ("kind=a&input=b", 400, "line 1 column 1"),
    ("null", 422, "body"),
    ("[]", 422, "an array"),
    ("\"text\"", 422, "a string"),
    ("{\"queue\": 7}", 422, "queue"),
    ("{\"queue\": \"No Such\"}", 422, "queue"),
    ("{\"queue\": \"nobody-serves-it\"}", 422, "nobody-serves-it"),
    ("{\"queue\": \"../default\"}", 422, "queue"),
    ("{\"kind\": \"\"}", 422, "kind"),
    ("{\"kind\": [1]}", 422, "kind"),
    ("{\"kind\": \"a\\u0000b\"}", 422, "kind"),
    ("{\"input\": \"a\\u0000b\"}", 422, "U+0000"),
    ("{\"input\": {\"a\": [1, {\"b\\u0000\": 1}]}}", 422, "input.a[1]"),
    ("{\"priority\": 40000}", 422, "priority"),
    ("{\"priority\": 1.5}", 422, "priority"),
    ("{\"priority\": \"high\"}", 422, "priority"),
    ("{\"run_at\": \"tomorrow\"}", 422, "run_at"),
    ("{\"run_at\": \"2030-01-31\"}", 422, "run_at"),
    ("{\"run_at\": 1900000000}", 422, "run_at"),
    ("{\"delay\": \"5\"}", 422, "delay"),
    ("{\"delay\": \"-5s\"}", 422, "delay"),
    ("{\"delay\": \"99999 years\"}", 422, "delay"),
    ("{\"delay\": \"5s\", \"run_at\": \"2030-01-31T08:00:00Z\"}", 422, "run_at"),
    ("{\"max_attempts\": 0}", 422, "max_attempts"),
    ("{\"max_attempts\": 1001}", 422, "max_attempts"),
    ("{\"timeout\": \"0s\"}", 422, "timeout"),
    ("{\"timeout\": 30}", 422, "timeout"),
    ("{\"idempotency_key\": \"\"}", 422, "idempotency_key"),
    ("{\"idempotency_key\": \"a\\nb\"}", 422, "idempotency_key"),
    (WIDE, 422, "paths"),
    ("{\"unique\": \"k\"}", 422, "unique"),
    ("{\"unique\": {}}", 422, "unique.key"),
    ("{\"unique\": {\"key\": \"k\", \"by\": [\"input\"]}}", 422, "unique.by"),
    ("{\"unique\": {\"key\": \"k\", \"states\": [\"done\"]}}", 422, "unique.states[0]"),
    ("{\"tasks\": [{}, {\"unique\": {\"key\": 7}}]}", 422, "tasks[1].unique.key"),
    ("{\"knd\": \"a\"}", 422, "knd"),
    ("{\"tasks\": []}", 422, "tasks"),
    ("{\"tasks\": {}}", 422, "tasks"),
    ("{\"tasks\": [{}], \"kind\": \"a\"}", 422, "kind"),
    ("{\"tasks\": [{}, 5]}", 422, "tasks[1]"),
    ("{\"tasks\": [{}, {\"priority\": \"x\"}]}", 422, "tasks[1].priority"),
    ("{\"tasks\": [{}, {\"queue\": \"nobody-serves-it\"}]}", 422, "tasks[1].queue"),
];

/// Other requests: method, path, body.
const REQUESTS: &[(&str, &str, &str, u16, &str)] = &[
    ("GET", "/api/v1/tasks?state=done", "", 400, "state"),
    ("GET", "/api/v1/tasks?limit=0", "", 400, "limit"),
    ("GET", "/api/v1/tasks?limit=5&limit=6", "", 400, "twice"),
    ("GET", "/api/v1/tasks?stat=failed", "", 400, "stat"),
    ("GET", "/api/v1/tasks?cursor=7", "", 400, "cursor"),
    ("GET", "/api/v1/tasks/7", "", 400, "7"),
    ("GET", "/api/v1/tasks/%00", "", 400, "bad-path"),
    ("GET", "/api/v1/tasks/@GONE@", "", 404, GONE),
    ("GET", "/api/v1/tasks/@GONE@?wait=soon", "", 400, "wait"),
    ("GET", "/api/v1/tasks/@GONE@/attempts", "", 404, GONE),
    ("GET", "/api/v1/tasks/@GONE@/events", "", 404, GONE),
    ("POST", "/api/v1/tasks/@GONE@/cancel", "", 404, GONE),
    ("POST", "/api/v1/tasks/@GONE@/retry", "{\"now\": true}", 422, "now"),
    ("GET", "/api/v1/tasks?group=My", "", 400, "group"),
    ("GET", "/api/v1/tasks?batch=7", "", 400, "batch"),
    ("GET", "/api/v1/groups/nobody", "", 404, "nobody"),
    ("GET", "/api/v1/groups/My", "", 400, "My"),
    ("POST", "/api/v1/tasks/cancel", "", 422, "all"),
    ("POST", "/api/v1/tasks/cancel", "{\"state\": \"pending\"}", 422, "state"),
    ("POST", "/api/v1/tasks/cancel", "{\"states\": [\"completed\"]}", 422, "states[0]"),
    ("POST", "/api/v1/tasks/retry", "{\"class\": \"oops\"}", 422, "class"),
    ("POST", "/api/v1/tasks/retry", "{\"all\": true, \"to\": \"other\"}", 422, "to"),
    ("GET", "/api/v1/tasks/cancel", "", 405, "POST"),
    ("GET", "/api/v1/dead-letters?class=oops", "", 400, "class"),
    ("GET", "/api/v1/dead-letters/@GONE@", "", 404, GONE),
    ("POST", "/api/v1/dead-letters/redrive", "{\"all\": true, \"rate\": \"1\"}", 422, "rate"),
    ("POST", "/api/v1/dead-letters/redrive", "{\"all\": true, \"to\": \"gone\"}", 422, "to"),
    ("POST", "/api/v1/dead-letters/discard", "{\"all\": true}", 422, "reason"),
    ("POST", "/api/v1/batches", "{}", 422, "tasks"),
    ("POST", "/api/v1/batches", "{\"tasks\": [{}], \"on_done\": {}}", 422, "on_done"),
    ("GET", "/api/v1/batches/7", "", 400, "bat_"),
    ("GET", "/api/v1/batches/@BATCH@", "", 404, BATCH),
    ("POST", "/api/v1/batches/@BATCH@/tasks", "{\"tasks\": [{}]}", 404, BATCH),
    ("POST", "/api/v1/batches/@BATCH@/close", "{\"now\": true}", 422, "now"),
    ("POST", "/api/v1/batches/@BATCH@/cancel", "", 404, BATCH),
    ("POST", "/api/v1/tasks?wait=1s", "{\"tasks\": [{}]}", 400, "wait"),
    ("DELETE", "/api/v1/tasks", "", 405, "DELETE"),
    ("PUT", "/api/v1/tasks/@GONE@", "{}", 405, "PUT"),
    ("GET", "/api/v1/task", "", 404, "no-route"),
    ("GET", "/../../etc/passwd", "", 404, "no-route"),
    ("POST", "/api/v1/queues/gone/pause", "", 404, "gone"),
    ("POST", "/api/v1/queues/default/pause", "{\"reason\": 7}", 422, "reason"),
    ("POST", "/api/v1/queues/Default/resume", "", 400, "Default"),
    ("GET", "/api/v1/agents/nobody-1", "", 404, "nobody-1"),
    ("POST", "/api/v1/agents/nobody-1/restart", "", 404, "nobody-1"),
    ("POST", "/api/v1/agents/quick-1/stop", "[1]", 400, "object"),
    ("GET", "/api/v1/agents/quick-1/logs?tail=many", "", 400, "tail"),
    ("GET", "/api/v1/agents/quick-1/logs?follow=7", "", 400, "follow"),
    ("GET", "/readyz?verbose=1", "", 400, "verbose"),
];

fn asks() -> Vec<(Ask, u16, String)> {
    let post = || Ask::new("POST", TASKS);
    let bodies = BODIES.iter().map(|(body, status, names)| (post().text(*body), *status, *names));
    let requests = REQUESTS.iter().map(|(method, path, body, status, names)| {
        let ask = Ask::new(method, &path.replace("@GONE@", GONE).replace("@BATCH@", BATCH));
        (if body.is_empty() { ask } else { ask.text(*body) }, *status, *names)
    });
    let deep = format!("{{\"input\": {}{}}}", "[".repeat(65), "]".repeat(65));
    let long = json!({"kind": "k".repeat(256)}).to_string();
    let wide = json!({"input": "x".repeat(5000)}).to_string();
    let batch = json!({"tasks": vec![json!({}); 11]}).to_string();
    let made = vec![
        (post().raw("{}"), 415, "application/json"),
        (post().header("Content-Type", "text/plain").raw("{}"), 415, "application/json"),
        (post().header("Content-Encoding", "gzip").text("{}"), 415, "Content-Encoding"),
        (post().header("Idempotency-Key", "").text("{}"), 400, "bad-header"),
        (
            post().header("Idempotency-Key", "a").text("{\"idempotency_key\": \"b\"}"),
            422,
            "idempotency_key",
        ),
        (post().header("Idempotency-Key", "a").text("{\"tasks\": [{}]}"), 422, "idempotency_key"),
        (post().text(b"{\"kind\": \"\xff\"}".as_slice()), 400, "line 1"),
        (post().text(deep), 422, "nested"),
        (post().text(long), 422, "256"),
        (post().text(wide), 422, "input"),
        (post().text(batch), 422, "tasks"),
        (post().text("x".repeat(20_000)), 413, "http.max_body"),
        (post().header("Content-Length", "999999999").text("{}"), 413, "http.max_body"),
    ];
    let all = bodies.chain(requests).chain(made);
    all.map(|(ask, status, names)| (ask, status, names.to_owned())).collect()
}

#[test]
fn broken_input_is_answered_with_what_is_wrong_and_changes_nothing() {
    let host = Host::new(WORKER)
        .set("http.max_body", "16KiB")
        .set("tasks.max_input", "4KiB")
        .set("tasks.max_batch", "10")
        .up();
    host.cli_json(&["queue", "pause", "default"]);
    host.submit(&json!({"kind": "before"}));
    host.until_agent("quick-1", "idle");
    let all = |host: &Host| {
        let mut agents = host.get("/api/v1/agents");
        agents["items"][0]["heard_ms_ago"] = Value::Null;
        let mut queues = host.get("/api/v1/queues");
        queues["items"][0]["oldest_pending_ms"] = Value::Null;
        (host.get("/api/v1/tasks?limit=500"), agents, queues)
    };
    let before = all(&host);
    let asks = asks();
    assert!(asks.len() >= 50, "{}", asks.len());
    let mut wrong = String::new();
    for (ask, status, names) in asks {
        let answer = host.ask(&ask);
        let problem = answer.json();
        let is_problem = answer.header("Content-Type") == Some("application/problem+json")
            && problem["status"] == status
            && !problem["title"].as_str().unwrap_or_default().is_empty();
        if answer.status != status || !is_problem || !answer.text().contains(&names) {
            let body =
                String::from_utf8_lossy(ask.body.as_deref().unwrap_or_default()).into_owned();
            let body: String = body.chars().take(80).collect();
            wrong += &format!(
                "\n{} {} {body}\n  want {status} {names}\n  got  {} {}\n",
                ask.method,
                ask.path,
                answer.status,
                answer.text()
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(all(&host), before, "nothing changed");
    host.cli_json(&["queue", "resume", "default"]);
    let done = host.wait(&host.submit(&json!({"input": {"op": "echo", "value": 1}})));
    assert_eq!(done["output"], 1);
}

#[test]
fn what_is_no_http_at_all_does_no_harm() {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        time::Duration,
    };

    let host = Host::new(WORKER).up();
    let socket = host.data_dir().join("hostler.sock");
    let pieces: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[b'x'; 200_000],
    ];
    for piece in pieces {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // A host that has seen enough hangs up.
        stream.write_all(piece).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // Half a request, and gone: several at a time.
    let head = b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
                 Content-Type: application/json\r\n\r\n{\"kind\":";
    let half: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(head).unwrap();
            stream
        })
        .collect();
    assert!(host.is_ready());
    drop(half);
    assert_eq!(host.get("/api/v1/tasks")["items"], json!([]));
}
