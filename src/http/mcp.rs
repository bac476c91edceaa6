//! The Model Context Protocol at `/mcp`: what a host does, as tools for language models.
//!
//! Streamable HTTP, one message a request, every answer JSON. Both current revisions are spoken:
//! 2025-11-25 (and its predecessors), which begins with `initialize`, and 2026-07-28, in which
//! every request says all about itself. Nothing is kept between requests in either: no session is
//! handed out, so none is lost when a host restarts, and a session id that somebody else handed out
//! is answered with 404, at which a client begins anew. Long work is a task of the queue, and so it
//! is a task of MCP: its id is the id of the task.
//!
//! Whoever is let in may ask what there is. What a tool, a resource or a task needs of the caller's key
//! is what the API asks for the same thing.
//!
//! - `message` reads what comes: which revision, which call, what is wrong with it. Pure.
//! - `table` says what tools there are, `tools` does what they do; `tasks` the utility for long work; `texts` resources and prompts.

mod message;
mod table;
mod tasks;
mod texts;
mod tools;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::HeaderMap},
    web::{Data, Payload},
};
use serde_json::{Map, Value, json};

use super::{Answer, State, body, caller::Caller, error::ApiError};
use message::{Call, Era, Headers, Message, RpcError, SESSION_VERSIONS, STATELESS};

/// How long a listing that never changes may be kept, in milliseconds.
const TTL_MS: u64 = 3_600_000;

/// What a model is told of the host as a whole.
const INSTRUCTIONS: &str = "Hostler runs fleets of agents on the operator's own hosts. Delegate work with \
    `delegate_task` (to a queue that `list_fleets` shows), follow it with `wait_task` or `task_status`, \
    and read the result in `output`. For work of many steps write a plan, check it with `check_plan`, \
    and carry it out with `run_plan`. A delegated task goes on when the conversation ends; keep its id.";

pub(super) async fn post(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let bytes = body::bytes(&request, payload, state.settings.max_body).await?;
    let message = match message::read(&bytes, &headers(request.headers())) {
        Ok(message) => message,
        Err((id, error)) => return Ok(refused(&id, &error)),
    };
    let call = match message {
        Message::Call(call) => call,
        Message::Told => return Ok(HttpResponse::Accepted().finish()),
    };
    let answer = match dispatch(&state, &caller, &call).await {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": call.id, "result": result }),
        Err(error) if call.era == Era::Stateless => return Ok(refused(&call.id, &error)),
        Err(error) => error.document(&call.id),
    };
    Ok(HttpResponse::Ok().insert_header(("X-Accel-Buffering", "no")).json(answer))
}

fn headers(headers: &HeaderMap) -> Headers<'_> {
    let get = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    Headers {
        version: get("mcp-protocol-version"),
        method: get("mcp-method"),
        name: get("mcp-name"),
        session: get("mcp-session-id"),
    }
}

fn refused(id: &Value, error: &RpcError) -> HttpResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    HttpResponse::build(status).json(error.document(id))
}

/// Does what a call asks for.
async fn dispatch(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let fixed = Some(TTL_MS);
    match (&*call.method, call.era) {
        ("initialize", Era::Session) => Ok(initialize(call)),
        ("server/discover", Era::Stateless) => Ok(complete(call, discover(), fixed)),
        ("ping", _) => Ok(complete(call, json!({}), None)),
        ("tools/list", _) => Ok(complete(call, json!({ "tools": tools::list(call.era) }), fixed)),
        ("tools/call", _) => tools::call(state, caller, call).await,
        ("resources/list", _) => Ok(complete(call, texts::resources(), fixed)),
        ("resources/templates/list", _) => Ok(complete(call, texts::templates(), fixed)),
        ("resources/read", _) => {
            texts::read(state, caller, call).await.map(|read| complete(call, read, Some(0)))
        }
        ("prompts/list", _) => Ok(complete(call, texts::prompts(), fixed)),
        ("prompts/get", _) => texts::prompt(call).map(|prompt| complete(call, prompt, None)),
        ("tasks/get", _) => tasks::get(state, caller, call).await,
        ("tasks/cancel", _) => tasks::cancel(state, caller, call).await,
        ("tasks/update", Era::Stateless) => tasks::update(state, caller, call).await,
        ("tasks/result", Era::Session) => tasks::result(state, caller, call).await,
        ("tasks/list", Era::Session) => tasks::list(state, caller, call).await,
        _ => Err(RpcError::no_method(&call.method)),
    }
}

/// A result as the revision of its call wants it; `ttl_ms` says for how long a listing may be kept.
fn complete(call: &Call, mut result: Value, ttl_ms: Option<u64>) -> Value {
    if let (Era::Stateless, Some(fields)) = (call.era, result.as_object_mut()) {
        fields.insert("resultType".to_owned(), json!("complete"));
        if let Some(ttl) = ttl_ms {
            fields.insert("ttlMs".to_owned(), json!(ttl));
            fields
                .insert("cacheScope".to_owned(), json!(if ttl > 0 { "public" } else { "private" }));
        }
    }
    result
}

fn server_info() -> Value {
    json!({ "name": "hostler", "title": "Hostler", "version": env!("CARGO_PKG_VERSION") })
}

fn initialize(call: &Call) -> Value {
    let asked = call.params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    // One that is not known is answered with the newest that is; the client decides then.
    let version = SESSION_VERSIONS.iter().find(|known| **known == asked);
    let tasks = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    json!({
        "protocolVersion": version.unwrap_or(&SESSION_VERSIONS[0]),
        "capabilities": { "tools": {}, "resources": {}, "prompts": {}, "tasks": tasks },
        "serverInfo": server_info(),
        "instructions": INSTRUCTIONS,
    })
}

fn discover() -> Value {
    let mut versions = vec![STATELESS];
    versions.extend(SESSION_VERSIONS);
    json!({
        "supportedVersions": versions,
        "capabilities": {
            "tools": {}, "resources": {}, "prompts": {}, "extensions": { tasks::EXTENSION: {} },
        },
        "instructions": INSTRUCTIONS,
        "_meta": { "io.modelcontextprotocol/serverInfo": server_info() },
    })
}

/// What a handler of the API answers, as a value.
async fn value_of(answer: Answer) -> Result<Value, ApiError> {
    let bytes = actix_web::body::to_bytes(answer?.into_body()).await;
    let bytes = bytes.map_err(|_| ApiError::fault("an answer could not be read"))?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::fault(error.to_string()))
}

/// What a handler of the API would answer with, as a value.
fn value(body: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(body).map_err(|error| ApiError::fault(error.to_string()))
}

/// The object in `params` of this name; empty where it is absent.
fn object(params: &Map<String, Value>, name: &str) -> Map<String, Value> {
    params.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}
