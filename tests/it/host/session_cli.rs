//! `hostler session`, `memory`, `artifact` and `import-json`, with the real program.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::webhook::{done, fleets};
use crate::support::host::Host;

#[test]
fn a_session_lives_its_life_on_the_command_line() {
    let host = Host::new(&fleets()).up();
    let made = host.cli_json(&[
        "session",
        "create",
        "walk",
        "--title",
        "A walk",
        "--participant",
        "me",
        "--context",
        "free",
        "--metadata",
        r#"{"a": 1}"#,
    ]);
    assert_eq!((&made["title"], &made["metadata"]), (&json!("A walk"), &json!({"a": 1})));
    assert_eq!(host.cli(&["session", "create", "walk"]).code, 5);
    let kept = host.cli_json(&[
        "memory",
        "add",
        "walk",
        "We plan it",
        "--type",
        "decision",
        "--key",
        "k",
        "--tag",
        "a,b",
    ]);
    assert_eq!((&kept["key"], &kept["created"]), (&json!("k"), &json!(true)));
    host.cli_json(&["memory", "add", "walk", "--content", r#"{"n": 1}"#]);
    let listed =
        host.cli_json(&["memory", "list", "walk", "--type", "decision,risk", "--tag", "a"]);
    assert_eq!(listed["items"][0]["content"], "We plan it");
    let found = host.cli_json(&["memory", "search", "planning", "--session", "walk"]);
    assert_eq!(found["items"][0]["highlight"], "We **plan** it");
    let shown = host.cli(&["memory", "get", "walk", "k"]);
    assert!(shown.code == 0 && shown.stdout.contains("We plan it"), "{shown:?}");
    assert_eq!(host.cli(&["memory", "get", "walk", "nothing"]).code, 4);
    assert_eq!(host.cli(&["memory", "add", "walk", "x", "--type", "wish"]).code, 2);

    fs::write(host.path("notes.md"), "# Notes\n").unwrap();
    let artifact = host.cli_json(&["artifact", "add", "walk", "notes.md", "--type", "document"]);
    assert_eq!(artifact["artifact_id"], "notes.md");
    assert_eq!(host.cli(&["artifact", "get", "walk", "notes.md"]).stdout, "# Notes\n");
    assert_eq!(host.cli(&["artifact", "get", "walk", "notes.md", "--output", "copy.md"]).code, 0);
    assert_eq!(host.cli(&["artifact", "get", "walk", "notes.md", "--output", "copy.md"]).code, 2);
    assert_eq!(host.cli_json(&["artifact", "list", "walk"])["items"][0]["content_size"], 8);

    let table = host.cli(&[
        "session",
        "list",
        "--status",
        "active",
        "--participant",
        "me",
        "--text",
        "walks",
    ]);
    assert!(table.stdout.contains("walk") && table.stdout.contains("A walk"), "{table:?}");
    let none = host.cli_json(&["session", "list", "--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(none["items"], json!([]));
    let page = host.cli(&["session", "show", "walk"]);
    assert!(page.stdout.contains("We plan it") && page.stdout.contains("no tasks"), "{page:?}");
    assert_eq!(host.cli_json(&["session", "summary", "walk"])["stats"]["memories"], 2);
    let hits = host.cli_json(&["session", "search", "notes", "--kind", "artifact"]);
    assert_eq!(hits["items"][0]["id"], "notes.md");

    for form in [&["--form", "markdown", "--output", "walk.md"][..], &["--output", "walk.json"]] {
        assert_eq!(host.cli(&[&["session", "export", "walk"], form].concat()).code, 0);
    }
    assert!(host.cli(&["session", "export", "walk"]).stdout.starts_with("{\"hostler_session\":1"));
    assert_eq!(host.cli(&["session", "import", "walk.json"]).code, 5, "it is there");
    assert_eq!(
        host.cli_json(&["session", "import", "walk.json", "--merge"])["memories"]["existing"],
        2
    );
    assert_eq!(host.cli(&["session", "delete", "walk", "--if-empty"]).code, 5);
    assert_eq!(host.cli_json(&["session", "delete", "walk"])["deleted"], json!(["walk"]));
    assert_eq!(host.cli_json(&["session", "import", "walk.md"])["created"], true);
    assert_eq!(host.cli(&["artifact", "get", "walk", "notes.md"]).stdout, "# Notes\n");
    for (step, status) in [("pause", "paused"), ("resume", "active"), ("complete", "completed")] {
        assert_eq!(host.cli_json(&["session", step, "walk"])["status"], status);
    }
    assert_eq!(host.cli(&["session", "pause", "walk"]).code, 5);
    assert_eq!(host.cli(&["session", "summary", "nowhere"]).code, 4);
}

fn write(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

/// A tree as the first system left it.
fn tree(root: &Path, sessions: usize) {
    for nth in 0..sessions {
        let dir = root.join(format!("sessions/s{nth}"));
        let status = ["active", "paused", "completed"][nth % 3];
        write(
            &dir.join("session.json"),
            &json!({
                "session_id": format!("s{nth}"), "title": format!("Session {nth}"), "participants": ["me"],
                "context": "from before", "status": status, "created": "2025-03-01T10:00:00.123456",
                "last_activity": "2025-03-02T10:00:00",
                "completed_at": if status == "completed" { json!("2025-03-02T10:00:00") } else { Value::Null },
                "duration_minutes": 1440, "stats": {"memories": 2}, "odd": [1],
            }),
        );
        write(
            &dir.join("conversation/chunk_1.json"),
            &json!({
                "content": format!("said in {nth}"), "format": "dialogue", "start_time": "2025-03-01T10:00:00",
                "extracted_items": {"ideas": ["one"]},
            }),
        );
        for key in ["alpha", "beta"] {
            write(
                &dir.join(format!("memories/{key}.json")),
                &json!({
                    "type": "decision", "key": key, "content": {"nth": nth}, "tags": ["old"],
                    "timestamp": "2025-03-01T11:00:00", "session_id": format!("s{nth}"),
                }),
            );
        }
        write(
            &dir.join("tasks/t1.json"),
            &json!({
                "task_id": "t1", "agent_name": "claude", "task_type": "review", "data": {"pr": nth},
                "status": "completed", "created": "2025-03-01T12:00:00", "started": "2025-03-01T12:01:00",
                "completed": "2025-03-01T12:02:00", "result": {"ok": true}, "error": null,
            }),
        );
        write(
            &dir.join("artifacts/a1_meta.json"),
            &json!({
                "id": "a1", "type": "document", "name": "Notes", "file": "a1.md",
                "created": "2025-03-01T13:00:00", "metadata": {"pages": 1},
            }),
        );
        fs::write(dir.join("artifacts/a1.md"), format!("# Notes {nth}\n")).unwrap();
    }
}

#[test]
fn a_tree_of_a_thousand_sessions_is_brought_along_once_and_again() {
    let host = Host::new(&fleets()).up();
    let root = host.path("old");
    tree(&root, 1000);
    let dir = root.to_str().unwrap();
    let tally = |created: u64, existing: u64| json!({"created": created, "existing": existing});
    let dry = host.cli_json(&["import-json", dir, "--dry-run"]);
    assert_eq!((&dry["sessions"], &dry["memories"]), (&tally(1000, 0), &tally(2000, 0)));
    assert_eq!(host.cli_json(&["session", "list"])["items"], json!([]));

    let first = host.cli_json(&["import-json", dir]);
    for (what, count) in [
        ("sessions", 1000),
        ("chunks", 1000),
        ("memories", 2000),
        ("artifacts", 1000),
        ("tasks", 1000),
    ] {
        assert_eq!(first[what], tally(count, 0), "{what}");
    }
    assert_eq!(first["failed"], json!([]));
    for nth in [0, 1, 2, 500, 999] {
        let id = format!("s{nth}");
        let session = host.cli_json(&["session", "summary", &id]);
        assert_eq!(session["status"], ["active", "paused", "completed"][nth % 3]);
        assert_eq!(
            (&session["created"], &session["title"]),
            (&json!("2025-03-01T10:00:00.123456Z"), &json!(format!("Session {nth}")))
        );
        assert_eq!(session["last_activity"], "2025-03-02T10:00:00Z", "{session}");
        assert_eq!(
            session["stats"],
            json!({
                "conversation_chunks": 1, "memories": 2, "tasks": 1, "artifacts": 1, "active_tasks": 0,
            })
        );
        let memory = host.cli_json(&["memory", "get", &id, "beta"]);
        assert_eq!(
            (&memory["content"], &memory["created"]),
            (&json!({"nth": nth}), &json!("2025-03-01T11:00:00Z"))
        );
        assert_eq!(host.cli(&["artifact", "get", &id, "a1"]).stdout, format!("# Notes {nth}\n"));
        let task = host.get(&format!("/api/v1/sessions/{id}/tasks/t1"));
        assert_eq!(
            (&task["result"], &task["input_data"]),
            (&json!({"ok": true}), &json!({"pr": nth}))
        );
        let chunk = host.get(&format!("/api/v1/sessions/{id}/chunks/chunk_1"));
        assert_eq!(chunk["content"], format!("said in {nth}"));
    }
    let before = host.cli_json(&["session", "list", "--limit", "500"]);
    // Again, with two files broken, one that nobody knows and a directory that is none: the others are as
    // they were, and nothing that was not imported is archived.
    fs::write(root.join("sessions/s9/notes.txt"), "whatever").unwrap();
    fs::remove_dir_all(root.join("sessions/s10/memories")).unwrap();
    fs::write(root.join("sessions/s10/memories"), "").unwrap();
    fs::write(root.join("sessions/s11/.DS_Store"), "").unwrap();
    fs::write(root.join("sessions/s7/memories/alpha.json"), "{").unwrap();
    write(
        &root.join("sessions/s8/artifacts/b_meta.json"),
        &json!({"id": "b", "file": "../../s9/session.json"}),
    );
    let again =
        host.cli(&["import-json", dir, "--archive", host.path("done").to_str().unwrap(), "--json"]);
    assert_eq!(again.code, 1, "{again:?}");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["sessions"], &again["memories"]), (&tally(0, 1000), &tally(0, 1997)));
    assert_eq!(
        (&again["archived"], again["failed"].as_array().unwrap().len()),
        (&json!(996), 4),
        "{}",
        again["failed"]
    );
    let left: Vec<_> =
        fs::read_dir(root.join("sessions")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(host.path("done/s999/session.json").is_file());
    assert_eq!(host.cli_json(&["session", "list", "--limit", "500"]), before);
    // A completed one is completed here, too.
    let answer = host.cli(&["memory", "add", "s2", "late"]);
    assert_eq!(answer.code, 5, "{answer:?}");
    assert_eq!(done(&host, "query_memories", "s5", json!({"tags": ["old"]}))["count"], 2);
    assert_eq!(host.cli(&["import-json", host.path("nowhere").to_str().unwrap()]).code, 2);
}
