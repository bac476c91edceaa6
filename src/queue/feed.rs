//! The handle's side of the feed.

use std::time::Duration;

use tokio::time::Instant;

use super::{QueueError, QueueHandle};
use crate::{
    domain::{access::Limits, feed::FeedCursor, record::FeedItem},
    store::feed::{self, FeedPage},
};

/// How often a reader of the feed who waits is looked for news: any host may make some.
const LOOK: Duration = Duration::from_millis(250);

/// How many pages are read for one who may be told of none of what is on them.
const MOST_PAGES: usize = 100;

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

    /// As [`QueueHandle::feed`], but of what one who is limited to this may be told, and where to go on. None
    /// of it does not mean that there is none left: of much that is for others a part is read.
    ///
    /// # Errors
    ///
    /// As [`QueueHandle::feed`].
    pub async fn feed_within(
        &self,
        limits: &Limits,
        cursor: &FeedCursor,
        limit: u32,
        wait: Duration,
    ) -> Result<(Vec<FeedItem>, FeedCursor), QueueError> {
        let deadline = Instant::now() + wait;
        let mut cursor = cursor.clone();
        for _ in 0..MOST_PAGES {
            let left = deadline.saturating_duration_since(Instant::now());
            let page = self.feed(&cursor, limit, left).await?;
            let events = feed::label(&self.store.client().await?, &page.items).await?;
            let own =
                page.items.into_iter().zip(events).filter(|(_, event)| event.is_within(limits));
            let own: Vec<_> = own.map(|(item, _)| item).collect();
            let is_over = page.next.is_whole() && Instant::now() >= deadline;
            if !own.is_empty() || is_over {
                return Ok((own, page.next));
            }
            cursor = page.next;
        }
        Ok((Vec::new(), cursor))
    }
}
