//! Statements on the log of plain tasks: append, claim a range, end.
//!
//! The head of `sql/migrations/0007_log.sql` says how the log works. What an end or a claim of it
//! changes is never undone; a task that turns out to be more than plain moves into `tasks`.

mod append;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    StoreError,
    codec::{Document, milliseconds},
    statement::{Sql, sql},
    tasks::readable,
};
use crate::domain::{
    AgentName, Attempt, ClaimId, Entry, FleetName, HostId, Lane, QueueName, TaskId,
    task::{Assignment, Outcome, RunTerms, Settlement},
};

pub use append::{Appended, Direct, Ready, submit, submit_many};

const LANES: Sql = sql!("log/lanes");
const CLAIM: Sql = sql!("log/claim");
const SETTLE: Sql = sql!("log/settle");
const SETTLE_AGAIN: Sql = sql!("log/settle_again");
const TRACK: Sql = sql!("log/track");
const DIVERT: Sql = sql!("log/divert");
const TRACK_PREDECESSOR: Sql = sql!("log/track_predecessor");

/// Where a lane goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The lane.
    pub lane: Lane,
    /// The number of its newest task, 0 if it never had one. The next ones are numbered from here on.
    pub number: i64,
}

/// The lanes of one data directory, by their queues.
pub type Lanes = HashMap<QueueName, Head>;

/// The lanes of `slot` for these queues, made where they are missing. A queue that is not there has
/// none.
pub async fn lanes(
    db: &impl GenericClient,
    slot: Uuid,
    queues: &[QueueName],
) -> Result<Lanes, StoreError> {
    let rows = LANES.query(db, &[&slot, &queues]).await?;
    rows.iter()
        .map(|row| {
            let fields = LANES.fields(row);
            let head = Head { lane: Lane(fields.get("id")?), number: fields.get("head")? };
            Ok((fields.get("queue")?, head))
        })
        .collect()
}

/// A range that a host claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The claim, which lasts until all of the range has ended.
    pub claim: ClaimId,
    /// How many numbers it spans: more than it has tasks, where some have moved.
    pub span: usize,
    /// Its tasks, in their order; for no agent yet.
    pub tasks: Vec<Assignment>,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// These are the host's.
    Range(Range),
    /// Somebody else has the lock of what waits, or moved some of it meanwhile: ask again.
    Busy,
    /// No plain task waits, or the lease of the host has ended.
    Nothing,
}

impl Claimed {
    /// What was claimed, if anything.
    pub fn range(self) -> Option<Range> {
        match self {
            Self::Range(range) => Some(range),
            Self::Busy | Self::Nothing => None,
        }
    }
}

/// Has this connection make its plans for all that a plain task waits for, which takes it some ten
/// milliseconds; nothing is written.
pub async fn warm(db: &impl GenericClient) -> Result<(), StoreError> {
    let nobody = Uuid::nil();
    append::warm(db).await?;
    settle(db, HostId::from_uuid(nobody), &[], &[]).await?;
    let no_queues: &[QueueName] = &[];
    CLAIM.query(db, &[&nobody, &nobody, &no_queues, &0, &nobody, &""]).await?;
    Ok(())
}

/// Takes up to `most` plain tasks of these queues for `host`, all from one lane.
///
/// The lane of `slot` goes first among the equally old. What is limited is passed over, also where
/// `fleet` is.
pub async fn claim(
    db: &impl GenericClient,
    host: HostId,
    slot: Uuid,
    fleet: &FleetName,
    queues: &[QueueName],
    most: usize,
) -> Result<Claimed, StoreError> {
    let claim = ClaimId(Uuid::now_v7());
    let rows =
        CLAIM.query(db, &[&host, &slot, &queues, &int(most), &claim.0, &fleet.as_str()]).await?;
    let Some(first) = rows.first() else { return Ok(Claimed::Nothing) };
    let fields = CLAIM.fields(first);
    let Some(lane) = fields.get::<Option<i32>>("lane")? else { return Ok(Claimed::Busy) };
    let queue: QueueName = fields.get("queue")?;
    let span = fields.count::<u64>("span")?;
    let nobody = AgentName::nobody();
    let mut tasks = Vec::with_capacity(rows.len());
    for row in &rows {
        let fields = CLAIM.fields(row);
        // A range whose tasks have all moved has one row, without a task.
        let Some(task) = fields.get::<Option<TaskId>>("id")? else { continue };
        let mut terms = RunTerms::default();
        tasks.push(Assignment {
            task,
            attempt: Attempt(1),
            failures: 0,
            max_attempts: fields.count("max_attempts")?,
            agent: nobody.clone(),
            queue: queue.clone(),
            kind: fields.get("kind")?,
            input: readable(&fields, &mut terms)?,
            timeout: fields.count_opt("timeout_ms")?.map(Duration::from_millis),
            waited: Duration::from_millis(fields.count("waited_ms")?),
            frees: false,
            results: None,
            entry: Some(Entry { lane: Lane(lane), number: fields.get("number")?, claim }),
            terms,
        });
    }
    let span = usize::try_from(span).unwrap_or(usize::MAX);
    Ok(Claimed::Range(Range { claim, span, tasks }))
}

