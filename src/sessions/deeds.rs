//! One command on one session, on a connection or within a transaction.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{
    ChunkDone, Command, Done, Rules, SessionError, contents, plain_task, reads, writer::created,
};
use crate::{
    domain::{
        TaskId,
        access::{Grants, Scope},
        record::Submitted,
        retry::AllQueueTerms,
        session::{Delegation, NewChunk, NewMemory, SessionEvent, SessionId, SessionState, step},
        task::NewTask,
    },
    store::{
        sessions::{self as rows, SessionNo, contents as texts, memories, tasks as links},
        tasks,
    },
};

/// What is to be done once the transaction is committed.
pub(super) struct After {
    /// The tasks that were submitted.
    pub(super) tasks: Vec<NewTask>,
    /// And what was answered to each.
    pub(super) submitted: Vec<Submitted>,
}

impl After {
    /// Nothing.
    pub(super) const fn none() -> Self {
        Self { tasks: Vec::new(), submitted: Vec::new() }
    }
}

/// Within what a command is carried out.
pub(super) struct By<'a> {
    /// What the operator allows.
    pub(super) rules: &'a Rules,
    /// What the tasks of each queue are given.
    pub(super) terms: &'a AllQueueTerms,
    /// What the caller may do.
    pub(super) grants: &'a Grants,
}

/// Carries out one command. What changes something needs a transaction.
pub(super) async fn one(
    by: &By<'_>,
    db: &impl GenericClient,
    session: &SessionId,
    command: Command,
    after: &mut After,
) -> Result<Done, SessionError> {
    Ok(match command {
        Command::Create(new) => {
            if !rows::create(db, &new, None).await? {
                return Err(SessionError::Exists { session: new.id });
            }
            shown(db, &new.id).await?
        }
        Command::Change(change) => {
            let (no, _) = lock(db, session).await?;
            rows::change(db, no, &change).await?;
            shown(db, session).await?
        }
        Command::Step(event) => {
            take_step(db, session, event).await?;
            shown(db, session).await?
        }
        Command::Delete { cascade } => {
            let (no, _) = lock(db, session).await?;
            let deleted = rows::delete(db, no, cascade).await?;
            let not_empty = || SessionError::NotEmpty { session: session.clone() };
            Done::Deleted(deleted.ok_or_else(not_empty)?)
        }
        Command::List(filter) => Done::Sessions(reads::sessions(db, *filter).await?),
        Command::Show => shown(db, session).await?,
        Command::Append(chunks) => Done::Appended(append(db, session, &chunks).await?),
        Command::GetChunk(name) => Done::Chunk(Box::new(reads::chunk(db, session, &name).await?)),
        Command::ListChunks { limit, after } => {
            Done::Chunks(reads::chunks(db, session, limit, after).await?)
        }
        Command::Store(memory) => keep(db, session, memory).await?,
        Command::Notice(new, memory) => {
            rows::create(db, &new, None).await?;
            keep(db, session, memory).await?
        }
        Command::Retrieve(key) => Done::Memory(Box::new(reads::memory(db, session, &key).await?)),
        Command::Query(filter) => Done::Memories(reads::memories(db, session, *filter).await?),
        Command::Delegate(delegation) => delegate(by, db, session, *delegation, after).await?,
        Command::GetTask(name) => {
            let task = reads::task(db, session, &name).await?;
            reads::may_task(db, by.grants, Scope::Read, &task).await?;
            Done::Task(Box::new(task))
        }
        Command::ListTasks { limit, after } => {
            Done::Tasks(reads::tasks(db, session, limit, after).await?)
        }
        Command::CancelTask(_) => {
            return Err(SessionError::WrongState {
                what: "`cancel_task` can't be part of an atomic batch: a task that runs is called off \
                    outside of it"
                    .to_owned(),
            });
        }
        Command::AddArtifact(artifact) => {
            let no = hold(db, session).await?;
            let (item, created) = texts::put_artifact(db, no, &artifact).await?;
            contents::write(db, item, &artifact.content).await?;
            let size = artifact.content.len() as u64;
            Done::ArtifactKept { artifact: artifact.name, size, created }
        }
        Command::GetArtifact(name) => {
            Done::Artifact(Box::new(reads::artifact(db, session, &name).await?))
        }
        Command::ListArtifacts(filter) => {
            Done::Artifacts(reads::artifacts(db, session, *filter).await?)
        }
    })
}

