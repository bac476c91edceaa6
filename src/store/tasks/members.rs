//! What tasks are part of: groups and batches.

use deadpool_postgres::GenericClient;

use crate::{
    domain::{
        BatchId, TaskId,
        record::{Submitted, TaskFilter},
        task::{NewTask, TaskState},
    },
    store::{
        StoreError,
        statement::{Sql, sql},
    },
};

const JOIN: Sql = sql!("task_members/join");
const OF_GROUP: Sql = sql!("task_members/of_group");
const OF_BATCH: Sql = sql!("task_members/of_batch");
const LOCK: Sql = sql!("batches/lock");

/// Enters those of the tasks that were made into their groups and batches, in the transaction that
/// made them, once nothing more of it waits for a task.
///
/// # Errors
///
/// [`StoreError::UnknownBatch`], [`StoreError::BatchClosed`].
pub(super) async fn join(
    db: &impl GenericClient,
    sent: &[&NewTask],
    answers: &[Submitted],
) -> Result<(), StoreError> {
    let is_member = |task: &NewTask| task.terms.group.is_some() || task.terms.batch.is_some();
    // By the ids of the answers: tasks of a graph are given others than they came with.
    let members: Vec<(&NewTask, TaskId)> = sent
        .iter()
        .zip(answers)
        .filter(|(task, answer)| answer.created && is_member(task))
        .map(|(task, answer)| (*task, answer.id))
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let batches: Vec<Option<BatchId>> = members.iter().map(|(task, _)| task.terms.batch).collect();
    let mut named: Vec<BatchId> = batches.iter().flatten().copied().collect();
    named.sort_unstable();
    named.dedup();
    if !named.is_empty() {
        be_open(db, &named).await?;
    }
    let tasks: Vec<TaskId> = members.iter().map(|(_, id)| *id).collect();
    let groups: Vec<_> = members.iter().map(|(task, _)| task.terms.group.as_ref()).collect();
    JOIN.query(db, &[&tasks, &groups, &batches]).await?;
    Ok(())
}

/// Keeps batches open until the transaction ends.
async fn be_open(db: &impl GenericClient, batches: &[BatchId]) -> Result<(), StoreError> {
    let rows = LOCK.query(db, &[&batches]).await?;
    for batch in batches {
        let mut found = None;
        for row in &rows {
            let fields = LOCK.fields(row);
            if fields.get::<BatchId>("id")? == *batch {
                found = Some(fields.get("is_open")?);
            }
        }
        match found {
            None => return Err(StoreError::UnknownBatch { batch: *batch }),
            Some(false) => return Err(StoreError::BatchClosed { batch: *batch }),
            Some(true) => {}
        }
    }
    Ok(())
}

/// The members of a group or a batch that a filter lets through, newest first.
pub(super) async fn list(
    db: &impl GenericClient,
    filter: &TaskFilter,
) -> Result<Vec<TaskId>, StoreError> {
    let states = if filter.states.is_empty() { &TaskState::ALL } else { &*filter.states };
    let limit = i64::from(filter.limit);
    let (queue, kind, group, before) = (&filter.queue, &filter.kind, &filter.group, &filter.before);
    let (class, from, to) = (&filter.class, &filter.created_after, &filter.created_before);
    let (statement, rows) = match filter.batch {
        Some(batch) => {
            let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 10] =
                [&states, queue, kind, &batch, group, before, &limit, class, from, to];
            (&OF_BATCH, OF_BATCH.query(db, &columns).await?)
        }
        None => {
            let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
                [&states, queue, kind, group, before, &limit, class, from, to];
            (&OF_GROUP, OF_GROUP.query(db, &columns).await?)
        }
    };
    rows.iter().map(|row| statement.fields(row).get("id")).collect()
}
