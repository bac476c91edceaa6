//! `POST /webhook`: the contract that chat assistants and other programs speak, see
//! `docs/LLM_SESSION_API.md`.
//!
//! One body, one command (or a batch). What comes of it is told in the shape of the contract, with a true
//! HTTP status beside it; a body that can't be read is a problem document, as everywhere.
//!
//! - A request with an `Idempotency-Key` is carried out once; the same again gets the same answer.
//! - A caller may wait for a task; after the wait that the operator allows it gets 504, and the task goes
//!   on.
//! - What was taken is told to the clients of the [`relay`].

pub(super) mod answer;
mod changes;
pub(super) mod github;
pub(super) mod instructions;
pub(super) mod read;
pub(super) mod relay;
mod task;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Payload},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Answer, State, audit, body,
    caller::Caller,
    error::{ApiError, Kind},
    journal::{self, Entry, Via},
    once::HeaderKey,
    query,
    sessions::read::Names,
};
use crate::{
    domain::{access::About, session::SessionId},
    sessions::{Command, Done},
};
use answer::{Told, has_ended};
use read::{Asked, BATCH, TASK, Wrong};
use relay::Heard;

/// What is written down of a request that never became a command.
const NONE: &str = "unreadable";

/// A status and a body, as they are kept for a request that comes again.
type Spoken = (StatusCode, Value);

/// A webhook that can be carried out.
struct Taken {
    asked: Asked,
    /// Its type.
    event: String,
    bytes: Bytes,
    /// Its key, in the scope of its caller.
    key: Option<String>,
}

/// Answers a webhook.
pub(super) async fn receive(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    if github::is_delivery(request.headers()) {
        let answer = github::receive(&state, &request, payload).await;
        journal::count(&state, "github", &answer);
        return answer;
    }
    let taken = match take(&state, &caller, &request, payload).await {
        Ok(taken) => taken,
        Err(refused) => {
            let status = refused.problem().status;
            let entry = Entry { via: Via::Webhook, word: NONE, session: None, status, cause: None };
            journal::enter(&state, &caller, &entry);
            return Err(refused);
        }
    };
    let Taken { asked, event, bytes, key } = taken;
    let heard = (&*event, &*bytes);
    let Some(key) = key else {
        let changes = changes::of(&asked);
        let (status, body) = carry_out(&state, &caller, &request, asked, heard).await;
        audit::tell(&request, changes::told(changes, status, &body));
        return Ok(HttpResponse::build(status).json(body));
    };
    let note = |status| {
        let (word, session) = asked.about();
        let entry = Entry { via: Via::Webhook, word, session, status, cause: None };
        journal::enter(&state, &caller, &entry);
    };
    let receipt = match state.sessions.take("webhook", &key, &Sha256::digest(&bytes)).await {
        Ok(Ok(receipt)) => receipt,
        Err(error) => {
            let refused = ApiError::from(error);
            note(refused.problem().status);
            return Err(refused);
        }
        Ok(Err((status, body))) => {
            note(status);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            audit::told(&request);
            let mut again = HttpResponse::build(status);
            again.insert_header(("Idempotent-Replayed", "true"));
            return Ok(again.json(body));
        }
    };
    let changes = changes::of(&asked);
    let (status, body) = carry_out(&state, &caller, &request, asked, heard).await;
    audit::tell(&request, changes::told(changes, status, &body));
    if status.is_server_error() {
        state.sessions.release(&receipt).await?;
    } else {
        state.sessions.answered(&receipt, status.as_u16(), &body).await?;
    }
    Ok(HttpResponse::build(status).json(body))
}

