//! Who may call: the API keys of the database, in memory.
//!
//! # Guarantees
//!
//! - A request costs no statement: all keys are kept here, and read again when the database says that
//!   one changed, on whichever host. A key that was revoked is refused as soon as that is heard.
//! - What a caller sends is compared with what is kept in a time that does not depend on where they
//!   differ.
//! - Whoever waits for the end of a key ([`Access::ended`]) hears of it at once, too.
//! - When a key was last used is written every few seconds, for all keys in one statement.
//!
//! # Failures
//!
//! While Postgres is away, the keys that are known go on to work, and end in time; one that is revoked
//! meanwhile is refused once the connection is back.

mod error;
mod keys;
pub mod outbound;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use slog::{Logger, debug, warn};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    domain::{
        access::{ApiKeyRecord, Grants, KeyId, Wait},
        audit::Deed,
    },
    rounds,
    settings::Secret,
    store::{Store, StoreError, api_keys, audit},
    telemetry::Chain,
};
use keys::{Held, Keys};

pub use error::AccessError;
pub use keys::NewKey;

/// How often it is written down when keys were last used.
const TELL_USES_EVERY: Duration = Duration::from_secs(5);

/// After which wait the keys are read again, where that failed.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long whoever waits for the end of a key trusts the clock that tells it: a clock can be set.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_secs(30);

/// What a key that was sent lets its caller do.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The key; none is that of the config file.
    pub key: Option<KeyId>,
    /// What it allows.
    pub grants: Arc<Grants>,
}

/// Why a key that was sent is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody knows it.
    #[error("this host does not know the API key")]
    Unknown,
    /// Its time is over.
    #[error("the API key has expired; make another with `hostler key create`")]
    Expired,
    /// Somebody took it back.
    #[error("the API key was revoked; make another with `hostler key create`")]
    Revoked,
    /// It has asked as often as it may.
    #[error("the API key has asked as often as it may for now")]
    TooOften(#[source] Wait),
}

