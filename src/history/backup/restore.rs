//! Taking a backup in.

use std::{path::Path, pin::pin};

use deadpool_postgres::Transaction;
use futures_util::StreamExt as _;

use super::{
    BackupError, FileReader, Progress, Watch,
    digest::Digest,
    format::{Header, Summary},
    open, verify,
};
use crate::store::{
    Store, StoreError,
    copy::{self, Table},
    migrate::{self, Turn},
};

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub header: Header,
    /// What each table holds.
    pub tables: Vec<Summary>,
    /// The version of the schema now.
    pub schema: u32,
}

/// Puts a backup into a database that is empty, or, if `replace`, in place of what it holds.
///
/// Before it commits it compares what the database gives back with what the file holds. The schema
/// is brought up to date at the end. Hosts that start meanwhile wait. It blocks the thread while it
/// reads the file.
///
/// # Errors
///
/// [`BackupError`]. Nothing of the backup was taken in then, and what the database held it holds.
///
/// # Cancel safety
///
/// Dropped before it answered, nothing was taken in, or, if the commit was sent, maybe all.
pub async fn restore(
    store: &Store,
    path: &Path,
    replace: bool,
    watch: Watch<'_>,
) -> Result<Restored, BackupError> {
    // First of all: a file that is damaged changes nothing.
    let mut part = |from: f64, what: &str, done: f64| {
        watch(Progress { what, done: (from + done) / 3.0 });
    };
    let (header, wanted) = verify(path, &mut |step| part(0.0, "verifying the file", step.done))?;
    if header.schema > migrate::KNOWN {
        return Err(BackupError::TooNew { found: header.schema, known: migrate::KNOWN });
    }
    let mut turn = Turn::take(store).await?;
    let found = turn.status().await?.found;
    if found != 0 && found != header.schema {
        return Err(BackupError::OtherSchema { found, wanted: header.schema });
    }
    turn.bring_to(header.schema).await?;

    let mut client = store.client().await?;
    let db = client.transaction().await.map_err(StoreError::transaction)?;
    if let Some(who) = copy::others(&db).await?.into_iter().next() {
        return Err(BackupError::InUse { who });
    }
    let tables = copy::tables(&db).await?;
    if !replace {
        must_be_empty(&db, &tables).await?;
    }
    copy::forms(&db).await?;
    copy::empty(&db, &tables).await?;
    fill(&db, &tables, &mut open(path)?, &mut |step| part(1.0, step.what, step.done)).await?;
    for sequence in &header.sequences {
        copy::set_sequence(&db, sequence).await?;
    }
    copy::free_triggers(&db, &tables).await?;
    compare(&db, &tables, &wanted, &mut |step| part(2.0, "verifying the database", step.done))
        .await?;
    db.commit().await.map_err(StoreError::transaction)?;
    let schema = turn.bring_to(migrate::KNOWN).await?.to;
    Ok(Restored { header, tables: wanted, schema })
}

/// What a migration fills by itself is not somebody's.
const FILLED: &[&str] = &["queue_terms"];

async fn must_be_empty(db: &Transaction<'_>, tables: &[Table]) -> Result<(), BackupError> {
    for table in tables.iter().filter(|table| !FILLED.contains(&&*table.name)) {
        if table.has_rows(db).await? {
            return Err(BackupError::NotEmpty { table: table.name.clone() });
        }
    }
    Ok(())
}

async fn fill(
    db: &Transaction<'_>,
    tables: &[Table],
    reader: &mut FileReader,
    watch: Watch<'_>,
) -> Result<(), BackupError> {
    let other = |table: &str, problem| BackupError::OtherTable { table: table.to_owned(), problem };
    let mut left: Vec<&Table> = tables.iter().collect();
    while let Some(head) = reader.next_table()? {
        let here = left.iter().position(|table| table.name == head.table);
        let table = left.remove(here.ok_or_else(|| other(&head.table, "is not in this schema"))?);
        if table.columns != head.columns {
            return Err(other(&head.table, "has other columns in this schema"));
        }
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let done = (tables.len() - left.len()) as f64 / tables.len() as f64;
        watch(Progress { what: &table.name, done });
        table.fill(db, std::iter::from_fn(|| reader.next_piece().transpose())).await?;
        reader.summary()?;
    }
    match left.first() {
        Some(table) => Err(other(&table.name, "is not in the backup")),
        None => Ok(()),
    }
}

/// Compares what the database gives back with what the file held.
async fn compare(
    db: &Transaction<'_>,
    tables: &[Table],
    wanted: &[Summary],
    watch: Watch<'_>,
) -> Result<(), BackupError> {
    for (number, table) in tables.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        watch(Progress { what: &table.name, done: number as f64 / tables.len() as f64 });
        let mut digest = Digest::default();
        let mut rows = pin!(table.rows(db).await?);
        while let Some(piece) = rows.next().await {
            digest.add_lines(&piece?);
        }
        if !wanted.contains(&Summary::of(&table.name, &digest)) {
            return Err(BackupError::Differs { table: table.name.clone() });
        }
    }
    Ok(())
}
