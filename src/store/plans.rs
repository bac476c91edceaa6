//! Runs of plans.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::{Json, ToSql};

use super::{
    StoreError,
    codec::{Document, int4},
    limits, queues,
    statement::{Fields, Sql, sql},
    tasks,
};
use crate::domain::{
    PlanRunId, PlanTaskId, QueueName, TaskId,
    admission::{LimitChange, Limited},
    graph::Results,
    plan::run::{NewRun, PERSON, Planned, RunFigures, RunRecord, RunState, RunTaskRecord},
    plan::{Learned, NEWEST},
    record::Submitted,
    task::{NewTask, TaskState},
};

const CREATE: Sql = sql!("plan_runs/create");
const LIST: Sql = sql!("plan_runs/list");
const PLAN: Sql = sql!("plan_runs/plan");
const OPEN: Sql = sql!("plan_runs/open");
const NOW: Sql = sql!("plan_runs/now");
const LOOKED: Sql = sql!("plan_runs/looked");
const PAUSE: Sql = sql!("plan_runs/pause");
const CANCEL: Sql = sql!("plan_runs/cancel");
const INSERT: Sql = sql!("plan_tasks/insert");
const TASKS: Sql = sql!("plan_tasks/list");
const RECORD: Sql = sql!("plan_tasks/record");
const REOPEN: Sql = sql!("plan_tasks/reopen");
const SKIP: Sql = sql!("plan_tasks/skip");
const END_BY_HAND: Sql = sql!("plan_tasks/end_by_hand");
const PRIORITISE: Sql = sql!("plan_tasks/prioritise");
const LEARNED: Sql = sql!("plan_tasks/learned");
const UNDECIDED: Sql = sql!("plan_tasks/undecided");
const DECIDE: Sql = sql!("plan_tasks/decide");
const FORGET_KEY: Sql = sql!("limits/drop_key");

/// What came of submitting a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunAnswer {
    /// It was made, with these tasks.
    Created(Vec<Submitted>),
    /// Its key was there already: this is the run that has it.
    Existing(PlanRunId),
}

/// The tasks of the queue of a run, as they are submitted.
pub fn tasks_of(run: &NewRun) -> Vec<NewTask> {
    let of = |task: &crate::domain::plan::run::NewRunTask| {
        [Some(task.task.clone()), task.gate.clone()].into_iter().flatten().collect::<Vec<_>>()
    };
    run.tasks.iter().flat_map(of).collect()
}

/// Makes a run with its tasks, limited to its agents. `db` must be a transaction; `new` are its
/// [`tasks_of`].
///
/// # Errors
///
/// Those of [`tasks::submit`]. Nothing may be committed then.
pub async fn create(
    db: &impl GenericClient,
    run: &NewRun,
    new: &[NewTask],
) -> Result<RunAnswer, StoreError> {
    let figures = &run.figures;
    let given: [&(dyn ToSql + Sync); 12] = [
        &run.id,
        &run.title,
        &run.plan,
        &int4(run.agents),
        &int8(run.hour_ms),
        &run.rehearsal,
        &run.phased,
        &int8(figures.sequential_ms),
        &int8(figures.makespan_ms),
        &int8(figures.lower_bound_ms),
        &figures.found_by,
        &run.idempotency_key,
    ];
    let Some(row) = CREATE.query_opt(db, &given).await? else {
        return Err(StoreError::UnknownValue { statement: CREATE.name, column: "id" });
    };
    let fields = CREATE.fields(&row);
    if !fields.get::<bool>("created")? {
        return Ok(RunAnswer::Existing(fields.get("id")?));
    }
    queues::for_people(db).await?;
    if let Some(key) = run.id.pattern() {
        let most = LimitChange { concurrency: Some(Some(run.agents)), rate: None };
        limits::set(db, &Limited::Key(key), &most).await?;
    }
    let submitted = tasks::submit(db, new).await?;
    insert(db, run, &submitted).await?;
    Ok(RunAnswer::Created(submitted))
}

