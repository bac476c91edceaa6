//! Three stories of people with a phone, as the requests that their assistants make.

use serde_json::{Value, json};

use super::webhook::{command, done, fleets, webhook};
use crate::support::{host::Host, processes::eventually, wire::Ask};

/// The JSON after a tool call of an assistant, as it writes it: with text around it.
fn said(text: &str) -> Value {
    let from = text.find('{').expect("a request");
    let to = text.rfind('}').expect("a request");
    serde_json::from_str(&text[from..=to]).expect("JSON")
}

#[track_caller]
fn send(host: &Host, text: &str) -> Value {
    let answer = webhook(host, &said(text));
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    answer.json()["data"].clone()
}

#[test]
fn a_feature_is_planned_on_a_walk() {
    let host = Host::new(&fleets()).up();
    // "Read this URL", and the assistant knows how.
    let page = host.ask(&Ask::new("GET", "/llm-instructions")).text();
    assert!(page.contains("create_session") && page.contains("`quick`"));
    send(
        &host,
        r#"I'll start a session for our walk.
        {"type": "collaborative_session_command", "command": "create_session", "session_id": "walk-dark-mode",
         "data": {"title": "Dark mode", "participants": ["Ana", "ChatGPT"], "context": "Ana walks; voice only."}}"#,
    );
    send(
        &host,
        r#"Noted.
        {"type": "collaborative_session_command", "command": "append_conversation", "session_id": "walk-dark-mode",
         "data": {"conversation_chunk": {"format": "dialogue", "content": "Ana: Follow the system setting. No switch of our own.",
           "extracted_items": {"decisions": ["Dark mode follows the system."], "questions": ["What about printing?"]}}}}"#,
    );
    let given = send(
        &host,
        r#"I give the first step to quick.
        {"type": "collaborative_session_command", "command": "batch", "session_id": "walk-dark-mode",
         "data": {"atomic": true, "commands": [
           {"command": "store_memory", "data": {"type": "decision", "key": "colours", "content": "Use CSS variables.", "tags": ["css"]}},
           {"command": "delegate_task", "data": {"task_id": "css-variables", "agent_name": "quick", "task_type": "implement",
             "description": "Move the colours into variables.", "input_data": {"op": "echo", "value": "12 files changed"}}}]}}"#,
    );
    assert_eq!(given["processed"], 2);
    eventually("the work is done before the walk is", || {
        done(&host, "get_task", "walk-dark-mode", json!({"task_id": "css-variables"}))["result"]
            == "12 files changed"
    });
    let open = send(
        &host,
        r#"{"type": "collaborative_session_command", "command": "query_memories",
        "session_id": "walk-dark-mode", "data": {"type": "question"}}"#,
    );
    assert_eq!(open["memories"][0]["content"], "What about printing?");
    let summary = done(&host, "complete_session", "walk-dark-mode", json!({}));
    assert_eq!((&summary["stats"]["memories"], &summary["stats"]["tasks"]), (&json!(3), &json!(1)));
    // At home, on the command line.
    let shown =
        host.ask(&Ask::new("GET", "/api/v1/sessions/walk-dark-mode/export?form=markdown")).text();
    assert!(shown.contains("# Dark mode") && shown.contains("12 files changed"), "{shown}");
}

#[test]
fn a_pull_request_is_reviewed_on_the_way() {
    let host = Host::new(&fleets()).up();
    send(
        &host,
        r#"{"type": "collaborative_session_command", "command": "create_session", "session_id": "pr-42",
        "data": {"title": "Review of #42", "participants": ["Ben", "Claude"]}}"#,
    );
    let review = send(
        &host,
        r#"I'll have it reviewed and wait.
        {"type": "collaborative_session_command", "command": "delegate_task", "session_id": "pr-42", "feedback_mode": "sync",
         "data": {"task_id": "review-42", "agent_name": "quick", "task_type": "review", "description": "Review pull request 42.",
           "priority": "high", "input_data": {"op": "echo", "value": {"verdict": "one bug", "file": "src/a.rs", "line": 7}}}}"#,
    );
    assert_eq!((&review["status"], &review["result"]["line"]), (&json!("completed"), &json!(7)));
    // The train is in a tunnel: the same request comes twice, and nothing is done twice.
    let key = Ask::new("POST", "/webhook").header("Idempotency-Key", "pr-42-note").json(&said(
        r#"{"type": "collaborative_session_command", "command": "store_memory", "session_id": "pr-42",
            "data": {"type": "action_item", "content": "Fix src/a.rs:7 before the merge.", "tags": ["bug"]}}"#,
    ));
    let (first, second) = (host.ask(&key), host.ask(&key));
    assert_eq!(first.json(), second.json());
    send(
        &host,
        r#"{"type": "collaborative_session_command", "command": "add_artifact", "session_id": "pr-42",
        "data": {"artifact_id": "review", "type": "review", "name": "Review of #42", "format": "markdown",
          "content": "One bug, in src/a.rs, line 7.", "task_id": "review-42"}}"#,
    );
    let found = host.get("/api/v1/search?text=bugs&session=pr-42");
    let kinds: Vec<_> =
        found["items"].as_array().unwrap().iter().map(|hit| hit["kind"].clone()).collect();
    assert!(kinds.contains(&json!("artifact")) && kinds.contains(&json!("memory")), "{found}");
    assert_eq!(done(&host, "get_session_summary", "pr-42", json!({}))["stats"]["memories"], 1);
}

#[test]
fn a_topic_is_learned_over_two_days() {
    let mut host = Host::new(&fleets()).up();
    send(
        &host,
        r#"{"type": "collaborative_session_command", "command": "create_session", "session_id": "learn-raft",
        "data": {"title": "Learn Raft", "participants": ["Chris", "Gemini"]}}"#,
    );
    for (key, text) in
        [("leader", "A leader is elected by a majority."), ("log", "The log of the leader wins.")]
    {
        let fact = json!({"type": "fact", "key": key, "content": text, "tags": ["raft"]});
        done(&host, "store_memory", "learn-raft", fact);
    }
    send(
        &host,
        r#"{"type": "llm_conversation_insight",
        "insight": {"type": "question", "priority": "low", "title": "What if two leaders meet?", "content": "Terms?", "tags": ["raft"]},
        "conversation": {"id": "learn-raft", "context": "Learn Raft"}}"#,
    );
    done(&host, "pause_session", "learn-raft", json!({}));
    // Overnight the machine loses power.
    host.kill9();
    host.restart();
    let paused = command(&host, "list_sessions", "any", json!({"filter": "paused"})).expect(200);
    assert_eq!(paused["data"]["sessions"][0]["session_id"], "learn-raft");
    done(&host, "resume_session", "learn-raft", json!({}));
    let known =
        done(&host, "query_memories", "learn-raft", json!({"text": "who leads", "tags": ["raft"]}));
    assert_eq!(known["count"], 0, "all of the words must be there: {known}");
    let known = done(
        &host,
        "query_memories",
        "learn-raft",
        json!({"text": "leaders or election", "tags": ["raft"]}),
    );
    assert_eq!(known["count"], 3, "{known}");
    let answered = json!({"type": "fact", "key": "what-if-two-leaders-meet",
        "content": "The one of the older term steps down.", "tags": ["raft"]});
    assert_eq!(done(&host, "store_memory", "learn-raft", answered)["replaced"], true);
    let summary = done(&host, "complete_session", "learn-raft", json!({}));
    assert_eq!(summary["stats"]["memories"], 3);
}