/// Writes that plain tasks are completed, and that the claims `over` have nothing left. Returns the
/// places that counted.
///
/// One that did not count has moved, or another end of it came first. Settlements without a place or
/// with another outcome are passed over. Not within a transaction: a conflict would end it.
pub async fn settle(
    db: &impl GenericClient,
    host: HostId,
    settlements: &[Settlement],
    over: &[ClaimId],
) -> Result<HashSet<(Lane, i64)>, StoreError> {
    let mut ends: Vec<_> = settlements.iter().filter_map(completed).collect();
    ends.sort_unstable_by_key(|end| end.place);
    ends.dedup_by_key(|end| end.place);
    let lanes: Vec<i32> = ends.iter().map(|end| end.place.0.0).collect();
    let numbers: Vec<i64> = ends.iter().map(|end| end.place.1).collect();
    let agents: Vec<&AgentName> = ends.iter().map(|end| &end.settlement.agent).collect();
    let began: Vec<i64> = ends.iter().map(|end| microseconds(end.settlement.began_ago)).collect();
    let outputs: Vec<_> = ends.iter().map(|end| Document(end.output)).collect();
    let over: Vec<Uuid> = over.iter().map(|claim| claim.0).collect();
    let parameters: &[&(dyn ToSql + Sync)] =
        &[&host, &lanes, &numbers, &agents, &began, &outputs, &over];
    let all = ends.iter().map(|end| end.place);
    match SETTLE.query(db, parameters).await {
        Ok(_) => return Ok(all.collect()),
        Err(error) if error.is_conflict() || error.is_check() => {}
        Err(error) => return Err(error),
    }
    let row = SETTLE_AGAIN.query_opt(db, parameters).await?;
    let Some(row) = row else { return Ok(HashSet::new()) };
    let fields = SETTLE_AGAIN.fields(&row);
    if fields.get("all")? {
        return Ok(all.collect());
    }
    let lanes: Option<Vec<i32>> = fields.get("lanes")?;
    let numbers: Option<Vec<i64>> = fields.get("numbers")?;
    let lanes = lanes.unwrap_or_default().into_iter().map(Lane);
    Ok(lanes.zip(numbers.unwrap_or_default()).collect())
}

/// The completion of a plain task.
struct Completed<'a> {
    place: (Lane, i64),
    settlement: &'a Settlement,
    output: &'a serde_json::Value,
}

fn completed(settlement: &Settlement) -> Option<Completed<'_>> {
    let entry = settlement.entry?;
    match &settlement.outcome {
        Outcome::Completed { output } => {
            Some(Completed { place: (entry.lane, entry.number), settlement, output })
        }
        _ => None,
    }
}

/// Moves those of these tasks into `tasks` that are plain and have not ended; the running ones are
/// in the hands of the agents beside them. Returns how many.
pub async fn track(
    db: &impl GenericClient,
    tasks: &[(TaskId, Option<&AgentName>)],
) -> Result<u64, StoreError> {
    let (ids, agents): (Vec<TaskId>, Vec<Option<&AgentName>>) = tasks.iter().copied().unzip();
    let row = TRACK.query_opt(db, &[&ids, &agents]).await?;
    row.map_or(Ok(0), |row| TRACK.fields(&row).count("moved"))
}

/// Moves plain tasks of these queues into `tasks`, until `most` wait there of each: what is limited is
/// chosen from there. Returns how many it moved.
pub(super) async fn divert(
    db: &impl GenericClient,
    host: HostId,
    queues: &BTreeSet<QueueName>,
    most: usize,
) -> Result<u64, StoreError> {
    let queues: Vec<&QueueName> = queues.iter().collect();
    let row = DIVERT.query_opt(db, &[&host, &queues, &int(most)]).await?;
    row.map_or(Ok(0), |row| DIVERT.fields(&row).count("moved"))
}

/// Moves into `tasks` what the hosts on `slot` hold of the log, before another takes the slot. The
/// agents of `tasks` are known; those of the others are not.
pub async fn track_predecessor(
    db: &impl GenericClient,
    slot: Uuid,
    tasks: &[(TaskId, &AgentName)],
) -> Result<(), StoreError> {
    let (ids, agents): (Vec<TaskId>, Vec<&AgentName>) = tasks.iter().copied().unzip();
    TRACK_PREDECESSOR.query(db, &[&slot, &ids, &agents]).await?;
    Ok(())
}

/// A duration as `bigint` microseconds; one that is too long becomes a hundred years.
fn microseconds(duration: Duration) -> i64 {
    let most = milliseconds(Duration::MAX).saturating_mul(1_000);
    i64::try_from(duration.as_micros()).map_or(most, |micros| micros.min(most))
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
