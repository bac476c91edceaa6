//! The audit record: who changed what, when, and from where.
//!
//! # Guarantees
//!
//! - A change of keys is recorded in the transaction that makes it. What else is told by [`Audit::note`]
//!   is on disk when that returns, and in the database soon after, once: also if the host is killed
//!   meanwhile, or Postgres is away; the next host on the data directory goes on with it.
//! - What was not done is put together ([`crate::domain::audit::Sieve`]): a flood fills no disk.
//! - A record holds names, never contents.
//!
//! # Failures
//!
//! While Postgres is away, what comes waits in the data directory, up to some megabytes; what is
//! more than that is counted, and the count recorded. Nobody waits for any of it.

mod journal;

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use slog::{Logger, debug, error, warn};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};
use uuid::Uuid;

use crate::{
    domain::audit::{AuditFilter, AuditRecord, Deed, Outcome, Sieve, Surface},
    store::{Recovery, Store, StoreError, audit},
    telemetry::Chain,
};
use journal::Journal;

/// How long deeds are gathered before they are sent together.
const GATHER: Duration = Duration::from_millis(250);
/// After which wait they are sent again, where that failed.
const AGAIN: Duration = Duration::from_millis(500);
/// How many are sent in one transaction.
const AT_ONCE: usize = 1_000;
/// How long one transaction may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a host that stops waits for the last ones.
const FINISH: Duration = Duration::from_secs(2);

/// The audit record of this host. Clones are the same.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    store: Store,
    log: Logger,
    host: String,
    journal: Mutex<Journal>,
    sieve: Mutex<Sieve>,
    began: Instant,
    came: Notify,
    sending: Mutex<Option<JoinHandle<()>>>,
    /// Whether some of what is sent next may have been sent before: by the host before this one, or by this
    /// one, which did not hear what became of it.
    again: AtomicBool,
    /// Held while deeds are sent.
    turn: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("host", &self.0.host).finish_non_exhaustive()
    }
}

impl Audit {
    /// Takes up what a host before this one left in `dir`, and sends what comes. Must be called
    /// within an actix system; `host` is the name of the host.
    ///
    /// # Errors
    ///
    /// Those of the files in `dir`.
    pub fn start(store: Store, host: String, dir: &Path, log: Logger) -> io::Result<Self> {
        let audit = Self(Arc::new(Inner {
            store,
            log,
            host,
            journal: Mutex::new(Journal::open(dir)?),
            sieve: Mutex::default(),
            began: Instant::now(),
            came: Notify::new(),
            sending: Mutex::default(),
            again: AtomicBool::new(true),
            turn: tokio::sync::Mutex::default(),
        }));
        let task = actix::spawn(audit.clone().send_what_comes());
        lock(&audit.0.sending).replace(task);
        // What is there from before.
        audit.0.came.notify_one();
        Ok(audit)
    }

    /// The name of the host, as records tell it.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Records a deed. It is on its way when this returns.
    pub fn note(&self, deed: Deed) {
        let passed = lock(&self.0.sieve).pass(deed.plain(), self.0.began.elapsed());
        if let Some(deed) = passed {
            self.keep(deed);
        }
        // A window may have begun.
        self.0.came.notify_one();
    }

    /// Records what the host did by itself, or was told by a signal.
    pub fn note_of_host(&self, surface: Surface, operation: &str, object: &str, outcome: Outcome) {
        let deed = Deed::of_host(Uuid::now_v7(), Timestamp::now(), surface, operation);
        self.note(Deed { object: object.to_owned(), outcome, ..deed });
    }

    /// Records what `who`, which is a part of the host, did by itself.
    pub fn note_of_part(&self, who: String, operation: &str, object: String, outcome: Outcome) {
        let deed = Deed::of_host(Uuid::now_v7(), Timestamp::now(), Surface::Host, operation);
        self.note(Deed { who, object, outcome, ..deed });
    }