async fn shown(db: &impl GenericClient, session: &SessionId) -> Result<Done, SessionError> {
    Ok(Done::Session(Box::new(reads::session(db, session).await?)))
}

/// Holds a session that takes something.
pub(super) async fn hold(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<SessionNo, SessionError> {
    match rows::hold(db, session).await? {
        None => Err(SessionError::UnknownSession { session: session.clone() }),
        Some((_, state)) if !state.takes() => {
            Err(SessionError::Completed { session: session.clone() })
        }
        Some((no, _)) => Ok(no),
    }
}

async fn lock(
    db: &impl GenericClient,
    session: &SessionId,
) -> Result<(SessionNo, SessionState), SessionError> {
    let found = rows::lock(db, session).await?;
    found.ok_or_else(|| SessionError::UnknownSession { session: session.clone() })
}

async fn take_step(
    db: &impl GenericClient,
    session: &SessionId,
    event: SessionEvent,
) -> Result<(), SessionError> {
    let (no, state) = lock(db, session).await?;
    let illegal = |step| SessionError::Illegal { session: session.clone(), step };
    let next = step(state, event).map_err(illegal)?;
    Ok(rows::move_to(db, no, next).await?)
}

/// Keeps chunks, and the memories that become of what was extracted.
pub(super) async fn append(
    db: &impl GenericClient,
    session: &SessionId,
    chunks: &[NewChunk],
) -> Result<Vec<ChunkDone>, SessionError> {
    let no = hold(db, session).await?;
    let mut done = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (item, created) = texts::put_chunk(db, no, chunk).await?;
        contents::write(db, item, &chunk.content).await?;
        let extracted = chunk.extracted.memories(&chunk.name);
        if !extracted.is_empty() {
            let given: Vec<_> = extracted.iter().map(|memory| (session, memory)).collect();
            memories::store(db, &given).await?;
        }
        done.push(ChunkDone {
            chunk: chunk.name.clone(),
            size: chunk.content.len() as u64,
            extracted: extracted.len(),
            created,
        });
    }
    Ok(done)
}

async fn keep(
    db: &impl GenericClient,
    session: &SessionId,
    memory: NewMemory,
) -> Result<Done, SessionError> {
    let stored = memories::store(db, &[(session, &memory)]).await?.into_iter().next();
    let stored = stored.ok_or(SessionError::Fault("a memory was neither kept nor refused"))?;
    let created = created(stored, session.clone())?;
    Ok(Done::Stored { key: memory.key, kind: memory.kind, created })
}

/// Gives a task away, unless there is one of the name.
async fn delegate(
    by: &By<'_>,
    db: &impl GenericClient,
    session: &SessionId,
    delegation: Delegation,
    after: &mut After,
) -> Result<Done, SessionError> {
    let queue = by.rules.queue_of(by.grants, "agent_name", &delegation.agent)?;
    let no = hold(db, session).await?;
    let input = delegation.task_input(session);
    let id = TaskId::from_uuid(Uuid::now_v7());
    let name = match delegation.name {
        Some(name) => name,
        None => id.to_string().parse().map_err(|_| SessionError::Fault("an id is no name"))?,
    };
    let link = links::Link {
        name: name.clone(),
        task: Some(id),
        agent: delegation.agent,
        kind: delegation.kind.clone(),
        description: delegation.description,
        input: input.clone(),
        past: None,
    };
    let created = links::put(db, no, &link).await?;
    if created {
        let task = plain_task(queue, delegation.kind, input, by.terms);
        let task = NewTask { id, priority: delegation.priority, ..task };
        let submitted = tasks::submit(db, std::slice::from_ref(&task)).await?;
        after.tasks.push(task);
        after.submitted.extend(submitted);
    }
    let task = Box::new(reads::task(db, session, &name).await?);
    if !created {
        // Somebody has given away another of the name, in whichever queue that is.
        reads::may_task(db, by.grants, Scope::Submit, &task).await?;
    }
    Ok(Done::Delegated { task, created })
}
