//! The links from sessions to tasks.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::types::Json;

use super::{SessionNo, contents::listed};
use crate::{
    domain::{
        TaskId,
        session::{ItemName, PastTask, SessionId, SessionTaskRecord},
        task::TaskState,
    },
    store::{
        StoreError,
        codec::{Document, Shown, plain_text},
        statement::{Fields, Sql, sql},
    },
};

const PUT: Sql = sql!("session_tasks/put");
const LIST: Sql = sql!("session_tasks/list");
const GAVE_AWAY: Sql = sql!("session_tasks/gave_away");

/// A task as a session knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// What the caller calls it.
    pub name: ItemName,
    /// Its id in the queue; none if it was brought along from elsewhere.
    pub task: Option<TaskId>,
    /// Whose work it is.
    pub agent: String,
    /// What kind of task it is.
    pub kind: String,
    /// What is to be done.
    pub description: String,
    /// What the agent was given.
    pub input: Value,
    /// What is known of it from elsewhere, and since when.
    pub past: Option<(PastTask, Timestamp)>,
}

/// Links a task to a session that is held. False if there is one of the name already.
pub async fn put(
    db: &impl GenericClient,
    session: SessionNo,
    link: &Link,
) -> Result<bool, StoreError> {
    let (past, at) = match &link.past {
        Some((past, at)) => (Some(json!(past)), Some(*at)),
        None => (None, None),
    };
    let row = PUT
        .query_opt(
            db,
            &[
                &session.0,
                &link.name,
                &link.task,
                &plain_text(&link.agent),
                &plain_text(&link.kind),
                &plain_text(&link.description),
                &Document(&link.input),
                &past.as_ref().map(Document),
                &at,
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Tasks of a session as they are now, newest first, each with its number: one, or those before
/// `before`. None if the session is unknown.
pub async fn list(
    db: &impl GenericClient,
    session: &SessionId,
    one: Option<&ItemName>,
    before: Option<i64>,
    limit: u32,
) -> Result<Option<Vec<(i64, SessionTaskRecord)>>, StoreError> {
    let rows = LIST.query(db, &[session, &one, &before, &i64::from(limit)]).await?;
    listed(&LIST, &rows, |fields| record(fields, session))
}

fn record(fields: &Fields<'_>, session: &SessionId) -> Result<SessionTaskRecord, StoreError> {
    let past: Option<Json<PastTask>> = fields.get("past")?;
    let past = past.map(|past| past.0);
    let state: Option<TaskState> = fields.get("state")?;
    let priority: Option<i16> = fields.get("priority")?;
    let completed = state.is_some_and(|state| state == TaskState::Completed);
    let output: Option<Shown> = fields.get("output")?;
    let message: Option<String> = fields.get("message")?;
    let mut record = SessionTaskRecord {
        session_id: session.clone(),
        task_id: fields.get("name")?,
        task: fields.get("task_id")?,
        agent_name: fields.get("agent")?,
        task_type: fields.get("type")?,
        description: fields.get("description")?,
        priority,
        input_data: fields.get::<Shown>("input")?.0,
        status: state.map_or("deleted", TaskState::as_str).to_owned(),
        result: output.filter(|_| completed).map(|output| output.0),
        error: message.filter(|_| !completed),
        created: fields.get("created_at")?,
        started: fields.get("started_at")?,
        completed: fields.get("finished_at")?,
    };
    if let Some(past) = past {
        record.status = past.status;
        record.result = past.result;
        record.error = past.error;
        record.started = past.started;
        record.completed = past.completed;
    }
    Ok(record)
}

/// Whether the task was given away in the session.
///
/// # Errors
///
/// Those of the statement.
pub async fn gave_away(
    db: &impl GenericClient,
    session: &SessionId,
    task: TaskId,
) -> Result<bool, StoreError> {
    Ok(GAVE_AWAY.query_opt(db, &[&session.as_str(), &task]).await?.is_some())
}
