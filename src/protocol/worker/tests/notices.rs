//! What an agent tells without being asked.

use super::*;

#[test]
fn notifications_mean_what_they_say() {
    let about = |mut params: Value| {
        params["task_id"] = json!(TASK);
        params["attempt"] = json!(1);
        params
    };
    let artifact = |body| {
        let (name, media_type) = ("a.md".to_owned(), "text/markdown".to_owned());
        Received::Artifact(Artifact { name, media_type, body })
    };
    let log = |level, message: &str| Received::Log { level, message: message.into() };
    let rows = [
        ("heartbeat", json!({}), Received::Heartbeat),
        ("heartbeat", json!(null), Received::Heartbeat),
        ("heartbeat", json!([1]), Received::Heartbeat),
        ("task/log", json!({"level": "warning", "message": "m"}), log(LogLevel::Warn, "m")),
        ("task/log", json!({"level": "shout", "message": [1]}), log(LogLevel::Info, "[1]")),
        ("task/progress", about(json!({"percent": 5})), Received::Progress(json!({"percent": 5}))),
        (
            "task/artifact",
            about(json!({"name": "a.md", "type": "text/markdown", "content": "# A"})),
            artifact(ArtifactBody::Content(json!("# A"))),
        ),
        (
            "task/artifact",
            about(json!({"name": "a.md", "type": "text/markdown", "path": "out/a.md"})),
            artifact(ArtifactBody::Path("out/a.md".into())),
        ),
    ];
    for (method, params, meaning) in rows {
        let told = json!({"jsonrpc": "2.0", "method": method, "params": params});
        assert_eq!(hear(&mut busy(), &told), Ok(meaning), "{told}");
    }
}

#[test]
fn what_means_nothing_is_ignored_with_a_reason() {
    let note =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    let other = json!({"task_id": TASK, "attempt": 2});
    let artifact =
        |more: Value| json!({"task_id": TASK, "attempt": 1, "name": more[0], "content": more[1]});
    let huge = json!({"task_id": TASK, "attempt": 1, "x": "x".repeat(MAX_PROGRESS)});
    let rows = [
        (note("task/progress", other.clone()), "it is about attempt 2 of tsk_"),
        (note("task/artifact", other), "it is about attempt 2 of tsk_"),
        (note("task/progress", json!({"percent": 1})), "missing field `task_id`"),
        (note("task/progress", json!([TASK, 1])), "its params are no object"),
        (note("task/progress", huge), "its params have 65"),
        (note("task/artifact", artifact(json!(["", 1]))), "its `name` is empty"),
        (note("task/artifact", artifact(json!(["n", null]))), "it needs `content` or `path`"),
        (note("task/artifact", artifact(json!(["n".repeat(2000), 1]))), "its `name` has 2000"),
        (note("task/log", json!({"level": "info"})), "missing field `message`"),
        (note("task/nosuch", json!({})), "there is no notification `task/nosuch`"),
        (answer(1, &json!({})), "request 1 waits for no answer"),
    ];
    for (told, text) in rows {
        let mut session = busy();
        let Ok(Received::Ignored { why }) = hear(&mut session, &told) else {
            panic!("expected it to be ignored: {told}");
        };
        assert!(why.starts_with(text), "{why}");
        assert!(session.current().is_some());
    }
}
