//! `hostler up`: a host until somebody asks it to stop.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use slog::{Logger, error, info};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    reload::{LoadSettings, Reloader},
    start::{Running, StartError, start},
    stop::Stop,
};
use crate::{
    embedded::{DataDirLock, EmbeddedError},
    settings::Settings,
    telemetry::{self, Drops, Redactor, TelemetryError, Terminal},
};

/// How often the host looks whether its own actors are still there.
const LOOK: Duration = Duration::from_secs(1);

/// Why a host does not even begin.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The data directory can't be used, or is another host's.
    #[error(transparent)]
    Directory(#[from] EmbeddedError),
    /// The log can't be written.
    #[error(transparent)]
    Log(#[from] TelemetryError),
    /// Signals can't be heard.
    #[error("signals can't be heard")]
    Signals(#[source] std::io::Error),
    /// A part of it could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs a host until SIGTERM or SIGINT, and stops it in order; a second signal makes it stop at once.
/// SIGHUP has the settings read `again`. `env` is the environment of the process. Blocks.
///
/// Returns 0 after a clean stop, 1 if the host lost one of its own actors or could not write every
/// outcome.
///
/// # Errors
///
/// [`UpError`] if the host could not be started.
pub fn up(
    settings: Settings,
    again: LoadSettings,
    env: BTreeMap<String, String>,
    terminal: Terminal,
) -> Result<ExitCode, UpError> {
    // The lock comes first: two hosts must not even write into one log.
    let lock = DataDirLock::acquire(&settings.host.data_dir)?;
    let (log, guard) = telemetry::start(&settings.log, Some(&settings.host.log_dir()), terminal)?;
    guard.redactor().hide_secrets_of(&settings);
    let result = actix::System::new().block_on(serve(
        settings,
        env,
        (log, guard.drops()),
        (again, guard.redactor()),
        lock,
    ));
    drop(guard);
    result
}

async fn serve(
    settings: Settings,
    env: BTreeMap<String, String>,
    (log, drops): (Logger, Drops),
    again: (LoadSettings, Redactor),
    lock: DataDirLock,
) -> Result<ExitCode, UpError> {
    // Signals that come during the start are kept, not lost.
    let mut asked = Asked::new().map_err(UpError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(UpError::Signals)?;
    let running = tokio::select! {
        started = start(settings, env, (log.clone(), drops), again, lock) => started?,
        () = asked.next() => return Ok(ExitCode::SUCCESS),
    };
    info!(log, "host ready"; "path" => %running.settings.host.socket().display(),
        "address" => running.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let reloads = actix::spawn(reload_on(hangup, running.reloader.clone()));
    let stop = tokio::select! {
        () = asked.next() => Stop::Drain,
        () = lost_actor(&running) => {
            error!(log, "an actor of the host itself is gone: stopping");
            Stop::Now
        }
    };
    reloads.abort();
    let clean = running.stop(stop, asked.next()).await;
    Ok(if clean && stop == Stop::Drain { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The signals that ask a host to stop.
struct Asked {
    term: Signal,
    int: Signal,
}

/// Reads the settings again at each SIGHUP. It is in the log what came of it.
async fn reload_on(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        drop(reloader.reload().await);
    }
}

impl Asked {
    fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Resolves when the queue, the supervisor or the janitor is gone: a panic, because they end with the host.
async fn lost_actor(running: &Running) {
    let mut tick = tokio::time::interval(LOOK);
    while running.queue.is_alive() && running.supervisor.is_alive() && running.janitor.is_alive() {
        tick.tick().await;
    }
}