/// Reads a webhook, and looks whether its caller may ask that.
async fn take(
    state: &State,
    caller: &Caller,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Taken, ApiError> {
    let bytes = whole(state, request, payload).await?;
    let key = HeaderKey::read(request.headers(), caller)?.map(|key| key.kept());
    let Value::Object(object) = body::parse(&bytes)? else {
        return Err(ApiError::new(Kind::BadJson, "the body must be an object"));
    };
    let event = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let asked = read::read(object, &mut Names::of_body(key.as_deref(), &bytes)).map_err(wrong)?;
    for (scope, is_of_tasks) in asked.needs() {
        // Of whose queue a task is shows when it is looked for.
        caller.may(scope, if is_of_tasks { About::Nothing } else { About::Host })?;
    }
    Ok(Taken { asked, event, bytes, key })
}

/// The body of a webhook, which says that it is JSON.
async fn whole(state: &State, request: &HttpRequest, payload: Payload) -> Result<Bytes, ApiError> {
    query::none(request)?;
    let bytes = body::bytes(request, payload, state.settings.max_body).await?;
    body::is_json(request)?;
    Ok(bytes.freeze())
}

fn wrong(wrong: Wrong) -> ApiError {
    match wrong {
        Wrong::Fields(errors) => ApiError::fields(Kind::BadField, errors),
        Wrong::Unknown { field, word, known } => {
            let detail = format!("`{word}` is not known; known are {}", known.join(", "));
            ApiError::of_field(Kind::Invalid, field, detail)
        }
    }
}

/// Carries out what was asked for, tells the log, the metrics and the relay.
async fn carry_out(
    state: &State,
    caller: &Caller,
    request: &HttpRequest,
    asked: Asked,
    (event, body): (&str, &[u8]),
) -> Spoken {
    let delivery = request
        .headers()
        .get(super::api::REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .map_or_else(|| Names::of(None).make("delivery"), str::to_owned);
    let note = |word, session: Option<&SessionId>, status: StatusCode, cause: Option<&str>| {
        let status = status.as_u16();
        journal::enter(state, caller, &Entry { via: Via::Webhook, word, session, status, cause });
    };
    let tell = |sync| state.relay.tell(&Heard { sync, event, delivery: &delivery, payload: body });
    match asked {
        Asked::One { word, session, command, sync } => {
            tell(sync);
            let told = one(state, caller, (word, &session), command, sync).await;
            note(word, Some(&session), told.status, told.cause.as_deref());
            (told.status, told.body(word, &session))
        }
        Asked::Batch { session, commands, atomic } => {
            tell(false);
            let note = |word, told: &Told| {
                note(word, Some(&session), told.status, told.cause.as_deref());
            };
            let told = if atomic {
                together(state, caller, &session, commands, &note).await
            } else {
                each(state, caller, &session, commands, &note).await
            };
            note(BATCH, &told);
            (told.status, told.body(BATCH, &session))
        }
        Asked::Task { command, sync } => {
            let (status, body, cause) = task::carry_out(state, caller, command, sync, &tell).await;
            note(TASK, None, status, cause.as_deref());
            (status, body)
        }
    }
}

/// Carries out one command.
async fn one(
    state: &State,
    caller: &Caller,
    (word, session): (&str, &SessionId),
    command: Command,
    sync: bool,
) -> Told {
    let done = match state.sessions.run(&caller.grants, session, command).await {
        Ok(done) => done,
        Err(error) => return Told::failed(error),
    };
    let given = match &done {
        Done::Delegated { task, .. } if sync => task,
        _ => return Told::done(word, done),
    };
    match state.sessions.task_ended(given).await {
        Ok(task) if has_ended(&task.status) => Told::done(word, Done::Task(Box::new(task))),
        Ok(task) => Told {
            status: StatusCode::GATEWAY_TIMEOUT,
            message: format!(
                "task {} has not ended yet; it goes on, ask with get_task",
                task.task_id
            ),
            data: Ok(json!(task)),
            cause: None,
        },
        Err(error) => Told::failed(error),
    }
}

/// Carries out commands one by one; each counts by itself. `note` writes down what came of one.
async fn each(
    state: &State,
    caller: &Caller,
    session: &SessionId,
    commands: Vec<(&'static str, Command)>,
    note: &impl Fn(&'static str, &Told),
) -> Told {
    let mut items = Vec::with_capacity(commands.len());
    let mut failed = 0_usize;
    for (word, command) in commands {
        let told = one(state, caller, (word, session), command, false).await;
        note(word, &told);
        failed += usize::from(!told.is_done());
        items.push(told.item(word));
    }
    let processed = items.len();
    Told {
        status: if failed == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS },
        message: format!("{} of {processed} commands carried out", processed - failed),
        data: Ok(json!({ "results": items, "processed": processed, "failed": failed })),
        cause: None,
    }
}

/// Carries out commands, all of them or none. `note` writes down what came of each, or of the one for which
/// nothing was done.
async fn together(
    state: &State,
    caller: &Caller,
    session: &SessionId,
    commands: Vec<(&'static str, Command)>,
    note: &impl Fn(&'static str, &Told),
) -> Told {
    let (words, commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
    match state.sessions.run_all(&caller.grants, session, commands).await {
        Ok(done) => {
            let items = words.iter().zip(done).map(|(word, done)| {
                let told = Told::done(word, done);
                note(word, &told);
                told.item(word)
            });
            let items: Vec<_> = items.collect();
            Told {
                status: StatusCode::OK,
                message: format!("{} commands carried out", items.len()),
                data: Ok(json!({ "processed": items.len(), "results": items, "failed": 0 })),
                cause: None,
            }
        }
        Err((at, error)) => {
            let mut told = Told::failed(error);
            let word = words.get(at).copied().unwrap_or(BATCH);
            note(word, &told);
            // It has been written down.
            told.cause = None;
            told.message = format!("nothing was done: commands[{at}], {word}, can't be");
            told
        }
    }
}

/// Reads a body: whatever it asks for, it needs a scope, unless it asks for nothing.
#[cfg(fuzzing)]
pub(super) fn fuzzed(object: serde_json::Map<String, Value>) {
    if let Ok(asked) = read::read(object, &mut Names::of(Some("key"))) {
        let asks_nothing = matches!(&asked, Asked::Batch { commands, .. } if commands.is_empty());
        assert!(!asked.needs().is_empty() || asks_nothing, "nothing is free");
    }
}
