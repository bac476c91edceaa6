//! Firing: from a due time to its task, in one transaction.

use std::collections::BTreeSet;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use super::{hold, pause, record_of};
use crate::{
    domain::{
        QueueName, ScheduleName, TaskId,
        record::Submitted,
        retry::AllQueueTerms,
        schedule::{Action, FiringOutcome, Overlap, Plan, Schedule, plan},
        task::{NewTask, TaskState},
    },
    store::{
        StoreError, notify,
        statement::{Fields, Sql, sql},
        tasks::{self, CancelAnswer},
    },
};

const DUE: Sql = sql!("schedules/due");
const RECORD: Sql = sql!("schedules/record");
const ADVANCE: Sql = sql!("schedules/advance");

/// How many schedules one transaction fires.
const BATCH: i64 = 100;

/// After how many tasks a transaction fires no further schedule: all of it is to be done in the time that
/// a leader has for it, or it would begin anew for ever.
const MOST: usize = 2_000;

/// Of how many due times of one schedule it is kept what became of them.
const KEPT: i64 = 200;

/// What became of a due time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTime {
    /// Whose it was.
    pub schedule: ScheduleName,
    /// What became of it.
    pub outcome: FiringOutcome,
    /// The task that was submitted for it.
    pub task: Option<TaskId>,
}

/// What came of firing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fired {
    /// What became of each due time, in the order of the schedules.
    pub outcomes: Vec<DueTime>,
    /// The tasks that were submitted.
    pub submitted: Vec<(QueueName, TaskId)>,
    /// The tasks that were called off to make room, each with the schedule that did it.
    pub replaced: Vec<(ScheduleName, TaskId)>,
    /// Those of them that were not running.
    pub cancelled: Vec<TaskId>,
    /// The schedules that were paused because they can't be read, and why.
    pub unreadable: Vec<(ScheduleName, String)>,
    /// Whether there may be more schedules whose time has come.
    pub more: bool,
}

/// Fires the schedules whose time has come, and moves each to its next due time. Those that
/// another host fires in this moment are left to it. To be called in a transaction.
pub async fn fire_due(db: &impl GenericClient, terms: &AllQueueTerms) -> Result<Fired, StoreError> {
    let rows = DUE.query(db, &[&BATCH]).await?;
    let mut fired = Fired { more: i64::try_from(rows.len()) == Ok(BATCH), ..Fired::default() };
    for row in &rows {
        if fired.submitted.len() >= MOST {
            fired.more = true;
            break;
        }
        let record = record_of(&DUE, row)?;
        let fields = DUE.fields(row);
        let (now, has_queue): (Timestamp, bool) = (fields.get("now")?, fields.get("has_queue")?);
        let schedule = match record.schedule() {
            Ok(schedule) => schedule,
            Err(problem) => {
                pause(db, &record.name, &format!("it can't be read: {problem}")).await?;
                fired.unreadable.push((record.name, problem));
                continue;
            }
        };
        let due = record.next_at.unwrap_or(now);
        let unended = unended(&fields)?;
        let plan = plan(&schedule, record.since, due, now, !unended.is_empty());
        let most = terms.of(&schedule.queue).max_attempts;
        fire(db, &unended, &schedule, &plan, has_queue, most, &mut fired).await?;
    }
    Ok(fired)
}

/// Fires a schedule now, whatever its times, its pause and its overlap policy say. Returns the
/// task, or nothing if there is no such schedule. To be called in a transaction.
///
/// # Errors
///
/// [`StoreError::UnreadableSchedule`], [`StoreError::UnknownQueue`].
pub async fn run_now(
    db: &impl GenericClient,
    name: &ScheduleName,
    terms: &AllQueueTerms,
) -> Result<Option<(QueueName, Submitted)>, StoreError> {
    let (now, Some(record)) = hold(db, name).await? else { return Ok(None) };
    let schedule = record
        .schedule()
        .map_err(|problem| StoreError::UnreadableSchedule { schedule: name.clone(), problem })?;
    let most = terms.of(&schedule.queue).max_attempts;
    let task = schedule.task(new_id(), now, most);
    let row = FiringRow::of(now, FiringOutcome::ByHand).with_task(task.id);
    enter(db, name, std::slice::from_ref(&row)).await?;
    let submitted = tasks::submit(db, std::slice::from_ref(&task)).await?;
    let (none, id) = (None::<Timestamp>, Some(task.id));
    ADVANCE.query(db, &[name, &none, &none, &id, &KEPT]).await?;
    Ok(submitted.into_iter().next().map(|submitted| (schedule.queue, submitted)))
}

fn new_id() -> TaskId {
    TaskId::from_uuid(Uuid::now_v7())
}

/// A task of a schedule that has not ended.
struct Unended {
    task: TaskId,
    state: TaskState,
}

/// Those of a schedule, the newest first.
fn unended(fields: &Fields<'_>) -> Result<Vec<Unended>, StoreError> {
    let tasks: Option<Vec<TaskId>> = fields.get("unended")?;
    let states: Option<Vec<TaskState>> = fields.get("states")?;
    let both = tasks.unwrap_or_default().into_iter().zip(states.unwrap_or_default());
    Ok(both.map(|(task, state)| Unended { task, state }).collect())
}

