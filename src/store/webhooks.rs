//! Statements on endpoints of webhooks and their deliveries.
//!
//! What is to be sent is decided in one transaction with the place in the feed up to which it was
//! decided: [`decide`]. Sending is claimed, so that one host does it; a claim of a host that is gone
//! ends by itself.

mod outbox;
mod sending;

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

pub use outbox::{Decided, add_callbacks, begin, decide, is_quiet};
pub use sending::{Claimed, Settled, claim, release, release_predecessor, settle};

use super::{
    StoreError,
    codec::{int4, milliseconds},
    statement::{Fields, Sql, sql},
};
use crate::domain::{
    EndpointName, TaskId,
    delivery::{
        DeliveryRecord, DeliveryState, EndpointRecord, EndpointSpec, TEST, message_id,
        signature::SigningKey, test_payload,
    },
    schedule::Origin,
};

const ENDPOINTS: Sql = sql!("webhooks/endpoints");
const PUT: Sql = sql!("webhooks/put");
const ROTATE: Sql = sql!("webhooks/rotate");
const ENABLE: Sql = sql!("webhooks/enable");
const REMOVE: Sql = sql!("webhooks/remove");
const DELIVERIES: Sql = sql!("webhooks/deliveries");
const FIND: Sql = sql!("webhooks/find");
const REPLAY: Sql = sql!("webhooks/replay");
const PRUNE: Sql = sql!("webhooks/prune");

/// Which deliveries are listed, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this endpoint.
    pub endpoint: Option<EndpointName>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// About this task.
    pub task: Option<TaskId>,
    /// Before this number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Which deliveries are sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// This one.
    One(Uuid),
    /// Up to so many dead ones of an endpoint.
    Dead(EndpointName, u32),
}

/// A secret that nobody knows yet.
pub fn new_key() -> SigningKey {
    SigningKey::of(std::array::from_fn(|_| Uuid::new_v4()))
}

/// The endpoints in the order of their names, or the one of this name alone.
pub async fn endpoints(
    db: &impl GenericClient,
    name: Option<&EndpointName>,
) -> Result<Vec<EndpointRecord>, StoreError> {
    let rows = ENDPOINTS.query(db, &[&name]).await?;
    rows.iter().map(endpoint).collect()
}

fn endpoint(row: &Row) -> Result<EndpointRecord, StoreError> {
    let fields = ENDPOINTS.fields(row);
    let url: Option<&str> = fields.get("url")?;
    let url = url.map(|text| text.parse().map_err(|_| fields.unknown("url"))).transpose()?;
    let Json(filter) = fields.get("filter")?;
    Ok(EndpointRecord {
        name: fields.get("name")?,
        spec: EndpointSpec {
            url,
            description: fields.get("description")?,
            filter,
            concurrency: fields.count("concurrency")?,
            ordered: fields.get("ordered")?,
            timeout_ms: fields.count("timeout_ms")?,
        },
        origin: fields.get("origin")?,
        enabled: fields.get("enabled")?,
        disabled_reason: fields.get("disabled_reason")?,
        not_before: fields.get("not_before")?,
        old_secret_until: fields.get("old_secret_until")?,
        created_at: fields.get("created_at")?,
        pending: fields.count("pending")?,
        dead: fields.count("dead")?,
    })
}

/// Makes an endpoint, or changes it; returns whether it was made. One that is there keeps its secret
/// if `keep` says so.
pub async fn put(
    db: &impl GenericClient,
    name: &EndpointName,
    spec: &EndpointSpec,
    origin: Origin,
    (secret, keep): (&SigningKey, bool),
) -> Result<bool, StoreError> {
    let url = spec.url.as_ref().map(|url| url.as_str());
    let (concurrency, timeout) = (i32::from(spec.concurrency), int4(spec.timeout_ms));
    let row = PUT
        .query_opt(
            db,
            &[
                name,
                &url,
                &spec.description,
                &Json(&spec.filter),
                &secret.reveal(),
                &concurrency,
                &spec.ordered,
                &timeout,
                &origin,
                &keep,
            ],
        )
        .await?;
    row.map_or(Ok(false), |row| PUT.fields(&row).get("created"))
}

