//! Bodies and answers of sessions, as the document of the API tells them.
//!
//! The server reads every body field by field; everything may be left out where its text does not say
//! otherwise.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::words::Line;
use crate::domain::session::{ChunkFormat, Deleted, ItemName, MemoryType, SessionId};

/// A session that is wanted.
#[derive(ToSchema)]
pub struct SessionBody {
    /// What its caller calls it; made up where absent.
    pub session_id: Option<SessionId>,
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub title: Option<String>,
    /// Who takes part.
    #[schema(value_type = Option<Vec<Line>>)]
    pub participants: Option<Vec<String>>,
    /// What one must know to go on with it: a text of any length.
    pub context: Option<String>,
    /// More for programs.
    pub metadata: Option<Map<String, Value>>,
}

/// What is to be said of a session from now on; what is not named stays.
#[derive(ToSchema)]
pub struct SessionChangeBody {
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub title: Option<String>,
    /// Who takes part.
    #[schema(value_type = Option<Vec<Line>>)]
    pub participants: Option<Vec<String>>,
    /// What one must know to go on with it: a text of any length.
    pub context: Option<String>,
    /// More for programs.
    pub metadata: Option<Map<String, Value>>,
}

/// A part of a conversation.
#[derive(ToSchema)]
pub struct ChunkBody {
    /// What its caller calls it; made up where absent.
    pub chunk_id: Option<ItemName>,
    /// What was said.
    pub content: String,
    /// What kind of text it is.
    pub format: Option<ChunkFormat>,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Who took part.
    #[schema(value_type = Option<Vec<Line>>)]
    pub participants: Option<Vec<String>>,
    /// `ideas`, `decisions`, `questions` and `action_items` in it: each becomes a memory.
    pub extracted_items: Option<Map<String, Value>>,
    /// More for programs.
    pub metadata: Option<Map<String, Value>>,
}

/// Any JSON but `null`, which counts as absent.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// An object.
    Object(Map<String, Value>),
    /// A list.
    List(Vec<Value>),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
}

/// How urgent a task is: a word, or a number.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Priority {
    /// As a word.
    Word(Urgency),
    /// As a number; higher runs first.
    Number(i16),
}

/// How urgent a task is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// 20.
    Urgent,
    /// 10.
    High,
    /// 0.
    Medium,
    /// 0.
    Normal,
    /// -10.
    Low,
}

/// Something that is to be remembered.
#[derive(ToSchema)]
pub struct MemoryValueBody {
    /// What kind it is of; `note` where absent.
    pub r#type: Option<MemoryType>,
    /// Any JSON but `null`.
    pub content: Content,
    /// Words it is found by.
    #[schema(value_type = Option<Vec<Line>>)]
    pub tags: Option<Vec<String>>,
}

/// What it goes by, beside what it is.
#[derive(ToSchema)]
pub struct MemoryBody {
    /// What it goes by; made up where absent. The same key again replaces it.
    pub key: Option<ItemName>,
}

/// A task that is given away.
#[derive(ToSchema)]
pub struct DelegationBody {
    /// What its caller calls it; made up where absent.
    pub task_id: Option<ItemName>,
    /// The fleet whose work it is; must be given.
    #[schema(value_type = Line)]
    pub agent_name: String,
    /// What kind of task it is.
    #[schema(value_type = Option<Line>)]
    pub task_type: Option<String>,
    /// What is to be done.
    pub description: Option<String>,
    /// `urgent`, `high`, `medium`, `low` or a whole number.
    pub priority: Option<Priority>,
    /// The input of the fleet.
    pub input_data: Option<Map<String, Value>>,
}

/// Something that was made.
#[derive(ToSchema)]
pub struct ArtifactBody {
    /// What its caller calls it; made up where absent.
    pub artifact_id: Option<ItemName>,
    /// What it is.
    #[schema(value_type = Option<Line>)]
    pub r#type: Option<String>,
    /// For people.
    #[schema(value_type = Option<Line>)]
    pub name: Option<String>,
    /// Its content: a text, or any JSON.
    pub content: Content,
    /// Of its content.
    #[schema(value_type = Option<Line>)]
    pub format: Option<String>,
    /// The task that made it.
    pub task_id: Option<ItemName>,
    /// More for programs.
    pub metadata: Option<Map<String, Value>>,
}

