//! Hearing from the other hosts, by `LISTEN`, on a connection of its own.
//!
//! The connection is made again whenever it is lost, after a wait that grows. Notices said in
//! between are gone, so [`Notice::Reconnected`] comes each time listening begins: whoever gets it
//! looks at the tables once.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use slog::{Logger, debug, info, warn};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_postgres::{AsyncMessage, Notification};

use super::{
    Cause, Store, StoreError,
    local::{self, Message},
    notify::{CANCEL_CHANNEL, FREED, KEYS_CHANNEL, WAKE_CHANNEL},
    statement::{Sql, sql},
};
use crate::{
    domain::{QueueName, TaskId, restart},
    telemetry::Chain,
};

const LISTEN: [Sql; 3] =
    [sql!("notify/listen_wake"), sql!("notify/listen_cancel"), sql!("notify/listen_keys")];

/// What `hostler.wake_hosts` says in place of a queue.
const ANY_QUEUE: &str = "*";

/// The shortest and the longest wait before the connection is made again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A queue got work; none: some queue did, by a submit in SQL that speaks for others too.
    Woken(Option<QueueName>),
    /// Something was freed, or changed, that tasks of any queue may wait for.
    Freed,
    /// A running task was called off.
    Cancelled(TaskId),
    /// Listening begins, the first time or again. What was said before was not heard.
    Reconnected,
}

/// Who is told.
struct Ears {
    sender: mpsc::Sender<Notice>,
    keys: Arc<Notify>,
}

/// Listens until it is dropped, or until nobody takes the notices any more.
#[derive(Debug)]
pub struct Listener {
    task: JoinHandle<()>,
}

impl Listener {
    /// Begins to listen on the database of `store`, beside its pool. Must be called on a runtime.
    ///
    /// A receiver that falls behind holds the listener up, and the server keeps what comes.
    ///
    /// `keys` is woken when API keys may have changed, which is nothing to the queue.
    pub fn spawn(
        store: &Store,
        log: Logger,
        sender: mpsc::Sender<Notice>,
        keys: Arc<Notify>,
    ) -> Self {
        let ears = Ears { sender, keys };
        Self { task: tokio::spawn(listen(store.clone(), log, ears)) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a session ended.
enum End {
    /// Nobody takes the notices.
    Unwanted,
    /// The connection was lost.
    Lost(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Lost(error)
    }
}

async fn listen(store: Store, log: Logger, ears: Ears) {
    let mut failures = 0;
    loop {
        let Err(end) = session(&store, &log, &ears, &mut failures).await;
        let End::Lost(error) = end else { return };
        failures += 1;
        let (least, most) = BACKOFF;
        let wait = restart::jittered(restart::backoff(least, most, failures), fastrand::f64());
        warn!(log, "not listening for notices";
            "error" => %Chain(&error), "count" => failures, "wait_ms" => wait.as_millis());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = ears.sender.closed() => return,
        }
    }
}

/// Connects and passes notices on until the connection is lost.
async fn session(
    store: &Store,
    log: &Logger,
    ears: &Ears,
    failures: &mut u32,
) -> Result<std::convert::Infallible, End> {
    let connected = local::connect(&store.config, store.tls.clone()).await;
    let (client, mut messages) = connected
        .map_err(|source| StoreError::Unavailable { source: Some(Cause::from(source)) })?;
    for statement in LISTEN {
        let listening = client.batch_execute(statement.text);
        tokio::pin!(listening);
        loop {
            tokio::select! {
                biased;
                done = &mut listening => {
                    done.map_err(|source| statement.failed(source))?;
                    break;
                }
                message = messages.next() => pass_on(message, log, ears).await?,
            }
        }
    }
    info!(log, "listening for notices");
    *failures = 0;
    // What was said of keys meanwhile was not heard either.
    ears.keys.notify_one();
    ears.sender.send(Notice::Reconnected).await.map_err(|_| End::Unwanted)?;
    loop {
        tokio::select! {
            message = messages.next() => pass_on(message, log, ears).await?,
            () = ears.sender.closed() => return Err(End::Unwanted),
        }
    }
}

async fn pass_on(message: Option<Message>, log: &Logger, ears: &Ears) -> Result<(), End> {
    let lost = |source| End::Lost(StoreError::Unavailable { source });
    match message {
        Some(Ok(AsyncMessage::Notification(said))) if said.channel() == KEYS_CHANNEL => {
            ears.keys.notify_one();
            Ok(())
        }
        Some(Ok(AsyncMessage::Notification(said))) => match read(&said) {
            Some(notice) => ears.sender.send(notice).await.map_err(|_| End::Unwanted),
            None => {
                debug!(log, "notice not understood"; "address" => said.channel());
                Ok(())
            }
        },
        Some(Ok(_)) => Ok(()),
        Some(Err(source)) => Err(lost(Some(Cause::from(source)))),
        None => Err(lost(None)),
    }
}

/// Anybody who may connect can say anything.
fn read(said: &Notification) -> Option<Notice> {
    match said.channel() {
        WAKE_CHANNEL if said.payload() == ANY_QUEUE => Some(Notice::Woken(None)),
        WAKE_CHANNEL if said.payload() == FREED => Some(Notice::Freed),
        WAKE_CHANNEL => said.payload().parse().ok().map(|queue| Notice::Woken(Some(queue))),
        CANCEL_CHANNEL => uuid::Uuid::try_parse(said.payload())
            .ok()
            .map(|raw| Notice::Cancelled(TaskId::from_uuid(raw))),
        _ => None,
    }
}
