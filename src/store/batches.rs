//! Batches: tasks that end together and then call back.
//!
//! That a batch is done, and that its callbacks are submitted once, is the work of triggers, in the
//! transaction of the last end: see `sql/migrations`.

use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::{
    StoreError,
    codec::{Document, int4, milliseconds},
    queues,
    statement::{Fields, Sql, sql},
    tasks,
};
use crate::domain::{
    BatchId, TaskId,
    batch::{BatchEnd, BatchRecord, NewBatch},
    record::Submitted,
    task::{NewTask, TaskState},
};

const CREATE: Sql = sql!("batches/create");
const ADD_CALLBACKS: Sql = sql!("batches/add_callbacks");
const CLOSE: Sql = sql!("batches/close");
const LIST: Sql = sql!("batches/list");

/// What came of submitting a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum CreateAnswer {
    /// It was made, with these tasks.
    Created(Vec<Submitted>),
    /// Its key was there already: this is the batch that has it.
    Existing(BatchId),
}

/// Makes a batch with its first tasks, and closes it unless it is to stay open. `db` must be a
/// transaction. Of tasks that were there already, by their keys, it takes none.
///
/// # Errors
///
/// [`StoreError::UnknownQueue`] for a callback too; those of [`tasks::submit`]. Nothing may be
/// committed then.
pub async fn create(
    db: &impl GenericClient,
    batch: &NewBatch,
    tasks: &[NewTask],
) -> Result<CreateAnswer, StoreError> {
    let Some(row) = CREATE.query_opt(db, &[&batch.id, &batch.idempotency_key]).await? else {
        return Err(StoreError::UnknownValue { statement: CREATE.name, column: "id" });
    };
    let fields = CREATE.fields(&row);
    if !fields.get::<bool>("created")? {
        return Ok(CreateAnswer::Existing(fields.get("id")?));
    }
    add_callbacks(db, batch).await?;
    let submitted = tasks::submit(db, tasks).await?;
    if !batch.open {
        close(db, batch.id, false).await?;
    }
    Ok(CreateAnswer::Created(submitted))
}

async fn add_callbacks(db: &impl GenericClient, batch: &NewBatch) -> Result<(), StoreError> {
    if batch.callbacks.is_empty() {
        return Ok(());
    }
    let callbacks: Vec<_> = batch.callbacks.values().collect();
    let queues: Vec<_> = callbacks.iter().map(|one| &one.queue).collect();
    if let Some(queue) = queues::missing(db, &queues).await? {
        return Err(StoreError::UnknownQueue { queue });
    }
    let ends: Vec<BatchEnd> = batch.callbacks.keys().copied().collect();
    let kinds: Vec<_> = callbacks.iter().map(|one| &*one.kind).collect();
    let inputs: Vec<Value> = callbacks.iter().map(|one| Value::Object(one.input.clone())).collect();
    let inputs: Vec<_> = inputs.iter().map(Document).collect();
    let priorities: Vec<_> = callbacks.iter().map(|one| one.priority).collect();
    let max_attempts: Vec<_> = callbacks.iter().map(|one| int4(one.max_attempts)).collect();
    let timeouts: Vec<_> = callbacks.iter().map(|one| one.timeout.map(milliseconds)).collect();
    let silences: Vec<_> = callbacks.iter().map(|one| one.stale_after.map(milliseconds)).collect();
    ADD_CALLBACKS
        .query(
            db,
            &[
                &batch.id,
                &ends,
                &queues,
                &kinds,
                &inputs,
                &priorities,
                &max_attempts,
                &timeouts,
                &silences,
            ],
        )
        .await?;
    Ok(())
}

/// Takes no more tasks into a batch; with `call_off` it is noted as called off, unless it is done.
/// Says whether it is done; nothing if it is unknown.
pub async fn close(
    db: &impl GenericClient,
    batch: BatchId,
    call_off: bool,
) -> Result<Option<bool>, StoreError> {
    let row = CLOSE.query_opt(db, &[&batch, &call_off]).await?;
    row.map(|row| CLOSE.fields(&row).get("is_done")).transpose()
}

/// One batch; nothing if it is unknown.
pub async fn get(
    db: &impl GenericClient,
    batch: BatchId,
) -> Result<Option<BatchRecord>, StoreError> {
    let found = list(db, Some(batch), false, 1).await?.into_iter().next();
    Ok(found.filter(|found| found.id == batch))
}

/// Up to `limit` batches, newest first, from one on; or only those that are not done.
pub async fn list(
    db: &impl GenericClient,
    from: Option<BatchId>,
    unfinished: bool,
    limit: u32,
) -> Result<Vec<BatchRecord>, StoreError> {
    let rows = LIST.query(db, &[&from, &i64::from(limit), &unfinished]).await?;
    rows.iter().map(|row| record(&LIST.fields(row))).collect()
}

fn record(fields: &Fields<'_>) -> Result<BatchRecord, StoreError> {
    let mut counts = fields.tally("states", "tasks")?;
    let ends = [
        (TaskState::Completed, fields.count("completed")?),
        (TaskState::Failed, fields.count("failed")?),
        (TaskState::Cancelled, fields.count("cancelled")?),
    ];
    counts.extend(ends);
    counts.retain(|_, tasks| *tasks > 0);
    let on: Option<Vec<BatchEnd>> = fields.get("ends")?;
    let made: Option<Vec<Option<TaskId>>> = fields.get("made")?;
    Ok(BatchRecord {
        id: fields.get("id")?,
        total: fields.count("total")?,
        ended: ends.iter().map(|(_, tasks)| tasks).sum(),
        counts,
        created_at: fields.get("created_at")?,
        closed_at: fields.get("closed_at")?,
        cancelled_at: fields.get("cancelled_at")?,
        done_at: fields.get("done_at")?,
        callbacks: on.unwrap_or_default().into_iter().zip(made.unwrap_or_default()).collect(),
    })
}
