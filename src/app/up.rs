//! `hostler up`: a host until somebody asks it to stop.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use slog::{Logger, error, info};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    reload::{LoadSettings, Reloader},
    start::{Running, StartError, start},
    stop::Stop,
    systemd::{Inherited, Service},
    upgrade::{self, Handed, Wanted},
};
use crate::{
    domain::{audit::Surface, record::UpgradeRecord, upgrade::Agents},
    embedded::{DataDirLock, EmbeddedError},
    process, rounds,
    settings::Settings,
    telemetry::{self, Chain, Drops, Redactor, TelemetryError, Terminal},
};

/// How often the host looks whether its own actors are still there.
const LOOK: Duration = Duration::from_millis(2_500);

/// Why a host does not even begin.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The data directory can't be used, or is another host's.
    #[error(transparent)]
    Directory(#[from] EmbeddedError),
    /// The log can't be written.
    #[error(transparent)]
    Log(#[from] TelemetryError),
    /// What systemd passed can't be used.
    #[error("what the service manager passed can't be used")]
    Passed(#[source] std::io::Error),
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
    mut env: BTreeMap<String, String>,
    terminal: Terminal,
) -> Result<ExitCode, UpError> {
    // While there is one thread.
    process::make_room();
    // First of all: descriptors come by their numbers.
    let mut handed = upgrade::word_in(&mut env);
    let given = match Given::take(&mut env) {
        Ok(given) => given,
        Err(error) => {
            handed.give_back(&Chain(&error).to_string());
            return Err(error);
        }
    };
    let result = run(settings, again, env, terminal, (&mut handed, &given));
    if let Err(error) = &result {
        given.hand_on();
        handed.give_back(&Chain(error).to_string());
    }
    result
}

fn run(
    settings: Settings,
    again: LoadSettings,
    env: BTreeMap<String, String>,
    terminal: Terminal,
    (handed, given): (&mut Handed, &Given),
) -> Result<ExitCode, UpError> {
    // The lock comes first: two hosts must not even write into one log.
    let lock = DataDirLock::acquire(&settings.host.data_dir)?;
    let (log, guard) = telemetry::start(&settings.log, Some(&settings.host.log_dir()), terminal)?;
    guard.redactor().hide_secrets_of(&settings);
    let (drops, redactor) = (guard.drops(), guard.redactor());
    let mut guard = Some(guard);
    let serving =
        serve(settings, env, (log, drops), (again, redactor), lock, (handed, given, &mut guard));
    let result = actix::System::new().block_on(serving);
    drop(guard);
    result
}

async fn serve(
    settings: Settings,
    env: BTreeMap<String, String>,
    (log, drops): (Logger, Drops),
    again: (LoadSettings, Redactor),
    lock: DataDirLock,
    (handed, given, guard): (&mut Handed, &Given, &mut Option<telemetry::Guard>),
) -> Result<ExitCode, UpError> {
    // Signals that come during the start are kept, not lost.
    let mut asked = Asked::new().map_err(UpError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(UpError::Signals)?;
    let Given { service, inherited } = given;
    let listener = inherited.as_ref().map(Inherited::listener).transpose();
    let listener = listener.map_err(UpError::Passed)?;
    let again = (again.0, again.1, service.clone());
    let mut stop = handed.is_to_stop();
    let took_over = handed.record().is_some();
    let mut running = tokio::select! {
        started = start(settings, env, (log.clone(), drops), again,
            (lock, handed.record(), listener)) => started?,
        () = asked.gives_up(took_over, &mut stop) => return Ok(ExitCode::SUCCESS),
    };
    info!(log, "host ready"; "path" => %running.settings.host.socket().display(),
        "address" => running.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    handed.settle();
    if let Some(record) = handed.record() {
        tell_of_upgrade(&log, &record);
    }
    service.ready();
    service.keep_telling(log.clone(), running.queue.clone(), running.supervisor.clone());
    let grace = running.settings.host.drain_grace;
    let mut upgrades = running.upgrades.take();
    let reloads = actix::spawn(reload_on(hangup, running.reloader.clone()));
    let stop = tokio::select! {
        biased;
        () = std::future::ready(()), if stop => Stop::Drain,
        () = asked.next() => Stop::Drain,
        Some((wanted, taken)) = next_upgrade(&mut upgrades) => {
            // Whoever asked may have stopped waiting.
            taken.send(()).unwrap_or_default();
            reloads.abort();
            service.reloading();
            given.hand_on();
            return Ok(become_another(running, &wanted, &mut asked, service, guard).await);
        }
        () = lost_actor(&running) => {
            error!(log, "an actor of the host itself is gone: stopping");
            Stop::Now
        }
    };
    reloads.abort();
    service.stopping(if stop == Stop::Drain { grace } else { Duration::ZERO });
    let clean = running.stop(stop, asked.next()).await;
    Ok(if clean && stop == Stop::Drain { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The next upgrade that is asked for, if any can be.
async fn next_upgrade(upgrades: &mut Option<upgrade::Asked>) -> Option<upgrade::Order> {
    upgrades.as_mut()?.recv().await
}

/// Says in the log how this program came to run.
fn tell_of_upgrade(log: &Logger, record: &UpgradeRecord) {
    match &record.failed {
        None => info!(log, "this program took over"; "from" => &record.from,
            "to" => env!("CARGO_PKG_VERSION")),
        Some(reason) => {
            error!(log, "the program that was to take over could not: this one goes on";
            "from" => &record.from, "to" => env!("CARGO_PKG_VERSION"), "reason" => reason)
        }
    }
}

/// Hands over to the program that is wanted. Comes back if somebody asks for a stop and no agent is left that
/// another program would have to end, or if neither that nor this one could be started anew.
async fn become_another(
    running: Running,
    wanted: &Wanted,
    asked: &mut Asked,
    service: &Service,
    guard: &mut Option<telemetry::Guard>,
) -> ExitCode {
    let log = running.log.clone();
    info!(log, "another program is to take over"; "path" => %wanted.program.display(),
        "from" => &wanted.plan.from, "to" => &wanted.plan.to);
    let drained = wanted.plan.agents == Agents::Drained;
    let mut stop = false;
    let hurry = async {
        asked.next().await;
        stop = true;
        asked.next().await;
    };
    let written = running.hand_over(drained, hurry).await;
    stop |= asked.was_heard().await;
    if stop {
        service.stopping(Duration::ZERO);
        info!(log, "asked to stop during the upgrade"; "reason" => if drained {
            "no agent is left: no other program is started"
        } else {
            "the program that takes over ends the agents"
        });
    }
    if stop && drained {
        return if written { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // What waits to be logged is written before this process is another.
    drop(guard.take());
    let failed = upgrade::hand_over(&wanted.program, stop);
    let reason = format!("{} can't be run: {failed}", wanted.program.display());
    eprintln!("{reason}; the program before takes over again");
    let failed = upgrade::put_back(&reason, stop);
    eprintln!("the program before can't take over either: {failed}; its agents are ended");
    ExitCode::FAILURE
}

/// What whoever started this process gave it.
struct Given {
    service: Service,
    inherited: Option<Inherited>,
}

impl Given {
    /// Lets the program that comes next in this process have it, too.
    fn hand_on(&self) {
        if let Some(inherited) = &self.inherited {
            inherited.hand_on();
        }
    }

    fn take(env: &mut BTreeMap<String, String>) -> Result<Self, UpError> {
        let inherited = Inherited::take(env).map_err(UpError::Passed)?;
        Ok(Self { service: Service::take(env).map_err(UpError::Passed)?, inherited })
    }
}

/// The signals that ask a host to stop.
struct Asked {
    term: Signal,
    int: Signal,
}

/// Reads the settings again at each SIGHUP.
async fn reload_on(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        reloader.reload_by(Surface::Signal).await;
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

    /// Resolves when a start is to be given up: at the first word; where it `took_over` agents that nobody
    /// else ends in order at the second, and the first has it `stop` once it is up.
    async fn gives_up(&mut self, took_over: bool, stop: &mut bool) {
        self.next().await;
        if took_over {
            *stop = true;
            self.next().await;
        }
    }

    /// Whether one came that nobody has waited for.
    async fn was_heard(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.next() => true,
            () = std::future::ready(()) => false,
        }
    }
}

/// Resolves when the queue, the supervisor or the janitor is gone: a panic, because they end with the host.
async fn lost_actor(running: &Running) {
    while running.queue.is_alive() && running.supervisor.is_alive() && running.janitor.is_alive() {
        rounds::next(LOOK).await;
    }
}