/// A command of the contract. What its `data` has depends on `type` and `command`; what is not known is
/// let pass.
#[derive(ToSchema)]
pub struct WebhookCommand {
    /// The family of commands.
    pub r#type: CommandType,
    /// Of sessions: the command, such as `store_memory`; `batch` for several.
    pub command: Option<String>,
    /// Of sessions: which.
    pub session_id: Option<String>,
    /// What it says.
    pub data: Option<Value>,
    /// `sync`: wait for the task that it gives away.
    pub feedback_mode: Option<String>,
    /// The same as a switch.
    pub sync: Option<Value>,
    /// Of an insight: what it is.
    pub insight: Option<Value>,
    /// Of an insight: the conversation that it is from.
    pub conversation: Option<Value>,
}

/// The families of commands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandType {
    /// On a session.
    CollaborativeSessionCommand,
    /// For an agent.
    TaskCommand,
    /// What a conversation came to.
    LlmConversationInsight,
}

/// What became of a part of a conversation.
#[derive(ToSchema)]
pub struct AppendedAnswer {
    /// What it goes by.
    pub chunk_id: ItemName,
    /// How long its content is, in bytes.
    pub content_size: u64,
    /// How many memories became of it.
    pub extracted_items_processed: u64,
    /// Whether it was made; otherwise it took the place of another.
    pub created: bool,
}

/// What became of a memory.
#[derive(ToSchema)]
pub struct StoredAnswer {
    /// What it goes by.
    pub key: ItemName,
    /// What kind it is of.
    pub r#type: MemoryType,
    /// Whether it was made; otherwise it took the place of another.
    pub created: bool,
}

/// What became of something that was made.
#[derive(ToSchema)]
pub struct ArtifactKeptAnswer {
    /// What it goes by.
    pub artifact_id: ItemName,
    /// How long its content is, in bytes.
    pub content_size: u64,
    /// Whether it was made; otherwise it took the place of another.
    pub created: bool,
}

/// What became of a content that was sent by itself.
#[derive(ToSchema)]
pub struct ContentAnswer {
    /// What the chunk goes by, if it is one.
    pub chunk_id: Option<ItemName>,
    /// What the artifact goes by, if it is one.
    pub artifact_id: Option<ItemName>,
    /// How long it is, in bytes.
    pub content_size: u64,
    /// Whether it was made; otherwise it took the place of another.
    pub created: bool,
}

/// What was deleted with a session.
#[derive(ToSchema)]
pub struct DeletedAnswer {
    /// How many of each.
    pub deleted: Deleted,
}

/// What came of a command, in the words of the contract.
#[derive(ToSchema)]
pub struct WebhookAnswer {
    /// `success` or `error`; of a command for an agent its state, of a delivery what became of it.
    pub status: String,
    /// `collaborative_session_response`, where it is one.
    pub r#type: Option<String>,
    /// The command.
    pub command: Option<String>,
    /// The session.
    pub session_id: Option<SessionId>,
    /// A line for people.
    pub message: Option<String>,
    /// What was asked for.
    pub data: Option<Value>,
    /// What went wrong.
    pub error: Option<Value>,
}

/// A message of JSON-RPC 2.0.
#[derive(ToSchema)]
pub struct RpcMessage {
    /// `2.0`.
    #[schema(pattern = "^2[.]0$")]
    pub jsonrpc: String,
    /// Of a call: a text or a number.
    pub id: Option<Value>,
    /// What is called.
    #[schema(nullable = false)]
    pub method: Option<String>,
    /// With what.
    #[schema(nullable = false)]
    pub params: Option<Map<String, Value>>,
}

/// An answer of JSON-RPC 2.0: `result` or `error`.
#[derive(ToSchema)]
pub struct RpcAnswer {
    /// `2.0`.
    pub jsonrpc: String,
    /// That of the call.
    pub id: Option<Value>,
    /// What came of it.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<Value>,
}
