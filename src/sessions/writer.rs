//! The writer of memories: a statement keeps many at once.
//!
//! A memory alone is written at once. While a statement runs, others gather, and go together with the next:
//! the more callers there are, the fewer commits each needs. Two of the same key are never in one statement;
//! they are kept in the order in which they came.
//!
//! Each thread that answers callers has a writer of its own, so that nobody is woken across threads for a
//! memory, and one statement runs while the answers to another go out.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};

use super::SessionError;
use crate::{
    domain::session::{NewMemory, SessionId},
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
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match arrived.recv().await {
                Some(one) => waiting.push_back(one),
                None => return,
            }
        }
        // Those whose requests were read come first to hand theirs in, and then those whose requests are there.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        // What has come meanwhile goes together.
        while waiting.len() < ROOM
            && let Ok(more) = arrived.try_recv()
        {
            waiting.push_back(more);
        }
        let together = next(&mut waiting);
        metrics.memories_written(together.len());
        write_down(&store, together).await;
    }
}

/// Takes the next that go together: the first of each key, in their order.
fn next(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut keys = HashSet::new();
    let (mut together, mut rest) = (Vec::new(), VecDeque::new());
    for one in waiting.drain(..) {
        let is_new = keys.insert((one.session.clone(), one.memory.key.clone()));
        if is_new && together.len() < TOGETHER {
            together.push(one);
        } else {
            // Whoever comes after it with the same key waits as well.
            rest.push_back(one);
        }
    }
    *waiting = rest;
    together
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

    #[test]
    fn two_of_a_key_are_never_in_one_statement_and_stay_in_their_order() {
        let given = [("a", "k", 1), ("a", "k", 2), ("b", "k", 3), ("a", "k", 4)];
        let mut line = given.map(|(session, key, content)| waiting(session, key, content)).into();
        assert_eq!(contents(&next(&mut line)), [1, 3]);
        assert_eq!(contents(&next(&mut line)), [2]);
        assert_eq!(contents(&next(&mut line)), [4]);
        assert!(line.is_empty());
    }

    #[test]
    fn a_statement_has_a_bound_and_lets_nobody_of_a_key_pass() {
        let many = (0..).take(TOGETHER + 2);
        let mut line: VecDeque<_> = many.map(|nth| waiting("s", &format!("k{nth}"), nth)).collect();
        // Of the same key as one that is not taken now, for there are too many.
        line.push_back(waiting("s", &format!("k{TOGETHER}"), 1_000));
        assert_eq!(next(&mut line).len(), TOGETHER);
        let first = i64::try_from(TOGETHER).unwrap();
        assert_eq!(contents(&next(&mut line)), [first, first + 1]);
        assert_eq!(contents(&next(&mut line)), [1_000]);
    }
}
