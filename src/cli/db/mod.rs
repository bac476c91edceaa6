//! `hostler db`: the database, without a host or beside one.

mod archive;
mod backup;
mod open;
mod prune;
mod schema;
mod vacuum;

use clap::Subcommand;
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use nix::unistd::{User, geteuid};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    exit::{Exit, Outcome},
    global::Global,
};
use crate::{
    domain::audit::{Deed, Surface},
    settings::Settings,
    store::{StoreError, audit, migrate, roles},
};
use open::{Database, Need, failed};

/// Look after the database: its schema, its roles, its history
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
    /// Print the statements that make the roles of those who submit, work and administer by SQL
    #[command(after_help = "Examples:\n  hostler db roles\n  hostler db roles | psql mydb\n  \
        hostler db roles --apply")]
    Roles {
        /// Run them; again after an upgrade. Needs the owner of the schema, who may make roles
        #[arg(long)]
        apply: bool,
    },
    /// Write everything in the database into one file, of one moment; hosts go on meanwhile
    #[command(after_help = "Examples:\n  hostler db backup hostler.backup\n  \
        hostler db backup /srv/backups/$(date +%F).backup")]
    Backup(backup::Backup),
    /// Put a backup into an empty database, and compare what is then there with the file
    #[command(after_help = "No host may run on the database.\n\nExamples:\n  \
        hostler db restore hostler.backup\n  hostler db restore hostler.backup --replace")]
    Restore(backup::Restore),
    /// Read a backup from its beginning to its end and compare its checksums; needs no database
    #[command(after_help = "Examples:\n  hostler db verify hostler.backup")]
    Verify(backup::Verify),
    /// Delete, and archive before, what is over its term by `[history]`; the leader does so by itself
    #[command(after_help = "Harmless beside hosts that run.\n\nExamples:\n  \
        hostler db prune --dry-run\n  hostler db prune\n  \
        HOSTLER__HISTORY__COMPLETED=1day hostler db prune --json")]
    Prune(prune::Prune),
    /// Read the archives of what was deleted; needs no database
    #[command(subcommand)]
    Archive(archive::Archive),
    /// Say how the tables are: dead rows, empty space, sizes, and what holds vacuum back
    #[command(after_help = "Examples:\n  hostler db vacuum-report\n  \
        hostler db vacuum-report --json | jq .holders")]
    VacuumReport,
}

/// What a command ends with: its code, and what it prints as JSON or as text.
type Told = (Exit, Value, String);

impl Db {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        if let Self::Roles { apply: false } = self {
            global.output().show(&json!({ "sql": roles::TEXT }), |_| roles::TEXT.to_owned())?;
            return Ok(Exit::Done);
        }
        if let Self::Verify(verify) = self {
            let (exit, json, text) = verify.run()?;
            global.output().show(&json, |_| text)?;
            return Ok(exit);
        }
        if let Self::Archive(archive) = self {
            let (exit, json, text) = archive.run(global)?;
            global.output().show(&json, |_| text)?;
            return Ok(exit);
        }
        let settings = global.settings(&[])?;
        let database = Database::open(&settings, self.need()).await?;
        let operation = self.changes();
        let mut told = self.work(&database, &settings, global).await;
        if let (Some(operation), Ok(_)) = (operation, &told) {
            let noted = note(&database, &settings, operation).await;
            told = noted.map_err(|error| failed(&error)).and(told);
        }
        database.close().await?;
        let (exit, json, text) = told?;
        global.output().show(&json, |_| text)?;
        Ok(exit)
    }

    const fn need(&self) -> Need {
        match self {
            Self::Migrate | Self::Restore(_) => Need::Made,
            Self::Status | Self::Verify(_) | Self::Archive(_) => Need::Alone,
            Self::Roles { .. } => Need::Superuser,
            Self::Backup(_) | Self::Prune(_) | Self::VacuumReport => Need::Beside,
        }
    }

    /// By which name this is in the audit record; nothing where it only looks.
    const fn changes(&self) -> Option<&'static str> {
        match self {
            Self::Migrate => Some("db.migrate"),
            Self::Roles { apply: true } => Some("db.roles"),
            Self::Restore(_) => Some("db.restore"),
            Self::Prune(prune) if prune.deletes() => Some("db.prune"),
            _ => None,
        }
    }

    async fn work(
        self,
        database: &Database,
        settings: &Settings,
        global: &Global,
    ) -> Outcome<Told> {
        let store = &database.store;
        let told = match self {
            Self::Backup(backup) => return backup.run(store).await,
            Self::Restore(restore) => return restore.run(store).await,
            Self::Verify(verify) => return verify.run(),
            Self::Archive(archive) => return archive.run(global),
            Self::Prune(prune) => return prune.run(store, &settings.history).await,
            Self::VacuumReport => vacuum::run(store).await,
            Self::Migrate => migrate::run(store).await.map(|report| schema::migrated(&report)),
            Self::Status => migrate::status(store).await.map(|status| schema::told(&status)),
            Self::Roles { .. } => {
                store.transact(async |db| roles::apply(db).await).await.map(|()| granted())
            }
        };
        told.map_err(|error: StoreError| failed(&error))
    }
}

/// Records that somebody did something to the database itself.
async fn note(database: &Database, settings: &Settings, operation: &str) -> Result<(), StoreError> {
    let user = User::from_uid(geteuid()).ok().flatten();
    let user = user.map_or_else(|| geteuid().to_string(), |user| user.name);
    let deed = Deed {
        who: format!("user:{user}"),
        ..Deed::of_host(Uuid::now_v7(), Timestamp::now(), Surface::Cli, operation)
    };
    let host = &settings.host.name;
    let insert = async |db: &Transaction<'_>| audit::insert(db, host, &[deed]).await;
    database.store.transact(insert).await
}

fn granted() -> Told {
    let roles = ["hostler_submit", "hostler_work", "hostler_admin"];
    let text = format!("{} have what they need", roles.join(", "));
    (Exit::Done, json!({ "roles": roles }), text)
}
