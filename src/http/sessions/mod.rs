//! Sessions as resources: the same deeds as those of the webhook, one path each.

mod contents;
pub(super) mod read;

use std::{fmt::Display, str::FromStr};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use serde::Serialize;
use serde_json::json;

use super::{
    Answer, State, body,
    caller::Caller,
    error::{ApiError, Kind},
    fields::Fields,
    journal::{self, Entry, Via},
    ok,
    once::HeaderKey,
    query::{self, Query},
};
use crate::{
    domain::session::{
        ArtifactFilter, Export, ItemName, MAX_TAG, MAX_TAGS, MemoryFilter, MemoryType,
        SearchFilter, SearchKind, SessionEvent, SessionFilter, SessionId, read_markdown,
    },
    sessions::{Command, Done},
};
use read::{ITEMS, MAX_LIMIT, MAX_TITLE, Names};

pub(super) use contents::{
    artifact_content, chunk_content, export, put_artifact_content, put_chunk_content,
};

/// How many sessions a page has where the caller does not say.
pub(super) const SESSIONS: u32 = 20;

fn id(request: &HttpRequest) -> Result<SessionId, ApiError> {
    named(request, "id")
}

fn item(request: &HttpRequest) -> Result<ItemName, ApiError> {
    named(request, "item")
}

/// A part of the path, as its caller calls it.
fn named<T: FromStr<Err: Display>>(request: &HttpRequest, part: &str) -> Result<T, ApiError> {
    let text = decoded(request.match_info().get(part).unwrap_or_default());
    text.parse().map_err(|error: T::Err| ApiError::new(Kind::BadPath, format!("`{part}` {error}")))
}

/// The server decodes a path but for `%`, `/` and `+`, which would be read as something else then.
fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (kept, taken) = match rest.get(at + 1..at + 3).map(str::to_ascii_uppercase).as_deref() {
            Some("2F") => ('/', 3),
            Some("2B") => ('+', 3),
            Some("25") => ('%', 3),
            _ => ('%', 1),
        };
        out.push(kept);
        rest = &rest[at + taken..];
    }
    out + rest
}

/// Carries out a command on the session of the path, and answers what came of it.
async fn run(
    state: &State,
    request: &HttpRequest,
    session: &SessionId,
    command: Command,
) -> Answer {
    let (word, is_of_one) = (command.word(), !matches!(command, Command::List(_)));
    let answer = match Caller::of(request) {
        Ok(caller) => carry_out(state, &caller, session, command).await,
        Err(fault) => Err(fault),
    };
    noted(state, request, word, Some(session).filter(|_| is_of_one), answer)
}

/// Writes down what came of a command.
fn noted(
    state: &State,
    request: &HttpRequest,
    word: &'static str,
    session: Option<&SessionId>,
    answer: Answer,
) -> Answer {
    if let Some(caller) = request.extensions().get::<Caller>() {
        // What went wrong behind a failure stands beside the line of the request.
        let status = journal::status(&answer);
        let entry = Entry { via: Via::Api, word, session, status, cause: None };
        journal::enter(state, caller, &entry);
    }
    answer
}

async fn carry_out(
    state: &State,
    caller: &Caller,
    session: &SessionId,
    command: Command,
) -> Answer {
    let is_new = matches!(command, Command::Create(_));
    Ok(match state.sessions.run(&caller.in_sessions(), session, command).await? {
        Done::Session(session) if is_new => {
            let place = format!("/api/v1/sessions/{}", encoded(session.session_id.as_str()));
            made(true, &place, &session)
        }
        Done::Session(session) => ok(&session),
        Done::Deleted(deleted) => ok(&json!({ "deleted": deleted })),
        Done::Sessions(page) => ok(&page),
        Done::Appended(chunks) => {
            let done = chunks.into_iter().next();
            let done =
                done.ok_or_else(|| ApiError::fault("a chunk was neither kept nor refused"))?;
            let shown = json!({
                "chunk_id": done.chunk, "content_size": done.size,
                "extracted_items_processed": done.extracted, "created": done.created,
            });
            made(done.created, &place(session, "chunks", done.chunk.as_str()), &shown)
        }
        Done::Chunk(chunk) => ok(&chunk),
        Done::Chunks(page) => ok(&page),
        Done::Stored { key, kind, created } => {
            let shown = json!({ "key": key, "type": kind, "created": created });
            made(created, &place(session, "memories", key.as_str()), &shown)
        }
        Done::Memory(memory) => ok(&memory),
        Done::Memories(page) => ok(&page),
        Done::Task(task) => ok(&task),
        Done::Delegated { task, created } => {
            made(created, &place(session, "tasks", task.task_id.as_str()), &task)
        }
        Done::Tasks(page) => ok(&page),
        Done::ArtifactKept { artifact, size, created } => {
            let shown =
                json!({ "artifact_id": artifact, "content_size": size, "created": created });
            made(created, &place(session, "artifacts", artifact.as_str()), &shown)
        }
        Done::Artifact(artifact) => ok(&artifact),
        Done::Artifacts(page) => ok(&page),
    })
}