/// Writes down which task is which; `submitted` stands in the order of [`tasks_of`].
async fn insert(
    db: &impl GenericClient,
    run: &NewRun,
    submitted: &[Submitted],
) -> Result<(), StoreError> {
    let mut ids = submitted.iter().map(|one| one.id);
    let (mut own, mut gates) = (Vec::new(), Vec::new());
    for task in &run.tasks {
        let missing = || StoreError::UnknownValue { statement: INSERT.name, column: "task_id" };
        own.push(ids.next().ok_or_else(missing)?);
        gates.push(task.gate.as_ref().and_then(|_| ids.next()));
    }
    let all = || run.tasks.iter();
    let places: Vec<i32> = all().map(|task| place(task.place)).collect();
    let names: Vec<_> = all().map(|task| &task.name).collect();
    let titles: Vec<_> = all().map(|task| &*task.title).collect();
    let phases: Vec<_> = all().map(|task| task.phase.as_ref()).collect();
    let human: Vec<_> = all().map(|task| task.human).collect();
    let joined =
        |places: &[usize]| places.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let depends_on: Vec<_> = all().map(|task| joined(&task.depends_on)).collect();
    let lengths: Vec<_> = all().map(|task| int8(task.planned.length)).collect();
    let starts: Vec<_> = all().map(|task| int8(task.planned.start)).collect();
    let finishes: Vec<_> = all().map(|task| int8(task.planned.finish)).collect();
    let workers: Vec<_> = all().map(|task| &*task.worker).collect();
    let critical: Vec<_> = all().map(|task| task.critical).collect();
    let queues: Vec<_> = all().map(|task| &task.queue).collect();
    let conditions: Vec<_> = all().map(|task| task.condition.as_deref()).collect();
    let given: [&(dyn ToSql + Sync); 16] = [
        &run.id,
        &places,
        &names,
        &titles,
        &phases,
        &human,
        &depends_on,
        &own,
        &gates,
        &lengths,
        &starts,
        &finishes,
        &workers,
        &critical,
        &queues,
        &conditions,
    ];
    INSERT.query(db, &given).await?;
    Ok(())
}

/// One run; nothing if it is unknown.
pub async fn get(db: &impl GenericClient, run: PlanRunId) -> Result<Option<RunRecord>, StoreError> {
    let found = list(db, Some(run), 1).await?.into_iter().next();
    Ok(found.filter(|found| found.id == run))
}

/// Up to `limit` runs, newest first, from one on.
pub async fn list(
    db: &impl GenericClient,
    from: Option<PlanRunId>,
    limit: u32,
) -> Result<Vec<RunRecord>, StoreError> {
    let rows = LIST.query(db, &[&from, &i64::from(limit)]).await?;
    rows.iter().map(|row| run_record(&LIST.fields(row))).collect()
}

fn run_record(fields: &Fields<'_>) -> Result<RunRecord, StoreError> {
    let states: Option<Vec<TaskState>> = fields.get("states")?;
    let counts: Option<Vec<i64>> = fields.get("counts")?;
    let per = states.unwrap_or_default().into_iter().zip(counts.unwrap_or_default());
    let counts: BTreeMap<TaskState, u64> =
        per.filter_map(|(state, tasks)| Some((state, u64::try_from(tasks).ok()?))).collect();
    let paused_at: Option<Timestamp> = fields.get("paused_at")?;
    let cancelled_at: Option<Timestamp> = fields.get("cancelled_at")?;
    let figures = RunFigures {
        sequential_ms: fields.count("sequential_ms")?,
        makespan_ms: fields.count("makespan_ms")?,
        lower_bound_ms: fields.count("bound_ms")?,
        found_by: fields.get("found_by")?,
    };
    Ok(RunRecord {
        id: fields.get("id")?,
        title: fields.get("title")?,
        state: RunState::of(&counts, paused_at.is_some(), cancelled_at.is_some()),
        agents: fields.count("agents")?,
        hour_ms: fields.count("hour_ms")?,
        rehearsal: fields.get("rehearsal")?,
        phased: fields.get("phased")?,
        proven_optimal: figures.is_proven(),
        figures,
        total: counts.values().sum(),
        counts,
        created_at: fields.get("created_at")?,
        looked_at: fields.get("looked_at")?,
        expected_end_at: fields.get("expected_end_at")?,
        replanned: fields.count("replanned")?,
        paused_at,
        paused_reason: fields.get("paused_reason")?,
        cancelled_at,
        ended_at: fields.get("ended_at")?,
    })
}

