//! What people do to many tasks at once, and to those that failed.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    QueueError, QueueHandle,
    graph::TRIES,
    messages::{CancelHere, DueIn},
};
use crate::{
    domain::{
        QueueName, TaskId,
        bulk::{BulkRecord, Cursor, DeadLetter, Deed, Rate, Selection},
        record::Page,
        task::TaskState,
    },
    store::{
        StoreError, log, notify, queues,
        tasks::{self, Retried},
    },
};

/// How many tasks one statement looks at, and locks at the most: few enough that nobody who wants one
/// of them waits for long.
const LOOK_AT: u32 = 1000;

/// The cursor of a call that left off among the plain tasks, which come before all others.
const FIRST: TaskId = TaskId::from_uuid(Uuid::nil());

/// How long one call goes on. It then says where to go on, which is how a caller sees progress, and
/// no request grows with the number of tasks.
const GOES_ON: Duration = Duration::from_secs(2);

/// What is to be done to many tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Bulk {
    /// Which.
    pub selection: Selection,
    /// What.
    pub deed: Deed,
    /// To how many at the most.
    pub limit: Option<u64>,
    /// Where the call before left off.
    pub after: Option<Cursor>,
    /// Only count them.
    pub dry_run: bool,
}

impl QueueHandle {
    /// Does something to many tasks, some at a time, each time in a transaction of its own.
    ///
    /// It stops after two seconds, or at the limit; `next_cursor` is then where to go on. What was
    /// done stays done when a later step fails: doing it again finds the rest.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`] if tasks are to go to a queue that is not there;
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, some of it was done.
    pub async fn bulk(&self, bulk: Bulk) -> Result<BulkRecord, QueueError> {
        if let Deed::Retry { to: Some(queue), .. } = &bulk.deed {
            let missing = queues::missing(&self.store.client().await?, &[queue]).await?;
            if let Some(queue) = missing {
                return Err(QueueError::UnknownQueue { queue });
            }
        }
        let stop_at = Instant::now() + GOES_ON;
        let before = bulk.after.map_or(0, |cursor| cursor.changed);
        let mut after = bulk.after.map(|cursor| cursor.after).filter(|after| *after != FIRST);
        let mut record = BulkRecord { dry_run: bulk.dry_run, ..BulkRecord::default() };
        if after.is_none() && bulk.deed == Deed::Cancel {
            let done = self.cancel_plain(&bulk, before, stop_at, &mut record).await?;
            if !done {
                // What was only counted stays where it is: so many were counted before.
                let counted = if bulk.dry_run { record.matched } else { record.changed };
                let cursor = Cursor { after: FIRST, changed: before + counted };
                record.next_cursor = Some(cursor.to_string());
                return Ok(record);
            }
        }
        loop {
            let db = self.store.client().await?;
            let mut found = tasks::find(&db, &bulk.selection, after, LOOK_AT).await?;
            drop(db);
            let left = bulk.limit.map_or(u64::MAX, |limit| limit - record.matched);
            if found.tasks.len() as u64 > left {
                found.tasks.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                found.go_on_after = found.tasks.last().copied().or(after);
            }
            record.matched += found.tasks.len() as u64;
            if !bulk.dry_run && !found.tasks.is_empty() {
                self.deal(&bulk, &found.tasks, before, &mut record).await?;
            }
            let Some(go_on_after) = found.go_on_after else { return Ok(record) };
            after = Some(go_on_after);
            if bulk.limit == Some(record.matched) || Instant::now() >= stop_at {
                let cursor = Cursor { after: go_on_after, changed: before + record.changed };
                record.next_cursor = Some(cursor.to_string());
                return Ok(record);
            }
        }
    }

    /// Calls plain tasks off: they leave the log for that. Says whether that was all of them, and
    /// whether the limit allows more. `before` is how many were dealt with by earlier calls.
    async fn cancel_plain(
        &self,
        bulk: &Bulk,
        before: u64,
        stop_at: Instant,
        record: &mut BulkRecord,
    ) -> Result<bool, QueueError> {
        let limit = bulk.limit.unwrap_or(u64::MAX);
        if bulk.dry_run {
            let db = self.store.client().await?;
            let (count, _) = tasks::find_plain(&db, &bulk.selection, None).await?;
            let count = count.saturating_sub(before);
            record.matched = count.min(limit);
            return Ok(count < limit);
        }
        loop {
            let db = self.store.client().await?;
            let most = (limit - record.matched).min(u64::from(LOOK_AT));
            let (count, found) = tasks::find_plain(&db, &bulk.selection, Some(most)).await?;
            if found.is_empty() {
                return Ok(true);
            }
            let moving: Vec<_> = found.iter().map(|task| (*task, None)).collect();
            log::track(&db, &moving).await?;
            drop(db);
            record.matched += count;
            self.cancel_these(&found, &bulk.selection.states, record).await?;
            if record.matched >= limit || Instant::now() >= stop_at {
                return Ok(false);
            }
        }
    }

    /// Does it to `tasks`, when `before` others were changed by earlier calls.
    async fn deal(
        &self,
        bulk: &Bulk,
        tasks: &[TaskId],
        before: u64,
        record: &mut BulkRecord,
    ) -> Result<(), QueueError> {
        let states = &bulk.selection.states;
        match &bulk.deed {
            Deed::Cancel => self.cancel_these(tasks, states, record).await,
            Deed::Retry { to, rate } => {
                let pace = pace(*rate, before + record.changed);
                record.changed += self.retry_these(tasks, states, to.as_ref(), pace).await?;
                Ok(())
            }
            Deed::Discard { reason } => {
                let db = self.store.client().await?;
                record.changed += tasks::discard_many(&db, tasks, reason).await?.len() as u64;
                Ok(())
            }
        }
    }

