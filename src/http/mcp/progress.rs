//! How far the task is that a call waits for, told before its answer: `notifications/progress`, for a client
//! that gives a `progressToken` and takes a stream of events as the answer.
//!
//! The answer to such a call is a stream: what becomes of the task, each time it changes and as a sign of life
//! every [`TELL_EVERY`], and at last the response. A client that hangs up is told nothing more; the task goes
//! on. What it may not wait for, it is told of by the response alone.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::HeaderMap,
    web::{Bytes, Data},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::{
    State,
    message::{Call, Era},
    table,
};
use crate::{
    domain::{TaskId, record::TaskRecord},
    http::{audit, caller::Caller, error::ApiError, events::wants_stream, tasks::settled},
    protocol::sse::{self, EVENT_STREAM},
};

/// How often it is looked how far the task is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is told, though nothing has changed: proxies close what is silent.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How many messages wait for a client.
const BEHIND: usize = 16;

/// The longest message, in characters.
const MAX_MESSAGE: usize = 500;

/// Whom to tell how far a task is, if anybody.
pub(super) struct Teller(Option<Told>);

struct Told {
    token: Value,
    frames: mpsc::Sender<Bytes>,
}

impl Teller {
    /// Nobody wants to know.
    pub(super) const fn nobody() -> Self {
        Self(None)
    }

    /// The task once it is final, or as it is when the limit has passed, the host stops, or who waits has gone.
    pub(super) async fn settled(
        &self,
        state: &State,
        id: TaskId,
        limit: Duration,
    ) -> Result<TaskRecord, ApiError> {
        let Some(told) = &self.0 else { return settled(state, id, limit).await };
        let (began, mut said, mut said_at) = (Instant::now(), String::new(), Instant::now());
        let mut task = settled(state, id, Duration::ZERO).await?;
        loop {
            let elapsed = began.elapsed();
            let is_over = elapsed >= limit || state.closing.is_closed();
            if task.state.is_final() || is_over || told.frames.is_closed() {
                return Ok(task);
            }
            let message = message(&task, progress_of(state, &task).await.as_ref());
            if message != said || said_at.elapsed() >= TELL_EVERY {
                told.tell(elapsed, limit, &message);
                (said, said_at) = (message, Instant::now());
            }
            task = settled(state, id, LOOK_EVERY.min(limit.saturating_sub(elapsed))).await?;
        }
    }
}

impl Told {
    /// Tells how far it is; by a client that has not taken what was said before it is not missed.
    fn tell(&self, elapsed: Duration, limit: Duration, message: &str) {
        let params = json!({
            "progressToken": self.token, "progress": elapsed.as_secs_f64(),
            "total": limit.as_secs_f64(), "message": message,
        });
        let told = json!({
            "jsonrpc": "2.0", "method": "notifications/progress", "params": params,
        });
        drop(self.frames.try_send(frame(&told)));
    }
}

fn frame(message: &Value) -> Bytes {
    sse::unplaced("message", &message.to_string())
}

/// What the agent that has the task says of how far it is, where it is an agent of this host.
async fn progress_of(state: &State, task: &TaskRecord) -> Option<Value> {
    let agent = state.supervisor.agent(task.agent.clone()?).await.ok()?;
    agent.progress.filter(|_| agent.task == Some(task.id))
}

/// Where the task is, in words.
fn message(task: &TaskRecord, progress: Option<&Value>) -> String {
    let mut message = format!("the task is {}", task.state);
    if let Some(agent) = &task.agent {
        message.push_str(&format!(", attempt {} by {agent}", task.attempt));
    }
    if let Some(progress) = progress {
        message.push_str(&format!(": {progress}"));
    }
    message.chars().take(MAX_MESSAGE).collect()
}

/// The token of a call that waits, if its client takes a stream.
pub(super) fn wanted(call: &Call, headers: &HeaderMap) -> Option<Value> {
    let token = call.params.get("_meta")?.get("progressToken")?.clone();
    let is_one = token.is_string() || token.is_number();
    (is_one && waits(call) && wants_stream(headers)).then_some(token)
}

/// Whether a call waits for a task, and is not to be asked about later.
fn waits(call: &Call) -> bool {
    if call.method != "tools/call" {
        return call.method == "tasks/result" && call.era == Era::Session;
    }
    let name = call.params.get("name").and_then(Value::as_str);
    let wait = call.params.get("arguments").and_then(|arguments| arguments.get("wait"));
    match name.and_then(table::find) {
        Some(tool) if tool.long => {
            let seconds = wait.and_then(Value::as_i64);
            seconds.is_some_and(|seconds| seconds > 0) && !super::tools::wants_task(call)
        }
        Some(tool) => tool.name == "wait_task",
        None => false,
    }
}

/// Answers a call by a stream: how far it is, and what came of it.
pub(super) fn told(
    state: Data<State>,
    caller: Caller,
    request: &HttpRequest,
    call: Call,
    token: Value,
) -> HttpResponse {
    let deed = audit::deed_of(&caller, request);
    audit::told(request);
    let (frames, told) = mpsc::channel(BEHIND);
    let teller = Teller(Some(Told { token, frames: frames.clone() }));
    // Whoever hangs up has asked for it all the same: what was done is recorded.
    actix_web::rt::spawn(async move {
        let done = super::dispatch(&state, &caller, &call, &teller).await;
        audit::note_all(&state, deed, super::changes(&call, &done));
        let answer = match done {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": call.id, "result": result }),
            Err(error) => error.document(&call.id),
        };
        drop(frames.send(frame(&answer)).await);
    });
    let frames = stream::unfold(told, |mut told| async move {
        told.recv().await.map(|frame| (Ok::<_, Infallible>(frame), told))
    });
    let mut answer = HttpResponse::Ok();
    answer.content_type(EVENT_STREAM).insert_header(("X-Accel-Buffering", "no"));
    answer.streaming(frames)
}
