//! Submits by SQL: `hostler.enqueue` and `hostler.enqueue_many`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hostler::{
    domain::{
        TaskId,
        retry::{AfterFailure, AllQueueTerms, Growth, QueueTerms, RetryPolicy, RetryTerms},
        task::{FailureClass, Outcome, TaskState},
    },
    store::{
        listen::{Listener, Notice},
        notify, queues as queue_rows, tasks,
    },
};
use serde_json::{Value, json};
use slog::{Discard, Logger, o};
use tokio::sync::mpsc;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{World, ensure, pid, until_it_waits};

/// What the server says of a call that it refuses.
async fn refused(world: &World, call: &str) -> String {
    let error = world.db.query(&format!("SELECT * FROM {call}"), &[]).await.expect_err(call);
    let error = error.as_db_error().expect("the server says it");
    assert_eq!(error.code().code(), "22023", "{call}: {error}");
    error.message().to_owned()
}

async fn enqueued(world: &World, call: &str) -> TaskId {
    let row = world.db.query_one(&format!("SELECT {call}"), &[]).await.unwrap();
    TaskId::from_uuid(row.get(0))
}

async fn count(world: &World) -> i64 {
    let count = "SELECT count(*) FROM hostler.tasks";
    world.db.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_sql_submits_is_a_task_like_any_other() {
    let world = World::new().await;
    let call = "hostler.enqueue('default', 'say', '{\"n\": 7}', priority => 3, timeout => '90 s',
        stale_after => '20 min')";
    let id = enqueued(&world, call).await;
    let record = tasks::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!(record.state, TaskState::Pending);
    assert_eq!((record.kind.as_str(), &record.input), ("say", &json!({"n": 7})));
    assert_eq!((record.priority, record.timeout_ms, record.max_attempts), (3, Some(90_000), 3));
    assert_eq!(record.stale_after_ms, Some(1_200_000));
    assert_eq!(id.as_uuid().get_version_num(), 7);
    let claimed = &world.claim(1).await[0];
    assert_eq!((claimed.task, claimed.terms.stale_after), (id, Some(Duration::from_secs(1200))));
    world.check_events(id).await;

    let later = enqueued(&world, "hostler.enqueue('default', 'say', delay => '1 hour')").await;
    let record = tasks::get(&world.db, later).await.unwrap().unwrap();
    assert_eq!((record.state, &record.input), (TaskState::Scheduled, &Value::Null));
    assert!(record.run_at > record.created_at);
    let past = "hostler.enqueue('default', 'say', run_at => now() - interval '1 hour')";
    let past = enqueued(&world, past).await;
    assert_eq!(world.state(past).await, TaskState::Pending);
}

#[tokio::test]
async fn a_task_is_seen_with_the_commit_of_its_caller_and_gone_with_its_rollback() {
    let world = World::new().await;
    let mut other = world.store.client().await.unwrap();
    let shop = other.transaction().await.unwrap();
    let call = "SELECT hostler.enqueue('default', 'say', idempotency_key => 'order-1')";
    shop.query_one(call, &[]).await.unwrap();
    assert_eq!(count(&world).await, 0, "not before the commit");
    shop.rollback().await.unwrap();
    assert_eq!(count(&world).await, 0, "nothing is left");
    let shop = other.transaction().await.unwrap();
    let id = TaskId::from_uuid(shop.query_one(call, &[]).await.unwrap().get(0));
    shop.commit().await.unwrap();
    assert_eq!(world.claim(1).await[0].task, id);
}

