//! What hosts do all the time: claim, settle, promote. All of it in batches.

use std::{borrow::Borrow, time::Duration};

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::types::Json;

use crate::{
    domain::{
        AgentName, Attempt, FleetName, HostId, QueueName, TaskId,
        retry::RetryTerms,
        task::{
            Assignment, FailureClass, Outcome, RunTerms, Settlement, TaskEvent, TaskState, step,
        },
        workspace::WorkspaceSpec,
    },
    store::{
        StoreError,
        codec::{Document, OutcomeWord, Read, milliseconds, plain_text},
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
const EXPIRE: Sql = sql!("tasks/expire");
const NEXT_DEADLINE: Sql = sql!("tasks/next_deadline");

/// How many candidates more than are wanted a claim looks at in each queue: so many may be in the
/// hands of other claimers at the same moment before this one goes away with less than it could.
const SPARE: i32 = 64;

/// How many tasks one statement promotes: few enough to be quick, so that a claim is not kept
/// waiting by a million tasks that are due at midnight.
const PROMOTE_BATCH: i64 = 1_000;

/// How many tasks one statement fails at their deadline.
const EXPIRE_BATCH: i64 = 1_000;

/// Hands tasks of these queues, of priority `floor` and higher, to the agents: the first task to the
/// first agent. Returns fewer, or
/// none, when fewer are pending, or when the lease of `host` has ended.
///
/// Higher priorities come first, then older ids. Paused queues give nothing, and tasks that need
/// something for themselves or are limited are left to [`crate::store::admission::begin`]. The
/// agents are of one fleet.
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
    let fleet = agents[0].fleet();
    let fleet = fleet.as_ref().map_or("", FleetName::as_str);
    let rows = CLAIM.query(db, &[&host, &queues, &agents, &SPARE, &floor, &fleet]).await?;
    rows.iter().map(|row| assignment(&CLAIM.fields(row), false)).collect()
}

/// Has this connection make its plan for [`claim`]; nothing is claimed.
pub async fn warm(db: &impl GenericClient) -> Result<(), StoreError> {
    let (no_queues, nobody): (&[QueueName], &[AgentName]) = (&[], &[]);
    let host = HostId::from_uuid(uuid::Uuid::nil());
    CLAIM.query(db, &[&host, &no_queues, &nobody, &SPARE, &0_i16, &""]).await?;
    Ok(())
}

/// A row of a claim. `frees` says whether others may wait for its end.
pub(in crate::store) fn assignment(
    fields: &Fields<'_>,
    frees: bool,
) -> Result<Assignment, StoreError> {
    let mut terms = run_terms(fields)?;
    let input = readable(fields, &mut terms)?;
    let results = fields.get::<Option<Read<_>>>("results")?.and_then(|Read(read)| match read {
        Ok(all) => Some(Box::new(all)),
        Err(problem) => {
            terms.unreadable = Some(format!("the results that the input uses: {problem}"));
            None
        }
    });
    Ok(Assignment {
        task: fields.get("id")?,
        attempt: fields.get("attempt")?,
        failures: fields.count("failures")?,
        max_attempts: fields.count("max_attempts")?,
        agent: fields.get("agent")?,
        queue: fields.get("queue")?,
        kind: fields.get("kind")?,
        input,
        results,
        timeout: fields.count_opt("timeout_ms")?.map(Duration::from_millis),
        waited: Duration::from_millis(fields.count("waited_ms")?),
        frees,
        entry: None,
        terms,
    })
}

/// The input of a claimed task; nothing, and the reason in its terms, if it can't be read.
pub(in crate::store) fn readable(
    fields: &Fields<'_>,
    terms: &mut RunTerms,
) -> Result<Value, StoreError> {
    let Read(input) = fields.get("input")?;
    Ok(input.unwrap_or_else(|problem| {
        terms.unreadable = Some(problem);
        Value::Null
    }))
}

/// What the row of a claimed or resumed task says of its attempts.
pub(in crate::store) fn run_terms(fields: &Fields<'_>) -> Result<RunTerms, StoreError> {
    let retry: Option<Json<RetryTerms>> = fields.get("retry")?;
    let deadline_in = fields.count_opt("deadline_in_ms")?.map(Duration::from_millis);
    let workspace: Option<Json<WorkspaceSpec>> = fields.get("workspace")?;
    Ok(RunTerms {
        retry: retry.map(|retry| retry.0),
        deadline_in,
        workspace: workspace.map(|workspace| workspace.0),
        stale_after: fields.count_opt("stale_after_ms")?.map(Duration::from_millis),
        place: None,
        unreadable: None,
    })
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
            Outcome::Released { reason } | Outcome::Snoozed { reason, .. } => {
                Self { reason: Some(reason), ..Self::default() }
            }
            Outcome::Cancelled => Self::default(),
        }
    }
}

/// Fails tasks that nobody holds and whose deadline has passed, up to a batch. Returns them.
pub async fn expire(db: &impl GenericClient) -> Result<Vec<TaskId>, StoreError> {
    let rows = EXPIRE.query(db, &[&EXPIRE_BATCH]).await?;
    rows.iter().map(|row| EXPIRE.fields(row).get("id")).collect()
}

/// How long until a task that nobody holds is past its deadline; nothing if none has one.
pub async fn next_deadline(db: &impl GenericClient) -> Result<Option<Duration>, StoreError> {
    let Some(row) = NEXT_DEADLINE.query_opt(db, &[]).await? else { return Ok(None) };
    Ok(NEXT_DEADLINE.fields(&row).count_opt("next_ms")?.map(Duration::from_millis))
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
