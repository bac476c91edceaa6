//! Reading what is in sessions, page by page.

use deadpool_postgres::GenericClient;

use super::{SessionError, contents};
use crate::{
    domain::{
        access::{About, Grants, Scope},
        record::Page,
        session::{
            ArtifactFilter, ArtifactRecord, ChunkRecord, Cursor, ItemName, MemoryFilter,
            MemoryRecord, SearchFilter, SearchHit, SessionFilter, SessionId, SessionRecord,
            SessionTaskRecord,
        },
    },
    store::sessions::{self, contents as rows, memories, memories::After, search, tasks},
};

/// There is no such session.
pub(super) fn unknown(session: &SessionId) -> SessionError {
    SessionError::UnknownSession { session: session.clone() }
}

/// The page of the first `limit` of `items`, of which one more was asked for to know whether there is.
fn page<T>(mut items: Vec<(i64, T)>, limit: u32, cursor: impl Fn(i64, &T) -> Cursor) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = items.len() > limit;
    items.truncate(limit);
    let last =
        items.last().filter(|_| is_more).map(|(number, item)| cursor(*number, item).to_string());
    Page { items: items.into_iter().map(|(_, item)| item).collect(), next_cursor: last }
}

fn newest<T>(number: i64, _: &T) -> Cursor {
    Cursor::Newest(number)
}

fn number(after: Option<Cursor>) -> Result<Option<i64>, SessionError> {
    Ok(after.map(Cursor::newest).transpose()?)
}

fn best(after: Option<Cursor>) -> Result<After, SessionError> {
    let place = after.map(Cursor::best).transpose()?;
    Ok(After { rank: place.map(|place| place.0), number: place.map(|place| place.1) })
}

