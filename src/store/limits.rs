//! Statements on limits that are no queue's, and on keys that are held back.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::{
    StoreError,
    codec::{LimitScope, int4, milliseconds},
    queues::until_columns,
    statement::{Fields, Sql, sql},
};
use crate::{
    domain::{
        admission::{KeyPattern, Limit, LimitChange, Limited, Rate, Until},
        record::{KeyPauseRecord, LimitRecord, LimitedKind, RateRecord},
    },
    settings::Settings,
};

const ENSURE: Sql = sql!("limits/ensure");
const SET: Sql = sql!("limits/set");
const LIST: Sql = sql!("limits/list");
const PAUSES: Sql = sql!("key_pauses/list");
const PAUSE: Sql = sql!("key_pauses/set");
const RESUME: Sql = sql!("key_pauses/end");
const FORGET_STARTS: Sql = sql!("rate_starts/forget");

/// As many rows of what began as [`forget_starts`] deletes at once.
pub const STARTS_AT_ONCE: usize = 10_000;

/// The scope and the name of a limit.
fn columns(limited: &Limited) -> (LimitScope, &str) {
    match limited {
        Limited::All => (LimitScope::All, ""),
        Limited::Fleet(fleet) => (LimitScope::Fleet, fleet.as_str()),
        Limited::Key(pattern) => (LimitScope::Key, pattern.as_str()),
    }
}

/// Limits as statements take them.
#[derive(Debug, Default)]
pub(super) struct LimitColumns {
    pub(super) concurrency: Vec<Option<i32>>,
    pub(super) rate_count: Vec<Option<i32>>,
    pub(super) rate_per_ms: Vec<Option<i64>>,
}

impl FromIterator<Limit> for LimitColumns {
    fn from_iter<T: IntoIterator<Item = Limit>>(limits: T) -> Self {
        let mut columns = Self::default();
        for Limit { concurrency, rate } in limits {
            columns.concurrency.push(concurrency.map(int4));
            columns.rate_count.push(rate.map(|rate| int4(rate.count)));
            columns.rate_per_ms.push(rate.map(|rate| milliseconds(rate.per)));
        }
        columns
    }
}

/// The limit in these columns: how many at once, how many within a window, and its length.
pub(super) fn limit_of(
    fields: &Fields<'_>,
    columns: [&'static str; 3],
) -> Result<Limit, StoreError> {
    let [concurrency, count, per] = columns;
    Ok(Limit {
        concurrency: fields.count_opt(concurrency)?,
        rate: limit_of_rate(fields, [count, per])?,
    })
}

/// The rate in these columns: how many within a window, and its length.
pub(super) fn limit_of_rate(
    fields: &Fields<'_>,
    [count, per]: [&'static str; 2],
) -> Result<Option<Rate>, StoreError> {
    let count: Option<u32> = fields.count_opt(count)?;
    let per: Option<u64> = fields.count_opt(per)?;
    Ok(count.zip(per).map(|(count, per)| Rate { count, per: Duration::from_millis(per) }))
}

/// Writes down the limits that the settings say, where they say something else than when they were
/// last ensured.
///
/// # Errors
///
/// Those of the statement.
pub async fn ensure(db: &impl GenericClient, settings: &Settings) -> Result<(), StoreError> {
    let fleets = settings.fleets.iter().filter(|fleet| fleet.protocol.takes_tasks()).map(|fleet| {
        let limit = Limit { concurrency: fleet.concurrency, rate: None };
        (Limited::Fleet(fleet.name.clone()), limit)
    });
    let of_keys = settings.limits.keys.iter();
    let of_keys = of_keys.map(|(pattern, limit)| (Limited::Key(pattern.clone()), *limit));
    let said: Vec<(Limited, Limit)> =
        [(Limited::All, settings.limits.all)].into_iter().chain(fleets).chain(of_keys).collect();
    let (scopes, names): (Vec<LimitScope>, Vec<&str>) =
        said.iter().map(|(limited, _)| columns(limited)).unzip();
    let of_limits: LimitColumns = said.iter().map(|(_, limit)| *limit).collect();
    let LimitColumns { concurrency, rate_count, rate_per_ms } = of_limits;
    ENSURE.query(db, &[&scopes, &names, &concurrency, &rate_count, &rate_per_ms]).await?;
    Ok(())
}

/// Changes a limit; what runs goes on.
///
/// # Errors
///
/// Those of the statement.
pub async fn set(
    db: &impl GenericClient,
    limited: &Limited,
    change: &LimitChange,
) -> Result<(), StoreError> {
    let (scope, name) = columns(limited);
    let limit: LimitColumns = [change.settled()].into_iter().collect();
    let given: [&(dyn ToSql + Sync); 7] = [
        &scope,
        &name,
        &change.concurrency.is_some(),
        &limit.concurrency[0],
        &change.rate.is_some(),
        &limit.rate_count[0],
        &limit.rate_per_ms[0],
    ];
    SET.query(db, &given).await?;
    Ok(())
}

/// Every limit that is no queue's.
///
/// # Errors
///
/// Those of the statement.
pub async fn list(db: &impl GenericClient) -> Result<Vec<LimitRecord>, StoreError> {
    let rows = LIST.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = LIST.fields(row);
            let limit = limit_of(&fields, ["concurrency", "rate_count", "rate_per_ms"])?;
            Ok(LimitRecord {
                of: match fields.get("scope")? {
                    LimitScope::All => LimitedKind::All,
                    LimitScope::Fleet => LimitedKind::Fleet,
                    LimitScope::Key => LimitedKind::Key,
                },
                name: fields.get("name")?,
                concurrency: limit.concurrency,
                rate: limit.rate.map(RateRecord::of),
            })
        })
        .collect()
}

/// The keys that are held back.
///
/// # Errors
///
/// Those of the statement.
pub async fn paused_keys(db: &impl GenericClient) -> Result<Vec<KeyPauseRecord>, StoreError> {
    let rows = PAUSES.query(db, &[]).await?;
    rows.iter().map(|row| pause_record(&PAUSES.fields(row))).collect()
}

/// Holds back the tasks with the keys that a pattern means; what runs goes on.
///
/// # Errors
///
/// Those of the statement.
pub async fn pause_key(
    db: &impl GenericClient,
    pattern: &KeyPattern,
    reason: &str,
    until: Until,
) -> Result<Option<KeyPauseRecord>, StoreError> {
    let (at, length) = until_columns(until);
    let row = PAUSE.query_opt(db, &[&pattern.as_str(), &reason, &at, &length]).await?;
    row.map(|row| pause_record(&PAUSE.fields(&row))).transpose()
}

/// Lets them run again. False if they were not held back under this name.
///
/// # Errors
///
/// Those of the statement.
pub async fn resume_key(db: &impl GenericClient, pattern: &KeyPattern) -> Result<bool, StoreError> {
    Ok(RESUME.query_opt(db, &[&pattern.as_str()]).await?.is_some())
}

fn pause_record(fields: &Fields<'_>) -> Result<KeyPauseRecord, StoreError> {
    Ok(KeyPauseRecord {
        key: fields.parsed("pattern")?,
        reason: fields.get("reason")?,
        since: fields.get("since")?,
        until: fields.get("until")?,
    })
}

/// Forgets what began longer ago than any rate counts; returns how many rows that were.
pub async fn forget_starts(db: &impl GenericClient) -> Result<usize, StoreError> {
    let most = i64::try_from(STARTS_AT_ONCE).unwrap_or(i64::MAX);
    Ok(FORGET_STARTS.query(db, &[&most]).await?.len())
}