/// Gives an endpoint a new secret; the old one signs, too, for as long as `both`. False if there is
/// no such endpoint.
pub async fn rotate(
    db: &impl GenericClient,
    name: &EndpointName,
    secret: &SigningKey,
    both: Duration,
) -> Result<bool, StoreError> {
    Ok(ROTATE.query_opt(db, &[name, &secret.reveal(), &milliseconds(both)]).await?.is_some())
}

/// Tells an endpoint again, or no more where there is a reason. False if there is none.
pub async fn enable(
    db: &impl GenericClient,
    name: &EndpointName,
    why_not: Option<&str>,
) -> Result<bool, StoreError> {
    Ok(ENABLE.query_opt(db, &[name, &why_not]).await?.is_some())
}

/// Takes an endpoint out, with its deliveries. False if there is none.
pub async fn remove(db: &impl GenericClient, name: &EndpointName) -> Result<bool, StoreError> {
    Ok(REMOVE.query_opt(db, &[name]).await?.is_some())
}

/// A test for an endpoint, as a delivery like any other; its id.
pub async fn test(db: &impl GenericClient, name: &EndpointName) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    let body = test_payload(name.as_str(), jiff::Timestamp::now());
    let delivery = outbox::Delivery {
        id,
        endpoint: name.clone(),
        url: None,
        word: TEST.to_owned(),
        task: None,
        payload: body,
    };
    outbox::add(db, &[delivery]).await?;
    Ok(id)
}

/// Deliveries, newest first.
pub async fn deliveries(
    db: &impl GenericClient,
    filter: &DeliveryFilter,
) -> Result<Vec<DeliveryRecord>, StoreError> {
    let before = filter.before.unwrap_or(i64::MAX);
    let limit = i64::from(filter.limit);
    let rows = DELIVERIES
        .query(db, &[&filter.endpoint, &filter.state, &filter.task, &before, &limit])
        .await?;
    rows.iter().map(|row| delivery(&DELIVERIES.fields(row))).collect()
}

/// One delivery.
pub async fn find(db: &impl GenericClient, id: Uuid) -> Result<Option<DeliveryRecord>, StoreError> {
    let row = FIND.query_opt(db, &[&id]).await?;
    row.map(|row| delivery(&FIND.fields(&row))).transpose()
}

fn delivery(fields: &Fields<'_>) -> Result<DeliveryRecord, StoreError> {
    Ok(DeliveryRecord {
        id: message_id(fields.get("id")?),
        number: fields.get("number")?,
        endpoint: fields.get("endpoint")?,
        url: fields.get("url")?,
        word: fields.get("type")?,
        task: fields.get("task_id")?,
        state: fields.get("state")?,
        failures: fields.count("failures")?,
        due_at: fields.get("due_at")?,
        status: fields.count_opt("status")?,
        problem: fields.get("problem")?,
        created_at: fields.get("created_at")?,
        ended_at: fields.get("ended_at")?,
    })
}

/// Has deliveries that ended sent again; how many.
pub async fn replay(db: &impl GenericClient, again: &Again) -> Result<u64, StoreError> {
    let (one, endpoint, limit) = match again {
        Again::One(id) => (Some(*id), None, 1),
        Again::Dead(endpoint, limit) => (None, Some(endpoint), i64::from(*limit)),
    };
    Ok(REPLAY.query(db, &[&one, &endpoint, &limit]).await?.len() as u64)
}

/// Deletes up to `limit` deliveries whose terms are over.
pub async fn prune(
    db: &impl GenericClient,
    (delivered, dead): (Duration, Duration),
    limit: u32,
) -> Result<(), StoreError> {
    let terms = (milliseconds(delivered), milliseconds(dead));
    PRUNE.query(db, &[&terms.0, &terms.1, &i64::from(limit)]).await?;
    Ok(())
}
