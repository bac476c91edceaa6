//! Good and broken bodies of a submit.

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
        "delay": null, "max_attempts": null, "timeout": null, "idempotency_key": null});
    assert_eq!(read_with(nulls, None), Ok(Submission::One(Box::new(plain(1)))));
}

#[test]
fn every_field_is_read() {
    let body = json!({"queue": "gpu", "kind": "big job", "input": {"a": [1]}, "priority": -3,
        "run_at": "2030-01-31T08:00:00+01:00", "max_attempts": 9, "timeout": "1m 30s",
        "idempotency_key": "k1"});
    let task = NewTask {
        queue: "gpu".parse().unwrap(),
        kind: "big job".to_owned(),
        input: json!({"a": [1]}),
        priority: -3,
        run_at: Some("2030-01-31T07:00:00Z".parse().unwrap()),
        max_attempts: 9,
        timeout: Some(Duration::from_secs(90)),
        idempotency_key: Some("k1".to_owned()),
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
fn all_mistakes_are_named_at_once_and_a_flood_is_cut() {
    let body = json!({"tasks": [{"priority": "x", "kind": ""}, {}, {"queue": 1, "extra": 2}]});
    let errors = read_with(body, None).unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["tasks[0].kind", "tasks[0].priority", "tasks[2].queue", "tasks[2].extra"]);
    let flood: Map<_, _> = (0..1000).map(|n| (format!("f{n}"), Value::Null)).collect();
    assert_eq!(read_with(Value::Object(flood), None).unwrap_err().len(), 100);
}

/// A broken body, the field that is named, and a word of what is said.
type Broken = (Value, &'static str, &'static str);

fn broken_shapes() -> Vec<Broken> {
    let tasks = |count: usize| json!({ "tasks": vec![json!({}); count] });
    vec![
        (json!(null), "body", "must be an object, not null"),
        (json!(true), "body", "not a boolean"),
        (json!(7), "body", "not a number"),
        (json!("task"), "body", "not a string"),
        (json!([]), "body", "not an array"),
        (json!([{}]), "body", "not an array"),
        (json!({"tasks": null}), "tasks", "not null"),
        (json!({"tasks": {}}), "tasks", "not an object"),
        (json!({"tasks": "x"}), "tasks", "not a string"),
        (tasks(0), "tasks", "at least one"),
        (tasks(4), "tasks", "at most 3"),
        (json!({"tasks": [{}], "queue": "gpu"}), "queue", "no field"),
        (json!({"tasks": [1]}), "tasks[0]", "not a number"),
        (json!({"tasks": [{}, null]}), "tasks[1]", "not null"),
        (json!({"tasks": [{}, [{}]]}), "tasks[1]", "not an array"),
        (json!({"tasks": [{"tasks": []}]}), "tasks[0].tasks", "no field"),
        (json!({"taks": []}), "taks", "no field"),
        (json!({"id": "tsk_1"}), "id", "no field"),
        (json!({"state": "completed"}), "state", "no field"),
        (json!({"Queue": "gpu"}), "Queue", "no field"),
        (json!({"a\u{0}b": 1}), "ab", "no field"),
    ]
}

fn broken_words() -> Vec<Broken> {
    let long = "x".repeat(256);
    vec![
        (json!({"queue": 1}), "queue", "must be a string"),
        (json!({"queue": ""}), "queue", "can not be the name of a queue"),
        (json!({"queue": "GPU"}), "queue", "can not be the name of a queue"),
        (json!({"queue": "a b"}), "queue", "can not be the name of a queue"),
        (json!({"queue": "a/../b"}), "queue", "can not be the name of a queue"),
        (json!({"queue": "a\u{0}"}), "queue", "can not be the name of a queue"),
        (json!({"queue": "x".repeat(64)}), "queue", "can not be the name of a queue"),
        (json!({"queue": ["gpu"]}), "queue", "not an array"),
        (json!({"kind": 1}), "kind", "must be a string"),
        (json!({"kind": ""}), "kind", "must not be empty"),
        (json!({"kind": long}), "kind", "at most 255"),
        (json!({"kind": "ä".repeat(256)}), "kind", "at most 255"),
        (json!({"kind": "a\u{0}b"}), "kind", "U+0000"),
        (json!({"kind": "a\u{1b}[31m"}), "kind", "U+001B"),
        (json!({"kind": "a\nb"}), "kind", "U+000A"),
        (json!({"idempotency_key": 1}), "idempotency_key", "must be a string"),
        (json!({"idempotency_key": ""}), "idempotency_key", "must not be empty"),
        (json!({"idempotency_key": "x".repeat(256)}), "idempotency_key", "at most 255"),
        (json!({"idempotency_key": "\u{0}"}), "idempotency_key", "U+0000"),
    ]
}

fn broken_numbers_and_times() -> Vec<Broken> {
    vec![
        (json!({"priority": 32768}), "priority", "not 32768"),
        (json!({"priority": -32769}), "priority", "not -32769"),
        (json!({"priority": 1.0}), "priority", "not 1.0"),
        (json!({"priority": 1e300}), "priority", "whole number"),
        (json!({"priority": u64::MAX}), "priority", "whole number"),
        (json!({"priority": "1"}), "priority", "not a string"),
        (json!({"priority": true}), "priority", "not a boolean"),
        (json!({"max_attempts": 0}), "max_attempts", "from 1 to 1000"),
        (json!({"max_attempts": -1}), "max_attempts", "from 1 to 1000"),
        (json!({"max_attempts": 1001}), "max_attempts", "from 1 to 1000"),
        (json!({"max_attempts": 2.5}), "max_attempts", "not 2.5"),
        (json!({"deadline": 30}), "deadline", "must be a string"),
        (json!({"deadline": "soon"}), "deadline", "a duration from now"),
        (json!({"deadline": "1960-01-01T00:00:00Z"}), "deadline", "is past"),
        (json!({"deadline": "0s"}), "deadline", "is past"),
        (json!({"deadline": "20years"}), "deadline", "3650 days"),
        (json!({"deadline": "1m", "delay": "2m"}), "deadline", "before the task may begin"),
        (json!({"retry": 3}), "retry", "not a number"),
        (json!({"retry": {"king": "fixed"}}), "retry.king", "no field"),
        (json!({"retry": {"kind": "sometimes"}}), "retry.kind", "one of fixed, linear"),
        (json!({"retry": {"backoff_min": 3}}), "retry.backoff_min", "must be a string"),
        (json!({"retry": {"backoff_max": "40days"}}), "retry.backoff_max", "30 days"),
        (json!({"retry": {"backoff_min": "2s", "backoff_max": "1s"}}), "retry.backoff_min", "more"),
        (json!({"retry": {"jitter": 1.5}}), "retry.jitter", "from 0 to 1"),
        (json!({"retry": {"jitter": "0.5"}}), "retry.jitter", "from 0 to 1"),
        (json!({"retry": {"retry_on": "exit"}}), "retry.retry_on", "array"),
        (json!({"retry": {"retry_on": ["exit", "x"]}}), "retry.retry_on[1]", "write a class"),
        (json!({"retry": {"never_on": [1]}}), "retry.never_on[0]", "not a number"),
        (json!({"retry": {"max_attempts": 0}}), "retry.max_attempts", "from 1 to 1000"),
        (json!({"max_attempts": 1, "retry": {"max_attempts": 1}}), "max_attempts", "either"),
        (json!({"timeout": 30}), "timeout", "must be a string"),
        (json!({"timeout": ""}), "timeout", ""),
        (json!({"timeout": "30"}), "timeout", ""),
        (json!({"timeout": "0s"}), "timeout", "at least 1ms"),
        (json!({"timeout": "10ns"}), "timeout", "at least 1ms"),
        (json!({"timeout": "-5s"}), "timeout", ""),
        (json!({"timeout": "5 parsecs"}), "timeout", ""),
        (json!({"timeout": "20years"}), "timeout", "3650 days"),
        (json!({"delay": 5}), "delay", "must be a string"),
        (json!({"delay": "soon"}), "delay", ""),
        (json!({"delay": "20years"}), "delay", "3650 days"),
        (json!({"run_at": 5}), "run_at", "must be a string"),
        (json!({"run_at": "tomorrow"}), "run_at", "RFC 3339"),
        (json!({"run_at": "2030-01-31"}), "run_at", "RFC 3339"),
        (json!({"run_at": "2030-01-31T08:00:00"}), "run_at", "RFC 3339"),
        (json!({"run_at": "2030-02-31T08:00:00Z"}), "run_at", "RFC 3339"),
        (json!({"run_at": "99999-01-01T00:00:00Z"}), "run_at", "RFC 3339"),
        (json!({"run_at": "2030-01-31T08:00:00Z", "delay": "1s"}), "delay", "either"),
    ]
}

fn broken_graphs() -> Vec<Broken> {
    let id = "tsk_00000000000000000000000000000007";
    vec![
        (json!({"ref": 1}), "ref", "must be a string"),
        (json!({"ref": "a b"}), "ref", "letters"),
        (json!({"ref": id}), "ref", "no task id"),
        (json!({"depends_on": "a"}), "depends_on", "array of strings"),
        (json!({"depends_on": [1]}), "depends_on[0]", "not a number"),
        (json!({"depends_on": [""]}), "depends_on[0]", "empty"),
        (json!({"depends_on": [id, "x".repeat(65)]}), "depends_on[1]", "at most 64"),
        (json!({"depends_on": ["a"]}), "depends_on[0]", "neither"),
        (json!({"ref": "a", "depends_on": ["a"]}), "depends_on[0]", "itself"),
        (json!({"depends_on": [id, id]}), "depends_on[1]", "twice"),
        (
            json!({"depends_on": [id], "on_dependency_failure": "stop"}),
            "on_dependency_failure",
            "`hold`",
        ),
        (json!({"on_dependency_failure": "run"}), "on_dependency_failure", "without `depends_on`"),
        (json!({"template": true}), "template", "without `depends_on`"),
        (json!({"template": "yes", "depends_on": [id]}), "template", "true or false"),
        (
            json!({"tasks": [{"ref": "a"}, {"ref": "a"}]}),
            "tasks[1].ref",
            "the name of tasks[0] already",
        ),
        (
            json!({"tasks": [{"ref": "a"}, {}, {"depends_on": ["a", "b"]}]}),
            "tasks[2].depends_on[1]",
            "`b`",
        ),
        (
            json!({"tasks": [{"ref": "a", "depends_on": ["c"]}, {"ref": "b", "depends_on": ["a"]},
                {"ref": "c", "depends_on": [id, "b"]}]}),
            "tasks[0].depends_on[0]",
            "a → c → b → a",
        ),
        (
            json!({"tasks": [{"ref": "a"}, {"depends_on": ["a"], "template": true,
                "input": {"p": ["{{ deps.b.output }}"]}}]}),
            "tasks[1].input.p[0]",
            "`b` is none of the dependencies: `a`",
        ),
    ]
}

fn broken_unique() -> Vec<Broken> {
    let of = |unique: Value| json!({ "unique": unique });
    vec![
        (of(json!("k")), "unique", "must be an object, not a string"),
        (of(json!({})), "unique.key", "give a `key`"),
        (of(json!({"key": null, "by": null})), "unique.key", "give a `key`"),
        (of(json!({"key": ""})), "unique.key", "must not be empty"),
        (of(json!({"key": "x".repeat(256)})), "unique.key", "at most 255"),
        (of(json!({"key": "a\u{0}"})), "unique.key", "U+0000"),
        (of(json!({"key": 7})), "unique.key", "must be a string"),
        (of(json!({"by": []})), "unique.by", "must not be empty"),
        (of(json!({"by": "input"})), "unique.by", "must be an array of strings"),
        (of(json!({"by": ["input", "id"]})), "unique.by[1]", "queue, kind, input"),
        (of(json!({"by": [7]})), "unique.by[0]", "must be a string, not a number"),
        (of(json!({"key": "k", "by": ["input"]})), "unique.by", "either `key` or `by`"),
        (of(json!({"key": "k", "window": 60})), "unique.window", "must be a string"),
        (of(json!({"key": "k", "window": "0s"})), "unique.window", "at least 1ms"),
        (of(json!({"key": "k", "window": "20years"})), "unique.window", "3650 days"),
        (of(json!({"key": "k", "states": ["done"]})), "unique.states[0]", "no task state"),
        (of(json!({"key": "k", "states": []})), "unique.states", "must not be empty"),
        (of(json!({"key": "k", "on_conflict": "ignore"})), "unique.on_conflict", "reject"),
        (of(json!({"key": "k", "ttl": 1})), "unique.ttl", "the fields are key, by, window"),
        (json!({"tasks": [{}, {"unique": {"key": 1}}]}), "tasks[1].unique.key", "string"),
    ]
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

fn broken_members() -> Vec<Broken> {
    vec![
        (json!({"group": ""}), "group", "can not be the name of a group"),
        (json!({"group": "My Group"}), "group", "can not be the name of a group"),
        (json!({"group": 7}), "group", "must be a string"),
        (json!({"batch": "7"}), "batch", "bat_<32 hex digits>"),
        (json!({"batch": "tsk_00000000000000000000000000000007"}), "batch", "bat_"),
        (json!({"tasks": [{}, {"batch": true}]}), "tasks[1].batch", "must be a string"),
    ]
}

#[test]
fn groups_and_batches_are_read() {
    let id = "bat_00000000000000000000000000000007";
    let read = read_with(json!({"group": "import", "batch": id}), None);
    let Ok(Submission::One(task)) = read else { panic!("{read:?}") };
    assert_eq!(task.terms.group, Some("import".parse().unwrap()));
    assert_eq!(task.terms.batch, Some(id.parse().unwrap()));
}

fn broken_inputs() -> Vec<Broken> {
    let deep = (0..=MAX_DEPTH).fold(json!(1), |inside, _| json!([inside]));
    vec![
        (json!({"input": "a\u{0}"}), "input", "U+0000"),
        (json!({"input": {"a": [1, {"b": "\u{0}"}]}}), "input.a[1].b", "U+0000"),
        (json!({"input": {"a": {"\u{0}": 1}}}), "input.a", "U+0000"),
        (json!({"input": "x".repeat(199)}), "input", "201 bytes"),
        (json!({"input": ["\u{1}".repeat(40)]}), "input", "at most 200"),
        (json!({ "input": deep }), &DEEP, "deeper than 64"),
        (json!({"tasks": [{}, {"input": "\u{0}"}]}), "tasks[1].input", "U+0000"),
    ]
}

static DEEP: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("input{}", "[0]".repeat(MAX_DEPTH)));

#[test]
fn every_broken_body_is_refused_by_the_name_of_its_field() {
    let rows = [
        broken_shapes(),
        broken_words(),
        broken_numbers_and_times(),
        broken_graphs(),
        broken_unique(),
        broken_members(),
        broken_inputs(),
    ];
    let rows = rows.concat();
    assert!(rows.len() >= 50, "only {}", rows.len());
    for (body, field, word) in rows {
        let shown = body.to_string();
        let errors = read_with(body, None).expect_err(&shown);
        assert_eq!(errors.len(), 1, "{shown}: {errors:?}");
        assert_eq!(errors[0].field, field, "{shown}: {errors:?}");
        assert!(errors[0].detail.contains(word), "{shown}: {errors:?}");
        assert!(!errors[0].detail.is_empty(), "{shown}");
    }
}

#[test]
fn the_header_key_fits_one_task_and_no_other_key() {
    let rows = [
        (json!({"tasks": [{}]}), "tasks"),
        (json!({"idempotency_key": "other"}), "idempotency_key"),
    ];
    for (body, field) in rows {
        assert_eq!(read_with(body, Some("key")).unwrap_err()[0].field, field);
    }
}
