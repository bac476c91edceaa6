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
/// The channel on which a trigger says that API keys changed.
pub(super) const KEYS_CHANNEL: &str = "hostler_keys";

const WAKE: Sql = sql!("notify/wake");
const CANCEL: Sql = sql!("notify/cancel");

/// What other hosts are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// A queue got work.
    Work(QueueName),
    /// Something was freed, or changed, that tasks of any queue may wait for.
    Freed,
}

/// What stands for [`News::Freed`]: no name of a queue.
pub(super) const FREED: &str = "!";

impl News {
    const fn payload(&self) -> &str {
        match self {
            Self::Work(queue) => queue.as_str(),
            Self::Freed => FREED,
        }
    }
}

/// Tells the other hosts.
///
/// Never in the transaction that submits: such commits queue for one lock of the whole server.
/// Say it once for many submits.
pub async fn say(db: &impl GenericClient, news: &[News]) -> Result<(), StoreError> {
    let payloads: Vec<&str> = news.iter().map(News::payload).collect();
    WAKE.query(db, &[&payloads]).await?;
    Ok(())
}

/// Says that running tasks were called off, to the hosts that hold them.
pub async fn cancel(db: &impl GenericClient, tasks: &[TaskId]) -> Result<(), StoreError> {
    CANCEL.query(db, &[&tasks]).await?;
    Ok(())
}
