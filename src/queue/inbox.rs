//! Where submits of plain tasks wait for the actor.
//!
//! Those that submit are served by several threads, and most of what they bring comes while a batch is under
//! way: the actor looks here when that is done. So they wake it only where it rests, or waits for so many.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    domain::record::Submitted,
    store::{StoreError, log::Ready},
};

/// Tells whoever submits what became of each task; what there was of the tasks goes back with it, to be freed
/// by the thread that made it.
pub(super) type Tell = oneshot::Sender<Result<(Vec<Submitted>, Vec<Ready>), StoreError>>;

/// One submit that waits.
pub(super) struct Request {
    pub(super) tasks: Vec<Ready>,
    pub(super) tell: Tell,
}

/// What came of leaving a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The actor does not know, and must be told.
    Untold,
    /// The actor looks by itself.
    Awaited,
    /// There is no actor any more; nobody will answer.
    Closed,
}

/// Which submits the actor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// None, while fewer than these wait.
    pub(super) least: usize,
    /// No more than these.
    pub(super) most: usize,
    /// No more than with so many tasks together.
    pub(super) tasks: usize,
    /// But for one that is larger by itself.
    pub(super) larger: bool,
}

/// The submits that wait. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Mutex<Inner>>);

struct Inner {
    waiting: VecDeque<Request>,
    /// The actor is told once so many wait; it looks by itself where this is nothing.
    tell_at: Option<usize>,
    closed: bool,
}

impl Default for Inner {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), tell_at: Some(1), closed: false }
    }
}

impl Inbox {
    /// Leaves a submit behind the others.
    pub(super) fn leave(&self, request: Request) -> Left {
        let mut inner = self.lock();
        if inner.closed {
            return Left::Closed;
        }
        inner.waiting.push_back(request);
        let waiting = inner.waiting.len();
        match inner.tell_at.take_if(|least| waiting >= *least) {
            Some(_) => Left::Untold,
            None => Left::Awaited,
        }
    }

    /// Puts submits back before the others, in their order.
    pub(super) fn put_back(&self, requests: Vec<Request>) {
        let mut inner = self.lock();
        requests.into_iter().rev().for_each(|request| inner.waiting.push_front(request));
    }

    /// Takes the submits that go next. If there are not enough, whoever leaves the last one that is lacking must tell
    /// the actor.
    pub(super) fn take(&self, wanted: &Wanted) -> Option<Vec<Request>> {
        let mut inner = self.lock();
        inner.tell_at = None;
        if inner.waiting.len() < wanted.least {
            inner.tell_at = Some(wanted.least);
            return None;
        }
        let (mut tasks, mut requests) = (0, 0);
        for request in inner.waiting.iter().take(wanted.most) {
            let is_larger = wanted.larger && requests == 0;
            if tasks + request.tasks.len() > wanted.tasks && !is_larger {
                break;
            }
            (tasks, requests) = (tasks + request.tasks.len(), requests + 1);
        }
        (requests > 0).then(|| inner.waiting.drain(..requests).collect())
    }

    /// Nobody takes of it any more: whoever waits hears that there is no answer.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        TaskId,
        task::{NewTask, Terms},
    };

    type Told = oneshot::Receiver<Result<(Vec<Submitted>, Vec<Ready>), StoreError>>;

    fn request(count: usize) -> (Request, Told) {
        let task = || NewTask {
            id: TaskId::from_uuid(Uuid::now_v7()),
            queue: "default".parse().unwrap(),
            kind: "default".to_owned(),
            input: Value::Null,
            priority: 0,
            run_at: None,
            max_attempts: 1,
            timeout: None,
            idempotency_key: None,
            terms: Terms::default(),
        };
        let (tell, told) = oneshot::channel();
        let tasks = Ready::all((0..count).map(|_| task()).collect()).unwrap();
        (Request { tasks, tell }, told)
    }

    fn counts(requests: Option<Vec<Request>>) -> Vec<usize> {
        requests.into_iter().flatten().map(|request| request.tasks.len()).collect()
    }

    const ANY: Wanted = Wanted { least: 1, most: 9, tasks: 9, larger: true };

    #[test]
    fn the_actor_is_told_where_it_rests_and_not_where_it_looks_by_itself() {
        let inbox = Inbox::default();
        assert_eq!(inbox.leave(request(1).0), Left::Untold);
        assert_eq!(inbox.leave(request(2).0), Left::Awaited, "it has been told");
        assert_eq!(counts(inbox.take(&ANY)), [1, 2]);
        assert_eq!(inbox.leave(request(3).0), Left::Awaited, "it is at work on a batch");
        assert_eq!(counts(inbox.take(&ANY)), [3]);
        assert_eq!(counts(inbox.take(&ANY)), [0; 0]);
        assert_eq!(inbox.leave(request(4).0), Left::Untold, "it found nothing");
    }

    #[test]
    fn the_actor_is_told_once_as_many_wait_as_it_wants() {
        let (inbox, three) = (Inbox::default(), Wanted { least: 3, ..ANY });
        assert_eq!(counts(inbox.take(&three)), [0; 0]);
        assert_eq!([(); 2].map(|()| inbox.leave(request(1).0)), [Left::Awaited; 2]);
        assert_eq!(inbox.leave(request(1).0), Left::Untold);
        assert_eq!(inbox.leave(request(1).0), Left::Awaited, "once");
        assert_eq!(counts(inbox.take(&three)), [1; 4]);
    }

    #[test]
    fn what_goes_together_is_bounded_but_for_one() {
        let (inbox, some) = (Inbox::default(), Wanted { tasks: 5, ..ANY });
        for count in [7, 2, 3, 1] {
            inbox.leave(request(count).0);
        }
        assert_eq!(counts(inbox.take(&Wanted { larger: false, ..some })), [0; 0]);
        assert_eq!(counts(inbox.take(&some)), [7], "too many, but alone");
        assert_eq!(counts(inbox.take(&some)), [2, 3]);
        inbox.put_back(vec![request(2).0, request(3).0]);
        let one = Wanted { most: 1, ..some };
        assert_eq!(counts(inbox.take(&one)), [2], "before the others, and one by one");
        assert_eq!(counts(inbox.take(&some)), [3, 1]);
    }

    #[test]
    fn nobody_waits_for_an_actor_that_is_gone() {
        let inbox = Inbox::default();
        let (waiting, mut told) = request(1);
        inbox.leave(waiting);
        inbox.close();
        assert!(told.try_recv().is_err());
        assert_eq!(inbox.leave(request(1).0), Left::Closed);
    }
}
