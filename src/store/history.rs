//! Deleting what is over its term, and what is deleted as records.
//!
//! To find, to delete and to write down are statements of their own: what was found is written to
//! an archive while nothing is locked, and deleted if it is still as it was and nobody needs it.

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    codec::milliseconds,
    statement::{Sql, sql},
};
use crate::domain::{
    Lane, PlanRunId, TaskId,
    history::{Counts, Kind, Look},
    plan::NEWEST,
};

const ENDED: Sql = sql!("history/ended");
const TAKE: Sql = sql!("history/take");
const DELETE: Sql = sql!("history/delete");
const RECORDS: Sql = sql!("history/records");
const LANES: Sql = sql!("history/lanes");
const LOG_ENDED: Sql = sql!("history/log_ended");
const LOG_TAKE: Sql = sql!("history/log_take");
const LOG_DELETE: Sql = sql!("history/log_delete");
const LOG_RECORDS: Sql = sql!("history/log_records");
const RUN_ENDED: Sql = sql!("history/run_ended");
const RUN_ROWS: Sql = sql!("history/run_rows");
const DURATIONS: Sql = sql!("history/durations");
const RUN: Sql = sql!("history/run");
const FEED: Sql = sql!("history/feed");

/// How much is looked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Tasks, or rows of the feed.
    pub count: u32,
    /// About how many bytes of inputs and results, as they are kept.
    pub bytes: u64,
}

/// Tasks whose term is over, and that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Tracked tasks, with the versions in which they were found.
    Tasks {
        /// How they ended.
        kind: Kind,
        /// Their ids, in order.
        ids: Vec<TaskId>,
        /// The version of each.
        versions: Vec<i32>,
    },
    /// Plain tasks of a lane.
    Log {
        /// The lane.
        lane: Lane,
        /// Their numbers, in order.
        numbers: Vec<i64>,
        /// How many of them have moved into `tasks`, and are kept there.
        moved: u64,
    },
}

impl Due {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Tasks { ids, .. } => ids.is_empty(),
            Self::Log { numbers, .. } => numbers.is_empty(),
        }
    }

    /// How many tasks it is of each kind.
    pub fn counts(&self) -> Counts {
        match self {
            Self::Tasks { kind, ids, .. } => Counts::of(*kind, ids.len() as u64),
            Self::Log { numbers, moved, .. } => {
                Counts::of(Kind::Completed, (numbers.len() as u64).saturating_sub(*moved))
            }
        }
    }
}

/// Every lane of the log.
pub async fn lanes(db: &impl GenericClient) -> Result<Vec<Lane>, StoreError> {
    let rows = LANES.query(db, &[]).await?;
    rows.iter().map(|row| LANES.fields(row).get("lane").map(Lane)).collect()
}

/// Looks for tracked tasks of this kind whose term is over, after `after`; returns them, and where
/// to go on if there may be more.
pub async fn ended(
    db: &impl GenericClient,
    kind: Kind,
    term: Duration,
    after: TaskId,
    most: Most,
) -> Result<(Due, Option<TaskId>), StoreError> {
    let (discarded, bytes) = (kind == Kind::Failed, bytes(most));
    let (term, state) = (milliseconds(term), Look::state(kind));
    let row = ENDED
        .query_opt(db, &[&state, &term, &after, &i64::from(most.count), &discarded, &bytes])
        .await?;
    let Some(row) = row else {
        return Ok((Due::Tasks { kind, ids: Vec::new(), versions: Vec::new() }, None));
    };
    let fields = ENDED.fields(&row);
    let (ids, versions) = (fields.get("ids")?, fields.get("versions")?);
    Ok((Due::Tasks { kind, ids, versions }, fields.get("go_on_after")?))
}

/// The same for the plain tasks of a lane.
pub async fn log_ended(
    db: &impl GenericClient,
    term: Duration,
    lane: Lane,
    after: i64,
    most: Most,
) -> Result<(Due, Option<i64>), StoreError> {
    let row = LOG_ENDED
        .query_opt(
            db,
            &[&milliseconds(term), &lane.0, &after, &i64::from(most.count), &bytes(most)],
        )
        .await?;
    let Some(row) = row else {
        return Ok((Due::Log { lane, numbers: Vec::new(), moved: 0 }, None));
    };
    let fields = LOG_ENDED.fields(&row);
    let due = Due::Log { lane, numbers: fields.get("numbers")?, moved: fields.count("moved")? };
    Ok((due, fields.get("go_on_after")?))
}

