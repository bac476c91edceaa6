//! Deciding what is to be sent.

use std::collections::HashMap;

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{
    domain::{
        EndpointName, TaskId,
        delivery::{CALLBACKS, Ending, host_payload, payload},
        event::{Event, EventFilter},
        feed::{FeedCursor, Snapshot},
        task::FailureClass,
    },
    store::{
        StoreError,
        codec::Shown,
        feed,
        statement::{Sql, sql},
        webhooks::new_key,
    },
};

const HOLD: Sql = sql!("webhooks/hold");
const BEGIN: Sql = sql!("webhooks/begin");
const MOVE: Sql = sql!("webhooks/move");
const IDLE: Sql = sql!("webhooks/idle");
const QUIET: Sql = sql!("webhooks/quiet");
const WANTS: Sql = sql!("webhooks/wants");
const CALL_BACK: Sql = sql!("webhooks/call_back");
const ADD_CALLBACKS: Sql = sql!("webhooks/add_callbacks");
const ENDINGS: Sql = sql!("webhooks/endings");
const ADD: Sql = sql!("webhooks/add");

/// How many steps are decided on at once.
const PAGE: u32 = 500;

/// How many callbacks are sent at once, and how long an answer may take, in milliseconds.
const CALLBACKS_AT_ONCE: i32 = 16;
const CALLBACK_TIMEOUT_MS: i32 = 20_000;

/// What came of deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// Another host decides in this moment.
    Elsewhere,
    /// Nobody is to be told anything.
    Nobody,
    /// Steps that nobody was told of were deleted: telling goes on with what happens now.
    Cut,
    /// So many deliveries were made; `more` says that there are more steps to decide on.
    Made {
        /// How many.
        deliveries: usize,
        /// Whether the page was full.
        more: bool,
    },
}

/// One delivery to be.
pub(super) struct Delivery {
    pub(super) id: Uuid,
    pub(super) endpoint: EndpointName,
    pub(super) url: Option<String>,
    pub(super) word: String,
    pub(super) task: Option<TaskId>,
    pub(super) payload: String,
}

/// Makes the place up to which deliveries are decided, if there is none: this moment.
pub async fn begin(db: &impl GenericClient) -> Result<(), StoreError> {
    let now = feed::latest(db).await?;
    BEGIN.query(db, &[&now.to_string()]).await?;
    Ok(())
}

/// Decides on the next steps of the feed: makes a delivery for each that somebody is to be told of.
/// All of it in `db`, with the place.
pub async fn decide(db: &Transaction<'_>) -> Result<Decided, StoreError> {
    let Some(row) = HOLD.query_opt(db, &[]).await? else { return Ok(Decided::Elsewhere) };
    let place: Option<&str> = HOLD.fields(&row).get("cursor")?;
    let place: Option<FeedCursor> = place
        .map(|text| text.parse().map_err(|_| HOLD.fields(&row).unknown("cursor")))
        .transpose()?;
    if let Some(row) = IDLE.query_opt(db, &[]).await? {
        let seen: &str = IDLE.fields(&row).get("seen")?;
        let seen: Snapshot = seen.parse().map_err(|_| IDLE.fields(&row).unknown("seen"))?;
        let now = FeedCursor::latest(seen);
        if place.as_ref() != Some(&now) {
            move_to(db, &now, false).await?;
        }
        return Ok(Decided::Nobody);
    }
    let Some(place) = place else {
        move_to(db, &feed::latest(db).await?, true).await?;
        return Ok(Decided::Made { deliveries: 0, more: true });
    };
    let page = match feed::read(db, &place, PAGE).await {
        Err(StoreError::FeedCut) => {
            move_to(db, &feed::latest(db).await?, true).await?;
            return Ok(Decided::Cut);
        }
        page => page?,
    };
    let events = feed::label(db, &page.items).await?;
    let deliveries = wanted(db, &events).await?;
    if !deliveries.is_empty() {
        add(db, &deliveries).await?;
    }
    if page.next != place {
        move_to(db, &page.next, true).await?;
    }
    Ok(Decided::Made { deliveries: deliveries.len(), more: !page.next.is_whole() })
}

/// Whether there is nobody to be told anything, and nothing on its way to anybody.
pub async fn is_quiet(db: &impl GenericClient) -> Result<bool, StoreError> {
    let row = QUIET.query_opt(db, &[]).await?;
    row.map_or(Ok(true), |row| QUIET.fields(&row).get("quiet"))
}

