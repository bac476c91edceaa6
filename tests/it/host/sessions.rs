//! `/api/v1/sessions`, with the real program.

use serde_json::{Value, json};

use super::webhook::{done, fleets};
use crate::support::{
    cluster::on_a_runtime,
    host::{Host, WORKER},
    processes::eventually,
    wire::{Answer, Ask},
};

fn ask(host: &Host, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let ask = Ask::new(method, &format!("/api/v1{path}"));
    host.ask(&match body {
        Some(body) => ask.json(body),
        None => ask,
    })
}

#[test]
fn artifacts_are_listed_alike_on_every_way_in() {
    let host = Host::new(&fleets()).up();
    done(&host, "create_session", "s", json!({}));
    for (id, kind, text) in
        [("plan", "document", "export as csv"), ("sum", "code", "csv"), ("note", "document", "tea")]
    {
        let body = json!({"artifact_id": id, "type": kind, "content": text, "task_id": "t"});
        done(&host, "add_artifact", "s", body);
    }
    let ids = |page: &Value, list: &str| -> Vec<String> {
        let items = page[list].as_array().unwrap_or_else(|| panic!("{page}")).iter();
        items.map(|item| item["artifact_id"].as_str().unwrap().to_owned()).collect()
    };
    // Each as the fields of the contract, as a query, and as options of the command line.
    let rows: [(Value, &str, &[&str], &[&str]); 5] = [
        (json!({"text": "csv"}), "?text=csv", &["--text", "csv"], &["sum", "plan"]),
        (
            json!({"text": "csv", "type": "code", "task_id": "t"}),
            "?text=csv&type=code&task_id=t",
            &["--text", "csv", "--type", "code", "--task", "t"],
            &["sum"],
        ),
        (json!({"task_id": "u"}), "?task_id=u", &["--task", "u"], &[]),
        (
            json!({"since": "2020-01-01T00:00:00Z", "limit": 2}),
            "?since=2020-01-01T00:00:00Z&limit=2",
            &["--since", "2020-01-01T00:00:00Z", "--limit", "2"],
            &["note", "sum"],
        ),
        (
            json!({"until": "2020-01-01T00:00:00Z"}),
            "?until=2020-01-01T00:00:00Z",
            &["--until", "2020-01-01T00:00:00Z"],
            &[],
        ),
    ];
    for (data, query, options, wanted) in rows {
        assert_eq!(ids(&done(&host, "list_artifacts", "s", data.clone()), "artifacts"), wanted);
        let inside = json!({"filter": data});
        assert_eq!(ids(&done(&host, "list_artifacts", "s", inside), "artifacts"), wanted);
        let page = ask(&host, "GET", &format!("/sessions/s/artifacts{query}"), None).expect(200);
        assert_eq!(ids(&page, "items"), wanted, "{query}");
        let listed = host.cli_json(&[&["artifact", "list", "s"], options].concat());
        assert_eq!(ids(&listed, "items"), wanted, "{options:?}");
        let mut arguments = data;
        arguments["session_id"] = json!("s");
        let told = super::mcp::tool(&host, "list_artifacts", &arguments);
        assert_eq!(ids(&told["structuredContent"], "artifacts"), wanted, "{told}");
    }
    let odd = ask(&host, "GET", "/sessions/s/artifacts?since=yesterday", None).expect(400);
    assert!(odd["detail"].as_str().unwrap().contains("since"), "{odd}");
}

