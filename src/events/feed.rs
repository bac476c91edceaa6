//! One reader of the feed for all who listen on this host.
//!
//! The reader asks Postgres for what is new when this host has settled something, and every
//! `LOOK` otherwise (other hosts make news, too); while nobody listens it asks for nothing. What
//! it finds is written once, and every subscriber gets the same bytes, if its filter takes them.
//!
//! # Guarantees
//!
//! A subscriber is told of every step after its place that its filter takes, once, and of each
//! task's steps in their order. It joins when the reader has just come to a place where nothing is
//! left half read, and itself reads what lies between its own place and that one: so nothing falls
//! between what it read and what it is told, on whatever host it was before. Each event carries
//! the place after it, which outlives hosts and Postgres ([`crate::domain::feed`]).
//!
//! # Failures
//!
//! A subscriber that does not keep up is dropped once `BUFFER` pages wait for it; it comes back
//! with its place. While Postgres is away nobody is told anything, and nothing is lost.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use slog::{Logger, info, warn};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    domain::{
        event::{Ear, Event},
        feed::FeedCursor,
    },
    protocol::sse,
    store::{
        Store, StoreError,
        feed::{self, FeedPage},
    },
    telemetry::{Chain, metrics::Metrics},
};

/// How often news of other hosts is looked for.
const LOOK: Duration = Duration::from_millis(250);

/// How many steps are read at once.
const PAGE: u32 = 500;

/// How many pages wait for a subscriber before it is dropped.
const BUFFER: usize = 64;

/// How often each subscriber gets a sign of life, with its place.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a subscriber that was dropped should wait before it comes back, in milliseconds.
const RETRY_MS: u64 = 1000;

/// The last word to a subscriber that did not keep up.
const SLOW: &str = "events came faster than they were read; come back with the last id";

/// The last word to all when what they have not been told of was deleted.
const CUT: &str = "steps were deleted before they were told; come back with the last id";

/// The last word to a subscriber for whom the database does not answer.
const AWAY: &str = "the database does not answer; come back with the last id";

/// The others' side of the reader. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct FeedHub {
    joins: mpsc::Sender<Join>,
    store: Store,
}

/// Somebody who wants to be told.
struct Join {
    ear: Arc<Ear>,
    tell: oneshot::Sender<Live>,
}

/// What a subscriber holds once it has joined.
struct Live {
    /// Where the reader was.
    at: FeedCursor,
    pages: mpsc::Receiver<Bytes>,
    farewell: Arc<OnceLock<&'static str>>,
}

/// The reader's side of a subscriber.
struct Subscriber {
    ear: Arc<Ear>,
    pages: mpsc::Sender<Bytes>,
    farewell: Arc<OnceLock<&'static str>>,
}

impl FeedHub {
    /// Starts the reader on the runtime of the caller; it ends with the last handle. `news` changes
    /// whenever this host has settled something.
    pub fn start(
        store: Store,
        news: watch::Receiver<u64>,
        log: Logger,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (joins, asked) = mpsc::channel(1024);
        let reader = Reader {
            store: store.clone(),
            news,
            log,
            metrics,
            asked,
            waiting: Vec::new(),
            subscribers: Vec::new(),
            at: FeedCursor::beginning(),
        };
        tokio::spawn(reader.run());
        Self { joins, store }
    }

    /// What happens after `after`, or from now on.
    ///
    /// # Errors
    ///
    /// As the store's; [`StoreError::FeedCut`] where steps after `after` were deleted.
    pub async fn subscribe(
        &self,
        ear: impl Into<Ear>,
        after: Option<FeedCursor>,
    ) -> Result<Subscription, StoreError> {
        let mut subscription = Subscription {
            hub: self.clone(),
            ear: Arc::new(ear.into()),
            stage: Stage::Over,
            pending: None,
        };
        if let Some(cursor) = after {
            subscription.pending = Some(sse::opening(RETRY_MS, &cursor.to_string()));
            // So that a place that is past is told as an error, and not in the midst of a stream.
            let (first, cursor) = subscription.page(&cursor).await?;
            subscription.stage = Stage::Behind(cursor);
            if let (Some(opening), false) = (&mut subscription.pending, first.is_empty()) {
                *opening = [&**opening, &*first].concat().into();
            }
        } else {
            let live = subscription.join().await?;
            subscription.pending = Some(sse::opening(RETRY_MS, &live.at.to_string()));
            subscription.stage = Stage::Live(live);
        }
        Ok(subscription)
    }
}

