//! Statements on the audit record.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    StoreError,
    codec::{int4, milliseconds},
    statement::{Fields, Sql, sql},
};
use crate::domain::audit::{AuditFilter, AuditRecord, Deed};

const TURN: Sql = sql!("audit/turn");
const INSERT: Sql = sql!("audit/insert");
const NEWEST: Sql = sql!("audit/newest");
const OLDEST: Sql = sql!("audit/oldest");
const PRUNE: Sql = sql!("audit/prune");

/// What the advisory lock goes by: any number that nobody else uses ("audit" in ASCII).
const LOCK: i64 = 0x61_75_64_69_74;

/// Adds what `host` tells, in the transaction of the change where there is one. What is there already,
/// by its id, is left. Others who add wait until the transaction ends: nothing slow may come after.
///
/// # Errors
///
/// Those of the statements.
pub async fn insert(db: &Transaction<'_>, host: &str, deeds: &[Deed]) -> Result<(), StoreError> {
    TURN.query(db, &[&LOCK]).await?;
    fn each<'a, T>(deeds: &'a [Deed], of: impl Fn(&'a Deed) -> T) -> Vec<T> {
        deeds.iter().map(of).collect()
    }
    let ids: Vec<Uuid> = each(deeds, |deed| deed.id);
    let times: Vec<Timestamp> = each(deeds, |deed| deed.at);
    let who = each(deeds, |deed| deed.who.as_str());
    let peers = each(deeds, |deed| deed.peer.as_deref());
    let surfaces = each(deeds, |deed| deed.surface.as_str());
    let operations = each(deeds, |deed| deed.operation.as_str());
    let objects = each(deeds, |deed| deed.object.as_str());
    let outcomes = each(deeds, |deed| deed.outcome.as_str());
    let statuses = each(deeds, |deed| deed.status.map(i32::from));
    let counts = each(deeds, |deed| int4(deed.count));
    let requests = each(deeds, |deed| deed.request.as_deref());
    let given: [&(dyn ToSql + Sync); 12] = [
        &host,
        &ids,
        &times,
        &who,
        &peers,
        &surfaces,
        &operations,
        &objects,
        &outcomes,
        &statuses,
        &counts,
        &requests,
    ];
    INSERT.query(db, &given).await?;
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