#[test]
fn the_resources_are_what_the_webhook_writes() {
    let host = Host::new(&fleets()).up();
    let made = ask(&host, "POST", "/sessions", Some(&json!({"session_id": "a b", "title": "T"})));
    assert_eq!(made.header("location"), Some("/api/v1/sessions/a%20b"));
    made.expect(201);
    ask(&host, "POST", "/sessions", Some(&json!({"session_id": "a b"}))).expect(409);
    let odd = ask(&host, "POST", "/sessions", Some(&json!({"titel": "T"}))).expect(422);
    assert_eq!(odd["errors"][0]["field"], "titel");
    let changed = ask(
        &host,
        "PATCH",
        "/sessions/a%20b",
        Some(&json!({"context": "more", "participants": null, "metadata": null})),
    )
    .expect(200);
    assert_eq!((&changed["context"], &changed["title"]), (&json!("more"), &json!("T")));

    let put = ask(
        &host,
        "PUT",
        "/sessions/a%20b/memories/x%2Fy",
        Some(&json!({"type": "fact", "content": 7})),
    );
    put.expect(201);
    assert_eq!(
        done(&host, "retrieve_memory", "a b", json!({"key": "x/y"}))["memory"]["content"],
        7
    );
    done(
        &host,
        "store_memory",
        "a b",
        json!({"type": "idea", "key": "k", "content": "plan", "tags": ["t", "u"]}),
    );
    let by_tag =
        ask(&host, "GET", "/sessions/a%20b/memories?tag=t,u&type=idea,risk", None).expect(200);
    assert_eq!(by_tag["items"][0]["key"], "k");
    ask(&host, "GET", "/sessions/a%20b/memories?cursor=zz", None).expect(400);
    ask(&host, "GET", "/sessions/a%20b/memories?type=wish", None).expect(400);
    let found = ask(&host, "GET", "/search?text=plans&session=a%20b", None).expect(200);
    assert_eq!(
        (&found["items"][0]["kind"], &found["items"][0]["id"]),
        (&json!("memory"), &json!("k"))
    );

    let task =
        json!({"task_id": "t", "agent_name": "quick", "input_data": {"op": "echo", "value": 1}});
    ask(&host, "POST", "/sessions/a%20b/tasks", Some(&task)).expect(201);
    eventually("it is done", || {
        ask(&host, "GET", "/sessions/a%20b/tasks/t", None).json()["status"] == "completed"
    });
    assert_eq!(
        ask(&host, "GET", "/sessions/a%20b/tasks", None).expect(200)["items"][0]["result"],
        1
    );
    ask(&host, "POST", "/sessions/a%20b/tasks/t/cancel", None).expect(409);

    let artifact = json!({"artifact_id": "f", "content": "text", "name": "F"});
    ask(&host, "POST", "/sessions/a%20b/artifacts", Some(&artifact)).expect(201);
    assert_eq!(
        ask(&host, "GET", "/sessions/a%20b/artifacts/f", None).expect(200)["content"],
        "text"
    );
    ask(&host, "POST", "/sessions/a%20b/chunks", Some(&json!({"chunk_id": "c", "content": "hi"})))
        .expect(201);
    assert_eq!(ask(&host, "GET", "/sessions/a%20b/chunks/c", None).expect(200)["content"], "hi");
    let list = ask(&host, "GET", "/sessions/a%20b/chunks", None).expect(200);
    assert_eq!(list["items"][0].get("content"), None, "{list}");

    for (step, status) in
        [("pause", 200), ("pause", 409), ("resume", 200), ("complete", 200), ("resume", 409)]
    {
        ask(&host, "POST", &format!("/sessions/a%20b/{step}"), None).expect(status);
    }
    ask(&host, "PUT", "/sessions/a%20b/memories/k", Some(&json!({"content": 1}))).expect(409);
    assert_eq!(
        ask(&host, "GET", "/sessions?state=completed", None).expect(200)["items"][0]["session_id"],
        "a b"
    );
    ask(&host, "DELETE", "/sessions/a%20b?cascade=false", None).expect(409);
    ask(&host, "DELETE", "/sessions/a%20b", None).expect(200);
    ask(&host, "GET", "/sessions/a%20b", None).expect(404);
}

/// A transcript of so many bytes at least, with a word at its end that stands nowhere else.
fn transcript(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 100);
    for line in 0.. {
        if text.len() >= bytes {
            break;
        }
        text += &format!("{line}: wir sprechen über \"Größe\"\tund\\mehr\n");
    }
    text + "xylophone"
}

#[test]
fn a_transcript_of_fifty_megabytes_goes_in_and_out_in_pieces() {
    let host = Host::new(&fleets()).up();
    done(&host, "create_session", "s", json!({}));
    let text = transcript(50 << 20);
    let path = "/api/v1/sessions/s/chunks/big/content";
    let put = host.ask(
        &Ask::new("PUT", path)
            .header("Content-Type", "text/plain; charset=utf-8")
            .raw(text.as_bytes()),
    );
    assert_eq!(put.expect(201)["content_size"], text.len());
    let got = host.ask(&Ask::new("GET", path)).text();
    assert!(got == text, "{} bytes of {}", got.len(), text.len());
    let found = ask(&host, "GET", "/search?text=xylophone", None).expect(200);
    assert_eq!(
        (&found["items"][0]["kind"], &found["items"][0]["id"]),
        (&json!("chunk"), &json!("big"))
    );
    // What is no text leaves nothing behind.
    let broken = [&b"a\xff"[..], &[b'x'; 100]].concat();
    let other = "/api/v1/sessions/s/chunks/broken/content";
    host.ask(&Ask::new("PUT", other).header("Content-Type", "text/plain").raw(broken)).expect(422);
    host.ask(&Ask::new("PUT", other).raw("x")).expect(415);
    host.ask(&Ask::new("GET", other)).expect(404);
}

