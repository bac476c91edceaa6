//! `GET /ws`: every webhook that was taken, to whoever listens; and their answers to those that wait.
//!
//! What is told goes through one bounded channel. A client that is so slow that it misses something, or
//! that does not take a message within ten seconds, is dropped: it could not know what it missed.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, oneshot},
    time::{Instant, interval, timeout},
};
use uuid::Uuid;

use crate::{
    domain::{
        TaskId,
        access::{About, Scope},
        audit::{Deed, Outcome, Surface},
    },
    http::{
        Answer, State, audit,
        caller::Caller,
        error::ApiError,
        query,
        server::{KEY_ENDED, Over, Until},
    },
    sessions::CommandEnd,
};

/// How many messages a client may be behind.
const BEHIND: usize = 256;

/// The largest webhook that is told with its payload, in bytes: with `BEHIND` the most that waits for clients,
/// however large webhooks are.
const MAX_TOLD: usize = 1 << 20;

/// How long a client may take to take a message.
const TAKES_WITHIN: Duration = Duration::from_secs(10);

/// How often a client is asked whether it is there, and how long it may be silent.
const ASK: Duration = Duration::from_secs(20);
const SILENT: Duration = Duration::from_secs(60);

/// The largest message of a client, in bytes.
const MAX_MESSAGE: usize = 4 << 20;

/// A webhook that was taken.
#[derive(Debug)]
pub(in crate::http) struct Heard<'a> {
    /// Whether its caller waits.
    pub(super) sync: bool,
    /// What it is: its type, or the event of a delivery.
    pub(super) event: &'a str,
    /// Which one it is.
    pub(super) delivery: &'a str,
    /// Its body, which is JSON.
    pub(super) payload: &'a [u8],
}

/// Who waits for the end of a task that a client may answer.
struct Waiting {
    task: TaskId,
    tell: oneshot::Sender<CommandEnd>,
}

/// The answer of a client that somebody waits for, until this is dropped: then nobody does any more.
pub(super) struct Awaited {
    relay: Relay,
    name: String,
    told: oneshot::Receiver<CommandEnd>,
}

impl Awaited {
    /// The answer, or nothing if somebody else waits for the task now.
    pub(super) async fn answer(&mut self) -> Option<CommandEnd> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = self.relay.waiting();
        // Whoever asked later for the same task waits still.
        if waiting.get(&self.name).is_some_and(|waiting| waiting.tell.is_closed()) {
            waiting.remove(&self.name);
        }
    }
}

/// Tells clients, and hears their answers. Cheap to clone.
#[derive(Clone)]
pub(in crate::http) struct Relay {
    tell: broadcast::Sender<Arc<str>>,
    waiting: Arc<Mutex<HashMap<String, Waiting>>>,
}

impl Default for Relay {
    fn default() -> Self {
        Self { tell: broadcast::Sender::new(BEHIND), waiting: Arc::default() }
    }
}

impl Relay {
    /// Tells all clients of a webhook.
    pub(super) fn tell(&self, heard: &Heard<'_>) {
        if self.tell.receiver_count() == 0 {
            return;
        }
        let mut text = json!({
            "type": "webhook", "sync": heard.sync, "event": heard.event,
            "delivery_id": heard.delivery, "timestamp": Timestamp::now(), "payload": Value::Null,
        });
        if heard.payload.len() > MAX_TOLD {
            text["payload_bytes"] = json!(heard.payload.len());
        } else {
            // It has been read once already: this is for listeners alone.
            let Ok(payload) = serde_json::from_slice::<Value>(heard.payload) else { return };
            text["payload"] = payload;
        }
        // The last client may just have gone.
        self.tell.send(text.to_string().into()).unwrap_or_default();
    }

