//! `db backup`, `db restore` and `db verify`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Told;
use crate::{
    cli::{
        exit::{CliError, Exit, Outcome},
        output::{Table, Tone},
    },
    history::backup::{
        self, BackupError, Progress, Restored,
        format::{Header, Summary},
    },
    store::Store,
    telemetry::Chain,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Backup {
    /// The file to write; it must not be there yet
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Restore {
    /// A file that `hostler db backup` wrote
    file: PathBuf,
    /// Put it in place of all that the database holds
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// A file that `hostler db backup` wrote
    file: PathBuf,
}

impl Backup {
    pub(super) async fn run(self, store: &Store) -> Outcome<Told> {
        let bar = bar();
        let made = backup::dump(store, &self.file, self.force, &mut |step| show(&bar, step)).await;
        bar.finish_and_clear();
        let (header, tables) = made.map_err(|error| failed(&error))?;
        let size = std::fs::metadata(&self.file).map(|file| file.len()).unwrap_or_default();
        Ok(told(
            &header,
            &tables,
            &format!("{} ({size} bytes) was written and read back", self.file.display()),
        ))
    }
}

impl Restore {
    pub(super) async fn run(self, store: &Store) -> Outcome<Told> {
        let bar = bar();
        let watch = &mut |step: Progress<'_>| show(&bar, step);
        let done = backup::restore(store, &self.file, self.replace, watch).await;
        bar.finish_and_clear();
        let Restored { header, tables, schema } = done.map_err(|error| failed(&error))?;
        Ok(told(
            &header,
            &tables,
            &format!(
                "{} is restored and compared; the schema has version {schema}",
                self.file.display()
            ),
        ))
    }
}

impl Verify {
    pub(super) fn run(self) -> Outcome<Told> {
        let bar = bar();
        let found = backup::verify(&self.file, &mut |step| show(&bar, step));
        bar.finish_and_clear();
        let (header, tables) = found.map_err(|error| failed(&error))?;
        Ok(told(&header, &tables, &format!("{} is whole", self.file.display())))
    }
}

fn told(header: &Header, tables: &[Summary], what: &str) -> Told {
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let json = json!({
        "made_at": header.made_at,
        "program": header.program,
        "schema": header.schema,
        "rows": rows,
        "tables": tables.iter().map(|table| json!({
            "name": table.table, "rows": table.rows, "checksum": table.sum,
        })).collect::<Vec<_>>(),
    });
    let mut list = Table::new(&["TABLE", "ROWS", "CHECKSUM"]);
    for table in tables {
        let row = [table.table.clone(), table.rows.to_string(), table.sum.to_string()];
        list.row(Tone::Plain, row);
    }
    let text = format!(
        "{}\n{what}: {rows} rows of {}, schema version {}\n",
        list.render("no tables"),
        header.made_at,
        header.schema
    );
    (Exit::Done, json, text)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("{msg:24} [{bar:30}] {percent}%") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, step: Progress<'_>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    bar.set_position((step.done.clamp(0.0, 1.0) * 1000.0) as u64);
    if bar.message() != step.what {
        bar.set_message(step.what.to_owned());
    }
}

fn failed(error: &BackupError) -> CliError {
    let what = Chain(error).to_string();
    match error {
        BackupError::Exists { .. } => {
            CliError::new(Exit::Conflict, what).help("use another name, or --force")
        }
        BackupError::NotEmpty { .. } => CliError::new(Exit::Conflict, what)
            .help("restore into an empty database, or give up what is there with --replace"),
        BackupError::InUse { .. } => {
            CliError::new(Exit::Conflict, what).help("stop every host that uses it first")
        }
        BackupError::TooNew { .. } | BackupError::OtherSchema { .. } => {
            CliError::new(Exit::Conflict, what)
        }
        BackupError::NotABackup { .. } => CliError::new(Exit::Usage, what),
        BackupError::Store(error) => super::open::failed(error),
        BackupError::File { .. }
        | BackupError::Damaged { .. }
        | BackupError::OtherTable { .. }
        | BackupError::Differs { .. } => CliError::new(Exit::Failed, what),
    }
}
