//! What people do to many tasks: found some at a time, changed some at a time.
//!
//! Nothing here holds locks on more tasks than one call is given, and all lock in the order of ids.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use crate::{
    domain::{QueueName, TaskId, bulk::Selection, task::TaskState},
    store::{
        StoreError,
        statement::{Sql, sql},
    },
};

const FIND: Sql = sql!("tasks/find");
const FIND_PLAIN: Sql = sql!("log/find");
const LOCK_CONNECTED: Sql = sql!("tasks/lock_connected");
const DEPENDENTS: Sql = sql!("dependents/among");
const CANCEL_MANY: Sql = sql!("tasks/cancel_many");
const RETRY_MANY: Sql = sql!("tasks/retry_many");
const DISCARD: Sql = sql!("dead_letter_notes/discard");

/// A step of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Those that are meant, in the order of their ids.
    pub tasks: Vec<TaskId>,
    /// After which task to go on; nothing if that was all.
    pub go_on_after: Option<TaskId>,
}

/// Looks at the next `look_at` tasks after one, and finds those that are meant.
pub async fn find(
    db: &impl GenericClient,
    selection: &Selection,
    after: Option<TaskId>,
    look_at: u32,
) -> Result<Found, StoreError> {
    let of = selection;
    let after = after.unwrap_or(TaskId::from_uuid(Uuid::nil()));
    let look_at = i64::from(look_at);
    let row = FIND
        .query_opt(
            db,
            &[
                &of.states,
                &of.queue,
                &of.kind,
                &of.group,
                &of.batch,
                &of.class,
                &of.created_after,
                &of.created_before,
                &of.tasks,
                &of.discarded,
                &after,
                &look_at,
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(Found { tasks: Vec::new(), go_on_after: None }) };
    let fields = FIND.fields(&row);
    Ok(Found { tasks: fields.get("ids")?, go_on_after: fields.get("go_on_after")? })
}

/// The plain tasks that are meant, up to `most`; without that only their number.
///
/// They are not among those that [`find`] finds, and are changed by moving them there first. None of
/// them is in a group or a batch, and none has failed.
pub async fn find_plain(
    db: &impl GenericClient,
    selection: &Selection,
    most: Option<u64>,
) -> Result<(u64, Vec<TaskId>), StoreError> {
    let of = selection;
    if of.group.is_some() || of.batch.is_some() || of.class.is_some() {
        return Ok((0, Vec::new()));
    }
    let most = most.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
    let (from, until) = (&of.created_after, &of.created_before);
    let row = FIND_PLAIN
        .query_opt(db, &[&of.states, &of.queue, &of.kind, from, until, &of.tasks, &most])
        .await?;
    let Some(row) = row else { return Ok((0, Vec::new())) };
    let fields = FIND_PLAIN.fields(&row);
    Ok((fields.count("found")?, fields.get("ids")?))
}

/// Calls those tasks off that are still in one of `states`, in one transaction.
///
/// Returns each, and whether it is held: then whoever holds it has to be told. One that comes to
/// another state in the meantime may be left out: ask again for the rest.
pub async fn cancel_many(
    db: &Transaction<'_>,
    tasks: &[TaskId],
    states: &[TaskState],
) -> Result<Vec<(TaskId, bool)>, StoreError> {
    let Some(row) = LOCK_CONNECTED.query_opt(db, &[&tasks]).await? else { return Ok(Vec::new()) };
    let locked: Vec<TaskId> = LOCK_CONNECTED.fields(&row).get("locked")?;
    let rows = CANCEL_MANY.query(db, &[&locked, &states]).await?;
    rows.iter()
        .map(|row| {
            let fields = CANCEL_MANY.fields(row);
            Ok((fields.get("id")?, fields.get("is_held")?))
        })
        .collect()
}

/// A task that has another round of attempts before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// The task.
    pub task: TaskId,
    /// The queue that it is in.
    pub queue: QueueName,
    /// Pending, scheduled if it is to wait, or blocked if it depends on what is not done.
    pub state: TaskState,
}

/// Which of these tasks depend on others. Those are tried again one by one: each takes locks on what
/// it depends on, and of many at once two callers could wait for each other.
pub async fn dependents_among(
    db: &impl GenericClient,
    tasks: &[TaskId],
) -> Result<Vec<TaskId>, StoreError> {
    let rows = DEPENDENTS.query(db, &[&tasks]).await?;
    rows.iter().map(|row| DEPENDENTS.fields(row).get("id")).collect()
}

/// Gives those tasks another round of attempts that are still in one of `states`: tasks that depend
/// on none, or one task.
///
/// They go to queue `to`, if that is said. The first can run after `wait`, each further one `step`
/// after the one before; one that depends on what is not done waits for that as well.
pub async fn retry_many(
    db: &impl GenericClient,
    tasks: &[TaskId],
    states: &[TaskState],
    to: Option<&QueueName>,
    (wait, step): (Duration, Duration),
) -> Result<Vec<Retried>, StoreError> {
    let (wait, step) = (microseconds(wait), microseconds(step));
    let rows = RETRY_MANY.query(db, &[&tasks, &states, &to, &wait, &step]).await?;
    rows.iter()
        .map(|row| {
            let fields = RETRY_MANY.fields(row);
            Ok(Retried {
                task: fields.get("id")?,
                queue: fields.get("queue")?,
                state: fields.get("state")?,
            })
        })
        .collect()
}

/// As `bigint`; one that is too long becomes a hundred years.
fn microseconds(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 3_600_000_000;
    i64::try_from(duration.as_micros()).map_or(CENTURY, |us| us.min(CENTURY))
}

/// Marks those tasks as given up that are still failed. Returns them.
pub async fn discard_many(
    db: &impl GenericClient,
    tasks: &[TaskId],
    reason: &str,
) -> Result<Vec<TaskId>, StoreError> {
    let rows = DISCARD.query(db, &[&tasks, &reason]).await?;
    rows.iter().map(|row| DISCARD.fields(row).get("id")).collect()
}
