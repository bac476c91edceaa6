//! What is told: what a task waits for, and who holds what.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use deadpool_postgres::GenericClient;

use super::situation;
use crate::{
    domain::{
        FleetName, TaskId,
        admission::{BlockKind, Scope, Situation, Usage},
        record::{LockRecord, TaskRecord, WaitKind, WaitRecord},
        task::TaskState,
    },
    store::{
        StoreError,
        statement::{Sql, sql},
    },
};

const LOCKS: Sql = sql!("task_holds/list");

/// What is in the way of a task that could be given out, apart from agents that are busy.
///
/// Found as a claim finds it, but without its lock: what is told is true of this moment, or of one just
/// before. `fleets` are those that could run it, as far as the caller knows.
///
/// # Errors
///
/// Those of the statements.
pub async fn waits_for(
    db: &impl GenericClient,
    task: &TaskRecord,
    fleets: &[FleetName],
    patience: Duration,
) -> Result<Vec<WaitRecord>, StoreError> {
    if task.state != TaskState::Pending {
        return Ok(Vec::new());
    }
    let needs = &task.needs;
    let (now, rules) = situation::rules(db).await?;
    let of = |fleet| rules.scopes(fleet, &task.queue, needs.keys());
    let scopes: BTreeSet<Scope> = of(None)
        .chain(fleets.iter().flat_map(|fleet| of(Some(fleet))))
        .filter(|(_, limit)| limit.rate.is_some())
        .map(|(scope, _)| scope)
        .collect();
    let (held, running, starts, waiters) = tokio::try_join!(
        situation::held(db),
        situation::running(db, &rules),
        situation::starts(db, &scopes),
        situation::waiters(db, patience, situation::MOST_WAITERS),
    )?;
    let situation = Situation { now, rules, held, running, starts, waiters };
    let asked = (task.id, &task.queue, task.priority, needs);
    let found = Usage::new(&situation).blockers_of(fleets, asked);
    let told = found.into_iter().map(|blocker| WaitRecord {
        kind: match blocker.kind {
            BlockKind::Lock => WaitKind::Lock,
            BlockKind::Path => WaitKind::Path,
            BlockKind::Concurrency => WaitKind::Concurrency,
            BlockKind::Rate => WaitKind::Rate,
            BlockKind::Paused => WaitKind::Paused,
        },
        name: blocker.name,
        holder: blocker.holder,
        since: blocker.since,
        until: blocker.until,
        reason: blocker.reason,
    });
    Ok(told.collect())
}

/// How many tasks that wait are told of at most.
const MOST_TOLD: i64 = 1_000;

/// What is held, by whom, since when, and who was passed over because of it; those that wait
/// longest first.
///
/// # Errors
///
/// Those of the statements.
pub async fn locks(
    db: &impl GenericClient,
    patience: Duration,
) -> Result<Vec<LockRecord>, StoreError> {
    let (rows, (now, rules), held, kept, passed) = tokio::try_join!(
        LOCKS.query(db, &[]),
        situation::rules(db),
        situation::held(db),
        situation::waiters(db, patience, situation::MOST_WAITERS),
        situation::waiters(db, Duration::ZERO, MOST_TOLD),
    )?;
    let situation = Situation { now, rules, held, waiters: kept, ..Situation::default() };
    let usage = Usage::new(&situation);
    let mut waiters: BTreeMap<(TaskId, String), Vec<TaskId>> = BTreeMap::new();
    for waiter in &passed {
        let found = usage.blockers(waiter.task, &waiter.queue, waiter.priority, &waiter.needs);
        let of_tasks = found.into_iter().filter_map(|it| Some((it.holder?, it.name)));
        for holder in of_tasks.collect::<BTreeSet<_>>() {
            waiters.entry(holder).or_default().push(waiter.task);
        }
    }
    rows.iter()
        .map(|row| {
            let fields = LOCKS.fields(row);
            let (holder, name): (TaskId, String) = (fields.get("task_id")?, fields.get("name")?);
            Ok(LockRecord {
                kind: fields.get("kind")?,
                waiters: waiters.get(&(holder, name.clone())).cloned().unwrap_or_default(),
                name,
                holder,
                queue: fields.get("queue")?,
                agent: fields.get("agent")?,
                host: fields.get("host_id")?,
                since: fields.get("since")?,
            })
        })
        .collect()
}