#[tokio::test]
async fn a_key_gives_the_task_that_has_it() {
    let world = World::new().await;
    let call = "hostler.enqueue('default', 'say', '1', idempotency_key => 'k')";
    let first = enqueued(&world, call).await;
    let again = "hostler.enqueue('default', 'say', '2', idempotency_key => 'k')";
    assert_eq!(enqueued(&world, again).await, first);
    let record = tasks::get(&world.db, first).await.unwrap().unwrap();
    assert_eq!(record.input, json!(1), "the first one stays as it is");
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn of_two_with_one_key_the_second_waits_for_what_becomes_of_the_first() {
    let call = "SELECT hostler.enqueue('default', 'say', idempotency_key => 'k')";
    for commits in [true, false] {
        let world = World::new().await;
        let mut other = world.store.client().await.unwrap();
        let before = other.transaction().await.unwrap();
        let first: Uuid = before.query_one(call, &[]).await.unwrap().get(0);
        let asking = world.store.client().await.unwrap();
        let pid = pid(&asking).await;
        let second =
            tokio::spawn(
                async move { asking.query_one(call, &[]).await.unwrap().get::<_, Uuid>(0) },
            );
        until_it_waits(&world, pid).await;
        if commits {
            before.commit().await.unwrap();
        } else {
            before.rollback().await.unwrap();
        }
        assert_eq!(second.await.unwrap() == first, commits);
        assert_eq!(count(&world).await, 1);
    }
}

#[tokio::test]
async fn tasks_of_one_session_have_ids_in_their_order() {
    let world = World::new().await;
    let call = "SELECT hostler.enqueue('default', 'say') FROM generate_series(1, 300)";
    let mut ids: Vec<Uuid> =
        world.db.query(call, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let many = "SELECT task_id FROM hostler.enqueue_many((
        SELECT jsonb_agg(jsonb_build_object('queue', 'default', 'kind', 'say', 'input', n))
        FROM generate_series(1, 3000) AS n)) ORDER BY place";
    ids.extend(world.db.query(many, &[]).await.unwrap().iter().map(|row| row.get::<_, Uuid>(0)));
    assert!(ids.is_sorted(), "so they are claimed in that order");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3300);
    let now = Uuid::now_v7();
    let (made, ours) = (ids[0].get_timestamp().unwrap(), now.get_timestamp().unwrap());
    assert!(made.to_unix().0.abs_diff(ours.to_unix().0) < 60, "they are of this hour");
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_queue_and_changes_nothing() {
    let world = World::new().await;
    let long = "x".repeat(256);
    let deep = format!("{}0{}", "[".repeat(65), "]".repeat(65));
    let rows = [
        ("'nope', 'say'".to_owned(), "\"nope\": parameter \"queue\": there is no such queue"),
        ("NULL, 'say'".to_owned(), "parameter \"queue\" is missing"),
        ("'default', NULL".to_owned(), "parameter \"kind\" is missing"),
        (format!("'default', '{long}'"), "parameter \"kind\" is longer"),
        ("'default', 'say', priority => 40000".to_owned(), "\"default\": parameter \"priority\""),
        ("'default', 'say', delay => '-1 s'".to_owned(), "parameter \"delay\" must not be"),
        (
            "'default', 'say', delay => '1 s', run_at => now()".to_owned(),
            "parameters \"run_at\" and \"delay\" contradict",
        ),
        ("'default', 'say', run_at => 'infinity'".to_owned(), "parameter \"run_at\""),
        ("'default', 'say', run_at => '20000-01-01'".to_owned(), "parameter \"run_at\""),
        ("'default', 'say', run_at => '0044-03-15 BC'".to_owned(), "parameter \"run_at\""),
        ("'default', 'say', delay => '300000 years'".to_owned(), "parameter \"delay\" must not"),
        ("'default', 'say', timeout => '11 years'".to_owned(), "parameter \"timeout\" must not"),
        ("'default', 'say', stale_after => '11 years'".to_owned(), "parameter \"stale_after\""),
        (format!("'default', 'say', '{deep}'"), "parameter \"input\" is nested deeper"),
        ("'default', 'say', '{\"a\": [1, -1e309]}'".to_owned(), "parameter \"input\" has a number"),
        ("'default', 'say', max_attempts => 0".to_owned(), "parameter \"max_attempts\""),
        ("'default', 'say', timeout => '0'".to_owned(), "parameter \"timeout\""),
        ("'default', 'say', stale_after => '0'".to_owned(), "parameter \"stale_after\""),
        ("'default', 'say', idempotency_key => ''".to_owned(), "parameter \"idempotency_key\""),
        (
            format!("'default', 'say', idempotency_key => '{long}'"),
            "parameter \"idempotency_key\" is longer",
        ),
    ];
    for (parameters, said) in rows {
        let error = refused(&world, &format!("hostler.enqueue({parameters})")).await;
        assert!(error.contains(said), "{parameters}: {error}");
    }
    assert_eq!(count(&world).await, 0);
    // The largest and the deepest that is taken can be read.
    let deep = &deep[1..deep.len() - 1];
    for input in [deep, "{\"n\": [1.79e308, -1.79e308]}"] {
        let id = enqueued(&world, &format!("hostler.enqueue('default', 'say', '{input}')")).await;
        let claimed = world.claim(1).await.pop().unwrap();
        assert_eq!((claimed.task, claimed.terms.unreadable), (id, None), "{input}");
    }
}

