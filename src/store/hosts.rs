//! Statements on the `hosts` table: who is alive, and what becomes of the tasks of who is not.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    StoreError,
    codec::{Shown, milliseconds},
    leader, log,
    statement::{Fields, Sql, sql},
    tasks::run_terms,
};
use crate::domain::{
    AgentName, Attempt, HostId, QueueName, TaskId,
    adoption::Hold,
    record::RegisteredHost,
    task::{Assignment, TaskState},
};

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

/// An attempt that a host goes on with, which its predecessor began.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumed {
    /// The attempt, as it was given out.
    pub assignment: Assignment,
    /// How long it has run.
    pub ran: Duration,
}

/// What became of the attempts of a host's predecessors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registered {
    /// Those that it goes on with.
    pub resumed: Vec<Resumed>,
    /// Those that were put back.
    pub returned: Vec<Returned>,
}

/// What became of the hosts whose lease has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// What they held.
    pub returned: Vec<Returned>,
    /// How long until the lease of another host ends, if that is not renewed.
    pub next: Option<Duration>,
}

const CALLED_OFF: Sql = sql!("hosts/called_off");
const LIST: Sql = sql!("hosts/list");
const REGISTER: Sql = sql!("hosts/register");
const RENEW: Sql = sql!("hosts/renew");
const RETIRE: Sql = sql!("hosts/retire");
const TAKE_OVER: Sql = sql!("hosts/take_over");
const PUT_BACK_STRAYS: Sql = sql!("hosts/put_back_strays");

/// Enters a host, and puts back at once what its predecessors on the same data directory held.
///
/// A host that lost its lease registers anew; what it held then is put back too.
pub async fn register(
    db: &impl GenericClient,
    host: &NewHost,
) -> Result<Vec<Returned>, StoreError> {
    Ok(resume(db, host, &[]).await?.returned)
}

/// As [`register`], but goes on with those of the predecessors' attempts that are among `wanted`.
///
/// Beside each stands the agent that runs it. They keep their numbers, and nothing happens to their
/// tasks, but that plain ones leave the log.
pub async fn resume(
    db: &impl GenericClient,
    host: &NewHost,
    wanted: &[(Hold, AgentName)],
) -> Result<Registered, StoreError> {
    let of_agents: Vec<_> = wanted.iter().map(|(hold, agent)| (hold.task, agent)).collect();
    log::track_predecessor(db, host.slot, &of_agents).await?;
    let lease = milliseconds(host.lease);
    let reason = "the host started again on the same data directory";
    let (tasks, attempts): (Vec<TaskId>, Vec<Attempt>) =
        wanted.iter().map(|(hold, _)| (hold.task, hold.attempt)).unzip();
    let rows = REGISTER
        .query(
            db,
            &[&host.id, &host.slot, &host.name, &host.version, &lease, &reason, &tasks, &attempts],
        )
        .await?;
    let mut registered = Registered::default();
    for row in &rows {
        let fields = REGISTER.fields(row);
        if fields.get("resumed")? {
            registered.resumed.push(resumed(&fields)?);
        } else {
            registered.returned.push(returned_row(&fields)?);
        }
    }
    Ok(registered)
}

fn resumed(fields: &Fields<'_>) -> Result<Resumed, StoreError> {
    let assignment = Assignment {
        task: fields.get("task_id")?,
        attempt: fields.get("attempt")?,
        failures: fields.count("failures")?,
        max_attempts: fields.count("max_attempts")?,
        agent: fields.get("agent")?,
        queue: fields.get("queue")?,
        kind: fields.get("kind")?,
        input: fields.get::<Shown>("input")?.0,
        // It has its input already, and is not handed out again.
        results: None,
        timeout: fields.count_opt("timeout_ms")?.map(Duration::from_millis),
        waited: Duration::ZERO,
        // Not known any more: better a look in vain.
        frees: true,
        entry: None,
        terms: run_terms(fields)?,
    };
    Ok(Resumed { assignment, ran: Duration::from_millis(fields.count("ran_ms")?) })
}

/// Lets the lease of `host` end `lease` from now, and returns which of its tasks were called off.
///
/// It may have missed the notices of those. `None` if the lease has ended, or the host was taken
/// out: it must stop its agents and register anew.
pub async fn renew(
    db: &impl GenericClient,
    host: HostId,
    lease: Duration,
) -> Result<Option<Vec<TaskId>>, StoreError> {
    let row = RENEW.query_opt(db, &[&host, &milliseconds(lease)]).await?;
    row.map(|row| RENEW.fields(&row).get("called_off")).transpose()
}

/// The tasks that `host` holds and somebody has called off.
pub async fn called_off(db: &impl GenericClient, host: HostId) -> Result<Vec<TaskId>, StoreError> {
    let rows = CALLED_OFF.query(db, &[&host]).await?;
    rows.iter().map(|row| CALLED_OFF.fields(row).get("id")).collect()
}

/// Every host, in the order of their names; asked by the host of `slot`.
pub async fn list(db: &impl GenericClient, slot: Uuid) -> Result<Vec<RegisteredHost>, StoreError> {
    let rows = LIST.query(db, &[&slot, &leader::LOCK]).await?;
    rows.iter()
        .map(|row| {
            let fields = LIST.fields(row);
            Ok(RegisteredHost {
                id: fields.get("id")?,
                name: fields.get("name")?,
                agent: fields.get("agent")?,
                version: fields.get("version")?,
                started_at: fields.get("started_at")?,
                lease_ends_at: fields.get("lease_ends_at")?,
                lease_left_ms: fields.count("lease_left_ms")?,
                held: fields.count("held")?,
                answers: fields.get("answers")?,
                leads: fields.get("leads")?,
            })
        })
        .collect()
}

/// Takes a host out that stops cleanly, and puts back whatever it still holds.
pub async fn retire(db: &impl GenericClient, host: HostId) -> Result<Vec<Returned>, StoreError> {
    let rows = RETIRE.query(db, &[&host, &"the host stopped"]).await?;
    returned(&RETIRE, &rows)
}

/// Takes out every host whose lease has ended, and puts back what they held. Harmless whoever does
/// it, and however many do it at once.
pub async fn take_over(db: &impl GenericClient) -> Result<TakenOver, StoreError> {
    let rows = TAKE_OVER.query(db, &[&"the host did not renew its lease"]).await?;
    let mut taken = TakenOver::default();
    for row in &rows {
        let fields = TAKE_OVER.fields(row);
        taken.next = fields.count_opt("lease_ms")?.map(Duration::from_millis);
        if fields.get::<Option<TaskId>>("task_id")?.is_some() {
            taken.returned.push(returned_row(&fields)?);
        }
    }
    Ok(taken)
}

/// Puts back what `host` holds and does not know of: all but the tasks `known`. No claim of that
/// host may be under way.
pub async fn put_back_strays(
    db: &impl GenericClient,
    host: HostId,
    known: &[TaskId],
) -> Result<Vec<Returned>, StoreError> {
    let reason = "the answer to its claim was lost";
    let rows = PUT_BACK_STRAYS.query(db, &[&host, &reason, &known]).await?;
    returned(&PUT_BACK_STRAYS, &rows)
}

fn returned(statement: &Sql, rows: &[Row]) -> Result<Vec<Returned>, StoreError> {
    rows.iter().map(|row| returned_row(&statement.fields(row))).collect()
}

fn returned_row(fields: &Fields<'_>) -> Result<Returned, StoreError> {
    Ok(Returned {
        task: fields.get("task_id")?,
        queue: fields.get("queue")?,
        attempt: fields.get("attempt")?,
        state: fields.get("state")?,
    })
}
