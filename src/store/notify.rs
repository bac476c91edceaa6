//! Telling the other hosts, by `NOTIFY`. What is said here is a hint: whoever missed it finds the
//! same in the tables, a little later.

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    statement::{Sql, sql},
};
use crate::domain::{QueueName, TaskId};

/// The channel on which queues that got work are named.
pub(super) const WAKE_CHANNEL: &str = "hostler_wake";
/// The channel on which tasks that were called off are named.
pub(super) const CANCEL_CHANNEL: &str = "hostler_cancel";

const WAKE: Sql = sql!("notify/wake");
const CANCEL: Sql = sql!("notify/cancel");

/// Says that these queues got work.
///
/// Never in the transaction that submits: such commits queue for one lock of the whole server.
/// Send one for many submits.
pub async fn wake(db: &impl GenericClient, queues: &[QueueName]) -> Result<(), StoreError> {
    WAKE.query(db, &[&queues]).await?;
    Ok(())
}

/// Says that running tasks were called off, to the hosts that hold them.
pub async fn cancel(db: &impl GenericClient, tasks: &[TaskId]) -> Result<(), StoreError> {
    CANCEL.query(db, &[&tasks]).await?;
    Ok(())
}
