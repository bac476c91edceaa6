//! The database of the settings, whoever runs it.

use slog::{Discard, Logger, o};

use crate::{
    cli::exit::{CliError, Exit, Outcome},
    embedded::{DataDirLock, EmbeddedError, Postgres},
    settings::Settings,
    store::{Store, StoreError},
    telemetry::Chain,
};

/// What a command needs of a private cluster; of a server that is named, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It is there, and no host runs.
    Alone,
    /// It is made if it is not there, and no host runs.
    Made,
    /// It is there; the host that runs on it, if one does, goes on.
    Beside,
    /// The same, as its superuser.
    Superuser,
}

/// A connection to the database of the settings, and the private cluster if that is where it is
/// and nobody else runs it.
pub(super) struct Database {
    pub(super) store: Store,
    private: Option<(Postgres, DataDirLock)>,
}

impl Database {
    /// Opens the database.
    pub(super) async fn open(settings: &Settings, need: Need) -> Outcome<Self> {
        let (mut config, private) = match &settings.database.url {
            Some(url) => (Store::parse_url(url).map_err(|error| failed(&error))?, None),
            None => private(settings, need).await?,
        };
        // A restore looks for sessions of hosts, and this is none.
        config.application_name("hostler db");
        let store = Store::new(&settings.database, config).map_err(|error| failed(&error))?;
        Ok(Self { store, private })
    }

    /// Closes the connections, and stops the cluster if it was started for this command.
    pub(super) async fn close(self) -> Outcome<()> {
        self.store.close();
        if let Some((postgres, _lock)) = self.private {
            postgres.stop().await.map_err(|error| broken(&error))?;
        }
        Ok(())
    }
}

type Private = (tokio_postgres::Config, Option<(Postgres, DataDirLock)>);

async fn private(settings: &Settings, need: Need) -> Outcome<Private> {
    let dir = settings.host.postgres_dir();
    if need != Need::Made && !dir.exists() {
        let what = format!("there is no database in {} yet", settings.host.data_dir.display());
        return Err(CliError::new(Exit::NotFound, what)
            .help("`hostler up` makes one, and so does `hostler db migrate`"));
    }
    let superuser = need == Need::Superuser;
    let lock = match DataDirLock::acquire(&settings.host.data_dir) {
        Err(EmbeddedError::Locked { .. }) if superuser || need == Need::Beside => {
            return Ok((Postgres::config_in(&dir, superuser), None));
        }
        other => other.map_err(|error| broken(&error))?,
    };
    let log = Logger::root(Discard, o!());
    let postgres = Postgres::start(&log, &settings.database.embedded, &dir).await;
    let postgres = postgres.map_err(|error| broken(&error))?;
    let config = if superuser { Postgres::config_in(&dir, true) } else { postgres.config() };
    Ok((config, Some((postgres, lock))))
}

/// The error of a statement.
pub(super) fn failed(error: &StoreError) -> CliError {
    CliError::new(Exit::Failed, Chain(error).to_string())
        .help("check `database.url`; `hostler doctor` looks at the rest")
}

fn broken(error: &EmbeddedError) -> CliError {
    let what = Chain(error).to_string();
    match error {
        EmbeddedError::Locked { .. } => {
            CliError::new(Exit::Conflict, what).help("a host runs there: stop it first")
        }
        _ => CliError::new(Exit::Failed, what),
    }
}
