//! The writer of memories: a statement keeps many at once.
//!
//! A memory alone is written at once. While a statement runs, others gather; once enough have, a second
//! statement takes some of them beside it, so that the database has work while the answers to the first go
//! out. The more callers there are, the fewer commits each needs. Two of the same key are never under way
//! at once; they are kept in the order in which they came.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use super::SessionError;
use crate::{
    domain::session::{ItemName, NewMemory, SessionId},
    store::{
        Store, StoreError,
        sessions::memories::{self, Stored},
    },
    telemetry::metrics::Metrics,
};

/// How many may wait to be written; beyond, callers wait to hand theirs in.
const ROOM: usize = 1024;

/// The most in one statement.
const TOGETHER: usize = 256;

/// How many statements run at once.
const AT_ONCE: usize = 2;

/// How many must wait for another statement to run beside one: fewer are better off with the next.
const ENOUGH: usize = 8;

/// A memory that waits to be written.
struct Waiting {
    session: SessionId,
    memory: NewMemory,
    tell: oneshot::Sender<Result<Stored, StoreError>>,
}

/// Hands memories to the writer.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Waiting>);

impl Writer {
    /// Starts the writer in the current arbiter. It ends when nobody can hand anything in any more.
    pub(super) fn start(store: Store, metrics: Arc<Metrics>) -> Self {
        let (hand_in, arrived) = mpsc::channel(ROOM);
        actix::spawn(write(store, arrived, metrics));
        Self(hand_in)
    }

    /// Keeps a memory; returns whether it was made.
    pub(super) async fn store(
        &self,
        session: SessionId,
        memory: NewMemory,
    ) -> Result<bool, SessionError> {
        let gone = || SessionError::from(StoreError::Unavailable { source: None });
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { session: session.clone(), memory, tell };
        self.0.send(waiting).await.map_err(|_| gone())?;
        created(told.await.map_err(|_| gone())??, session)
    }
}

/// What became of a memory, for its caller.
pub(super) fn created(stored: Stored, session: SessionId) -> Result<bool, SessionError> {
    match stored {
        Stored::Created => Ok(true),
        Stored::Replaced => Ok(false),
        Stored::UnknownSession => Err(SessionError::UnknownSession { session }),
        Stored::Refused(_) => Err(SessionError::Completed { session }),
    }
}

async fn write(store: Store, mut arrived: mpsc::Receiver<Waiting>, metrics: Arc<Metrics>) {
    let mut line = Line::default();
    let mut running = FuturesUnordered::new();
    let mut open = true;
    while open || !running.is_empty() {
        while let Some(together) = line.next(running.len()) {
            metrics.memories_written(together.len());
            running.push(keep(&store, together));
        }
        tokio::select! {
            one = arrived.recv(), if open && line.waiting.len() < ROOM => match one {
                Some(one) => line.waiting.push_back(one),
                None => open = false,
            },
            Some(keys) = running.next() => line.over(&keys),
        }
        // What has come meanwhile goes together.
        while line.waiting.len() < ROOM
            && let Ok(more) = arrived.try_recv()
        {
            line.waiting.push_back(more);
        }
    }
}

/// What a memory is kept under.
type Key = (SessionId, ItemName);

/// Those that wait, and the keys of those that are being written.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    under_way: HashSet<Key>,
}

impl Line {
    /// The next that go together, while so many statements run: the first of each key, in their order, and
    /// where there are many no more than half, for another statement has the rest.
    fn next(&mut self, running: usize) -> Option<Vec<Waiting>> {
        let least = if running == 0 { 1 } else { ENOUGH };
        if running >= AT_ONCE || self.waiting.len() < least {
            return None;
        }
        let all = self.waiting.len() + self.under_way.len();
        let most = all.div_ceil(AT_ONCE).clamp(ENOUGH, TOGETHER);
        let mut passed = HashSet::new();
        let (mut together, mut rest) = (Vec::new(), VecDeque::new());
        for one in self.waiting.drain(..) {
            let key = one.key();
            if together.len() < most && !passed.contains(&key) && !self.under_way.contains(&key) {
                self.under_way.insert(key);
                together.push(one);
            } else {
                // Whoever comes after it with the same key waits as well.
                passed.insert(key);
                rest.push_back(one);
            }
        }
        self.waiting = rest;
        (!together.is_empty()).then_some(together)
    }

    /// These are written, or never will be.
    fn over(&mut self, keys: &[Key]) {
        for key in keys {
            self.under_way.remove(key);
        }
    }
}

impl Waiting {
    fn key(&self) -> Key {
        (self.session.clone(), self.memory.key.clone())
    }
}

