//! The writer of memories: one statement keeps all that have arrived while the last one ran.
//!
//! A memory alone is written at once. While a statement runs, others gather, and go with the next: so the
//! more callers there are, the fewer commits each needs. Two of the same key never go together; they are
//! kept in the order in which they came.

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
    let mut later = VecDeque::new();
    loop {
        if later.is_empty() {
            let Some(first) = arrived.recv().await else { return };
            later.push_back(first);
        }
        while later.len() < ROOM
            && let Ok(more) = arrived.try_recv()
        {
            later.push_back(more);
        }
        let together = take(&mut later);
        metrics.memories_written(together.len());
        keep(&store, together).await;
    }
}

/// The next that go together: the first of each key, in their order.
fn take(later: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut keys = HashSet::new();
    let (mut together, mut rest) = (Vec::new(), VecDeque::new());
    for one in later.drain(..) {
        let is_first = keys.insert((one.session.clone(), one.memory.key.clone()));
        if is_first && together.len() < TOGETHER {
            together.push(one);
        } else {
            rest.push_back(one);
        }
    }
    *later = rest;
    together
}

async fn keep(store: &Store, together: Vec<Waiting>) {
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

    #[test]
    fn two_of_a_key_never_go_together_and_stay_in_their_order() {
        let mut later: VecDeque<_> = [("a", "k", 1), ("a", "k", 2), ("b", "k", 3), ("a", "k", 4)]
            .into_iter()
            .map(|(session, key, content)| waiting(session, key, content))
            .collect();
        let mut rounds = Vec::new();
        while !later.is_empty() {
            let contents: Vec<_> =
                take(&mut later).iter().map(|one| one.memory.content.as_i64().unwrap()).collect();
            rounds.push(contents);
        }
        assert_eq!(rounds, [vec![1, 3], vec![2], vec![4]]);
    }

    #[test]
    fn a_statement_has_a_bound() {
        let mut later: VecDeque<_> =
            (0..600).map(|nth| waiting("s", &format!("k{nth}"), nth)).collect();
        let sizes: Vec<_> =
            std::iter::from_fn(|| (!later.is_empty()).then(|| take(&mut later).len())).collect();
        assert_eq!(sizes, [256, 256, 88]);
    }
}
