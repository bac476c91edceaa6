//! `hostler import-json`: the files of the first system, into sessions.

mod read;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    client::Client,
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::{Table, Tone},
    session::send,
};
use crate::domain::session::Tally;

/// Bring along sessions that were kept as a tree of JSON files
#[derive(Debug, Args)]
#[command(
    after_help = "The tree: sessions/ID/session.json, with conversation/chunk_*.json, memories/*.json, \
    tasks/*.json and artifacts/*_meta.json (the content beside it). Times without a zone mean UTC.\n\
    It can be run again: memories, chunks and artifacts that are there already are as the files say then; a \
    session itself and its tasks stay as they are. A file that can't be read or is of no known kind is reported, \
    the others are imported; a session is archived only if every file of it was.\n\nExamples:\n  \
    hostler import-json ./collaborative_sessions --dry-run\n  \
    hostler import-json ./collaborative_sessions --archive ./imported"
)]
pub(super) struct ImportJson {
    /// The directory that holds `sessions`, or is it
    dir: PathBuf,
    /// Read everything, and import nothing
    #[arg(long)]
    dry_run: bool,
    /// Move the directory of each session that was imported whole to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    archive: Option<PathBuf>,
}

/// A file that could not be imported.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Trouble {
    /// The file.
    pub(super) file: PathBuf,
    /// Why.
    pub(super) reason: String,
}

/// What the import did.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    sessions: Tally,
    chunks: Tally,
    memories: Tally,
    artifacts: Tally,
    tasks: Tally,
    archived: u64,
    failed: Vec<Trouble>,
}

impl ImportJson {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let dirs = sessions(&self.dir)?;
        if let Some(archive) = &self.archive {
            fs::create_dir_all(archive).map_err(|error| {
                CliError::new(Exit::Usage, format!("{} can't be made: {error}", archive.display()))
            })?;
        }
        let client = if self.dry_run { None } else { Some(global.client()?) };
        let bar = bar(dirs.len());
        let mut report = Report { dry_run: self.dry_run, ..Report::default() };
        for dir in &dirs {
            let whole = one(client.as_ref(), dir, &mut report).await?;
            if let (true, Some(archive)) = (whole, &self.archive) {
                put_away(dir, archive, &mut report);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        global.output().show(&report, told)?;
        Ok(if report.failed.is_empty() { Exit::Done } else { Exit::Failed })
    }
}

/// The directories of the sessions, in their order.
fn sessions(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let inside = dir.join("sessions");
    let root = if inside.is_dir() { inside } else { dir.to_path_buf() };
    let found = fs::read_dir(&root)
        .and_then(|found| found.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut dirs: Vec<PathBuf> = found.map_err(|error| {
        CliError::new(Exit::Usage, format!("{} can't be read: {error}", root.display()))
    })?;
    dirs.retain(|path| path.is_dir());
    dirs.sort();
    if dirs.is_empty() {
        let what = format!("{} has no directories of sessions", root.display());
        return Err(CliError::new(Exit::Usage, what)
            .help("name the directory that holds `sessions`, or that directory itself"));
    }
    Ok(dirs)
}

fn bar(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} sessions  {elapsed}");
    let bar = ProgressBar::new(length as u64);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Imports one session; says whether all of it was. An error only where no host answers.
async fn one(client: Option<&Client>, dir: &Path, report: &mut Report) -> Outcome<bool> {
    let before = report.failed.len();
    let Some(export) = read::session(dir, &mut report.failed) else { return Ok(false) };
    let Some(client) = client else {
        report.sessions.created += 1;
        report.chunks.created += export.chunks.len() as u64;
        report.memories.created += export.memories.len() as u64;
        report.artifacts.created += export.artifacts.len() as u64;
        report.tasks.created += export.tasks.len() as u64;
        return Ok(false);
    };
    let imported = match send(client, &export, true).await {
        Ok(imported) => imported,
        Err(error) if matches!(error.exit, Exit::NotReachable | Exit::NotAllowed) => {
            return Err(error);
        }
        Err(error) => {
            report.failed.push(Trouble { file: dir.join("session.json"), reason: error.what });
            return Ok(false);
        }
    };
    report.sessions.add(imported.created);
    for (sum, tally) in [
        (&mut report.chunks, imported.chunks),
        (&mut report.memories, imported.memories),
        (&mut report.artifacts, imported.artifacts),
        (&mut report.tasks, imported.tasks),
    ] {
        sum.created += tally.created;
        sum.existing += tally.existing;
    }
    Ok(report.failed.len() == before)
}

/// Moves the directory of a session that was imported whole.
fn put_away(dir: &Path, archive: &Path, report: &mut Report) {
    let to = archive.join(dir.file_name().unwrap_or_default());
    let moved = if to.exists() {
        Err(format!("it can't be archived: {} is there already", to.display()))
    } else {
        fs::rename(dir, &to).map_err(|error| {
            format!(
                "it can't be moved to {}: {error}; both must be on one file system",
                to.display()
            )
        })
    };
    match moved {
        Ok(()) => report.archived += 1,
        Err(reason) => report.failed.push(Trouble { file: dir.to_path_buf(), reason }),
    }
}

fn told(report: &Report) -> String {
    let mut table = Table::new(&["WHAT", "NEW", "THERE ALREADY"]);
    for (what, tally) in [
        ("sessions", report.sessions),
        ("chunks", report.chunks),
        ("memories", report.memories),
        ("artifacts", report.artifacts),
        ("tasks", report.tasks),
    ] {
        let cells = [what.to_owned(), tally.created.to_string(), tally.existing.to_string()];
        table.row(Tone::Plain, cells);
    }
    let mut text = table.render("nothing");
    if report.dry_run {
        text += "nothing was imported: --dry-run\n";
    }
    if report.archived > 0 {
        text += &format!("{} sessions were archived\n", report.archived);
    }
    if !report.failed.is_empty() {
        let mut failed = Table::new(&["NOT IMPORTED", "REASON"]);
        for trouble in &report.failed {
            failed.row(Tone::Bad, [trouble.file.display().to_string(), trouble.reason.clone()]);
        }
        text += &format!("\n{}", failed.render(""));
    }
    text
}

/// Reads the tree of one session as `hostler import-json` does; what a fuzzer wrote is sound, or told.
#[cfg(fuzzing)]
pub fn fuzzed(dir: &std::path::Path) {
    let mut failed = Vec::new();
    if let Some(export) = read::session(dir, &mut failed) {
        assert_eq!(export.check(), Ok(()), "what is read is taken");
    }
}