#[test]
fn a_session_is_written_to_a_file_and_comes_back_the_same() {
    let host = Host::new(&fleets()).up();
    done(
        &host,
        "create_session",
        "s",
        json!({"title": "T", "participants": ["me"], "metadata": {"a": [1]}}),
    );
    let odd = "line\n\n    indented\n```json chunk\n{}\n```\n\ttab \"quoted\" \\ ä\n";
    for nth in 0..120 {
        done(
            &host,
            "store_memory",
            "s",
            json!({"key": format!("k{nth}"), "content": {"n": nth}, "tags": ["t"]}),
        );
    }
    done(
        &host,
        "conversation_chunk",
        "s",
        json!({"chunk_id": "c1", "content": odd, "start_time": "2026-01-01T00:00:00"}),
    );
    done(
        &host,
        "conversation_chunk",
        "s",
        json!({"chunk_id": "c2", "content": transcript(3 << 20)}),
    );
    done(
        &host,
        "add_artifact",
        "s",
        json!({"artifact_id": "a", "content": odd, "metadata": {"x": 1}}),
    );
    done(
        &host,
        "delegate_task",
        "s",
        json!({"task_id": "t", "agent_name": "quick", "input_data": {"op": "echo", "value": 1}}),
    );
    eventually("it is done", || {
        done(&host, "get_task", "s", json!({"task_id": "t"}))["status"] == "completed"
    });
    done(&host, "complete_session", "s", json!({}));

    let export =
        |form: &str| host.ask(&Ask::new("GET", &format!("/api/v1/sessions/s/export?form={form}")));
    let whole = export("json").expect(200);
    let mut forged = whole.clone();
    forged["memories"][7]["tags"] = json!(["\u{1}1"]);
    let refused = host.ask(&Ask::new("POST", "/api/v1/session-imports").json(&forged)).expect(422);
    assert!(refused.to_string().contains("memories[7].tags"), "{refused}");
    assert_eq!(whole["memories"].as_array().unwrap().len(), 120);
    assert_eq!(whole["chunks"][1]["content"], odd);
    let markdown = export("markdown").text();
    for (media, body) in [("application/json", export("json").text()), ("text/markdown", markdown)]
    {
        let import = |merge: &str| {
            host.ask(
                &Ask::new("POST", &format!("/api/v1/session-imports{merge}"))
                    .header("Content-Type", media)
                    .raw(body.as_bytes()),
            )
        };
        import("").expect(409);
        let merged = import("?merge=true").expect(200);
        assert_eq!(
            (&merged["memories"]["existing"], &merged["tasks"]["existing"]),
            (&json!(120), &json!(1))
        );
        done(&host, "delete_session", "s", json!({}));
        let made = import("").expect(201);
        assert_eq!(
            (&made["chunks"]["created"], &made["memories"]["created"]),
            (&json!(2), &json!(120))
        );
        let mut again = export("json").expect(200);
        // The task is known from the file now, and in no queue any more.
        assert_eq!(again["tasks"][0]["result"], 1);
        let mut before = whole.clone();
        for export in [&mut again, &mut before] {
            export["tasks"][0]["task"] = Value::Null;
            export["tasks"][0]["priority"] = Value::Null;
        }
        assert_eq!(again, before, "{media}");
    }
    let broken = Ask::new("POST", "/api/v1/session-imports").text("{\"hostler_session\": 1}");
    host.ask(&broken).expect(400);
}

/// A host enters memories into their index by itself, so that neither who keeps them nor who searches waits
/// for that. There is no look at what has gathered that leaves it there: so the statement is looked for.
#[test]
fn memories_go_into_their_index_by_themselves() {
    let host = Host::new(WORKER).up();
    done(&host, "create_session", "s", json!({}));
    let seen = "SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '-- memories/enter:%'
    )";
    let mut nth = 0;
    eventually("memories are entered", || {
        nth += 1;
        done(&host, "store_memory", "s", json!({"key": format!("k{nth}"), "content": nth}));
        on_a_runtime(async {
            let db = host.database().store().await.client().await.unwrap();
            db.query_one(seen, &[]).await.unwrap().get::<_, bool>(0)
        })
    });
}
