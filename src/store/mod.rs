//! Postgres: the only module that speaks SQL.
//!
//! One module per table, one function per statement in `sql/queries`. A function takes any client,
//! so its caller decides whether it runs alone or inside a transaction; it is prepared and cached,
//! takes one round trip, and does not retry, sleep or log. [`StoreError::recovery`] says whether
//! the same call may work later.
//!
//! # Guarantees
//!
//! - The database refuses what [`crate::domain::task::step`] refuses, whoever writes: CHECKs tie
//!   columns to states, triggers hold the table of legal steps, and every change of state is an
//!   event with the next number.
//! - An end of an attempt counts only for the newest attempt, and only from the host that holds it.
//! - A host whose lease has ended claims nothing, and what it held is put back once.
//! - Times are the server's: hosts whose clocks differ agree on what is due and what is lost.
//!
//! # Failures
//!
//! A statement whose connection broke may have been committed or not. All of them may be sent
//! again: what has been settled, promoted or put back is then no longer in the state that the
//! statement names, and a submit with a key finds its task. A claim that was committed unheard is
//! held by a host that does not know of it, until that looks for what it does not know of.
//!
//! A statement that its sender gave up on may also be carried out much later: a closed connection
//! still delivers what was sent before, once the network lets it. Most statements do no harm then;
//! for claims, and for putting back what nobody knows of, see `sever.rs`.

pub mod admission;
pub mod api_keys;
pub mod audit;
pub mod batches;
mod codec;
mod connect;
pub mod copy;
pub mod ends;
mod error;
pub mod feed;
pub mod groups;
pub mod history;
pub mod host_events;
pub mod hosts;
pub mod leader;
pub mod limits;
mod line;
pub mod listen;
mod local;
pub mod log;
pub mod migrate;
pub mod notify;
pub mod plans;
pub mod queues;
pub mod roles;
pub mod schedules;
pub mod sessions;
mod sever;
mod statement;
pub mod tasks;
pub mod upkeep;
pub mod webhooks;
pub mod workspaces;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime,
    Transaction,
};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

pub use error::{Cause, Recovery, StoreError};
pub use line::Line;

use crate::settings;
use sever::Sessions;
use statement::{Sql, sql};

const PING: Sql = sql!("schema/ping");

/// From so many connections on a host keeps some for its queue.
const ENOUGH: usize = 8;

/// How many those are: submits, ends and claims may be under way at the same time.
const OF_QUEUE: usize = 4;

/// A pool of connections to one database. Clones share it.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    /// The connections of the queue, where there are enough in all.
    of_queue: Option<Pool>,
    config: Config,
    tls: MakeRustlsConnect,
    /// What the sessions of this data directory go by, if it is a host's.
    name: Option<Arc<str>>,
    sessions: Sessions,
}

/// How busy the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// The most connections it makes.
    pub max: usize,
    /// How many it has.
    pub open: usize,
    /// How many of those wait for somebody to use them.
    pub idle: usize,
    /// How many callers wait for a connection.
    pub waiting: usize,
}

impl Store {
    /// Makes a pool. No connection is made before one is asked for.
    ///
    /// # Errors
    ///
    /// [`StoreError::Tls`] where certificates must be checked and the system has no roots.
    pub fn new(settings: &settings::Database, config: Config) -> Result<Self, StoreError> {
        Self::make(settings, config, None)
    }

    /// Makes a pool whose sessions are known as those of the host on the data directory `slot`.
    ///
    /// # Errors
    ///
    /// As [`Store::new`].
    pub fn of_host(
        settings: &settings::Database,
        mut config: Config,
        slot: Uuid,
    ) -> Result<Self, StoreError> {
        let name = connect::session_name(config.get_application_name(), slot);
        config.application_name(&name);
        Self::make(settings, config, Some(name.into()))
    }

    fn make(
        settings: &settings::Database,
        mut config: Config,
        name: Option<Arc<str>>,
    ) -> Result<Self, StoreError> {
        connect::complete(&mut config, settings.connect_timeout);
        let tls = connect::tls(config.get_ssl_mode())?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let sessions = Sessions::default();
        let pool_of = |size: usize| {
            let connector = local::Connector(tls.clone());
            let manager = Manager::from_connect(config.clone(), connector, recycling.clone());
            let sessions = sessions.clone();
            Pool::builder(manager)
                .max_size(size)
                .runtime(Runtime::Tokio1)
                // The one that was used last, whose caches are warm; the others rest.
                .queue_mode(QueueMode::Lifo)
                .wait_timeout(Some(settings.connect_timeout))
                .create_timeout(Some(settings.connect_timeout))
                .post_create(Hook::async_fn(move |client, _| {
                    let sessions = sessions.clone();
                    let begin =
                        async move { sessions.begin(client).await.map_err(HookError::Backend) };
                    Box::pin(begin)
                }))
                .build()
                .map_err(|_| StoreError::Unavailable { source: None })
        };
        let size = usize::try_from(settings.pool_size).unwrap_or(usize::MAX).max(1);
        let of_queue = (name.is_some() && size >= ENOUGH).then(|| pool_of(OF_QUEUE)).transpose()?;
        let pool = pool_of(if of_queue.is_some() { size - OF_QUEUE } else { size })?;
        Ok(Self { pool, of_queue, config, tls, name, sessions })
    }

