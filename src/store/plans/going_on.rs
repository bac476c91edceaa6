//! Runs of plans that go on: what the leader and people do to them.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::int8;
use crate::{
    domain::{
        PlanRunId, QueueName, TaskId,
        admission::{LimitChange, Limited},
        graph::Results,
        plan::run::RunRecord,
        task::TaskState,
    },
    store::{
        StoreError,
        codec::{Document, Read},
        limits,
        statement::{Sql, sql},
    },
};

const OPEN: Sql = sql!("plan_runs/open");
const NOW: Sql = sql!("plan_runs/now");
const LOCK: Sql = sql!("plan_runs/lock");
const LOOKED: Sql = sql!("plan_runs/looked");
const PAUSE: Sql = sql!("plan_runs/pause");
const CANCEL: Sql = sql!("plan_runs/cancel");
const RECORD: Sql = sql!("plan_tasks/record");
const RECORD_MERGES: Sql = sql!("plan_tasks/record_merges");
const REOPEN: Sql = sql!("plan_tasks/reopen");
const SKIP: Sql = sql!("plan_tasks/skip");
const END_BY_HAND: Sql = sql!("plan_tasks/end_by_hand");
const PRIORITISE: Sql = sql!("plan_tasks/prioritise");
const UNDECIDED: Sql = sql!("plan_tasks/undecided");
const DECIDE: Sql = sql!("plan_tasks/decide");
const FORGET_KEY: Sql = sql!("limits/drop_key");

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// Its id.
    pub id: PlanRunId,
    /// How many agents work at once, at the most.
    pub agents: u32,
    /// How many milliseconds of the clock an hour of the plan takes.
    pub hour_ms: u64,
    /// Whether mock agents do it.
    pub rehearsal: bool,
    /// Whether something of it changed since it was last looked at.
    pub changed: bool,
}

/// The runs that go on, oldest first.
pub async fn open(db: &impl GenericClient) -> Result<Vec<OpenRun>, StoreError> {
    let rows = OPEN.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = OPEN.fields(row);
            Ok(OpenRun {
                id: fields.get("id")?,
                agents: fields.count("agents")?,
                hour_ms: fields.count("hour_ms")?,
                rehearsal: fields.get("rehearsal")?,
                changed: fields.get("changed")?,
            })
        })
        .collect()
}

/// What time it is in the database.
pub async fn now(db: &impl GenericClient) -> Result<Timestamp, StoreError> {
    let row = NOW.query_opt(db, &[]).await?;
    let missing = || StoreError::UnknownValue { statement: NOW.name, column: "now" };
    NOW.fields(&row.ok_or_else(missing)?).get("now")
}

/// What a look at a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// As of when it was looked at.
    pub at: Timestamp,
    /// How long what is left takes, in milliseconds of the clock.
    pub left_ms: u64,
    /// Whether tasks were given other priorities for it.
    pub reordered: bool,
    /// Whether it has ended.
    pub ended: bool,
}

/// Writes down what a look at a run came to, and how those of its tasks ended that have.
///
/// Says whether the run has ended: it has not if somebody opened it again since it was looked at.
/// `db` must be a transaction.
pub async fn looked(
    db: &impl GenericClient,
    run: PlanRunId,
    look: &Look,
) -> Result<bool, StoreError> {
    LOCK.query(db, &[&run]).await?;
    RECORD.query(db, &[&run]).await?;
    RECORD_MERGES.query(db, &[&run]).await?;
    let left = int8(look.left_ms);
    let given: [&(dyn ToSql + Sync); 5] = [&run, &look.at, &left, &look.reordered, &look.ended];
    let row = LOOKED.query_opt(db, &given).await?;
    let ended = row.map(|row| LOOKED.fields(&row).get("ended")).transpose()?.unwrap_or(false);
    if ended {
        forget_key(db, run).await?;
    }
    Ok(ended)
}

/// Gives tasks that have not begun these priorities; in the order of their ids.
pub async fn prioritise(
    db: &impl GenericClient,
    priorities: &[(TaskId, i16)],
) -> Result<(), StoreError> {
    let (ids, priorities): (Vec<TaskId>, Vec<i16>) = priorities.iter().copied().unzip();
    PRIORITISE.query(db, &[&ids, &priorities]).await.map(drop)
}

