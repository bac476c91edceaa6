//! Many hosts on one database.

mod janitor;
mod leader;
mod lost;
mod partition;
mod shared;

use serde_json::{Value, json};

use crate::support::{
    effects::{self, Effect, Step},
    host::Host,
    wire::Ask,
};

/// Two workers and a process per task, all of which write down every step.
const FLEETS: &str = r#"
[fleets.quick]
protocol = "worker"
command = ["python3", "@FIXTURES@/witness.py"]
count = 2

[fleets.once]
protocol = "exec"
command = ["python3", "@FIXTURES@/witness.py", "exec"]
output = "json"
queues = ["once"]
"#;

/// What the agents of a host wrote down so far.
fn seen(host: &Host) -> Vec<Effect> {
    effects::read(&host.path("effects"), "host")
}

/// Those of one attempt.
fn of_attempt(effects: &[Effect], task: &str, attempt: u64) -> Vec<Effect> {
    let ours = effects.iter().filter(|one| one.task == task && one.attempt == attempt);
    ours.cloned().collect()
}

fn is_begin(effect: &Effect) -> bool {
    effect.step == Step::Begin
}

/// Submits so many tasks at once that take so long each; returns their ids.
fn submit(host: &Host, queue: &str, count: usize, ms: u64) -> Vec<String> {
    let task = json!({"queue": queue, "input": {"ms": ms}});
    let ask = Ask::new("POST", "/api/v1/tasks").json(&json!({ "tasks": vec![task; count] }));
    let answer = host.ask(&ask).expect(201);
    let items: &Vec<Value> = answer["items"].as_array().unwrap();
    items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Gives every agent of the host a task that takes so long; returns their ids once all have begun.
fn keep_busy(host: &Host, ms: u64) -> Vec<String> {
    let ids = [submit(host, "default", 2, ms), submit(host, "once", 1, ms)].concat();
    crate::support::processes::eventually("all are at work", || {
        let seen = seen(host);
        ids.iter().all(|id| of_attempt(&seen, id, 1).iter().any(is_begin))
    });
    ids
}
