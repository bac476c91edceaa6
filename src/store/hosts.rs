//! Statements on the `hosts` table: who is alive, and what becomes of the tasks of who is not.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    StoreError,
    codec::milliseconds,
    statement::{Sql, sql},
};
use crate::domain::{Attempt, HostId, QueueName, TaskId, task::TaskState};

/// A host that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHost {
    /// Its id, a new one at each start.
    pub id: HostId,
    /// The identity of its data directory. There is one host per slot; the newest.
    pub slot: Uuid,
    /// Its name in listings.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// How long it keeps its tasks without a renewal.
    pub lease: Duration,
}

/// A task that was put back, because its host is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The task.
    pub task: TaskId,
    /// The queue it is in.
    pub queue: QueueName,
    /// The attempt that was given up. It counts as no failure.
    pub attempt: Attempt,
    /// Where the task is now: pending, or cancelled if somebody had asked for that.
    pub state: TaskState,
}

const REGISTER: Sql = sql!("hosts/register");
const RENEW: Sql = sql!("hosts/renew");
const RETIRE: Sql = sql!("hosts/retire");
const TAKE_OVER: Sql = sql!("hosts/take_over");

/// Enters a host, and puts back at once what its predecessors on the same data directory held.
///
/// A host that lost its lease registers anew; what it held then is put back too.
pub async fn register(
    db: &impl GenericClient,
    host: &NewHost,
) -> Result<Vec<Returned>, StoreError> {
    let lease = milliseconds(host.lease);
    let reason = "the host started again on the same data directory";
    let rows = REGISTER
        .query(db, &[&host.id, &host.slot, &host.name, &host.version, &lease, &reason])
        .await?;
    returned(&REGISTER, &rows)
}

/// Lets the lease of `host` end `lease` from now. False if it has ended, or the host was taken
/// out: it must stop its agents and register anew.
pub async fn renew(
    db: &impl GenericClient,
    host: HostId,
    lease: Duration,
) -> Result<bool, StoreError> {
    Ok(RENEW.query_opt(db, &[&host, &milliseconds(lease)]).await?.is_some())
}

/// Takes a host out that stops cleanly, and puts back whatever it still holds.
pub async fn retire(db: &impl GenericClient, host: HostId) -> Result<Vec<Returned>, StoreError> {
    let rows = RETIRE.query(db, &[&host, &"the host stopped"]).await?;
    returned(&RETIRE, &rows)
}

/// Takes out every host whose lease has ended, and puts back what they held.
pub async fn take_over(db: &impl GenericClient) -> Result<Vec<Returned>, StoreError> {
    let rows = TAKE_OVER.query(db, &[&"the host did not renew its lease"]).await?;
    returned(&TAKE_OVER, &rows)
}

fn returned(statement: &Sql, rows: &[Row]) -> Result<Vec<Returned>, StoreError> {
    rows.iter()
        .map(|row| {
            let fields = statement.fields(row);
            Ok(Returned {
                task: fields.get("task_id")?,
                queue: fields.get("queue")?,
                attempt: fields.get("attempt")?,
                state: fields.get("state")?,
            })
        })
        .collect()
}
