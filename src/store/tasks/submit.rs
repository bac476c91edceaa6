//! New tasks.
//!
//! Tasks that wait for each other go in by more statements, which are in `graph.rs`; so do those
//! that are to be the only ones of their keys, by `unique.rs`.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use deadpool_postgres::GenericClient;
use tokio_postgres::{Row, types::Json};

use super::{graph::Batch, members, unique};
use crate::{
    domain::{
        QueueName, TaskId,
        record::{SubmitOutcome, Submitted},
        retry::RetryTerms,
        task::{NewTask, TaskState},
        unique::{Answer, MAX_UNIQUE_KEY, OnConflict, Rejected},
        workspace::WorkspaceSpec,
    },
    store::{
        StoreError,
        admission::needs,
        codec::{Document, has_nul, int4, milliseconds},
        statement::{Sql, sql},
        webhooks,
    },
};

/// The longest idempotency key, in characters.
pub const MAX_KEY: usize = 255;
/// The longest kind, in characters.
pub const MAX_KIND: usize = 255;

/// The most tasks in one statement, where there are several anyway.
const SLICE: usize = 5_000;

const SUBMIT: Sql = sql!("tasks/submit");

/// Inserts tasks, all or none, and answers for each in the order given. Where one has terms, `db`
/// must be a transaction.
///
/// An idempotency key that is taken, by an older task or by one earlier in the batch, gives that
/// task, with `created` false; twenty submitters of one key at once all get the same. So it is with
/// what is to be unique, as its terms say. A task whose `run_at` is to come is scheduled, any other
/// pending.
///
/// A task that depends on others is blocked until the last of them is done: the database sees to
/// that. What has ended already counts at once. Where tasks depend on each other they may get other
/// ids than they were given, so that a dependency always has the smaller one.
///
/// # Errors
///
/// [`StoreError::UnknownQueue`], [`StoreError::Unstorable`], [`StoreError::NotUnique`],
/// [`StoreError::UnknownDependency`], [`StoreError::UnknownBatch`] and [`StoreError::BatchClosed`]: the
/// batch is wrong. [`StoreError::Overtaken`]: it is to be done
/// again, in another transaction. Nothing of it may be committed.
pub async fn submit(
    db: &impl GenericClient,
    tasks: &[NewTask],
) -> Result<Vec<Submitted>, StoreError> {
    for (position, task) in tasks.iter().enumerate() {
        check(position, task)?;
    }
    let (places, sent) = one_per_key(tasks);
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let depends = |task: &&NewTask| !task.terms.graph.depends_on.is_empty();
    let answers = if sent.iter().any(depends) {
        let batch = Batch::new(db, tasks, &places, &sent).await?;
        let renamed = batch.renamed(&sent);
        let renamed: Vec<&NewTask> = renamed.iter().map(AsRef::as_ref).collect();
        let mut made = submit_sent(db, &renamed, &places).await?;
        batch.connect(db, &mut made).await?;
        made
    } else {
        submit_sent(db, &sent, &places).await?
    };
    let callbacks = sent.iter().zip(&answers).filter(|(_, answer)| answer.created);
    let callbacks: Vec<_> = callbacks
        .filter_map(|(task, answer)| Some((answer.id, task.terms.callback.as_ref()?.as_str())))
        .collect();
    webhooks::add_callbacks(db, &callbacks).await?;
    // Last of all: batches are locked after tasks.
    members::join(db, &sent, &answers).await?;
    let mut first = vec![true; sent.len()];
    Ok(places
        .into_iter()
        .map(|place| {
            let answer = answers[place].clone();
            // The second task with a key was not the one that was inserted.
            if std::mem::replace(&mut first[place], false) { answer } else { again(answer) }
        })
        .collect())
}

/// Inserts tasks, each key once.
async fn submit_sent(
    db: &impl GenericClient,
    sent: &[&NewTask],
    places: &[usize],
) -> Result<Vec<Submitted>, StoreError> {
    if sent.iter().any(|task| task.terms.unique.is_some()) {
        return submit_unique(db, sent).await.map_err(|error| in_words_of(error, places));
    }
    let inserted: Vec<_> = sent.iter().map(|task| Cow::Borrowed(*task)).collect();
    let answers = insert(db, &inserted).await?;
    sent.iter().map(|task| answers.of(task)).collect()
}

