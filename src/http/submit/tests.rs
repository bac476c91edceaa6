//! Bodies of a submit: what the fields of good ones mean.

mod broken;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        graph::{Dependency, DependencyPolicy},
        retry::{Growth, QueueTerms, RetryPolicy, RetryTerms},
        task::TaskState,
        unique::{OnConflict, Unique},
    },
    http::fields::MAX_DEPTH,
};

const RETRY: RetryPolicy = RetryPolicy {
    kind: Growth::Exponential,
    backoff_min: Duration::from_secs(1),
    backoff_max: Duration::from_secs(60),
    jitter: 0.5,
    retry_on: Vec::new(),
    never_on: Vec::new(),
};

/// The limits of these tests.
pub(in crate::http) const TASKS: settings::Tasks = settings::Tasks {
    max_attempts: 3,
    retry: RETRY,
    max_input: 200,
    max_batch: 3,
    poll: Duration::from_secs(1),
    settle_buffer: 10,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// What tasks get that do not say otherwise; the queue `patient` is patient.
pub(in crate::http) fn terms() -> AllQueueTerms {
    let of = |max_attempts| QueueTerms { timeout: None, max_attempts, retry: RETRY };
    AllQueueTerms {
        fallback: of(3),
        queues: [("patient".parse().unwrap(), of(7))].into_iter().collect(),
    }
}

fn read_with(body: Value, header_key: Option<&str>) -> Result<Submission, Vec<FieldError>> {
    let header_key = header_key.map(|said| HeaderKey { said, of: None });
    let mut count = 0;
    let terms = terms();
    read(body, &Rules { tasks: &TASKS, terms: &terms, now: NOW, header_key, batch: None }, || {
        count += 1;
        TaskId::from_uuid(Uuid::from_u128(count))
    })
}

fn plain(number: u128) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(number)),
        queue: "default".parse().unwrap(),
        kind: "task".to_owned(),
        input: Value::Null,
        priority: 0,
        run_at: None,
        max_attempts: 3,
        timeout: None,
        idempotency_key: None,
        terms: Terms::default(),
    }
}

#[test]
fn an_empty_object_is_a_task() {
    assert_eq!(read_with(json!({}), None), Ok(Submission::One(Box::new(plain(1)))));
    let nulls = json!({"queue": null, "kind": null, "input": null, "priority": null, "run_at": null,
        "delay": null, "max_attempts": null, "timeout": null, "stale_after": null,
        "idempotency_key": null});
    assert_eq!(read_with(nulls, None), Ok(Submission::One(Box::new(plain(1)))));
}

#[test]
fn every_field_is_read() {
    let body = json!({"queue": "gpu", "kind": "big job", "input": {"a": [1]}, "priority": -3,
        "run_at": "2030-01-31T08:00:00+01:00", "max_attempts": 9, "timeout": "1m 30s",
        "stale_after": "20m", "idempotency_key": "k1"});
    let task = NewTask {
        queue: "gpu".parse().unwrap(),
        kind: "big job".to_owned(),
        input: json!({"a": [1]}),
        priority: -3,
        run_at: Some("2030-01-31T07:00:00Z".parse().unwrap()),
        max_attempts: 9,
        timeout: Some(Duration::from_secs(90)),
        idempotency_key: Some("k1".to_owned()),
        terms: Terms { stale_after: Some(Duration::from_secs(1200)), ..Terms::default() },
        ..plain(1)
    };
    assert_eq!(read_with(body, Some("k1")), Ok(Submission::One(Box::new(task))));
}

#[test]
fn a_delay_counts_from_now_and_a_header_is_the_key() {
    let task = NewTask {
        run_at: Some(Timestamp::from_second(90).unwrap()),
        idempotency_key: Some("h".to_owned()),
        ..plain(1)
    };
    let read = read_with(json!({"delay": "90s"}), Some("h"));
    assert_eq!(read, Ok(Submission::One(Box::new(task))));
}

