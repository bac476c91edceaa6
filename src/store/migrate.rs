//! Bringing the schema up to date, and refusing one that is too new.
//!
//! Migrations go forward only, one transaction each, and each says in its first line whether it
//! breaks the programs before it. Any number of hosts may start at once: they take turns by an
//! advisory lock on a connection of their own, so that the lock ends with whoever holds it.

use deadpool_postgres::{Client, ClientWrapper, GenericClient};
use refinery::{Migration, Runner, Target, error::Kind};
use tokio_postgres::Client as PgClient;

use super::{
    Store, StoreError,
    error::{passes, said},
    statement::{Sql, sql},
};

/// One migration.
struct File {
    /// Its version and its name, as the library wants them.
    name: &'static str,
    text: &'static str,
}

/// Every migration, in its order. A file is never changed once it has been released.
const FILES: &[File] = &[
    File {
        name: "V1__initial",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0001_initial.sql")),
    },
    File {
        name: "V2__leader",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0002_leader.sql")),
    },
    File {
        name: "V3__retry",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0003_retry.sql")),
    },
    File {
        name: "V4__unique",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0004_unique.sql")),
    },
    File {
        name: "V5__sql_surface",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0005_sql_surface.sql"
        )),
    },
    File {
        name: "V6__schedules",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0006_schedules.sql"
        )),
    },
    File {
        name: "V7__log",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0007_log.sql")),
    },
    File {
        name: "V8__feed",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0008_feed.sql")),
    },
    File {
        name: "V9__sql_log",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0009_sql_log.sql")),
    },
    File {
        name: "V10__graphs",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0010_graphs.sql")),
    },
    File {
        name: "V11__deadlines",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0011_deadlines.sql"
        )),
    },
    File {
        name: "V12__admission",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0012_admission.sql"
        )),
    },
    File {
        name: "V13__members",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0013_members.sql")),
    },
    File {
        name: "V14__moves",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0014_moves.sql")),
    },
    File {
        name: "V15__history",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0015_history.sql")),
    },
    File {
        name: "V16__moment",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0016_moment.sql")),
    },
    File {
        name: "V17__plans",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0017_plans.sql")),
    },
    File {
        name: "V18__workspaces",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0018_workspaces.sql"
        )),
    },
    File {
        name: "V19__sessions",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0019_sessions.sql"
        )),
    },
    File {
        name: "V20__memory",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0020_memory.sql")),
    },
    File {
        name: "V21__merges",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0021_merges.sql")),
    },
    File {
        name: "V22__plan_history",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0022_plan_history.sql"
        )),
    },
    File {
        name: "V23__api_keys",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0023_api_keys.sql"
        )),
    },
    File {
        name: "V24__webhooks",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0024_webhooks.sql"
        )),
    },
    File {
        name: "V25__stale_after",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0025_stale_after.sql"
        )),
    },
    File {
        name: "V26__host_events",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0026_host_events.sql"
        )),
    },
    File {
        name: "V27__audit",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0027_audit.sql")),
    },
    File {
        name: "V28__attempt_tokens",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0028_attempt_tokens.sql"
        )),
    },
    File {
        name: "V29__cached_plans",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0029_cached_plans.sql"
        )),
    },
    File {
        name: "V30__memory_tags",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0030_memory_tags.sql"
        )),
    },
    File {
        name: "V31__silence",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0031_silence.sql")),
    },
    File {
        name: "V32__headings",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0032_headings.sql"
        )),
    },
    File {
        name: "V33__sql_bounds",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0033_sql_bounds.sql"
        )),
    },
    File {
        name: "V34__alone",
        text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0034_alone.sql")),
    },
    File {
        name: "V35__tags_of_new_memories",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0035_tags_of_new_memories.sql"
        )),
    },
    File {
        name: "V36__unfinished_batches",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0036_unfinished_batches.sql"
        )),
    },
    File {
        name: "V37__gathered_memories",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0037_gathered_memories.sql"
        )),
    },
    File {
        name: "V38__enqueue_without_update",
        text: include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/migrations/0038_enqueue_without_update.sql"
        )),
    },
];