/// A task of `enqueue_many`.
fn item(fields: &Value) -> Value {
    let mut item = json!({"queue": "default", "kind": "say"});
    item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    item
}

async fn many(world: &World, items: &[Value]) -> Result<Vec<Row>, tokio_postgres::Error> {
    let tasks = Value::Array(items.to_vec());
    world.db.query("SELECT * FROM hostler.enqueue_many($1)", &[&tasks]).await
}

#[tokio::test]
async fn many_are_submitted_at_once_and_told_in_their_order() {
    let world = World::new().await;
    let items = [
        item(&json!({"input": {"n": 1}})),
        item(&json!({"idempotency_key": "k", "priority": -4, "max_attempts": 9})),
        item(&json!({"idempotency_key": "k", "input": "is not taken"})),
        item(&json!({"delay": "1 hour"})),
        item(
            &json!({"run_at": "2199-01-01T00:00:00Z", "timeout": "5 min", "stale_after": "1 min"}),
        ),
    ];
    let rows = many(&world, &items).await.unwrap();
    let places: Vec<i64> = rows.iter().map(|row| row.get("place")).collect();
    let created: Vec<bool> = rows.iter().map(|row| row.get("created")).collect();
    let ids: Vec<TaskId> = rows.iter().map(|row| TaskId::from_uuid(row.get("task_id"))).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    assert_eq!(created, [true, true, false, true, true]);
    assert_eq!(ids[1], ids[2]);
    let keyed = tasks::get(&world.db, ids[1]).await.unwrap().unwrap();
    assert_eq!((keyed.priority, keyed.max_attempts, &keyed.input), (-4, 9, &Value::Null));
    let timed = tasks::get(&world.db, ids[4]).await.unwrap().unwrap();
    assert_eq!((timed.state, timed.timeout_ms), (TaskState::Scheduled, Some(300_000)));
    assert_eq!((timed.stale_after_ms, keyed.stale_after_ms), (Some(60_000), None));
    let again = many(&world, &items[1..2]).await.unwrap();
    assert_eq!(again[0].get::<_, Uuid>("task_id"), *ids[1].as_uuid());
    assert!(!again[0].get::<_, bool>("created"));
    assert_eq!(many(&world, &[]).await.unwrap().len(), 0);
    for id in ids {
        world.check_events(id).await;
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(0), |inner, _| json!([inner]))
}