/// The error with the places that tasks have in the whole batch; `places` says which was sent where.
fn in_words_of(error: StoreError, places: &[usize]) -> StoreError {
    let StoreError::NotUnique { rejected } = error else { return error };
    let whole = |sent| places.iter().position(|place| *place == sent).unwrap_or(sent);
    let (position, earlier) = (whole(rejected.position), rejected.earlier.map(whole));
    StoreError::NotUnique { rejected: Rejected { position, earlier, ..rejected } }
}

/// The answer to a task that was already there when it was submitted.
fn again(answer: Submitted) -> Submitted {
    Submitted { created: false, outcome: SubmitOutcome::Existing, ..answer }
}

/// Inserts tasks of which some are to be the only ones of their keys.
async fn submit_unique(
    db: &impl GenericClient,
    sent: &[&NewTask],
) -> Result<Vec<Submitted>, StoreError> {
    let resolved = unique::resolve(db, sent).await?;
    let inserted = resolved.to_insert();
    let answers = insert(db, &inserted).await?;
    let made: HashSet<TaskId> = inserted
        .iter()
        .filter(|task| answers.of(task).is_ok_and(|answer| answer.created))
        .map(|task| task.id)
        .collect();
    let replaced = resolved.finish(db, |task| made.contains(&task.id)).await?;
    // Where a task of this very submit is: it may have been replaced by a later one of it.
    let state_of = |task, known| {
        let inserted = answers.by_id.get(&task).map(|answer| answer.state);
        replaced.get(&task).copied().or(inserted).unwrap_or(known)
    };
    sent.iter()
        .enumerate()
        .map(|(place, task)| match resolved.answer(place) {
            Answer::Create { .. } => answers.of(task),
            Answer::Existing { task, state } => {
                let outcome = SubmitOutcome::Existing;
                Ok(Submitted::new(*task, state_of(*task, *state), outcome))
            }
            Answer::Replaced { task } => {
                let state = state_of(*task, TaskState::Pending);
                Ok(Submitted::new(*task, state, SubmitOutcome::Replaced))
            }
        })
        .collect()
}

/// Refuses what the tables cannot hold; the task is at this place of a submit.
pub(in crate::store) fn check(position: usize, task: &NewTask) -> Result<(), StoreError> {
    let refused = |(field, problem)| StoreError::Unstorable { position, field, problem };
    storable(task).map_err(refused)
}