/// One row of the record of firings.
struct FiringRow {
    due: Timestamp,
    outcome: FiringOutcome,
    task: Option<TaskId>,
    replaced: Option<TaskId>,
    note: Option<String>,
}

impl FiringRow {
    const fn of(due: Timestamp, outcome: FiringOutcome) -> Self {
        Self { due, outcome, task: None, replaced: None, note: None }
    }

    fn with_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }

    fn with_note(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }
}

/// Carries a plan out.
async fn fire(
    db: &impl GenericClient,
    unended: &[Unended],
    schedule: &Schedule,
    plan: &Plan,
    has_queue: bool,
    max_attempts: u32,
    fired: &mut Fired,
) -> Result<(), StoreError> {
    let mut rows: Vec<FiringRow> = plan
        .missed
        .iter()
        .map(|missed| {
            let zone = schedule.cadence.zone();
            let count = missed.count.map_or_else(|| "many".to_owned(), |count| count.to_string());
            FiringRow::of(missed.last, FiringOutcome::Missed).with_note(format!(
                "no host looked at {count} due times, from {} on",
                zone.show(missed.first)
            ))
        })
        .collect();
    for (due, action) in &plan.firings {
        rows.push(row(*due, *action, unended.first(), schedule, has_queue));
    }
    let entered = enter(db, &schedule.name, &rows).await?;
    rows.retain(|row| entered.contains(&row.due));
    if rows.iter().any(|row| row.replaced.is_some()) {
        for one in unended {
            call_off(db, &schedule.name, one.task, fired).await?;
        }
    }
    let made: Vec<NewTask> = rows
        .iter()
        .filter_map(|row| Some(schedule.task(row.task?, row.due, max_attempts)))
        .collect();
    tasks::submit(db, &made).await?;
    let last_due = rows.last().map(|row| row.due);
    let last_task = made.last().map(|task| task.id);
    ADVANCE.query(db, &[&schedule.name, &plan.next, &last_due, &last_task, &KEPT]).await?;
    fired.outcomes.extend(rows.iter().map(|row| DueTime {
        schedule: schedule.name.clone(),
        outcome: row.outcome,
        task: row.task,
    }));
    fired.submitted.extend(made.into_iter().map(|task| (task.queue, task.id)));
    Ok(())
}

/// Calls a task off that makes room.
async fn call_off(
    db: &impl GenericClient,
    schedule: &ScheduleName,
    task: TaskId,
    fired: &mut Fired,
) -> Result<(), StoreError> {
    match tasks::cancel(db, task).await? {
        CancelAnswer::Requested { .. } => {
            notify::cancel(db, &[task]).await?;
            fired.replaced.push((schedule.clone(), task));
        }
        CancelAnswer::Cancelled => {
            fired.cancelled.push(task);
            fired.replaced.push((schedule.clone(), task));
        }
        // It has ended in this moment.
        CancelAnswer::AlreadyFinal(_) | CancelAnswer::Unknown => {}
    }
    Ok(())
}

fn row(
    due: Timestamp,
    action: Action,
    newest: Option<&Unended>,
    schedule: &Schedule,
    has_queue: bool,
) -> FiringRow {
    if !has_queue {
        let note = format!("there is no queue `{}`", schedule.queue);
        return FiringRow::of(due, FiringOutcome::Failed).with_note(note);
    }
    let fires = FiringRow::of(due, FiringOutcome::Fired).with_task(new_id());
    match action {
        Action::Fire => fires,
        Action::Replace => FiringRow { replaced: newest.map(|one| one.task), ..fires },
        Action::Skip => {
            let note = match (schedule.overlap, newest) {
                (Overlap::Skip, Some(Unended { task, state })) => format!("{task} is {state}"),
                (Overlap::Skip, _) => "the due time before it has just fired".to_owned(),
                _ => "a later due time takes its place".to_owned(),
            };
            FiringRow::of(due, FiringOutcome::Skipped).with_note(note)
        }
    }
}

/// Enters due times; returns those that were not there.
async fn enter(
    db: &impl GenericClient,
    name: &ScheduleName,
    rows: &[FiringRow],
) -> Result<BTreeSet<Timestamp>, StoreError> {
    let dues: Vec<_> = rows.iter().map(|row| row.due).collect();
    let outcomes: Vec<_> = rows.iter().map(|row| row.outcome).collect();
    let tasks: Vec<_> = rows.iter().map(|row| row.task).collect();
    let replaced: Vec<_> = rows.iter().map(|row| row.replaced).collect();
    let notes: Vec<_> = rows.iter().map(|row| row.note.as_deref()).collect();
    let entered = RECORD.query(db, &[name, &dues, &outcomes, &tasks, &replaced, &notes]).await?;
    entered.iter().map(|row| RECORD.fields(row).get("due_at")).collect()
}