#[tokio::test]
async fn one_wrong_task_of_many_is_named_and_none_is_submitted() {
    let world = World::new().await;
    let rows = [
        (json!(1), "it must be an object, not number"),
        (item(&json!({"queue": "nope"})), "into queue \"nope\": parameter \"queue\""),
        (json!({"queue": "default"}), "parameter \"kind\" is missing"),
        (item(&json!({"prioritty": 1})), "\"prioritty\" is no parameter"),
        (item(&json!({"priority": "high"})), "parameter \"priority\" cannot be read"),
        (item(&json!({"priority": 1.5})), "parameter \"priority\" must be a whole number"),
        (item(&json!({"run_at": "2026-99-99"})), "parameter \"run_at\" cannot be read"),
        (item(&json!({"delay": "soon"})), "parameter \"delay\" cannot be read"),
        (item(&json!({"max_attempts": 0})), "parameter \"max_attempts\""),
        (item(&json!({"run_at": "20000-01-01"})), "parameter \"run_at\""),
        (item(&json!({"delay": "11 years"})), "parameter \"delay\" must not be longer"),
        (item(&json!({"input": nested(70)})), "parameter \"input\" is nested deeper"),
        (item(&json!({"timeout": "0"})), "parameter \"timeout\""),
        (item(&json!({"stale_after": "0"})), "parameter \"stale_after\""),
        (item(&json!({"stale_after": "soon"})), "parameter \"stale_after\" cannot be read"),
        (item(&json!({"idempotency_key": ""})), "parameter \"idempotency_key\""),
    ];
    for (wrong, said) in rows {
        let error = many(&world, &[item(&json!({})), wrong.clone()]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "22023", "{error}");
        let message = error.message();
        assert!(message.starts_with("cannot enqueue task 2 of 2"), "{message}");
        assert!(message.contains(said), "{wrong}: {message}");
    }
    assert!(refused(&world, "hostler.enqueue_many('{}')").await.contains("parameter \"tasks\""));
    assert!(refused(&world, "hostler.enqueue_many(NULL)").await.contains("parameter \"tasks\""));
    assert_eq!(count(&world).await, 0);
}

/// The terms of a queue with this policy.
fn terms(max_attempts: u32, retry: &RetryPolicy) -> QueueTerms {
    QueueTerms { timeout: Some(Duration::from_secs(7)), max_attempts, retry: retry.clone() }
}

fn policy(kind: Growth) -> RetryPolicy {
    RetryPolicy {
        kind,
        backoff_min: Duration::from_millis(40),
        backoff_max: Duration::from_secs(2),
        jitter: 0.25,
        retry_on: Vec::new(),
        never_on: vec!["task:5".parse().unwrap(), "exit".parse().unwrap()],
    }
}

#[tokio::test]
async fn hosts_that_start_tell_sql_what_their_queues_give() {
    let world = World::new().await;
    let own = BTreeMap::from([(world.queue.clone(), terms(8, &policy(Growth::Linear)))]);
    let all = AllQueueTerms { fallback: terms(4, &policy(Growth::Fixed)), queues: own };
    for _ in 0..2 {
        queue_rows::set_terms(&world.db, &all).await.unwrap();
    }
    let max_attempts = async |call: &str| {
        let id = enqueued(&world, call).await;
        tasks::get(&world.db, id).await.unwrap().unwrap().max_attempts
    };
    ensure(&world.db, "other").await;
    assert_eq!(max_attempts("hostler.enqueue('default', 'say')").await, 8);
    assert_eq!(max_attempts("hostler.enqueue('other', 'say')").await, 4);
    assert_eq!(max_attempts("hostler.enqueue('other', 'say', max_attempts => 2)").await, 2);
    let rows = many(&world, &[item(&json!({})), item(&json!({"queue": "other"}))]).await.unwrap();
    for (row, most) in rows.iter().zip([8, 4]) {
        let id = TaskId::from_uuid(row.get("task_id"));
        assert_eq!(tasks::get(&world.db, id).await.unwrap().unwrap().max_attempts, most);
    }
}

