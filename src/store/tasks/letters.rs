//! Failed tasks, and what was done about them.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;

use super::read::of_ids;
use crate::{
    domain::{
        TaskId,
        bulk::{DeadLetter, Selection},
        record::TaskRecord,
        task::TaskState,
    },
    store::{
        StoreError,
        statement::{Fields, Sql, sql},
    },
};

const LIST: Sql = sql!("dead_letter_notes/list");
const GET: Sql = sql!("dead_letter_notes/get");

/// The failed tasks that are meant, newest first, at most `limit`; older than `before`.
///
/// A task that is tried again while this looks is left out.
pub async fn dead_letters(
    db: &impl GenericClient,
    selection: &Selection,
    before: Option<TaskId>,
    limit: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    let of = selection;
    let limit = i64::from(limit);
    let rows = LIST
        .query(
            db,
            &[
                &of.queue,
                &of.kind,
                &of.group,
                &of.batch,
                &of.class,
                &of.created_after,
                &of.created_before,
                &before,
                &limit,
                &of.discarded,
            ],
        )
        .await?;
    let fields: Vec<Fields<'_>> = rows.iter().map(|row| LIST.fields(row)).collect();
    letters(db, &fields).await
}

/// One failed task; nothing if it is unknown or not failed.
pub async fn dead_letter(
    db: &impl GenericClient,
    task: TaskId,
) -> Result<Option<DeadLetter>, StoreError> {
    let Some(row) = GET.query_opt(db, &[&task]).await? else { return Ok(None) };
    Ok(letters(db, &[GET.fields(&row)]).await?.pop())
}

async fn letters(
    db: &impl GenericClient,
    rows: &[Fields<'_>],
) -> Result<Vec<DeadLetter>, StoreError> {
    let ids = rows.iter().map(|fields| fields.get("id")).collect::<Result<Vec<TaskId>, _>>()?;
    let tasks = of_ids(db, &ids).await?;
    let mut tasks: HashMap<TaskId, TaskRecord> =
        tasks.into_iter().map(|task| (task.id, task)).collect();
    let mut letters = Vec::with_capacity(rows.len());
    for (fields, id) in rows.iter().zip(ids) {
        let task = tasks.remove(&id).filter(|task| task.state == TaskState::Failed);
        let Some(task) = task else { continue };
        letters.push(DeadLetter {
            task,
            redrives: fields.count("redrives")?,
            redriven_at: fields.get("redriven_at")?,
            discarded_at: fields.get("discarded_at")?,
            discard_reason: fields.get("discard_reason")?,
        });
    }
    Ok(letters)
}
