//! What a duty is, and what it is given.

use std::{fmt, rc::Rc, time::Duration};

use deadpool_postgres::Transaction;
use futures_util::future::LocalBoxFuture;

use crate::{
    domain::{
        QueueName, TaskId,
        audit::Outcome,
        leadership::{Matter, Term},
        task::TaskState,
    },
    store::{Store, StoreError, leader},
};

/// What a run of a duty came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// The queues that got work: idle agents of all hosts are woken for them.
    pub woken: Vec<QueueName>,
    /// Run again after this time, if that is sooner than the interval: zero where a batch was full.
    pub again_in: Option<Duration>,
}

/// Hears which tasks have ended, and how, without an attempt of this host.
pub type OnEnd = Rc<dyn Fn(Vec<(TaskId, TaskState)>)>;

/// Hears what a schedule or a plan did by itself: who it was, what it did, about what, and whether that
/// was done.
pub type OnDeed = Rc<dyn Fn(String, &str, String, Outcome)>;

type Work = dyn Fn(Leading) -> LocalBoxFuture<'static, Result<Done, StoreError>>;

/// Something that one host among all does again and again.
#[derive(Clone)]
pub struct Duty {
    /// Its name in the log.
    pub(super) name: &'static str,
    pub(super) every: Duration,
    /// What it is run for whenever the database says that it is time for that.
    pub(super) matter: Option<Matter>,
    pub(super) work: Rc<Work>,
}

impl Duty {
    /// A duty that is run when a host begins to lead, at once if it is not a rare one, and then after every `every`.
    ///
    /// A run is dropped at any await when the host stops leading, so `work` does what belongs
    /// together in one statement or one transaction.
    pub fn new<F>(
        name: &'static str,
        every: Duration,
        work: impl Fn(Leading) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Done, StoreError>> + 'static,
    {
        Self { name, every, matter: None, work: Rc::new(move |leading| Box::pin(work(leading))) }
    }

    /// Run it for `matter`, too, which is asked for with every beat.
    #[must_use]
    pub const fn on(mut self, matter: Matter) -> Self {
        self.matter = Some(matter);
        self
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duty").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The leader at work: what a run of a duty is given.
#[derive(Clone)]
pub struct Leading {
    pub(super) store: Store,
    pub(super) term: Term,
}

impl Leading {
    /// The store, for statements that do no harm when two hosts send them at once. Bound them with
    /// [`Store::within`].
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The term of this leader.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Does `work` in one transaction that counts only while this term lasts, and takes no longer
    /// than `limit`: the next leader waits for it. It must not rest between two statements. `None`
    /// if the term is over; nothing was done.
    ///
    /// # Errors
    ///
    /// As [`Store::within`].
    pub async fn fenced<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        leader::within(&self.store, self.term, limit, work).await
    }
}

impl fmt::Debug for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leading").field("term", &self.term).finish_non_exhaustive()
    }
}
