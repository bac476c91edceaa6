//! New tasks.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

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

const SUBMIT: Sql = sql!("tasks/submit");
const INSERT_NEEDS: Sql = sql!("task_needs/insert");

/// Inserts tasks, all or none, and answers for each in the order given.
///
/// A key that is taken, by an older task or by one earlier in the batch, gives that task, with
/// `created` false; twenty submitters of one key at once all get the same. A task whose `run_at`
/// is to come is scheduled, any other pending.
///
/// # Errors
///
/// [`StoreError::UnknownQueue`] and [`StoreError::Unstorable`]: the batch is wrong, and nothing of
/// it was inserted.
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
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let rows = insert(db, &sent).await?;
    let answers = Answers::read(&rows)?;
    insert_needs(db, &sent, &answers).await?;
    let mut first = vec![true; sent.len()];
    places
        .into_iter()
        .map(|place| {
            let mut answer = answers.of(sent[place])?;
            // The second task with a key was not the one that was inserted.
            answer.created &= std::mem::replace(&mut first[place], false);
            Ok(answer)
        })
        .collect()
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

async fn insert(db: &impl GenericClient, tasks: &[&NewTask]) -> Result<Vec<Row>, StoreError> {
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let queues: Vec<_> = tasks.iter().map(|task| &task.queue).collect();
    let kinds: Vec<_> = tasks.iter().map(|task| &*task.kind).collect();
    let inputs: Vec<_> = tasks.iter().map(|task| Document(&task.input)).collect();
    let priorities: Vec<_> = tasks.iter().map(|task| task.priority).collect();
    let run_at: Vec<_> = tasks.iter().map(|task| task.run_at).collect();
    let max_attempts: Vec<_> = tasks.iter().map(|task| int4(task.max_attempts)).collect();
    let timeouts: Vec<_> = tasks.iter().map(|task| task.timeout.map(milliseconds)).collect();
    let keys: Vec<_> = tasks.iter().map(|task| task.idempotency_key.as_deref()).collect();
    let lanes: Vec<_> = tasks.iter().map(|task| task.terms.needs.lane()).collect();
    SUBMIT
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
                &lanes,
            ],
        )
        .await
}

/// Writes down what those need that were made just now.
async fn insert_needs(
    db: &impl GenericClient,
    tasks: &[&NewTask],
    answers: &Answers<'_>,
) -> Result<(), StoreError> {
    let (mut ids, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for task in tasks.iter().filter(|task| !task.terms.needs.is_empty()) {
        if answers.of(task)?.created {
            for (kind, name) in task.terms.needs.rows() {
                ids.push(task.id);
                kinds.push(kind);
                names.push(name);
            }
        }
    }
    if !ids.is_empty() {
        INSERT_NEEDS.query(db, &[&ids, &kinds, &names]).await?;
    }
    Ok(())
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

    fn of(&self, task: &NewTask) -> Result<Submitted, StoreError> {
        let found = match task.idempotency_key.as_deref() {
            Some(key) => self.by_key.get(key),
            None => self.by_id.get(&task.id),
        };
        found
            .cloned()
            .ok_or(StoreError::UnknownValue { statement: SUBMIT.name, column: "idempotency_key" })
    }
}
