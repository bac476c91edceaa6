//! `db archive`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Told;
use crate::{
    cli::{
        exit::{CliError, Exit, Outcome},
        global::Global,
        output::{Table, Tone},
    },
    domain::TaskId,
    history::archive::{self, ArchiveError},
    settings::format_size,
    telemetry::Chain,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Archive {
    /// List the files, oldest first
    #[command(after_help = "Examples:\n  hostler db archive list\n  \
        hostler db archive list --dir /srv/archive --json | jq '.items[].path'")]
    List(Place),
    /// Print a task as it was when it was deleted
    #[command(after_help = "Examples:\n  hostler db archive show tsk_0198...\n  \
        zcat /srv/archive/2026-03-01/*.gz | jq 'select(.state == \"failed\")'")]
    Show {
        /// The id of the task
        task: TaskId,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Place {
    /// The directory; `history.archive` of the config otherwise
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Archive {
    pub(super) fn run(self, global: &Global) -> Outcome<Told> {
        match self {
            Self::List(place) => list(&place.find(global)?),
            Self::Show { task, place } => show(&place.find(global)?, task),
        }
    }
}

impl Place {
    fn find(self, global: &Global) -> Outcome<PathBuf> {
        let dir = match self.dir {
            Some(dir) => Some(dir),
            None => global.settings(&[])?.history.archive,
        };
        dir.ok_or_else(|| {
            CliError::new(Exit::Usage, "there is no archive: `history.archive` is empty".to_owned())
                .help("name the directory with --dir, or give the config of the host with -c")
        })
    }
}

fn list(dir: &std::path::Path) -> Outcome<Told> {
    let files = archive::list(dir).map_err(|error| failed(&error))?;
    let mut list = Table::new(&["DAY", "BYTES", "FILE"]);
    for file in &files {
        let row = [file.day.clone(), format_size(file.bytes), file.path.display().to_string()];
        list.row(Tone::Plain, row);
    }
    Ok((Exit::Done, json!({ "items": files }), list.render("no archives")))
}

fn show(dir: &std::path::Path, task: TaskId) -> Outcome<Told> {
    let mut found = archive::find(dir, task).map_err(|error| failed(&error))?;
    let Some(last) = found.pop() else {
        let what = format!("there is no task {task} in {}", dir.display());
        return Err(CliError::new(Exit::NotFound, what).help(
            "it may not be deleted yet: `hostler task show`; or be archived by another host",
        ));
    };
    let text = serde_json::to_string_pretty(&last.record).unwrap_or_default();
    Ok((Exit::Done, last.record, text + "\n"))
}

fn failed(error: &ArchiveError) -> CliError {
    CliError::new(Exit::Failed, Chain(error).to_string()).help(error.advice())
}