/// The newest version that this program knows.
#[expect(clippy::cast_possible_truncation, reason = "there are not four billion migrations")]
pub const KNOWN: u32 = FILES.len() as u32;

/// The library's own table.
const HISTORY: &str = "hostler.schema_history";

/// What the advisory lock goes by: any number that nobody else uses ("hostler" in ASCII).
const LOCK: i64 = 0x0068_6f73_746c_6572;

const LOCK_SCHEMA: Sql = sql!("schema/lock");
const EXISTS: Sql = sql!("schema/exists");
const VERSIONS: Sql = sql!("schema/versions");
const MAKE: Sql = sql!("schema/make");

/// What a migration run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The version before; 0 for an empty database.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// The names of the migrations that ran.
    pub applied: Vec<String>,
}

/// How the schema of a database compares with this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The version of the database; 0 for an empty one.
    pub found: u32,
    /// The newest version that this program knows.
    pub known: u32,
    /// The names of the migrations that have still to run.
    pub pending: Vec<String>,
    /// The newest version that breaks this program, and why it does.
    pub broken_by: Option<(u32, String)>,
}

/// Brings the schema up to date. With nothing to do it needs no right to change the schema.
///
/// # Errors
///
/// [`StoreError::SchemaTooNew`] where a newer program changed the schema in a way that this one
/// cannot work with; one that only added to it is accepted. [`StoreError::Migration`] where a
/// migration failed: those before it stay, and it left nothing behind.
pub async fn run(store: &Store) -> Result<Report, StoreError> {
    Turn::take(store).await?.bring_to(KNOWN).await
}

/// The turn to change the schema: no host starts and nobody migrates for as long as it lasts. It
/// ends with its connection, which is on drop.
pub struct Turn {
    client: ClientWrapper,
}

impl Turn {
    /// Waits for the turn.
    ///
    /// # Errors
    ///
    /// As [`Store::client`]; [`StoreError::Statement`].
    pub async fn take(store: &Store) -> Result<Self, StoreError> {
        // Taken out of the pool, so that the lock ends when this connection does: on return, on an
        // error, and when the caller stops waiting.
        let client = Client::take(store.client().await?);
        let locked = client.query_one(LOCK_SCHEMA.text, &[&LOCK]).await;
        locked.map_err(|source| LOCK_SCHEMA.failed(source))?;
        Ok(Self { client })
    }

    /// How the schema is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Statement`].
    pub async fn status(&self) -> Result<Status, StoreError> {
        look(&self.client).await
    }

    /// Brings the schema to `version`, which this program knows; one that is beyond it stays.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub async fn bring_to(&mut self, version: u32) -> Result<Report, StoreError> {
        let before = look(&self.client).await?;
        if let Some((found, reason)) = before.broken_by {
            return Err(StoreError::SchemaTooNew { found, known: KNOWN, reason });
        }
        if before.found >= version {
            return Ok(Report { from: before.found, to: before.found, applied: Vec::new() });
        }
        apply(&mut self.client, version).await?;
        let steps = usize::try_from(version - before.found).unwrap_or(usize::MAX);
        let applied = before.pending.into_iter().take(steps).collect();
        Ok(Report { from: before.found, to: version, applied })
    }
}

/// Looks at the schema and changes nothing.
pub async fn status(store: &Store) -> Result<Status, StoreError> {
    look(&*store.client().await?).await
}

/// The version of a schema that is there.
///
/// # Errors
///
/// [`StoreError::Statement`], also where there is none.
pub async fn version(db: &impl GenericClient) -> Result<u32, StoreError> {
    let rows = VERSIONS.query(db, &[]).await?;
    rows.last().map_or(Ok(0), |row| VERSIONS.fields(row).count("version"))
}

