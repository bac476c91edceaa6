//! Statements on the `queues` table.

use std::{collections::BTreeMap, time::Duration};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::types::Json;

use super::{
    StoreError,
    codec::{int4, milliseconds},
    limits::{LimitColumns, limit_of},
    statement::{Sql, sql},
};
use crate::{
    domain::{
        QueueName,
        admission::{KeyPattern, QueueChange, Until},
        plan::run,
        record::{QueueLimits, QueueRecord, RateRecord},
        retry::{AllQueueTerms, QueueTerms, RetryPolicy, RetryTerms},
        task::TaskState,
    },
    settings,
};

const ENSURE: Sql = sql!("queues/ensure");
const LIST: Sql = sql!("queues/list");
const OLDEST: Sql = sql!("queues/oldest");
const MISSING: Sql = sql!("queues/missing");
const LIMIT: Sql = sql!("queues/limit");
const SET_TERMS: Sql = sql!("queues/set_terms");
const EXISTS: Sql = sql!("queues/exists");
const PAUSE: Sql = sql!("queues/pause");
const RESUME: Sql = sql!("queues/resume");
const END_PAUSES: Sql = sql!("queues/end_pauses");
const FOR_PEOPLE: Sql = sql!("queues/for_people");

/// The parameters of statements: a time, or milliseconds.
pub(super) fn until_columns(until: Until) -> (Option<Timestamp>, Option<i64>) {
    match until {
        Until::Resumed => (None, None),
        Until::At(time) => (Some(time), None),
        Until::For(length) => (None, Some(milliseconds(length))),
    }
}

/// Pauses whose time has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndedPauses {
    /// The queues that run again.
    pub queues: Vec<QueueName>,
    /// The keys that do.
    pub keys: Vec<KeyPattern>,
    /// How long until the next pause ends.
    pub next: Option<Duration>,
}

/// Makes the queues that are not there yet.
///
/// One that is gets its new description, and its new limits where the settings say something else
/// than when they were last ensured; whether it is paused stays as operators left it.
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
    let all: LimitColumns = queues.values().map(|queue| queue.limit).collect();
    let of_keys: LimitColumns = queues.values().map(|queue| queue.key_limit).collect();
    let weights: Vec<i32> = queues.values().map(|queue| int4(queue.weight)).collect();
    let fair: Vec<bool> = queues.values().map(|queue| queue.fair).collect();
    let given = [
        &names as _,
        &descriptions as _,
        &paused as _,
        &all.concurrency as _,
        &all.rate_count as _,
        &all.rate_per_ms as _,
        &of_keys.concurrency as _,
        &of_keys.rate_count as _,
        &of_keys.rate_per_ms as _,
        &weights as _,
        &fair as _,
    ];
    ENSURE.query(db, &given).await?;
    Ok(())
}

/// Makes the queue of what waits for a person, if it is not there yet.
pub async fn for_people(db: &impl GenericClient) -> Result<(), StoreError> {
    FOR_PEOPLE.query(db, &[&run::PEOPLE, &run::PEOPLE_DESCRIPTION]).await?;
    Ok(())
}

/// Makes the queue of what waits for its turn to be merged, if it is not there.
pub async fn for_merges(db: &impl GenericClient) -> Result<(), StoreError> {
    FOR_PEOPLE.query(db, &[&run::MERGES, &run::MERGES_DESCRIPTION]).await?;
    Ok(())
}

/// One of these names that is no queue, if there is one.
pub async fn missing(
    db: &impl GenericClient,
    names: &[&QueueName],
) -> Result<Option<QueueName>, StoreError> {
    let row = MISSING.query_opt(db, &[&names]).await?;
    row.map(|row| MISSING.fields(&row).get("name")).transpose()
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

/// How long the oldest task of these queues has waited that could run; `None` if none waits.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn oldest(
    db: &impl GenericClient,
    queues: &[QueueName],
) -> Result<Option<Duration>, StoreError> {
    let names: Vec<&QueueName> = queues.iter().collect();
    let Some(row) = OLDEST.query_opt(db, &[&names]).await? else { return Ok(None) };
    let waited: Option<i64> = OLDEST.fields(&row).get("waited_ms")?;
    // A clock that was set back may make it negative.
    Ok(waited.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// Every queue, with how deep it is, in the order of their names.
pub async fn list(db: &impl GenericClient) -> Result<Vec<QueueRecord>, StoreError> {
    let mut queues: Vec<QueueRecord> = Vec::new();
    for row in LIST.query(db, &[]).await? {
        let fields = LIST.fields(&row);
        let name: QueueName = fields.get("name")?;
        if queues.last().is_none_or(|last| last.name != name) {
            let limit = limit_of(&fields, ["concurrency", "rate_count", "rate_per_ms"])?;
            let key_limit =
                limit_of(&fields, ["key_concurrency", "key_rate_count", "key_rate_per_ms"])?;
            queues.push(QueueRecord {
                name,
                description: fields.get("description")?,
                paused: fields.get("paused")?,
                paused_reason: fields.get("paused_reason")?,
                paused_until: fields.get("paused_until")?,
                limits: QueueLimits {
                    concurrency: limit.concurrency,
                    rate: limit.rate.map(RateRecord::of),
                    key_concurrency: key_limit.concurrency,
                    key_rate: key_limit.rate.map(RateRecord::of),
                    weight: fields.count("weight")?,
                    fair: fields.get("fair")?,
                },
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

/// Changes the limits of a queue; what runs goes on. False if there is no such queue.
pub async fn limit(
    db: &impl GenericClient,
    queue: &QueueName,
    change: &QueueChange,
) -> Result<bool, StoreError> {
    let all: LimitColumns = [change.limit.settled()].into_iter().collect();
    let of_keys: LimitColumns = [change.key_limit.settled()].into_iter().collect();
    let given = [
        queue as _,
        &change.limit.concurrency.is_some() as _,
        &all.concurrency[0] as _,
        &change.limit.rate.is_some() as _,
        &all.rate_count[0] as _,
        &all.rate_per_ms[0] as _,
        &change.key_limit.concurrency.is_some() as _,
        &of_keys.concurrency[0] as _,
        &change.key_limit.rate.is_some() as _,
        &of_keys.rate_count[0] as _,
        &of_keys.rate_per_ms[0] as _,
        &change.weight.map(int4) as _,
        &change.fair as _,
    ];
    Ok(LIMIT.query_opt(db, &given).await?.is_some())
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
    until: Until,
) -> Result<bool, StoreError> {
    let (at, length) = until_columns(until);
    Ok(PAUSE.query_opt(db, &[queue, &reason, &at, &length]).await?.is_some())
}

/// Lets the tasks of a queue run again. False if there is no such queue.
pub async fn resume(db: &impl GenericClient, queue: &QueueName) -> Result<bool, StoreError> {
    Ok(RESUME.query_opt(db, &[queue]).await?.is_some())
}

/// Takes down the pauses whose time has come, so that listings and operators see it. Claims need no
/// such thing: they go by the time.
pub async fn end_pauses(db: &impl GenericClient) -> Result<EndedPauses, StoreError> {
    let Some(row) = END_PAUSES.query_opt(db, &[]).await? else {
        return Ok(EndedPauses::default());
    };
    let fields = END_PAUSES.fields(&row);
    let keys: Vec<&str> = fields.get("keys")?;
    let keys = keys.into_iter().map(|key| key.parse().map_err(|_| fields.unknown("keys")));
    Ok(EndedPauses {
        queues: fields.get("queues")?,
        keys: keys.collect::<Result<_, _>>()?,
        next: fields.count_opt("next_ms")?.map(Duration::from_millis),
    })
}