/// Nothing is limited or held back of a run any more.
async fn forget_key(db: &impl GenericClient, run: PlanRunId) -> Result<(), StoreError> {
    if let Some(key) = run.pattern() {
        FORGET_KEY.query(db, &[&key.as_str()]).await?;
    }
    Ok(())
}

/// Notes that a run is held back, with the reason, or goes on. False if it is unknown.
pub async fn pause(
    db: &impl GenericClient,
    run: PlanRunId,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    Ok(PAUSE.query_opt(db, &[&run, &reason]).await?.is_some())
}

/// Notes that a run is called off. False if it is unknown.
pub async fn cancel(db: &impl GenericClient, run: PlanRunId) -> Result<bool, StoreError> {
    Ok(CANCEL.query_opt(db, &[&run]).await?.is_some())
}

/// Notes that tasks of a run are tried again, and limits it to its agents, as when it was begun.
pub async fn reopen(
    db: &impl GenericClient,
    run: &RunRecord,
    tasks: &[TaskId],
) -> Result<(), StoreError> {
    REOPEN.query(db, &[&run.id, &tasks]).await?;
    if let Some(key) = run.id.pattern() {
        let most = LimitChange { concurrency: Some(Some(run.agents)), rate: None };
        limits::set(db, &Limited::Key(key), &most).await?;
    }
    Ok(())
}

/// Notes that a task of a run is not to be done, and takes it from its agents. Where it was then;
/// nothing if it is unknown.
pub async fn skip(
    db: &impl GenericClient,
    run: PlanRunId,
    task: TaskId,
    queue: &QueueName,
) -> Result<Option<TaskState>, StoreError> {
    let row = SKIP.query_opt(db, &[&run, &task, &queue]).await?;
    row.map(|row| SKIP.fields(&row).get("state")).transpose()
}

/// A task that waits for nothing but its condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Undecided {
    /// The task.
    pub task: TaskId,
    /// When it is done at all.
    pub condition: String,
    /// What that may use, or why that can't be read.
    pub results: Result<Results, String>,
}

/// The tasks of a run that wait for nothing but their conditions.
pub async fn undecided(
    db: &impl GenericClient,
    run: PlanRunId,
) -> Result<Vec<Undecided>, StoreError> {
    let rows = UNDECIDED.query(db, &[&run]).await?;
    rows.iter()
        .map(|row| {
            let fields = UNDECIDED.fields(row);
            let Read(results) = fields.get("results")?;
            Ok(Undecided {
                task: fields.get("task_id")?,
                condition: fields.get("condition")?,
                results,
            })
        })
        .collect()
}

/// Notes whether a task is to be done by its condition, and gives it to its agents if it is. Returns
/// their queue.
pub async fn decide(
    db: &impl GenericClient,
    run: PlanRunId,
    task: TaskId,
    holds: bool,
) -> Result<Option<QueueName>, StoreError> {
    let row = DECIDE.query_opt(db, &[&run, &task, &holds]).await?;
    row.map(|row| DECIDE.fields(&row).get("queue")).transpose()
}

/// How a task is ended by hand.
#[derive(Debug, Clone, PartialEq)]
pub enum ByHand {
    /// With this result.
    Completed(Value),
    /// As failed, for this reason.
    Failed(String),
}

impl ByHand {
    /// The state that the task ends in.
    pub const fn state(&self) -> TaskState {
        match self {
            Self::Completed(_) => TaskState::Completed,
            Self::Failed(_) => TaskState::Failed,
        }
    }
}

/// Ends those of `tasks` that are pending, without an agent, as `who` did it. Returns them.
pub async fn end_by_hand(
    db: &impl GenericClient,
    tasks: &[TaskId],
    who: &str,
    how: &ByHand,
) -> Result<Vec<TaskId>, StoreError> {
    let (state, output, message) = match how {
        ByHand::Completed(output) => (TaskState::Completed, Some(Document(output)), None),
        ByHand::Failed(message) => (TaskState::Failed, None, Some(message.as_str())),
    };
    let given: [&(dyn ToSql + Sync); 5] = [&tasks, &who, &state, &output, &message];
    let row = END_BY_HAND.query_opt(db, &given).await?;
    let ids = row.map(|row| END_BY_HAND.fields(&row).get::<Option<Vec<TaskId>>>("ids"));
    Ok(ids.transpose()?.flatten().unwrap_or_default())
}