/// What of a task the tables cannot hold, and why.
fn storable(task: &NewTask) -> Result<(), (&'static str, &'static str)> {
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
    if task.terms.stale_after.is_some_and(|limit| limit < Duration::from_millis(1)) {
        return Err(("stale_after", "must be at least a millisecond"));
    }
    if let Some(unique) = &task.terms.unique {
        match unique.key.chars().count() {
            0 => return Err(("unique.key", "must not be empty")),
            1..=MAX_UNIQUE_KEY if unique.key.contains('\0') => return Err(("unique.key", NUL)),
            1..=MAX_UNIQUE_KEY => {}
            _ => return Err(("unique.key", "is longer than 255 characters")),
        }
        if unique.on_conflict == OnConflict::Replace && !task.terms.graph.depends_on.is_empty() {
            let problem = "a task that depends on others can't take the place of another one";
            return Err(("unique.on_conflict", problem));
        }
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

/// Inserts tasks, in one statement; or a few at a time, where one has terms, and so all is in one
/// transaction. Keys go in their order through all of that, so that two batches never wait for each
/// other.
async fn insert(
    db: &impl GenericClient,
    tasks: &[Cow<'_, NewTask>],
) -> Result<Answers, StoreError> {
    let mut order: Vec<&NewTask> = tasks.iter().map(AsRef::as_ref).collect();
    let plain = order.iter().all(|task| task.terms.is_empty());
    let most = if plain { order.len().max(1) } else { SLICE };
    if order.len() > most {
        order.sort_by_key(|task| task.idempotency_key.as_deref());
    }
    let mut answers = Answers::default();
    for slice in order.chunks(most) {
        answers.read(&insert_slice(db, slice).await?)?;
    }
    insert_needs(db, &order, &answers).await?;
    Ok(answers)
}

async fn insert_slice(db: &impl GenericClient, tasks: &[&NewTask]) -> Result<Vec<Row>, StoreError> {
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let queues: Vec<_> = tasks.iter().map(|task| &task.queue).collect();
    let kinds: Vec<_> = tasks.iter().map(|task| &*task.kind).collect();
    let inputs: Vec<_> = tasks.iter().map(|task| Document(&task.input)).collect();
    let priorities: Vec<_> = tasks.iter().map(|task| task.priority).collect();
    let run_at: Vec<_> = tasks.iter().map(|task| task.run_at).collect();
    let max_attempts: Vec<_> = tasks.iter().map(|task| int4(task.max_attempts)).collect();
    let timeouts: Vec<_> = tasks.iter().map(|task| task.timeout.map(milliseconds)).collect();
    let keys: Vec<_> = tasks.iter().map(|task| task.idempotency_key.as_deref()).collect();
    let retries: Vec<_> = tasks.iter().map(|task| own_retry(task)).collect();
    let waits: Vec<_> = tasks.iter().map(|task| !task.terms.graph.depends_on.is_empty()).collect();
    let deadlines: Vec<_> = tasks.iter().map(|task| task.terms.deadline).collect();
    let lanes: Vec<_> = tasks.iter().map(|task| task.terms.needs.lane()).collect();
    let workspaces: Vec<_> = tasks.iter().map(|task| own_workspace(task)).collect();
    let silences: Vec<_> = tasks.iter().map(|task| own_stale_after(task)).collect();
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
                &retries,
                &waits,
                &deadlines,
                &lanes,
                &workspaces,
                &silences,
            ],
        )
        .await
}

/// Writes down what those need that were made just now.
async fn insert_needs(
    db: &impl GenericClient,
    inserted: &[&NewTask],
    answers: &Answers,
) -> Result<(), StoreError> {
    let made = inserted.iter().filter(|task| {
        !task.terms.needs.is_empty() && answers.of(task).is_ok_and(|answer| answer.created)
    });
    needs::insert(db, made.map(|task| (task.id, &task.terms.needs))).await
}

/// What a task says of how it is tried again, as its column holds it.
pub(super) fn own_retry(task: &NewTask) -> Option<Json<RetryTerms>> {
    (!task.terms.retry.is_empty()).then(|| Json(task.terms.retry.clone()))
}

/// What a task says that its attempts work in, as its column holds it.
pub(super) fn own_workspace(task: &NewTask) -> Option<Json<&WorkspaceSpec>> {
    task.terms.workspace.as_ref().map(Json)
}

/// How long a task says that its agent may be silent, as its column holds it.
pub(super) fn own_stale_after(task: &NewTask) -> Option<i64> {
    task.terms.stale_after.map(milliseconds)
}

/// What the statement returned, by what it can be found with.
#[derive(Default)]
struct Answers {
    by_id: HashMap<TaskId, Submitted>,
    by_key: HashMap<String, Submitted>,
}

impl Answers {
    fn read(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            let fields = SUBMIT.fields(row);
            if let Some(queue) = fields.get::<Option<QueueName>>("unknown_queue")? {
                return Err(StoreError::UnknownQueue { queue });
            }
            let created = fields.get("created")?;
            let outcome = if created { SubmitOutcome::Created } else { SubmitOutcome::Existing };
            let answer = Submitted::new(fields.get("id")?, fields.get("state")?, outcome);
            if let Some(key) = fields.get::<Option<String>>("idempotency_key")? {
                self.by_key.insert(key, answer.clone());
            }
            self.by_id.insert(answer.id, answer);
        }
        Ok(())
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
