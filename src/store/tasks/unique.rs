//! One task per key: who has the keys of a submit, and what becomes of it.
//!
//! Three steps around the insert, all in the submit's transaction: the keys' rows are locked; the
//! tasks that have them are looked at, with a snapshot of its own, which sees what the others of
//! the same key have committed; and the keys go to what was made.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    time::Duration,
};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::submit::{own_retry, own_stale_after, own_workspace};
use crate::{
    domain::{
        Attempt, QueueName, TaskId,
        task::{NewTask, TaskState},
        unique::{self, Answer, Holder, OnConflict, Plan, Slot},
    },
    store::{
        StoreError,
        admission::needs,
        codec::{Document, int4, milliseconds},
        statement::{Sql, sql},
    },
};

const TAKE: Sql = sql!("task_unique/take");
const HOLDERS: Sql = sql!("task_unique/holders");
const TAKE_OVER: Sql = sql!("task_unique/take_over");
const LET_GO: Sql = sql!("task_unique/let_go");
const KEYED: Sql = sql!("tasks/keyed");
const REPLACE: Sql = sql!("tasks/replace");

/// What becomes of the tasks of a submit, and what the database has said of their keys so far.
pub(super) struct Resolved<'a> {
    sent: &'a [&'a NewTask],
    plan: Plan,
    /// Who has each key now.
    owners: HashMap<Slot<'a>, TaskId>,
}

/// Decides what becomes of each of `sent`; locks the keys for as long as the transaction goes on.
///
/// # Errors
///
/// [`StoreError::NotUnique`] where a task asks to be refused and another is in its way.
pub(super) async fn resolve<'a>(
    db: &impl GenericClient,
    sent: &'a [&'a NewTask],
) -> Result<Resolved<'a>, StoreError> {
    let mut first: HashMap<Slot<'a>, TaskId> = HashMap::new();
    for task in sent {
        if let Some(slot) = slot(task) {
            first.entry(slot).or_insert(task.id);
        }
    }
    let Some(Taken { owners, held, at }) = take(db, sent, &first).await? else {
        let create = |says| Answer::Create { says };
        let plan = Plan { answers: (0..sent.len()).map(create).collect(), ..Plan::default() };
        return Ok(Resolved { sent, plan, owners: HashMap::new() });
    };
    // Only now: whoever had the same key before us has committed.
    let settled = settled(db, sent).await?;
    let holders = holders(db, sent, &owners, &held).await?;
    let begins = |task: &NewTask| match task.run_at {
        _ if !task.terms.graph.depends_on.is_empty() => TaskState::Blocked,
        Some(run_at) if run_at > at => TaskState::Scheduled,
        _ => TaskState::Pending,
    };
    let plan = unique::plan(sent, &settled, holders, begins)
        .map_err(|rejected| StoreError::NotUnique { rejected })?;
    Ok(Resolved { sent, plan, owners })
}

