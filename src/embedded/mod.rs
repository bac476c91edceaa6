//! The private Postgres that a host runs where no `database.url` is set.
//!
//! # Layout
//!
//! Everything is in one directory, `<data_dir>/postgres`, of mode 0700 and owned by the account
//! that Postgres runs as:
//!
//! ```text
//! cluster/         the data directory; only ever a complete one
//! cluster.new/     an initdb at work; removed and made anew by the next start
//! .s.PGSQL.5432    the socket; there is no TCP
//! postgres.log     what Postgres says, and postgres.log.1 before it; bounded
//! ```
//!
//! # Who may connect
//!
//! Whoever can reach the socket: the authentication is `trust`, and the gate is the directory.
//! A host that is not root runs Postgres as itself, so it alone can enter. A host that is root
//! runs Postgres as an unprivileged account (Postgres refuses to be root), and both can enter.
//! `peer` would tell these two apart, where nothing is gained by it, and need a map to let root in.
//! The host connects as `hostler`, which owns the database `hostler` and is no superuser.
//!
//! # Life
//!
//! [`Postgres::start`] makes the cluster if there is none, waits for whatever is left of a former
//! one, starts `postgres` as a child of this process and returns once it answers. A background
//! task then looks after it: a postmaster that ends is started again, with backoff and without
//! giving up, and [`Postgres::state`] says so meanwhile. [`Postgres::stop`] shuts it down.
//!
//! # Guarantees
//!
//! - What Postgres committed is on disk: `fsync`, `full_page_writes`, `synchronous_commit` and
//!   data checksums are on, whatever `postgresql.conf` says.
//! - A crash at any point leaves either no cluster or a complete one.
//! - On Linux the cluster shuts down cleanly by itself when the host dies, by SIGKILL too: the
//!   kernel sends the postmaster SIGINT. That signal fires when the *thread* that forked ends,
//!   so a thread that lives as long as the cluster does the forking. Elsewhere the
//!   postmaster outlives the host, and the next start shuts it down.
//! - Nothing is written to the host's terminal, and a Ctrl-C there does not reach Postgres.
//!
//! # What it does not do
//!
//! It does not keep two hosts apart: the caller holds a [`DataDirLock`] for as long as a
//! [`Postgres`] of that data directory lives. It does not upgrade a cluster to another major
//! version; it uses the binaries of the cluster's own version and says which are missing.

mod account;
mod cluster;
mod error;
mod find;
mod launch;
mod leftovers;
mod lock;
mod log_file;
mod ready;
mod spawner;
mod supervise;

use std::{path::Path, sync::Arc};

use slog::{Logger, info, o};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use self::{cluster::Cluster, spawner::Spawner, supervise::Supervisor};
pub use self::{
    error::EmbeddedError,
    find::{Installation, NEWEST_VERSION, OLDEST_VERSION, find},
    lock::DataDirLock,
};
use crate::settings;

/// The database that the host uses, and the role that owns it.
const NAME: &str = "hostler";

/// What the private Postgres is doing, as `/readyz` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Running {
        /// The process id of the postmaster.
        pid: u32,
    },
    /// It ended without being asked, and is being started again.
    Restarting {
        /// How many times in a row it has ended or failed to start.
        failures: u32,
    },
    /// It was shut down, and stays so.
    Stopped,
}

/// A running private cluster.
///
/// Dropping it asks for a fast shutdown and does not wait for it; [`Postgres::stop`] does.
#[derive(Debug)]
pub struct Postgres {
    config: tokio_postgres::Config,
    state: watch::Receiver<State>,
    stop: oneshot::Sender<()>,
    supervisor: JoinHandle<Result<(), EmbeddedError>>,
}

impl Postgres {
    /// Starts the cluster in `dir`, making it first where there is none, and returns once it
    /// answers and has the host's role and database.
    ///
    /// The caller holds the [`DataDirLock`] of the data directory around `dir`. Needs a tokio
    /// runtime with IO and time, which must live as long as the cluster.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError`], whose text says what a person can do about it. Nothing is left running,
    /// and a later call with the same `dir` may succeed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe at any point: on Linux a process that it started is ended
    /// by its death signal, and the next start waits for that and redoes what was half done.
    pub async fn start(
        log: &Logger,
        settings: &settings::Embedded,
        dir: &Path,
    ) -> Result<Self, EmbeddedError> {
        let began = Instant::now();
        let log = log.new(o!("component" => "postgres"));
        let spawner = Spawner::start()?;
        let cluster = Arc::new(Cluster::prepare(&log, settings, dir, &spawner).await?);
        let child = launch::launch(&log, &cluster, &spawner).await?;
        let pid = child.id().unwrap_or_default();
        info!(log, "postgres started"; "pid" => pid, "version" => cluster.version(),
            "elapsed_ms" => elapsed_ms(began));

        let (state_sender, state) = watch::channel(State::Running { pid });
        let (stop, stopped) = oneshot::channel();
        let config = cluster.config();
        let supervisor = Supervisor::new(log, cluster, spawner, state_sender, stopped);
        Ok(Self { config, state, stop, supervisor: tokio::spawn(supervisor.run(child)) })
    }

    /// How to connect: over the unix socket, to the host's own database, as its owner.
    pub fn config(&self) -> tokio_postgres::Config {
        self.config.clone()
    }

    /// How to connect to the cluster in `dir`, which another process runs: to the host's database,
    /// as its owner, or as the superuser.
    pub fn config_in(dir: &Path, superuser: bool) -> tokio_postgres::Config {
        cluster::config_in(dir, superuser)
    }

    /// The process id of the postmaster; `None` while it is being restarted.
    pub fn pid(&self) -> Option<u32> {
        match self.state() {
            State::Running { pid } => Some(pid),
            State::Restarting { .. } | State::Stopped => None,
        }
    }

    /// What the cluster is doing right now.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// A channel that sees each change of [`Postgres::state`].
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Shuts the cluster down and waits until it is gone.
    ///
    /// First the fast way (SIGINT: sessions are cut off, a checkpoint is written), and if that
    /// takes longer than 30 s the immediate one (SIGQUIT: the next start recovers from the log),
    /// then SIGKILL. No committed transaction is lost by any of them.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::StillRunning`] where a process of the cluster survived all of that, and
    /// [`EmbeddedError::Unsupervised`] where the background task had panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the shutdown running in the background.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        // An error means that the task has ended already, and its result says how.
        self.stop.send(()).ok();
        self.supervisor.await.map_err(EmbeddedError::Unsupervised)?
    }
}

/// Whole milliseconds since `began`, for the log.
fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