/// `hostler.after_failure` and [`RetryPolicy::after`] say the same of every failure.
#[tokio::test]
async fn sql_tries_again_as_a_host_does() {
    let world = World::new().await;
    let own = [
        RetryTerms::default(),
        RetryTerms { backoff_min: Some(Duration::from_secs(5)), ..RetryTerms::default() },
        RetryTerms {
            backoff_max: Some(Duration::from_millis(10)),
            jitter: Some(1.0),
            ..RetryTerms::default()
        },
        RetryTerms { never_on: Some(Vec::new()), ..RetryTerms::default() },
        RetryTerms { retry_on: Some(vec!["task:7".parse().unwrap()]), ..RetryTerms::default() },
        RetryTerms { retry_on: Some(vec!["exit".parse().unwrap()]), ..RetryTerms::default() },
    ];
    for kind in [Growth::Fixed, Growth::Linear, Growth::Exponential] {
        let policy = policy(kind);
        let all = AllQueueTerms { fallback: terms(3, &policy), queues: BTreeMap::new() };
        queue_rows::set_terms(&world.db, &all).await.unwrap();
        for own in &own {
            for detail in
                [json!(null), json!({"code": 5}), json!({"code": 7}), json!({"code": "7"})]
            {
                for (failures, dice) in [(0, 0.0), (1, 0.5), (4, 1.0), (60, 0.25), (98, 0.0)] {
                    let outcome = Outcome::Failed {
                        class: FailureClass::Task,
                        message: String::new(),
                        detail: detail.clone(),
                    };
                    let ours = policy.with(own).after(&outcome, failures, 99, dice);
                    let ours = match ours {
                        AfterFailure::Retry(wait) => Some(wait.as_secs_f64()),
                        AfterFailure::GiveUp => None,
                    };
                    let wait = "SELECT extract(epoch FROM
                        hostler.after_failure('default', $1, $2, $3, 99, $4))::double precision";
                    let own_json = (!own.is_empty()).then_some(Json(own));
                    let failures = i32::try_from(failures).unwrap();
                    let row = world
                        .db
                        .query_one(wait, &[&own_json, &detail, &failures, &dice])
                        .await
                        .unwrap();
                    let theirs: Option<f64> = row.get(0);
                    let same = match (ours, theirs) {
                        (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-5,
                        (ours, theirs) => ours == theirs,
                    };
                    assert!(same, "{kind:?} {own:?} {detail} {failures}: {ours:?} {theirs:?}");
                }
            }
        }
    }
}

/// What is heard until a notice that is sent now.
async fn heard(world: &World, notices: &mut mpsc::Receiver<Notice>) -> usize {
    notify::say(&world.db, &[notify::News::Freed]).await.unwrap();
    let mut count = 0;
    while notices.recv().await.unwrap() != Notice::Freed {
        count += 1;
    }
    count
}

#[tokio::test]
async fn a_submit_wakes_the_hosts_and_in_a_burst_one_speaks_for_all() {
    let world = World::new().await;
    let (sender, mut notices) = mpsc::channel(64);
    let _listener =
        Listener::spawn(&world.store, Logger::root(Discard, o!()), sender, Arc::default());
    assert_eq!(notices.recv().await, Some(Notice::Reconnected));

    enqueued(&world, "hostler.enqueue('default', 'say')").await;
    assert_eq!(notices.recv().await, Some(Notice::Woken(None)));
    // Whatever the others did: `true` always, `false` never, and what waits for its time neither.
    enqueued(&world, "hostler.enqueue('default', 'say', wake => true)").await;
    assert_eq!(heard(&world, &mut notices).await, 1);
    enqueued(&world, "hostler.enqueue('default', 'say', wake => false)").await;
    enqueued(&world, "hostler.enqueue('default', 'say', delay => '1 h', wake => true)").await;
    assert_eq!(heard(&world, &mut notices).await, 0);

    // Within 10 ms after one that woke them the next keeps silent. That long this session may be
    // kept from the processor, so it tries more than once.
    let mut silent = false;
    for _ in 0..50 {
        let at_once = "SELECT setval('hostler.wake_mark',
                (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
            hostler.enqueue('default', 'say')";
        world.db.query_one(at_once, &[]).await.unwrap();
        silent |= heard(&world, &mut notices).await == 0;
    }
    assert!(silent);
    // A clock that was set back does not silence everybody.
    world.db.query_one("SELECT setval('hostler.wake_mark', 9e15::bigint)", &[]).await.unwrap();
    enqueued(&world, "hostler.enqueue('default', 'say')").await;
    assert_eq!(heard(&world, &mut notices).await, 1);
}