    /// The same for the queue of a host: with connections that nobody else uses, so that what tasks wait for
    /// finds its plans there, and never has to wait for who reads.
    pub fn for_queue(&self) -> Self {
        let pool = self.of_queue.clone().unwrap_or_else(|| self.pool.clone());
        Self { pool, of_queue: None, ..self.clone() }
    }

    /// Reads a `postgres://` URL. TLS is as the table in `connect.rs` says: with `sslmode=require`
    /// and stricter, certificates are checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Url`], which shows nothing of the URL.
    pub fn parse_url(url: &settings::Secret) -> Result<Config, StoreError> {
        connect::parse_url(url)
    }

    /// A connection of the pool. It goes back when it is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::PoolExhausted`] when all were busy for too long, [`StoreError::Unavailable`]
    /// when none could be made.
    pub async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// Does `work` on a connection of the pool, and gives it up after `limit`: a server that hangs,
    /// or a link that is cut without a word, must not hold its caller. What was given up may have
    /// been done all the same, or may yet be, until [`Store::sever`]; its connection is closed.
    ///
    /// # Errors
    ///
    /// As [`Store::client`]; [`StoreError::Silent`] after `limit`; those of `work`.
    pub async fn within<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.line().await?.within(limit, work).await
    }

    /// Does `work` in one transaction on a connection of the pool: all of it is written, or nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::client`]; [`StoreError::Statement`] where the transaction could not begin or
    /// commit; those of `work`, after which everything is undone. A commit whose answer was lost
    /// may have been done.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, nothing was written, or, if the commit was sent, maybe all.
    pub async fn transact<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        transact(&mut self.client().await?, work).await
    }

    /// Does `work` in one transaction, where it may fail for reasons of its own.
    ///
    /// # Errors
    ///
    /// As [`Store::transact`], and those of `work`, after which everything is undone.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::transact`].
    pub async fn transact_for<T, E: From<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        transact(&mut self.client().await?, work).await
    }

    /// Does `work` in one transaction, and gives it up after `limit`, as [`Store::within`] does.
    ///
    /// # Errors
    ///
    /// As [`Store::transact`]; [`StoreError::Silent`] after `limit`: it may have been committed.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::transact`].
    pub async fn transact_within<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut client = self.client().await?;
        let heard = tokio::time::timeout(limit, transact(&mut client, work)).await.ok();
        let is_silent = heard.is_none();
        let result = self.sessions.heard(&client, heard, limit);
        if is_silent {
            // Back in the pool, it would make the next one wait behind what hangs.
            drop(Client::take(client));
        }
        result
    }

    /// Does `work`, which begins a transaction and commits it by statements of its own, so that these
    /// can travel with the others; and gives it up after `limit`, as [`Store::within`] does.
    ///
    /// # Errors
    ///
    /// As [`Store::within`]; those of `work`, after which everything is undone that was not committed.
    ///
    /// # Cancel safety
    ///
    /// As [`Store::transact`].
    pub async fn pipeline_within<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = Open { client: Some(self.client().await?), sessions: &self.sessions };
        let Some(client) = &open.client else {
            return Err(StoreError::Unavailable { source: None });
        };
        let whole = async {
            let result = work(client).await;
            let is_over = result.is_ok() || client.batch_execute("ROLLBACK").await.is_ok();
            (result, is_over)
        };
        let Ok((result, is_over)) = tokio::time::timeout(limit, whole).await else {
            return Err(StoreError::Silent { limit });
        };
        if is_over {
            open.client = None;
        }
        result
    }

    /// Asks the server for an answer.
    ///
    /// # Errors
    ///
    /// As [`Store::client`], and [`StoreError::Statement`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        PING.query(&self.client().await?, &[]).await?;
        Ok(())
    }

    /// How busy the pool is.
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            max: status.max_size,
            open: status.size,
            idle: status.available,
            waiting: status.waiting,
        }
    }

    /// Closes the pool: its idle connections now, the others when they come back. Nobody gets one
    /// any more.
    pub fn close(&self) {
        self.pool.close();
        if let Some(of_queue) = &self.of_queue {
            of_queue.close();
        }
    }
}

/// A connection on which a transaction may be open: closed, and not put back, unless that is over.
struct Open<'a> {
    client: Option<Client>,
    sessions: &'a Sessions,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.sessions.give_up(&client);
            drop(Client::take(client));
        }
    }
}

async fn transact<T, E: From<StoreError>>(
    client: &mut Client,
    work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = client.transaction().await.map_err(transaction_failed)?;
    let result = work(&transaction).await?;
    transaction.commit().await.map_err(transaction_failed)?;
    Ok(result)
}

/// A transaction could not begin or commit.
fn transaction_failed(source: tokio_postgres::Error) -> StoreError {
    StoreError::Statement { statement: "transaction", source: Cause::from(source) }
}