/// Everything there is of these tasks, a text of JSON for each. Of what has moved out of the log,
/// and of what is gone by now, there is none.
pub async fn records(db: &impl GenericClient, due: &Due) -> Result<Vec<String>, StoreError> {
    let (sql, rows) = match due {
        Due::Tasks { ids, .. } => (RECORDS, RECORDS.query(db, &[ids]).await?),
        Due::Log { lane, numbers, .. } => {
            (LOG_RECORDS, LOG_RECORDS.query(db, &[&lane.0, numbers]).await?)
        }
    };
    rows.iter().map(|row| sql.fields(row).get("record")).collect()
}

/// Deletes those of these tasks that are as they were found and that nobody needs or has in hand,
/// and returns how many of each kind. Within a transaction.
pub async fn delete(db: &impl GenericClient, due: &Due) -> Result<Counts, StoreError> {
    match due {
        Due::Tasks { kind, ids, versions } => {
            let rows = TAKE.query(db, &[ids, versions]).await?;
            let taken: Vec<TaskId> =
                rows.iter().map(|row| TAKE.fields(row).get("id")).collect::<Result<_, _>>()?;
            // A statement of its own: it sees what was committed until the rows were locked.
            let gone = DELETE.query(db, &[&taken]).await?;
            Ok(Counts::of(*kind, gone.len() as u64))
        }
        Due::Log { lane, numbers, .. } => {
            let rows = LOG_TAKE.query(db, &[&lane.0, numbers]).await?;
            let taken: Vec<i64> = rows
                .iter()
                .map(|row| LOG_TAKE.fields(row).get("number"))
                .collect::<Result<_, _>>()?;
            let row = LOG_DELETE.query_opt(db, &[&lane.0, &taken]).await?;
            let completed =
                row.map(|row| LOG_DELETE.fields(&row).count("completed")).transpose()?;
            Ok(Counts::of(Kind::Completed, completed.unwrap_or_default()))
        }
    }
}

/// Deletes rows of the feed of plain tasks that are older than `term`, up to `most`; returns how many.
pub async fn delete_feed(
    db: &impl GenericClient,
    term: Duration,
    most: u32,
) -> Result<u64, StoreError> {
    let row = FEED.query_opt(db, &[&milliseconds(term), &i64::from(most)]).await?;
    row.map_or(Ok(0), |row| FEED.fields(&row).count("rows"))
}

/// The oldest run of a plan after `after` whose term is over and of which no task is left.
pub async fn run_ended(
    db: &impl GenericClient,
    term: Duration,
    after: PlanRunId,
) -> Result<Option<PlanRunId>, StoreError> {
    let row = RUN_ENDED.query_opt(db, &[&milliseconds(term), &after]).await?;
    row.map(|row| RUN_ENDED.fields(&row).get("id")).transpose()
}

/// Deletes up to `most` tasks of such a run, and the run itself once none is left. What is learned from stays.
/// Within a transaction.
pub async fn delete_run(
    db: &impl GenericClient,
    run: PlanRunId,
    most: u32,
) -> Result<Shortened, StoreError> {
    let row = RUN_ROWS.query_opt(db, &[&run, &i64::from(most)]).await?;
    let Some(row) = row else { return Ok(Shortened::Kept) };
    let fields = RUN_ROWS.fields(&row);
    let (rows, names): (u64, Vec<String>) = (fields.count("rows")?, fields.get("names")?);
    if !names.is_empty() {
        DURATIONS.query(db, &[&names, &i64::from(NEWEST)]).await?;
    }
    if rows >= u64::from(most) {
        return Ok(Shortened::More);
    }
    let gone = RUN.query_opt(db, &[&run]).await?.is_some();
    Ok(if gone { Shortened::Gone } else { Shortened::Kept })
}

/// What became of a run that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortened {
    /// Some of its tasks are left.
    More,
    /// It is gone.
    Gone,
    /// Somebody has it in hand: it stays for now.
    Kept,
}

fn bytes(most: Most) -> i64 {
    i64::try_from(most.bytes).unwrap_or(i64::MAX)
}
