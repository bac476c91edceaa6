//! Sessions written to files, and read from them.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::ready, stream};

use super::{SessionError, Sessions, contents, reads};
use crate::{
    domain::session::{
        ArtifactFilter, Export, Form, Imported, ItemName, MemoryFilter, NewArtifact, NewChunk,
        NewMemory, NewSession, Part, PastTask, SessionId, SessionRecord, SessionTaskRecord, Tally,
    },
    store::sessions::{self as rows, Past, contents as texts, memories, tasks},
};
use deadpool_postgres::GenericClient;

/// How many items are read at a time.
const PAGE: u32 = 100;

/// How many memories are kept by one statement.
const TOGETHER: usize = 500;

/// What is to be written next.
enum Next {
    Begin(Box<SessionRecord>),
    /// The items of a part before a number; without one, the first of them.
    Items(Part, Option<i64>),
    End,
}

/// A piece of what is written: text, or a content that is read from the database.
enum Piece {
    Text(String),
    Content(i64),
}

impl Sessions {
    /// A session with all that is in it, newest first, piece by piece. What is written down meanwhile may
    /// or may not be in it.
    ///
    /// # Errors
    ///
    /// [`SessionError::UnknownSession`].
    pub async fn export(
        &self,
        session: &SessionId,
        form: Form,
    ) -> Result<impl Stream<Item = Result<Bytes, SessionError>> + use<>, SessionError> {
        let record = reads::session(&self.store.client().await?, session).await?;
        let (sessions, id) = (self.clone(), session.clone());
        let begin = Some(Next::Begin(Box::new(record)));
        let pages = stream::try_unfold(begin, move |next| {
            let (sessions, id) = (sessions.clone(), id.clone());
            async move {
                let Some(next) = next else { return Ok::<_, SessionError>(None) };
                Ok(Some(sessions.written(&id, form, next).await?))
            }
        });
        let sessions = self.clone();
        Ok(pages.flat_map(move |page| {
            let sessions = sessions.clone();
            let pieces = match page {
                Ok(pieces) => pieces.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(pieces).flat_map(move |piece| match piece {
                Err(error) => stream::once(ready(Err(error))).boxed_local(),
                Ok(Piece::Text(text)) => stream::once(ready(Ok(Bytes::from(text)))).boxed_local(),
                Ok(Piece::Content(number)) => sessions
                    .content(number)
                    .map(move |piece| {
                        let piece = piece?;
                        let text = std::str::from_utf8(&piece)
                            .map_err(|_| SessionError::Fault("a content is no text"))?;
                        Ok(Bytes::from(form.content(text)))
                    })
                    .boxed_local(),
            })
        }))
    }

    /// What is written next, and what after that.
    async fn written(
        &self,
        session: &SessionId,
        form: Form,
        next: Next,
    ) -> Result<(Vec<Piece>, Option<Next>), SessionError> {
        let mut text = String::new();
        let (part, before) = match next {
            Next::End => return Ok((vec![Piece::Text(form.end().to_owned())], None)),
            Next::Begin(record) => {
                text += &form.begin(&record);
                (Part::ALL[0], None)
            }
            Next::Items(part, before) => (part, before),
        };
        if before.is_none() {
            text += &form.open(part);
        }
        let mut pieces = vec![Piece::Text(text)];
        let db = self.store.client().await?;
        let last = items(&db, session, form, (part, before), &mut pieces).await?;
        let follows = match last {
            Some(last) => Next::Items(part, Some(last)),
            None => {
                pieces.push(Piece::Text(form.close().to_owned()));
                let nth = Part::ALL.iter().position(|one| *one == part).unwrap_or(Part::ALL.len());
                let next_part = Part::ALL.get(nth + 1);
                next_part.map_or(Next::End, |part| Next::Items(*part, None))
            }
        };
        Ok((pieces, Some(follows)))
    }

    /// Makes a session of what was written; where it is there already and `merge` is given, what is in the
    /// file is kept in it, whatever its state. All of it, or nothing.
    ///
    /// # Errors
    ///
    /// [`SessionError::Exists`].
    pub async fn import(&self, export: Export, merge: bool) -> Result<Imported, SessionError> {
        let imported = self.store.transact_for(async |db| import(db, &export, merge).await).await;
        self.gathered.came();
        imported
    }
}

/// Writes the next items of a part, those before a number; returns the number of the last of them, if
/// more may follow.
async fn items(
    db: &impl GenericClient,
    session: &SessionId,
    form: Form,
    (part, before): (Part, Option<i64>),
    pieces: &mut Vec<Piece>,
) -> Result<Option<i64>, SessionError> {
    let unknown = || reads::unknown(session);
    let is_first = |nth: usize| before.is_none() && nth == 0;
    let mut with_content = |text: String, number: i64| {
        pieces.push(Piece::Text(text));
        pieces.push(Piece::Content(number));
        pieces.push(Piece::Text(form.end_content().to_owned()));
    };
    Ok(match part {
        Part::Chunks => {
            let found = texts::chunks(db, session, None, before, PAGE).await?;
            let found = found.ok_or_else(unknown)?;
            for (nth, (number, chunk)) in found.iter().enumerate() {
                let name = chunk.chunk_id.as_str();
                with_content(form.item(part, is_first(nth), name, chunk, true), *number);
            }
            last(&found)
        }
        Part::Artifacts => {
            let all = ArtifactFilter { limit: PAGE, ..ArtifactFilter::default() };
            let found = texts::artifacts(db, session, None, &all, before).await?;
            let found = found.ok_or_else(unknown)?;
            for (nth, (number, artifact)) in found.iter().enumerate() {
                let text = form.item(part, is_first(nth), &artifact.name, artifact, true);
                with_content(text, *number);
            }
            last(&found)
        }
        Part::Memories => {
            let filter = MemoryFilter { limit: PAGE, ..MemoryFilter::default() };
            let after = memories::After { rank: None, number: before };
            let found = memories::query(db, session, &filter, after).await?;
            let found = found.ok_or_else(unknown)?;
            for (nth, (_, memory)) in found.iter().enumerate() {
                let name = format!("{}: {}", memory.kind, memory.key);
                pieces.push(Piece::Text(form.item(part, is_first(nth), &name, memory, false)));
            }
            last(&found)
        }
        Part::Tasks => {
            let found = tasks::list(db, session, None, before, PAGE).await?;
            let found = found.ok_or_else(unknown)?;
            for (nth, (_, task)) in found.iter().enumerate() {
                let name = task.task_id.as_str();
                pieces.push(Piece::Text(form.item(part, is_first(nth), name, task, false)));
            }
            last(&found)
        }
    })
}

/// The number of the last of a page that is full: more may follow.
fn last<T>(page: &[(i64, T)]) -> Option<i64> {
    let is_full = page.len() >= PAGE as usize;
    page.last().filter(|_| is_full).map(|(number, _)| *number)
}

async fn import(
    db: &impl GenericClient,
    export: &Export,
    merge: bool,
) -> Result<Imported, SessionError> {
    let record = &export.session;
    let session = NewSession {
        id: record.session_id.clone(),
        title: record.title.clone(),
        participants: record.participants.clone(),
        context: record.context.clone(),
        metadata: record.metadata.clone(),
    };
    let past = Past {
        state: record.status,
        created: record.created,
        changed: record.last_activity,
        completed: record.completed_at,
    };
    let created = rows::create(db, &session, Some(&past)).await?;
    if !created && !merge {
        return Err(SessionError::Exists { session: session.id });
    }
    let unknown = || SessionError::UnknownSession { session: session.id.clone() };
    let (no, _) = rows::lock(db, &session.id).await?.ok_or_else(unknown)?;
    let mut imported = Imported {
        session_id: session.id.clone(),
        created,
        chunks: Tally::default(),
        memories: Tally::default(),
        artifacts: Tally::default(),
        tasks: Tally::default(),
    };
    // The files are newest first; what is newest gets the highest number.
    for chunk in export.chunks.iter().rev() {
        let content = chunk.content.clone().unwrap_or_default();
        let chunk = NewChunk {
            name: chunk.chunk_id.clone(),
            format: chunk.format,
            content,
            started_at: chunk.start_time,
            ended_at: chunk.end_time,
            participants: chunk.participants.clone(),
            extracted: chunk.extracted_items.clone(),
            metadata: chunk.metadata.clone(),
            at: Some(chunk.created),
        };
        let (item, made) = texts::put_chunk(db, no, &chunk).await?;
        contents::write(db, item, &chunk.content).await?;
        imported.chunks.add(made);
    }
    for artifact in export.artifacts.iter().rev() {
        let artifact = NewArtifact {
            name: artifact.artifact_id.clone(),
            kind: artifact.kind.clone(),
            title: artifact.name.clone(),
            content: artifact.content.clone().unwrap_or_default(),
            format: artifact.format.clone(),
            metadata: artifact.metadata.clone(),
            task: artifact.task_id.clone(),
            at: Some(artifact.created),
        };
        let (item, made) = texts::put_artifact(db, no, &artifact).await?;
        contents::write(db, item, &artifact.content).await?;
        imported.artifacts.add(made);
    }
    imported.memories = import_memories(db, &session.id, export).await?;
    for task in export.tasks.iter().rev() {
        imported.tasks.add(tasks::put(db, no, &past_task(task)).await?);
    }
    Ok(imported)
}

/// Keeps the memories of a file. A completed session is let take them, for they were in it before.
async fn import_memories(
    db: &impl GenericClient,
    session: &SessionId,
    export: &Export,
) -> Result<Tally, SessionError> {
    let mut tally = Tally::default();
    let mut seen = std::collections::BTreeSet::new();
    let newest = export.memories.iter().filter(|memory| seen.insert(memory.key.clone()));
    let given: Vec<NewMemory> = newest
        .map(|memory| NewMemory {
            key: memory.key.clone(),
            kind: memory.kind,
            content: memory.content.clone(),
            tags: memory.tags.clone(),
            at: Some(memory.updated),
        })
        .collect();
    for some in given.rchunks(TOGETHER) {
        let some: Vec<_> = some.iter().rev().map(|memory| (session, memory)).collect();
        for stored in memories::store_past(db, &some).await? {
            tally.add(stored == memories::Stored::Created);
        }
    }
    Ok(tally)
}

/// A task that was brought along: it is not run again.
fn past_task(task: &SessionTaskRecord) -> tasks::Link {
    let past = PastTask {
        status: task.status.clone(),
        result: task.result.clone(),
        error: task.error.clone(),
        started: task.started,
        completed: task.completed,
    };
    let name: ItemName = task.task_id.clone();
    tasks::Link {
        name,
        task: None,
        agent: task.agent_name.clone(),
        kind: task.task_type.clone(),
        description: task.description.clone(),
        input: task.input_data.clone(),
        past: Some((past, task.created)),
    }
}