async fn look(client: &PgClient) -> Result<Status, StoreError> {
    let mut status = Status { found: 0, known: KNOWN, pending: Vec::new(), broken_by: None };
    let failed = |source| EXISTS.failed(source);
    let exists = client.query_one(EXISTS.text, &[]).await.map_err(failed)?;
    if EXISTS.fields(&exists).get("migrated")? {
        let failed = |source| VERSIONS.failed(source);
        for row in client.query(VERSIONS.text, &[]).await.map_err(failed)? {
            let fields = VERSIONS.fields(&row);
            status.found = fields.count("version")?;
            if status.found > KNOWN && fields.get("breaking")? {
                let reason: Option<String> = fields.get("reason")?;
                status.broken_by = Some((status.found, reason.unwrap_or_default()));
            }
        }
    }
    let done = usize::try_from(status.found).unwrap_or(usize::MAX);
    status.pending = FILES.iter().skip(done).map(|file| file.name.to_owned()).collect();
    Ok(status)
}

async fn apply(client: &mut PgClient, version: u32) -> Result<(), StoreError> {
    let failed = |source| EXISTS.failed(source);
    let exists = client.query_one(EXISTS.text, &[]).await.map_err(failed)?;
    if !EXISTS.fields(&exists).get::<bool>("made")? {
        client.batch_execute(MAKE.text).await.map_err(|source| MAKE.failed(source))?;
    }
    let migrations =
        FILES.iter().map(migration).collect::<Result<Vec<_>, _>>().map_err(migration_error)?;
    let mut runner = Runner::new(&migrations);
    runner.set_migration_table_name(HISTORY);
    let version = i32::try_from(version).unwrap_or(i32::MAX);
    let runner = runner.set_target(Target::Version(version));
    runner.run_async(client).await.map_err(migration_error)?;
    Ok(())
}

/// The migration with what it says of itself written down, in its own transaction.
fn migration(file: &File) -> Result<Migration, refinery::Error> {
    let version = Migration::unapplied(file.name, file.text)?.version();
    let reason = match broken(file.text) {
        Some(reason) => format!("true, '{}'", reason.replace('\'', "''")),
        None => "false, NULL".to_owned(),
    };
    let text = format!(
        "{}\nINSERT INTO hostler.schema_versions (version, breaking, reason) VALUES ({version}, {reason});\n",
        file.text
    );
    Migration::unapplied(file.name, &text)
}

/// Why a migration breaks the programs before it, if it does. Its first line says so:
/// `-- breaking: no` or `-- breaking: yes, because ...`. A line of another form breaks them too.
fn broken(text: &str) -> Option<&str> {
    let line = text.lines().next().unwrap_or_default();
    match line.strip_prefix("-- breaking: ") {
        Some("no") => None,
        Some(rest) => Some(rest.strip_prefix("yes, because ").unwrap_or(rest)),
        None => Some("it does not say whether it does"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn migration_error(error: refinery::Error) -> StoreError {
    let Kind::Connection(step, cause) = error.kind() else {
        return StoreError::Migration { problem: error.to_string(), passes: false };
    };
    let cause = cause.downcast_ref::<tokio_postgres::Error>();
    StoreError::Migration {
        problem: cause.map_or_else(|| step.clone(), |cause| format!("{step}: {}", said(cause))),
        passes: cause.is_some_and(passes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_without_a_gap_and_say_whether_they_break() {
        for (file, version) in FILES.iter().zip(1..) {
            let migration = migration(file).unwrap();
            assert_eq!(migration.version(), version, "{}", file.name);
            let first = file.text.lines().next().unwrap();
            assert!(
                first == "-- breaking: no" || first.starts_with("-- breaking: yes, because "),
                "{}: {first}",
                file.name
            );
        }
    }

    #[test]
    fn a_break_is_read_with_its_reason() {
        assert_eq!(broken("-- breaking: no\nSELECT 1"), None);
        assert_eq!(broken("-- breaking: yes, because x is gone\n"), Some("x is gone"));
        assert_eq!(broken("SELECT 1"), Some("it does not say whether it does"));
    }
}
