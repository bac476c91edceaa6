//! A connection that several use at the same time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool_postgres::Client;

use super::{Store, StoreError, sever::Sessions};

/// A connection of the pool for several at a time. Clones are the same; it goes back when the last one is dropped.
///
/// Statements travel on it one after the other, none of them waiting for the answer to the one before; the server
/// carries them out in their order. No transaction of more than one statement may be on it: the statements of others would become a part of that.
#[derive(Clone)]
pub struct Line(Arc<Shared>);

struct Shared {
    /// There, until it is dropped.
    client: Option<Client>,
    sessions: Sessions,
    /// Somebody was not answered: back in the pool, it would make the next one wait behind what hangs.
    silent: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(client) = self.client.take_if(|_| self.silent.load(Relaxed)) {
            drop(Client::take(client));
        }
    }
}

impl Store {
    /// A connection of the pool, for several at a time.
    ///
    /// # Errors
    ///
    /// As [`Store::client`].
    pub async fn line(&self) -> Result<Line, StoreError> {
        let client = Some(self.client().await?);
        let (sessions, silent) = (self.sessions.clone(), AtomicBool::new(false));
        Ok(Line(Arc::new(Shared { client, sessions, silent })))
    }
}

impl Line {
    /// Does `work`, and gives the connection up after `limit`, as [`Store::within`] does: all that is under way on
    /// it may have been done, or may yet be.
    ///
    /// # Errors
    ///
    /// [`StoreError::Silent`] after `limit`; those of `work`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, `work` may have been done.
    pub async fn within<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(client) = &self.0.client else {
            return Err(StoreError::Unavailable { source: None });
        };
        let heard = tokio::time::timeout(limit, work(client)).await.ok();
        if heard.is_none() {
            self.0.silent.store(true, Relaxed);
        }
        self.0.sessions.heard(client, heard, limit)
    }
}
