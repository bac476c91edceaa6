//! What hosts do all the time: claim, settle, promote. All of it in batches.

use std::{borrow::Borrow, time::Duration};

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::types::Json;

use crate::{
    domain::{
        AgentName, Attempt, HostId, QueueName, TaskId,
        retry::RetryTerms,
        task::{
            Assignment, FailureClass, Outcome, RunTerms, Settlement, TaskEvent, TaskState, step,
        },
    },
    store::{
        StoreError,
        codec::{Document, OutcomeWord, milliseconds, plain_text},
        statement::{Fields, Sql, sql},
    },
};

/// One end of an attempt that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The task.
    pub task: TaskId,
    /// The attempt that ended.
    pub attempt: Attempt,
    /// Where the task is now.
    pub state: TaskState,
    /// Whether it ended, and other tasks depend on it: some of them may be able to run now.
    pub awaited: bool,
}

/// What became due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// The queues that got work.
    pub queues: Vec<QueueName>,
    /// How long until the next task is due; zero if there is more now; none if none waits.
    pub next_due: Option<Duration>,
}

const CLAIM: Sql = sql!("tasks/claim");
const SETTLE: Sql = sql!("tasks/settle");
const PROMOTE_DUE: Sql = sql!("tasks/promote_due");

/// How many candidates more than are wanted a claim looks at in each queue: so many may be in the
/// hands of other claimers at the same moment before this one goes away with less than it could.
const SPARE: i32 = 64;

/// How many tasks one statement promotes: few enough to be quick, so that a claim is not kept
/// waiting by a million tasks that are due at midnight.
const PROMOTE_BATCH: i64 = 1_000;

/// Hands tasks of these queues, of priority `floor` and higher, to the agents: the first task to the
/// first agent. Returns fewer, or
/// none, when fewer are pending, or when the lease of `host` has ended.
///
/// Higher priorities come first, then older ids. Paused queues give nothing.
pub async fn claim(
    db: &impl GenericClient,
    host: HostId,
    queues: &[QueueName],
    agents: &[AgentName],
    floor: i16,
) -> Result<Vec<Assignment>, StoreError> {
    if queues.is_empty() || agents.is_empty() {
        return Ok(Vec::new());
    }
    let rows = CLAIM.query(db, &[&host, &queues, &agents, &SPARE, &floor]).await?;
    rows.iter()
        .map(|row| {
            let fields = CLAIM.fields(row);
            Ok(Assignment {
                task: fields.get("id")?,
                attempt: fields.get("attempt")?,
                failures: fields.count("failures")?,
                max_attempts: fields.count("max_attempts")?,
                agent: fields.get("agent")?,
                queue: fields.get("queue")?,
                kind: fields.get("kind")?,
                input: fields.get("input")?,
                results: fields.get::<Option<Json<_>>>("results")?.map(|Json(all)| Box::new(all)),
                timeout: fields.count_opt("timeout_ms")?.map(Duration::from_millis),
                waited: Duration::from_millis(fields.count("waited_ms")?),
                entry: None,
                terms: run_terms(&fields)?,
            })
        })
        .collect()
}

/// What the row of a claimed or resumed task says of its attempts.
pub(in crate::store) fn run_terms(fields: &Fields<'_>) -> Result<RunTerms, StoreError> {
    let retry: Option<Json<RetryTerms>> = fields.get("retry")?;
    Ok(RunTerms { retry: retry.map(|retry| retry.0) })
}

/// Writes the ends of attempts, and returns those that counted, in the order of their tasks' ids.
///
/// One that is not returned was late: the attempt is no longer the newest, or no longer this
/// host's, or the step is not legal from where the task is. It changed nothing. A task that
/// somebody called off ends cancelled where it would have been tried again; it keeps a result, or
/// a failure for good. Of two ends of one attempt the first counts.
///
/// # Errors
///
/// [`StoreError::NotAnEnd`] where an event ends no attempt; nothing was written then.
pub async fn settle(
    db: &impl GenericClient,
    host: HostId,
    settlements: &[impl Borrow<Settlement>],
) -> Result<Vec<Settled>, StoreError> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    // In the order of ids, in which every statement locks tasks; the sort keeps the first of two.
    let mut ends: Vec<&Settlement> = settlements.iter().map(Borrow::borrow).collect();
    ends.sort_by_key(|end| (end.task, end.attempt));
    ends.dedup_by_key(|end| (end.task, end.attempt));

    let tasks: Vec<TaskId> = ends.iter().map(|end| end.task).collect();
    let attempts: Vec<Attempt> = ends.iter().map(|end| end.attempt).collect();
    let next = ends.iter().map(|end| after(end.event)).collect::<Result<Vec<_>, _>>()?;
    let waits: Vec<i64> = ends.iter().map(|end| milliseconds(end.retry_after)).collect();
    let outcomes: Vec<_> = ends.iter().map(|end| OutcomeWord::of(&end.outcome)).collect();
    let columns: Vec<Columns<'_>> = ends.iter().map(|end| Columns::of(&end.outcome)).collect();
    let outputs: Vec<_> = columns.iter().map(|end| end.output.map(Document)).collect();
    let classes: Vec<_> = columns.iter().map(|end| end.class).collect();
    let messages: Vec<_> = columns.iter().map(|end| end.message.map(plain_text)).collect();
    let details: Vec<_> = columns.iter().map(|end| end.detail.map(Document)).collect();
    let reasons: Vec<_> = columns.iter().map(|end| end.reason.map(plain_text)).collect();

    let rows = SETTLE
        .query(
            db,
            &[
                &host, &tasks, &attempts, &next, &waits, &outcomes, &outputs, &classes, &messages,
                &details, &reasons,
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let fields = SETTLE.fields(row);
            Ok(Settled {
                task: fields.get("id")?,
                attempt: fields.get("attempt")?,
                state: fields.get("state")?,
                awaited: fields.get("awaited")?,
            })
        })
        .collect()
}

/// The state that a running task comes to by the end of its attempt.
fn after(event: TaskEvent) -> Result<TaskState, StoreError> {
    match step(TaskState::Running, event) {
        Ok(state) if !state.is_held() => Ok(state),
        _ => Err(StoreError::NotAnEnd { event }),
    }
}

/// What an outcome has to write.
#[derive(Default)]
struct Columns<'a> {
    output: Option<&'a Value>,
    class: Option<FailureClass>,
    message: Option<&'a str>,
    detail: Option<&'a Value>,
    reason: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Completed { output } => Self { output: Some(output), ..Self::default() },
            Outcome::Failed { class, message, detail } => Self {
                class: Some(*class),
                message: Some(message),
                detail: Some(detail),
                ..Self::default()
            },
            Outcome::Released { reason } => Self { reason: Some(reason), ..Self::default() },
            Outcome::Cancelled => Self::default(),
        }
    }
}

/// Makes tasks pending whose time has come, up to a batch; with more, `next_due` is zero.
pub async fn promote_due(db: &impl GenericClient) -> Result<Promoted, StoreError> {
    let Some(row) = PROMOTE_DUE.query_opt(db, &[&PROMOTE_BATCH]).await? else {
        return Ok(Promoted { queues: Vec::new(), next_due: None });
    };
    let fields = PROMOTE_DUE.fields(&row);
    Ok(Promoted {
        queues: fields.get("queues")?,
        next_due: fields.count_opt("next_due_ms")?.map(Duration::from_millis),
    })
}
