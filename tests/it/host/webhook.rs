//! `POST /webhook`, with the real program.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::support::{
    host::{HOSTLER, Host, WORKER},
    processes::eventually,
    websocket::WebSocket,
    wire::{Answer, Ask},
};

/// Workers, and agents for commands.
pub(super) fn fleets() -> String {
    format!(
        "{WORKER}count = 2\n\n[fleets.commands]\nprotocol = \"worker\"\n\
         command = [\"{HOSTLER}\", \"command-agent\"]\nqueues = [\"commands\"]\n\
         env_pass = [\"PATH\", \"HOME\"]\n\n\
         [webhook]\ncommand_fleet = \"commands\"\nroots = [\"@DIR@/tmp\"]\n"
    )
}

pub(super) fn webhook(host: &Host, body: &Value) -> Answer {
    host.ask(&Ask::new("POST", "/webhook").json(body))
}

pub(super) fn command(host: &Host, word: &str, session: &str, data: Value) -> Answer {
    webhook(
        host,
        &json!({
            "type": "collaborative_session_command", "command": word, "session_id": session,
            "data": data,
        }),
    )
}

/// The data of a command that is to succeed.
#[track_caller]
pub(super) fn done(host: &Host, word: &str, session: &str, data: Value) -> Value {
    let answer = command(host, word, session, data);
    assert!((200..300).contains(&answer.status), "{word}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["type"], "collaborative_session_response", "{body}");
    assert_eq!((&body["command"], &body["status"]), (&json!(word), &json!("success")), "{body}");
    body["data"].clone()
}

#[track_caller]
fn refused(host: &Host, word: &str, session: &str, data: Value, status: u16) -> String {
    let answer = command(host, word, session, data);
    let body = answer.expect(status);
    assert_eq!(body["status"], "error", "{body}");
    body["error"].as_str().expect("an error").to_owned()
}

#[test]
fn a_session_lives_its_life() {
    let host = Host::new(&fleets()).up();
    let made = command(
        &host,
        "create_session",
        "walk",
        json!({
            "title": "A walk", "participants": ["me", "you"], "context": "Hands free.",
            "metadata": {"app": "phone"},
        }),
    );
    let made = made.expect(201)["data"].clone();
    assert_eq!((&made["status"], &made["title"]), (&json!("active"), &json!("A walk")));
    assert_eq!(made["stats"]["memories"], 0);
    refused(&host, "create_session", "walk", json!({}), 409);

    let chunk = json!({"conversation_chunk": {
        "content": "Me: cache?\nYou: yes.", "format": "dialogue", "start_time": "2026-11-26T10:00:00",
        "extracted_items": {"decisions": ["We cache."], "action_items": ["Write it."]},
    }});
    let appended = done(&host, "append_conversation", "walk", chunk);
    assert_eq!(appended["extracted_items_processed"], 2);
    assert_eq!(appended["content_size"], 20);
    let own = json!({"chunk_id": "c2", "content": "later", "format": "summary"});
    assert_eq!(done(&host, "conversation_chunk", "walk", own.clone())["chunk_id"], "c2");
    let batch =
        done(&host, "conversation_batch", "walk", json!({"chunks": [own, {"content": "x"}]}));
    assert_eq!(batch["results"][0]["created"], false);
    assert_eq!(batch["results"][1]["created"], true);

    let stored = json!({"type": "idea", "key": "k", "content": {"a": 1}, "tags": ["t", "t"]});
    assert_eq!(done(&host, "store_memory", "walk", stored.clone())["created"], true);
    assert_eq!(done(&host, "store_memory", "walk", stored)["replaced"], true);
    let memory = &done(&host, "retrieve_memory", "walk", json!({"key": "k"}))["memory"];
    assert_eq!((&memory["content"], &memory["tags"]), (&json!({"a": 1}), &json!(["t"])));
    refused(&host, "retrieve_memory", "walk", json!({"key": "nothing"}), 404);
    let extracted =
        done(&host, "query_memories", "walk", json!({"filter": {"tags": ["extracted"]}}));
    assert_eq!(extracted["count"], 2);
    let words =
        done(&host, "query_memories", "walk", json!({"text": "caching", "type": "decision"}));
    assert_eq!(words["memories"][0]["highlight"], "We **cache**.", "{words}");

    // Page by page, each once.
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = done(&host, "query_memories", "walk", json!({"limit": 2, "cursor": cursor}));
        seen.extend(page["memories"].as_array().unwrap().iter().map(|one| one["key"].clone()));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(seen[0], "k");
    let other = json!({"text": "cache", "cursor": done(&host, "query_memories", "walk", json!({"limit": 1}))["next_cursor"]});
    refused(&host, "query_memories", "walk", other, 422);

    let artifact =
        json!({"artifact_id": "a", "type": "code", "name": "n", "content": "fn", "format": "rust"});
    assert_eq!(done(&host, "add_artifact", "walk", artifact)["content_size"], 2);
    assert_eq!(done(&host, "get_artifact", "walk", json!({"artifact_id": "a"}))["content"], "fn");
    assert_eq!(done(&host, "list_artifacts", "walk", json!({}))["count"], 1);

    let summary = done(&host, "get_session_summary", "walk", json!({}));
    let stats = json!({
        "conversation_chunks": 3, "memories": 3, "tasks": 0, "artifacts": 1, "active_tasks": 0,
    });
    assert_eq!(summary["stats"], stats);
    assert_eq!(done(&host, "pause_session", "walk", json!({}))["status"], "paused");
    refused(&host, "pause_session", "walk", json!({}), 409);
    assert_eq!(done(&host, "list_sessions", "any", json!({"filter": "paused"}))["count"], 1);
    assert_eq!(done(&host, "resume_session", "walk", json!({}))["status"], "active");
    assert_eq!(done(&host, "complete_session", "walk", json!({}))["status"], "completed");
    refused(&host, "resume_session", "walk", json!({}), 409);
    for (word, data) in [
        ("store_memory", json!({"content": 1})),
        ("conversation_chunk", json!({"content": "x"})),
        ("add_artifact", json!({"content": "x"})),
        ("delegate_task", json!({"agent_name": "quick"})),
    ] {
        refused(&host, word, "walk", data, 409);
    }
    refused(&host, "get_session_summary", "nowhere", json!({}), 404);
    refused(&host, "delete_session", "walk", json!({"cascade": false}), 409);
    let deleted = done(&host, "delete_session", "walk", json!({}));
    assert_eq!(deleted["deleted"]["memories"], 3);
    refused(&host, "delete_session", "walk", json!({}), 404);
}

#[test]
fn work_is_given_away_and_comes_back() {
    let host = Host::new(&fleets()).set("webhook.sync_wait", "700ms").up();
    done(&host, "create_session", "s", json!({}));
    let given = json!({
        "task_id": "t1", "agent_name": "quick", "task_type": "echo", "description": "say it",
        "priority": "high", "input_data": {"op": "echo", "value": "hello"},
    });
    let answer = command(&host, "delegate_task", "s", given.clone()).expect(202);
    assert_eq!(
        (&answer["data"]["created"], &answer["data"]["task_id"]),
        (&json!(true), &json!("t1"))
    );
    eventually("it is done", || {
        done(&host, "get_task", "s", json!({"task_id": "t1"}))["status"] == "completed"
    });
    let task = done(&host, "get_task", "s", json!({"task_id": "t1"}));
    assert_eq!((&task["result"], &task["priority"]), (&json!("hello"), &json!(10)));
    assert_eq!(task["input_data"]["session_id"], "s");
    // The same again is the same task.
    let again = command(&host, "delegate_task", "s", given).expect(200);
    assert_eq!((&again["data"]["created"], &again["data"]["task"]), (&json!(false), &task["task"]));

    let sync = |input: Value| {
        webhook(
            &host,
            &json!({
                "type": "collaborative_session_command", "command": "delegate_task", "session_id": "s",
                "feedback_mode": "sync", "data": {"agent_name": "quick-1", "input_data": input},
            }),
        )
    };
    assert_eq!(sync(json!({"op": "echo", "value": 7})).expect(200)["data"]["result"], 7);
    let late = sync(json!({"op": "sleep", "ms": 600_000})).expect(504);
    let id = late["data"]["task_id"].as_str().unwrap().to_owned();
    host.until_task(&id, "running");
    assert_eq!(done(&host, "get_session_summary", "s", json!({}))["stats"]["active_tasks"], 1);
    done(&host, "cancel_task", "s", json!({"task_id": id}));
    host.until_task(&id, "cancelled");
    refused(&host, "cancel_task", "s", json!({"task_id": id}), 409);
    let nobody = refused(&host, "delegate_task", "s", json!({"agent_name": "nobody"}), 422);
    assert!(nobody.contains("quick") && !nobody.contains("commands"), "{nobody}");
}

#[test]
fn a_batch_is_all_or_none_if_it_says_so() {
    let host = Host::new(&fleets()).up();
    done(&host, "create_session", "s", json!({}));
    let commands = |atomic: bool| {
        json!({"atomic": atomic, "commands": [
            {"command": "store_memory", "data": {"key": "a", "content": 1}},
            {"command": "delegate_task", "data": {"task_id": "t", "agent_name": "quick", "input_data": {"op": "echo"}}},
            {"command": "retrieve_memory", "data": {"key": "missing"}},
        ]})
    };
    let failed = command(&host, "batch", "s", commands(true)).expect(404);
    assert!(failed["message"].as_str().unwrap().contains("commands[2]"), "{failed}");
    let stats = done(&host, "get_session_summary", "s", json!({}))["stats"].clone();
    assert_eq!((&stats["memories"], &stats["tasks"]), (&json!(0), &json!(0)));

    let partly = command(&host, "batch", "s", commands(false)).expect(207);
    let results = partly["data"]["results"].as_array().unwrap().clone();
    assert_eq!((&partly["data"]["processed"], &partly["data"]["failed"]), (&json!(3), &json!(1)));
    assert_eq!(results[2]["http_status"], 404);
    let whole = json!({"atomic": true, "conversation_chunk": {"content": "hi"}, "commands": [
        {"command": "store_memory", "data": {"key": "b", "content": 2}},
        {"command": "delegate_task", "data": {"task_id": "u", "agent_name": "quick", "input_data": {"op": "echo"}}},
        {"command": "complete_session"},
    ]});
    assert_eq!(done(&host, "batch", "s", whole)["processed"], 4);
    // What an atomic batch gave away runs, too.
    eventually("it is done", || {
        done(&host, "get_task", "s", json!({"task_id": "u"}))["status"] == "completed"
    });
}

#[test]
fn mistakes_are_told_with_their_fields_and_true_statuses() {
    let host = Host::new(&fleets()).up();
    let ask = |body: Ask| host.ask(&body);
    let post = || Ask::new("POST", "/webhook");
    let broken = ask(post().text("{")).expect(400);
    assert_eq!(broken["type"], "urn:hostler:problem:bad-json");
    let typed = webhook(
        &host,
        &json!({"type": "collaborative_session_command",
        "command": "create_session", "session_id": "s", "data": {"title": 7}}),
    )
    .expect(400);
    assert_eq!(typed["errors"][0]["field"], "data.title", "{typed}");
    let unknown = command(&host, "fly", "s", json!({})).expect(422);
    assert!(unknown["detail"].as_str().unwrap().contains("create_session"), "{unknown}");
    webhook(&host, &json!({"type": "wish"})).expect(422);
    ask(post().raw("{}")).expect(415);
    let small = Host::new(&fleets()).set("http.max_body", "2MiB").up();
    let large = json!({"type": "x".repeat(3 << 20)});
    webhook(&small, &large).expect(413);
}

#[test]
fn a_request_with_a_key_is_answered_once_and_told_again() {
    let host = Host::new(&fleets()).up();
    done(&host, "create_session", "s", json!({}));
    let body = json!({
        "type": "collaborative_session_command", "command": "batch", "session_id": "s",
        "data": {"commands": [{"command": "store_memory", "data": {"content": "x"}},
            {"command": "delegate_task", "data": {"agent_name": "quick", "input_data": {"op": "echo"}}}]},
    });
    let send = |body: &Value| {
        host.ask(&Ask::new("POST", "/webhook").header("Idempotency-Key", "once").json(body))
    };
    let first = send(&body);
    let again = send(&body);
    assert_eq!((again.status, again.json()), (first.status, first.json()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let stats = done(&host, "get_session_summary", "s", json!({}))["stats"].clone();
    assert_eq!((&stats["memories"], &stats["tasks"]), (&json!(1), &json!(1)));
    let other = json!({"type": "collaborative_session_command", "command": "list_sessions"});
    send(&other).expect(422);
    // What was told again and what was refused is written down, too.
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    for line in [
        "hostler_webhook_commands_total{kind=\"batch\",outcome=\"done\"} 2",
        "hostler_webhook_commands_total{kind=\"store_memory\",outcome=\"done\"} 1",
        "hostler_webhook_commands_total{kind=\"list_sessions\",outcome=\"refused\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[test]
fn a_command_whose_wait_was_over_is_not_run_twice_when_it_comes_again() {
    let host = Host::new(&fleets()).set("webhook.sync_wait", "300ms").up();
    let send = |params: Value| {
        let data = json!({"action_type": "quick", "params": params});
        let body = json!({"type": "task_command", "sync": true, "data": data});
        host.ask(&Ask::new("POST", "/webhook").header("Idempotency-Key", "once").json(&body))
    };
    let sleep = json!({"op": "sleep", "ms": 600_000});
    let (first, again) = (send(sleep.clone()).expect(504), send(sleep).expect(504));
    assert_eq!((&first["created"], &again["created"]), (&json!(true), &json!(false)));
    assert_eq!((&first["task"], &first["task_id"]), (&again["task"], &again["task_id"]));
    // With the same key something else is something else.
    let other = send(json!({"op": "echo", "value": 1})).expect(200);
    assert_ne!(other["task"], first["task"]);
    assert_eq!(host.get("/api/v1/tasks")["items"].as_array().unwrap().len(), 2);
}

#[test]
fn an_insight_makes_its_session() {
    let host = Host::new(&fleets()).up();
    let insight = json!({
        "type": "llm_conversation_insight",
        "insight": {"type": "action_item", "priority": "high", "title": "Renew the certificate",
            "content": "It ends in May.", "tags": ["ops"], "suggested_followup": "Do it."},
        "conversation": {"id": "notes", "context": "Daily notes\nand more"},
    });
    let kept = webhook(&host, &insight).expect(200);
    assert_eq!(kept["data"]["key"], "renew-the-certificate");
    assert_eq!(webhook(&host, &insight).expect(200)["data"]["replaced"], true);
    let session = done(&host, "get_session_summary", "notes", json!({}));
    assert_eq!(
        (&session["title"], &session["stats"]["memories"]),
        (&json!("Daily notes"), &json!(1))
    );
}

fn git(dir: &std::path::Path, words: &[&str]) {
    let done = std::process::Command::new("git").args(words).current_dir(dir).output();
    assert!(done.expect("git runs").status.success(), "{words:?}");
}

fn task_command(host: &Host, id: &str, action: &str, params: Value, sync: bool) -> Answer {
    webhook(
        host,
        &json!({"type": "task_command", "sync": sync,
        "data": {"task_id": id, "action_type": action, "params": params}}),
    )
}

#[test]
fn commands_run_below_the_roots_and_nowhere_else() {
    let host = Host::new(&fleets()).up();
    let root = host.path("tmp");
    let repo = root.join("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q"]);
    fs::write(repo.join("new"), "x").unwrap();
    let status = json!({"command": ["git", "status", "--short"], "working_dir": "repo"});
    let ran = task_command(&host, "g1", "git", status.clone(), true).expect(200);
    assert_eq!(
        (&ran["status"], &ran["output"]["stdout"]),
        (&json!("completed"), &json!("?? new\n")),
        "{ran}"
    );
    assert!(ran["output"]["success"] == true && ran["output"]["returncode"] == 0, "{ran}");
    // Seen before: not run twice.
    fs::write(repo.join("newer"), "x").unwrap();
    let again = task_command(&host, "g1", "git", status, true).expect(200);
    assert_eq!(
        (&again["output"]["stdout"], &again["created"]),
        (&json!("?? new\n"), &json!(false))
    );
    // Without a name it goes by the id of its task, and is found by that: not run twice either.
    let nameless = |id: Option<&str>, sync: bool| {
        let mut data = json!({"action_type": "git",
            "params": {"command": ["git", "status", "--short"], "working_dir": "repo"}});
        if let Some(id) = id {
            data["task_id"] = json!(id);
        }
        webhook(&host, &json!({"type": "task_command", "sync": sync, "data": data}))
    };
    let ran = nameless(None, true).expect(200);
    assert_eq!(ran["output"]["stdout"], "?? new\n?? newer\n", "{ran}");
    assert_eq!((&ran["created"], &ran["task_id"]), (&json!(true), &ran["task"]));
    fs::remove_file(repo.join("newer")).unwrap();
    let again = nameless(ran["task_id"].as_str(), true).expect(200);
    assert_eq!(
        (&again["output"]["stdout"], &again["created"]),
        (&json!("?? new\n?? newer\n"), &json!(false))
    );
    let received = nameless(None, false).expect(202);
    host.wait(received["task"].as_str().unwrap());
    let ended = nameless(received["task_id"].as_str(), false).expect(200);
    assert_eq!((&ended["status"], &ended["created"]), (&json!("completed"), &json!(false)));
    let failed = json!({"command": ["git", "show", "nothing"], "working_dir": "repo"});
    let failed = task_command(&host, "g2", "git", failed, true).expect(200);
    assert_eq!(
        (&failed["status"], &failed["output"]["returncode"]),
        (&json!("failed"), &json!(128)),
        "{failed}"
    );

    symlink("/", root.join("escape")).unwrap();
    for dir in ["escape", "..", "/", "/etc", "repo/../.."] {
        let params = json!({"command": ["git", "status"], "working_dir": dir});
        let refused = task_command(&host, "no", "git", params, true).expect(403);
        assert!(refused["error"].as_str().unwrap().contains("working_dir"), "{dir}: {refused}");
    }
    // Git shows any two files where one is elsewhere, or where there is no repository.
    fs::write(root.join("outside"), "secret").unwrap();
    let files = json!({"command": ["git", "diff", "../outside", "new"], "working_dir": "repo"});
    task_command(&host, "no", "git", files, true).expect(403);
    let files = json!({"command": ["git", "diff", "repo/new", "outside"]});
    let refused = task_command(&host, "no", "git", files, true).expect(422);
    assert!(refused["error"].as_str().unwrap().contains("no git repository"), "{refused}");
    let config = json!({"command": ["git", "-c", "alias.x=!sh", "x"], "working_dir": "repo"});
    task_command(&host, "no", "git", config, true).expect(403);
    task_command(&host, "no", "shell", json!({"command": ["id"]}), true).expect(403);
    task_command(&host, "no", "shell", json!({"command": "id"}), true).expect(403);
    task_command(&host, "no", "commands", json!({"command": {"argv": ["id"]}}), true).expect(422);
    task_command(&host, "no", "nobody", json!({}), true).expect(422);
    let none = host.get("/api/v1/tasks?queue=commands");
    assert_eq!(none["items"].as_array().unwrap().len(), 4, "those that were allowed: {none}");

    let fleet =
        task_command(&host, "f", "quick", json!({"op": "echo", "value": [1]}), true).expect(200);
    assert_eq!(fleet["output"]["result"], json!([1]));
    let received = task_command(&host, "f2", "quick", json!({"op": "echo"}), false).expect(202);
    assert_eq!(received["status"], "received");
}

#[test]
fn a_shell_is_run_where_the_operator_turned_it_on_and_ends_in_time() {
    let host = Host::new(&fleets())
        .set("fleets.commands.shell", "argv")
        .set("webhook.sync_wait", "20s")
        .up();
    let echo = json!({"command": ["printf", "%s", "$HOME; id"]});
    let ran = task_command(&host, "s1", "shell", echo, true).expect(200);
    assert_eq!(ran["output"]["stdout"], "$HOME; id");
    task_command(&host, "s2", "shell", json!({"command": "id"}), true).expect(403);
    let slow = json!({"command": ["sh", "-c", "sleep 1000 & sleep 1000"], "timeout": 1});
    let slow = task_command(&host, "s3", "shell", slow, true).expect(200);
    assert_eq!(slow["status"], "failed", "{slow}");
    assert!(slow["error"].as_str().unwrap().contains("longer than 1000 ms"), "{slow}");
    // And the agent goes on with the next.
    let next =
        task_command(&host, "s4", "shell", json!({"command": ["echo", "hi"]}), true).expect(200);
    assert_eq!(next["output"]["stdout"], "hi\n");
    drop(host);
    let lines = Host::new(&fleets()).set("fleets.commands.shell", "line").up();
    let line = task_command(&lines, "l", "shell", json!({"command": "echo a | tr a b"}), true);
    assert_eq!(line.expect(200)["output"]["stdout"], "b\n");
}

const SECRET: &str = "a secret of twenty letters";

/// The signature of a body, made by another program than ours.
fn signature(body: &str) -> String {
    let code = "import hashlib,hmac,sys; print(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).hexdigest())";
    let output = std::process::Command::new("python3").args(["-c", code, SECRET, body]).output();
    format!("sha256={}", String::from_utf8(output.expect("python").stdout).unwrap().trim())
}

#[test]
fn deliveries_of_github_become_tasks_once() {
    let rules = "[github.review]\nbranch = \"main\"\nrepository = \"me/app\"\nkind = \"review\"\n\
        input = { op = \"echo\", value = \"{{ payload.head_commit.id }} by {{ event }}\" }\n";
    let host = Host::new(&format!("{}github_secret = \"{SECRET}\"\n\n{rules}", fleets())).up();
    let payload = |branch: &str| {
        json!({"ref": format!("refs/heads/{branch}"), "repository": {"full_name": "me/app"},
            "head_commit": {"id": "abc"}})
        .to_string()
    };
    let send = |id: &str, body: &str, signed: &str| {
        host.ask(
            &Ask::new("POST", "/webhook")
                .header("X-GitHub-Event", "push")
                .header("X-GitHub-Delivery", id)
                .header("X-Hub-Signature-256", signed)
                .text(body),
        )
    };
    let (main, other) = (payload("main"), payload("other"));
    let taken = send("d1", &main, &signature(&main)).expect(202);
    let task = taken["tasks"][0]["task"].as_str().unwrap().to_owned();
    assert_eq!(host.wait(&task)["output"], "abc by push");
    let again = send("d1", &main, &signature(&main)).expect(200);
    assert_eq!((&again["status"], &again["tasks"]), (&json!("duplicate"), &taken["tasks"]));
    assert_eq!(send("d2", &other, &signature(&other)).expect(202)["tasks"], json!([]));
    for signed in [&signature(&other), "", "sha256=00", &signature(&main)[..70]] {
        let refused = send("d3", &main, signed).expect(403);
        assert_eq!(refused["type"], "urn:hostler:problem:bad-signature");
    }
    // Whatever it holds and whatever it says that it is.
    assert_eq!(send("d1", &other, &signature(&other)).expect(200)["status"], "duplicate");
    let as_text = |signed: &str| {
        let ask = Ask::new("POST", "/webhook").header("X-GitHub-Event", "push");
        let ask = ask.header("X-GitHub-Delivery", "d5").header("Content-Type", "text/plain");
        host.ask(&ask.header("X-Hub-Signature-256", signed).raw(main.as_bytes()))
    };
    as_text(&signature(&other)).expect(403);
    as_text(&signature(&main)).expect(415);
    let tasks = host.get("/api/v1/tasks?kind=review");
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1);
    // A payload that the rule can't use changes nothing, and may come again.
    let odd = json!({"ref": "refs/heads/main", "repository": {"full_name": "me/app"}}).to_string();
    let failed = send("d4", &odd, &signature(&odd)).expect(422);
    assert!(failed["detail"].as_str().unwrap().contains("github.review"), "{failed}");
    send("d4", &main, &signature(&main)).expect(202);
}

#[test]
fn the_relay_tells_what_was_taken_and_the_first_answer_wins() {
    // Nobody runs tasks of this fleet: its agents never say hello.
    let slow = "\n[fleets.none]\nprotocol = \"worker\"\ncommand = [\"sleep\", \"1000\"]\n\
        queues = [\"none\"]\nstart_timeout = \"10m\"\n";
    let host = Host::new(&format!("{}{slow}", fleets())).up();
    let mut client = WebSocket::connect(&host.data_dir().join("hostler.sock"), "/ws");
    assert_eq!(client.json()["type"], "connection");
    client.send(&json!({"type": "ping"}));
    assert_eq!(client.json()["type"], "pong");
    client.send_text("not json");
    assert_eq!(client.json()["type"], "error");
    done(&host, "create_session", "s", json!({"title": "T"}));
    let heard = client.json();
    assert_eq!((&heard["type"], &heard["sync"]), (&json!("webhook"), &json!(false)));
    assert_eq!(heard["payload"]["data"]["title"], "T");

    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| task_command(&host, "r1", "none", json!({}), true));
        let heard = client.json();
        assert_eq!(
            (&heard["sync"], &heard["payload"]["data"]["task_id"]),
            (&json!(true), &json!("r1"))
        );
        let output = json!({"success": true, "stdout": "mine", "stderr": "", "returncode": 0});
        let result = json!({"type": "task_result", "task_id": "r1", "status": "completed", "output": output});
        client.send(&result);
        client.send(&result);
        assert_eq!(client.json()["type"], "error", "the second answer is too late");
        waiting.join().unwrap()
    });
    let answer = answer.expect(200);
    assert_eq!(
        (&answer["status"], &answer["output"]["stdout"]),
        (&json!("completed"), &json!("mine"))
    );
    let again = task_command(&host, "r1", "none", json!({}), false).expect(200);
    assert_eq!(again["output"]["stdout"], "mine", "{again}");
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    assert!(metrics.contains("hostler_relay_clients 1"), "{metrics}");
    drop(client);
    eventually("the client is gone", || {
        host.ask(&Ask::new("GET", "/metrics")).text().contains("hostler_relay_clients 0")
    });
}

