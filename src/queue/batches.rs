//! Groups and batches: tasks that belong together.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Bulk, QueueError, QueueHandle};
use crate::{
    domain::{
        BatchId, GroupName,
        batch::{BatchRecord, GroupRecord, NewBatch},
        bulk::{BulkRecord, Deed, Selection},
        record::Submitted,
        task::NewTask,
    },
    store::{
        StoreError,
        batches::{self, CreateAnswer},
        groups,
    },
};

/// How often whoever waits for a batch looks: its last task may end on any host.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl QueueHandle {
    /// One group.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownGroup`]; [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn group(&self, group: GroupName) -> Result<GroupRecord, QueueError> {
        let found = groups::get(&self.store.client().await?, &group).await?;
        found.ok_or(QueueError::UnknownGroup { group })
    }

    /// Up to `limit` groups by their names, from one on.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn groups(
        &self,
        from: Option<GroupName>,
        limit: u32,
    ) -> Result<Vec<GroupRecord>, QueueError> {
        Ok(groups::list(&self.store.client().await?, from.as_ref(), limit).await?)
    }

    /// Submits a batch with its first tasks, in one transaction. Returns it as it is then, and what
    /// became of the tasks; nothing of those if the batch was there already, by its key.
    ///
    /// # Errors
    ///
    /// Those of [`QueueHandle::submit`]; [`QueueError::UnknownQueue`] also if a callback goes to a
    /// queue that is not there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, all of it may or may not be there.
    pub async fn submit_batch(
        &self,
        batch: NewBatch,
        tasks: Vec<NewTask>,
    ) -> Result<(BatchRecord, Option<Vec<Submitted>>), QueueError> {
        match self.create_batch(&batch, &tasks).await? {
            CreateAnswer::Existing(id) => Ok((self.batch(id).await?, None)),
            CreateAnswer::Created(submitted) => {
                self.submitted(&tasks, &submitted).await;
                Ok((self.batch(batch.id).await?, Some(submitted)))
            }
        }
    }

    /// As [`QueueHandle::insert_graph`]: again where another submit took a key in the meantime.
    async fn create_batch(
        &self,
        batch: &NewBatch,
        tasks: &[NewTask],
    ) -> Result<CreateAnswer, StoreError> {
        self.transact_again(async |db| batches::create(db, batch, tasks).await).await
    }

    /// One batch.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownBatch`]; [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn batch(&self, batch: BatchId) -> Result<BatchRecord, QueueError> {
        let found = batches::get(&self.store.client().await?, batch).await?;
        found.ok_or(QueueError::UnknownBatch { batch })
    }

    /// Up to `limit` batches, newest first, from one on; or only those that are not done.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn batches(
        &self,
        from: Option<BatchId>,
        unfinished: bool,
        limit: u32,
    ) -> Result<Vec<BatchRecord>, QueueError> {
        Ok(batches::list(&self.store.client().await?, from, unfinished, limit).await?)
    }

    /// A batch once it is done, or as it is when `limit` has passed.
    ///
    /// # Errors
    ///
    /// As [`QueueHandle::batch`].
    pub async fn wait_for_batch(
        &self,
        id: BatchId,
        limit: Duration,
    ) -> Result<BatchRecord, QueueError> {
        let deadline = Instant::now() + limit;
        loop {
            let batch = self.batch(id).await?;
            let now = Instant::now();
            if batch.done_at.is_some() || now >= deadline {
                return Ok(batch);
            }
            sleep(LOOK_EVERY.min(deadline - now)).await;
        }
    }

    /// Takes no more tasks into a batch: it is done once those that it has have ended.
    ///
    /// # Errors
    ///
    /// As [`QueueHandle::batch`].
    pub async fn close_batch(&self, batch: BatchId) -> Result<BatchRecord, QueueError> {
        let closed = batches::close(&self.store.client().await?, batch, false).await?;
        closed.ok_or(QueueError::UnknownBatch { batch })?;
        self.batch(batch).await
    }

    /// Closes a batch and calls off what has not ended of it, as [`QueueHandle::bulk`] does. It is
    /// done, and calls back, once what ran has let go.
    ///
    /// # Errors
    ///
    /// As [`QueueHandle::batch`].
    pub async fn cancel_batch(
        &self,
        batch: BatchId,
    ) -> Result<(BatchRecord, BulkRecord), QueueError> {
        let closed = batches::close(&self.store.client().await?, batch, true).await?;
        closed.ok_or(QueueError::UnknownBatch { batch })?;
        let states = Deed::Cancel.usual();
        let selection = Selection { states, batch: Some(batch), ..Selection::default() };
        let all = Bulk { selection, deed: Deed::Cancel, limit: None, after: None, dry_run: false };
        let done = self.bulk(all).await?;
        Ok((self.batch(batch).await?, done))
    }
}
