//! Appending to the log: by one statement, or by COPY where there are many.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
};

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::{
    Row,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::int;
use crate::{
    domain::{ClaimId, HostId, Lane, TaskId, task::NewTask},
    store::{
        StoreError,
        codec::{JsonText, int4, milliseconds},
        statement::{Sql, sql},
        tasks::check,
    },
};

const SUBMIT: Sql = sql!("log/submit");
const APPEND: Sql = sql!("log/append");
const APPEND_CLAIMED: Sql = sql!("log/append_claimed");
const COPY: Sql = sql!("log/copy");
/// The columns of [`COPY`].
const COLUMNS: [Type; 7] =
    [Type::INT4, Type::INT8, Type::UUID, Type::TEXT, Type::JSONB, Type::INT4, Type::INT8];

/// A parameter of a statement.
type Column<'a> = dyn ToSql + Sync + 'a;

/// A plain task that the log can hold, with its input written as JSON.
///
/// Whoever has read the task makes it: that takes longer than all that is left to do for one of many, and
/// those that submit are served by several threads, but all that they submit is appended by one.
#[derive(Debug)]
pub struct Ready {
    /// The task.
    pub task: NewTask,
    input: String,
}

impl Ready {
    /// Makes all of `tasks` ready.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unstorable`]: one of them can't be kept.
    pub fn all(tasks: Vec<NewTask>) -> Result<Vec<Self>, StoreError> {
        let one = |(position, task): (usize, NewTask)| {
            check(position, &task)?;
            Ok(Self { input: task.input.to_string(), task })
        };
        tasks.into_iter().enumerate().map(one).collect()
    }
}

/// What a host asks to have at once of what it appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// The host.
    pub host: HostId,
    /// How many of the first new tasks of each lane.
    pub most: HashMap<Lane, usize>,
}

/// Where the new tasks of one lane went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The number before the first of them.
    pub base: i64,
    /// How many of them, from the first on, are claimed.
    pub claimed: i64,
    /// By this claim.
    pub claim: ClaimId,
    /// Whether the queue is paused.
    pub paused: bool,
}

/// Appends plain tasks, all or none: each to the lane beside it, in the order given. Only the host
/// on the data directory of a lane may append to it, one batch at a time.
///
/// With `direct`, that host's agents take the first ones in the same commit, unless others wait
/// before them, the queue is paused, or the host's lease has ended.
pub async fn submit(
    db: &impl GenericClient,
    tasks: &[(Lane, &Ready)],
    direct: Option<&Direct>,
) -> Result<HashMap<Lane, Appended>, StoreError> {
    Batch::of(tasks).send(db, direct, tasks).await
}