/// A stream of pages for one subscriber. Dropping it ends the subscription.
pub struct Subscription {
    hub: FeedHub,
    ear: Arc<Ear>,
    stage: Stage,
    pending: Option<Bytes>,
}

enum Stage {
    /// It reads for itself what has long happened.
    Behind(FeedCursor),
    /// It has joined, and reads for itself up to the place where it did.
    Joining(FeedCursor, Live),
    /// It is told.
    Live(Live),
    Over,
}

impl Subscription {
    /// The next piece of the stream: whole events, or a sign of life; `None` at the end.
    ///
    /// Not cancel safe: drop the subscription with it.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        loop {
            match self.step().await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return piece,
                Err(error) => {
                    self.stage = Stage::Over;
                    let reason = if matches!(error, StoreError::FeedCut) { CUT } else { AWAY };
                    return Some(sse::farewell(reason));
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>, StoreError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Behind(cursor) => {
                let (piece, next) = self.page(&cursor).await?;
                self.stage = if next.is_whole() {
                    let live = self.join().await?;
                    Stage::Joining(next.until(&live.at), live)
                } else {
                    Stage::Behind(next)
                };
                Ok(Some(piece))
            }
            Stage::Joining(cursor, live) => {
                let (piece, next) = self.page(&cursor).await?;
                self.stage =
                    if next.is_whole() { Stage::Live(live) } else { Stage::Joining(next, live) };
                Ok(Some(piece))
            }
            Stage::Live(mut live) => match live.pages.recv().await {
                Some(piece) => {
                    self.stage = Stage::Live(live);
                    Ok(Some(piece))
                }
                None => Ok(live.farewell.get().map(|reason| sse::farewell(reason))),
            },
            Stage::Over => Ok(None),
        }
    }

    /// Reads a page for this subscriber alone.
    async fn page(&self, cursor: &FeedCursor) -> Result<(Bytes, FeedCursor), StoreError> {
        let db = self.hub.store.client().await?;
        let page = feed::read(&db, cursor, PAGE).await?;
        let events = written(&page, feed::label(&db, &page.items).await?);
        Ok((chosen(&events, &self.ear), page.next))
    }

    async fn join(&self) -> Result<Live, StoreError> {
        let gone = || StoreError::Unavailable { source: None };
        let (tell, told) = oneshot::channel();
        let join = Join { ear: self.ear.clone(), tell };
        self.hub.joins.send(join).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())
    }
}

/// An event, and as it goes over the wire.
type Written = (Event, Bytes);

fn written(page: &FeedPage, events: Vec<Event>) -> Vec<Written> {
    let write = |(nth, event): (usize, Event)| {
        let id = page.cursor_after(nth).to_string();
        let data = serde_json::to_string(&event).unwrap_or_default();
        let frame = sse::event(&id, &event.word(), &data);
        (event, frame)
    };
    events.into_iter().enumerate().map(write).collect()
}

/// Those that `ear` hears, as one piece; shared where it is one alone.
fn chosen(events: &[Written], ear: &Ear) -> Bytes {
    let mut taken = events.iter().filter(|(event, _)| ear.hears(event)).map(|(_, frame)| frame);
    let Some(first) = taken.next() else { return Bytes::new() };
    let Some(second) = taken.next() else { return first.clone() };
    let mut piece = BytesMut::new();
    for frame in [first, second].into_iter().chain(taken) {
        piece.extend_from_slice(frame);
    }
    piece.freeze()
}

