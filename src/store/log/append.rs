//! Appending to the log: by one statement, or by COPY where there are many.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
};

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::{Head, int};
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
    /// The number of the last of them, which is now the lane's newest.
    pub last: i64,
    /// How many of them, from the first on, are claimed.
    pub claimed: i64,
    /// By this claim.
    pub claim: ClaimId,
    /// Whether the queue is paused.
    pub paused: bool,
}

/// Appends plain tasks, all or none: each behind the newest of the lane beside it, in the order given.
///
/// Only the host on the data directory of a lane may append to it. A batch may be sent before the answer to the one
/// before it has come, on the same connection: it is appended only if that one was.
///
/// With `direct`, that host's agents take the first ones in the same commit, unless others wait
/// before them, the queue is paused, or the host's lease has ended.
///
/// # Errors
///
/// [`StoreError::is_moved_on`]: the newest task of a lane is another one than that, for the answer to a batch was
/// lost, or the batch before this one failed. Nothing was appended; ask for the lanes again. If it is not known yet
/// what becomes of such a batch, this waits for it.
pub async fn submit(
    db: &impl GenericClient,
    tasks: &[(Head, &Ready)],
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
    // No lane has this number, and no queue this name.
    let nowhere = (Head { lane: Lane(0), number: 0 }, "", 0);
    append(db, nowhere, &nothing, None).await?;
    append(db, nowhere, &nothing, Some((HostId::from_uuid(Uuid::nil()), 0))).await?;
    Ok(())
}

/// As [`submit`], for many: a few round trips more, and half the work for each task.
///
/// # Errors
///
/// Those of [`submit`]; after any of them the transaction is to be given up.
pub async fn submit_many(
    db: &Transaction<'_>,
    tasks: &[(Head, &Ready)],
    direct: Option<&Direct>,
) -> Result<HashMap<Lane, Appended>, StoreError> {
    let batch = Batch::of(tasks);
    let appended = batch.send(db, direct, &[]).await?;
    let failed = |source| COPY.failed(source);
    let statement = db.prepare_cached(COPY.text).await.map_err(failed)?;
    let sink = db.copy_in(&statement).await.map_err(failed)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &COLUMNS));
    for ((head, Ready { task, input }), number) in tasks.iter().zip(&batch.numbers) {
        let input = JsonText(input);
        let (most, limit) = (int4(task.max_attempts), task.timeout.map(milliseconds));
        let row: [&(dyn ToSql + Sync); 7] =
            [&head.lane.0, number, &task.id, &task.kind, &input, &most, &limit];
        writer.as_mut().write(&row).await.map_err(failed)?;
    }
    writer.finish().await.map_err(failed)?;
    Ok(appended)
}

/// Where each task of a batch goes.
struct Batch {
    /// The number of each in its lane.
    numbers: Vec<i64>,
    /// Behind which number each lane grows, and by how many.
    grows: BTreeMap<Lane, (i64, i32)>,
}

impl Batch {
    fn of(tasks: &[(Head, &Ready)]) -> Self {
        let mut batch = Self { numbers: Vec::with_capacity(tasks.len()), grows: BTreeMap::new() };
        for (head, _) in tasks {
            let (base, grows) = batch.grows.entry(head.lane).or_insert((head.number, 0));
            *grows += 1;
            batch.numbers.push(*base + i64::from(*grows));
        }
        batch
    }