    /// Waits for the answer of a client to the task `name`; the newest who waits for it hears it.
    pub(super) fn wait(&self, name: &str, task: TaskId) -> Awaited {
        let (tell, told) = oneshot::channel();
        self.waiting().insert(name.to_owned(), Waiting { task, tell });
        Awaited { relay: self.clone(), name: name.to_owned(), told }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the answer of a client; the task that it ends, if it is the first.
    fn answer(&self, message: &Value) -> Option<(TaskId, CommandEnd)> {
        let name = message["task_id"].as_str()?;
        let waiting = self.waiting().remove(name)?;
        let completed = message["status"] == "completed";
        let error = message["error"].as_str().map(str::to_owned);
        let end = CommandEnd {
            status: if completed { "completed" } else { "failed" }.to_owned(),
            ended: true,
            output: message["output"].clone(),
            error: error
                .or_else(|| (!completed).then(|| "a client of the relay says so".to_owned())),
            execution_ms: 0,
        };
        // Whoever waited may have had enough.
        waiting.tell.send(end.clone()).unwrap_or_default();
        Some((waiting.task, end))
    }
}

/// Answers the request for the relay.
pub(in crate::http) async fn join(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    // Who listens reads what others have written.
    caller.may(Scope::Read, About::Host)?;
    let deed = Deed {
        surface: Surface::Webhook,
        operation: "task_result".to_owned(),
        ..audit::deed_of(&caller, &request)
    };
    let opened = actix_ws::handle(&request, payload).map_err(|error| {
        let detail = format!("this is for WebSockets: {error}");
        ApiError::new(crate::http::error::Kind::BadHeader, detail)
    })?;
    let (response, session, messages) = opened;
    let messages = messages.max_frame_size(MAX_MESSAGE).aggregate_continuations();
    let messages = messages.max_continuation_size(MAX_MESSAGE);
    let told = state.relay.tell.subscribe();
    let until = Until::of(&state, caller);
    actix_web::rt::spawn(async move {
        state.counters.relay_joined();
        let left = serve(&state, &deed, session, (messages, told), &until).await;
        state.counters.relay_left(matches!(left, Left::TooSlow));
    });
    Ok(response)
}

/// Why a client is served no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It has gone.
    Gone,
    /// It could not keep up.
    TooSlow,
    /// The host stops.
    Closing,
    /// It would not be let in any more.
    NoKey,
}

async fn serve(
    state: &State,
    deed: &Deed,
    mut session: Session,
    (mut messages, mut told): (AggregatedMessageStream, broadcast::Receiver<Arc<str>>),
    until: &Until,
) -> Left {
    let hello = json!({
        "type": "connection", "message": "connected to the relay of Hostler",
        "timestamp": Timestamp::now(),
    });
    if !say(&mut session, &hello.to_string()).await {
        return Left::TooSlow;
    }
    let mut ask = interval(ASK);
    let mut heard_at = Instant::now();
    let mut over = pin!(until.over());
    let left = loop {
        tokio::select! {
            // Nothing more is said to one who may not hear it.
            biased;
            over = &mut over => break match over {
                Over::Closing => Left::Closing,
                Over::Caller => Left::NoKey,
            },
            one = told.recv() => match one {
                Ok(text) if say(&mut session, &text).await => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => break Left::TooSlow,
                Err(broadcast::error::RecvError::Closed) => break Left::Closing,
            },
            message = messages.next() => {
                heard_at = Instant::now();
                match message {
                    Some(Ok(AggregatedMessage::Text(text))) => {
                        if let Some(answer) = hear(state, deed, &text).await
                            && !say(&mut session, &answer.to_string()).await
                        {
                            break Left::TooSlow;
                        }
                    }
                    Some(Ok(AggregatedMessage::Ping(bytes))) => {
                        let pong = timeout(TAKES_WITHIN, session.pong(&bytes));
                        if !matches!(pong.await, Ok(Ok(()))) {
                            break Left::TooSlow;
                        }
                    }
                    Some(Ok(AggregatedMessage::Pong(_) | AggregatedMessage::Binary(_))) => {}
                    Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => break Left::Gone,
                }
            }
            _ = ask.tick() => {
                if heard_at.elapsed() > SILENT {
                    break Left::Gone;
                }
                if !matches!(timeout(TAKES_WITHIN, session.ping(b"")).await, Ok(Ok(()))) {
                    break Left::TooSlow;
                }
            }
        }
    };
    part(session, left).await;
    left
}

