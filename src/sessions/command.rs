//! What can be asked of a session, and what comes of it.

use crate::domain::{
    access::Scope,
    record::Page,
    session::{
        ArtifactFilter, ArtifactRecord, ChunkRecord, Cursor, Delegation, Deleted, ItemName,
        MemoryFilter, MemoryRecord, MemoryType, NewArtifact, NewChunk, NewMemory, NewSession,
        SessionChange, SessionEvent, SessionFilter, SessionRecord, SessionTaskRecord,
    },
};

/// One thing that is asked of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make it.
    Create(Box<NewSession>),
    /// Change what is said of it.
    Change(Box<SessionChange>),
    /// Pause, resume or complete it.
    Step(SessionEvent),
    /// Delete it.
    Delete {
        /// With all that is in it; otherwise only if nothing is.
        cascade: bool,
    },
    /// List sessions; whose session it is does not count.
    List(Box<SessionFilter>),
    /// How it stands.
    Show,
    /// Keep chunks of its conversation.
    Append(Vec<NewChunk>),
    /// One chunk, with its content.
    GetChunk(ItemName),
    /// Its chunks, without their contents.
    ListChunks {
        /// At most so many.
        limit: u32,
        /// Where to begin.
        after: Option<Cursor>,
    },
    /// Keep a memory.
    Store(NewMemory),
    /// Keep an insight, in a session that is made if it is not there.
    Notice(Receiver, NewMemory),
    /// One memory.
    Retrieve(ItemName),
    /// Its memories.
    Query(Box<MemoryFilter>),
    /// Give a task away.
    Delegate(Box<Delegation>),
    /// One of its tasks.
    GetTask(ItemName),
    /// Its tasks.
    ListTasks {
        /// At most so many.
        limit: u32,
        /// Where to begin.
        after: Option<Cursor>,
    },
    /// Call a task off.
    CancelTask(ItemName),
    /// Keep an artifact.
    AddArtifact(Box<NewArtifact>),
    /// One artifact, with its content.
    GetArtifact(ItemName),
    /// Its artifacts, without their contents.
    ListArtifacts(Box<ArtifactFilter>),
}

/// The session that takes an insight, as it is made if it is not there.
pub type Receiver = Box<NewSession>;

impl Command {
    /// Whether nothing is changed by it.
    pub const fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::List(_)
                | Self::Show
                | Self::GetChunk(_)
                | Self::ListChunks { .. }
                | Self::Retrieve(_)
                | Self::Query(_)
                | Self::GetTask(_)
                | Self::ListTasks { .. }
                | Self::GetArtifact(_)
                | Self::ListArtifacts(_)
        )
    }

    /// What it is called, in the word of the contract where that has one.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_session",
            Self::Change(_) => "change_session",
            Self::Step(SessionEvent::Paused) => "pause_session",
            Self::Step(SessionEvent::Resumed) => "resume_session",
            Self::Step(SessionEvent::Completed) => "complete_session",
            Self::Delete { .. } => "delete_session",
            Self::List(_) => "list_sessions",
            Self::Show => "get_session_summary",
            Self::Append(_) => "append_conversation",
            Self::GetChunk(_) => "get_chunk",
            Self::ListChunks { .. } => "list_chunks",
            Self::Store(_) => "store_memory",
            Self::Notice(..) => "llm_conversation_insight",
            Self::Retrieve(_) => "retrieve_memory",
            Self::Query(_) => "query_memories",
            Self::Delegate(_) => "delegate_task",
            Self::GetTask(_) => "get_task",
            Self::ListTasks { .. } => "list_tasks",
            Self::CancelTask(_) => "cancel_task",
            Self::AddArtifact(_) => "add_artifact",
            Self::GetArtifact(_) => "get_artifact",
            Self::ListArtifacts(_) => "list_artifacts",
        }
    }

    /// The scope that a key needs for it.
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Delete { .. } | Self::CancelTask(_) => Scope::Control,
            other if other.only_reads() => Scope::Read,
            _ => Scope::Submit,
        }
    }

    /// Whether it is about one task, which is of a queue; what else is in a session is of none.
    pub const fn is_of_task(&self) -> bool {
        matches!(self, Self::Delegate(_) | Self::GetTask(_) | Self::CancelTask(_))
    }

    /// Whether it looks for something by words or tags.
    pub(super) const fn is_search(&self) -> bool {
        matches!(self, Self::Query(_))
    }
}

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkDone {
    /// Its id.
    pub chunk: ItemName,
    /// How long its content is, in bytes.
    pub size: u64,
    /// How many memories became of it.
    pub extracted: usize,
    /// Whether it was made; otherwise it took the place of one of the same id.
    pub created: bool,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// The session, as it is now.
    Session(Box<SessionRecord>),
    /// It was deleted.
    Deleted(Deleted),
    /// Sessions.
    Sessions(Page<SessionRecord>),
    /// What became of each chunk.
    Appended(Vec<ChunkDone>),
    /// A chunk.
    Chunk(Box<ChunkRecord>),
    /// Chunks.
    Chunks(Page<ChunkRecord>),
    /// A memory is kept.
    Stored {
        /// Its key.
        key: ItemName,
        /// Its type.
        kind: MemoryType,
        /// Whether it was made; otherwise it took the place of one of the same key.
        created: bool,
    },
    /// A memory.
    Memory(Box<MemoryRecord>),
    /// Memories.
    Memories(Page<MemoryRecord>),
    /// A task, as it is now.
    Task(Box<SessionTaskRecord>),
    /// A task was given away.
    Delegated {
        /// The task, as it is now.
        task: Box<SessionTaskRecord>,
        /// Whether it was made; otherwise there was one of the name already.
        created: bool,
    },
    /// Tasks.
    Tasks(Page<SessionTaskRecord>),
    /// An artifact is kept.
    ArtifactKept {
        /// Its id.
        artifact: ItemName,
        /// How long its content is, in bytes.
        size: u64,
        /// Whether it was made; otherwise it took the place of one of the same id.
        created: bool,
    },
    /// An artifact.
    Artifact(Box<ArtifactRecord>),
    /// Artifacts.
    Artifacts(Page<ArtifactRecord>),
}