#[test]
fn retries_are_read_and_what_is_not_said_is_the_queues() {
    let body = json!({"queue": "patient", "retry": {"kind": "fixed", "backoff_min": "2s",
        "backoff_max": "1h", "jitter": 0, "retry_on": ["exit:75", "stale"], "never_on": []}});
    let retry = RetryTerms {
        kind: Some(Growth::Fixed),
        backoff_min: Some(Duration::from_secs(2)),
        backoff_max: Some(Duration::from_secs(3600)),
        jitter: Some(0.0),
        retry_on: Some(vec!["exit:75".parse().unwrap(), "stale".parse().unwrap()]),
        never_on: Some(Vec::new()),
    };
    let task = NewTask {
        queue: "patient".parse().unwrap(),
        max_attempts: 7,
        terms: Terms { retry, ..Terms::default() },
        ..plain(1)
    };
    assert_eq!(read_with(body, None), Ok(Submission::One(Box::new(task))));
    let attempts = |body: Value| match read_with(body, None) {
        Ok(Submission::One(task)) => (task.max_attempts, task.terms.is_empty()),
        other => panic!("{other:?}"),
    };
    assert_eq!(attempts(json!({"retry": {"max_attempts": 9}})), (9, true));
    assert_eq!(attempts(json!({"retry": {}, "max_attempts": 2})), (2, true));
    assert_eq!(attempts(json!({"retry": null})), (3, true));
}

#[test]
fn a_deadline_is_a_time_or_so_long_from_now() {
    for deadline in ["90s", "1970-01-01T00:01:30Z", "1970-01-01T01:01:30+01:00"] {
        let deadline_at = Some(Timestamp::from_second(90).unwrap());
        let terms = Terms { deadline: deadline_at, ..Terms::default() };
        let read = read_with(json!({ "deadline": deadline }), None);
        assert_eq!(read, Ok(Submission::One(Box::new(NewTask { terms, ..plain(1) }))));
    }
}

#[test]
fn many_tasks_keep_their_order() {
    let read = read_with(json!({"tasks": [{}, {}]}), None);
    assert_eq!(read, Ok(Submission::Many(vec![plain(1), plain(2)])));
}

#[test]
fn an_input_may_be_as_deep_and_as_large_as_the_limits() {
    let deepest = (0..MAX_DEPTH).fold(json!(1), |inside, _| json!([inside]));
    assert!(read_with(json!({ "input": deepest }), None).is_ok());
    let largest = "x".repeat(198);
    assert!(read_with(json!({ "input": largest }), None).is_ok());
}

#[test]
fn tasks_of_a_submit_find_each_other() {
    let there = "tsk_00000000000000000000000000000009";
    let body = json!({"tasks": [
        {"depends_on": ["b", there], "on_dependency_failure": "hold", "template": true,
            "input": "{{ deps.b.output }}"},
        {"ref": "b"},
        {"input": "{{ not a template }}"},
    ]});
    let Submission::Many(tasks) = read_with(body, None).unwrap() else { panic!("many") };
    let node = &tasks[0].terms.graph;
    assert_eq!((node.policy, node.template), (DependencyPolicy::Hold, true));
    let expected = [
        Dependency { task: tasks[1].id, name: "b".to_owned(), used: true },
        Dependency { task: there.parse().unwrap(), name: there.to_owned(), used: false },
    ];
    assert_eq!(node.depends_on, expected);
    assert_eq!(tasks[1].terms.graph.reference.as_deref(), Some("b"));
    assert!(!tasks[1].terms.is_empty(), "what is waited for is not plain");
    assert!(tasks[2].terms.is_empty());
}

#[test]
fn what_is_to_be_unique_is_read() {
    let unique = |body: Value| {
        let Ok(Submission::One(task)) = read_with(body, None) else { panic!("one task") };
        task.terms.unique.unwrap()
    };
    let plain = unique(json!({"unique": {"key": "k"}}));
    let states = Unique::usual_states(None);
    let (key, window, on_conflict) = ("k".to_owned(), None, OnConflict::Return);
    assert_eq!(plain, Unique { key, window, states, on_conflict });

    let full = unique(json!({"unique": {"key": "k", "window": "1h",
        "states": ["pending", "failed"], "on_conflict": "replace"}}));
    let window = Some(Duration::from_secs(3600));
    assert_eq!((full.window, full.on_conflict), (window, OnConflict::Replace));
    assert_eq!(full.states, [TaskState::Pending, TaskState::Failed]);

    let by = json!({"by": ["kind", "input"], "window": "1h"});
    let made = unique(json!({"kind": "a", "input": {"x": 1, "y": 2}, "unique": by}));
    let same = unique(json!({"kind": "a", "input": {"y": 2, "x": 1}, "unique": by}));
    assert_eq!(made, same);
    assert_eq!(made.states, Unique::usual_states(window));
}

#[test]
fn groups_and_batches_are_read() {
    let id = "bat_00000000000000000000000000000007";
    let read = read_with(json!({"group": "import", "batch": id}), None);
    let Ok(Submission::One(task)) = read else { panic!("{read:?}") };
    assert_eq!(task.terms.group, Some("import".parse().unwrap()));
    assert_eq!(task.terms.batch, Some(id.parse().unwrap()));
}
