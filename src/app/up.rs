//! `hostler up`: a host until somebody asks it to stop.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use slog::{Logger, error};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    start::{Running, start},
    stop::Stop,
};
use crate::{
    settings::Settings,
    telemetry::{Chain, Drops},
};

/// How often the host looks whether its own actors are still there.
const LOOK: Duration = Duration::from_secs(1);

/// Runs a host until SIGTERM or SIGINT, and stops it in order; `ready` is called once it serves.
/// A second signal makes it stop at once.
///
/// Returns 0 after a clean stop, 1 if the host could not start, lost one of its own actors, or
/// could not write every outcome.
pub async fn up(
    settings: Settings,
    env: BTreeMap<String, String>,
    log: Logger,
    drops: Drops,
    ready: impl FnOnce(&Running),
) -> ExitCode {
    // Signals that come during the start are kept, not lost.
    let mut asked = match Asked::new() {
        Ok(asked) => asked,
        Err(error) => {
            error!(log, "signals can't be heard"; "error" => %error);
            return ExitCode::FAILURE;
        }
    };
    let started = tokio::select! {
        started = start(settings, env, log.clone(), drops) => started,
        () = asked.next() => return ExitCode::SUCCESS,
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            error!(log, "host could not start"; "error" => %Chain(&error));
            return ExitCode::FAILURE;
        }
    };
    ready(&running);
    let stop = tokio::select! {
        () = asked.next() => Stop::Drain,
        () = lost_actor(&running) => {
            error!(log, "an actor of the host itself is gone: stopping");
            Stop::Now
        }
    };
    let clean = running.stop(stop, asked.next()).await;
    if clean && stop == Stop::Drain { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The signals that ask a host to stop.
struct Asked {
    term: Signal,
    int: Signal,
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

/// Resolves when the queue or the supervisor is gone: a panic, because they end with the host.
async fn lost_actor(running: &Running) {
    let mut tick = tokio::time::interval(LOOK);
    while running.queue.is_alive() && running.supervisor.is_alive() {
        tick.tick().await;
    }
}
