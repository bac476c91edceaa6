//! Statements on API keys.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{
    StoreError,
    codec::{int4, milliseconds},
    limits::limit_of_rate,
    statement::{Fields, Sql, sql},
};
use crate::domain::{
    access::{ApiKeyRecord, Grants, KeyHash, KeyId, Scope},
    admission::{Rate, Until},
    record::RateRecord,
};

const INSERT: Sql = sql!("api_keys/insert");
const LIST: Sql = sql!("api_keys/list");
const REVOKE: Sql = sql!("api_keys/revoke");
const USED: Sql = sql!("api_keys/used");

/// A key that is to be kept.
#[derive(Debug)]
pub struct NewKey {
    /// What it goes by.
    pub id: KeyId,
    /// What is kept of it.
    pub hash: KeyHash,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub grants: Grants,
    /// How often it may ask.
    pub rate: Option<Rate>,
    /// Who made it.
    pub by: String,
    /// When it ends.
    pub expires: Until,
}

/// A key as it is kept.
#[derive(Debug, Clone)]
pub struct KeptKey {
    /// What is told of it.
    pub record: ApiKeyRecord,
    /// What is kept of the key itself.
    pub hash: KeyHash,
}

impl KeptKey {
    /// What it allows.
    pub fn grants(&self) -> Grants {
        Grants {
            scopes: self.record.scopes.iter().copied().collect(),
            fleets: self.record.fleets.iter().cloned().collect(),
            queues: self.record.queues.iter().cloned().collect(),
        }
    }

    /// How often it may ask.
    pub fn rate(&self) -> Option<Rate> {
        let rate = self.record.rate?;
        Some(Rate { count: rate.count, per: Duration::from_millis(rate.per_ms) })
    }
}

/// Keeps a key.
///
/// # Errors
///
/// Those of the statement.
pub async fn insert(db: &impl GenericClient, key: &NewKey) -> Result<KeptKey, StoreError> {
    let words = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let scopes = words(key.grants.scopes.iter().map(|scope| scope.as_str()).collect());
    let fleets = words(key.grants.fleets.iter().map(|fleet| fleet.as_str()).collect());
    let queues = words(key.grants.queues.iter().map(|queue| queue.as_str()).collect());
    let (at, length) = super::queues::until_columns(key.expires);
    let given: [&(dyn ToSql + Sync); 11] = [
        &key.id.as_str(),
        &key.name,
        &key.hash.as_bytes(),
        &scopes,
        &fleets,
        &queues,
        &key.rate.map(|rate| int4(rate.count)),
        &key.rate.map(|rate| milliseconds(rate.per)),
        &key.by,
        &at,
        &length,
    ];
    let row = INSERT
        .query_opt(db, &given)
        .await?
        .ok_or(StoreError::UnknownValue { statement: INSERT.name, column: "id" })?;
    kept(&INSERT.fields(&row))
}

/// Every key.
///
/// # Errors
///
/// Those of the statement.
pub async fn list(db: &impl GenericClient) -> Result<Vec<KeptKey>, StoreError> {
    LIST.query(db, &[]).await?.iter().map(|row| kept(&LIST.fields(row))).collect()
}

/// Ends a key. None if there is no such key.
///
/// # Errors
///
/// Those of the statement.
pub async fn revoke(db: &impl GenericClient, id: &KeyId) -> Result<Option<KeptKey>, StoreError> {
    let row = REVOKE.query_opt(db, &[&id.as_str()]).await?;
    row.map(|row| kept(&REVOKE.fields(&row))).transpose()
}

/// Writes down when keys were last used.
///
/// # Errors
///
/// Those of the statement.
pub async fn used(db: &impl GenericClient, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
    let (ids, times): (Vec<&str>, Vec<Timestamp>) =
        uses.iter().map(|(id, at)| (id.as_str(), *at)).unzip();
    USED.query(db, &[&ids, &times]).await?;
    Ok(())
}

fn kept(fields: &Fields<'_>) -> Result<KeptKey, StoreError> {
    let parsed = |column| -> Result<Vec<String>, StoreError> { fields.get(column) };
    fn all<T: std::str::FromStr>(texts: &[String]) -> Option<Vec<T>> {
        texts.iter().map(|text| text.parse().ok()).collect()
    }
    let scopes: Option<Vec<Scope>> = all(&parsed("scopes")?);
    let record = ApiKeyRecord {
        id: fields.parsed("id")?,
        name: fields.get("name")?,
        scopes: scopes.ok_or_else(|| fields.unknown("scopes"))?,
        fleets: all(&parsed("fleets")?).ok_or_else(|| fields.unknown("fleets"))?,
        queues: all(&parsed("queues")?).ok_or_else(|| fields.unknown("queues"))?,
        rate: limit_of_rate(fields, ["rate_count", "rate_per_ms"])?.map(RateRecord::of),
        created_at: fields.get("created_at")?,
        created_by: fields.get("created_by")?,
        expires_at: fields.get("expires_at")?,
        revoked_at: fields.get("revoked_at")?,
        last_used_at: fields.get("last_used_at")?,
    };
    let hash = KeyHash::from_bytes(fields.get("hash")?).ok_or_else(|| fields.unknown("hash"))?;
    Ok(KeptKey { record, hash })
}
