//! The others' side of the queue actor, as far as it is about locks, limits and pauses.

use super::{QueueError, handle::QueueHandle, messages::Reason};
use crate::{
    domain::{
        QueueName, TaskId,
        admission::{KeyPattern, LimitChange, Limited, QueueChange, Until},
        record::{KeyPauseRecord, LimitsRecord, LockRecord, QueueRecord, TaskRecord},
    },
    store::{admission, limits, queues, tasks},
};

/// Why something is held back, if nobody says.
const NO_REASON: &str = "an operator paused it";

impl QueueHandle {
    /// One task, with what it waits for.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn show(&self, id: TaskId) -> Result<Option<TaskRecord>, QueueError> {
        let db = self.store.client().await?;
        let Some(task) = tasks::get(&db, id).await? else { return Ok(None) };
        let fleets = self.fleets_of(&task.queue);
        let waits_for = admission::waits_for(&db, &task, &fleets, self.wait_patience).await?;
        Ok(Some(TaskRecord { waits_for: Some(waits_for), ..self.complete(task) }))
    }

    /// What running tasks hold, and who waits for it.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn locks(&self) -> Result<Vec<LockRecord>, QueueError> {
        Ok(admission::locks(&self.store.client().await?, self.wait_patience).await?)
    }

    /// Holds a queue's tasks back. What runs goes on.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub async fn pause(
        &self,
        queue: QueueName,
        reason: Option<String>,
        until: Until,
    ) -> Result<QueueRecord, QueueError> {
        let db = self.store.client().await?;
        let reason = reason.as_deref().unwrap_or(NO_REASON);
        if !queues::pause(&db, &queue, reason, until).await? {
            return Err(QueueError::UnknownQueue { queue });
        }
        drop(db);
        self.changed(queue).await
    }

    /// Lets a queue's tasks run again.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub async fn resume(&self, queue: QueueName) -> Result<QueueRecord, QueueError> {
        let db = self.store.client().await?;
        if !queues::resume(&db, &queue).await? {
            return Err(QueueError::UnknownQueue { queue });
        }
        drop(db);
        self.changed(queue).await
    }

    /// Changes the limits of a queue, on all hosts. What runs goes on.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub async fn limit_queue(
        &self,
        queue: QueueName,
        change: &QueueChange,
    ) -> Result<QueueRecord, QueueError> {
        let db = self.store.client().await?;
        if !queues::limit(&db, &queue, change).await? {
            return Err(QueueError::UnknownQueue { queue });
        }
        drop(db);
        self.changed(queue).await
    }

    /// The queue, once all hosts have been told that something of it changed.
    async fn changed(&self, queue: QueueName) -> Result<QueueRecord, QueueError> {
        self.wake_for(vec![queue.clone()], Reason::Changed);
        let found = self.queues().await?.into_iter().find(|it| it.name == queue);
        found.ok_or(QueueError::UnknownQueue { queue })
    }

    /// What is limited or held back, but for the queues.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn limits(&self) -> Result<LimitsRecord, QueueError> {
        let db = self.store.client().await?;
        let limits = limits::list(&db).await?;
        Ok(LimitsRecord { limits, paused_keys: limits::paused_keys(&db).await? })
    }

    /// Changes a limit that is no queue's, on all hosts. What runs goes on.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn limit(
        &self,
        limited: &Limited,
        change: &LimitChange,
    ) -> Result<LimitsRecord, QueueError> {
        limits::set(&self.store.client().await?, limited, change).await?;
        self.wake_for(Vec::new(), Reason::Changed);
        self.limits().await
    }

    /// Holds back the tasks with the keys that `pattern` means. What runs goes on.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn pause_key(
        &self,
        pattern: KeyPattern,
        reason: Option<String>,
        until: Until,
    ) -> Result<KeyPauseRecord, QueueError> {
        let db = self.store.client().await?;
        let reason = reason.as_deref().unwrap_or(NO_REASON);
        let paused = limits::pause_key(&db, &pattern, reason, until).await?;
        drop(db);
        self.wake_for(Vec::new(), Reason::Changed);
        paused.ok_or(QueueError::UnknownKey { key: pattern })
    }

    /// Lets them run again.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownKey`] if nothing was held back under this name.
    pub async fn resume_key(&self, pattern: KeyPattern) -> Result<LimitsRecord, QueueError> {
        if !limits::resume_key(&self.store.client().await?, &pattern).await? {
            return Err(QueueError::UnknownKey { key: pattern });
        }
        self.wake_for(Vec::new(), Reason::Changed);
        self.limits().await
    }
}