/// The keys. Clones are the same.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    store: Store,
    /// The name of the host, for the audit record.
    host: String,
    log: Logger,
    /// The key of the config file.
    of_host: Option<Secret>,
    grants_of_host: Arc<Grants>,
    keys: watch::Sender<Arc<Keys>>,
    /// Held while they are read: what was read first must not take the place of what was read later.
    reading: tokio::sync::Mutex<()>,
    began: Instant,
    tending: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the keys, and again whenever `changed` says so. Must be called on a runtime.
    ///
    /// # Errors
    ///
    /// As [`Store::client`], and those of the statement.
    pub async fn start(
        store: Store,
        host: String,
        of_host: Option<Secret>,
        changed: Arc<Notify>,
        log: Logger,
    ) -> Result<Self, StoreError> {
        let access = Self(Arc::new(Inner {
            store,
            host,
            log,
            of_host,
            grants_of_host: Arc::new(Grants::all()),
            keys: watch::Sender::default(),
            reading: tokio::sync::Mutex::default(),
            began: Instant::now(),
            tending: Mutex::default(),
        }));
        access.read().await?;
        let task = tokio::spawn(access.clone().tend(changed));
        access.tending().replace(task);
        Ok(access)
    }

    /// Whether callers over TCP must send a key: there is one, or was. That the last one ended or was
    /// taken back must not open the door.
    pub fn is_locked(&self) -> bool {
        self.0.of_host.is_some() || !self.keys().is_empty()
    }

    /// Whether there is a key that can be used now.
    pub fn has_live_key(&self) -> bool {
        let now = Timestamp::now();
        self.0.of_host.is_some() || self.keys().values().any(|held| held.kept.record.is_live(now))
    }

    /// What the key that a caller sent lets it do.
    ///
    /// # Errors
    ///
    /// [`Refused`]; what was sent is in none of its texts.
    pub fn check(&self, sent: &[u8]) -> Result<Pass, Refused> {
        if self.0.of_host.as_ref().is_some_and(|key| keys::same(sent, key.reveal().as_bytes())) {
            return Ok(Pass { key: None, grants: self.0.grants_of_host.clone() });
        }
        let now = Timestamp::now();
        let keys = self.keys();
        let held = keys::find(&keys, sent).ok_or(Refused::Unknown)?;
        if held.kept.record.revoked_at.is_some() {
            return Err(Refused::Revoked);
        }
        if !held.kept.record.is_live(now) {
            return Err(Refused::Expired);
        }
        held.take(now, self.0.began.elapsed()).map_err(Refused::TooOften)?;
        Ok(Pass { key: Some(held.kept.record.id.clone()), grants: held.grants.clone() })
    }

    /// Returns once a key is of no use any more: it has expired, or somebody took it back.
    pub async fn ended(&self, key: &KeyId) {
        let mut keys = self.0.keys.subscribe();
        loop {
            let left = {
                let now = Timestamp::now();
                let keys = keys.borrow_and_update();
                match keys.get(key).map(|held| &held.kept.record) {
                    Some(record) if record.is_live(now) => {
                        record.expires_at.map(|at| now.duration_until(at))
                    }
                    _ => return,
                }
            };
            let left = left.and_then(|left| Duration::try_from(left).ok());
            let most = left.map_or(LOOK_AT_CLOCK_EVERY, |left| left.min(LOOK_AT_CLOCK_EVERY));
            // Either way it is looked again.
            drop(timeout(most, keys.changed()).await);
        }
    }

    /// Returns once callers over TCP must send a key ([`Access::is_locked`]).
    pub async fn locked(&self) {
        if self.0.of_host.is_none() {
            // An error would mean that these keys are gone, and they are held here.
            drop(self.0.keys.subscribe().wait_for(|keys| !keys.is_empty()).await);
        }
    }

    /// Makes a key; `deed` says who wants it, and is recorded with it. The key is told here, and never
    /// again.
    ///
    /// # Errors
    ///
    /// [`AccessError`].
    pub async fn create(
        &self,
        key: NewKey,
        deed: Deed,
    ) -> Result<(Secret, ApiKeyRecord), AccessError> {
        let (made, kept) = keys::make(key, deed.who.clone());
        let deed = Deed { object: kept.id.to_string(), ..deed };
        let insert = async |db: &Transaction<'_>| {
            let kept = api_keys::insert(db, &kept).await?;
            audit::insert(db, &self.0.host, &[deed]).await?;
            Ok(kept)
        };
        let kept = self.0.store.transact(insert).await?;
        // Whoever made it can use it at once, whenever this host hears of it.
        self.read().await?;
        Ok((Secret::new(made.reveal().to_owned()), kept.record))
    }

    /// Every key, those too that can't be used any more.
    ///
    /// # Errors
    ///
    /// [`AccessError`].
    pub async fn list(&self) -> Result<Vec<ApiKeyRecord>, AccessError> {
        self.tell_uses().await?;
        let kept = api_keys::list(&self.0.store.client().await?).await?;
        Ok(kept.into_iter().map(|kept| kept.record).collect())
    }

    /// Takes a key back, and records `deed` with that. When this returns, this host refuses it.
    ///
    /// # Errors
    ///
    /// [`AccessError`].
    pub async fn revoke(&self, id: &KeyId, deed: Deed) -> Result<ApiKeyRecord, AccessError> {
        let revoke = async |db: &Transaction<'_>| {
            let revoked = api_keys::revoke(db, id).await?;
            if revoked.is_some() {
                audit::insert(db, &self.0.host, &[deed]).await?;
            }
            Ok(revoked)
        };
        let revoked = self.0.store.transact(revoke).await?;
        let revoked = revoked.ok_or_else(|| AccessError::UnknownKey { key: id.clone() })?;
        self.read().await?;
        Ok(revoked.record)
    }

    /// Writes down what has not been written, and ends what goes on in the background.
    pub async fn finish(&self) {
        if let Some(task) = self.tending().take() {
            task.abort();
        }
        if let Err(error) = self.tell_uses().await {
            warn!(self.0.log, "when keys were last used was not written"; "error" => %Chain(&error));
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.0.keys.borrow().clone()
    }

    fn tending(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.0.tending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the keys. What is known of their use stays.
    async fn read(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.0.reading.lock().await;
        let kept = api_keys::list(&self.0.store.client().await?).await?;
        let before = self.keys();
        let now: HashMap<_, _> = kept
            .into_iter()
            .map(|kept| {
                let used = before.get(&kept.record.id).map(|held| held.used.clone());
                (kept.record.id.clone(), Held::new(kept, used.unwrap_or_default()))
            })
            .collect();
        debug!(self.0.log, "keys read"; "count" => now.len());
        self.0.keys.send_replace(Arc::new(now));
        Ok(())
    }

    async fn tell_uses(&self) -> Result<(), StoreError> {
        let keys = self.keys();
        let uses: Vec<_> = keys
            .values()
            .filter_map(|held| Some((held.kept.record.id.clone(), held.used.untold()?)))
            .collect();
        if uses.is_empty() {
            return Ok(());
        }
        api_keys::used(&self.0.store.client().await?, &uses).await?;
        for (id, at) in &uses {
            if let Some(held) = keys.get(id) {
                held.used.told(*at);
            }
        }
        Ok(())
    }

    async fn tend(self, changed: Arc<Notify>) {
        loop {
            tokio::select! {
                () = changed.notified() => {
                    while let Err(error) = self.read().await {
                        warn!(self.0.log, "keys can't be read"; "error" => %Chain(&error));
                        tokio::time::sleep(READ_AGAIN_AFTER).await;
                    }
                }
                () = rounds::next(TELL_USES_EVERY) => {
                    if let Err(error) = self.tell_uses().await {
                        debug!(self.0.log, "when keys were last used is written later";
                            "error" => %Chain(&error));
                    }
                }
            }
        }
    }
}
