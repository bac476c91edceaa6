//! What becomes of tasks and processes when parts of a host are killed, cut off or misbehave: the
//! real program, and real faults.

mod killed;
mod leaving;
mod misbehaviour;
mod outage;
mod storm;
mod supervision;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{host::Host, processes::within, wire::Ask};

/// Submits `count` short tasks, and returns their ids.
fn submit_many(host: &Host, count: usize) -> Vec<String> {
    let task = |nth: usize| serde_json::json!({"input": {"op": "echo", "value": nth}});
    let tasks: Vec<Value> = (0..count).map(task).collect();
    let ask = Ask::new("POST", "/api/v1/tasks").json(&serde_json::json!({ "tasks": tasks }));
    let answer = host.ask(&ask).expect(201);
    let items = answer["items"].as_array().expect("items");
    items.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

/// All tasks of the host, page by page.
fn all_tasks(host: &Host) -> Vec<Value> {
    let (mut tasks, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = host.get(&format!("/api/v1/tasks?limit=500{cursor}"));
        tasks.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return tasks,
        }
    }
}

/// How many tasks are not final yet.
fn unfinished(host: &Host) -> u64 {
    let queues = host.get("/api/v1/queues");
    let depths = queues["items"].as_array().expect("items").iter();
    depths
        .flat_map(|one| one["depth"].as_object().expect("depth").values())
        .filter_map(Value::as_u64)
        .sum()
}

/// Waits until every task is final. Longer than other waits: there may be many.
#[track_caller]
fn until_all_are_final(host: &Host) {
    let limit = std::time::Duration::from_secs(120);
    assert!(within(limit, || unfinished(host) == 0), "{} left\n{}", unfinished(host), host.log());
}

/// Holds the record against what the agents wrote down themselves: every task that was submitted is
/// there once and completed, its completing attempt was really carried out, nothing was carried out
/// that the record does not know, and its events have no gap.
#[track_caller]
fn nothing_was_lost(host: &Host, submitted: &[String]) {
    let tasks = all_tasks(host);
    let by_id: BTreeMap<_, _> =
        tasks.iter().map(|one| (one["id"].as_str().expect("an id"), one)).collect();
    assert_eq!(by_id.len(), tasks.len(), "each is listed once");
    let submitted: BTreeSet<_> = submitted.iter().map(String::as_str).collect();
    assert_eq!(
        by_id.keys().copied().collect::<BTreeSet<_>>(),
        submitted,
        "all that were submitted"
    );
    let effects = host.effects();
    for task in &tasks {
        let id = task["id"].as_str().expect("an id");
        assert_eq!(task["state"], "completed", "{task}");
        let attempt = task["attempt"].as_u64().expect("a number");
        assert!(effects.contains_key(&(id.to_owned(), attempt)), "nobody did it: {task}");
    }
    for ((id, attempt), times) in &effects {
        assert_eq!(*times, 1, "attempt {attempt} of {id} ran twice");
        let task = by_id.get(id.as_str()).expect("a task that is known");
        assert!(*attempt <= task["attempt"].as_u64().expect("a number"), "{task}");
    }
    let tried = tasks.iter().filter(|one| one["attempt"] != 1);
    for task in tried.take(20) {
        history_is_whole(host, task);
    }
}

/// The events of a task are gapless and in order, and end where the task is; so do its attempts.
#[track_caller]
fn history_is_whole(host: &Host, task: &Value) {
    let id = task["id"].as_str().expect("an id");
    let events = host.history(id, "events");
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(event["number"], nth + 1, "{events:?}");
    }
    let finals = ["completed", "failed", "cancelled"];
    let ends = events.iter().filter(|event| finals.iter().any(|state| event["state"] == *state));
    assert_eq!(ends.count(), 1, "it ends once: {events:?}");
    assert_eq!(events.last().expect("one")["state"], task["state"], "{events:?}");
    let attempts = host.history(id, "attempts");
    let numbers: Vec<_> = attempts.iter().filter_map(|one| one["attempt"].as_u64()).collect();
    let newest = task["attempt"].as_u64().expect("a number");
    assert_eq!(numbers, (1..=newest).collect::<Vec<_>>(), "{attempts:?}");
}
