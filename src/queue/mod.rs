//! LOCAL STAND-IN, thrown away at the merge: the queue handle, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;

use crate::domain::{
    Attempt, QueueName, TaskId,
    record::{AttemptRecord, EventRecord, Page, QueueRecord, Submitted, TaskFilter, TaskRecord},
    task::{NewTask, TaskState},
};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// No such task.
    #[error("there is no task {task}")]
    UnknownTask {
        /// Which.
        task: TaskId,
    },
    /// No such queue.
    #[error("there is no queue `{queue}`")]
    UnknownQueue {
        /// Which.
        queue: QueueName,
    },
    /// Not in this state.
    #[error("{task} is {state}: it can't be {what}")]
    WrongState {
        /// Which.
        task: TaskId,
        /// Where it is.
        state: TaskState,
        /// What was asked.
        what: &'static str,
    },
    /// The database is away.
    #[error("the database does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault.
    #[error("internal")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Default)]
struct Inner {
    tasks: BTreeMap<TaskId, TaskRecord>,
    paused: BTreeMap<QueueName, Option<String>>,
}

/// The handle.
#[derive(Clone, Default)]
pub struct QueueHandle(Arc<Mutex<Inner>>);

#[expect(missing_docs, reason = "thrown away")]
impl QueueHandle {
    pub async fn submit(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>, QueueError> {
        let mut inner = self.0.lock().expect("lock");
        let mut out = Vec::new();
        for task in tasks {
            let old = inner.tasks.values().find(|t| {
                task.idempotency_key.is_some() && t.idempotency_key == task.idempotency_key
            });
            if let Some(old) = old {
                out.push(Submitted { id: old.id, state: old.state, created: false });
                continue;
            }
            let now = Timestamp::now();
            let state = if task.run_at.is_some_and(|at| at > now) {
                TaskState::Scheduled
            } else {
                TaskState::Pending
            };
            out.push(Submitted { id: task.id, state, created: true });
            inner.tasks.insert(
                task.id,
                TaskRecord {
                    id: task.id,
                    queue: task.queue,
                    kind: task.kind,
                    state,
                    priority: task.priority,
                    input: task.input,
                    output: None,
                    error: None,
                    attempt: Attempt(0),
                    failures: 0,
                    max_attempts: task.max_attempts,
                    timeout_ms: task.timeout.map(|t| t.as_millis() as u64),
                    idempotency_key: task.idempotency_key,
                    host: None,
                    agent: None,
                    cancel_requested: false,
                    created_at: now,
                    run_at: task.run_at.unwrap_or(now),
                    started_at: None,
                    finished_at: None,
                },
            );
        }
        Ok(out)
    }
    pub async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, QueueError> {
        Ok(self.0.lock().expect("lock").tasks.get(&id).cloned())
    }
    pub async fn attempts(&self, _id: TaskId) -> Result<Vec<AttemptRecord>, QueueError> {
        Ok(vec![])
    }
    pub async fn events(&self, id: TaskId) -> Result<Vec<EventRecord>, QueueError> {
        Ok(self
            .get(id)
            .await?
            .map(|t| EventRecord {
                number: 1,
                state: t.state,
                attempt: t.attempt,
                at: t.created_at,
            })
            .into_iter()
            .collect())
    }
    pub async fn list(&self, filter: TaskFilter) -> Result<Page<TaskRecord>, QueueError> {
        let inner = self.0.lock().expect("lock");
        let mut items: Vec<_> = inner
            .tasks
            .values()
            .rev()
            .filter(|t| filter.before.is_none_or(|b| t.id < b))
            .filter(|t| filter.states.is_empty() || filter.states.contains(&t.state))
            .filter(|t| filter.queue.as_ref().is_none_or(|q| *q == t.queue))
            .filter(|t| filter.kind.as_ref().is_none_or(|k| *k == t.kind))
            .take(filter.limit as usize + 1)
            .cloned()
            .collect();
        let more = items.len() > filter.limit as usize;
        items.truncate(filter.limit as usize);
        let next_cursor = items.last().filter(|_| more).map(|t| t.id.to_string());
        Ok(Page { items, next_cursor })
    }
    pub async fn wait(
        &self,
        id: TaskId,
        limit: Duration,
    ) -> Result<Option<TaskRecord>, QueueError> {
        let until = tokio::time::Instant::now() + limit;
        loop {
            let task = self.get(id).await?;
            if task.as_ref().is_none_or(|t| t.state.is_final())
                || tokio::time::Instant::now() >= until
            {
                return Ok(task);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    pub async fn cancel(&self, id: TaskId) -> Result<TaskRecord, QueueError> {
        self.step(id, "cancelled", TaskState::Cancelled, |s| !s.is_final())
    }
    pub async fn retry(&self, id: TaskId) -> Result<TaskRecord, QueueError> {
        self.step(id, "retried", TaskState::Pending, TaskState::is_final)
    }
    fn step(
        &self,
        task: TaskId,
        what: &'static str,
        to: TaskState,
        ok: impl Fn(TaskState) -> bool,
    ) -> Result<TaskRecord, QueueError> {
        let mut inner = self.0.lock().expect("lock");
        let record = inner.tasks.get_mut(&task).ok_or(QueueError::UnknownTask { task })?;
        if !ok(record.state) {
            return Err(QueueError::WrongState { task, state: record.state, what });
        }
        record.state = to;
        Ok(record.clone())
    }
    pub async fn queues(&self) -> Result<Vec<QueueRecord>, QueueError> {
        let inner = self.0.lock().expect("lock");
        let mut depth = BTreeMap::new();
        for task in inner.tasks.values().filter(|t| !t.state.is_final()) {
            *depth.entry(task.state).or_default() += 1;
        }
        let name: QueueName = "default".parse().expect("name");
        Ok(vec![QueueRecord {
            paused: inner.paused.contains_key(&name),
            paused_reason: inner.paused.get(&name).cloned().flatten(),
            name,
            description: "everything".into(),
            depth,
            oldest_pending_ms: Some(61_500),
        }])
    }
    pub async fn pause(
        &self,
        queue: QueueName,
        reason: Option<String>,
    ) -> Result<QueueRecord, QueueError> {
        if queue.as_str() != "default" {
            return Err(QueueError::UnknownQueue { queue });
        }
        self.0.lock().expect("lock").paused.insert(queue, reason);
        Ok(self.queues().await?.remove(0))
    }
    pub async fn resume(&self, queue: QueueName) -> Result<QueueRecord, QueueError> {
        if queue.as_str() != "default" {
            return Err(QueueError::UnknownQueue { queue });
        }
        self.0.lock().expect("lock").paused.remove(&queue);
        Ok(self.queues().await?.remove(0))
    }
    pub async fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}