/// The tasks of a run, in the order of the plan.
pub async fn tasks(
    db: &impl GenericClient,
    run: PlanRunId,
) -> Result<Vec<RunTaskRecord>, StoreError> {
    let rows = TASKS.query(db, &[&run]).await?;
    rows.iter()
        .map(|row| {
            let fields = TASKS.fields(row);
            let before: Vec<i32> = fields.get("depends_on")?;
            Ok(RunTaskRecord {
                id: fields.get("name")?,
                place: fields.count("place")?,
                title: fields.get("title")?,
                phase: fields.get("phase")?,
                human: fields.get("human")?,
                state: fields.get("state")?,
                task: fields.get("task_id")?,
                approval: fields.get("gate_id")?,
                approval_state: fields.get("gate")?,
                depends_on: before.into_iter().filter_map(|it| usize::try_from(it).ok()).collect(),
                planned: Planned {
                    length: fields.count("planned_ms")?,
                    start: fields.count("start_ms")?,
                    finish: fields.count("finish_ms")?,
                },
                worker: fields.get("worker")?,
                critical: fields.get("critical")?,
                priority: fields.get("priority")?,
                condition: fields.get("condition")?,
                decided: fields.get("decided")?,
                skipped_at: fields.get("skipped_at")?,
                ready_at: fields.get("ready_at")?,
                began_at: fields.get("began_at")?,
                running_since: fields.get("running_since")?,
                ended_at: fields.get("ended_at")?,
                agent: fields.get("agent")?,
                took_ms: fields.count_opt("took_ms")?,
                message: fields.get("message")?,
            })
        })
        .collect()
}

/// How long tasks of these names took in real runs; nothing of those that were never completed.
pub async fn learned(
    db: &impl GenericClient,
    names: &[PlanTaskId],
) -> Result<Vec<Learned>, StoreError> {
    let rows = LEARNED.query(db, &[&names, &i64::from(NEWEST)]).await?;
    rows.iter()
        .map(|row| {
            let fields = LEARNED.fields(row);
            Ok(Learned {
                id: fields.get("name")?,
                runs: fields.count("runs")?,
                low_ms: fields.count("low")?,
                median_ms: fields.count("median")?,
                high_ms: fields.count("high")?,
                last_at: fields.get("last_at")?,
            })
        })
        .collect()
}

/// The plan of a run, as a plan file; nothing if the run is unknown.
pub async fn plan(db: &impl GenericClient, run: PlanRunId) -> Result<Option<String>, StoreError> {
    let row = PLAN.query_opt(db, &[&run]).await?;
    row.map(|row| PLAN.fields(&row).get("plan")).transpose()
}

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
    /// The new priorities of tasks, in the order of their ids.
    pub priorities: Vec<(TaskId, i16)>,
    /// Whether it has ended.
    pub ended: bool,
}

/// Writes down what a look at a run came to, and how those of its tasks ended that have.
pub async fn looked(
    db: &impl GenericClient,
    run: PlanRunId,
    look: &Look,
) -> Result<(), StoreError> {
    RECORD.query(db, &[&run]).await?;
    let (ids, priorities): (Vec<TaskId>, Vec<i16>) = look.priorities.iter().copied().unzip();
    if !ids.is_empty() {
        PRIORITISE.query(db, &[&ids, &priorities]).await?;
    }
    let left = int8(look.left_ms);
    LOOKED.query(db, &[&run, &look.at, &left, &!ids.is_empty(), &look.ended]).await?;
    if look.ended {
        forget_key(db, run).await?;
    }
    Ok(())
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
    /// What that may use.
    pub results: Results,
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
            let Json(results) = fields.get("results")?;
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

/// Ends those of `tasks` that are pending, without an agent. Returns them.
pub async fn end_by_hand(
    db: &impl GenericClient,
    tasks: &[TaskId],
    how: &ByHand,
) -> Result<Vec<TaskId>, StoreError> {
    let (state, output, message) = match how {
        ByHand::Completed(output) => (TaskState::Completed, Some(Document(output)), None),
        ByHand::Failed(message) => (TaskState::Failed, None, Some(message.as_str())),
    };
    let given: [&(dyn ToSql + Sync); 5] = [&tasks, &PERSON, &state, &output, &message];
    let row = END_BY_HAND.query_opt(db, &given).await?;
    let ids = row.map(|row| END_BY_HAND.fields(&row).get::<Option<Vec<TaskId>>>("ids"));
    Ok(ids.transpose()?.flatten().unwrap_or_default())
}

fn place(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn int8(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
