//! From what came of a command to what the contract says of it. Pure.

use actix_web::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    domain::{record::Page, session::SessionId},
    http::error::ApiError,
    sessions::{Done, SessionError},
};

/// What came of one command, as it is told.
#[derive(Debug)]
pub(super) struct Told {
    /// The status.
    pub(super) status: StatusCode,
    /// A line for people.
    pub(super) message: String,
    /// The data, or what went wrong.
    pub(super) data: Result<Value, String>,
    /// What went wrong behind that, for the log.
    pub(super) cause: Option<String>,
}

impl Told {
    /// A command was carried out.
    pub(super) fn done(word: &str, done: Done) -> Self {
        let status = match &done {
            Done::Session(_) if word == "create_session" => StatusCode::CREATED,
            Done::Delegated { task, .. } if !has_ended(&task.status) => StatusCode::ACCEPTED,
            _ => StatusCode::OK,
        };
        let message = message(&done);
        Self { status, message, data: Ok(data(word, done)), cause: None }
    }

    /// A command was not carried out.
    pub(super) fn failed(error: SessionError) -> Self {
        let problem = ApiError::from(error);
        let status = StatusCode::from_u16(problem.problem().status);
        let said = problem.problem().detail;
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            message: "the command was not carried out".to_owned(),
            data: Err(said),
            cause: problem.cause().map(str::to_owned),
        }
    }

    /// Whether it was carried out.
    pub(super) const fn is_done(&self) -> bool {
        self.data.is_ok()
    }

    /// As one of several.
    pub(super) fn item(self, word: &str) -> Value {
        let mut item = Map::new();
        item.insert("command".to_owned(), json!(word));
        item.insert("http_status".to_owned(), json!(self.status.as_u16()));
        fill(&mut item, self.message, self.data);
        Value::Object(item)
    }

    /// As an answer by itself.
    pub(super) fn body(self, word: &str, session: &SessionId) -> Value {
        let mut body = Map::new();
        body.insert("type".to_owned(), json!("collaborative_session_response"));
        body.insert("command".to_owned(), json!(word));
        body.insert("session_id".to_owned(), json!(session));
        fill(&mut body, self.message, self.data);
        Value::Object(body)
    }
}

fn fill(into: &mut Map<String, Value>, message: String, data: Result<Value, String>) {
    let status = if data.is_ok() { "success" } else { "error" };
    into.insert("status".to_owned(), json!(status));
    into.insert("message".to_owned(), json!(message));
    match data {
        Ok(data) => into.insert("data".to_owned(), data),
        Err(error) => into.insert("error".to_owned(), json!(error)),
    };
}

/// Whether a task of this status has ended.
pub(super) fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled" | "deleted")
}

fn message(done: &Done) -> String {
    match done {
        Done::Session(session) => format!("session {} is {}", session.session_id, session.status),
        Done::Deleted(_) => "the session was deleted".to_owned(),
        Done::Sessions(page) => counted(page.items.len(), "session"),
        Done::Appended(chunks) => format!("{} kept", counted(chunks.len(), "chunk")),
        Done::Chunk(chunk) => format!("chunk {}", chunk.chunk_id),
        Done::Chunks(page) => counted(page.items.len(), "chunk"),
        Done::Stored { key, created: true, .. } => format!("memory {key} is kept"),
        Done::Stored { key, .. } => format!("memory {key} was replaced"),
        Done::Memory(memory) => format!("memory {}", memory.key),
        Done::Memories(page) => counted(page.items.len(), "memory").replace("memorys", "memories"),
        Done::Task(task) => format!("task {} is {}", task.task_id, task.status),
        Done::Delegated { task, created: true } => {
            format!("task {} was given to {} and is {}", task.task_id, task.agent_name, task.status)
        }
        Done::Delegated { task, .. } => {
            format!("task {} was there already and is {}", task.task_id, task.status)
        }
        Done::Tasks(page) => counted(page.items.len(), "task"),
        Done::ArtifactKept { artifact, created: true, .. } => {
            format!("artifact {artifact} is kept")
        }
        Done::ArtifactKept { artifact, .. } => format!("artifact {artifact} was replaced"),
        Done::Artifact(artifact) => format!("artifact {}", artifact.artifact_id),
        Done::Artifacts(page) => counted(page.items.len(), "artifact"),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What the contract says of what came of a command.
pub(in crate::http) fn data(word: &str, done: Done) -> Value {
    match done {
        Done::Session(session) => json!(session),
        Done::Deleted(deleted) => json!({ "deleted": deleted }),
        Done::Sessions(found) => page("sessions", found),
        Done::Appended(chunks) => {
            let mut items: Vec<_> = chunks
                .into_iter()
                .map(|chunk| {
                    json!({
                        "chunk_id": chunk.chunk,
                        "content_size": chunk.size,
                        "extracted_items_processed": chunk.extracted,
                        "created": chunk.created,
                    })
                })
                .collect();
            match (word, items.pop()) {
                ("conversation_batch", last) => {
                    items.extend(last);
                    json!({ "processed": items.len(), "results": items })
                }
                (_, Some(one)) => one,
                (_, None) => Value::Null,
            }
        }
        Done::Chunk(chunk) => json!(chunk),
        Done::Chunks(found) => page("chunks", found),
        Done::Stored { key, kind, created } => {
            json!({ "key": key, "type": kind, "created": created, "replaced": !created })
        }
        Done::Memory(memory) => json!({ "memory": memory }),
        Done::Memories(found) => page("memories", found),
        Done::Task(task) => json!(task),
        Done::Delegated { task, created } => {
            let mut data = json!(task);
            data["created"] = json!(created);
            data
        }
        Done::Tasks(found) => page("tasks", found),
        Done::ArtifactKept { artifact, size, created } => {
            json!({ "artifact_id": artifact, "content_size": size, "created": created })
        }
        Done::Artifact(artifact) => json!(artifact),
        Done::Artifacts(found) => page("artifacts", found),
    }
}

fn page<T: Serialize>(name: &str, page: Page<T>) -> Value {
    let mut data = Map::new();
    data.insert("count".to_owned(), json!(page.items.len()));
    data.insert(name.to_owned(), json!(page.items));
    data.insert("next_cursor".to_owned(), json!(page.next_cursor));
    Value::Object(data)
}
