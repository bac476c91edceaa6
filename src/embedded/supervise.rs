//! The task that looks after a running server: starts it again when it ends, keeps its log short,
//! and shuts it down when asked.

use std::{convert::Infallible, sync::Arc, time::Duration};

use slog::{Logger, error, info, warn};
use tokio::{
    process::Child,
    sync::{oneshot, watch},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    State,
    cluster::Cluster,
    elapsed_ms,
    error::EmbeddedError,
    launch::{shut_down, spawn},
    leftovers,
    ready::ready,
    spawner::Spawner,
};
use crate::{
    domain::restart::{backoff, jittered},
    telemetry::Chain,
};

/// The wait before the first restart; it doubles with each further one in a row.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait. There is no giving up: without Postgres a host can do nothing at all.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A server that lived this long makes the backoff begin anew.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How often the size of the log is looked at.
const LOG_CHECK: Duration = Duration::from_secs(60);

/// Everything the task needs. It owns the thread that forks, which must outlive the server.
pub(super) struct Supervisor {
    log: Logger,
    cluster: Arc<Cluster>,
    spawner: Spawner,
    state: watch::Sender<State>,
    /// Ready once somebody asked for the end, or dropped the other side.
    stop: oneshot::Receiver<()>,
    /// How many ends and failed starts there were in a row.
    failures: u32,
}

/// Why there is no server after another start.
enum Failed {
    /// It was asked to stop meanwhile.
    Stopped,
    /// It could not be started.
    Error(EmbeddedError),
}

impl From<EmbeddedError> for Failed {
    fn from(error: EmbeddedError) -> Self {
        Self::Error(error)
    }
}

impl Supervisor {
    /// A supervisor for a server that [`Supervisor::run`] is given.
    pub(super) const fn new(
        log: Logger,
        cluster: Arc<Cluster>,
        spawner: Spawner,
        state: watch::Sender<State>,
        stop: oneshot::Receiver<()>,
    ) -> Self {
        Self { log, cluster, spawner, state, stop, failures: 0 }
    }

    /// Looks after the server in `child` until asked to stop, and then until it is gone.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::StillRunning`] where it could not be ended.
    pub(super) async fn run(mut self, child: Child) -> Result<(), EmbeddedError> {
        let mut running = Some(child);
        while let Some(child) = running.take() {
            running = match self.watch(child).await {
                Ok(()) => self.bring_back().await,
                Err(last) => {
                    let ended = shut_down(&self.log, &self.cluster, last).await;
                    self.state.send_replace(State::Stopped);
                    return ended;
                }
            };
        }
        self.state.send_replace(State::Stopped);
        leftovers::clear(&self.log, &self.cluster).await
    }

    /// Returns when the server has ended by itself; gives it back if asked to stop before.
    async fn watch(&mut self, mut child: Child) -> Result<(), Child> {
        let since = Instant::now();
        let pid = child.id().unwrap_or_default();
        let exit = tokio::select! {
            biased;
            _ = &mut self.stop => return Err(child),
            exit = child.wait() => exit,
            never = keep_log_short(&self.log, &self.cluster) => match never {},
        };
        if since.elapsed() >= STABLE_AFTER {
            self.failures = 0;
        }
        self.failed();
        let exit = exit.map_or_else(|error| error.to_string(), |exit| exit.to_string());
        warn!(self.log, "postgres ended without being asked"; "pid" => pid, "exit" => exit,
            "elapsed_ms" => elapsed_ms(since));
        Ok(())
    }

    /// Starts the server again and again until it answers; `None` if asked to stop before.
    async fn bring_back(&mut self) -> Option<Child> {
        let began = Instant::now();
        loop {
            let wait = jittered(backoff(BACKOFF_MIN, BACKOFF_MAX, self.failures), fastrand::f64());
            tokio::select! {
                biased;
                _ = &mut self.stop => return None,
                () = sleep(wait) => {}
            }
            match self.try_again().await {
                Ok(child) => {
                    let pid = child.id().unwrap_or_default();
                    self.state.send_replace(State::Running { pid });
                    info!(self.log, "postgres is back"; "pid" => pid,
                        "elapsed_ms" => elapsed_ms(began));
                    return Some(child);
                }
                Err(Failed::Stopped) => return None,
                Err(Failed::Error(problem)) => {
                    self.failed();
                    error!(self.log, "postgres could not be started again";
                        "error" => %Chain(&problem), "count" => self.failures);
                }
            }
        }
    }

    /// One more start. Only the waits in it can be cut short, so that no process gets lost.
    async fn try_again(&mut self) -> Result<Child, Failed> {
        tokio::select! {
            biased;
            _ = &mut self.stop => return Err(Failed::Stopped),
            cleared = leftovers::clear(&self.log, &self.cluster) => cleared?,
        }
        let (mut child, log_from) = spawn(&self.cluster, &self.spawner).await?;
        let failed = tokio::select! {
            biased;
            _ = &mut self.stop => Failed::Stopped,
            readied = ready(&mut child, &self.cluster, log_from) => match readied {
                Ok(()) => return Ok(child),
                Err(problem) => Failed::Error(problem),
            },
        };
        // One that cannot be ended is found again by whoever clears the directory next.
        shut_down(&self.log, &self.cluster, child).await.ok();
        Err(failed)
    }

    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.state.send_replace(State::Restarting { failures: self.failures });
    }
}

/// Looks at the size of the server's log from time to time, for ever.
async fn keep_log_short(log: &Logger, cluster: &Cluster) -> Infallible {
    let mut ticks = interval(LOG_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let file = cluster.log_file().clone();
        let bounded = spawn_blocking(move || file.bound()).await;
        if let Ok(Err(problem)) = bounded {
            warn!(log, "the log of postgres cannot be kept short";
                "path" => %cluster.log_file().path().display(), "error" => %problem);
        }
    }
}
