//! Memories: kept by one statement for all that arrive at once, read by the index that fits.

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::{Row, types::Json};

use super::contents::listed;
use crate::{
    domain::session::{
        ItemName, MemoryFilter, MemoryRecord, MemoryType, NewMemory, SearchTerms, SessionId,
        SessionState,
    },
    store::{
        StoreError,
        codec::{Document, array_text, plain_text},
        statement::{Sql, sql},
    },
};

const STORE: Sql = sql!("memories/store");
const GET: Sql = sql!("memories/get");
const NEWEST: Sql = sql!("memories/newest");
const TAGGED: Sql = sql!("memories/tagged");
const MATCHING: Sql = sql!("memories/matching");
const ENTER: Sql = sql!("memories/enter");

/// What became of a memory that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was made.
    Created,
    /// It took the place of one of the same key.
    Replaced,
    /// There is no such session.
    UnknownSession,
    /// The session takes nothing any more.
    Refused(SessionState),
}

/// Keeps memories, each in its session; one round trip for all. No two may be of the same session and
/// key. Says for each in the order given what became of it.
pub async fn store(
    db: &impl GenericClient,
    memories: &[(&SessionId, &NewMemory)],
) -> Result<Vec<Stored>, StoreError> {
    keep(db, memories, false).await
}

/// Keeps memories that were in their sessions elsewhere: in completed ones, too.
pub async fn store_past(
    db: &impl GenericClient,
    memories: &[(&SessionId, &NewMemory)],
) -> Result<Vec<Stored>, StoreError> {
    keep(db, memories, true).await
}

async fn keep(
    db: &impl GenericClient,
    memories: &[(&SessionId, &NewMemory)],
    in_completed: bool,
) -> Result<Vec<Stored>, StoreError> {
    let sessions: Vec<&str> = memories.iter().map(|one| one.0.as_str()).collect();
    let keys: Vec<&str> = memories.iter().map(|one| one.1.key.as_str()).collect();
    let kinds: Vec<&str> = memories.iter().map(|one| one.1.kind.as_str()).collect();
    let contents: Vec<Document<'_>> = memories.iter().map(|one| Document(&one.1.content)).collect();
    let times: Vec<_> = memories.iter().map(|one| one.1.at).collect();
    let tags: Vec<String> = memories.iter().map(|one| array_text(&one.1.tags)).collect();
    let rows = STORE
        .query(db, &[&sessions, &keys, &kinds, &contents, &tags, &times, &in_completed])
        .await?;
    rows.iter()
        .map(|row| {
            let fields = STORE.fields(row);
            let state: Option<SessionState> = fields.get("state")?;
            let created: Option<bool> = fields.get("created")?;
            Ok(match (state, created) {
                (_, Some(true)) => Stored::Created,
                (_, Some(false)) => Stored::Replaced,
                (None, None) => Stored::UnknownSession,
                (Some(state), None) => Stored::Refused(state),
            })
        })
        .collect()
}

/// Puts what has gathered for the search index into it; says over how many pages it was.
pub async fn enter(db: &impl GenericClient) -> Result<u64, StoreError> {
    let row = ENTER.query_opt(db, &[]).await?;
    row.map_or(Ok(0), |row| ENTER.fields(&row).count("pages"))
}

/// The memory under a key; `None` if the session is unknown, `Some(None)` if the memory is.
pub async fn get(
    db: &impl GenericClient,
    session: &SessionId,
    key: &ItemName,
) -> Result<Option<Option<MemoryRecord>>, StoreError> {
    let rows = GET.query(db, &[session, key]).await?;
    Ok(page(&GET, &rows, session)?.map(|page| page.into_iter().next().map(|(_, one)| one)))
}

/// Where a page of memories begins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct After {
    /// After this rank, where the best come first.
    pub rank: Option<f32>,
    /// After this number.
    pub number: Option<i64>,
}

/// The memories of a session that a filter lets through, each with its number: the newest first, or
/// where there are words to fit, the best. None if the session is unknown.
pub async fn query(
    db: &impl GenericClient,
    session: &SessionId,
    filter: &MemoryFilter,
    after: After,
) -> Result<Option<Vec<(i64, MemoryRecord)>>, StoreError> {
    let kinds = if filter.kinds.is_empty() { MemoryType::ALL } else { &*filter.kinds };
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let limit = i64::from(filter.limit);
    let tags = (!filter.tags.is_empty()).then_some(&filter.tags);
    let (statement, rows) = match (&filter.text, tags) {
        (Some(text), tags) => {
            let terms = SearchTerms::any().of_types(&filter.kinds).with_tags(&filter.tags);
            let rows = MATCHING
                .query(
                    db,
                    &[
                        session,
                        &plain_text(text),
                        &tags,
                        &kinds,
                        &after.rank,
                        &after.number,
                        &limit,
                        &terms.as_str(),
                    ],
                )
                .await?;
            (&MATCHING, rows)
        }
        (None, Some(tags)) => {
            (&TAGGED, TAGGED.query(db, &[session, tags, &kinds, &after.number, &limit]).await?)
        }
        (None, None) => {
            (&NEWEST, NEWEST.query(db, &[session, &kinds, &after.number, &limit]).await?)
        }
    };
    page(statement, &rows, session)
}

/// The memories in `rows`; none if there is no row at all, for then the session is unknown.
fn page(
    statement: &Sql,
    rows: &[Row],
    session: &SessionId,
) -> Result<Option<Vec<(i64, MemoryRecord)>>, StoreError> {
    listed(statement, rows, |fields| {
        let content: Json<Value> = fields.get("content")?;
        Ok(MemoryRecord {
            session_id: session.clone(),
            key: fields.get("key")?,
            kind: fields.parsed("type")?,
            content: content.0,
            tags: fields.get("tags")?,
            created: fields.get("created_at")?,
            updated: fields.get("changed_at")?,
            rank: fields.get("rank")?,
            highlight: fields.get("highlight")?,
        })
    })
}
