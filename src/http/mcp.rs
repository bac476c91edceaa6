//! The Model Context Protocol at `/mcp`: what a host does, as tools for language models.
//!
//! Streamable HTTP, one message a request, every answer JSON, but for a call that waits for a task and wants to
//! be told how far that is (`progress`): its answer is a stream. Both current revisions are spoken:
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
//! - `progress` tells how far the task is that a call waits for.
//! - `table` says what tools there are, `tools` does what they do; `tasks` the utility for long work.
//! - `resources` are read by their addresses, `prompts` teach how it is done.

mod message;
mod progress;
mod prompts;
mod resources;
mod table;
mod tasks;
mod tools;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::HeaderMap},
    web::{Data, Payload},
};
use serde_json::{Map, Value, json};

use super::{Answer, State, audit::Told, body, caller::Caller, error::ApiError};
use crate::domain::audit::Surface;
use message::{Call, Era, Headers, Message, RpcError, SESSION_VERSIONS, STATELESS};
use progress::Teller;

/// The arguments that say what a tool is about.
const OBJECTS: [&str; 7] = ["task", "taskId", "session_id", "session", "agent", "fleet", "run"];

/// How long a listing that never changes may be kept, in milliseconds.
const TTL_MS: u64 = 3_600_000;

/// What a model is told of the host as a whole.
const INSTRUCTIONS: &str = "Hostler runs fleets of agents on the operator's own hosts. Delegate work with \
    `delegate_task` (to a queue that `list_fleets` shows), follow it with `wait_task` or `task_status`, \
    and read the result in `output`. A delegated task goes on when the conversation ends; keep its id. For \
    work that goes on over several conversations begin a session with `create_session`: keep what is said \
    in it with `store_memory`, give its tasks away with `delegate_in_session`, and find it again with \
    `list_sessions` and `search_sessions`. For work of many steps write a plan, check it with `check_plan`, \
    and carry it out with `run_plan`.";

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
    if let Some(token) = progress::wanted(&call, request.headers()) {
        return Ok(progress::told(state, caller, &request, call, token));
    }
    let done = dispatch(&state, &caller, &call, &Teller::nobody()).await;
    super::audit::tell(&request, changes(&call, &done));
    let answer = match done {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": call.id, "result": result }),
        Err(error) if call.era == Era::Stateless => return Ok(refused(&call.id, &error)),
        Err(error) => error.document(&call.id),
    };
    Ok(HttpResponse::Ok().insert_header(("X-Accel-Buffering", "no")).json(answer))
}

/// What a call changed, or was to change, for the audit record.
fn changes(call: &Call, done: &Result<Value, RpcError>) -> Vec<Told> {
    let params = call.params.get("arguments").and_then(Value::as_object);
    let (name, params) = match &*call.method {
        "tools/call" => {
            let name = call.params.get("name").and_then(Value::as_str).unwrap_or_default();
            match tools::changes(name) {
                true => (name, params),
                false => return Vec::new(),
            }
        }
        "tasks/cancel" => ("cancel_task", Some(&call.params)),
        _ => return Vec::new(),
    };
    let status = match done {
        Ok(result) if result["isError"] == true => result["structuredContent"]["status"].as_u64(),
        Ok(_) => Some(200),
        Err(error) => Some(error.status.into()),
    };
    let found = |key: &&str| params.and_then(|params| params.get(*key)).and_then(Value::as_str);
    let made = done.as_ref().ok().and_then(|result| {
        let made =
            [&result["structuredContent"]["id"], &result["taskId"], &result["task"]["taskId"]];
        made.into_iter().find_map(Value::as_str)
    });
    let object = OBJECTS.iter().find_map(found).or(made).unwrap_or_default().to_owned();
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(400);
    vec![Told { surface: Surface::Mcp, operation: name.to_owned(), object, status }]
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
async fn dispatch(
    state: &State,
    caller: &Caller,
    call: &Call,
    teller: &Teller,
) -> Result<Value, RpcError> {
    let fixed = Some(TTL_MS);
    match (&*call.method, call.era) {
        ("initialize", Era::Session) => Ok(initialize(call)),
        ("server/discover", Era::Stateless) => Ok(complete(call, discover(), fixed)),
        ("ping", _) => Ok(complete(call, json!({}), None)),
        ("tools/list", _) => Ok(complete(call, json!({ "tools": tools::list(call.era) }), fixed)),
        ("tools/call", _) => tools::call(state, caller, call, teller).await,
        ("resources/list", _) => {
            resources::list(state, caller, call).await.map(|list| complete(call, list, Some(0)))
        }
        ("resources/templates/list", _) => Ok(complete(call, resources::templates(), fixed)),
        ("resources/read", _) => {
            resources::read(state, caller, call).await.map(|read| complete(call, read, Some(0)))
        }
        ("prompts/list", _) => Ok(complete(call, prompts::all(), fixed)),
        ("prompts/get", _) => prompts::get(call).map(|prompt| complete(call, prompt, None)),
        ("tasks/get", _) => tasks::get(state, caller, call).await,
        ("tasks/cancel", _) => tasks::cancel(state, caller, call).await,
        ("tasks/update", Era::Stateless) => tasks::update(state, caller, call).await,
        ("tasks/result", Era::Session) => tasks::result(state, caller, call, teller).await,
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

/// Reads a message, and the arguments of the tool that it calls.
#[cfg(fuzzing)]
pub(super) fn fuzzed([version, method, name, session]: [Option<&str>; 4], bytes: &[u8]) {
    match message::read(bytes, &Headers { version, method, name, session }) {
        Ok(Message::Call(call)) => {
            assert!(call.id.is_string() || call.id.is_number());
            tools::fuzzed(&call);
            drop(prompts::get(&call));
        }
        Ok(Message::Told) => {}
        Err((id, error)) => {
            assert!(error.status >= 400 && error.code < 0);
            assert!(id.is_null() || id.is_string() || id.is_number());
        }
    }
}
