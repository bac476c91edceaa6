//! Making sure that what was given up is not carried out any more.
//!
//! A connection that was closed still delivers what was sent before, once the network lets it, and
//! the server carries out what it has received though nobody waits for the answer. Most statements
//! do no harm then. A claim does: nobody would know of its tasks. So does a look for lost claims: it
//! would put back what runs. A host therefore ends the sessions that it gave up on, before it looks
//! for lost claims, and before it registers; and those of its predecessors when it starts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use deadpool_postgres::{Client, ClientWrapper, StatementCache};
use jiff::Timestamp;

use super::{
    Store, StoreError,
    codec::milliseconds,
    statement::{Sql, sql},
};

const SESSION: Sql = sql!("schema/session");
const SEVER: Sql = sql!("schema/sever");
const SEVER_OTHERS: Sql = sql!("schema/sever_others");

/// How long the end of a session is waited for: one that waits for a lock ends at once.
const WAIT: Duration = Duration::from_secs(1);

/// The process that serves a session. Its number may be used again; with the time it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Backend {
    pid: i32,
    since: Timestamp,
}

/// Which processes serve the connections of a pool, and which were given up.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// A connection is known by its cache, which nothing else has.
    open: Vec<(Weak<StatementCache>, Backend)>,
    given_up: Vec<Backend>,
}

impl Sessions {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked left it whole: each change of it is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a new connection up.
    pub(super) async fn begin(&self, client: &ClientWrapper) -> Result<(), tokio_postgres::Error> {
        let row = client.query_one(SESSION.text, &[]).await?;
        let backend = Backend { pid: row.try_get("pid")?, since: row.try_get("backend_start")? };
        let mut known = self.known();
        known.open.retain(|(cache, _)| cache.strong_count() > 0);
        known.open.push((Arc::downgrade(&client.statement_cache), backend));
        Ok(())
    }

    /// What came of what was sent on this connection: one that said nothing within `limit`, or is broken, is given up.
    pub(super) fn heard<T>(
        &self,
        client: &ClientWrapper,
        heard: Option<Result<T, StoreError>>,
        limit: Duration,
    ) -> Result<T, StoreError> {
        let is_silent = heard.is_none();
        let result = heard.unwrap_or(Err(StoreError::Silent { limit }));
        if is_silent || result.is_err() && client.is_closed() {
            self.give_up(client);
        }
        result
    }

    /// What was sent on this connection may be carried out later.
    pub(super) fn give_up(&self, client: &ClientWrapper) {
        let mut known = self.known();
        let cache = Arc::as_ptr(&client.statement_cache);
        let found = known.open.iter().find(|(weak, _)| weak.as_ptr() == cache);
        if let Some(backend) = found.map(|(_, backend)| *backend)
            && !known.given_up.contains(&backend)
        {
            known.given_up.push(backend);
        }
    }
}

impl Store {
    /// Ends the sessions that were given up: from now on nothing is carried out that
    /// [`Store::within`] was to do and did not get an answer to.
    ///
    /// # Errors
    ///
    /// [`StoreError::Severing`] where a session did not end in time.
    pub async fn sever(&self, db: &Client) -> Result<(), StoreError> {
        let given_up = self.sessions.known().given_up.clone();
        if given_up.is_empty() {
            return Ok(());
        }
        let pids: Vec<i32> = given_up.iter().map(|backend| backend.pid).collect();
        let since: Vec<Timestamp> = given_up.iter().map(|backend| backend.since).collect();
        let row = SEVER.query_opt(db, &[&pids, &since, &milliseconds(WAIT)]).await?;
        if row.map(|row| SEVER.fields(&row).get("ended")).transpose()? != Some(true) {
            return Err(StoreError::Severing);
        }
        self.sessions.known().given_up.retain(|backend| !given_up.contains(backend));
        Ok(())
    }

    /// Ends all other sessions of the data directory of this store: from now on nothing is carried
    /// out that an earlier host on it sent. Only for a store [of a host](Store::of_host), which
    /// starts: whoever waits for an answer of its own gets an error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Severing`] where a session did not end in time.
    pub async fn sever_predecessor(&self, db: &Client) -> Result<(), StoreError> {
        let Some(name) = &self.name else { return Ok(()) };
        let row = SEVER_OTHERS.query_opt(db, &[&&**name, &milliseconds(WAIT)]).await?;
        // Idle ones of this pool whose end has not been noticed would only fail who gets them.
        self.pool.retain(|_, _| false);
        match row.map(|row| SEVER_OTHERS.fields(&row).get("ended")).transpose()? {
            Some(true) => Ok(()),
            _ => Err(StoreError::Severing),
        }
    }
}
