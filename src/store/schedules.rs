//! Statements on the `schedules` table, and on the record of what they fired.
//!
//! A due time fires once, whoever looks and however often: who fires holds the row of the schedule,
//! moves `next_at` in the same transaction, and enters the due time under a key of its own first.

mod fire;

use std::time::Duration;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;

pub use fire::{DueTime, Fired, fire_due, run_now};

use super::{
    StoreError,
    codec::{Document, int4, milliseconds},
    queues,
    statement::{Fields, Sql, sql},
};
use crate::domain::{
    ScheduleName,
    schedule::{Cadence, FiringRecord, Origin, Schedule, ScheduleRecord},
};

const LIST: Sql = sql!("schedules/list");
const HOLD: Sql = sql!("schedules/hold");
const NEXT: Sql = sql!("schedules/next");
const PUT: Sql = sql!("schedules/put");
const PAUSE: Sql = sql!("schedules/pause");
const RESUME: Sql = sql!("schedules/resume");
const REMOVE: Sql = sql!("schedules/remove");
const FIRINGS: Sql = sql!("schedules/firings");

/// Every schedule, in the order of their names.
pub async fn list(db: &impl GenericClient) -> Result<Vec<ScheduleRecord>, StoreError> {
    let rows = LIST.query(db, &[&None::<ScheduleName>]).await?;
    rows.iter().map(|row| record(&LIST.fields(row))).collect()
}

/// One schedule, or none if it is unknown.
pub async fn get(
    db: &impl GenericClient,
    name: &ScheduleName,
) -> Result<Option<ScheduleRecord>, StoreError> {
    let row = LIST.query_opt(db, &[&Some(name)]).await?;
    row.map(|row| record(&LIST.fields(&row))).transpose()
}

/// What became of the newest due times of a schedule, the newest first.
pub async fn firings(
    db: &impl GenericClient,
    name: &ScheduleName,
    limit: u32,
) -> Result<Vec<FiringRecord>, StoreError> {
    let rows = FIRINGS.query(db, &[name, &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let fields = FIRINGS.fields(row);
            Ok(FiringRecord {
                scheduled_for: fields.get("due_at")?,
                outcome: fields.get("outcome")?,
                task: fields.get("task_id")?,
                replaced: fields.get("replaced")?,
                note: fields.get("note")?,
                at: fields.get("fired_at")?,
            })
        })
        .collect()
}

/// How long until a schedule is due; nothing if all are paused.
pub async fn next(db: &impl GenericClient) -> Result<Option<Duration>, StoreError> {
    let Some(row) = NEXT.query_opt(db, &[]).await? else { return Ok(None) };
    Ok(NEXT.fields(&row).count_opt("next_ms")?.map(Duration::from_millis))
}

/// Makes a schedule, or changes it; returns whether it was made. To be called in a transaction.
///
/// A new one is paused if there is a reason for that; one that is there stays paused, or not. Its
/// due times begin anew only if its times change.
///
/// # Errors
///
/// [`StoreError::UnknownQueue`].
pub async fn put(
    db: &impl GenericClient,
    schedule: &Schedule,
    origin: Origin,
    paused: Option<&str>,
) -> Result<bool, StoreError> {
    let queue = &schedule.queue;
    if !queues::exists(db, queue).await? {
        return Err(StoreError::UnknownQueue { queue: queue.clone() });
    }
    let (now, before) = hold(db, &schedule.name).await?;
    write(db, schedule, origin, paused, now, before.as_ref()).await
}

/// Makes the schedules of a config file, with whether they are paused then, and brings those that
/// are there up to date. To be called in a transaction.
pub async fn ensure(
    db: &impl GenericClient,
    schedules: &[(Schedule, bool)],
) -> Result<(), StoreError> {
    for (schedule, paused) in schedules {
        let (now, before) = hold(db, &schedule.name).await?;
        let is_same = before.as_ref().is_some_and(|before| {
            before.origin == Origin::Config && before.schedule().as_ref() == Ok(schedule)
        });
        if !is_same {
            let reason = paused.then_some("the config file says so");
            write(db, schedule, Origin::Config, reason, now, before.as_ref()).await?;
        }
    }
    Ok(())
}

/// Lets a schedule submit nothing. False if there is no such schedule.
pub async fn pause(
    db: &impl GenericClient,
    name: &ScheduleName,
    reason: &str,
) -> Result<bool, StoreError> {
    Ok(PAUSE.query_opt(db, &[name, &reason]).await?.is_some())
}

