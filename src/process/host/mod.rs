//! The host's handle to its keeper.

mod link;
mod order;
mod program;
mod start;
mod stuck;
mod worker;

use std::{
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
    time::{Instant, timeout},
};

use self::{
    start::Earlier,
    worker::{Command, Worker},
};
use super::{Found, KeeperError, ProcessId, Processes, SpawnError, Spawned, Spec};
use crate::domain::fleet::StopSignal;

pub use start::KeeperPlaces;

/// How long a spawn waits for a keeper that can carry it out.
const SPAWN_LIMIT: Duration = Duration::from_secs(30);

/// The host's keeper. Clones share it; when the last is dropped, all agents and the keeper end. When
/// this process ends before that, they are kept as [`Keeper::keep_until`] said.
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
    /// Goes on with the keeper that a host before this left, or starts one: `exe keeper`, with the
    /// control groups of its processes in `groups`, where they can be made. One that is ending is waited
    /// for; one that shares no version with this host is ended, once its agents had their time to leave;
    /// and what a dead one left is ended, too.
    ///
    /// What is found goes by the time that the host before this gave, until
    /// [`Keeper::keep_until`] is called.
    ///
    /// Must be called on a tokio runtime with IO and time, on which a task then serves the keeper.
    ///
    /// # Errors
    ///
    /// No keeper runs. All of them need a person, as they say.
    pub async fn start(log: &Logger, places: KeeperPlaces) -> Result<(Self, Found), KeeperError> {
        let log = log.new(o!("component" => "process"));
        let (mut started, replaced) = match start::find(&log, &places).await? {
            Earlier::Found(found) => (*found, None),
            Earlier::Replaced(reason) => (start::start(&places).await?, Some(reason)),
            Earlier::None => (start::start(&places).await?, None),
        };
        let (commands, inbox) = mpsc::unbounded_channel();
        let pid = Arc::new(AtomicU32::new(0));
        let last_id = AtomicU64::new(started.last_id);
        let mut worker = Worker::new(log, places, inbox, Arc::clone(&pid));
        let kept = std::mem::take(&mut started.kept);
        let processes = kept.into_iter().filter_map(|told| worker.take_over(told)).collect();
        let found = Found { epoch: started.hosts, processes, replaced };
        pid.store(started.pid, Ordering::Relaxed);
        // Ends by itself: when told to shut down, or when the last handle is dropped.
        drop(tokio::spawn(worker.run(started)));
        Ok((Self { shared: Arc::new(Shared { commands, last_id, pid }) }, found))
    }

    /// Has the processes kept until `until`, should this process end without [`Keeper::shutdown`].
    /// Should nothing replace this by `unless_told`, this process is frozen, and the keeper ends them.
    /// Later calls replace earlier ones.
    pub fn keep_until(&self, until: Instant, unless_told: Instant) {
        // Without a worker there is nothing to keep.
        self.shared.commands.send(Command::Keep(until, unless_told)).ok();
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

    fn close_stdin(&self, id: ProcessId) {
        // Without a worker there is no process left.
        self.shared.commands.send(Command::CloseStdin(id)).ok();
    }

    fn forget(&self, id: ProcessId) {
        // Without a worker there is no keeper that could tell anyone.
        self.shared.commands.send(Command::Forget(id)).ok();
    }
}
