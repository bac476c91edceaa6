//! The header `Idempotency-Key`: the same request of the same caller is one, and that of another is another.

use serde_json::{Value, json};

use super::{
    access::address,
    keys::{made, post, with},
    webhook::fleets,
};
use crate::support::{
    host::Host,
    wire::{Answer, Ask},
};

const KEY: &str = "Idempotency-Key";

#[test]
fn what_two_callers_call_the_same_are_two_requests() {
    let host = Host::new(&fleets()).set("http.bind", "127.0.0.1:0").up();
    let at = address(&host);
    let (one, id) = made(&host, &["--scope", "read,submit"]);
    let (two, _) = made(&host, &["--scope", "read,submit"]);
    let ask = |key: Option<&str>, path: &str, body: &Value| -> Answer {
        let ask = post(path, body).header(KEY, "again");
        match key {
            Some(key) => with(key, at, ask),
            None => host.ask(&ask),
        }
    };
    // Each caller twice: he gets his own both times, and none gets that of another.
    let each = |path: &str, body: &Value, at: &str| -> Vec<Value> {
        let mut told = Vec::new();
        for caller in [Some(&*one), Some(&*two), None] {
            let first = ask(caller, path, body);
            assert!(first.status < 300, "{path}: {}", first.text());
            let again = ask(caller, path, body);
            let (first, again) = (first.json(), again.json());
            assert_eq!(first.pointer(at), again.pointer(at), "{path}: {first} {again}");
            assert!(first.pointer(at).is_some_and(Value::is_string), "{path}: {first}");
            assert!(!told.contains(first.pointer(at).unwrap()), "{path}: {first}");
            told.push(first.pointer(at).unwrap().clone());
        }
        told
    };
    let task = json!({"input": {"op": "echo", "value": 1}});
    let tasks = each("/api/v1/tasks", &task, "/id");
    let kept = |nth: usize| {
        let path = format!("/api/v1/tasks/{}", tasks[nth].as_str().unwrap());
        host.ask(&Ask::new("GET", &path)).expect(200)["idempotency_key"].clone()
    };
    assert_eq!((kept(0), kept(2)), (json!(format!("{id}:again")), json!("again")));
    each("/api/v1/batches", &json!({"tasks": [{}]}), "/id");
    let plan = json!({"version": 1, "title": "p", "tasks": [{"id": "t", "duration": "1h"}]});
    let plan = json!({"queue": "default", "plan": plan});
    each("/api/v1/plans/runs", &plan, "/id");
    // By the webhook whole answers are kept, and names are made up that hold for the request alone.
    let create = json!({"type": "collaborative_session_command", "command": "create_session",
        "data": {"title": "t"}});
    each("/webhook", &create, "/session_id");
    let again = ask(Some(&one), "/webhook", &create);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    // Another request under the key of the first: it is that caller's own mistake, and nobody else's.
    let order = json!({"type": "task_command", "sync": true,
        "data": {"action_type": "quick", "params": {"op": "echo", "value": 7}}});
    assert_eq!(ask(Some(&one), "/webhook", &order).status, 422);
    let (three, _) = made(&host, &["--scope", "submit"]);
    let (four, _) = made(&host, &["--scope", "submit"]);
    let ran = [&three, &four].map(|key| ask(Some(key), "/webhook", &order).expect(200));
    assert_ne!(ran[0]["task"], ran[1]["task"], "{ran:?}");
    assert_eq!(ran[0]["created"], true);
    assert_eq!(ran[1]["created"], true);
}
