//! The log: slog, from the line in the source to the line in the file.
//!
//! A record passes a filter by the level of its component, is stamped with its time, and goes through
//! a bounded channel to one writing thread, which cleans it of secrets and writes it: as JSON to
//! `hostler.log` (which begins anew by size and by age), and for people to stderr.
//!
//! Guarantees: logging never blocks its caller. A line that finds the channel full, or that cannot be
//! written, is dropped, counted ([`Drops`]) and told of by the next line that gets through. A value
//! registered with [`Redactor`] is in no line. Lines logged before the [`Guard`] is dropped are
//! written before that drop returns.
//!
//! It does not say what to log: `docs/LOGGING.md` does, and [`keys`] lists the fields.

mod chain;
mod drains;
pub mod keys;
mod line;
pub mod metrics;
mod redact;
mod rotate;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use slog::{Drain, Logger, o};
use slog_async::{AsyncCore, AsyncGuard};

use self::drains::{Coming, Front, Levels, Lost, Named, Outputs, Sink};
pub use self::{
    chain::Chain,
    redact::Redactor,
    rotate::{RotatingFile, Rotation},
};
pub use crate::settings::Component;
use crate::settings::Log;

/// The name of the file in the directory of logs.
pub const FILE_NAME: &str = "hostler.log";

/// The form of lines on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// For people.
    Human {
        /// With colours; only where stderr is a terminal.
        colour: bool,
    },
    /// One JSON object a line.
    Json,
    /// Nothing.
    Off,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directory or the file cannot be made or opened.
    #[error("cannot open the log {}", path.display())]
    Open {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Keeps the log going. When it is dropped, everything logged until then is written.
#[must_use = "without its guard, the log ends at once"]
pub struct Guard {
    writer: Option<AsyncGuard>,
    sink: Arc<Sink>,
    lost: Arc<Lost>,
    redactor: Redactor,
}

impl Guard {
    /// The counter of dropped lines.
    pub fn drops(&self) -> Drops {
        Drops(Arc::clone(&self.lost))
    }

    /// What takes secrets out of lines.
    pub fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.writer.take());
        self.sink.finish();
    }
}

/// Counts the lines that never reached the log.
#[derive(Debug, Clone)]
pub struct Drops(Arc<Lost>);

impl Drops {
    /// How many lines were dropped since the start.
    pub fn dropped_lines(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }
}

/// Starts the log: JSON lines to [`FILE_NAME`] in `file_dir` (made where it is not there), and
/// `terminal`'s form to stderr.
///
/// # Errors
///
/// When the directory cannot be made or the file not be opened.
pub fn start(
    settings: &Log,
    file_dir: Option<&Path>,
    terminal: Terminal,
) -> Result<(Logger, Guard), TelemetryError> {
    let file = file_dir.map(|dir| open(settings, dir)).transpose()?;
    Ok(start_with(settings, Outputs::new(file, terminal, Box::new(io::stderr()))))
}

fn open(settings: &Log, dir: &Path) -> Result<RotatingFile, TelemetryError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| TelemetryError::Open { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let path = dir.join(FILE_NAME);
    let rotation = Rotation {
        size: settings.rotate_size,
        age: Some(settings.rotate_age),
        keep: settings.keep_files,
    };
    RotatingFile::open(&path, rotation, SystemTime::now()).map_err(failed(&path))
}

fn start_with(settings: &Log, outputs: Outputs) -> (Logger, Guard) {
    let (lost, redactor) = (Arc::new(Lost::default()), Redactor::default());
    let coming = Arc::new(Coming::default());
    let sink = Sink::new(outputs, redactor.clone(), Arc::clone(&lost), Arc::clone(&coming));
    let sink = Arc::new(sink);
    let (writer, writer_guard) = AsyncCore::custom(Arc::clone(&sink))
        .thread_name("log".to_owned())
        .chan_size(usize::try_from(settings.buffer).unwrap_or(usize::MAX))
        .blocking(false)
        .build_with_guard();
    let front = Front { levels: Levels::new(settings), writer, lost: Arc::clone(&lost), coming };
    let guard = Guard { writer: Some(writer_guard), sink, lost, redactor };
    (Logger::root(front, o!()), guard)
}

/// The logger of a component: its lines say so, and its own level holds, where it has one.
pub fn component(log: &Logger, component: Component) -> Logger {
    let named = Named { component, below: log.clone() };
    Logger::root(named.fuse(), o!("component" => component.as_str()))
}
