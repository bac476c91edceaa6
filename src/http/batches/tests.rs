//! Good and broken bodies of batches.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    domain::retry::AllQueueTerms,
    http::submit::tests::{TASKS, terms},
};

fn batch(body: Value) -> Result<(NewBatch, Vec<NewTask>), Vec<FieldError>> {
    let Value::Object(body) = body else { panic!("an object") };
    let terms: AllQueueTerms = terms();
    let id = BatchId::from_uuid(Uuid::from_u128(9));
    let now = Timestamp::UNIX_EPOCH;
    let rules = Rules { tasks: &TASKS, terms: &terms, now, header_key: None, batch: Some(id) };
    read(body, &rules, id, Some(HeaderKey { said: "header", of: None }), || {
        TaskId::from_uuid(Uuid::from_u128(1))
    })
}

#[test]
fn a_batch_is_read_with_its_callbacks() {
    let body = json!({"tasks": [{"kind": "a"}, {"group": "g"}], "on_complete": {},
        "on_failure": {"queue": "patient", "kind": "mend", "input": {"a": 1}, "priority": 9,
            "max_attempts": 2, "timeout": "5s", "stale_after": "3s"}});
    let (batch, tasks) = batch(body).unwrap();
    assert_eq!((batch.open, batch.idempotency_key.as_deref()), (false, Some("header")));
    assert!(tasks.iter().all(|task| task.terms.batch == Some(batch.id)));
    let ends: Vec<_> = batch.callbacks.keys().copied().collect();
    assert_eq!(ends, [BatchEnd::Complete, BatchEnd::Failure]);
    let plain = &batch.callbacks[&BatchEnd::Complete];
    assert_eq!((plain.queue.as_str(), plain.kind.as_str()), ("default", "task"));
    assert_eq!((plain.max_attempts, plain.input.len()), (3, 0));
    let full = &batch.callbacks[&BatchEnd::Failure];
    assert_eq!((full.priority, full.max_attempts), (9, 2));
    assert_eq!((&full.input["a"], full.timeout), (&json!(1), Some(Duration::from_secs(5))));
    assert_eq!((plain.stale_after, full.stale_after), (None, Some(Duration::from_secs(3))));
}

#[test]
fn an_open_batch_may_begin_without_tasks() {
    for body in [json!({"open": true}), json!({"open": true, "tasks": []})] {
        let (batch, tasks) = batch(body).unwrap();
        assert!(batch.open && tasks.is_empty());
    }
}

#[test]
fn every_mistake_is_named_by_its_field() {
    let rows = [
        (json!({}), "tasks", "must be an array"),
        (json!({"tasks": []}), "tasks", "at least one"),
        (json!({"tasks": [{}, {}, {}, {}]}), "tasks", "at most 3"),
        (json!({"tasks": [7]}), "tasks[0]", "not a number"),
        (json!({"tasks": [{}, {"priority": "x"}]}), "tasks[1].priority", "whole number"),
        (
            json!({"tasks": [{"batch": "bat_00000000000000000000000000000007"}]}),
            "tasks[0].batch",
            "says already",
        ),
        (json!({"open": "yes"}), "open", "true or false"),
        (json!({"tasks": [{}], "on_complete": []}), "on_complete", "must be an object"),
        (json!({"tasks": [{}], "on_success": {"queue": "Q"}}), "on_success.queue", "queue"),
        (json!({"tasks": [{}], "on_failure": {"input": [1]}}), "on_failure.input", "`batch`"),
        (json!({"tasks": [{}], "on_failure": {"run_at": "x"}}), "on_failure.run_at", "no field"),
        (json!({"tasks": [{}], "on_failure": {"timeout": 5}}), "on_failure.timeout", "string"),
        (
            json!({"tasks": [{}], "on_failure": {"stale_after": "0s"}}),
            "on_failure.stale_after",
            "at least 1ms",
        ),
        (json!({"tasks": [{}], "on_done": {}}), "on_done", "no field"),
        (json!({"tasks": [{}], "idempotency_key": "other"}), "idempotency_key", "header"),
    ];
    for (body, field, word) in rows {
        let shown = body.to_string();
        let errors = batch(body).expect_err(&shown);
        assert_eq!(errors[0].field, field, "{shown}: {errors:?}");
        assert!(errors[0].detail.contains(word), "{shown}: {errors:?}");
    }
}
