//! Deleting what is over its term, in small batches, and archiving it before.
//!
//! # Overview
//!
//! A [`Sweep`] says where to look; [`Retention::step`] looks there, writes what it found into an
//! archive where one is wanted, and deletes it in a short transaction. The leader does so as a
//! [duty](mod@duty), a person by `hostler db prune`.
//!
//! # Guarantees
//!
//! - What is deleted has ended, its term is over, and nobody needs it as of the moment in which its
//!   row is locked (`hostler.is_needed`). What somebody else has in hand is left for another time.
//! - Claims, settles and submits wait for none of it. Only who comes to depend on a task, or tries one
//!   again, that is being deleted at that moment waits until it is gone.
//! - Nothing is deleted that is not on disk in an archive, where one is wanted.
//! - The leader's deletions are fenced by its term. By hand there is no fence, and need be none: two
//!   who delete at once share the work.
//!
//! - What is archived is put together, and deleted by a term of its own, by the leader alone.
//!
//! # Failures
//!
//! An archive that can't be written stops everything but the deletion of old rows of the feed, until
//! it can. A crash between an archive and its deletion leaves the tasks, which are archived again.

pub mod duty;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::archive::{self, ArchiveError, Tidied};
use crate::{
    domain::{
        PlanRunId,
        history::{Counts, Keep, Kind, Look, Sweep, Terms, Went},
        leadership::Term,
    },
    settings,
    store::{
        Store, StoreError,
        history::{self, Due, Most, Shortened},
        leader,
    },
};

/// How much is deleted in one transaction. It takes some tens of milliseconds; an archive of it fits
/// into memory.
const MOST: Most = Most { count: 1_000, bytes: 4 << 20 };
/// How long a look or a deletion may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The archive. Nothing was deleted.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// The leader of this term.
    Leader(Term),
    /// Somebody by hand.
    Hand,
    /// Nobody: it is only counted.
    Nobody,
}

/// What deletes, and what it goes by.
#[derive(Clone)]
pub struct Retention {
    store: Store,
    terms: Terms,
    archive: Option<Arc<PathBuf>>,
    archive_keep: Keep,
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { terms, archive, archive_keep, .. } = self;
        f.debug_struct("Retention")
            .field("terms", terms)
            .field("archive", archive)
            .field("archive_keep", archive_keep)
            .finish_non_exhaustive()
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many were deleted (or would be).
    Went(Counts),
    /// The leader's term is over; nothing was deleted.
    TermOver,
    /// There is nothing left to look at.
    Done,
}

impl Retention {
    /// With the settings of `[history]`.
    pub fn new(store: Store, history: &settings::History) -> Self {
        Self {
            store,
            terms: history.terms,
            archive: history.archive.clone().map(Arc::new),
            archive_keep: history.archive_keep,
        }
    }

    /// A new way through everything.
    ///
    /// # Errors
    ///
    /// As [`Store::within`].
    pub async fn sweep(&self) -> Result<Sweep, StoreError> {
        let lanes = self.store.within(LIMIT, async |db| history::lanes(db).await).await?;
        Ok(Sweep::new(&self.terms, lanes))
    }

    /// Looks where `sweep` says, deletes what it finds there, and notes how far that went.
    ///
    /// # Errors
    ///
    /// [`RetentionError`]. The same step can be made again.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, what was found may be archived, deleted, or both, but never
    /// deleted alone.
    pub async fn step(&self, sweep: &mut Sweep, right: Right) -> Result<Step, RetentionError> {
        let Some(look) = sweep.next() else { return Ok(Step::Done) };
        let (due, went) = match look {
            Look::Feed { term } => {
                let Some(rows) = self.delete_feed(term, right).await? else {
                    return Ok(Step::TermOver);
                };
                let full = rows >= u64::from(MOST.count);
                sweep.looked(if full { Went::On } else { Went::ToTheEnd });
                return Ok(Step::Went(Counts::of(Kind::Feed, rows)));
            }
            Look::Plans { term, after } => {
                let Some((went, counts)) = self.delete_plan(term, after, right).await? else {
                    return Ok(Step::TermOver);
                };
                sweep.looked(went);
                return Ok(Step::Went(counts));
            }
            Look::Log { term, lane, after } => {
                let look = async |db: &_| history::log_ended(db, term, lane, after, MOST).await;
                let (due, next) = self.store.within(LIMIT, look).await?;
                (due, next.map_or(Went::ToTheEnd, Went::AfterNumber))
            }
            Look::Tasks { kind, term, after } => {
                let look = async |db: &_| history::ended(db, kind, term, after, MOST).await;
                let (due, next) = self.store.within(LIMIT, look).await?;
                (due, next.map_or(Went::ToTheEnd, Went::AfterTask))
            }
        };
        let counts = match right {
            Right::Nobody => Some(due.counts()),
            _ if due.is_empty() => Some(Counts::default()),
            _ => {
                self.write(&due, right).await?;
                self.delete(&due, right).await?
            }
        };
        let Some(counts) = counts else { return Ok(Step::TermOver) };
        sweep.looked(went);
        Ok(Step::Went(counts))
    }