    /// Has the lanes grow, with these tasks or for those that come by COPY.
    async fn send(
        &self,
        db: &impl GenericClient,
        direct: Option<&Direct>,
        tasks: &[(Head, &Ready)],
    ) -> Result<HashMap<Lane, Appended>, StoreError> {
        let task_of = || tasks.iter().map(|(_, ready)| &ready.task);
        let ids: Vec<TaskId> = task_of().map(|task| task.id).collect();
        let kinds: Vec<&str> = task_of().map(|task| &*task.kind).collect();
        let inputs: Vec<_> = tasks.iter().map(|(_, ready)| JsonText(&ready.input)).collect();
        let attempts: Vec<_> = task_of().map(|task| int4(task.max_attempts)).collect();
        let limits: Vec<_> = task_of().map(|task| task.timeout.map(milliseconds)).collect();
        let columns: [&Column<'_>; 5] = [&ids, &kinds, &inputs, &attempts, &limits];
        if let ([(head, Ready { task, .. }), ..], 1) = (tasks, self.grows.len()) {
            let direct =
                direct.and_then(|direct| Some((direct.host, *direct.most.get(&head.lane)?)));
            let direct = direct.filter(|(_, most)| *most > 0);
            let place = (*head, task.queue.as_str(), tasks.len());
            let appended = append(db, place, &columns, direct).await?.ok_or(StoreError::MovedOn)?;
            return Ok(HashMap::from([(head.lane, appended)]));
        }
        let of_task: Vec<i32> = tasks.iter().map(|(head, _)| head.lane.0).collect();
        let numbers = self.numbers.get(..tasks.len()).unwrap_or_default();
        let lanes: Vec<i32> = self.grows.keys().map(|lane| lane.0).collect();
        let (bases, counts): (Vec<i64>, Vec<i32>) = self.grows.values().copied().unzip();
        let host = direct.map(|direct| direct.host);
        let claims: Vec<Uuid> = self.grows.keys().map(|_| Uuid::now_v7()).collect();
        let most = |lane| direct.and_then(|direct| direct.most.get(lane)).copied().unwrap_or(0);
        let most: Vec<i32> = self.grows.keys().map(|lane| int(most(lane))).collect();
        let before: [&Column<'_>; 2] = [&of_task, &numbers];
        let after: [&Column<'_>; 6] = [&lanes, &bases, &counts, &host, &claims, &most];
        let rows = SUBMIT.query(db, &[&before[..], &columns, &after].concat()).await?;
        if rows.len() < self.grows.len() {
            return Err(StoreError::MovedOn);
        }
        let mut appended = HashMap::with_capacity(rows.len());
        for row in &rows {
            let fields = SUBMIT.fields(row);
            let lane = Lane(fields.get("lane")?);
            let asked = self.grows.keys().position(|asked| *asked == lane);
            let claim = asked.and_then(|asked| claims.get(asked)).copied().unwrap_or_default();
            let (base, grows) = self.grows.get(&lane).copied().unwrap_or_default();
            let last = base + i64::from(grows);
            let (taken, paused): (i64, _) = (fields.get("taken")?, fields.get("paused")?);
            let claimed = taken - base;
            appended.insert(lane, Appended { base, last, claimed, claim: ClaimId(claim), paused });
        }
        Ok(appended)
    }
}

/// Has the lane of this queue grow by so many tasks of these columns; `direct` says of which host agents take of them
/// at once, and how many. Nothing if the lane does not end there.
async fn append(
    db: &impl GenericClient,
    (head, queue, grows): (Head, &str, usize),
    tasks: &[&Column<'_>; 5],
    direct: Option<(HostId, usize)>,
) -> Result<Option<Appended>, StoreError> {
    let (base, claim) = (head.number, ClaimId(Uuid::now_v7()));
    let mut appended =
        Appended { base, last: base + i64::from(int(grows)), claimed: 0, claim, paused: false };
    let behind: [&Column<'_>; 3] = [&head.lane.0, &base, &queue];
    let columns = [&behind[..], tasks].concat();
    let Some((host, most)) = direct else {
        let Some(row) = APPEND.query_opt(db, &columns).await? else { return Ok(None) };
        appended.paused = APPEND.fields(&row).get("paused")?;
        return Ok(Some(appended));
    };
    let most = int(most);
    let claimed: [&Column<'_>; 3] = [&host, &claim.0, &most];
    let row = APPEND_CLAIMED.query_opt(db, &[&columns[..], &claimed].concat()).await?;
    let Some(row) = row else { return Ok(None) };
    let fields = APPEND_CLAIMED.fields(&row);
    appended.claimed = fields.get::<i64>("taken")? - base;
    appended.paused = fields.get("paused")?;
    Ok(Some(appended))
}
