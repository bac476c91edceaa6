//! The feed of all steps of all tasks.

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    statement::{Fields, Sql, sql},
};
use crate::domain::{
    feed::{FeedCursor, Snapshot},
    record::FeedEvent,
};

const READ: Sql = sql!("feed/read");
const LATEST: Sql = sql!("feed/latest");

/// A page of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPage {
    /// Up to as many steps as were asked for; fewer say that there are no more now.
    pub events: Vec<FeedEvent>,
    /// Where to go on.
    pub next: FeedCursor,
}

/// Where the feed has come to.
pub async fn latest(db: &impl GenericClient) -> Result<FeedCursor, StoreError> {
    let Some(row) = LATEST.query_opt(db, &[]).await? else { return Ok(FeedCursor::beginning()) };
    let fields = LATEST.fields(&row);
    Ok(FeedCursor::latest(snapshot(&fields, "seen")?))
}

/// Up to `limit` steps after `cursor`. Whoever goes on with the cursor that comes back is told of
/// every step once, and of each task's steps in their order.
///
/// A transaction that is open holds back its own steps only. A reader who is far behind costs more:
/// each page looks at all that it has not read.
///
/// # Errors
///
/// [`StoreError::FeedCut`] where steps were deleted that this reader has not been told of.
pub async fn read(
    db: &impl GenericClient,
    cursor: &FeedCursor,
    limit: u32,
) -> Result<FeedPage, StoreError> {
    let (position, place) = cursor.at();
    let rows = READ
        .query(db, &[&cursor.seen(), &cursor.upto(), &position, &place, &i64::from(limit)])
        .await?;
    let mut page = FeedPage { events: Vec::with_capacity(rows.len()), next: cursor.clone() };
    let (mut view, mut at) = (None, None);
    for row in &rows {
        let fields = READ.fields(row);
        if fields.get("is_past")? {
            return Err(StoreError::FeedCut);
        }
        view = Some((snapshot(&fields, "seen")?, snapshot(&fields, "upto")?));
        let Some(position) = fields.get::<Option<i64>>("position")? else { continue };
        at = Some((position, fields.get("place")?));
        page.events.push(FeedEvent {
            task: fields.get("task_id")?,
            number: fields.count("number")?,
            state: fields.get("state")?,
            attempt: fields.get("attempt")?,
            at: fields.get("at")?,
        });
    }
    if let Some((seen, upto)) = view {
        let full = at.filter(|_| page.events.len() >= limit as usize);
        page.next = FeedCursor::after(seen, upto, full);
    }
    Ok(page)
}

fn snapshot(fields: &Fields<'_>, column: &'static str) -> Result<Snapshot, StoreError> {
    let text: &str = fields.get(column)?;
    text.parse().map_err(|_| StoreError::UnknownValue { statement: READ.name, column })
}
