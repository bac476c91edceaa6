//! The feed of all steps of all tasks, and of what happened to hosts.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    statement::{Fields, Sql, sql},
};
use crate::domain::{
    Attempt, HostId, TaskId,
    event::{Event, HostEvent, Labels, TaskEvent},
    feed::{FeedCursor, Snapshot},
    record::{FeedEvent, FeedItem},
};

const READ: Sql = sql!("feed/read");
const LATEST: Sql = sql!("feed/latest");
const LABELS: Sql = sql!("feed/labels");

/// A page of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPage {
    /// Up to as many facts as were asked for; fewer say that there are no more now.
    pub items: Vec<FeedItem>,
    /// Where to go on.
    pub next: FeedCursor,
    /// Both snapshots that the page lies between, and the place of each step in it.
    view: Option<(Snapshot, Snapshot)>,
    places: Vec<(i64, i64)>,
}

impl FeedPage {
    /// Those that are about tasks.
    pub fn steps(&self) -> Vec<FeedEvent> {
        let step = |item: &FeedItem| match item {
            FeedItem::Step(step) => Some(step.clone()),
            FeedItem::Host(_) => None,
        };
        self.items.iter().filter_map(step).collect()
    }

    /// Where a reader is who has been told of the steps up to and with number `nth` of this page.
    pub fn cursor_after(&self, nth: usize) -> FeedCursor {
        match (&self.view, self.places.get(nth)) {
            (Some((seen, upto)), Some(place)) => {
                FeedCursor::after(seen.clone(), upto.clone(), Some(*place))
            }
            _ => self.next.clone(),
        }
    }
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
    let mut page = FeedPage {
        items: Vec::with_capacity(rows.len()),
        next: cursor.clone(),
        view: None,
        places: Vec::with_capacity(rows.len()),
    };
    for row in &rows {
        let fields = READ.fields(row);
        if fields.get("is_past")? {
            return Err(StoreError::FeedCut);
        }
        if page.view.is_none() {
            page.view = Some((snapshot(&fields, "seen")?, snapshot(&fields, "upto")?));
        }
        let Some(position) = fields.get::<Option<i64>>("position")? else { continue };
        page.places.push((position, fields.get("place")?));
        page.items.push(item(&fields)?);
    }
    if let Some((seen, upto)) = &page.view {
        let full = page.places.last().copied().filter(|_| page.items.len() >= limit as usize);
        page.next = FeedCursor::after(seen.clone(), upto.clone(), full);
    }
    Ok(page)
}

fn item(fields: &Fields<'_>) -> Result<FeedItem, StoreError> {
    let Some(host) = fields.get::<Option<HostId>>("host_id")? else {
        return Ok(FeedItem::Step(FeedEvent {
            task: fields.get("task_id")?,
            number: fields.count("number")?,
            state: fields.get("state")?,
            attempt: fields.get("attempt")?,
            at: fields.get("at")?,
        }));
    };
    let word: &str = fields.get("type")?;
    Ok(FeedItem::Host(HostEvent {
        word: word.parse().map_err(|_| fields.unknown("type"))?,
        host,
        fleet: fields.get("fleet")?,
        agent: fields.get("agent")?,
        reason: fields.get("reason")?,
        detail: fields.get("detail")?,
        at: fields.get("at")?,
    }))
}

/// The events of `items`, in their order: with where each task belongs, and who ran the attempt.
pub async fn label(db: &impl GenericClient, items: &[FeedItem]) -> Result<Vec<Event>, StoreError> {
    let step = |item: &FeedItem| match item {
        FeedItem::Step(step) => Some((step.task, step.attempt)),
        FeedItem::Host(_) => None,
    };
    let mut asked: Vec<_> = items.iter().filter_map(step).collect();
    asked.sort_unstable();
    asked.dedup();
    let (tasks, attempts): (Vec<TaskId>, Vec<Attempt>) = asked.into_iter().unzip();
    let rows = LABELS.query(db, &[&tasks, &attempts]).await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let fields = LABELS.fields(row);
        let key: (TaskId, Attempt) = (fields.get("task_id")?, fields.get("attempt")?);
        let labels = Labels {
            queue: fields.get("queue")?,
            kind: fields.get("kind")?,
            group: fields.get("group_name")?,
            batch: fields.get("batch_id")?,
            agent: fields.get("agent")?,
        };
        known.insert(key, labels);
    }
    let labelled = |item: &FeedItem| match item {
        FeedItem::Step(step) => {
            let labels = known.get(&(step.task, step.attempt)).cloned().unwrap_or_default();
            Event::Task(TaskEvent::of(step.clone(), labels))
        }
        FeedItem::Host(event) => Event::Host(event.clone()),
    };
    Ok(items.iter().map(labelled).collect())
}

fn snapshot(fields: &Fields<'_>, column: &'static str) -> Result<Snapshot, StoreError> {
    let text: &str = fields.get(column)?;
    text.parse().map_err(|_| StoreError::UnknownValue { statement: READ.name, column })
}