#[test]
fn a_client_of_the_relay_that_reads_nothing_is_dropped() {
    let host = Host::new(&fleets()).up();
    let mut client = WebSocket::connect(&host.data_dir().join("hostler.sock"), "/ws");
    assert_eq!(client.json()["type"], "connection");
    let large = "x".repeat(200_000);
    for nth in 0..400 {
        done(&host, "list_sessions", "any", json!({"nth": nth, "large": large}));
    }
    eventually("it is dropped", || {
        let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
        metrics.contains("hostler_relay_dropped_total 1")
            && metrics.contains("hostler_relay_clients 0")
    });
}

#[test]
fn what_is_said_is_counted_and_never_logged() {
    let host = Host::new(&fleets()).up();
    done(
        &host,
        "create_session",
        "quiet",
        json!({"title": "title-of-it", "context": "context-of-it"}),
    );
    done(&host, "store_memory", "quiet", json!({"key": "key-of-it", "content": "content-of-it"}));
    done(&host, "conversation_chunk", "quiet", json!({"content": "content-of-it"}));
    command(&host, "retrieve_memory", "quiet", json!({"key": "key-of-it-2"})).expect(404);
    command(&host, "query_memories", "quiet", json!({"text": "content-of-it"})).expect(200);
    webhook(&host, &json!({"type": "content-of-it"})).expect(422);
    let several = |atomic: bool| {
        json!({"atomic": atomic, "commands": [
            {"command": "add_artifact", "data": {"content": "content-of-it"}},
            {"command": "get_task", "data": {"task_id": "key-of-it"}},
        ]})
    };
    command(&host, "batch", "quiet", several(false)).expect(207);
    command(&host, "batch", "quiet", several(true)).expect(404);
    let by_path = json!({"key": "key-of-it", "content": "content-of-it"});
    host.ask(&Ask::new("POST", "/api/v1/sessions/quiet/memories").json(&by_path)).expect(200);
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    for line in [
        "hostler_webhook_commands_total{kind=\"store_memory\",outcome=\"done\"} 1",
        "hostler_webhook_commands_total{kind=\"retrieve_memory\",outcome=\"refused\"} 1",
        "hostler_webhook_commands_total{kind=\"unreadable\",outcome=\"refused\"} 1",
        "hostler_webhook_commands_total{kind=\"add_artifact\",outcome=\"done\"} 1",
        "hostler_webhook_commands_total{kind=\"get_task\",outcome=\"refused\"} 2",
        "hostler_webhook_commands_total{kind=\"batch\",outcome=\"done\"} 1",
        "hostler_webhook_commands_total{kind=\"batch\",outcome=\"refused\"} 1",
        "hostler_session_search_seconds_count 1",
        "hostler_event_subscribers 0",
        "hostler_webhook_delivery_lag_seconds_count 0",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let log = || fs::read_to_string(host.path("stderr")).unwrap();
    // The last of them; lines are written by a thread of their own.
    eventually("all lines", || log().contains("command of the API"));
    let log = log();
    assert!(
        log.contains("\"command\":\"store_memory\"") && log.contains("\"session\":\"quiet\""),
        "{log}"
    );
    for (way, word) in [
        ("command of a webhook", "store_memory"),
        ("command of a webhook", "add_artifact"),
        ("command of the API", "store_memory"),
    ] {
        let line = log.lines().find(|line| line.contains(way) && line.contains(word));
        let line = line.unwrap_or_else(|| panic!("{way} in {log}"));
        assert!(
            line.contains("\"session\":\"quiet\"") && line.contains("\"caller\":\"owner\""),
            "{line}"
        );
    }
    for secret in ["content-of-it", "title-of-it", "context-of-it", "key-of-it"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_command_is_logged_with_the_id_of_the_key_and_not_with_the_key() {
    let host = Host::new(&fleets()).set("http.bind", "127.0.0.1:0").up();
    let made = host.cli_json(&["key", "create", "--name", "phone", "--scope", "submit"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let body = json!({
        "type": "collaborative_session_command", "command": "create_session", "session_id": "s", "data": {},
    });
    let bearer = format!("Bearer {key}");
    let ask = Ask::new("POST", "/webhook").header("Authorization", &bearer).json(&body);
    ask.over_tcp(super::access::address(&host)).unwrap().expect(201);
    // Lines are written by a thread of their own.
    let log = || fs::read_to_string(host.path("stderr")).unwrap();
    eventually("a line", || log().lines().any(|line| line.contains("command of a webhook")));
    let log = log();
    let line = log.lines().find(|line| line.contains("command of a webhook")).unwrap();
    assert!(line.contains(&format!("\"caller\":\"key:{id}\"")), "{line}");
    assert!(!log.contains(key));
}

#[test]
fn the_page_for_language_models_names_this_host() {
    let host = Host::new(&fleets()).up();
    let page = host.ask(&Ask::new("GET", "/llm-instructions").header("Host", "box.example"));
    assert_eq!(page.header("content-type"), Some("text/markdown; charset=utf-8"));
    let page = page.text();
    assert!(page.contains("http://box.example/webhook") && page.contains("`quick`"), "{page}");
    assert!(
        page.contains("Git commands are run") && page.contains("Other commands are not"),
        "{page}"
    );
}

#[test]
fn the_page_for_language_models_is_read_without_a_key_and_says_nothing_of_the_host_then() {
    let host = Host::new(&fleets()).set("http.bind", "127.0.0.1:0").up();
    let at = super::access::address(&host);
    let made = host.cli_json(&["key", "create", "--scope", "submit"]);
    let ask = || Ask::new("GET", "/llm-instructions").header("Host", "box.example");
    let page = ask().over_tcp(at).unwrap();
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.text();
    assert!(page.contains("http://box.example/webhook") && page.contains("API key"), "{page}");
    assert!(!page.contains("`quick`") && !page.contains("Git commands are run"), "{page}");
    let with = ask().header("X-API-Key", made["key"].as_str().unwrap()).over_tcp(at).unwrap();
    assert!(with.text().contains("`quick`"), "{}", with.text());
}
