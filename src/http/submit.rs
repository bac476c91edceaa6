//! From the body of a submit to new tasks. Pure: time and ids come from outside.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use self::graph::Asked;
use super::{
    api::FieldError,
    fields::{Errors, Fields, kind_of},
    needs,
    once::HeaderKey,
    terms, unique, workspaces,
};
use crate::{
    domain::{
        BatchId, QueueName, TaskId,
        retry::AllQueueTerms,
        task::{NewTask, Terms},
    },
    settings,
};

mod graph;
#[cfg(test)]
pub(super) mod tests;

/// The longest kind, in characters; the schema's limit.
pub(super) const MAX_KIND: usize = 255;

/// The most attempts that a task may ask for.
const MAX_ATTEMPTS: i64 = 1000;

/// The longest delay, time limit and window.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(3650 * 86_400);

/// The kind of a task that names none.
const DEFAULT_KIND: &str = "task";

/// What a body is read by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Limits and defaults.
    pub(super) tasks: &'a settings::Tasks,
    /// What the tasks of each queue are given.
    pub(super) terms: &'a AllQueueTerms,
    /// Now, for delays.
    pub(super) now: Timestamp,
    /// The `Idempotency-Key` header: the key of a single task.
    pub(super) header_key: Option<HeaderKey<'a>>,
    /// The batch that the request is for.
    pub(super) batch: Option<BatchId>,
}

/// What a body asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Submission {
    /// One task, as an object.
    One(Box<NewTask>),
    /// `{"tasks": […]}`.
    Many(Vec<NewTask>),
}

/// Reads a body; `new_id` makes the id of each task.
///
/// # Errors
///
/// Every mistake, each with its field.
pub(super) fn read(
    body: Value,
    rules: &Rules<'_>,
    mut new_id: impl FnMut() -> TaskId,
) -> Result<Submission, Vec<FieldError>> {
    let mut errors = Errors::default();
    let submission = match body {
        Value::Object(object) if object.contains_key("tasks") => {
            many(object, rules, &mut new_id, &mut errors).map(Submission::Many)
        }
        Value::Object(object) => {
            let (task, asked) = one(String::new(), object, rules, &mut new_id, &mut errors);
            let mut tasks = vec![task];
            graph::connect(&mut tasks, &[asked], &mut errors);
            tasks.pop().map(|task| Submission::One(Box::new(task)))
        }
        other => {
            errors.add("body", format!("must be an object, not {}", kind_of(&other)));
            None
        }
    };
    match errors.or(submission)? {
        Some(submission) => Ok(submission),
        None => Err(Vec::new()),
    }
}

fn many(
    object: Map<String, Value>,
    rules: &Rules<'_>,
    new_id: &mut impl FnMut() -> TaskId,
    errors: &mut Errors,
) -> Option<Vec<NewTask>> {
    let mut body = Fields::new(String::new(), object, errors);
    let tasks = list(&mut body, rules, 1);
    body.finish();
    all(tasks?, rules, new_id, errors)
}

/// Takes `tasks`; none, or no such field, only where `least` is 0.
pub(super) fn list(body: &mut Fields<'_>, rules: &Rules<'_>, least: usize) -> Option<Vec<Value>> {
    let tasks = body.take("tasks");
    if rules.header_key.is_some() {
        body.wrong(
            "tasks",
            "the header `Idempotency-Key` is for one task; give each its own `idempotency_key`",
        );
    }
    let max = rules.tasks.max_batch;
    match tasks {
        None if least == 0 => Some(Vec::new()),
        Some(Value::Array(tasks)) if tasks.len() < least => {
            body.wrong("tasks", "must hold at least one task");
            None
        }
        Some(Value::Array(tasks)) if u32::try_from(tasks.len()).is_ok_and(|n| n <= max) => {
            Some(tasks)
        }
        Some(Value::Array(tasks)) => {
            let count = tasks.len();
            body.wrong("tasks", format!("holds {count} tasks; at most {max} are taken at once"));
            None
        }
        other => {
            let got = other.as_ref().map_or("null", kind_of);
            body.wrong("tasks", format!("must be an array of tasks, not {got}"));
            None
        }
    }
}

