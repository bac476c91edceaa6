//! Tasks that wait for others, as far as a host has to do with it: it fills in inputs that are
//! templates over results, and wakes who can take what became ready. That it becomes ready, and that
//! it is cancelled or held, the database does by itself in the commit in which a task ends.

use std::{collections::HashSet, time::Duration};

use actix::prelude::*;
use deadpool_postgres::{GenericClient, Transaction};
use slog::info;
use tokio::time::Instant;

use super::{QueueError, QueueHandle, actor::QueueActor};
use crate::{
    domain::{
        TaskId,
        graph::{self, InputError},
        record::{GraphExtent, GraphRecord, Submitted, TaskRecord},
        task::{Assignment, FailureClass, NewTask, Outcome, Settlement, TaskEvent, TaskState},
    },
    store::{
        StoreError,
        tasks::{self, ReleaseAnswer},
    },
};

/// How often a transaction is done again that another one overtook, or that waited for another one
/// which waited for it.
pub(super) const TRIES: usize = 5;

impl QueueActor {
    /// Gives an agent what was claimed for it, its input filled in. A task whose input can't be made
    /// fails for good, as the results stay what they are; its agent is free as before.
    pub(super) fn hand_over(&mut self, mut assignment: Assignment, ctx: &mut Context<Self>) {
        if self.is_unread(&mut assignment, ctx) {
            return;
        }
        if let Some(results) = assignment.results.take() {
            match graph::render(&assignment.input, &results, self.max_input) {
                Ok(input) => assignment.input = input,
                Err(error) => return self.unmade(&assignment, &error, ctx),
            }
        }
        let agent = assignment.agent.clone();
        self.give(&agent, vec![assignment], ctx);
    }

    /// Whether the input of a task can't be read, for which it fails for good: it would be claimed for
    /// ever, and all that is claimed with it.
    pub(super) fn is_unread(
        &mut self,
        assignment: &mut Assignment,
        ctx: &mut Context<Self>,
    ) -> bool {
        let Some(what) = assignment.terms.unreadable.take() else { return false };
        self.unmade(assignment, &InputError::Unreadable { what }, ctx);
        true
    }

    fn unmade(&mut self, assignment: &Assignment, error: &InputError, ctx: &mut Context<Self>) {
        info!(self.log, "input can't be made"; "task" => %assignment.task,
            "attempt" => assignment.attempt.0, "error" => %error);
        self.will_free(assignment);
        self.dispatch.spared(assignment.task, assignment.attempt);
        let settlement = Settlement {
            task: assignment.task,
            attempt: assignment.attempt,
            outcome: Outcome::failed(FailureClass::Input, error.to_string()),
            event: TaskEvent::FailedForGood,
            retry_after: Duration::ZERO,
            agent: assignment.agent.clone(),
            began_ago: Duration::ZERO,
            entry: assignment.entry,
        };
        self.settling.push(settlement, Instant::now());
        self.flush(ctx);
    }

    /// Tasks ended that others depend on: some of these may be ready, here and on other hosts.
    pub(super) fn wake_dependents(&mut self, ended: Vec<TaskId>, ctx: &mut Context<Self>) {
        self.wake_all();
        self.awaited.extend(ended);
        self.announce(ctx);
    }
}

impl QueueHandle {
    /// Lets a blocked task go on without the dependencies that ended badly.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownTask`]; [`QueueError::WrongState`] if it is not blocked, or only by
    /// tasks that may still be done.
    pub async fn release(&self, id: TaskId) -> Result<TaskRecord, QueueError> {
        match tasks::release(&self.store.client().await?, id).await? {
            ReleaseAnswer::Unknown => {
                // A plain task is none of those that wait.
                let state = self.get(id).await?.map(|task| task.state);
                let what = "only a blocked task can be released";
                return Err(state.map_or(QueueError::UnknownTask { task: id }, |state| {
                    QueueError::WrongState { task: id, state, what }
                }));
            }
            ReleaseAnswer::Refused(state) => {
                let what = "only a blocked task can be released";
                return Err(QueueError::WrongState { task: id, state, what });
            }
            ReleaseAnswer::Waits(_) => {
                let state = TaskState::Blocked;
                let what = "what it waits for has not ended yet; to run it at once, cancel that";
                return Err(QueueError::WrongState { task: id, state, what });
            }
            ReleaseAnswer::Released { state: TaskState::Pending, queue } => self.wake(vec![queue]),
            ReleaseAnswer::Released { .. } => {}
        }
        self.get(id).await?.ok_or(QueueError::UnknownTask { task: id })
    }

    /// The graph that a task is part of.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownTask`], [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn graph(&self, id: TaskId, extent: GraphExtent) -> Result<GraphRecord, QueueError> {
        let found = tasks::graph(&self.store.client().await?, id, extent).await?;
        found.ok_or(QueueError::UnknownTask { task: id })
    }

    /// Writes new tasks that need more than one statement. Another submit may take a key in the
    /// moment between two of these: then it is done again, and sees that.
    pub(super) async fn insert_graph(&self, new: &[NewTask]) -> Result<Vec<Submitted>, StoreError> {
        self.transact_again(async |db| tasks::submit(db, new).await).await
    }

    /// Does `work` in one transaction, and all of it again where another one overtook it.
    pub(super) async fn transact_again<T>(
        &self,
        work: impl AsyncFn(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 1..TRIES {
            match self.store.transact(&work).await {
                Err(StoreError::Overtaken) => {}
                done => return done,
            }
        }
        self.store.transact(&work).await
    }

    /// Wakes who can take the tasks that are depended on: the submit locked them for a moment, and a
    /// claim may have passed them by.
    pub(super) async fn wake_dependencies(&self, new: &[NewTask]) {
        let here: HashSet<TaskId> = new.iter().map(|task| task.id).collect();
        let there: Vec<TaskId> = new
            .iter()
            .flat_map(|task| &task.terms.graph.depends_on)
            .map(|dependency| dependency.task)
            .filter(|task| !here.contains(task))
            .collect();
        if there.is_empty() {
            return;
        }
        let look = async { tasks::pending_queues(&self.store.client().await?, &there).await };
        // Without an answer there is the poll.
        if let Ok(queues) = look.await {
            self.wake(queues);
        }
    }

    /// Wakes who can take what became ready because `ended` was called off.
    pub(super) async fn wake_after(&self, db: &impl GenericClient, ended: &[TaskId]) {
        // Without an answer there is the poll.
        if let Ok(queues) = tasks::woken_queues(db, ended).await
            && !queues.is_empty()
        {
            self.wake(queues);
        }
    }
}
