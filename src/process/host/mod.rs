//! The host's handle to its keeper.

mod link;
mod order;
mod start;
mod worker;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use slog::{Logger, o};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use self::{
    start::Places,
    worker::{Command, Worker},
};
use super::{KeeperError, ProcessId, Processes, SpawnError, Spawned, Spec};
use crate::domain::fleet::StopSignal;

/// How long a spawn waits for a keeper that can carry it out.
const SPAWN_LIMIT: Duration = Duration::from_secs(30);

/// The host's keeper. Clones share it; when the last is dropped, all agents and the keeper end.
#[derive(Debug, Clone)]
pub struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Unbounded, because signals must never be refused; the callers bound it, as each agent has one
    /// spawn under way at most and sends few signals.
    commands: mpsc::UnboundedSender<Command>,
    last_id: AtomicU64,
    /// The pid of the keeper, or 0; written by the worker.
    pid: Arc<AtomicU32>,
}

impl Keeper {
    /// Starts a keeper: `exe keeper`, listening at `socket`, with its log in `log_dir`. Waits for the
    /// end of one that a host before this left, and ends what it left.
    ///
    /// Must be called on a tokio runtime with IO and time, on which a task then serves the keeper.
    ///
    /// # Errors
    ///
    /// No keeper runs. All of them need a person, as they say.
    pub async fn start(
        log: &Logger,
        exe: PathBuf,
        socket: PathBuf,
        log_dir: PathBuf,
    ) -> Result<Self, KeeperError> {
        let log = log.new(o!("component" => "process"));
        let places = Places { exe, socket, log_dir };
        start::clear_the_way(&log, &places).await?;
        let started = start::start(&places).await?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let pid = Arc::new(AtomicU32::new(0));
        let last_id = AtomicU64::new(started.last_id);
        let worker = Worker::new(log, places, inbox, Arc::clone(&pid));
        pid.store(started.pid, Ordering::Relaxed);
        // Ends by itself: when told to shut down, or when the last handle is dropped.
        drop(tokio::spawn(worker.run(started)));
        Ok(Self { shared: Arc::new(Shared { commands, last_id, pid }) })
    }

    /// The pid of the keeper, where one runs just now.
    pub fn pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Ends all agents and the keeper. When it returns, all `ended` are resolved, the keeper is
    /// reaped, its socket is removed, and further spawns fail.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.shared.commands.send(Command::Shutdown(done)).is_ok() {
            // An error means that the worker is gone, and the keeper with it.
            wait.await.ok();
        }
    }

    async fn spawn(self, spec: Spec) -> Result<Spawned, SpawnError> {
        order::check(&spec)?;
        let agent = spec.agent.clone();
        let gone = |why| SpawnError::KeeperGone { agent: agent.clone(), why };
        let id = ProcessId(self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let mut claim = Claim { keeper: &self, id, is_kept: false };
        let (reply, answer) = oneshot::channel();
        let command = Command::Spawn { id, spec: Box::new(spec), reply };
        if self.shared.commands.send(command).is_err() {
            return Err(gone("the keeper was shut down"));
        }
        let answer = timeout(SPAWN_LIMIT, answer).await;
        let answer = answer.map_err(|_| gone("no keeper answered in time"))?;
        claim.is_kept = true;
        answer.map_err(|_| gone("the keeper was shut down"))?
    }
}

/// Kills the process of a spawn whose caller did not wait for it.
struct Claim<'a> {
    keeper: &'a Keeper,
    id: ProcessId,
    is_kept: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.keeper.kill(self.id);
        }
    }
}

impl Processes for Keeper {
    fn spawn(&self, spec: Spec) -> BoxFuture<'static, Result<Spawned, SpawnError>> {
        Box::pin(self.clone().spawn(spec))
    }

    fn signal(&self, id: ProcessId, signal: StopSignal) {
        // Without a worker there is no process left to signal.
        self.shared.commands.send(Command::Signal { id, signal }).ok();
    }

    fn kill(&self, id: ProcessId) {
        // Without a worker there is no process left to kill.
        self.shared.commands.send(Command::Kill(id)).ok();
    }
}
