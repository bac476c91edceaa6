//! New memories go into the search index soon after they were kept, and nobody waits for it.
//!
//! To enter each word of each memory where it belongs costs most where it is done one by one. So Postgres
//! gathers them in a list that each search reads as well, and whoever makes that list too long enters them
//! all: a caller, and all whose memories are kept by the same statement, wait for some ten milliseconds. Here
//! a statement of its own does it, a moment after memories came; while none come it does nothing.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::store::{Store, sessions::memories};

/// How long they gather: so many a search reads one by one.
const GATHER: Duration = Duration::from_millis(100);

/// How long the statement may take; it takes some ten milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Has what has gathered entered.
#[derive(Clone)]
pub(super) struct Gathered(mpsc::Sender<()>);

impl Gathered {
    /// Starts entering in the current arbiter. It ends when nobody can say any more that memories came.
    pub(super) fn start(store: Store) -> Self {
        let (say, mut came) = mpsc::channel(1);
        actix::spawn(async move {
            while came.recv().await.is_some() {
                tokio::time::sleep(GATHER).await;
                // What fails is done with the next, or by Postgres: where the list gets too long, or by
                // autovacuum. Until then searches only take longer.
                drop(store.within(LIMIT, async |db| memories::enter(db).await).await);
            }
        });
        Self(say)
    }

    /// Memories came.
    pub(super) fn came(&self) {
        // If it has been said already, it holds for these too.
        self.0.try_send(()).unwrap_or_default();
    }
}