    /// Archives it, where that is wanted.
    async fn write(&self, due: &Due, right: Right) -> Result<(), RetentionError> {
        let Some(dir) = self.archive.clone() else { return Ok(()) };
        let look = async |db: &_| history::records(db, due).await;
        let records = self.store.within(LIMIT, look).await?;
        if records.is_empty() {
            return Ok(());
        }
        let term = match right {
            Right::Leader(term) => Some(term),
            Right::Hand | Right::Nobody => None,
        };
        let write = move |dir: &Path| archive::write(dir, Timestamp::now(), term, &records);
        on_disk(dir, write).await?;
        Ok(())
    }

    /// Puts the small archives of days that are over together, and deletes those that are over their
    /// term. Nothing, where there are none.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]; the next time goes on from there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, it goes on.
    pub async fn tidy(&self) -> Result<Tidied, ArchiveError> {
        let Some(dir) = self.archive.clone() else { return Ok(Tidied::default()) };
        let keep = self.archive_keep;
        on_disk(dir, move |dir| archive::tidy(dir, keep, Timestamp::now())).await
    }

    /// Deletes it; nothing if the leader's term is over.
    async fn delete(&self, due: &Due, right: Right) -> Result<Option<Counts>, StoreError> {
        let delete = async |db: &deadpool_postgres::Transaction<'_>| history::delete(db, due).await;
        match right {
            Right::Leader(term) => leader::within(&self.store, term, LIMIT, delete).await,
            Right::Hand => self.store.transact_within(LIMIT, delete).await.map(Some),
            Right::Nobody => Ok(Some(due.counts())),
        }
    }

    /// Deletes of the next run of a plan whose term is over, a batch at a time; nothing if the leader's term
    /// is over.
    async fn delete_plan(
        &self,
        term: Duration,
        after: PlanRunId,
        right: Right,
    ) -> Result<Option<(Went, Counts)>, StoreError> {
        let look = async |db: &_| history::run_ended(db, term, after).await;
        let Some(run) = self.store.within(LIMIT, look).await? else {
            return Ok(Some((Went::ToTheEnd, Counts::default())));
        };
        let delete = async |db: &deadpool_postgres::Transaction<'_>| {
            history::delete_run(db, run, MOST.count).await
        };
        let done = match right {
            Right::Leader(leader) => leader::within(&self.store, leader, LIMIT, delete).await?,
            Right::Hand => Some(self.store.transact_within(LIMIT, delete).await?),
            Right::Nobody => Some(Shortened::Gone),
        };
        Ok(done.map(|done| match done {
            Shortened::More => (Went::On, Counts::default()),
            Shortened::Gone => (Went::AfterRun(run), Counts::of(Kind::Plans, 1)),
            Shortened::Kept => (Went::AfterRun(run), Counts::default()),
        }))
    }

    async fn delete_feed(&self, term: Duration, right: Right) -> Result<Option<u64>, StoreError> {
        let delete = async |db: &deadpool_postgres::Transaction<'_>| {
            history::delete_feed(db, term, MOST.count).await
        };
        match right {
            Right::Leader(leader) => leader::within(&self.store, leader, LIMIT, delete).await,
            Right::Hand => self.store.transact_within(LIMIT, delete).await.map(Some),
            Right::Nobody => Ok(Some(0)),
        }
    }
}

/// Works on the directory of the archives, on a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(
    dir: Arc<PathBuf>,
    work: impl FnOnce(&Path) -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let path = dir.clone();
    let done = tokio::task::spawn_blocking(move || work(&dir)).await;
    done.map_err(|error| ArchiveError {
        action: "write to",
        path: path.to_path_buf(),
        source: std::io::Error::other(error),
    })?
}
