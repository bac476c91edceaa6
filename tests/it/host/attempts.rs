//! The tokens of attempts: what agents at work may ask for, and for how long.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};

use super::access::address;
use crate::support::{
    host::{Host, WORKER},
    processes::eventually,
    wire::{Answer, Ask},
};

const KEY: &str = "correct-horse-battery-staple";

const PLANNER: &str = "
[fleets.planner]
protocol = \"exec\"
queues = [\"plan\"]
submit_to = [\"default\"]
command = [\"sh\", \"-c\", \"env | grep ^HOSTLER_ > @DIR@/env.new; mv @DIR@/env.new @DIR@/env.$HOSTLER_TASK_ID.$HOSTLER_ATTEMPT; while [ ! -e @DIR@/go ]; do sleep 0.02; done; echo planned\"]
[fleets.teller]
protocol = \"worker\"
queues = [\"tell\"]
command = [\"python3\", \"@FIXTURES@/token.py\"]
";

fn host() -> Host {
    let fleets = format!("{WORKER}{PLANNER}");
    Host::new(&fleets).set("http.bind", "127.0.0.1:0").set("http.api_key", KEY)
}

/// What the agent of an attempt was told in its environment.
fn told(host: &Host, task: &str, attempt: u32) -> Vec<(String, String)> {
    let file = host.path(&format!("env.{task}.{attempt}"));
    eventually("the agent runs", || file.exists());
    let text = fs::read_to_string(file).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn value(told: &[(String, String)], name: &str) -> String {
    let found = told.iter().find(|(one, _)| one == name);
    found.unwrap_or_else(|| panic!("no {name} in {told:?}")).1.clone()
}

fn with(token: &str, at: SocketAddr, ask: Ask) -> Answer {
    ask.header("Authorization", &format!("Bearer {token}")).over_tcp(at).unwrap()
}

fn get(path: &str) -> Ask {
    Ask::new("GET", path)
}

fn post(path: &str, body: &Value) -> Ask {
    Ask::new("POST", path).json(body)
}

/// Gives a task to the planner in a session of this name, and returns its id in the queue.
fn give_away(host: &Host, session: &str) -> String {
    host.ask(&post("/api/v1/sessions", &json!({"session_id": session}))).expect(201);
    let given = post(
        &format!("/api/v1/sessions/{session}/tasks"),
        &json!({"agent_name": "planner", "task_id": "t", "description": "plan it"}),
    );
    let answer = host.ask(&given);
    assert!(answer.status < 300, "{}", answer.text());
    let tasks = host.get("/api/v1/tasks?queue=plan");
    tasks["items"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_for_what_its_attempt_is_about_and_nothing_else() {
    let host = host().up();
    let at = address(&host);
    let task = give_away(&host, "walk");
    host.ask(&post("/api/v1/sessions", &json!({"session_id": "other"}))).expect(201);
    let other =
        host.submit(&json!({"queue": "tell", "input": {}, "run_at": "2040-01-01T00:00:00Z"}));
    let env = told(&host, &task, 1);
    let token = value(&env, "HOSTLER_TOKEN");
    assert_eq!(value(&env, "HOSTLER_URL"), format!("http://{at}"));
    assert!(value(&env, "HOSTLER_SOCKET").ends_with("hostler.sock"));
    let ask = |ask: Ask| with(&token, at, ask);

    assert_eq!(ask(get(&format!("/api/v1/tasks/{task}"))).expect(200)["id"], task);
    let made = post("/api/v1/tasks", &json!({"input": {"op": "echo", "value": 1}}));
    let sub = ask(made).expect(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(host.wait(&sub)["state"], "completed");
    let made = post("/api/v1/sessions/walk/memories", &json!({"key": "k", "content": "c"}));
    assert!(ask(made).status < 300);
    let made = post("/api/v1/sessions/walk/artifacts", &json!({"content": "c", "name": "n"}));
    assert!(ask(made).status < 300);
    let so_far = post(&format!("/api/v1/tasks/{task}/progress"), &json!({"percent": 40}));
    ask(so_far).expect(200);
    assert_eq!(host.agent("planner-1")["progress"], json!({"percent": 40}));

    let forbidden = [
        get(&format!("/api/v1/tasks/{other}")),
        get(&format!("/api/v1/tasks/{task}/logs")),
        get(&format!("/api/v1/tasks/{sub}")),
        get("/api/v1/tasks"),
        get("/api/v1/tasks?queue=default"),
        get("/api/v1/host"),
        get("/readyz"),
        get("/metrics"),
        get("/api/v1/agents"),
        get("/api/v1/events"),
        get("/ws"),
        get("/api/v1/api-keys"),
        get("/api/v1/audit"),
        get("/api/v1/sessions/walk/memories"),
        get("/api/v1/sessions"),
        post("/api/v1/tasks", &json!({"queue": "plan"})),
        post("/api/v1/tasks", &json!({"queue": "tell"})),
        post("/api/v1/tasks", &json!({"depends_on": [other.clone()]})),
        post("/api/v1/batches", &json!({})),
        post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})),
        post(&format!("/api/v1/tasks/{other}/progress"), &json!({})),
        post("/api/v1/sessions/other/memories", &json!({"content": "c"})),
        post("/api/v1/sessions/nowhere/memories", &json!({"content": "c"})),
        post("/api/v1/sessions/walk/chunks", &json!({"content": "c"})),
        post("/api/v1/sessions/walk/complete", &json!({})),
        post("/api/v1/api-keys", &json!({"scopes": ["admin"]})),
        post("/api/v1/reload", &json!({})),
        post("/webhook", &json!({})),
        post("/mcp", &json!({})),
    ];
    for asked in forbidden {
        let answer = ask(asked.clone());
        assert_eq!(answer.status, 403, "{asked:?}: {}", answer.text());
    }
    // Over the socket it allows no more, and it is of its own attempt alone.
    let over_socket = get("/api/v1/tasks").header("X-API-Key", &token);
    assert_eq!(host.ask(&over_socket).status, 403);
    let forged = token.replace("_1_", "_2_");
    assert_eq!(with(&forged, at, get(&format!("/api/v1/tasks/{task}"))).status, 401);
    let by_key = post(&format!("/api/v1/tasks/{task}/progress"), &json!({}));
    assert_eq!(with(KEY, at, by_key).status, 403, "only who is at work says how far it is");

    fs::write(host.path("go"), "").unwrap();
    assert_eq!(host.wait(&task)["output"], "planned");
    let late = ask(get(&format!("/api/v1/tasks/{task}"))).expect(401);
    assert!(late["detail"].as_str().unwrap().contains("has ended"), "{late}");
    let refused = host.get("/api/v1/audit?outcome=refused&limit=500").to_string();
    assert!(refused.contains(&format!("attempt:{task}/1")), "{refused}");
    assert_nowhere(&host, &token);
}

/// Looks that a token is in no file of the host: no log, no file of an attempt.
#[track_caller]
fn assert_nowhere(host: &Host, token: &str) {
    let proof = token.rsplit('_').next().unwrap();
    let mut dirs = vec![host.data_dir()];
    assert!(!fs::read_to_string(host.path("stderr")).unwrap().contains(proof));
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => dirs.push(entry.path()),
                kind if kind.is_file() => {
                    let Ok(bytes) = fs::read(entry.path()) else { continue };
                    let found = bytes.windows(proof.len()).any(|some| some == proof.as_bytes());
                    assert!(!found, "{}", entry.path().display());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_token_goes_on_with_its_attempt_under_the_next_host_and_no_longer() {
    let mut host = host().up();
    let task = give_away(&host, "walk");
    let token = value(&told(&host, &task, 1), "HOSTLER_TOKEN");
    host.kill9();
    fs::remove_file(host.path("stderr")).unwrap();
    host.restart();
    let at = address(&host);
    eventually("the attempt is taken over", || {
        with(&token, at, get(&format!("/api/v1/tasks/{task}"))).status == 200
    });
    assert_eq!(host.agent("planner-1")["attempt"], 1);
    // Put back, it is another attempt, with another token.
    host.ask(&post("/api/v1/agents/planner-1/restart", &json!({}))).expect(200);
    eventually("the token has ended", || {
        with(&token, at, get(&format!("/api/v1/tasks/{task}"))).status == 401
    });
    let again = value(&told(&host, &task, 2), "HOSTLER_TOKEN");
    assert_ne!(again, token);
    eventually("the new one is taken", || {
        with(&again, at, get(&format!("/api/v1/tasks/{task}"))).status == 200
    });
    assert_eq!(with(&token, at, get(&format!("/api/v1/tasks/{task}"))).status, 401);
    fs::write(host.path("go"), "").unwrap();
    host.wait(&task);
}

#[test]
fn a_worker_gets_a_token_with_each_task() {
    let host = host().up();
    let at = address(&host);
    let file = |name: &str| host.path(name).display().to_string();
    let input = json!({"tell": file("tell"), "told": file("told"), "go": file("go")});
    let task = host.submit(&json!({"queue": "tell", "input": input}));
    eventually("the worker has told", || host.path("told").exists());
    let told: Value = serde_json::from_slice(&fs::read(host.path("told")).unwrap()).unwrap();
    let token = told["token"].as_str().unwrap();
    assert_eq!((&told["in_env"], &told["url"]), (&Value::Null, &json!(format!("http://{at}"))));
    assert_eq!(with(token, at, get(&format!("/api/v1/tasks/{task}"))).expect(200)["id"], task);
    // It may submit to its own queues where nothing else is said.
    let later = json!({"queue": "tell", "run_at": "2040-01-01T00:00:00Z"});
    with(token, at, post("/api/v1/tasks", &later)).expect(201);
    with(token, at, post("/api/v1/tasks", &json!({}))).expect(403);
    fs::write(host.path("go"), "").unwrap();
    assert_eq!(host.wait(&task)["output"], "done");
    with(token, at, get(&format!("/api/v1/tasks/{task}"))).expect(401);
    assert_nowhere(&host, token);
}
