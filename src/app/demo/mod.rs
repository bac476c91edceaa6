//! `hostler demo`: a whole host in a temporary directory, five agents, 500 tasks, and four faults
//! on the way. What it prints is measured, and it succeeds only if nothing was lost.

mod faults;
mod report;
mod stage;

use std::{collections::BTreeMap, io::IsTerminal, path::Path, process::ExitCode, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use self::{
    report::Report,
    stage::{Stage, StageError},
};
use super::{LoadSettings, Running, start, start::StartError, stop::Stop, systemd::Service};
use crate::{
    domain::{TaskId, record::TaskRecord},
    embedded::DataDirLock,
    queue::QueueError,
    settings::Settings,
    telemetry::{self, Chain, TelemetryError, Terminal},
};

/// How long the whole may take before it is given up.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest wait for one task before the bar is moved.
const LOOK: Duration = Duration::from_millis(100);

/// How the demo shows itself.
#[derive(Debug, Clone, Copy)]
pub struct DemoOptions {
    /// One JSON object in place of the bar and the table.
    pub json: bool,
    /// Whether the terminal takes colour.
    pub colour: bool,
}

/// What can go wrong beside the tasks themselves.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Log(#[from] TelemetryError),
    #[error("the demo's host could not start")]
    Start(#[from] StartError),
    #[error("the demo's queue failed")]
    Queue(#[from] QueueError),
    #[error("the demo's agents can't be looked at: {0}")]
    Agents(#[from] crate::supervisor::SupervisorError),
    #[error("the demo's tasks did not end within {} s: {left} are left", LIMIT.as_secs())]
    TooSlow { left: usize },
}

/// Plays the demo, and prints what it counted. Blocks. `env` is the environment of the process;
/// `load` reads settings from a file, for a data directory: the caller knows how.
///
/// Returns 0 only if nothing was lost.
pub fn demo(
    options: DemoOptions,
    env: BTreeMap<String, String>,
    load: impl FnOnce(&Path, &Path) -> Result<Settings, String>,
) -> ExitCode {
    match play(options, env, load) {
        Ok(report) => {
            let text = if options.json { report.to_json() } else { report.to_text(options.colour) };
            println!("{text}");
            if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn play(
    options: DemoOptions,
    env: BTreeMap<String, String>,
    load: impl FnOnce(&Path, &Path) -> Result<Settings, String>,
) -> Result<Report, DemoError> {
    let stage = Stage::set(&env)?;
    say(options, &format!("a host in {}, with a Postgres of its own", stage.data_dir().display()));
    let settings = load(&stage.config_file(), &stage.data_dir()).map_err(StageError::Config)?;
    let lock = DataDirLock::acquire(&settings.host.data_dir).map_err(StartError::from)?;
    let log_dir = settings.host.log_dir();
    let (log, guard) = telemetry::start(&settings.log, Some(&log_dir), Terminal::Off)?;
    let result = actix::System::new().block_on(async {
        let logs = (log, guard.drops());
        let again = (LoadSettings::same(settings.clone()), guard.redactor(), Service::default());
        let running = start(settings, env, logs, again, (lock, None, None)).await?;
        let played = perform(options, &running, &stage).await;
        let clean_stop = running.stop(Stop::Now, std::future::pending()).await;
        let mut report = played?;
        report.clean_stop = clean_stop;
        Ok(report)
    });
    drop(guard);
    result
}

/// Submits the tasks, makes the faults, waits for the ends and counts.
async fn perform(
    options: DemoOptions,
    running: &Running,
    stage: &Stage,
) -> Result<Report, DemoError> {
    let began = Instant::now();
    let bar = bar(options);
    let (submitting, faults) = (submit(running), faults::make(running));
    let (ids, faults) = tokio::join!(submitting, faults);
    let (ids, ()) = (ids?, faults?);
    let tasks = wait_for_all(running, &ids, &bar, began).await?;
    bar.finish_and_clear();
    let agents = running.supervisor().agents().await?;
    let mut pickups = Vec::with_capacity(tasks.len());
    for task in &tasks {
        pickups.extend(report::pickup_ms(&running.queue().events(task.id).await?));
    }
    Ok(Report::of(&tasks, &agents, pickups, &stage.effects(), began.elapsed()))
}

/// Submits in small groups, so that agents are idle now and then and pick-up can be seen.
async fn submit(running: &Running) -> Result<Vec<TaskId>, DemoError> {
    let mut ids = Vec::new();
    let mut tick = tokio::time::interval(stage::PACE);
    for group in stage::tasks() {
        tick.tick().await;
        ids.extend(running.queue().submit(group).await?.into_iter().map(|one| one.id));
    }
    Ok(ids)
}

async fn wait_for_all(
    running: &Running,
    ids: &[TaskId],
    bar: &ProgressBar,
    began: Instant,
) -> Result<Vec<TaskRecord>, DemoError> {
    let mut ended = Vec::with_capacity(ids.len());
    for id in ids {
        loop {
            let task = running.queue().wait(*id, LOOK).await?;
            bar.set_position(ended.len() as u64);
            if let Some(task) = task.filter(|task| task.state.is_final()) {
                ended.push(task);
                break;
            }
            if began.elapsed() > LIMIT {
                return Err(DemoError::TooSlow { left: ids.len() - ended.len() });
            }
        }
    }
    Ok(ended)
}

fn say(options: DemoOptions, text: &str) {
    if !options.json {
        println!("{text}");
    }
}

fn bar(options: DemoOptions) -> ProgressBar {
    let hidden = options.json || !std::io::stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(stage::TASKS as u64), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks, {elapsed}");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
