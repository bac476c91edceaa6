//! `hostler db`: the schema, without a host.

use clap::Subcommand;
use serde_json::{Value, json};
use slog::{Discard, Logger, o};

use super::{
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::Tone,
};
use crate::{
    embedded::{DataDirLock, EmbeddedError, Postgres},
    settings::Settings,
    store::{Store, StoreError, migrate},
    telemetry::Chain,
};

/// Look at the schema of the database, and bring it up to date
#[derive(Debug, Subcommand)]
pub(super) enum Db {
    /// Bring the schema up to date; `hostler up` does so by itself
    #[command(after_help = "Examples:\n  hostler db migrate\n  hostler db migrate -c fleets.toml")]
    Migrate,
    /// Say which migrations have run and which are to come; changes nothing
    #[command(
        after_help = "Ends with 1 if migrations are to come.\n\nExamples:\n  hostler db status"
    )]
    Status,
}

impl Db {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let settings = global.settings(&[])?;
        let database = Database::open(&settings, matches!(self, Self::Migrate)).await?;
        let found = match self {
            Self::Migrate => migrate::run(&database.store).await.map(|report| migrated(&report)),
            Self::Status => migrate::status(&database.store).await.map(|status| told(&status)),
        };
        database.close().await?;
        let (exit, json, text) = found.map_err(|error| failed(&error))?;
        global.output().show(&json, |_| text)?;
        Ok(exit)
    }
}

/// What a command ends with: its code, and what it prints as JSON or as text.
type Told = (Exit, Value, String);

fn migrated(report: &migrate::Report) -> Told {
    let json = json!({ "from": report.from, "to": report.to, "applied": report.applied });
    let text = match report.applied.as_slice() {
        [] => format!("the schema is up to date (version {})", report.to),
        applied => format!(
            "the schema went from version {} to {}: {}",
            report.from,
            report.to,
            applied.join(", ")
        ),
    };
    (Exit::Done, json, text)
}

fn told(status: &migrate::Status) -> Told {
    let broken = status.broken_by.as_ref();
    let json = json!({
        "found": status.found,
        "known": status.known,
        "pending": status.pending,
        "broken_by": broken.map(|(version, reason)| json!({ "version": version, "reason": reason })),
    });
    let mut text =
        format!("schema version {}; this program knows {}\n", status.found, status.known);
    for name in &status.pending {
        text.push_str(&format!("{} {name}\n", Tone::Warn.paint("to come:")));
    }
    if let Some((version, reason)) = broken {
        let bad = Tone::Bad.paint("too new:");
        text.push_str(&format!("{bad} version {version}: {reason}; use a newer hostler\n"));
    }
    let sound = status.pending.is_empty() && broken.is_none();
    (if sound { Exit::Done } else { Exit::Failed }, json, text)
}

/// A connection to the database of the settings, and the private cluster if that is where it is.
struct Database {
    store: Store,
    private: Option<(Postgres, DataDirLock)>,
}

impl Database {
    /// Opens the database; a private cluster that is not there is made only if `make`.
    async fn open(settings: &Settings, make: bool) -> Outcome<Self> {
        let (config, private) = match &settings.database.url {
            Some(url) => (Store::parse_url(url).map_err(|error| failed(&error))?, None),
            None => {
                let (postgres, lock) = private(settings, make).await?;
                (postgres.config(), Some((postgres, lock)))
            }
        };
        let store = Store::new(&settings.database, config).map_err(|error| failed(&error))?;
        Ok(Self { store, private })
    }

    async fn close(self) -> Outcome<()> {
        self.store.close();
        if let Some((postgres, _lock)) = self.private {
            postgres.stop().await.map_err(|error| broken(&error))?;
        }
        Ok(())
    }
}

async fn private(settings: &Settings, make: bool) -> Outcome<(Postgres, DataDirLock)> {
    let dir = settings.host.postgres_dir();
    if !make && !dir.exists() {
        let what = format!("there is no database in {} yet", settings.host.data_dir.display());
        return Err(CliError::new(Exit::NotFound, what)
            .help("`hostler up` makes one, and so does `hostler db migrate`"));
    }
    let lock = DataDirLock::acquire(&settings.host.data_dir).map_err(|error| broken(&error))?;
    let log = Logger::root(Discard, o!());
    let postgres = Postgres::start(&log, &settings.database.embedded, &dir).await;
    Ok((postgres.map_err(|error| broken(&error))?, lock))
}

fn failed(error: &StoreError) -> CliError {
    CliError::new(Exit::Failed, Chain(error).to_string())
        .help("check `database.url`; `hostler doctor` looks at the rest")
}

fn broken(error: &EmbeddedError) -> CliError {
    let what = Chain(error).to_string();
    match error {
        EmbeddedError::Locked { .. } => CliError::new(Exit::Conflict, what)
            .help("a running host has brought the schema up to date when it started"),
        _ => CliError::new(Exit::Failed, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_behind_or_too_new_is_told() {
        let sound = migrate::Status { found: 3, known: 3, pending: Vec::new(), broken_by: None };
        assert_eq!(told(&sound).0, Exit::Done);
        let behind = migrate::Status { found: 1, pending: vec!["two".to_owned()], ..sound.clone() };
        let (exit, json, text) = told(&behind);
        assert_eq!((exit, &json["pending"][0]), (Exit::Failed, &json!("two")));
        assert!(text.contains("two"), "{text}");
        let newer = migrate::Status { broken_by: Some((9, "columns moved".to_owned())), ..sound };
        let (exit, json, text) = told(&newer);
        assert_eq!((exit, &json["broken_by"]["version"]), (Exit::Failed, &json!(9)));
        assert!(text.contains("columns moved"), "{text}");
    }

    #[test]
    fn a_migration_says_what_ran() {
        let report = migrate::Report { from: 0, to: 1, applied: vec!["initial".to_owned()] };
        assert!(migrated(&report).2.contains("from version 0 to 1: initial"));
        let nothing = migrate::Report { from: 1, to: 1, applied: Vec::new() };
        assert!(migrated(&nothing).2.contains("up to date"));
    }
}
