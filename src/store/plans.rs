//! Runs of plans.
//!
//! What happens to one that goes on is in `going_on.rs`, and what is merged of it in `merges.rs`.

mod going_on;
mod merges;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{
    StoreError,
    codec::int4,
    limits, queues,
    statement::{Fields, Sql, sql},
    tasks,
};
use crate::domain::{
    PlanRunId, PlanTaskId,
    admission::{LimitChange, Limited},
    plan::run::{NewRun, Planned, RunFigures, RunRecord, RunState, RunTaskRecord},
    plan::{Learned, NEWEST},
    record::Submitted,
    task::NewTask,
};

pub use going_on::{
    ByHand, Look, OpenRun, Undecided, cancel, decide, end_by_hand, looked, now, open, pause,
    prioritise, reopen, skip, undecided,
};
pub use merges::{Turn, conflict, turns};

const CREATE: Sql = sql!("plan_runs/create");
const LIST: Sql = sql!("plan_runs/list");
const PLAN: Sql = sql!("plan_runs/plan");
const INSERT: Sql = sql!("plan_tasks/insert");
const TASKS: Sql = sql!("plan_tasks/list");
const LEARNED: Sql = sql!("plan_tasks/learned");

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
        let merge = task.merge.as_ref().map(|merge| merge.task.clone());
        [Some(task.task.clone()), task.gate.clone(), merge]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
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
    if run.tasks.iter().any(|task| task.merge.is_some()) {
        queues::for_merges(db).await?;
    }
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
    let (mut own, mut gates, mut merges) = (Vec::new(), Vec::new(), Vec::new());
    for task in &run.tasks {
        let missing = || StoreError::UnknownValue { statement: INSERT.name, column: "task_id" };
        own.push(ids.next().ok_or_else(missing)?);
        gates.push(task.gate.as_ref().and_then(|_| ids.next()));
        merges.push(task.merge.as_ref().and_then(|_| ids.next()));
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
    let ranks: Vec<_> = all().map(|task| task.merge.as_ref().map(|it| place(it.rank))).collect();
    let given: [&(dyn ToSql + Sync); 18] = [
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
        &merges,
        &ranks,
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
    let counts = fields.tally("states", "counts")?;
    let merges = fields.tally("merge_states", "merge_counts")?;
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
        state: RunState::of([&counts, &merges], paused_at.is_some(), cancelled_at.is_some()),
        agents: fields.count("agents")?,
        hour_ms: fields.count("hour_ms")?,
        rehearsal: fields.get("rehearsal")?,
        phased: fields.get("phased")?,
        proven_optimal: figures.is_proven(),
        figures,
        total: counts.values().sum(),
        counts,
        merges,
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
                merge: fields.get("merge_id")?,
                merge_state: fields.get("merge_state")?,
                merge_queue: fields.get("merge_queue")?,
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

fn place(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn int8(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
