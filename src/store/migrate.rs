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

/// The files of these versions, with their numbers as the names of files have them.
macro_rules! files {
    ($($number:literal $digits:literal $name:literal,)+) => {
        &[$(File {
            name: concat!("V", $number, "__", $name),
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/sql/migrations/", $digits, "_", $name, ".sql"
            )),
        }),+]
    };
}

/// Every migration, in its order. A file is never changed once it has been released.
const FILES: &[File] = files! {
    1 "0001" "initial",
    2 "0002" "leader",
    3 "0003" "retry",
    4 "0004" "unique",
    5 "0005" "sql_surface",
    6 "0006" "schedules",
    7 "0007" "log",
    8 "0008" "feed",
    9 "0009" "sql_log",
    10 "0010" "graphs",
    11 "0011" "deadlines",
    12 "0012" "admission",
    13 "0013" "members",
    14 "0014" "moves",
    15 "0015" "history",
    16 "0016" "moment",
    17 "0017" "plans",
    18 "0018" "workspaces",
    19 "0019" "sessions",
    20 "0020" "memory",
    21 "0021" "merges",
    22 "0022" "plan_history",
    23 "0023" "api_keys",
    24 "0024" "webhooks",
    25 "0025" "stale_after",
    26 "0026" "host_events",
    27 "0027" "audit",
    28 "0028" "attempt_tokens",
    29 "0029" "cached_plans",
    30 "0030" "memory_tags",
    31 "0031" "silence",
    32 "0032" "headings",
    33 "0033" "sql_bounds",
    34 "0034" "alone",
    35 "0035" "tags_of_new_memories",
    36 "0036" "unfinished_batches",
    37 "0037" "gathered_memories",
    38 "0038" "enqueue_without_update",
    39 "0039" "lock_blocked",
    40 "0040" "cursors_by_place",
    41 "0041" "newest_task",
};

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