/// Has this connection make its plans for [`submit`].
pub(super) async fn warm(db: &impl GenericClient) -> Result<(), StoreError> {
    Batch::of(&[]).send(db, None, &[]).await?;
    let (no_ids, no_texts, no_inputs): (&[Uuid], &[&str], &[JsonText<'_>]) = (&[], &[], &[]);
    let (no_counts, no_limits): (&[i32], &[i64]) = (&[], &[]);
    let nothing: [&Column<'_>; 5] = [&no_ids, &no_texts, &no_inputs, &no_counts, &no_limits];
    // No lane has this number.
    append(db, (Lane(0), 0), &nothing, None).await?;
    append(db, (Lane(0), 0), &nothing, Some((HostId::from_uuid(Uuid::nil()), 0))).await?;
    Ok(())
}

/// As [`submit`], for many: a few round trips more, and half the work for each task.
///
/// # Errors
///
/// Those of the statements; after any of them the transaction is to be given up.
pub async fn submit_many(
    db: &Transaction<'_>,
    tasks: &[(Lane, &Ready)],
    direct: Option<&Direct>,
) -> Result<HashMap<Lane, Appended>, StoreError> {
    let batch = Batch::of(tasks);
    let appended = batch.send(db, direct, &[]).await?;
    let failed = |source| COPY.failed(source);
    let statement = db.prepare_cached(COPY.text).await.map_err(failed)?;
    let sink = db.copy_in(&statement).await.map_err(failed)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &COLUMNS));
    for ((lane, Ready { task, input }), place) in tasks.iter().zip(&batch.places) {
        let base = appended.get(lane).map(|appended| appended.base).unwrap_or_default();
        let (number, input) = (base + i64::from(*place), JsonText(input));
        let (most, limit) = (int4(task.max_attempts), task.timeout.map(milliseconds));
        let row: [&(dyn ToSql + Sync); 7] =
            [&lane.0, &number, &task.id, &task.kind, &input, &most, &limit];
        writer.as_mut().write(&row).await.map_err(failed)?;
    }
    writer.finish().await.map_err(failed)?;
    Ok(appended)
}

/// Where each task of a batch goes.
struct Batch {
    /// As the how many-th new one of its lane, from 1.
    places: Vec<i32>,
    grows: BTreeMap<Lane, i32>,
}

impl Batch {
    fn of(tasks: &[(Lane, &Ready)]) -> Self {
        let mut batch = Self { places: Vec::with_capacity(tasks.len()), grows: BTreeMap::new() };
        for (lane, _) in tasks {
            let place = batch.grows.entry(*lane).or_default();
            *place += 1;
            batch.places.push(*place);
        }
        batch
    }

    /// Has the lanes grow, with these tasks or for those that come by COPY.
    async fn send(
        &self,
        db: &impl GenericClient,
        direct: Option<&Direct>,
        tasks: &[(Lane, &Ready)],
    ) -> Result<HashMap<Lane, Appended>, StoreError> {
        let task_of = || tasks.iter().map(|(_, ready)| &ready.task);
        let ids: Vec<TaskId> = task_of().map(|task| task.id).collect();
        let kinds: Vec<&str> = task_of().map(|task| &*task.kind).collect();
        let inputs: Vec<_> = tasks.iter().map(|(_, ready)| JsonText(&ready.input)).collect();
        let attempts: Vec<_> = task_of().map(|task| int4(task.max_attempts)).collect();
        let limits: Vec<_> = task_of().map(|task| task.timeout.map(milliseconds)).collect();
        let columns: [&Column<'_>; 5] = [&ids, &kinds, &inputs, &attempts, &limits];
        if let ([(lane, _), ..], 1) = (tasks, self.grows.len()) {
            let direct = direct.and_then(|direct| Some((direct.host, *direct.most.get(lane)?)));
            let direct = direct.filter(|(_, most)| *most > 0);
            return append(db, (*lane, int(tasks.len())), &columns, direct).await;
        }
        let of_task: Vec<i32> = tasks.iter().map(|(lane, _)| lane.0).collect();
        let places = self.places.get(..tasks.len()).unwrap_or_default();
        let lanes: Vec<i32> = self.grows.keys().map(|lane| lane.0).collect();
        let counts: Vec<i32> = self.grows.values().copied().collect();
        let host = direct.map(|direct| direct.host);
        let claims: Vec<Uuid> = self.grows.keys().map(|_| Uuid::now_v7()).collect();
        let most = |lane| direct.and_then(|direct| direct.most.get(lane)).copied().unwrap_or(0);
        let most: Vec<i32> = self.grows.keys().map(|lane| int(most(lane))).collect();
        let before: [&Column<'_>; 2] = [&of_task, &places];
        let after: [&Column<'_>; 5] = [&lanes, &counts, &host, &claims, &most];
        let rows = SUBMIT.query(db, &[&before[..], &columns, &after].concat()).await?;
        let claims: HashMap<i32, Uuid> = lanes.into_iter().zip(claims).collect();
        read(&SUBMIT, &rows, &claims)
    }
}

/// Has one lane grow by so many, with tasks of these columns; `direct` says of which host agents take of them
/// at once, and how many.
async fn append(
    db: &impl GenericClient,
    (lane, grows): (Lane, i32),
    tasks: &[&Column<'_>; 5],
    direct: Option<(HostId, usize)>,
) -> Result<HashMap<Lane, Appended>, StoreError> {
    let lane_grows: [&Column<'_>; 2] = [&lane.0, &grows];
    let appended = [&lane_grows[..], tasks].concat();
    let Some((host, most)) = direct else {
        return read(&APPEND, &APPEND.query(db, &appended).await?, &HashMap::new());
    };
    let (claim, most) = (Uuid::now_v7(), int(most));
    let claimed: [&Column<'_>; 3] = [&host, &claim, &most];
    let rows = APPEND_CLAIMED.query(db, &[&appended[..], &claimed].concat()).await?;
    read(&APPEND_CLAIMED, &rows, &HashMap::from([(lane.0, claim)]))
}

/// Reads where the tasks went; `claims` are those that were asked for, by their lanes.
fn read(
    of: &Sql,
    rows: &[Row],
    claims: &HashMap<i32, Uuid>,
) -> Result<HashMap<Lane, Appended>, StoreError> {
    rows.iter()
        .map(|row| {
            let fields = of.fields(row);
            let (lane, base): (i32, i64) = (fields.get("lane")?, fields.get("base")?);
            let (taken, paused): (i64, _) = (fields.get("taken")?, fields.get("paused")?);
            let claim = ClaimId(claims.get(&lane).copied().unwrap_or_default());
            Ok((Lane(lane), Appended { base, claimed: taken - base, claim, paused }))
        })
        .collect()
}