impl Resolved<'_> {
    /// The tasks to insert.
    pub(super) fn to_insert(&self) -> Vec<Cow<'_, NewTask>> {
        let made = self.plan.answers.iter().zip(self.sent).zip(0..);
        made.filter_map(|((answer, task), place)| match answer {
            Answer::Create { says } if *says == place => Some(Cow::Borrowed(*task)),
            Answer::Create { says } => {
                Some(Cow::Owned(unique::taking_over(task, self.sent[*says])))
            }
            Answer::Existing { .. } | Answer::Replaced { .. } => None,
        })
        .collect()
    }

    /// What becomes of the task at `place`.
    pub(super) fn answer(&self, place: usize) -> &Answer {
        &self.plan.answers[place]
    }

    /// Gives the keys to the tasks of `made`, and lets older tasks take over what was said. Returns
    /// where those are now.
    pub(super) async fn finish(
        &self,
        db: &impl GenericClient,
        made: impl Fn(&NewTask) -> bool,
    ) -> Result<HashMap<TaskId, TaskState>, StoreError> {
        let mut owners: HashMap<Slot<'_>, TaskId> = HashMap::new();
        let mut unmade: Vec<TaskId> = Vec::new();
        for (answer, task) in self.plan.answers.iter().zip(self.sent) {
            if let (Answer::Create { .. }, Some(slot)) = (answer, slot(task)) {
                if made(task) {
                    owners.insert(slot, task.id);
                } else {
                    unmade.push(task.id);
                }
            }
        }
        owners.retain(|slot, task| self.owners.get(slot) != Some(task));
        if !owners.is_empty() {
            let (queues, keys, tasks) = columns(&owners);
            let kept = kept(self.sent, &tasks);
            TAKE_OVER.query(db, &[&queues, &keys, &tasks, &kept]).await?;
        }
        if !unmade.is_empty() {
            LET_GO.query(db, &[&unmade]).await?;
        }
        self.replace(db).await
    }

    async fn replace(
        &self,
        db: &impl GenericClient,
    ) -> Result<HashMap<TaskId, TaskState>, StoreError> {
        if self.plan.replaced.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<TaskId> = self.plan.replaced.keys().copied().collect();
        let said: Vec<&NewTask> = self.plan.replaced.values().map(|at| self.sent[*at]).collect();
        let kinds: Vec<_> = said.iter().map(|task| &*task.kind).collect();
        let inputs: Vec<_> = said.iter().map(|task| Document(&task.input)).collect();
        let priorities: Vec<_> = said.iter().map(|task| task.priority).collect();
        let run_at: Vec<_> = said.iter().map(|task| task.run_at).collect();
        let max_attempts: Vec<_> = said.iter().map(|task| int4(task.max_attempts)).collect();
        let timeouts: Vec<_> = said.iter().map(|task| task.timeout.map(milliseconds)).collect();
        let retries: Vec<_> = said.iter().map(|task| own_retry(task)).collect();
        let deadlines: Vec<_> = said.iter().map(|task| task.terms.deadline).collect();
        let lanes: Vec<_> = said.iter().map(|task| task.terms.needs.lane()).collect();
        let workspaces: Vec<_> = said.iter().map(|task| own_workspace(task)).collect();
        let silences: Vec<_> = said.iter().map(|task| own_stale_after(task)).collect();
        let columns: [&(dyn ToSql + Sync); 12] = [
            &ids,
            &kinds,
            &inputs,
            &priorities,
            &run_at,
            &max_attempts,
            &timeouts,
            &retries,
            &deadlines,
            &lanes,
            &workspaces,
            &silences,
        ];
        let rows = REPLACE.query(db, &columns).await?;
        let replaced: HashMap<TaskId, TaskState> = rows
            .iter()
            .map(|row| {
                let fields = REPLACE.fields(row);
                Ok((fields.get("id")?, fields.get("state")?))
            })
            .collect::<Result<_, StoreError>>()?;
        let new = ids.iter().zip(&said).filter(|(id, _)| replaced.contains_key(id));
        needs::replace(db, new.map(|(id, task)| (*id, &task.terms.needs))).await?;
        Ok(replaced)
    }
}

/// Where the key of a task is looked up.
fn slot(task: &NewTask) -> Option<Slot<'_>> {
    task.terms.unique.as_ref().map(|unique| (&task.queue, unique.key.as_str()))
}

fn columns<'a>(
    slots: &HashMap<Slot<'a>, TaskId>,
) -> (Vec<&'a QueueName>, Vec<&'a str>, Vec<TaskId>) {
    let mut rows: Vec<_> = slots.iter().collect();
    rows.sort_unstable();
    let queues = rows.iter().map(|(slot, _)| slot.0).collect();
    let keys = rows.iter().map(|(slot, _)| slot.1).collect();
    (queues, keys, rows.iter().map(|(_, task)| **task).collect())
}

/// For how many milliseconds each of these is kept for its key though it has ended.
fn kept(sent: &[&NewTask], tasks: &[TaskId]) -> Vec<Option<i64>> {
    let terms = sent.iter().filter_map(|task| Some((task.id, task.terms.unique.as_ref()?)));
    let kept: HashMap<TaskId, Option<Duration>> =
        terms.map(|(id, unique)| (id, unique.keeps())).collect();
    tasks.iter().map(|task| kept.get(task).copied().flatten().map(milliseconds)).collect()
}