/// A session.
pub(super) async fn session(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<SessionRecord, SessionError> {
    sessions::get(db, session).await?.ok_or_else(|| unknown(session))
}

/// Sessions, newest first.
pub(super) async fn sessions(
    db: &impl GenericClient,
    filter: SessionFilter,
) -> Result<Page<SessionRecord>, SessionError> {
    let limit = filter.limit;
    let before = number(filter.after)?;
    let more = SessionFilter { limit: limit.saturating_add(1), ..filter };
    Ok(page(sessions::list(db, &more, before).await?, limit, newest))
}

/// A memory.
pub(super) async fn memory(
    db: &impl GenericClient,
    session: &SessionId,
    key: &ItemName,
) -> Result<MemoryRecord, SessionError> {
    let found = memories::get(db, session, key).await?.ok_or_else(|| unknown(session))?;
    found.ok_or_else(|| nothing(session, "memory", key))
}

fn nothing(session: &SessionId, what: &'static str, name: &ItemName) -> SessionError {
    SessionError::Unknown { session: session.clone(), what, name: name.to_string() }
}

/// Memories: the newest first, or where there are words to fit, the best.
pub(super) async fn memories(
    db: &impl GenericClient,
    session: &SessionId,
    filter: MemoryFilter,
) -> Result<Page<MemoryRecord>, SessionError> {
    let limit = filter.limit;
    let ranked = filter.text.is_some();
    let after = if ranked {
        best(filter.after)?
    } else {
        After { rank: None, number: number(filter.after)? }
    };
    let more = MemoryFilter { limit: limit.saturating_add(1), ..filter };
    let found =
        memories::query(db, session, &more, after).await?.ok_or_else(|| unknown(session))?;
    Ok(page(found, limit, |number, memory| match memory.rank {
        Some(rank) if ranked => Cursor::Best { rank, number },
        _ => Cursor::Newest(number),
    }))
}

/// A chunk with its content.
pub(super) async fn chunk(
    db: &impl GenericClient,
    session: &SessionId,
    name: &ItemName,
) -> Result<ChunkRecord, SessionError> {
    let (number, mut chunk) = chunk_alone(db, session, name).await?;
    chunk.content = Some(contents::whole(db, number).await?);
    Ok(chunk)
}

/// A chunk without its content, and its number.
pub(super) async fn chunk_alone(
    db: &impl GenericClient,
    session: &SessionId,
    name: &ItemName,
) -> Result<(i64, ChunkRecord), SessionError> {
    let found = rows::chunks(db, session, Some(name), None, 1).await?;
    let found = found.ok_or_else(|| unknown(session))?.into_iter().next();
    found.ok_or_else(|| nothing(session, "chunk", name))
}

/// Chunks without their contents, newest first.
pub(super) async fn chunks(
    db: &impl GenericClient,
    session: &SessionId,
    limit: u32,
    after: Option<Cursor>,
) -> Result<Page<ChunkRecord>, SessionError> {
    let found = rows::chunks(db, session, None, number(after)?, limit.saturating_add(1)).await?;
    Ok(page(found.ok_or_else(|| unknown(session))?, limit, newest))
}

/// An artifact with its content.
pub(super) async fn artifact(
    db: &impl GenericClient,
    session: &SessionId,
    name: &ItemName,
) -> Result<ArtifactRecord, SessionError> {
    let (number, mut artifact) = artifact_alone(db, session, name).await?;
    artifact.content = Some(contents::whole(db, number).await?);
    Ok(artifact)
}

/// An artifact without its content, and its number.
pub(super) async fn artifact_alone(
    db: &impl GenericClient,
    session: &SessionId,
    name: &ItemName,
) -> Result<(i64, ArtifactRecord), SessionError> {
    let alone = ArtifactFilter { limit: 1, ..ArtifactFilter::default() };
    let found = rows::artifacts(db, session, Some(name), &alone, None).await?;
    let found = found.ok_or_else(|| unknown(session))?.into_iter().next();
    found.ok_or_else(|| nothing(session, "artifact", name))
}

/// Artifacts without their contents, newest first.
pub(super) async fn artifacts(
    db: &impl GenericClient,
    session: &SessionId,
    filter: ArtifactFilter,
) -> Result<Page<ArtifactRecord>, SessionError> {
    let limit = filter.limit;
    let before = number(filter.after)?;
    let more = ArtifactFilter { limit: limit.saturating_add(1), ..filter };
    let found = rows::artifacts(db, session, None, &more, before).await?;
    Ok(page(found.ok_or_else(|| unknown(session))?, limit, newest))
}

/// A task, as it is now.
pub(super) async fn task(
    db: &impl GenericClient,
    session: &SessionId,
    name: &ItemName,
) -> Result<SessionTaskRecord, SessionError> {
    let found = tasks::list(db, session, Some(name), None, 1).await?;
    let found = found.ok_or_else(|| unknown(session))?.into_iter().next();
    found.map(|(_, task)| task).ok_or_else(|| nothing(session, "task", name))
}

/// Whether a caller may do this to a task: to one of his queues. Of which queue one was that is deleted by
/// now, or was brought along from elsewhere, is not known.
pub(super) async fn may_task(
    db: &impl GenericClient,
    by: &Grants,
    scope: Scope,
    task: &SessionTaskRecord,
) -> Result<(), SessionError> {
    let found = match task.task {
        Some(id) if by.is_limited() => crate::store::tasks::get(db, id).await?,
        _ => None,
    };
    Ok(by.allow(scope, found.as_ref().map_or(About::Host, |task| About::Queue(&task.queue)))?)
}

/// Tasks, newest first.
pub(super) async fn tasks(
    db: &impl GenericClient,
    session: &SessionId,
    limit: u32,
    after: Option<Cursor>,
) -> Result<Page<SessionTaskRecord>, SessionError> {
    let found = tasks::list(db, session, None, number(after)?, limit.saturating_add(1)).await?;
    Ok(page(found.ok_or_else(|| unknown(session))?, limit, newest))
}

impl super::Sessions {
    /// What fits the words of a filter, the best first, of all sessions or of one.
    ///
    /// # Errors
    ///
    /// [`SessionError::UnknownSession`] if it names one that is not there; [`SessionError::Invalid`] if
    /// its cursor is of another listing.
    pub async fn search(&self, filter: SearchFilter) -> Result<Page<SearchHit>, SessionError> {
        let began = tokio::time::Instant::now();
        let after = best(filter.after)?;
        let limit = filter.limit;
        let more = SearchFilter { limit: limit.saturating_add(1), ..filter };
        let db = self.store.client().await?;
        let found = search::search(&db, &more, after).await?;
        self.metrics.searched(began.elapsed());
        match (found, &more.session) {
            (Some(found), _) => {
                Ok(page(found, limit, |number, hit| Cursor::Best { rank: hit.rank, number }))
            }
            (None, Some(session)) => Err(unknown(session)),
            (None, None) => Err(SessionError::Fault("a search of all sessions found no session")),
        }
    }
}