    async fn cancel_these(
        &self,
        tasks: &[TaskId],
        states: &[TaskState],
        record: &mut BulkRecord,
    ) -> Result<(), QueueError> {
        let done = self.cancel_all(tasks, states).await?;
        let (held, ended): (Vec<_>, Vec<_>) = done.into_iter().partition(|task| task.1);
        record.changed += ended.len() as u64;
        record.requested += held.len() as u64;
        let ended: Vec<TaskId> = ended.into_iter().map(|task| task.0).collect();
        self.events.publish(ended.iter().map(|task| (*task, TaskState::Cancelled)).collect());
        let db = self.store.client().await?;
        self.wake_after(&db, &ended).await;
        let held: Vec<TaskId> = held.into_iter().map(|task| task.0).collect();
        for task in &held {
            self.actor.do_send(CancelHere(*task));
        }
        if !held.is_empty() {
            notify::cancel(&db, &held).await?;
        }
        Ok(())
    }

    /// Calls tasks off until nothing is left of them to call off, or others change them all the time.
    async fn cancel_all(
        &self,
        tasks: &[TaskId],
        states: &[TaskState],
    ) -> Result<Vec<(TaskId, bool)>, StoreError> {
        let mut done: Vec<(TaskId, bool)> = Vec::new();
        let mut left = tasks.to_vec();
        for tried in 1..=TRIES {
            match self.store.transact(async |db| tasks::cancel_many(db, &left, states).await).await
            {
                Err(error) if error.is_deadlock() && tried < TRIES => continue,
                Err(error) => return Err(error),
                Ok(now) if now.is_empty() => break,
                Ok(now) => {
                    let off: HashSet<TaskId> = now.iter().map(|task| task.0).collect();
                    left.retain(|task| !off.contains(task));
                    done.extend(now);
                }
            }
            if left.is_empty() {
                break;
            }
        }
        Ok(done)
    }

    /// Gives tasks another try that depend on none, or one task.
    async fn retry_some(
        &self,
        tasks: &[TaskId],
        states: &[TaskState],
        to: Option<&QueueName>,
        pace: (Duration, Duration),
    ) -> Result<Vec<Retried>, StoreError> {
        let mut tried = 1;
        loop {
            let db = self.store.client().await?;
            match tasks::retry_many(&db, tasks, states, to, pace).await {
                Err(error) if error.is_deadlock() && tried < TRIES => tried += 1,
                done => return done,
            }
        }
    }

    async fn retry_these(
        &self,
        tasks: &[TaskId],
        states: &[TaskState],
        to: Option<&QueueName>,
        pace: (Duration, Duration),
    ) -> Result<u64, QueueError> {
        let db = self.store.client().await?;
        let dependents = tasks::dependents_among(&db, tasks).await?;
        let others: Vec<TaskId> =
            tasks.iter().filter(|task| dependents.binary_search(task).is_err()).copied().collect();
        drop(db);
        let mut retried = self.retry_some(&others, states, to, pace).await?;
        for task in dependents {
            let before = u32::try_from(retried.len()).unwrap_or(u32::MAX);
            let pace = (pace.0 + pace.1.saturating_mul(before), pace.1);
            retried.extend(self.retry_some(&[task], states, to, pace).await?);
        }
        let count = retried.len() as u64;
        if retried.iter().any(|one| one.state == TaskState::Scheduled) {
            let (wait, step) = pace;
            self.actor.do_send(DueIn(if wait.is_zero() { step } else { wait }));
        }
        let mut queues: Vec<QueueName> = retried
            .into_iter()
            .filter(|one| one.state == TaskState::Pending)
            .map(|one| one.queue)
            .collect();
        queues.sort_unstable();
        queues.dedup();
        if !queues.is_empty() {
            self.wake(queues);
        }
        Ok(count)
    }

    /// A page of failed tasks, newest first.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn dead_letters(
        &self,
        selection: &Selection,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<DeadLetter>, QueueError> {
        let db = self.store.client().await?;
        let more = limit.saturating_add(1);
        let mut items = tasks::dead_letters(&db, selection, before, more).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next_cursor = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|letter| letter.task.id.to_string())
        });
        let items = items.into_iter().map(|letter| self.whole(letter)).collect();
        Ok(Page { items, next_cursor: next_cursor.flatten() })
    }

    /// One failed task.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotDead`]; [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn dead_letter(&self, task: TaskId) -> Result<DeadLetter, QueueError> {
        let letter = tasks::dead_letter(&self.store.client().await?, task).await?;
        letter.map(|letter| self.whole(letter)).ok_or(QueueError::NotDead { task })
    }

    fn whole(&self, letter: DeadLetter) -> DeadLetter {
        DeadLetter { task: self.complete(letter.task), ..letter }
    }
}

/// When the next task has its turn after `changed` others, and how long after it each further one.
fn pace(rate: Option<Rate>, changed: u64) -> (Duration, Duration) {
    rate.map_or((Duration::ZERO, Duration::ZERO), |rate| (rate.offset(changed), rate.offset(1)))
}