/// Moves the place; `is_kept` if the commit waits until that is on disk.
async fn move_to(
    db: &impl GenericClient,
    place: &FeedCursor,
    is_kept: bool,
) -> Result<(), StoreError> {
    MOVE.query(db, &[&place.to_string(), &is_kept]).await?;
    Ok(())
}

/// The deliveries of these events, in their order.
async fn wanted(db: &impl GenericClient, events: &[Event]) -> Result<Vec<Delivery>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut endpoints = Vec::new();
    for row in &WANTS.query(db, &[]).await? {
        let fields = WANTS.fields(row);
        let Json(filter): Json<EventFilter> = fields.get("filter")?;
        let since: jiff::Timestamp = fields.get("created_at")?;
        endpoints.push((fields.get::<EndpointName>("name")?, filter, since));
    }
    let ended: Vec<TaskId> = events.iter().filter_map(end_of).collect();
    let mut callbacks: HashMap<TaskId, String> = HashMap::new();
    for row in &CALL_BACK.query(db, &[&ended]).await? {
        let fields = CALL_BACK.fields(row);
        callbacks.insert(fields.get("task_id")?, fields.get("url")?);
    }
    let mut chosen = Vec::new();
    for event in events {
        for (name, filter, since) in &endpoints {
            // What happened before it was made is not for it.
            if event.at() >= *since && filter.wants(event) {
                chosen.push((name.clone(), None, event));
            }
        }
        if let Some(task) = end_of(event)
            && let Some(url) = callbacks.remove(&task)
            && let Ok(name) = CALLBACKS.parse()
        {
            chosen.push((name, Some(url), event));
        }
    }
    let told: Vec<TaskId> = chosen.iter().filter_map(|(_, _, event)| end_of(event)).collect();
    let endings = if told.is_empty() { HashMap::new() } else { endings(db, &told).await? };
    let delivery = |(endpoint, url, event): (EndpointName, Option<String>, &Event)| {
        let ending = end_of(event).map(|task| endings.get(&task).cloned().unwrap_or_default());
        let (task, payload) = match event {
            Event::Task(event) => (Some(event.step.task), payload(event, ending)),
            Event::Host(event) => (None, host_payload(event)),
        };
        Delivery { id: Uuid::now_v7(), endpoint, url, word: event.word(), task, payload }
    };
    Ok(chosen.into_iter().map(delivery).collect())
}

/// The task that ended by that.
fn end_of(event: &Event) -> Option<TaskId> {
    match event {
        Event::Task(event) => event.step.state.is_final().then_some(event.step.task),
        Event::Host(_) => None,
    }
}

async fn endings(
    db: &impl GenericClient,
    tasks: &[TaskId],
) -> Result<HashMap<TaskId, Ending>, StoreError> {
    let mut endings = HashMap::new();
    for row in &ENDINGS.query(db, &[&tasks]).await? {
        let fields = ENDINGS.fields(row);
        let class: Option<FailureClass> = fields.get("class")?;
        let message: Option<String> = fields.get("message")?;
        let output: Option<Shown> = fields.get("output")?;
        let ending = Ending { output: output.map(|shown| shown.0), failure: class.zip(message) };
        endings.insert(fields.get("task_id")?, ending);
    }
    Ok(endings)
}

pub(super) async fn add(
    db: &impl GenericClient,
    deliveries: &[Delivery],
) -> Result<(), StoreError> {
    let ids: Vec<_> = deliveries.iter().map(|one| one.id).collect();
    let endpoints: Vec<_> = deliveries.iter().map(|one| &one.endpoint).collect();
    let urls: Vec<_> = deliveries.iter().map(|one| one.url.as_deref()).collect();
    let words: Vec<_> = deliveries.iter().map(|one| &*one.word).collect();
    let tasks: Vec<_> = deliveries.iter().map(|one| one.task).collect();
    let payloads: Vec<_> = deliveries.iter().map(|one| &*one.payload).collect();
    ADD.query(db, &[&ids, &endpoints, &urls, &words, &tasks, &payloads]).await?;
    Ok(())
}

/// Notes where the ends of new tasks are to be told. In the transaction that makes the tasks.
pub async fn add_callbacks(
    db: &impl GenericClient,
    callbacks: &[(TaskId, &str)],
) -> Result<(), StoreError> {
    if callbacks.is_empty() {
        return Ok(());
    }
    let (tasks, urls): (Vec<TaskId>, Vec<&str>) = callbacks.iter().copied().unzip();
    let secret = new_key().reveal();
    let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&tasks, &urls, &secret, &CALLBACKS_AT_ONCE, &CALLBACK_TIMEOUT_MS];
    ADD_CALLBACKS.query(db, parameters).await?;
    Ok(())
}
