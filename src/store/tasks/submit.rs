//! New tasks.
//!
//! Tasks that wait for each other go in by more statements, of which `graph.rs` has the others; then
//! the caller sees to it that all are in one transaction.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::graph::{self, Batch};
use crate::{
    domain::{QueueName, TaskId, record::Submitted, task::NewTask},
    store::{
        StoreError,
        codec::{Document, has_nul, int4, milliseconds},
        statement::{Sql, sql},
    },
};

/// The longest idempotency key, in characters.
pub const MAX_KEY: usize = 255;
/// The longest kind, in characters.
pub const MAX_KIND: usize = 255;

/// The most tasks in one statement, where there are several anyway.
const SLICE: usize = 5_000;

const SUBMIT: Sql = sql!("tasks/submit");

/// Inserts tasks, all or none, and answers for each in the order given.
///
/// A key that is taken, by an older task or by one earlier in the batch, gives that task, with
/// `created` false; twenty submitters of one key at once all get the same. A task whose `run_at`
/// is to come is scheduled, any other pending.
///
/// A task that depends on others is blocked, until the last of them is done: the database sees to
/// that. What has ended already counts at once. Where tasks depend on each other they may get other
/// ids than they were given, so that a dependency always has the smaller one. Such a batch must be
/// submitted in a transaction, and [`StoreError::Overtaken`] means to do it again.
///
/// # Errors
///
/// [`StoreError::UnknownQueue`], [`StoreError::UnknownDependency`] and [`StoreError::Unstorable`]:
/// the batch is wrong, and nothing of it was inserted. [`StoreError::Overtaken`].
pub async fn submit(
    db: &impl GenericClient,
    tasks: &[NewTask],
) -> Result<Vec<Submitted>, StoreError> {
    for (position, task) in tasks.iter().enumerate() {
        check(task).map_err(|(field, problem)| StoreError::Unstorable {
            position,
            field,
            problem,
        })?;
    }
    let (places, sent) = one_per_key(tasks);
    let made = if sent.is_empty() {
        return Ok(Vec::new());
    } else if sent.iter().all(|task| task.terms.graph.depends_on.is_empty()) {
        let news: Vec<_> =
            sent.iter().map(|task| New { task, id: task.id, waits: false }).collect();
        insert(db, &news).await?
    } else {
        let batch = Batch::new(db, tasks, &places, &sent).await?;
        let mut made = in_slices(db, &sent, &batch).await?;
        graph::connect(db, &batch, &mut made).await?;
        made
    };
    let mut first = vec![true; sent.len()];
    let answers = places.into_iter().map(|place| {
        let mut answer = made[place].clone();
        // The second task with a key was not the one that was inserted.
        answer.created &= std::mem::replace(&mut first[place], false);
        answer
    });
    Ok(answers.collect())
}

/// What the table cannot hold.
fn check(task: &NewTask) -> Result<(), (&'static str, &'static str)> {
    const NUL: &str = "contains the character NUL, which Postgres cannot keep";
    if has_nul(&task.input) {
        return Err(("input", NUL));
    }
    if task.kind.contains('\0') {
        return Err(("kind", NUL));
    }
    if task.kind.chars().count() > MAX_KIND {
        return Err(("kind", "is longer than 255 characters"));
    }
    if task.max_attempts == 0 {
        return Err(("max_attempts", "must be at least 1"));
    }
    if task.timeout.is_some_and(|timeout| timeout < Duration::from_millis(1)) {
        return Err(("timeout", "must be at least a millisecond"));
    }
    match task.idempotency_key.as_deref() {
        Some("") => Err(("idempotency_key", "must not be empty")),
        Some(key) if key.contains('\0') => Err(("idempotency_key", NUL)),
        Some(key) if key.chars().count() > MAX_KEY => {
            Err(("idempotency_key", "is longer than 255 characters"))
        }
        _ => Ok(()),
    }
}