/// Who has the keys.
struct Taken<'a> {
    owners: HashMap<Slot<'a>, TaskId>,
    /// The keys that somebody had before.
    held: HashSet<Slot<'a>>,
    at: Timestamp,
}

/// Locks the keys, and gives those that are free to the tasks that ask first.
async fn take<'a>(
    db: &impl GenericClient,
    sent: &[&NewTask],
    first: &HashMap<Slot<'a>, TaskId>,
) -> Result<Option<Taken<'a>>, StoreError> {
    let (queues, keys, tasks) = columns(first);
    let rows = TAKE.query(db, &[&queues, &keys, &tasks, &kept(sent, &tasks)]).await?;
    let mut at = None;
    let mut found: HashMap<(QueueName, &str), (TaskId, bool)> = HashMap::new();
    for row in &rows {
        let fields = TAKE.fields(row);
        at = Some(fields.get("at")?);
        let slot = (fields.get("queue")?, fields.get("key")?);
        found.insert(slot, (fields.get("task_id")?, fields.get("is_new")?));
    }
    let Some(at) = at else { return Ok(None) };
    let mut taken = Taken { owners: HashMap::new(), held: HashSet::new(), at };
    for slot in first.keys() {
        let Some((owner, is_new)) = found.get(&(slot.0.clone(), slot.1)) else { continue };
        taken.owners.insert(*slot, *owner);
        if !is_new {
            taken.held.insert(*slot);
        }
    }
    Ok(Some(taken))
}

/// The places of the tasks whose idempotency key has a task already: they are that task.
async fn settled(db: &impl GenericClient, sent: &[&NewTask]) -> Result<HashSet<usize>, StoreError> {
    let keyed = |task: &&NewTask| task.terms.unique.is_some() && task.idempotency_key.is_some();
    let keys: Vec<&str> = sent
        .iter()
        .filter(|task| keyed(task))
        .filter_map(|task| task.idempotency_key.as_deref())
        .collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = KEYED.query(db, &[&keys]).await?;
    let known = rows
        .iter()
        .map(|row| KEYED.fields(row).get::<&str>("idempotency_key"))
        .collect::<Result<HashSet<_>, _>>()?;
    let is_known =
        |task: &NewTask| task.idempotency_key.as_deref().is_some_and(|key| known.contains(key));
    let places = sent.iter().enumerate().filter(|(_, task)| is_known(task));
    Ok(places.map(|(place, _)| place).collect())
}

/// Looks at the tasks that have the keys; locks those that may have to take something over.
async fn holders<'a>(
    db: &impl GenericClient,
    sent: &[&'a NewTask],
    owners: &HashMap<Slot<'a>, TaskId>,
    held: &HashSet<Slot<'a>>,
) -> Result<HashMap<Slot<'a>, Holder>, StoreError> {
    let replacing: HashSet<Slot<'_>> = sent
        .iter()
        .filter(|task| {
            let unique = task.terms.unique.as_ref();
            unique.is_some_and(|unique| unique.on_conflict == OnConflict::Replace)
        })
        .filter_map(|task| slot(task))
        .collect();
    let (mut looked_at, mut locked): (Vec<TaskId>, Vec<TaskId>) = (Vec::new(), Vec::new());
    for slot in held {
        let to = if replacing.contains(slot) { &mut locked } else { &mut looked_at };
        to.extend(owners.get(slot));
    }
    if looked_at.is_empty() && locked.is_empty() {
        return Ok(HashMap::new());
    }
    let mut found: HashMap<TaskId, (TaskState, Attempt, u64)> = HashMap::new();
    for row in HOLDERS.query(db, &[&looked_at, &locked]).await? {
        let fields = HOLDERS.fields(&row);
        let what = (fields.get("state")?, fields.get("attempt")?, fields.count("age_ms")?);
        found.insert(fields.get("id")?, what);
    }
    let holder = |slot: &Slot<'a>| {
        let task = *owners.get(slot)?;
        let (state, attempt, age) = *found.get(&task)?;
        Some((*slot, Holder { task, state, attempt, age: Duration::from_millis(age) }))
    };
    Ok(held.iter().filter_map(holder).collect())
}