/// 201 with where it is, or 200 if it took the place of another.
fn made(created: bool, place: &str, shown: &impl Serialize) -> HttpResponse {
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, place.to_owned()));
    answer.json(shown)
}

/// The path of something in a session.
fn place(session: &SessionId, what: &str, name: &str) -> String {
    let session = encoded(session.as_str());
    format!("/api/v1/sessions/{session}/{what}/{}", encoded(name))
}

/// A text as a part of a path.
pub(super) fn encoded(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            path.push(byte.into());
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// Reads the fields of a body, none of which may be unknown.
async fn fields_of<T>(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    read: impl FnOnce(&mut Fields<'_>, &mut Names) -> Option<T>,
) -> Result<T, ApiError> {
    let caller = Caller::of(request)?;
    let key = HeaderKey::read(request.headers(), &caller)?.map(|key| key.kept());
    let take = |fields: &mut Fields<'_>| read(fields, &mut Names::of(key.as_deref()));
    let read = body::fields(state, request, payload, take).await?;
    read.ok_or_else(|| ApiError::fault("a body without mistakes could not be read"))
}

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    let known = ["state", "participant", "text", "since", "limit", "cursor"];
    let query = Query::read(request.query_string(), &known)?;
    let filter = SessionFilter {
        states: query.words("state")?,
        participant: query.text("participant", MAX_TITLE)?,
        text: query.text("text", MAX_TITLE)?,
        since: query.time("since")?,
        limit: query.number("limit", SESSIONS, 1, MAX_LIMIT)?,
        after: query.parsed("cursor")?,
    };
    let any = anybody()?;
    run(&state, &request, &any, Command::List(Box::new(filter))).await
}

/// Stands for the session where none is meant.
pub(super) fn anybody() -> Result<SessionId, ApiError> {
    "any".parse().map_err(|_| ApiError::fault("a word is no id of a session"))
}

pub(super) async fn create(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let new = fields_of(&state, &request, payload, |fields, names| {
        let given = fields.parsed("session_id");
        let id = given.or_else(|| names.make("session").parse().ok())?;
        Some(read::session(fields, id))
    })
    .await?;
    let id = new.id.clone();
    run(&state, &request, &id, Command::Create(Box::new(new))).await
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    run(&state, &request, &id(&request)?, Command::Show).await
}

pub(super) async fn change(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = id(&request)?;
    let change = fields_of(&state, &request, payload, |fields, _| Some(read::change(fields)));
    run(&state, &request, &id, Command::Change(Box::new(change.await?))).await
}

pub(super) async fn remove(state: Data<State>, request: HttpRequest) -> Answer {
    let id = id(&request)?;
    let query = Query::read(request.query_string(), &["cascade"])?;
    let cascade = query.get("cascade").is_none() || query.flag("cascade")?;
    run(&state, &request, &id, Command::Delete { cascade }).await
}

async fn step(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
    event: SessionEvent,
) -> Answer {
    let id = id(&request)?;
    body::nothing(&state, &request, payload).await?;
    run(&state, &request, &id, Command::Step(event)).await
}

pub(super) async fn pause(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    step(state, request, payload, SessionEvent::Paused).await
}

pub(super) async fn resume(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    step(state, request, payload, SessionEvent::Resumed).await
}

pub(super) async fn complete(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    step(state, request, payload, SessionEvent::Completed).await
}

pub(super) async fn chunks(state: Data<State>, request: HttpRequest) -> Answer {
    let id = id(&request)?;
    let (limit, after) = query::page(request.query_string(), (ITEMS, MAX_LIMIT))?;
    run(&state, &request, &id, Command::ListChunks { limit, after }).await
}

pub(super) async fn append(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = id(&request)?;
    let chunk =
        fields_of(&state, &request, payload, |fields, names| read::chunk(fields, None, names));
    run(&state, &request, &id, Command::Append(vec![chunk.await?])).await
}

pub(super) async fn chunk(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    run(&state, &request, &id(&request)?, Command::GetChunk(item(&request)?)).await
}

pub(super) async fn memories(state: Data<State>, request: HttpRequest) -> Answer {
    let id = id(&request)?;
    let query = Query::read(request.query_string(), &["type", "tag", "text", "limit", "cursor"])?;
    let filter = MemoryFilter {
        kinds: query.words("type")?,
        tags: tags(&query)?,
        text: query.text("text", MAX_TITLE)?,
        limit: query.number("limit", ITEMS, 1, MAX_LIMIT)?,
        after: query.parsed("cursor")?,
    };
    run(&state, &request, &id, Command::Query(Box::new(filter))).await
}

/// The tags that a query names.
fn tags(query: &Query) -> Result<Vec<String>, ApiError> {
    let named = query.text("tag", MAX_TAG * MAX_TAGS)?.unwrap_or_default();
    Ok(named.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
}

pub(super) async fn store(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = id(&request)?;
    let memory =
        fields_of(&state, &request, payload, |fields, names| read::memory(fields, None, names));
    run(&state, &request, &id, Command::Store(memory.await?)).await
}

pub(super) async fn memory(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    run(&state, &request, &id(&request)?, Command::Retrieve(item(&request)?)).await
}

pub(super) async fn put_memory(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let (id, key) = (id(&request)?, item(&request)?);
    let memory = fields_of(&state, &request, payload, |fields, names| {
        read::memory(fields, Some(key), names)
    });
    run(&state, &request, &id, Command::Store(memory.await?)).await
}

pub(super) async fn tasks(state: Data<State>, request: HttpRequest) -> Answer {
    let id = id(&request)?;
    let (limit, after) = query::page(request.query_string(), (ITEMS, MAX_LIMIT))?;
    run(&state, &request, &id, Command::ListTasks { limit, after }).await
}

pub(super) async fn delegate(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = id(&request)?;
    let delegation = fields_of(&state, &request, payload, read::delegation);
    run(&state, &request, &id, Command::Delegate(Box::new(delegation.await?))).await
}

pub(super) async fn task(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    run(&state, &request, &id(&request)?, Command::GetTask(item(&request)?)).await
}

pub(super) async fn cancel(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let (id, task) = (id(&request)?, item(&request)?);
    body::nothing(&state, &request, payload).await?;
    run(&state, &request, &id, Command::CancelTask(task)).await
}

pub(super) async fn artifacts(state: Data<State>, request: HttpRequest) -> Answer {
    let id = id(&request)?;
    let known = ["type", "text", "task_id", "since", "until", "limit", "cursor"];
    let query = Query::read(request.query_string(), &known)?;
    let filter = ArtifactFilter {
        kind: query.text("type", MAX_TITLE)?,
        text: query.text("text", MAX_TITLE)?,
        task: query.parsed("task_id")?,
        since: query.time("since")?,
        until: query.time("until")?,
        limit: query.number("limit", ITEMS, 1, MAX_LIMIT)?,
        after: query.parsed("cursor")?,
    };
    run(&state, &request, &id, Command::ListArtifacts(Box::new(filter))).await
}

pub(super) async fn add_artifact(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let id = id(&request)?;
    let artifact =
        fields_of(&state, &request, payload, |fields, names| read::artifact(fields, None, names));
    run(&state, &request, &id, Command::AddArtifact(Box::new(artifact.await?))).await
}

pub(super) async fn artifact(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    run(&state, &request, &id(&request)?, Command::GetArtifact(item(&request)?)).await
}

/// Searches all sessions, or one.
pub(super) async fn search(state: Data<State>, request: HttpRequest) -> Answer {
    let known = ["text", "kind", "session", "tag", "type", "since", "until", "limit", "cursor"];
    let query = Query::read(request.query_string(), &known)?;
    let text = query.text("text", MAX_TITLE)?.filter(|text| !text.trim().is_empty());
    let missing = || ApiError::new(Kind::BadQuery, "`text`: must be there: what is searched for");
    let filter = SearchFilter {
        text: text.ok_or_else(missing)?,
        kinds: query.words::<SearchKind>("kind")?,
        session: query.parsed("session")?,
        tags: tags(&query)?,
        types: query.words::<MemoryType>("type")?,
        since: query.time("since")?,
        until: query.time("until")?,
        limit: query.number("limit", ITEMS, 1, MAX_LIMIT)?,
        after: query.parsed("cursor")?,
    };
    let session = filter.session.clone();
    let found = state.sessions.search(filter).await;
    let answer = found.map(|found| ok(&found)).map_err(ApiError::from);
    noted(&state, &request, "search", session.as_ref(), answer)
}

/// Makes a session of a file that was exported: JSON, or Markdown by its media type.
pub(super) async fn import(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let query = Query::read(request.query_string(), &["merge"])?;
    let merge = query.flag("merge")?;
    let bytes = body::bytes(&request, payload, state.settings.max_body).await?;
    let bad = |detail: String| ApiError::new(Kind::BadField, detail);
    let export: Export = if body::says(&request, "text/markdown") {
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| bad("the body must be text in UTF-8".to_owned()))?;
        read_markdown(text).map_err(|error| bad(error.to_string()))?
    } else {
        body::is_json(&request)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| bad(format!("the body is no exported session: {error}")))?
    };
    export.check().map_err(|flaw| ApiError::of_field(Kind::Invalid, flaw.field, flaw.what))?;
    let id = export.session.session_id.clone();
    let imported = state.sessions.import(export, merge).await;
    let place = format!("/api/v1/sessions/{}", encoded(id.as_str()));
    let answer = imported.map(|imported| made(imported.created, &place, &imported));
    noted(&state, &request, "import_session", Some(&id), answer.map_err(ApiError::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_leaves_encoded_is_decoded_once() {
        for (text, name) in [
            ("plain", "plain"),
            ("a%2fb%2Bc%25", "a/b+c%"),
            ("%252F", "%2F"),
            ("100%", "100%"),
            ("%zz%2", "%zz%2"),
        ] {
            assert_eq!(decoded(text), name, "{text}");
        }
        assert_eq!(encoded("a/ä b~"), "a%2F%C3%A4%20b~");
    }
}
