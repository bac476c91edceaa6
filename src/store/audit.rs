//! Statements on the audit record.

use std::{collections::HashSet, pin::pin, time::Duration};

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{
    StoreError,
    codec::{int4, milliseconds},
    statement::{Fields, Sql, sql},
};
use crate::domain::audit::{AuditFilter, AuditRecord, Deed};

const TURN: Sql = sql!("audit/turn");
const THERE: Sql = sql!("audit/there");
const COPY: Sql = sql!("audit/copy");
/// The columns of [`COPY`].
const COLUMNS: [Type; 12] = [
    Type::UUID,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT4,
    Type::INT4,
    Type::TEXT,
];
const NEWEST: Sql = sql!("audit/newest");
const OLDEST: Sql = sql!("audit/oldest");
const PRUNE: Sql = sql!("audit/prune");

/// What the advisory lock goes by: any number that nobody else uses ("audit" in ASCII).
const LOCK: i64 = 0x61_75_64_69_74;

/// Adds what `host` tells, in the transaction of the change where there is one. Others who add wait until the
/// transaction ends: nothing slow may come after.
///
/// # Errors
///
/// Those of the statements; also where one of them is there already, by its id.
pub async fn insert(db: &Transaction<'_>, host: &str, deeds: &[Deed]) -> Result<(), StoreError> {
    TURN.query(db, &[&LOCK]).await?;
    copy(db, host, deeds.iter()).await
}

/// As [`insert`], for what may have been added before: what is there already, by its id, is left.
///
/// # Errors
///
/// Those of the statements.
pub async fn insert_again(
    db: &Transaction<'_>,
    host: &str,
    deeds: &[Deed],
) -> Result<(), StoreError> {
    TURN.query(db, &[&LOCK]).await?;
    let ids: Vec<Uuid> = deeds.iter().map(|deed| deed.id).collect();
    let rows = THERE.query(db, &[&ids]).await?;
    let there = rows.iter().map(|row| THERE.fields(row).get("id"));
    let there = there.collect::<Result<HashSet<Uuid>, StoreError>>()?;
    // Of two with the same id, one.
    let mut added = HashSet::new();
    copy(db, host, deeds.iter().filter(|deed| !there.contains(&deed.id) && added.insert(deed.id)))
        .await
}

/// By COPY, which takes half of what an INSERT takes of the server for each: this is told with every change.
async fn copy<'a>(
    db: &Transaction<'_>,
    host: &str,
    deeds: impl Iterator<Item = &'a Deed>,
) -> Result<(), StoreError> {
    let failed = |source| COPY.failed(source);
    let statement = db.prepare_cached(COPY.text).await.map_err(failed)?;
    let sink = db.copy_in(&statement).await.map_err(failed)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &COLUMNS));
    for deed in deeds {
        let (status, count) = (deed.status.map(i32::from), int4(deed.count));
        let row: [&(dyn ToSql + Sync); 12] = [
            &deed.id,
            &deed.at,
            &host,
            &deed.who,
            &deed.peer,
            &deed.surface.as_str(),
            &deed.operation,
            &deed.object,
            &deed.outcome.as_str(),
            &status,
            &count,
            &deed.request,
        ];
        writer.as_mut().write(&row).await.map_err(failed)?;
    }
    writer.finish().await.map_err(failed)?;
    Ok(())
}

/// The records that are wanted.
///
/// # Errors
///
/// Those of the statement.
pub async fn list(
    db: &impl GenericClient,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, StoreError> {
    let sql = if filter.oldest_first { OLDEST } else { NEWEST };
    let given: [&(dyn ToSql + Sync); 9] = [
        &filter.who,
        &filter.operation,
        &filter.object,
        &filter.outcome.map(|outcome| outcome.as_str()),
        &filter.surface.map(|surface| surface.as_str()),
        &filter.since,
        &filter.until,
        &filter.cursor,
        &i64::from(filter.limit),
    ];
    sql.query(db, &given).await?.iter().map(|row| record(&sql.fields(row))).collect()
}

/// Deletes up to `most` of the records that are older than `kept`; returns how many.
///
/// # Errors
///
/// Those of the statement.
pub async fn prune(
    db: &impl GenericClient,
    kept: Duration,
    most: u32,
) -> Result<usize, StoreError> {
    Ok(PRUNE.query(db, &[&milliseconds(kept), &i64::from(most)]).await?.len())
}

fn record(fields: &Fields<'_>) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        number: fields.get("number")?,
        host: fields.get("host")?,
        at: fields.get("at")?,
        who: fields.get("who")?,
        peer: fields.get("peer")?,
        surface: fields.parsed("surface")?,
        operation: fields.get("operation")?,
        object: fields.get("object")?,
        outcome: fields.parsed("outcome")?,
        status: fields.count_opt("status")?,
        count: fields.count("count")?,
        request: fields.get("request")?,
    })
}
