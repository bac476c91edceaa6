//! Chunks and artifacts, and their contents in pieces.

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::types::Json;

use super::{SessionNo, object};
use crate::{
    domain::session::{
        ArtifactFilter, ArtifactRecord, ChunkRecord, Extracted, ItemName, NewArtifact, NewChunk,
        SessionId,
    },
    store::{
        StoreError,
        codec::{Document, plain_text},
        statement::{Fields, Sql, sql},
    },
};

const PUT_CHUNK: Sql = sql!("session_chunks/put");
const SIZE_CHUNK: Sql = sql!("session_chunks/size");
const LIST_CHUNKS: Sql = sql!("session_chunks/list");
const PUT_ARTIFACT: Sql = sql!("artifacts/put");
const SIZE_ARTIFACT: Sql = sql!("artifacts/size");
const LIST_ARTIFACTS: Sql = sql!("artifacts/list");
const ADD: Sql = sql!("session_texts/add");
const READ: Sql = sql!("session_texts/read");

/// Something with a content: its number, and of which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    id: i64,
    session: SessionNo,
    is_chunk: bool,
}

impl Item {
    /// The number by which its content is read.
    pub const fn number(self) -> i64 {
        self.id
    }
}

/// Keeps a chunk in a session that is held, without its content; returns whether it was made. What the
/// content of one of the same name was is gone.
pub async fn put_chunk(
    db: &impl GenericClient,
    session: SessionNo,
    chunk: &NewChunk,
) -> Result<(Item, bool), StoreError> {
    let (extracted, metadata) = (json!(chunk.extracted), Value::Object(chunk.metadata.clone()));
    let row = PUT_CHUNK
        .query_opt(
            db,
            &[
                &session.0,
                &chunk.name,
                &chunk.format.as_str(),
                &chunk.started_at,
                &chunk.ended_at,
                &chunk.participants,
                &Document(&extracted),
                &Document(&metadata),
                &size(&chunk.content),
                &chunk.at,
            ],
        )
        .await?;
    made(&PUT_CHUNK, row.as_ref(), session, true)
}

/// Keeps an artifact in a session that is held, without its content; returns whether it was made. What
/// the content of one of the same id was is gone.
pub async fn put_artifact(
    db: &impl GenericClient,
    session: SessionNo,
    artifact: &NewArtifact,
) -> Result<(Item, bool), StoreError> {
    let metadata = Value::Object(artifact.metadata.clone());
    let row = PUT_ARTIFACT
        .query_opt(
            db,
            &[
                &session.0,
                &artifact.name,
                &plain_text(&artifact.kind),
                &plain_text(&artifact.title),
                &plain_text(&artifact.format),
                &artifact.task.as_ref().map(ItemName::as_str),
                &Document(&metadata),
                &size(&artifact.content),
                &artifact.at,
            ],
        )
        .await?;
    made(&PUT_ARTIFACT, row.as_ref(), session, false)
}

fn size(content: &str) -> i64 {
    i64::try_from(content.len()).unwrap_or(i64::MAX)
}

fn made(
    statement: &Sql,
    row: Option<&tokio_postgres::Row>,
    session: SessionNo,
    is_chunk: bool,
) -> Result<(Item, bool), StoreError> {
    let unknown = StoreError::UnknownValue { statement: statement.name, column: "id" };
    let fields = statement.fields(row.ok_or(unknown)?);
    Ok((Item { id: fields.get("id")?, session, is_chunk }, fields.get("created")?))
}

/// Adds pieces to the content of an item, of which `first` is the number of the first of them.
pub async fn add(
    db: &impl GenericClient,
    item: Item,
    first: i32,
    pieces: &[&str],
) -> Result<(), StoreError> {
    let pieces: Vec<_> = pieces.iter().map(|piece| plain_text(piece)).collect();
    ADD.query(db, &[&item.id, &item.session.0, &first, &pieces]).await.map(drop)
}

/// The content of an item has come to its end.
pub async fn set_size(db: &impl GenericClient, item: Item, bytes: u64) -> Result<(), StoreError> {
    let statement = if item.is_chunk { SIZE_CHUNK } else { SIZE_ARTIFACT };
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    statement.query(db, &[&item.id, &bytes]).await.map(drop)
}

/// Up to `limit` pieces of the content of item `number`, from piece `first` on.
pub async fn read(
    db: &impl GenericClient,
    number: i64,
    first: i32,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let rows = READ.query(db, &[&number, &first, &i64::from(limit)]).await?;
    rows.iter().map(|row| READ.fields(row).get("content")).collect()
}

/// Chunks without their contents, newest first, each with its number: one, or those before `before`.
/// None if the session is unknown.
pub async fn chunks(
    db: &impl GenericClient,
    session: &SessionId,
    one: Option<&ItemName>,
    before: Option<i64>,
    limit: u32,
) -> Result<Option<Vec<(i64, ChunkRecord)>>, StoreError> {
    let rows = LIST_CHUNKS.query(db, &[session, &one, &before, &i64::from(limit)]).await?;
    listed(&LIST_CHUNKS, &rows, |fields| {
        let extracted: Json<Extracted> = fields.get("extracted")?;
        Ok(ChunkRecord {
            session_id: session.clone(),
            chunk_id: fields.get("name")?,
            format: fields.parsed("format")?,
            content: None,
            content_size: fields.count("size")?,
            start_time: fields.get("started_at")?,
            end_time: fields.get("ended_at")?,
            participants: fields.get("participants")?,
            extracted_items: extracted.0,
            metadata: object(fields, "metadata")?,
            created: fields.get("created_at")?,
            updated: fields.get("changed_at")?,
        })
    })
}

/// Artifacts without their contents, newest first, each with its number: one, or those that a filter lets
/// through, before `before`. None if the session is unknown.
pub async fn artifacts(
    db: &impl GenericClient,
    session: &SessionId,
    one: Option<&ItemName>,
    filter: &ArtifactFilter,
    before: Option<i64>,
) -> Result<Option<Vec<(i64, ArtifactRecord)>>, StoreError> {
    let rows = LIST_ARTIFACTS
        .query(
            db,
            &[
                session,
                &one,
                &filter.kind.as_deref().map(plain_text),
                &before,
                &i64::from(filter.limit),
                &filter.text.as_deref().map(plain_text),
                &filter.task.as_ref().map(ItemName::as_str),
                &filter.since,
                &filter.until,
            ],
        )
        .await?;
    listed(&LIST_ARTIFACTS, &rows, |fields| {
        Ok(ArtifactRecord {
            session_id: session.clone(),
            artifact_id: fields.get("name")?,
            kind: fields.get("type")?,
            name: fields.get("title")?,
            format: fields.get("format")?,
            content: None,
            content_size: fields.count("size")?,
            metadata: object(fields, "metadata")?,
            task_id: fields.get("task")?,
            created: fields.get("created_at")?,
            updated: fields.get("changed_at")?,
        })
    })
}

/// What `rows` hold; none if there is no row at all, for then the session is unknown.
pub(super) fn listed<T>(
    statement: &Sql,
    rows: &[tokio_postgres::Row],
    read: impl Fn(&Fields<'_>) -> Result<T, StoreError>,
) -> Result<Option<Vec<(i64, T)>>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut list = Vec::with_capacity(rows.len());
    for row in rows {
        let fields = statement.fields(row);
        if let Some(number) = fields.get::<Option<i64>>("id")? {
            list.push((number, read(&fields)?));
        }
    }
    Ok(Some(list))
}