/// The tasks to send, each key once, and for every task its place among them.
fn one_per_key(tasks: &[NewTask]) -> (Vec<usize>, Vec<&NewTask>) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut sent: Vec<&NewTask> = Vec::with_capacity(tasks.len());
    let places = tasks
        .iter()
        .map(|task| {
            let place = sent.len();
            if let Some(key) = task.idempotency_key.as_deref() {
                match seen.entry(key) {
                    Entry::Occupied(taken) => return *taken.get(),
                    Entry::Vacant(free) => free.insert(place),
                };
            }
            sent.push(task);
            place
        })
        .collect();
    (places, sent)
}

/// A task as it is inserted.
struct New<'a> {
    task: &'a NewTask,
    id: TaskId,
    waits: bool,
}

/// Inserts a few at a time. Keys go in their order through all slices, so that two batches never
/// wait for each other.
async fn in_slices(
    db: &impl GenericClient,
    sent: &[&NewTask],
    batch: &Batch,
) -> Result<Vec<Submitted>, StoreError> {
    let mut order: Vec<usize> = (0..sent.len()).collect();
    order.sort_by_key(|at| sent[*at].idempotency_key.as_deref());
    let mut made = Vec::with_capacity(sent.len());
    for slice in order.chunks(SLICE) {
        let news: Vec<_> = slice
            .iter()
            .map(|at| New { task: sent[*at], id: batch.ids[*at], waits: batch.waits(*at) })
            .collect();
        made.extend(slice.iter().copied().zip(insert(db, &news).await?));
    }
    made.sort_by_key(|(at, _)| *at);
    Ok(made.into_iter().map(|(_, answer)| answer).collect())
}

async fn insert(db: &impl GenericClient, news: &[New<'_>]) -> Result<Vec<Submitted>, StoreError> {
    let tasks = || news.iter().map(|new| new.task);
    let ids: Vec<_> = news.iter().map(|new| new.id).collect();
    let queues: Vec<_> = tasks().map(|task| &task.queue).collect();
    let kinds: Vec<_> = tasks().map(|task| &*task.kind).collect();
    let inputs: Vec<_> = tasks().map(|task| Document(&task.input)).collect();
    let priorities: Vec<_> = tasks().map(|task| task.priority).collect();
    let run_at: Vec<_> = tasks().map(|task| task.run_at).collect();
    let max_attempts: Vec<_> = tasks().map(|task| int4(task.max_attempts)).collect();
    let timeouts: Vec<_> = tasks().map(|task| task.timeout.map(milliseconds)).collect();
    let keys: Vec<_> = tasks().map(|task| task.idempotency_key.as_deref()).collect();
    let waits: Vec<_> = news.iter().map(|new| new.waits).collect();
    let rows = SUBMIT
        .query(
            db,
            &[
                &ids,
                &queues,
                &kinds,
                &inputs,
                &priorities,
                &run_at,
                &max_attempts,
                &timeouts,
                &keys,
                &waits,
            ],
        )
        .await?;
    let answers = Answers::read(&rows)?;
    news.iter().map(|new| answers.of(new)).collect()
}

/// What the statement returned, by what it can be found with.
struct Answers<'a> {
    by_id: HashMap<TaskId, Submitted>,
    by_key: HashMap<&'a str, Submitted>,
}

impl<'a> Answers<'a> {
    fn read(rows: &'a [Row]) -> Result<Self, StoreError> {
        let mut answers = Self { by_id: HashMap::new(), by_key: HashMap::new() };
        for row in rows {
            let fields = SUBMIT.fields(row);
            if let Some(queue) = fields.get::<Option<QueueName>>("unknown_queue")? {
                return Err(StoreError::UnknownQueue { queue });
            }
            let answer = Submitted {
                id: fields.get("id")?,
                state: fields.get("state")?,
                created: fields.get("created")?,
            };
            match fields.get::<Option<&str>>("idempotency_key")? {
                Some(key) => answers.by_key.insert(key, answer),
                None => answers.by_id.insert(answer.id, answer),
            };
        }
        Ok(answers)
    }

    fn of(&self, new: &New<'_>) -> Result<Submitted, StoreError> {
        let found = match new.task.idempotency_key.as_deref() {
            Some(key) => self.by_key.get(key),
            None => self.by_id.get(&new.id),
        };
        found
            .cloned()
            .ok_or(StoreError::UnknownValue { statement: SUBMIT.name, column: "idempotency_key" })
    }
}
