//! Contents of chunks and artifacts, and exports: streamed both ways.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data, Payload},
};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::{id, item, made, noted, place, read::MAX_TITLE};
use crate::{
    domain::session::{ChunkFormat, Extracted, Form, NewArtifact, NewChunk},
    http::{
        Answer, State, body,
        error::{ApiError, Kind},
        query::{self, Query},
    },
    sessions::{SessionError, Upload},
};
use serde_json::{Map, json};

/// The largest content that is streamed in, in bytes.
const MAX_CONTENT: u64 = 1 << 30;

/// The media type of a content.
const TEXT: &str = "text/plain; charset=utf-8";

/// What goes wrong after the answer has begun ends it early; the log says why.
fn streamed(
    state: &Data<State>,
    media: &'static str,
    content: impl Stream<Item = Result<Bytes, SessionError>> + 'static,
) -> HttpResponse {
    let log = state.log.clone();
    let content = content.inspect_err(move |error| {
        slog::warn!(log, "an answer broke off"; "error" => %crate::telemetry::Chain(error));
    });
    HttpResponse::Ok().content_type(media).streaming(content)
}

pub(in crate::http) async fn chunk_content(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let (session, name) = (id(&request)?, item(&request)?);
    let content = state.sessions.chunk_content(&session, &name).await;
    let answer = content.map(|content| streamed(&state, TEXT, content)).map_err(ApiError::from);
    noted(&state, &request, "get_chunk", Some(&session), answer)
}

pub(in crate::http) async fn artifact_content(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let (session, name) = (id(&request)?, item(&request)?);
    let content = state.sessions.artifact_content(&session, &name).await;
    let answer = content.map(|content| streamed(&state, TEXT, content)).map_err(ApiError::from);
    noted(&state, &request, "get_artifact", Some(&session), answer)
}

pub(in crate::http) async fn export(state: Data<State>, request: HttpRequest) -> Answer {
    let query = Query::read(request.query_string(), &["form"])?;
    let (form, media) = match query.get("form") {
        None | Some("json") => (Form::Json, "application/json"),
        Some("markdown") => (Form::Markdown, "text/markdown; charset=utf-8"),
        Some(_) => {
            return Err(ApiError::new(Kind::BadQuery, "`form`: must be `json` or `markdown`"));
        }
    };
    let session = id(&request)?;
    let content = state.sessions.export(&session, form).await;
    let answer = content.map(|content| streamed(&state, media, content)).map_err(ApiError::from);
    noted(&state, &request, "export_session", Some(&session), answer)
}

/// The body of a request as it arrives, as long as it is text that is not too much.
fn arriving(
    request: &HttpRequest,
    payload: Payload,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + Unpin + use<>, ApiError> {
    if !body::says(request, "text/plain") {
        return Err(ApiError::new(Kind::NotJson, "send `Content-Type: text/plain`"));
    }
    let mut size = 0_u64;
    Ok(payload.map(move |piece| {
        let broken = "the body broke off before its end";
        let piece = piece.map_err(|_| ApiError::new(Kind::BadJson, broken))?;
        size += piece.len() as u64;
        if size > MAX_CONTENT {
            let detail = format!("at most {MAX_CONTENT} bytes are taken");
            return Err(ApiError::new(Kind::TooLarge, detail));
        }
        Ok(piece)
    }))
}

pub(in crate::http) async fn put_chunk_content(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let (session, name) = (id(&request)?, item(&request)?);
    let query = Query::read(request.query_string(), &["format"])?;
    let chunk = NewChunk {
        name: name.clone(),
        format: query.parsed("format")?.unwrap_or(ChunkFormat::Transcript),
        content: String::new(),
        started_at: None,
        ended_at: None,
        participants: Vec::new(),
        extracted: Extracted::default(),
        metadata: Map::new(),
        at: None,
    };
    let content = arriving(&request, payload)?;
    let upload = Upload::Chunk(Box::new(chunk));
    let kept = state.sessions.upload(&session, upload, content).await;
    let answer = kept.map(|(size, created)| {
        let shown = json!({ "chunk_id": name, "content_size": size, "created": created });
        made(created, &place(&session, "chunks", name.as_str()), &shown)
    });
    noted(&state, &request, "append_conversation", Some(&session), answer)
}

pub(in crate::http) async fn put_artifact_content(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let (session, name) = (id(&request)?, item(&request)?);
    let query = Query::read(request.query_string(), &["type", "name", "format", "task_id"])?;
    let given = |field: &str, default: &str| {
        let text = query.text(field, MAX_TITLE)?;
        Ok::<_, ApiError>(text.unwrap_or_else(|| default.to_owned()))
    };
    let artifact = NewArtifact {
        kind: given("type", "document")?,
        title: given("name", name.as_str())?,
        content: String::new(),
        format: given("format", "text")?,
        metadata: Map::new(),
        task: query.parsed("task_id")?,
        name: name.clone(),
        at: None,
    };
    let content = arriving(&request, payload)?;
    let upload = Upload::Artifact(Box::new(artifact));
    let kept = state.sessions.upload(&session, upload, content).await;
    let answer = kept.map(|(size, created)| {
        let shown = json!({ "artifact_id": name, "content_size": size, "created": created });
        made(created, &place(&session, "artifacts", name.as_str()), &shown)
    });
    noted(&state, &request, "add_artifact", Some(&session), answer)
}