    /// The records that are wanted.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, AuditError> {
        let look = async |db: &_| audit::list(db, filter).await;
        Ok(self.0.store.within(LIMIT, look).await?)
    }

    /// Sends what has not been sent, for some seconds at most, and ends what goes on in the background.
    /// What is not sent then is left for the next host.
    pub async fn finish(&self) {
        if let Some(task) = lock(&self.0.sending).take() {
            task.abort();
        }
        self.tell_counts();
        // The task may have been at it: then what came meanwhile waits behind what it had taken.
        let all = async { while self.send().await {} };
        if tokio::time::timeout(FINISH, all).await.is_err() {
            warn!(self.0.log, "the rest of the audit record is left for the next host");
        }
    }

    fn keep(&self, deed: Deed) {
        if let Err(failed) = lock(&self.0.journal).add(deed) {
            error!(self.0.log, "the audit record can't be written down before it is sent";
                "error" => %Chain(&failed));
        }
    }

    /// Ends the window of what is put together.
    fn tell_counts(&self) {
        let counted = lock(&self.0.sieve).drain(Uuid::now_v7);
        counted.into_iter().for_each(|deed| self.keep(deed));
    }

    async fn send_what_comes(self) {
        loop {
            let due = lock(&self.0.sieve).due(self.0.began.elapsed());
            tokio::select! {
                () = self.0.came.notified() => {}
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => {}
            }
            if lock(&self.0.sieve).due(self.0.began.elapsed()) == Some(Duration::ZERO) {
                self.tell_counts();
            }
            tokio::time::sleep(GATHER).await;
            self.send().await;
        }
    }

    /// Sends what waits, again and again until that is done. Returns whether anything waited.
    async fn send(&self) -> bool {
        let _one_at_a_time = self.0.turn.lock().await;
        let taken = lock(&self.0.journal).take();
        let deeds = match taken {
            Ok(deeds) => deeds,
            Err(failed) => {
                error!(self.0.log, "the audit record can't be sent: its files can't be used";
                    "error" => %Chain(&failed));
                return false;
            }
        };
        if deeds.is_empty() {
            return false;
        }
        for some in deeds.chunks(AT_ONCE) {
            self.send_some(some).await;
        }
        let removed = lock(&self.0.journal).sent();
        self.0.again.store(removed.is_err(), Relaxed);
        if let Err(failed) = removed {
            warn!(self.0.log, "what was sent of the audit record is sent once more";
                "error" => %Chain(&failed));
        }
        self.tell_lost();
        true
    }

    async fn send_some(&self, deeds: &[Deed]) {
        loop {
            // Whoever is stopped from here on does not know either.
            let again = self.0.again.swap(true, Relaxed);
            match self.insert(deeds, again).await {
                Ok(()) => return,
                Err(failed) if failed.recovery() == Recovery::RetryLater => {
                    debug!(self.0.log, "the audit record is sent later"; "error" => %Chain(&failed));
                    tokio::time::sleep(AGAIN).await;
                }
                Err(failed) if again => {
                    error!(self.0.log, "a part of the audit record can't be kept";
                        "count" => deeds.len(), "error" => %Chain(&failed));
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// Records that there was more than could be kept.
    fn tell_lost(&self) {
        let lost = lock(&self.0.journal).lost();
        if lost > 0 {
            error!(self.0.log, "more happened than the audit record could keep"; "count" => lost);
            let now = Timestamp::now();
            let deed = Deed::of_host(Uuid::now_v7(), now, Surface::Host, "audit.lost");
            self.keep(Deed { count: lost, outcome: Outcome::Failed, ..deed });
            self.0.came.notify_one();
        }
    }

    async fn insert(&self, deeds: &[Deed], again: bool) -> Result<(), StoreError> {
        let insert = async |db: &Transaction<'_>| {
            if again {
                audit::insert_again(db, &self.0.host, deeds).await
            } else {
                audit::insert(db, &self.0.host, deeds).await
            }
        };
        self.0.store.transact_within(LIMIT, insert).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What can go wrong when somebody asks for records.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Postgres does not answer now; the same call may work soon.
    #[error("the database does not answer; try again")]
    Unavailable(#[source] StoreError),
    /// The statement failed, and would again.
    #[error("the database refused a statement")]
    Internal(#[source] StoreError),
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.recovery() == Recovery::RetryLater => Self::Unavailable(error),
            error => Self::Internal(error),
        }
    }
}
