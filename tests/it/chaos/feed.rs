//! A reader of the feed that goes on where it was, whatever happens to Postgres.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hostler::{
    domain::feed::FeedCursor,
    store::{Store, feed},
};

use super::{
    history::{Stepped, Told},
    world::World,
};
use crate::support::{cluster::on_a_runtime, database::store};

/// What a reader was told so far.
#[derive(Default)]
pub(super) struct Reader(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    told: Vec<Told>,
    /// Tasks that have begun to be, and not ended.
    open: HashSet<String>,
    ended: usize,
    /// How often it had to begin anew.
    lost: HashMap<String, u32>,
}

impl Reader {
    /// Reads until it is told to stop.
    pub(super) fn read(&self, world: &World, over: &AtomicBool) {
        let config = world.server().database();
        on_a_runtime(async {
            let store = store(config);
            let mut cursor = FeedCursor::beginning();
            while !over.load(Ordering::Relaxed) {
                match page(&store, &cursor).await {
                    Ok(page) => {
                        let more = !page.items.is_empty();
                        let steps = page.steps();
                        cursor = page.next;
                        self.note(steps.iter().map(told).collect());
                        if more {
                            continue;
                        }
                    }
                    Err(error) => {
                        let mut notes = self.0.lock().expect("no panic");
                        *notes.lost.entry(error).or_default() += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            store.close();
        });
    }

    fn note(&self, told: Vec<Told>) {
        let mut notes = self.0.lock().expect("no panic");
        for one in &told {
            if !one.step.state.is_final() {
                notes.open.insert(one.task.clone());
            } else if notes.open.remove(&one.task) {
                notes.ended += 1;
            }
        }
        notes.told.extend(told);
    }

    /// How many tasks have not ended, as far as it was told.
    pub(super) fn unfinished(&self) -> usize {
        self.0.lock().expect("no panic").open.len()
    }

    /// How many have.
    pub(super) fn ended(&self) -> usize {
        self.0.lock().expect("no panic").ended
    }

    /// Those that have not.
    pub(super) fn open(&self) -> Vec<String> {
        self.0.lock().expect("no panic").open.iter().cloned().collect()
    }

    /// Everything, and how often it was lost.
    pub(super) fn all(&self) -> (Vec<Told>, u32) {
        let notes = self.0.lock().expect("no panic");
        (notes.told.clone(), notes.lost.values().sum())
    }
}

async fn page(store: &Store, cursor: &FeedCursor) -> Result<feed::FeedPage, String> {
    let db = store.client().await.map_err(|error| error.to_string())?;
    feed::read(&db, cursor, 500).await.map_err(|error| error.to_string())
}

fn told(event: &hostler::domain::record::FeedEvent) -> Told {
    let attempt = u64::from(event.attempt.0);
    let step = Stepped { number: event.number, state: event.state, attempt };
    Told { task: event.task.to_string(), step }
}
