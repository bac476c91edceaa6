//! Runs of plans, for those who ask. What goes on by itself is a duty of the leader.

use deadpool_postgres::Transaction;
use serde_json::json;

use super::{Bulk, QueueError, QueueHandle, messages::Reason};
use crate::{
    domain::{
        PlanRunId, PlanTaskId, QueueName, TaskId,
        admission::{KeyPattern, Until},
        bulk::{Deed as OfMany, Selection},
        plan::{
            Learned,
            run::{self, Deed, NewRun, PERSON, RunRecord, RunTaskRecord},
        },
        task::TaskState,
    },
    store::{
        limits, log,
        plans::{self, ByHand, RunAnswer},
    },
};

/// Why a run is held back, if nobody says.
const NO_REASON: &str = "an operator paused it";

/// The most tasks that are tried again by one statement.
const RETRY_AT_ONCE: usize = 1_000;

impl QueueHandle {
    /// Begins a run: all of its tasks are submitted in one transaction, or none. Says whether it was
    /// made, or was there already by its key.
    ///
    /// # Errors
    ///
    /// Those of [`QueueHandle::submit`], of which none can be about a dependency.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, all of it may or may not be there.
    pub async fn submit_run(&self, new: &NewRun) -> Result<(RunRecord, bool), QueueError> {
        let tasks = plans::tasks_of(new);
        let create = async |db: &Transaction<'_>| plans::create(db, new, &tasks).await;
        match self.transact_again(create).await? {
            RunAnswer::Existing(id) => Ok((self.run(id).await?, false)),
            RunAnswer::Created(submitted) => {
                self.submitted(&tasks, &submitted).await;
                Ok((self.run(new.id).await?, true))
            }
        }
    }

    /// Up to `limit` runs, newest first, from one on.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn runs(
        &self,
        from: Option<PlanRunId>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, QueueError> {
        Ok(plans::list(&self.store.client().await?, from, limit).await?)
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`].
    pub async fn run(&self, run: PlanRunId) -> Result<RunRecord, QueueError> {
        let found = plans::get(&self.store.client().await?, run).await?;
        found.ok_or(QueueError::UnknownRun { run })
    }

    /// The tasks of a run, in the order of its plan.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`].
    pub async fn run_tasks(&self, run: PlanRunId) -> Result<Vec<RunTaskRecord>, QueueError> {
        let tasks = plans::tasks(&self.store.client().await?, run).await?;
        if tasks.is_empty() {
            self.run(run).await?;
        }
        Ok(tasks)
    }

    /// One task of a run.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`], [`QueueError::UnknownPlanTask`].
    pub async fn run_task(
        &self,
        run: PlanRunId,
        name: &PlanTaskId,
    ) -> Result<RunTaskRecord, QueueError> {
        let tasks = self.run_tasks(run).await?;
        one(run, &tasks, name).cloned()
    }

    /// The plan of a run, as a plan file.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`].
    pub async fn run_plan(&self, run: PlanRunId) -> Result<String, QueueError> {
        let found = plans::plan(&self.store.client().await?, run).await?;
        found.ok_or(QueueError::UnknownRun { run })
    }

