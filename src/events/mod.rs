//! Telling of what becomes of tasks: an actor that wakes who waits for one to end, and in
//! [`feed`] the reader that tells subscribers of everything.
//!
//! # Guarantees
//!
//! A change is published only after its transaction committed, so nobody hears of a result that a
//! crash could take back. Hearing is best effort: what ended on another host is not published
//! here, so whoever waits looks at the store again from time to time.
//!
//! # Failures
//!
//! If the actor is gone, waiters are woken at once and look for themselves.

pub mod feed;

use std::{collections::HashMap, sync::Arc};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

use crate::domain::{TaskId, task::TaskState};

/// How many waiters are held before those whose request has gone away are swept out.
const SWEEP_AT: usize = 1024;

/// The others' side of the actor.
#[derive(Clone, Debug)]
pub struct EventsHandle {
    actor: Addr<EventsActor>,
    news: Arc<watch::Sender<u64>>,
}

impl EventsHandle {
    /// Starts the actor in the current arbiter.
    pub fn start() -> Self {
        let actor = EventsActor::default().start();
        Self { actor, news: Arc::new(watch::channel(0).0) }
    }

    /// Changes whenever something was published: there is something new in the feed.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Tells that tasks came to these states; the states are committed.
    pub fn publish(&self, changes: Vec<(TaskId, TaskState)>) {
        // A report that must not be lost: a waiter would sleep until its next look.
        self.actor.do_send(Publish(changes));
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Resolves when `task` has come to a final state (or the actor is gone). Call it *before*
    /// looking at the task, so that no end falls in between.
    pub async fn ended(&self, task: TaskId) -> Ended {
        let (tell, told) = oneshot::channel();
        // An unreachable actor drops `tell`, which wakes the waiter: it looks for itself.
        let known = self.actor.send(Await { task, tell }).await;
        Ended { told: known.ok().map(|()| told) }
    }
}

/// A wait for one task; see [`EventsHandle::ended`].
#[derive(Debug)]
pub struct Ended {
    told: Option<oneshot::Receiver<()>>,
}

impl Ended {
    /// Waits. Cancel safe.
    pub async fn wait(self) {
        if let Some(told) = self.told {
            // An error means that the actor is gone, which is as good a reason to look.
            told.await.unwrap_or_default();
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Publish(Vec<(TaskId, TaskState)>);

#[derive(Message)]
#[rtype(result = "()")]
struct Await {
    task: TaskId,
    tell: oneshot::Sender<()>,
}

#[derive(Default)]
struct EventsActor {
    waiting: HashMap<TaskId, Vec<oneshot::Sender<()>>>,
    sweep_at: usize,
}

impl Actor for EventsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
        self.sweep_at = SWEEP_AT;
    }
}

impl Handler<Publish> for EventsActor {
    type Result = ();

    fn handle(&mut self, Publish(changes): Publish, _: &mut Self::Context) {
        for (task, state) in changes {
            if state.is_final() {
                for tell in self.waiting.remove(&task).into_iter().flatten() {
                    // A waiter that has gone away needs no word.
                    tell.send(()).unwrap_or_default();
                }
            }
        }
    }
}

impl Handler<Await> for EventsActor {
    type Result = ();

    fn handle(&mut self, Await { task, tell }: Await, _: &mut Self::Context) {
        self.waiting.entry(task).or_default().push(tell);
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|_, tells| {
                tells.retain(|tell| !tell.is_closed());
                !tells.is_empty()
            });
            self.sweep_at = SWEEP_AT.max(self.waiting.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[actix::test]
    async fn a_waiter_hears_of_the_end_of_its_task_alone() {
        let events = EventsHandle::start();
        let (mine, other) =
            (TaskId::from_uuid(Uuid::from_u128(1)), TaskId::from_uuid(Uuid::from_u128(2)));
        let told = events.ended(mine).await;
        let mut wait = std::pin::pin!(told.wait());
        events.publish(vec![(other, TaskState::Completed), (mine, TaskState::Running)]);
        // The actor answers in order, so by now it has seen what was published.
        drop(events.ended(other).await);
        assert!(futures_util::poll!(&mut wait).is_pending());
        events.publish(vec![(mine, TaskState::Failed)]);
        wait.await;
    }

    #[actix::test]
    async fn waiters_that_went_away_do_not_pile_up() {
        let mut actor = EventsActor { sweep_at: 4, ..EventsActor::default() };
        let mut ctx = Context::new();
        for number in 0..100 {
            let (tell, told) = oneshot::channel();
            drop(told);
            let task = TaskId::from_uuid(Uuid::from_u128(number));
            actor.handle(Await { task, tell }, &mut ctx);
        }
        assert!(actor.waiting.len() < SWEEP_AT, "{}", actor.waiting.len());
    }
}
