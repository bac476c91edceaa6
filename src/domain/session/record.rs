//! What is told of sessions: the shapes that the API, `--json` and exports show.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ChunkFormat, Extracted, ItemName, MemoryType, SearchKind, SessionId, SessionState};
use crate::domain::TaskId;

/// One session, and how much is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionRecord {
    /// Its id.
    pub session_id: SessionId,
    /// What it is about, in a line.
    pub title: String,
    /// Who takes part.
    pub participants: Vec<String>,
    /// What one must know to go on with it.
    pub context: String,
    /// Anything more.
    pub metadata: Map<String, Value>,
    /// Where it is in its life.
    pub status: SessionState,
    /// When it was made.
    pub created: Timestamp,
    /// When something was last written down in it or changed of it.
    pub last_activity: Timestamp,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// How long it went on, or has gone on until its last activity, in whole minutes.
    pub duration_minutes: u64,
    /// How much is in it.
    pub stats: SessionStats,
}

impl SessionRecord {
    /// How many whole minutes lie between two times.
    pub fn minutes(from: Timestamp, to: Timestamp) -> u64 {
        u64::try_from(to.duration_since(from).as_secs() / 60).unwrap_or(0)
    }
}

/// How much is in a session. Counted when it is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionStats {
    /// Chunks of its conversation.
    pub conversation_chunks: u64,
    /// Memories.
    pub memories: u64,
    /// Tasks that were given away in it.
    pub tasks: u64,
    /// Artifacts.
    pub artifacts: u64,
    /// Those of its tasks that have not ended.
    pub active_tasks: u64,
}

/// One memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemoryRecord {
    /// The session that it is in.
    pub session_id: SessionId,
    /// Its key.
    pub key: ItemName,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: MemoryType,
    /// The content.
    pub content: Value,
    /// The words under which it is found.
    pub tags: Vec<String>,
    /// When it was first kept.
    pub created: Timestamp,
    /// When it was last kept.
    pub updated: Timestamp,
    /// How well it fits the words that were searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<f32>,
    /// Where those words stand in it, between `**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highlight: Option<String>,
}

/// One chunk of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChunkRecord {
    /// The session that it is in.
    pub session_id: SessionId,
    /// Its id.
    pub chunk_id: ItemName,
    /// What the content is.
    pub format: ChunkFormat,
    /// What was said; left out of listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// How long that is, in bytes.
    pub content_size: u64,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Who took part.
    pub participants: Vec<String>,
    /// What came out of it.
    pub extracted_items: Extracted,
    /// Anything more.
    pub metadata: Map<String, Value>,
    /// When it was first kept.
    pub created: Timestamp,
    /// When it was last kept.
    pub updated: Timestamp,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArtifactRecord {
    /// The session that it is in.
    pub session_id: SessionId,
    /// Its id.
    pub artifact_id: ItemName,
    /// What kind of thing it is, in the caller's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name, for people.
    pub name: String,
    /// What the content is.
    pub format: String,
    /// The content; left out of listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// How long that is, in bytes.
    pub content_size: u64,
    /// Anything more.
    pub metadata: Map<String, Value>,
    /// The task that made it, by the caller's name for it.
    pub task_id: Option<ItemName>,
    /// When it was first kept.
    pub created: Timestamp,
    /// When it was last kept.
    pub updated: Timestamp,
}

/// One task that was given away in a session, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionTaskRecord {
    /// The session that it is for.
    pub session_id: SessionId,
    /// What the caller calls it.
    pub task_id: ItemName,
    /// Its id in the queue; `null` for one that was brought along from elsewhere.
    pub task: Option<TaskId>,
    /// Whose work it is.
    pub agent_name: String,
    /// What kind of task it is.
    pub task_type: String,
    /// What is to be done.
    pub description: String,
    /// Higher runs first; `null` if it is in no queue any more.
    pub priority: Option<i16>,
    /// What the agent was given.
    pub input_data: Value,
    /// The state of the task in the queue, or what was brought along; `deleted` once its term is over.
    pub status: String,
    /// The result, once completed.
    pub result: Option<Value>,
    /// The newest failure, in words.
    pub error: Option<String>,
    /// When it was given away.
    pub created: Timestamp,
    /// When its newest attempt began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
}

/// What is known of a task that was brought along from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PastTask {
    /// How it stood there.
    pub status: String,
    /// Its result.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
}

/// Something that a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchHit {
    /// What it is.
    pub kind: SearchKind,
    /// The session that it is in, or is.
    pub session_id: SessionId,
    /// What that is about.
    pub session_title: String,
    /// Its key or its id.
    pub id: String,
    /// The type of a memory, an artifact or a task, the format of a chunk.
    #[serde(rename = "type")]
    pub of_type: Option<String>,
    /// The tags of a memory.
    pub tags: Vec<String>,
    /// How well it fits.
    pub rank: f32,
    /// Where the words stand in it, between `**`.
    pub highlight: String,
    /// When it was last written.
    pub at: Timestamp,
}

/// How much went with a session that was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deleted {
    /// Chunks of its conversation.
    pub conversation_chunks: u64,
    /// Memories.
    pub memories: u64,
    /// Links to tasks; the tasks themselves stay.
    pub tasks: u64,
    /// Artifacts.
    pub artifacts: u64,
}

/// A session with all that is in it, as it is written to a file and read from one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Export {
    /// The number of this form; 1.
    pub hostler_session: u32,
    /// The session.
    pub session: SessionRecord,
    /// Its chunks with their content, newest first.
    #[serde(default)]
    pub chunks: Vec<ChunkRecord>,
    /// Its memories, newest first.
    #[serde(default)]
    pub memories: Vec<MemoryRecord>,
    /// Its artifacts with their content, newest first.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRecord>,
    /// Its tasks, newest first.
    #[serde(default)]
    pub tasks: Vec<SessionTaskRecord>,
}

/// How many of a kind an import made, and how many were there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tally {
    /// So many were made.
    pub created: u64,
    /// So many were there already, and are as the file says now; tasks stay as they were.
    pub existing: u64,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, created: bool) {
        if created {
            self.created += 1;
        } else {
            self.existing += 1;
        }
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Imported {
    /// The session.
    pub session_id: SessionId,
    /// Whether it was made.
    pub created: bool,
    /// Its chunks.
    pub chunks: Tally,
    /// Its memories.
    pub memories: Tally,
    /// Its artifacts.
    pub artifacts: Tally,
    /// Its tasks.
    pub tasks: Tally,
}
