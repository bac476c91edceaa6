use proptest::prelude::*;
use serde_json::json;

use super::*;

fn ask(body: Value) -> Result<Asked, Wrong> {
    read(body.as_object().cloned().unwrap_or_default(), &mut Names::of(None))
}

fn command_of(word: &str, data: Value) -> Result<Asked, Wrong> {
    ask(json!({
        "type": "collaborative_session_command", "command": word, "session_id": "s", "data": data,
    }))
}

/// The fields that are wrong.
#[track_caller]
fn wrong_fields(asked: Result<Asked, Wrong>) -> Vec<String> {
    match asked {
        Err(Wrong::Fields(errors)) => errors.into_iter().map(|error| error.field).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_command_of_the_contract_is_read() {
    let chunk = json!({"content": "hi", "format": "dialogue"});
    for (word, data) in [
        ("create_session", json!({"title": "T", "participants": ["a"], "metadata": {"x": 1}})),
        ("resume_session", json!(null)),
        ("pause_session", json!({})),
        ("complete_session", json!({"whatever": "is let pass"})),
        ("delete_session", json!({"cascade": false})),
        ("list_sessions", json!({"filter": "active", "limit": 1_000_000})),
        ("get_session_summary", json!({})),
        ("append_conversation", json!({"conversation_chunk": chunk})),
        ("conversation_chunk", chunk.clone()),
        ("conversation_batch", json!({"chunks": [chunk, chunk]})),
        ("store_memory", json!({"type": "idea", "content": {"any": ["json"]}, "tags": ["a"]})),
        ("retrieve_memory", json!({"key": "k"})),
        ("query_memories", json!({"filter": {"type": "idea", "tags": ["a"], "text": "w"}})),
        ("list_memories", json!({})),
        ("delegate_task", json!({"agent_name": "claude", "priority": "high"})),
        ("get_task", json!({"task_id": "t"})),
        ("cancel_task", json!({"task_id": "t"})),
        ("add_artifact", json!({"name": "n", "content": "c", "task_id": "t"})),
        ("get_artifact", json!({"artifact_id": "a"})),
        ("list_artifacts", json!({"type": "code"})),
    ] {
        assert!(COMMANDS.contains(&word));
        match command_of(word, data) {
            Ok(Asked::One { word: read, .. }) => assert_eq!(read, word),
            other => panic!("{word}: {other:?}"),
        }
    }
}

#[test]
fn a_field_of_the_wrong_type_is_named_where_it_stands() {
    assert_eq!(wrong_fields(ask(json!({"type": 7}))), ["type", "type"]);
    assert_eq!(wrong_fields(command_of("get_task", json!({}))), ["data.task_id"]);
    assert_eq!(wrong_fields(command_of("create_session", json!({"title": 7}))), ["data.title"]);
    assert_eq!(wrong_fields(command_of("create_session", json!([]))), ["data"]);
    let odd =
        json!({"conversation_chunk": {"content": "x", "format": "poem", "start_time": "now"}});
    assert_eq!(
        wrong_fields(command_of("append_conversation", odd)),
        ["data.conversation_chunk.format", "data.conversation_chunk.start_time"]
    );
    let batch = json!({"commands": [
        {"command": "store_memory", "data": {"type": "wish"}}, 7, {"data": {}},
    ]});
    assert_eq!(
        wrong_fields(command_of("batch", batch)),
        [
            "data.commands[0].data.type",
            "data.commands[0].data.content",
            "data.commands[1]",
            "data.commands[2].command"
        ]
    );
    let task =
        json!({"type": "task_command", "data": {"action_type": "git", "params": {"timeout": 0}}});
    assert_eq!(wrong_fields(ask(task)), ["data.params.timeout", "data.params.command"]);
    let no_session = json!({"type": "collaborative_session_command", "command": "pause_session"});
    assert_eq!(wrong_fields(ask(no_session)), ["session_id"]);
}

#[test]
fn what_is_not_known_is_told_with_what_is() {
    let Err(Wrong::Unknown { field, known, .. }) = command_of("fly", json!({})) else { panic!() };
    assert!(field == "command" && known.len() == COMMANDS.len() + 1);
    let Err(Wrong::Unknown { field, known, .. }) = ask(json!({"type": "wish"})) else { panic!() };
    assert!(field == "type" && known == TYPES);
    let nested = command_of("batch", json!({"commands": [{"command": "batch"}]}));
    let Err(Wrong::Unknown { field, .. }) = nested else { panic!("{nested:?}") };
    assert_eq!(field, "data.commands[0].command");
}

#[test]
fn what_is_made_up_is_the_same_for_the_same_key() {
    let body = json!({
        "type": "collaborative_session_command", "command": "batch", "session_id": "s",
        "data": {"commands": [
            {"command": "store_memory", "data": {"type": "idea", "content": 1}},
            {"command": "delegate_task", "data": {"agent_name": "claude"}},
        ]},
    });
    let body = body.as_object().cloned().unwrap();
    let keyed = || read(body.clone(), &mut Names::of(Some("key"))).unwrap();
    assert_eq!(keyed(), keyed());
    let free = || read(body.clone(), &mut Names::of(None)).unwrap();
    assert_ne!(free(), free());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(&["sync", "git", "idea", "high", "2026-01-01T00:00:00"][..])
            .prop_map(Value::from),
    ];
    let name = prop_oneof![
        "[a-z_]{1,8}",
        prop::sample::select(
            &[
                "content",
                "type",
                "tags",
                "limit",
                "filter",
                "commands",
                "chunks",
                "data",
                "key",
                "conversation_chunk",
                "params",
                "command",
                "atomic",
                "extracted_items",
                "cursor",
                "participants",
                "metadata",
                "task_id",
                "agent_name",
                "input_data",
                "priority",
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_makes_it_panic_and_what_is_wrong_is_said(
        kind in prop::sample::select(&[
            "collaborative_session_command", "task_command", "llm_conversation_insight", "other",
        ][..]),
        word in prop::sample::select([&COMMANDS[..], &["batch", "fly"]].concat()),
        session in any_json(), data in any_json(), more in any_json(),
    ) {
        let body = json!({
            "type": kind, "command": word, "session_id": session, "data": data,
            "insight": more, "conversation": more, "sync": more, "feedback_mode": more,
        });
        match ask(body) {
            Ok(_) => {}
            Err(Wrong::Fields(errors)) => prop_assert!(!errors.is_empty()),
            Err(Wrong::Unknown { known, .. }) => prop_assert!(!known.is_empty()),
        }
    }
}