/// Reads each of `tasks`.
pub(super) fn all(
    tasks: Vec<Value>,
    rules: &Rules<'_>,
    new_id: &mut impl FnMut() -> TaskId,
    errors: &mut Errors,
) -> Option<Vec<NewTask>> {
    let mut read = Vec::with_capacity(tasks.len());
    let mut asked = Vec::with_capacity(tasks.len());
    for (nth, task) in tasks.into_iter().enumerate() {
        let at = format!("tasks[{nth}]");
        if let Value::Object(object) = task {
            let (task, one_asked) = one(at, object, rules, new_id, errors);
            read.push(task);
            asked.push(one_asked);
        } else {
            errors.add(at, format!("must be an object, not {}", kind_of(&task)));
            asked.push(Asked::default());
        }
    }
    graph::connect(&mut read, &asked, errors);
    Some(read)
}

/// Reads one task, and what it says of others. Where a mistake is noted, what is returned has no
/// meaning.
fn one(
    at: String,
    object: Map<String, Value>,
    rules: &Rules<'_>,
    new_id: &mut impl FnMut() -> TaskId,
    errors: &mut Errors,
) -> (NewTask, Asked) {
    let mut task = Fields::new(at, object, errors);
    let queue = queue(&mut task);
    let kind = kind(&mut task);
    let input = task.json("input", rules.tasks.max_input);
    let priority = priority(&mut task);
    let run_at = run_at(&mut task, rules.now);
    let max_attempts = max_attempts(&mut task);
    let (retry, its_attempts) = terms::retry(&mut task, MAX_ATTEMPTS);
    if max_attempts.is_some() && its_attempts.is_some() {
        task.wrong("max_attempts", "give either `max_attempts` or `retry.max_attempts`");
    }
    let timeout = task.duration("timeout", false, MAX_DURATION);
    let stale_after = task.duration("stale_after", false, MAX_DURATION);
    let deadline = terms::deadline(&mut task, rules.now, run_at);
    let idempotency_key = task.idempotency_key(rules.header_key);
    let needs = needs::read(&mut task);
    let unique = unique::read(&mut task, &kind, &input);
    let group = task.parsed("group");
    let batch = batch(&mut task, rules.batch);
    let workspace = workspaces::read(&mut task);
    let callback = task.parsed("callback_url");
    let asked = Asked::take(&mut task);
    task.finish();
    let of_queue = rules.terms.of(&queue);
    let task = NewTask {
        id: new_id(),
        kind,
        input,
        priority,
        run_at,
        max_attempts: max_attempts
            .or_else(|| its_attempts.and_then(|number| u32::try_from(number).ok()))
            .unwrap_or(of_queue.max_attempts),
        queue,
        timeout,
        idempotency_key,
        terms: Terms {
            retry,
            unique,
            needs,
            deadline,
            group,
            batch,
            workspace,
            stale_after,
            callback,
            ..Terms::default()
        },
    };
    (task, asked)
}

/// Takes `queue`.
pub(super) fn queue(task: &mut Fields<'_>) -> QueueName {
    task.parsed("queue").unwrap_or_default()
}

/// Takes `kind`.
pub(super) fn kind(task: &mut Fields<'_>) -> String {
    task.text("kind", MAX_KIND).unwrap_or_else(|| DEFAULT_KIND.to_owned())
}

/// Takes `priority`.
pub(super) fn priority(task: &mut Fields<'_>) -> i16 {
    let number = task.integer("priority", i64::from(i16::MIN)..=i64::from(i16::MAX));
    number.and_then(|number| i16::try_from(number).ok()).unwrap_or(0)
}

/// Takes `max_attempts`.
pub(super) fn max_attempts(task: &mut Fields<'_>) -> Option<u32> {
    let number = task.integer("max_attempts", 1..=MAX_ATTEMPTS);
    number.and_then(|number| u32::try_from(number).ok())
}

fn run_at(task: &mut Fields<'_>, now: Timestamp) -> Option<Timestamp> {
    let run_at = task.time("run_at");
    let Some(delay) = task.duration("delay", true, MAX_DURATION) else { return run_at };
    if run_at.is_some() {
        task.wrong("delay", "give either `run_at` or `delay`");
        return None;
    }
    let due = now.checked_add(delay).ok();
    if due.is_none() {
        task.wrong("delay", "ends after the last time that can be written");
    }
    due
}

/// The batch of a task; where the request is for one, no task names another.
fn batch(task: &mut Fields<'_>, of_request: Option<BatchId>) -> Option<BatchId> {
    let batch = task.parsed("batch");
    if batch.is_some() && of_request.is_some() {
        task.wrong("batch", "the request says already which batch the tasks are for");
    }
    batch.or(of_request)
}
