//! Broken bodies, each of which is refused by the name of its field.

use super::*;

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
        (json!({"stale_after": 30}), "stale_after", "must be a string"),
        (json!({"stale_after": "0s"}), "stale_after", "at least 1ms"),
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
