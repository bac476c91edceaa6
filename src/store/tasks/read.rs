//! What is told of tasks.

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::{Row, types::Json};

use super::members;
use crate::{
    domain::{
        QueueName, TaskId, graph,
        record::{
            AttemptRecord, EventRecord, TaskError, TaskFilter, TaskRecord, TimeoutFrom, WaitRecord,
        },
        retry::RetryTerms,
        task::{FailureClass, TaskState},
        workspace::{WorkspaceRecord, WorkspaceSpec},
    },
    store::{
        StoreError,
        admission::needs_of,
        codec::{OutcomeWord, Shown},
        statement::{Fields, Sql, sql},
    },
};

const GET: Sql = sql!("tasks/get");
const LIST: Sql = sql!("tasks/list");
const OF_IDS: Sql = sql!("tasks/of_ids");
const ATTEMPTS: Sql = sql!("tasks/attempts");
const QUEUES_OF_KEYS: Sql = sql!("tasks/queues_of_keys");
const EVENTS: Sql = sql!("tasks/events");

/// One task, or none if it is unknown.
pub async fn get(db: &impl GenericClient, task: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let row = GET.query_opt(db, &[&task]).await?;
    row.map(|row| record(&GET.fields(&row))).transpose()
}

/// The tasks that a filter lets through, newest first, at most as many as it says. A caller that
/// wants to know whether there are more asks for one more than it shows.
pub async fn list(
    db: &impl GenericClient,
    filter: &TaskFilter,
) -> Result<Vec<TaskRecord>, StoreError> {
    if filter.group.is_some() || filter.batch.is_some() {
        return of_ids(db, &members::list(db, filter).await?).await;
    }
    let states = if filter.states.is_empty() { &TaskState::ALL } else { &*filter.states };
    let limit = i64::from(filter.limit);
    let of = filter;
    let (class, after, before) = (&of.class, &of.created_after, &of.created_before);
    let rows = LIST
        .query(db, &[&states, &of.queue, &of.kind, &of.before, &limit, class, after, before])
        .await?;
    rows.iter().map(|row| record(&LIST.fields(row))).collect()
}

/// The queues of the tasks that have one of these idempotency keys.
pub async fn queues_of_keys(
    db: &impl GenericClient,
    keys: &[&str],
) -> Result<Vec<QueueName>, StoreError> {
    let rows = QUEUES_OF_KEYS.query(db, &[&keys]).await?;
    rows.iter().map(|row| QUEUES_OF_KEYS.fields(row).get("queue")).collect()
}

/// These tasks, newest first; one that is unknown is left out.
pub(super) async fn of_ids(
    db: &impl GenericClient,
    ids: &[TaskId],
) -> Result<Vec<TaskRecord>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = OF_IDS.query(db, &[&ids]).await?;
    rows.iter().map(|row| record(&OF_IDS.fields(row))).collect()
}

/// The ended attempts of a task, in their order.
pub async fn attempts(
    db: &impl GenericClient,
    task: TaskId,
) -> Result<Vec<AttemptRecord>, StoreError> {
    let rows = ATTEMPTS.query(db, &[&task]).await?;
    rows.iter().map(attempt_record).collect()
}

/// What became of a task, step by step.
pub async fn events(db: &impl GenericClient, task: TaskId) -> Result<Vec<EventRecord>, StoreError> {
    let rows = EVENTS.query(db, &[&task]).await?;
    rows.iter()
        .map(|row| {
            let fields = EVENTS.fields(row);
            Ok(EventRecord {
                number: fields.count("number")?,
                state: fields.get("state")?,
                attempt: fields.get("attempt")?,
                at: fields.get("at")?,
            })
        })
        .collect()
}

fn record(fields: &Fields<'_>) -> Result<TaskRecord, StoreError> {
    let class: Option<FailureClass> = fields.get("class")?;
    let state = fields.get("state")?;
    let waits_for: Vec<TaskId> = fields.get::<Option<_>>("waits_for")?.unwrap_or_default();
    let standing = graph::Standing {
        waits_for: fields.count_opt("open")?.unwrap_or_default(),
        held_by: fields.get("held_by")?,
        stopped_by: fields.get("stopped_by")?,
        cause: fields.get("cause")?,
    };
    let timeout_ms: Option<u64> = fields.count_opt("timeout_ms")?;
    let retry: Option<Json<RetryTerms>> = fields.get("retry")?;
    let workspace: Option<Json<WorkspaceSpec>> = fields.get("workspace")?;
    Ok(TaskRecord {
        id: fields.get("id")?,
        queue: fields.get("queue")?,
        kind: fields.get("kind")?,
        state,
        priority: fields.get("priority")?,
        input: shown(fields, "input")?.unwrap_or_default(),
        output: shown(fields, "output")?,
        error: class.map(|class| task_error(fields, class)).transpose()?,
        attempt: fields.get("attempt")?,
        failures: fields.count("failures")?,
        max_attempts: fields.count("max_attempts")?,
        timeout_ms,
        timeout_from: if timeout_ms.is_some() { TimeoutFrom::Task } else { TimeoutFrom::Fleet },
        retry: retry.map(|retry| retry.0),
        deadline: fields.get("deadline")?,
        idempotency_key: fields.get("idempotency_key")?,
        group: fields.get("group_name")?,
        batch: fields.get("batch_id")?,
        host: fields.get("host_id")?,
        agent: fields.get("agent")?,
        cancel_requested: fields.get("cancel_requested")?,
        created_at: fields.get("created_at")?,
        run_at: fields.get("run_at")?,
        started_at: fields.get("started_at")?,
        finished_at: fields.get("finished_at")?,
        needs: needs_of(fields)?,
        depends_on: fields.get::<Option<_>>("depends_on")?.unwrap_or_default(),
        blocked_reason: graph::reason(state, &standing),
        // What is in the way of one that could be given out is not known here.
        waits_for: (state != TaskState::Pending)
            .then(|| waits_for.into_iter().map(WaitRecord::of_task).collect()),
        on_dependency_failure: fields.get("policy")?,
        template: fields.get::<Option<_>>("template")?.unwrap_or_default(),
        workspace: workspace.map(|workspace| workspace.0),
        stale_after_ms: fields.count_opt("stale_after_ms")?,
    })
}

fn attempt_record(row: &Row) -> Result<AttemptRecord, StoreError> {
    let fields = ATTEMPTS.fields(row);
    let outcome: OutcomeWord = fields.get("outcome")?;
    let error = if outcome == OutcomeWord::FAILED {
        Some(task_error(&fields, fields.get("class")?)?)
    } else {
        None
    };
    let workspace: Option<Json<WorkspaceRecord>> = fields.get("workspace")?;
    Ok(AttemptRecord {
        attempt: fields.get("attempt")?,
        outcome: outcome.as_str().to_owned(),
        error,
        reason: fields.get("reason")?,
        host: fields.get("host_id")?,
        agent: fields.get("agent")?,
        started_at: fields.get("started_at")?,
        ended_at: fields.get("ended_at")?,
        workspace: workspace.map(|workspace| workspace.0),
    })
}

fn task_error(fields: &Fields<'_>, class: FailureClass) -> Result<TaskError, StoreError> {
    let detail = shown(fields, "detail")?.unwrap_or_default();
    Ok(TaskError { class, message: fields.get("message")?, detail })
}

/// A document that somebody is shown.
fn shown(fields: &Fields<'_>, column: &'static str) -> Result<Option<Value>, StoreError> {
    Ok(fields.get::<Option<Shown>>(column)?.map(|Shown(value)| value))
}
