//! What was answered to requests with a key.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::types::Json;

use crate::store::{
    StoreError,
    codec::{Document, milliseconds},
    statement::{Sql, sql},
};

const TAKE: Sql = sql!("webhook_receipts/take");
const ANSWER: Sql = sql!("webhook_receipts/answer");
const RELEASE: Sql = sql!("webhook_receipts/release");
const PRUNE: Sql = sql!("webhook_receipts/prune");

/// Whether a request is to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Take {
    /// It is.
    Ours,
    /// It is being carried out at this moment.
    UnderWay,
    /// It was, and this was answered.
    Answered {
        /// The status.
        status: u16,
        /// The body.
        answer: Value,
    },
    /// Another request has the key.
    Another,
}

/// Notes that the request with this key is carried out now, unless it is or was. One that was begun
/// longer than `patience` ago and was never answered is begun anew.
pub async fn take(
    db: &impl GenericClient,
    kind: &str,
    key: &str,
    fingerprint: &[u8],
    patience: Duration,
) -> Result<Take, StoreError> {
    let found = TAKE.query_opt(db, &[&kind, &key, &fingerprint, &milliseconds(patience)]).await?;
    // Without a row, somebody else has taken it in this very moment.
    let Some(row) = found else { return Ok(Take::UnderWay) };
    let fields = TAKE.fields(&row);
    if fields.get("ours")? {
        return Ok(Take::Ours);
    }
    if fields.get::<&[u8]>("fingerprint")? != fingerprint {
        return Ok(Take::Another);
    }
    let answer: Option<Json<Value>> = fields.get("answer")?;
    Ok(match (fields.count_opt("status")?, answer) {
        (Some(status), Some(answer)) => Take::Answered { status, answer: answer.0 },
        _ => Take::UnderWay,
    })
}

/// Keeps what was answered.
pub async fn answer(
    db: &impl GenericClient,
    kind: &str,
    key: &str,
    status: u16,
    answer: &Value,
) -> Result<(), StoreError> {
    ANSWER.query(db, &[&kind, &key, &i32::from(status), &Document(answer)]).await.map(drop)
}

/// Forgets a request that came to nothing, so that the next one may try again.
pub async fn release(db: &impl GenericClient, kind: &str, key: &str) -> Result<(), StoreError> {
    RELEASE.query(db, &[&kind, &key]).await.map(drop)
}

/// Forgets requests that are older than `age`; returns how many, ten thousand at most.
pub async fn prune(db: &impl GenericClient, age: Duration) -> Result<usize, StoreError> {
    Ok(PRUNE.query(db, &[&milliseconds(age)]).await?.len())
}