struct Reader {
    store: Store,
    news: watch::Receiver<u64>,
    log: Logger,
    metrics: Arc<Metrics>,
    asked: mpsc::Receiver<Join>,
    waiting: Vec<Join>,
    subscribers: Vec<Subscriber>,
    /// Where the subscribers are. Always whole between two rounds.
    at: FeedCursor,
}

impl Reader {
    async fn run(mut self) {
        let mut keep_alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_away = false;
        loop {
            if self.subscribers.is_empty() && self.waiting.is_empty() {
                let Some(first) = self.asked.recv().await else { return };
                self.waiting.push(first);
            } else if self.waiting.is_empty() {
                tokio::select! {
                    join = self.asked.recv() => match join {
                        Some(join) => self.waiting.push(join),
                        None => return,
                    },
                    // An error means that the host is ending: the looks go on until it has.
                    changed = self.news.changed() => if changed.is_err() { sleep(LOOK).await },
                    () = sleep(LOOK) => {}
                    _ = keep_alive.tick() => self.keep_alive(),
                }
            }
            while let Ok(join) = self.asked.try_recv() {
                self.waiting.push(join);
            }
            self.news.mark_unchanged();
            match self.read_on().await {
                Ok(()) => {
                    if std::mem::take(&mut is_away) {
                        info!(self.log, "the feed is read again");
                    }
                    self.admit();
                }
                Err(StoreError::FeedCut) => self.drop_all(CUT),
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        warn!(self.log, "the feed can't be read; subscribers wait";
                            "error" => Chain(&error).to_string());
                    }
                    // Who waits to join is told now, rather than held.
                    self.waiting.clear();
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Reads and tells until nothing is left.
    async fn read_on(&mut self) -> Result<(), StoreError> {
        let db = self.store.client().await?;
        self.subscribers.retain(|one| !one.pages.is_closed());
        if self.subscribers.is_empty() {
            self.at = feed::latest(&db).await?;
            self.count();
            return Ok(());
        }
        loop {
            let page = feed::read(&db, &self.at, PAGE).await?;
            if !page.items.is_empty() {
                let events = written(&page, feed::label(&db, &page.items).await?);
                self.tell(&events);
            }
            self.at = page.next;
            if self.at.is_whole() {
                return Ok(());
            }
        }
    }

    fn tell(&mut self, events: &[Written]) {
        self.metrics.events_read(events.len());
        let mut pieces: HashMap<Arc<Ear>, Bytes> = HashMap::new();
        let mut dropped = 0;
        self.subscribers.retain(|one| {
            let piece = pieces.entry(one.ear.clone()).or_insert_with(|| chosen(events, &one.ear));
            if piece.is_empty() {
                return true;
            }
            match one.pages.try_send(piece.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    // It is said once: nobody else sets it.
                    one.farewell.set(SLOW).unwrap_or_default();
                    dropped += 1;
                    false
                }
            }
        });
        if dropped > 0 {
            self.metrics.subscribers_dropped(dropped);
            warn!(self.log, "subscribers dropped"; "count" => dropped, "reason" => SLOW);
        }
        self.count();
    }

    fn keep_alive(&mut self) {
        let sign = sse::keep_alive(&self.at.to_string());
        // One that is behind hears enough.
        self.subscribers.retain(|one| {
            !matches!(one.pages.try_send(sign.clone()), Err(mpsc::error::TrySendError::Closed(_)))
        });
        self.count();
    }

    fn admit(&mut self) {
        for Join { ear, tell } in std::mem::take(&mut self.waiting) {
            let (pages, told) = mpsc::channel(BUFFER);
            let farewell = Arc::new(OnceLock::new());
            let live = Live { at: self.at.clone(), pages: told, farewell: farewell.clone() };
            if tell.send(live).is_ok() {
                self.subscribers.push(Subscriber { ear, pages, farewell });
            }
        }
        self.count();
    }

    fn drop_all(&mut self, reason: &'static str) {
        for one in std::mem::take(&mut self.subscribers) {
            one.farewell.set(reason).unwrap_or_default();
        }
        self.count();
    }

    fn count(&self) {
        self.metrics.subscribers(self.subscribers.len());
    }
}

#[cfg(test)]
mod tests;