/// Writes these, tells their callers, and says which they were.
async fn keep(store: &Store, together: Vec<Waiting>) -> Vec<Key> {
    let keys = together.iter().map(Waiting::key).collect();
    write_down(store, together).await;
    keys
}

async fn write_down(store: &Store, together: Vec<Waiting>) {
    let kept = statement(store, &together).await;
    match kept {
        Ok(kept) if kept.len() == together.len() => {
            for (one, stored) in together.into_iter().zip(kept) {
                // A caller who has gone away does not want to know.
                one.tell.send(Ok(stored)).unwrap_or_default();
            }
        }
        // One that can't be kept must not keep the others from it.
        Err(error) if together.len() > 1 && !is_away(&error) => {
            for one in together {
                let alone = [one];
                let kept = statement(store, &alone).await;
                let [one] = alone;
                let stored =
                    kept.map(|kept| kept.first().copied().unwrap_or(Stored::UnknownSession));
                one.tell.send(stored).unwrap_or_default();
            }
        }
        failed => {
            let mut error = failed.err();
            for one in together {
                let told = error.take().unwrap_or(StoreError::Unavailable { source: None });
                one.tell.send(Err(told)).unwrap_or_default();
            }
        }
    }
}

fn is_away(error: &StoreError) -> bool {
    error.recovery() == crate::store::Recovery::RetryLater
}

async fn statement(store: &Store, together: &[Waiting]) -> Result<Vec<Stored>, StoreError> {
    let memories: Vec<_> = together.iter().map(|one| (&one.session, &one.memory)).collect();
    memories::store(&store.client().await?, &memories).await
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::session::MemoryType;

    fn waiting(session: &str, key: &str, content: i64) -> Waiting {
        let memory = NewMemory {
            key: key.parse().unwrap(),
            kind: MemoryType::Note,
            content: Value::from(content),
            tags: Vec::new(),
            at: None,
        };
        Waiting { session: session.parse().unwrap(), memory, tell: oneshot::channel().0 }
    }

    fn contents(together: &[Waiting]) -> Vec<i64> {
        together.iter().map(|one| one.memory.content.as_i64().unwrap()).collect()
    }

    fn keys(together: &[Waiting]) -> Vec<Key> {
        together.iter().map(Waiting::key).collect()
    }

    #[test]
    fn two_of_a_key_are_never_under_way_at_once_and_stay_in_their_order() {
        let given = [("a", "k", 1), ("a", "k", 2), ("b", "k", 3), ("a", "k", 4)];
        let waiting = given.map(|(session, key, content)| waiting(session, key, content));
        let mut line = Line { waiting: waiting.into(), ..Line::default() };
        let first = line.next(0).unwrap();
        assert_eq!(contents(&first), [1, 3]);
        assert!(line.next(0).is_none(), "the others have to wait for it");
        line.over(&keys(&first));
        let second = line.next(0).unwrap();
        assert_eq!(contents(&second), [2]);
        line.over(&keys(&second));
        assert_eq!(contents(&line.next(0).unwrap()), [4]);
    }

    #[test]
    fn one_that_has_to_wait_lets_nobody_of_its_key_pass() {
        let many = (0..20).map(|nth| waiting("s", &format!("k{nth}"), nth));
        let mut line = Line { waiting: many.collect(), ..Line::default() };
        // Of the same key as one that is not taken now, for there are too many.
        line.waiting.push_back(waiting("s", "k19", 20));
        let first = line.next(0).unwrap();
        assert_eq!(contents(&first), (0..11).collect::<Vec<_>>());
        let second = line.next(1).unwrap();
        assert_eq!(contents(&second), (11..20).collect::<Vec<_>>());
        assert!(line.next(1).is_none());
    }

    #[test]
    fn a_statement_has_a_bound_and_runs_beside_another_where_many_wait() {
        let many = |count: i64| (0..count).map(|nth| waiting("s", &format!("k{nth}"), nth));
        let mut line = Line { waiting: many(600).collect(), ..Line::default() };
        let first = line.next(0).unwrap();
        let second = line.next(1).unwrap();
        assert_eq!((first.len(), second.len()), (TOGETHER, TOGETHER));
        assert!(line.next(2).is_none(), "no third");
        line.over(&keys(&first));
        assert_eq!(line.next(1).unwrap().len(), 88);
        let mut line = Line { waiting: many(3).collect(), ..Line::default() };
        assert_eq!(line.next(0).unwrap().len(), 3);
        line.waiting.extend((10..12).map(|nth| waiting("s", &format!("k{nth}"), nth)));
        assert!(line.next(1).is_none(), "so few go with the next");
    }
}
