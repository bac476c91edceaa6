//! What is held, limited and waited for, by all hosts, as rows become words of the domain.

use std::{collections::BTreeSet, time::Duration};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use crate::{
    domain::{
        HostId,
        admission::{
            AgentAt, Held, KeyPattern, Limit, NeedKind, Needs, Pause, QueueRules, Rules, Running,
            Scope, Start, Waiter,
        },
    },
    store::{
        StoreError,
        codec::{LimitScope, milliseconds},
        limits::limit_of,
        statement::{Fields, Sql, sql},
    },
};

const RULES: Sql = sql!("queues/rules");
const LIMITS: Sql = sql!("limits/list");
const PAUSES: Sql = sql!("key_pauses/list");
const HELD: Sql = sql!("task_holds/held");
const RUNNING: Sql = sql!("tasks/running");
const STARTS: Sql = sql!("rate_starts/list");
const AGED: Sql = sql!("task_waits/aged");

/// For how many tasks something is kept at a time.
pub(super) const MOST_WAITERS: i64 = 64;

/// Prepares what every choice asks for: see [`Sql::prepare`].
pub(super) async fn prepare(db: &impl GenericClient) -> Result<(), StoreError> {
    for statement in [&RULES, &LIMITS, &PAUSES, &HELD, &AGED] {
        statement.prepare(db).await?;
    }
    Ok(())
}

/// What is limited, and what time the server has. One round trip on a connection that pipelines.
pub(super) async fn rules(db: &impl GenericClient) -> Result<(Timestamp, Rules), StoreError> {
    let (queues, limits, pauses) =
        tokio::try_join!(RULES.query(db, &[]), LIMITS.query(db, &[]), PAUSES.query(db, &[]),)?;
    let mut rules = Rules::default();
    let mut now = None;
    for row in &queues {
        let fields = RULES.fields(row);
        now = Some(fields.get("now")?);
        let limit = limit_of(&fields, ["concurrency", "rate_count", "rate_per_ms"])?;
        let key_limit =
            limit_of(&fields, ["key_concurrency", "key_rate_count", "key_rate_per_ms"])?;
        let pause =
            Pause { reason: fields.get("paused_reason")?, until: fields.get("paused_until")? };
        let of_queue = QueueRules {
            limit,
            key_limit,
            weight: fields.count("weight")?,
            fair: fields.get("fair")?,
            paused: fields.get::<bool>("paused")?.then_some(pause),
        };
        rules.queues.insert(fields.get("name")?, of_queue);
    }
    for row in &limits {
        let fields = LIMITS.fields(row);
        let limit = limit_of(&fields, ["concurrency", "rate_count", "rate_per_ms"])?;
        match fields.get("scope")? {
            LimitScope::All => rules.all = limit,
            LimitScope::Fleet => _ = rules.fleets.insert(fields.parsed("name")?, limit),
            LimitScope::Key => _ = rules.keys.insert(fields.parsed("name")?, limit),
        }
    }
    for row in &pauses {
        let fields = PAUSES.fields(row);
        let pattern: KeyPattern = fields.parsed("pattern")?;
        let pause = Pause { reason: fields.get("reason")?, until: fields.get("until")? };
        rules.paused_keys.insert(pattern, pause);
    }
    // Without a queue there is nothing to decide.
    Ok((now.unwrap_or(Timestamp::UNIX_EPOCH), rules))
}

/// What runs and holds something.
pub(super) async fn held(db: &impl GenericClient) -> Result<Vec<Held>, StoreError> {
    let rows = HELD.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = HELD.fields(row);
            Ok(Held {
                task: fields.get("task_id")?,
                queue: fields.get("queue")?,
                agent: agent(&fields)?,
                needs: needs(&fields)?,
                since: fields.get("since")?,
            })
        })
        .collect()
}

/// The columns `host_id` and `agent`; nothing for one that is not of a host.
fn agent(fields: &Fields<'_>) -> Result<Option<AgentAt>, StoreError> {
    let (host, agent): (Option<HostId>, Option<&str>) =
        (fields.get("host_id")?, fields.get("agent")?);
    let agent = agent.and_then(|agent| agent.parse().ok());
    Ok(host.zip(agent).map(|(host, agent)| AgentAt { host, agent }))
}

/// What runs, counted, if a limit asks for it.
pub(super) async fn running(
    db: &impl GenericClient,
    rules: &Rules,
) -> Result<Vec<Running>, StoreError> {
    let counts = |limit: &Limit| limit.concurrency.is_some();
    let of_queue = |rules: &QueueRules| counts(&rules.limit);
    let asked = counts(&rules.all)
        || rules.fleets.values().any(counts)
        || rules.queues.values().any(of_queue);
    if !asked {
        return Ok(Vec::new());
    }
    let rows = RUNNING.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = RUNNING.fields(row);
            Ok(Running {
                queue: fields.get("queue")?,
                agent: agent(&fields)?,
                tasks: fields.count("tasks")?,
            })
        })
        .collect()
}

/// What began lately under these scopes.
pub(super) async fn starts(
    db: &impl GenericClient,
    scopes: &BTreeSet<Scope>,
) -> Result<Vec<Start>, StoreError> {
    if scopes.is_empty() {
        return Ok(Vec::new());
    }
    let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    let rows = STARTS.query(db, &[&scopes]).await?;
    rows.iter()
        .map(|row| {
            let fields = STARTS.fields(row);
            Ok(Start {
                scope: fields.parsed("scope")?,
                at: fields.get("at")?,
                count: fields.count("count")?,
            })
        })
        .collect()
}

/// The tasks that have been passed over for `patience`, up to `most` of them.
pub(super) async fn waiters(
    db: &impl GenericClient,
    patience: Duration,
    most: i64,
) -> Result<Vec<Waiter>, StoreError> {
    let rows = AGED.query(db, &[&milliseconds(patience), &most]).await?;
    rows.iter()
        .map(|row| {
            let fields = AGED.fields(row);
            Ok(Waiter {
                task: fields.get("id")?,
                queue: fields.get("queue")?,
                priority: fields.get("priority")?,
                needs: needs(&fields)?,
                since: fields.get("since")?,
            })
        })
        .collect()
}

/// The columns `kinds` and `names`, which are null where nothing is needed.
pub(in crate::store) fn needs(fields: &Fields<'_>) -> Result<Needs, StoreError> {
    let kinds: Option<Vec<NeedKind>> = fields.get("kinds")?;
    let names: Option<Vec<&str>> = fields.get("names")?;
    let rows = kinds.into_iter().flatten().zip(names.into_iter().flatten());
    Needs::from_rows(rows).map_err(|_| fields.unknown("names"))
}
