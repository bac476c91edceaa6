//! Sessions and what is in them.
//!
//! Whoever stores something holds the session first ([`hold`]), shared with all others who do: so
//! nothing gets into a session that is completed or deleted in the same moment. Memories are the common
//! case and are held and kept in one statement ([`memories::store`]). What is counted is counted when it
//! is asked for; the head of `sql/migrations/0019_sessions.sql` has the reasons.

pub mod contents;
pub mod memories;
pub mod receipts;
pub mod search;
pub mod tasks;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::{
    StoreError,
    codec::{Document, plain_text},
    statement::{Fields, Sql, sql},
};
use crate::domain::session::{
    Deleted, NewSession, SessionChange, SessionFilter, SessionId, SessionRecord, SessionState,
    SessionStats,
};
use serde_json::Value;

const CREATE: Sql = sql!("sessions/create");
const NUMBER: Sql = sql!("sessions/number");
const HOLD: Sql = sql!("sessions/hold");
const LOCK: Sql = sql!("sessions/lock");
const MOVE: Sql = sql!("sessions/move");
const CHANGE: Sql = sql!("sessions/change");
const DELETE: Sql = sql!("sessions/delete");
const LIST: Sql = sql!("sessions/list");

/// The number of a session inside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionNo(pub(super) i64);

impl SessionNo {
    /// The number as such, for search terms.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// How a session that was brought along stood where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Its state.
    pub state: SessionState,
    /// When it was made.
    pub created: Timestamp,
    /// When something was last done in it.
    pub changed: Timestamp,
    /// When it was completed.
    pub completed: Option<Timestamp>,
}

/// Makes a session; false if there is one of the id.
pub async fn create(
    db: &impl GenericClient,
    session: &NewSession,
    past: Option<&Past>,
) -> Result<bool, StoreError> {
    let metadata = Value::Object(session.metadata.clone());
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &session.id,
        &plain_text(&session.title),
        &plain_text(&session.context),
        &session.participants,
        &Document(&metadata),
        &past.map(|past| past.state),
        &past.map(|past| past.created),
        &past.and_then(|past| past.completed),
        &past.map(|past| past.changed),
    ];
    Ok(CREATE.query_opt(db, &parameters).await?.is_some())
}

/// The number of a session; none if it is unknown.
pub async fn number(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<Option<SessionNo>, StoreError> {
    let row = NUMBER.query_opt(db, &[session]).await?;
    row.map(|row| NUMBER.fields(&row).get("no").map(SessionNo)).transpose()
}

/// Holds a session so that it is neither deleted nor changes its state until the end of the
/// transaction. None if it is unknown.
pub async fn hold(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<Option<(SessionNo, SessionState)>, StoreError> {
    let row = HOLD.query_opt(db, &[session]).await?;
    row.map(|row| held(&HOLD.fields(&row))).transpose()
}

/// Holds a session for a change, until the end of the transaction. None if it is unknown.
pub async fn lock(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<Option<(SessionNo, SessionState)>, StoreError> {
    let row = LOCK.query_opt(db, &[session]).await?;
    row.map(|row| held(&LOCK.fields(&row))).transpose()
}

fn held(fields: &Fields<'_>) -> Result<(SessionNo, SessionState), StoreError> {
    Ok((SessionNo(fields.get("no")?), fields.get("state")?))
}

/// Brings a locked session to another state.
pub async fn move_to(
    db: &impl GenericClient,
    session: SessionNo,
    state: SessionState,
) -> Result<(), StoreError> {
    MOVE.query(db, &[&session.0, &state]).await.map(drop)
}

/// Changes what is said of a locked session.
pub async fn change(
    db: &impl GenericClient,
    session: SessionNo,
    change: &SessionChange,
) -> Result<(), StoreError> {
    let metadata = change.metadata.clone().map(Value::Object);
    CHANGE
        .query(
            db,
            &[
                &session.0,
                &change.title.as_deref().map(plain_text),
                &change.context.as_deref().map(plain_text),
                &change.participants,
                &metadata.as_ref().map(Document),
            ],
        )
        .await
        .map(drop)
}

/// Deletes a locked session with all that is in it, or, unless `cascade`, only if nothing is. Says how
/// much was deleted, or none if nothing was.
pub async fn delete(
    db: &impl GenericClient,
    session: SessionNo,
    cascade: bool,
) -> Result<Option<Deleted>, StoreError> {
    let Some(row) = DELETE.query_opt(db, &[&session.0, &cascade]).await? else { return Ok(None) };
    let fields = DELETE.fields(&row);
    Ok(Some(Deleted {
        conversation_chunks: fields.count("chunks")?,
        memories: fields.count("memories")?,
        tasks: fields.count("tasks")?,
        artifacts: fields.count("artifacts")?,
    }))
}

/// One session, or none if it is unknown.
pub async fn get(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<Option<SessionRecord>, StoreError> {
    let none = None::<String>;
    let states: Option<Vec<SessionState>> = None;
    let row = LIST
        .query_opt(
            db,
            &[&Some(session), &states, &none, &none, &None::<Timestamp>, &None::<i64>, &1_i64],
        )
        .await?;
    row.map(|row| record(&LIST.fields(&row))).transpose()
}

/// The sessions that a filter lets through, newest first, each with its number for a cursor; at most
/// as many as it says, before number `before`.
pub async fn list(
    db: &impl GenericClient,
    filter: &SessionFilter,
    before: Option<i64>,
) -> Result<Vec<(i64, SessionRecord)>, StoreError> {
    let states = if filter.states.is_empty() { &SessionState::ALL[..] } else { &filter.states };
    let rows = LIST
        .query(
            db,
            &[
                &None::<SessionId>,
                &states,
                &filter.participant,
                &filter.text,
                &filter.since,
                &before,
                &i64::from(filter.limit),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let fields = LIST.fields(row);
            Ok((fields.get("no")?, record(&fields)?))
        })
        .collect()
}

fn record(fields: &Fields<'_>) -> Result<SessionRecord, StoreError> {
    let created: Timestamp = fields.get("created_at")?;
    let last_activity: Timestamp = fields.get("last_activity")?;
    let completed_at: Option<Timestamp> = fields.get("completed_at")?;
    Ok(SessionRecord {
        session_id: fields.get("id")?,
        title: fields.get("title")?,
        participants: fields.get("participants")?,
        context: fields.get("context")?,
        metadata: object(fields, "metadata")?,
        status: fields.get("state")?,
        created,
        last_activity,
        completed_at,
        duration_minutes: SessionRecord::minutes(created, completed_at.unwrap_or(last_activity)),
        stats: SessionStats {
            conversation_chunks: fields.count("chunks")?,
            memories: fields.count("memories")?,
            tasks: fields.count("tasks")?,
            artifacts: fields.count("artifacts")?,
            active_tasks: fields.count("active_tasks")?,
        },
    })
}

/// The value of `column`, which holds an object.
fn object(
    fields: &Fields<'_>,
    column: &'static str,
) -> Result<serde_json::Map<String, Value>, StoreError> {
    match fields.get(column)? {
        Value::Object(object) => Ok(object),
        _ => Err(fields.unknown(column)),
    }
}
