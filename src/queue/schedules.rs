//! Schedules, for those who ask: what they change is seen by the leader's duty at its next look.

use super::{QueueError, QueueHandle};
use crate::{
    domain::{
        ScheduleName, TaskId,
        record::Submitted,
        schedule::{FiringRecord, Origin, Schedule, ScheduleRecord},
        task::TaskState,
    },
    store::schedules,
};

impl QueueHandle {
    /// All schedules, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn schedules(&self) -> Result<Vec<ScheduleRecord>, QueueError> {
        Ok(schedules::list(&self.store.client().await?).await?)
    }

    /// One schedule.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownSchedule`].
    pub async fn schedule(&self, name: &ScheduleName) -> Result<ScheduleRecord, QueueError> {
        let found = schedules::get(&self.store.client().await?, name).await?;
        found.ok_or_else(|| QueueError::UnknownSchedule { schedule: name.clone() })
    }

    /// What became of the newest due times of a schedule, the newest first.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownSchedule`].
    pub async fn firings(
        &self,
        name: &ScheduleName,
        limit: u32,
    ) -> Result<Vec<FiringRecord>, QueueError> {
        let firings = schedules::firings(&self.store.client().await?, name, limit).await?;
        if firings.is_empty() {
            self.schedule(name).await?;
        }
        Ok(firings)
    }

    /// Makes a schedule, or changes it; returns whether it was made. A new one is paused for the
    /// given reason, one that is there stays paused, or not.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`].
    pub async fn put_schedule(
        &self,
        schedule: &Schedule,
        paused: Option<&str>,
    ) -> Result<(ScheduleRecord, bool), QueueError> {
        let put =
            self.store.transact(async |db| schedules::put(db, schedule, Origin::Api, paused).await);
        let created = put.await?;
        Ok((self.schedule(&schedule.name).await?, created))
    }

    /// Takes a schedule out; its tasks go on.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownSchedule`].
    pub async fn remove_schedule(&self, name: &ScheduleName) -> Result<(), QueueError> {
        known(name, schedules::remove(&self.store.client().await?, name).await?)
    }

    /// Lets a schedule submit nothing until it is resumed.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownSchedule`].
    pub async fn pause_schedule(
        &self,
        name: &ScheduleName,
        reason: Option<&str>,
    ) -> Result<ScheduleRecord, QueueError> {
        let reason = reason.unwrap_or("an operator paused it");
        known(name, schedules::pause(&self.store.client().await?, name, reason).await?)?;
        self.schedule(name).await
    }

    /// Lets a schedule go on with the next of its due times.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownSchedule`].
    pub async fn resume_schedule(&self, name: &ScheduleName) -> Result<ScheduleRecord, QueueError> {
        let resumed = self.store.transact(async |db| schedules::resume(db, name).await);
        known(name, resumed.await?)?;
        self.schedule(name).await
    }

    /// Has a schedule submit a task now, whatever its times and its policies say.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownSchedule`], [`QueueError::UnknownQueue`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, the task may or may not be there.
    pub async fn run_schedule(&self, name: &ScheduleName) -> Result<Submitted, QueueError> {
        let terms = self.terms();
        let run = self.store.transact(async |db| schedules::run_now(db, name, &terms).await);
        let Some((queue, submitted)) = run.await? else {
            return Err(QueueError::UnknownSchedule { schedule: name.clone() });
        };
        self.metrics.submitted(1);
        self.wake(vec![queue]);
        Ok(submitted)
    }

    /// Tells those who wait for them that tasks have ended without an attempt of this host.
    pub(crate) fn publish(&self, ended: Vec<(TaskId, TaskState)>) {
        if !ended.is_empty() {
            self.events.publish(ended);
        }
    }
}

fn known(name: &ScheduleName, found: bool) -> Result<(), QueueError> {
    if found { Ok(()) } else { Err(QueueError::UnknownSchedule { schedule: name.clone() }) }
}
