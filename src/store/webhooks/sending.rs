//! Who sends what, and what came of it.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    domain::{
        EndpointName, HostId,
        delivery::{DeliveryState, signature::SigningKey, target::Target},
    },
    store::{
        StoreError,
        codec::{int4, milliseconds},
        statement::{Sql, sql},
    },
};

const CLAIM: Sql = sql!("webhooks/claim");
const SETTLE: Sql = sql!("webhooks/settle");
const RELEASE: Sql = sql!("webhooks/release");
const RELEASE_PREDECESSOR: Sql = sql!("webhooks/release_predecessor");

/// How much longer than its answer may take nobody else sends a delivery.
const MARGIN: Duration = Duration::from_secs(30);

/// A delivery to be sent by the host that claimed it.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its id.
    pub id: Uuid,
    /// Its place among all deliveries.
    pub number: i64,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Where it goes.
    pub target: Target,
    /// The bytes that are signed and sent.
    pub payload: String,
    /// How often it failed.
    pub failures: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The secrets that sign: the newest first, and an older one while that is still good.
    pub keys: Vec<SigningKey>,
    /// How long ago the event was decided on.
    pub age: Duration,
}

/// What becomes of a delivery.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which.
    pub id: Uuid,
    /// Its state from now on.
    pub state: DeliveryState,
    /// How often it failed.
    pub failures: u32,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why it failed.
    pub problem: Option<String>,
    /// After which time it is sent again.
    pub wait: Duration,
    /// Nothing is sent to its endpoint for so long.
    pub hold: Option<Duration>,
    /// Why its endpoint is disabled, if it is to be.
    pub disable: Option<&'static str>,
}

/// Takes up to `limit` deliveries that are due for `sender`, in no order.
pub async fn claim(
    db: &impl GenericClient,
    sender: HostId,
    limit: u32,
) -> Result<Vec<Claimed>, StoreError> {
    let rows = CLAIM.query(db, &[&sender, &i64::from(limit), &milliseconds(MARGIN)]).await?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    let fields = CLAIM.fields(row);
    let old: Option<&str> = fields.get("old_secret")?;
    let mut keys = vec![fields.parsed("secret")?];
    keys.extend(
        old.map(|text| text.parse().map_err(|_| fields.unknown("old_secret"))).transpose()?,
    );
    Ok(Claimed {
        id: fields.get("id")?,
        number: fields.get("number")?,
        endpoint: fields.get("endpoint")?,
        target: fields.parsed("url")?,
        payload: fields.get("payload")?,
        failures: fields.count("failures")?,
        timeout: Duration::from_millis(fields.count("timeout_ms")?),
        keys,
        age: Duration::from_millis(fields.count("age_ms").unwrap_or(0)),
    })
}

/// Writes down what came of a delivery that `sender` had claimed. False if it has it no more.
pub async fn settle(
    db: &impl GenericClient,
    sender: HostId,
    settled: &Settled,
) -> Result<bool, StoreError> {
    let status = settled.status.map(i32::from);
    let row = SETTLE
        .query_opt(
            db,
            &[
                &settled.id,
                &sender,
                &settled.state,
                &int4(settled.failures),
                &status,
                &settled.problem,
                &milliseconds(settled.wait),
                &settled.hold.map(milliseconds),
                &settled.disable,
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Gives back what `sender` has claimed and not sent.
pub async fn release(
    db: &impl GenericClient,
    sender: HostId,
    ids: &[Uuid],
) -> Result<(), StoreError> {
    RELEASE.query(db, &[&sender, &ids]).await?;
    Ok(())
}

/// Gives back at once what the host on `slot` was sending when it was killed; before another takes the slot.
/// Whoever got one of them gets it twice, under the same id.
pub async fn release_predecessor(db: &impl GenericClient, slot: Uuid) -> Result<(), StoreError> {
    RELEASE_PREDECESSOR.query(db, &[&slot]).await?;
    Ok(())
}
