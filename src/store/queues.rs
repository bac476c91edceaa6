//! Statements on the `queues` table.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;

use super::{
    StoreError,
    codec::{int4, milliseconds},
    statement::{Sql, sql},
};
use crate::{
    domain::{
        QueueName,
        record::QueueRecord,
        retry::{AllQueueTerms, QueueTerms, RetryPolicy, RetryTerms},
        task::TaskState,
    },
    settings,
};

const ENSURE: Sql = sql!("queues/ensure");
const LIST: Sql = sql!("queues/list");
const SET_TERMS: Sql = sql!("queues/set_terms");
const EXISTS: Sql = sql!("queues/exists");
const PAUSE: Sql = sql!("queues/pause");
const RESUME: Sql = sql!("queues/resume");

/// Makes the queues that are not there yet. One that is gets its new description; whether it is
/// paused stays as operators left it.
pub async fn ensure(
    db: &impl GenericClient,
    queues: &[(QueueName, settings::Queue)],
) -> Result<(), StoreError> {
    // The last word on a name is the one that counts.
    let queues: BTreeMap<&QueueName, &settings::Queue> =
        queues.iter().map(|(name, queue)| (name, queue)).collect();
    let names: Vec<&QueueName> = queues.keys().copied().collect();
    let descriptions: Vec<&str> = queues.values().map(|queue| &*queue.description).collect();
    let paused: Vec<bool> = queues.values().map(|queue| queue.paused).collect();
    ENSURE.query(db, &[&names, &descriptions, &paused]).await?;
    Ok(())
}

/// Writes down what tasks get that do not say otherwise, for the functions that SQL calls:
/// `hostler.enqueue`, `hostler.fail_task`. Hosts go by their own settings.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn set_terms(db: &impl GenericClient, terms: &AllQueueTerms) -> Result<(), StoreError> {
    let all: BTreeMap<&str, &QueueTerms> = std::iter::once(("", &terms.fallback))
        .chain(terms.queues.iter().map(|(name, terms)| (name.as_str(), terms)))
        .collect();
    let names: Vec<&str> = all.keys().copied().collect();
    let max_attempts: Vec<i32> = all.values().map(|terms| int4(terms.max_attempts)).collect();
    let timeouts: Vec<_> = all.values().map(|terms| terms.timeout.map(milliseconds)).collect();
    let retries: Vec<_> = all.values().map(|terms| Json(in_full(&terms.retry))).collect();
    SET_TERMS.query(db, &[&names, &max_attempts, &timeouts, &retries]).await?;
    Ok(())
}

/// A policy in the words in which a task says what differs.
fn in_full(policy: &RetryPolicy) -> RetryTerms {
    RetryTerms {
        kind: Some(policy.kind),
        backoff_min: Some(policy.backoff_min),
        backoff_max: Some(policy.backoff_max),
        jitter: Some(policy.jitter),
        retry_on: Some(policy.retry_on.clone()),
        never_on: Some(policy.never_on.clone()),
    }
}

/// Every queue, with how deep it is, in the order of their names.
pub async fn list(db: &impl GenericClient) -> Result<Vec<QueueRecord>, StoreError> {
    let mut queues: Vec<QueueRecord> = Vec::new();
    for row in LIST.query(db, &[]).await? {
        let fields = LIST.fields(&row);
        let name: QueueName = fields.get("name")?;
        if queues.last().is_none_or(|last| last.name != name) {
            queues.push(QueueRecord {
                name,
                description: fields.get("description")?,
                paused: fields.get("paused")?,
                paused_reason: fields.get("paused_reason")?,
                depth: BTreeMap::new(),
                oldest_pending_ms: fields.count_opt("waited_ms")?,
            });
        }
        if let (Some(queue), Some(state)) =
            (queues.last_mut(), fields.get::<Option<TaskState>>("state")?)
        {
            queue.depth.insert(state, fields.count("tasks")?);
        }
    }
    Ok(queues)
}

/// Whether there is such a queue.
pub async fn exists(db: &impl GenericClient, queue: &QueueName) -> Result<bool, StoreError> {
    match EXISTS.query_opt(db, &[queue]).await? {
        Some(row) => EXISTS.fields(&row).get("is_there"),
        None => Ok(false),
    }
}

/// Holds the tasks of a queue back; what runs goes on. False if there is no such queue.
pub async fn pause(
    db: &impl GenericClient,
    queue: &QueueName,
    reason: &str,
) -> Result<bool, StoreError> {
    Ok(PAUSE.query_opt(db, &[queue, &reason]).await?.is_some())
}

/// Lets the tasks of a queue run again. False if there is no such queue.
pub async fn resume(db: &impl GenericClient, queue: &QueueName) -> Result<bool, StoreError> {
    Ok(RESUME.query_opt(db, &[queue]).await?.is_some())
}