    /// How long tasks of these names took in real runs; nothing of those that were never completed.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn learned(&self, names: &[PlanTaskId]) -> Result<Vec<Learned>, QueueError> {
        Ok(plans::learned(&self.store.client().await?, names).await?)
    }

    /// Holds a run back. What runs goes on.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`]; [`QueueError::WrongMoment`] if it has ended.
    pub async fn pause_run(
        &self,
        run: PlanRunId,
        reason: Option<String>,
    ) -> Result<RunRecord, QueueError> {
        let key = self.key_of(run).await?;
        let reason = reason.as_deref().unwrap_or(NO_REASON);
        self.store
            .transact(async |db| {
                plans::pause(db, run, Some(reason)).await?;
                limits::pause_key(db, &key, reason, Until::Resumed).await
            })
            .await?;
        self.wake_for(Vec::new(), Reason::Changed);
        self.run(run).await
    }

    /// Lets a run go on.
    ///
    /// # Errors
    ///
    /// As [`QueueHandle::pause_run`].
    pub async fn resume_run(&self, run: PlanRunId) -> Result<RunRecord, QueueError> {
        let key = self.key_of(run).await?;
        self.store
            .transact(async |db| {
                plans::pause(db, run, None).await?;
                limits::resume_key(db, &key).await
            })
            .await?;
        self.wake_for(Vec::new(), Reason::Changed);
        self.run(run).await
    }

    /// The key of a run that goes on.
    async fn key_of(&self, run: PlanRunId) -> Result<KeyPattern, QueueError> {
        self.going_on(run, "it can neither be paused nor resumed").await?;
        run.pattern().ok_or(QueueError::UnknownRun { run })
    }

    async fn going_on(&self, run: PlanRunId, what: &'static str) -> Result<RunRecord, QueueError> {
        let found = self.run(run).await?;
        if found.state.has_ended() {
            return Err(wrong_moment_of(&found, what));
        }
        Ok(found)
    }

    /// Calls a run off: at once what waits, and what runs by asking its agents.
    ///
    /// # Errors
    ///
    /// As [`QueueHandle::pause_run`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, some of it was called off.
    pub async fn cancel_run(&self, run: PlanRunId) -> Result<RunRecord, QueueError> {
        self.going_on(run, "there is nothing to call off").await?;
        plans::cancel(&self.store.client().await?, run).await?;
        let of_run = Selection { group: Some(run.group()), ..Selection::default() };
        self.cancel_selected(of_run).await?;
        let gates: Vec<TaskId> =
            self.run_tasks(run).await?.into_iter().filter_map(|task| task.approval).collect();
        if !gates.is_empty() {
            self.cancel_selected(Selection { tasks: Some(gates), ..Selection::default() }).await?;
        }
        self.run(run).await
    }

    async fn cancel_selected(&self, selection: Selection) -> Result<(), QueueError> {
        let states = OfMany::Cancel.usual();
        self.bulk_all(Selection { states, ..selection }, OfMany::Cancel).await
    }

    /// Does `deed` to all of `selection`, bite by bite.
    async fn bulk_all(&self, selection: Selection, deed: OfMany) -> Result<(), QueueError> {
        let mut after = None;
        loop {
            let (selection, deed) = (selection.clone(), deed.clone());
            let all = Bulk { selection, deed, limit: None, after, dry_run: false };
            match self.bulk(all).await?.next_cursor {
                Some(cursor) => after = cursor.parse().ok(),
                None => return Ok(()),
            }
        }
    }

    /// Tries a task of a run again, and what was called off behind it; without a task all that failed
    /// and was called off. The run goes on with that.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`], [`QueueError::UnknownPlanTask`]; [`QueueError::WrongMoment`] if
    /// there is nothing to try again.
    pub async fn retry_run(
        &self,
        run: PlanRunId,
        task: Option<PlanTaskId>,
    ) -> Result<RunRecord, QueueError> {
        let record = self.run(run).await?;
        let tasks = self.run_tasks(run).await?;
        let from = task.as_ref().map(|name| one(run, &tasks, name)).transpose()?;
        let chosen = run::to_retry(&tasks, from.map(|task| task.place));
        let is_chosen = |task: &RunTaskRecord| {
            [Some(task.task), task.merge].into_iter().flatten().any(|id| chosen.contains(&id))
        };
        if chosen.is_empty() || from.is_some_and(|task| !is_chosen(task)) {
            let what = "only what failed or was called off can be tried again";
            return Err(match from {
                Some(task) => wrong_moment(task, what),
                None => wrong_moment_of(&record, what),
            });
        }
        self.reopen(&record, &chosen).await?;
        self.retry_in_order(&chosen).await?;
        self.reopen(&record, &chosen).await?;
        self.run(run).await
    }

    /// Lets a run go on in which these tasks are tried again. Said before that, so that it is limited,
    /// and afterwards, as the leader may have written down in between that they had ended.
    async fn reopen(&self, run: &RunRecord, tasks: &[TaskId]) -> Result<(), QueueError> {
        Ok(self.store.transact(async |db| plans::reopen(db, run, tasks).await).await?)
    }

    /// Tries tasks again, in the order of their ids: so each finds what it depends on open.
    async fn retry_in_order(&self, tasks: &[TaskId]) -> Result<(), QueueError> {
        for some in tasks.chunks(RETRY_AT_ONCE) {
            self.retry_all(some, None).await?;
        }
        Ok(())
    }

    /// Tries tasks again, in the queue `to` if there is one.
    async fn retry_all(&self, tasks: &[TaskId], to: Option<QueueName>) -> Result<(), QueueError> {
        let deed = OfMany::Retry { to, rate: None };
        let states = deed.possible();
        let selection = Selection { tasks: Some(tasks.to_vec()), states, ..Selection::default() };
        self.bulk_all(selection, deed).await
    }

    /// Does what a person does to one task of a run. That a conflict is resolved is said by
    /// [`QueueHandle::merged`], once it is merged.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownRun`], [`QueueError::UnknownPlanTask`]; [`QueueError::WrongMoment`] if it
    /// can't be done as the task stands.
    pub async fn deal_with(
        &self,
        run: PlanRunId,
        name: &PlanTaskId,
        deed: Deed,
    ) -> Result<RunTaskRecord, QueueError> {
        let tasks = self.run_tasks(run).await?;
        let task = one(run, &tasks, name)?;
        if let Some(what) = run::refusal(&deed, task) {
            return Err(wrong_moment(task, what));
        }
        // What a person does to a task whose work is done, they do to the merge.
        let of = task.merge.filter(|_| task.is_to_be_resolved()).unwrap_or(task.task);
        let ended = match deed {
            Deed::Done(output) => self.by_hand(of, ByHand::Completed(output)).await?,
            Deed::Fail(message) => self.by_hand(of, ByHand::Failed(message)).await?,
            Deed::Approve => {
                let gate = task.approval.unwrap_or(task.task);
                self.by_hand(gate, ByHand::Completed(json!({ "approved": true }))).await?
            }
            Deed::Skip if task.state == TaskState::Completed => {
                self.skip_merge(run, task, &tasks).await?
            }
            Deed::Skip => {
                self.skip(run, task, &tasks).await?;
                true
            }
        };
        if !ended {
            return Err(wrong_moment(task, "somebody else was faster; look at it again"));
        }
        self.run_task(run, name).await
    }

    /// Ends a task by hand, and tells who waits for it. False if it is not pending any more. A plain task
    /// leaves the log for that.
    pub(crate) async fn by_hand(&self, task: TaskId, how: ByHand) -> Result<bool, QueueError> {
        self.ended_by(PERSON, task, how).await
    }

    /// As `who` did it.
    pub(super) async fn ended_by(
        &self,
        who: &str,
        task: TaskId,
        how: ByHand,
    ) -> Result<bool, QueueError> {
        let ended = self
            .store
            .transact(async |db| {
                let ended = plans::end_by_hand(db, &[task], who, &how).await?;
                if !ended.is_empty() || log::track(db, &[(task, None)]).await? == 0 {
                    return Ok(ended);
                }
                plans::end_by_hand(db, &[task], who, &how).await
            })
            .await?;
        let state = how.state();
        self.events.publish(ended.iter().map(|task| (*task, state)).collect());
        self.wake_after(&self.store.client().await?, &ended).await;
        Ok(!ended.is_empty())
    }

    /// Leaves what a task made unmerged: what waits for it goes on without. False if somebody else was
    /// faster.
    async fn skip_merge(
        &self,
        run: PlanRunId,
        task: &RunTaskRecord,
        tasks: &[RunTaskRecord],
    ) -> Result<bool, QueueError> {
        let Some(merge) = task.merge else { return Ok(false) };
        let skipped = ByHand::Completed(json!({ "skipped": true }));
        if task.merge_state != Some(TaskState::Failed) {
            return self.by_hand(merge, skipped).await;
        }
        let chosen = run::to_retry(tasks, Some(task.place));
        let record = self.run(run).await?;
        self.reopen(&record, &chosen).await?;
        self.retry_all(&[merge], run::people()).await?;
        let others: Vec<TaskId> = chosen.iter().copied().filter(|id| *id != merge).collect();
        self.retry_in_order(&others).await?;
        self.reopen(&record, &chosen).await?;
        self.by_hand(merge, skipped).await
    }

    /// Takes a task from its agents; it is completed without them as soon as what it waits for has
    /// ended: now, or by the leader. With one that failed, what was called off for it goes on.
    async fn skip(
        &self,
        run: PlanRunId,
        task: &RunTaskRecord,
        tasks: &[RunTaskRecord],
    ) -> Result<(), QueueError> {
        let queue = run::people().ok_or(QueueError::UnknownRun { run })?;
        if task.state == TaskState::Failed {
            let chosen = run::to_retry(tasks, Some(task.place));
            let record = self.run(run).await?;
            self.reopen(&record, &chosen).await?;
            self.retry_all(&[task.task], Some(queue.clone())).await?;
            let others: Vec<TaskId> =
                chosen.iter().copied().filter(|id| *id != task.task).collect();
            self.retry_in_order(&others).await?;
            self.reopen(&record, &chosen).await?;
        }
        let gate = task.approval.filter(|_| task.approval_state == Some(TaskState::Pending));
        let moved =
            self.store.transact(async |db| plans::skip(db, run, task.task, &queue).await).await?;
        if moved.is_none_or(|state| state.is_final() || state.is_held()) {
            return Err(wrong_moment(task, "somebody else was faster; look at it again"));
        }
        let skipped = || ByHand::Completed(json!({ "skipped": true }));
        if let Some(gate) = gate {
            self.by_hand(gate, skipped()).await?;
        }
        self.by_hand(task.task, skipped()).await?;
        Ok(())
    }
}

/// The task of this name.
fn one<'a>(
    run: PlanRunId,
    tasks: &'a [RunTaskRecord],
    name: &PlanTaskId,
) -> Result<&'a RunTaskRecord, QueueError> {
    let found = tasks.iter().find(|task| task.id == *name);
    found.ok_or_else(|| QueueError::UnknownPlanTask { run, task: name.clone() })
}

fn wrong_moment(task: &RunTaskRecord, what: &'static str) -> QueueError {
    QueueError::WrongMoment {
        subject: format!("task `{}`", task.id),
        state: task.state.to_string(),
        what,
    }
}

fn wrong_moment_of(run: &RunRecord, what: &'static str) -> QueueError {
    let (subject, state) = (format!("run {}", run.id), run.state.to_string());
    QueueError::WrongMoment { subject, state, what }
}
