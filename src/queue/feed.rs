//! The handle's side of the feed.

use std::time::Duration;

use tokio::time::Instant;

use super::{QueueError, QueueHandle};
use crate::{
    domain::feed::FeedCursor,
    store::feed::{self, FeedPage},
};

/// How often a reader of the feed who waits is looked for news: any host may make some.
const LOOK: Duration = Duration::from_millis(250);

impl QueueHandle {
    /// Where the feed of all steps of all tasks has come to.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn feed_latest(&self) -> Result<FeedCursor, QueueError> {
        Ok(feed::latest(&self.store.client().await?).await?)
    }

    /// The steps of all tasks and the events of all hosts after `cursor`, wherever they were made: up to `limit`, and
    /// none only if there was none until `wait` had passed.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn feed(
        &self,
        cursor: &FeedCursor,
        limit: u32,
        wait: Duration,
    ) -> Result<FeedPage, QueueError> {
        let deadline = Instant::now() + wait;
        let mut cursor = cursor.clone();
        loop {
            let page = feed::read(&self.store.client().await?, &cursor, limit).await?;
            let now = Instant::now();
            if !page.items.is_empty() || now >= deadline {
                return Ok(page);
            }
            cursor = page.next;
            tokio::time::sleep(LOOK.min(deadline - now)).await;
        }
    }
}