/// Lets a schedule go on with the next of its due times; those during the pause are over. False
/// if there is no such schedule. To be called in a transaction.
///
/// # Errors
///
/// [`StoreError::UnreadableSchedule`].
pub async fn resume(db: &impl GenericClient, name: &ScheduleName) -> Result<bool, StoreError> {
    let (now, Some(record)) = hold(db, name).await? else { return Ok(false) };
    let unreadable = |problem| StoreError::UnreadableSchedule { schedule: name.clone(), problem };
    let schedule = record.schedule().map_err(unreadable)?;
    let next = next_due(&schedule.cadence, now, record.since)?;
    RESUME.query(db, &[name, &next]).await?;
    Ok(true)
}

/// Takes a schedule out, and the record of its firings; its tasks go on. False if there is none.
pub async fn remove(db: &impl GenericClient, name: &ScheduleName) -> Result<bool, StoreError> {
    Ok(REMOVE.query_opt(db, &[name]).await?.is_some())
}

/// Holds the row of a schedule until the end of the transaction; and what the server's clock says.
async fn hold(
    db: &impl GenericClient,
    name: &ScheduleName,
) -> Result<(Timestamp, Option<ScheduleRecord>), StoreError> {
    let rows = HOLD.query(db, &[name]).await?;
    let unknown = StoreError::UnknownValue { statement: HOLD.name, column: "now" };
    let fields = HOLD.fields(rows.first().ok_or(unknown)?);
    let found: Option<ScheduleName> = fields.get("name")?;
    let record = found.map(|_| record(&fields)).transpose()?;
    Ok((fields.get("now")?, record))
}

/// Writes a schedule whose row is held.
async fn write(
    db: &impl GenericClient,
    schedule: &Schedule,
    origin: Origin,
    paused: Option<&str>,
    now: Timestamp,
    before: Option<&ScheduleRecord>,
) -> Result<bool, StoreError> {
    let kept = before
        .filter(|before| before.schedule().is_ok_and(|before| before.cadence == schedule.cadence));
    let since = kept.map_or(now, |before| before.since);
    let next = match kept.and_then(|before| before.next_at) {
        Some(next) => next,
        None => next_due(&schedule.cadence, now, since)?,
    };
    let (cron, every_ms) = match &schedule.cadence {
        Cadence::Cron(cron, _) => (Some(cron.as_str()), None),
        Cadence::Every(every) => (None, Some(milliseconds(*every))),
    };
    let row = PUT
        .query_opt(
            db,
            &[
                &schedule.name,
                &schedule.description,
                &origin,
                &cron,
                &every_ms,
                &schedule.cadence.zone().to_string(),
                &schedule.queue,
                &schedule.kind,
                &Document(&schedule.input),
                &schedule.priority,
                &schedule.max_attempts.map(int4),
                &schedule.timeout.map(milliseconds),
                &schedule.overlap,
                &schedule.catch_up,
                &int4(schedule.catch_up_max),
                &paused.is_some(),
                &paused,
                &since,
                &next,
                &schedule.deadline.map(milliseconds),
                &schedule.stale_after.map(milliseconds),
            ],
        )
        .await?;
    row.map_or(Ok(false), |row| PUT.fields(&row).get("created"))
}

/// The next due time; an error only at the end of the calendar.
fn next_due(cadence: &Cadence, now: Timestamp, since: Timestamp) -> Result<Timestamp, StoreError> {
    let end = StoreError::UnknownValue { statement: PUT.name, column: "next_at" };
    cadence.next_after(now, since).ok_or(end)
}

fn record_of(statement: &Sql, row: &Row) -> Result<ScheduleRecord, StoreError> {
    record(&statement.fields(row))
}

fn record(fields: &Fields<'_>) -> Result<ScheduleRecord, StoreError> {
    Ok(ScheduleRecord {
        name: fields.get("name")?,
        description: fields.get("description")?,
        origin: fields.get("origin")?,
        cron: fields.get("cron")?,
        every_ms: fields.count_opt("every_ms")?,
        zone: fields.get("zone")?,
        queue: fields.get("queue")?,
        kind: fields.get("kind")?,
        input: fields.get("input")?,
        priority: fields.get("priority")?,
        max_attempts: fields.count_opt("max_attempts")?,
        timeout_ms: fields.count_opt("timeout_ms")?,
        deadline_ms: fields.count_opt("deadline_ms")?,
        stale_after_ms: fields.count_opt("stale_after_ms")?,
        overlap: fields.get("overlap")?,
        catch_up: fields.get("catch_up")?,
        catch_up_max: fields.count("catch_up_max")?,
        paused: fields.get("paused")?,
        paused_reason: fields.get("paused_reason")?,
        since: fields.get("anchor")?,
        next_at: fields.get("next_at")?,
        last_due: fields.get("last_due")?,
        last_at: fields.get("last_at")?,
        last_task: fields.get("last_task")?,
        last_task_state: fields.get("last_task_state")?,
        created_at: fields.get("created_at")?,
        changed_at: fields.get("changed_at")?,
    })
}