/// Closes the connection, and says why.
async fn part(session: Session, left: Left) {
    let why = match left {
        Left::Gone => CloseCode::Normal,
        Left::TooSlow | Left::NoKey => CloseCode::Policy,
        Left::Closing => CloseCode::Away,
    };
    let reason = match left {
        Left::TooSlow => Some("too slow".to_owned()),
        Left::NoKey => Some(KEY_ENDED.to_owned()),
        Left::Gone | Left::Closing => None,
    };
    let close = session.close(Some(CloseReason { code: why, description: reason }));
    // A client that takes nothing does not take this either.
    drop(timeout(TAKES_WITHIN, close).await);
}

/// Sends a text; false if the client does not take it.
async fn say(session: &mut Session, text: &str) -> bool {
    matches!(timeout(TAKES_WITHIN, session.text(text)).await, Ok(Ok(())))
}

/// Hears a client; what it is answered, if anything. `deed` is what is recorded of an answer to a task.
async fn hear(state: &State, deed: &Deed, text: &str) -> Option<Value> {
    let now = Timestamp::now();
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Some(json!({ "type": "error", "message": "that is not JSON", "timestamp": now }));
    };
    match message["type"].as_str() {
        Some("ping") => Some(json!({ "type": "pong", "timestamp": now })),
        Some("task_result") => match state.relay.answer(&message) {
            Some((task, end)) => {
                let settled = state.sessions.answered_by_relay(task, &end).await;
                let outcome = if settled.is_ok() { Outcome::Done } else { Outcome::Failed };
                let (id, object) = (Uuid::now_v7(), task.to_string());
                state.audit.note(Deed { id, at: now, object, outcome, ..deed.clone() });
                let error = settled.err().map(|error| error.to_string())?;
                Some(json!({ "type": "error", "message": error, "timestamp": now }))
            }
            None => Some(json!({
                "type": "error", "message": "nobody waits for that task, or it was answered already",
                "task_id": message["task_id"], "timestamp": now,
            })),
        },
        _ => Some(json!({
            "type": "error", "message": "`type` must be ping or task_result", "timestamp": now,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_wins() {
        let relay = Relay::default();
        let task = TaskId::from_uuid(uuid::Uuid::from_u128(7));
        let mut told = relay.wait("t", task);
        let first = json!({"task_id": "t", "status": "completed", "output": {"success": true}});
        let second = json!({"task_id": "t", "status": "failed", "error": "no"});
        assert_eq!(relay.answer(&first).map(|(task, _)| task), Some(task));
        assert_eq!(relay.answer(&second), None);
        assert_eq!(told.told.try_recv().map(|end| end.status).as_deref(), Ok("completed"));
        drop(relay.wait("t", task));
        assert_eq!(relay.answer(&first), None, "nobody waits any more");
        assert_eq!(relay.answer(&json!(7)), None);
    }

    #[test]
    fn whoever_gives_up_takes_nobody_elses_place() {
        let relay = Relay::default();
        let task = TaskId::from_uuid(uuid::Uuid::from_u128(7));
        let (earlier, mut later) = (relay.wait("t", task), relay.wait("t", task));
        drop(earlier);
        let end = json!({"task_id": "t", "status": "completed"});
        assert!(relay.answer(&end).is_some());
        assert!(later.told.try_recv().is_ok());
        drop(later);
        assert!(relay.waiting().is_empty());
    }

    #[test]
    fn a_large_webhook_is_told_without_its_payload() {
        let relay = Relay::default();
        let mut told = relay.tell.subscribe();
        for size in [10, MAX_TOLD] {
            let payload = json!("x".repeat(size)).to_string();
            let payload = payload.as_bytes();
            relay.tell(&Heard { sync: true, event: "e", delivery: "d", payload });
            let text = told.try_recv().unwrap();
            assert!(text.len() < MAX_TOLD);
            let heard: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&heard["sync"], &heard["delivery_id"]), (&json!(true), &json!("d")));
            let is_large = payload.len() > MAX_TOLD;
            assert_eq!(heard["payload"].is_null(), is_large);
            assert_eq!(heard["payload_bytes"].as_u64(), is_large.then_some(payload.len() as u64));
        }
    }

    #[test]
    fn whoever_is_too_far_behind_is_told_so() {
        let relay = Relay::default();
        let mut told = relay.tell.subscribe();
        for _ in 0..=BEHIND {
            let heard = Heard { sync: false, event: "e", delivery: "d", payload: b"null" };
            relay.tell(&heard);
        }
        assert!(matches!(told.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
    }
}
