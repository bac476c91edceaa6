//! Workspaces: each attempt that is to have one gets a git worktree of its own.
//!
//! # Overview
//!
//! [`Workspaces::prepare`] makes the worktree before the agent gets its task, [`Workspaces::close`] commits
//! what the agent left once the attempt has ended, and [`Workspaces::prune`] removes what nothing speaks for.
//! What is decided is in [`crate::domain::workspace`]. The program `git` does the work: with explicit arguments,
//! without hooks and prompts, for a bounded time.
//!
//! Each workspace is `<data>/workspaces/<task>/<attempt>/`: `tree` is the worktree, and `record.json` what is
//! known of it, so that a host which comes after this one goes on with it. [`Journal`] keeps a copy with
//! the attempt.
//!
//! # Guarantees
//!
//! - What a person has checked out is never touched: all is done in worktrees of our own.
//! - Nothing that an agent left is lost: it is committed, also when the attempt failed, and a worktree is
//!   removed only if nothing in it is uncommitted, unmerged, locked or alive.
//! - What changes the list of worktrees or the branches of a repository is done by one at a time, also where
//!   several hosts of a machine use it.
//!
//! # Failures
//!
//! Where no worktree can be made the attempt fails, and the agent goes on with the next task; where there is
//! no room the task is put off. Where what an agent left can't be committed, the attempt fails with the path,
//! and everything stays where it is.

mod close;
mod disk;
mod error;
mod git;
mod locks;
mod merge;
mod prune;
mod turns;
mod worktree;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use slog::{Logger, info, warn};
use tokio::sync::Notify;

pub use error::WorkspaceError;
pub use turns::{ResolveError, Turned, Waiting};

use crate::{
    domain::{
        Attempt, TaskId,
        fleet::Fleet,
        glob::Glob,
        task::Assignment,
        workspace::{Conflict, Facts, Place, WorkspaceRecord, WorkspaceSpec, branch_name},
    },
    settings::{OutOfBounds, Within, Workplace},
};
use git::Git;
use locks::{Held, Locks};

/// How long waiting for a repository may take: a few commands of others.
const HOLD: Duration = Duration::from_secs(60);

/// The name of the file that says what is known.
const RECORD: &str = "record.json";

/// Which attempt.
type Key = (TaskId, Attempt);

/// Where what is known of workspaces is kept with their attempts.
pub trait Journal: Send + Sync {
    /// The globs of the files that the task said it would write.
    fn declared(&self, task: TaskId) -> BoxFuture<'static, Result<Vec<Glob>, String>>;

    /// Writes down what is known of a workspace.
    fn write(&self, record: WorkspaceRecord) -> BoxFuture<'static, Result<(), String>>;

    /// Makes the task of a person who resolves what could not be merged; returns its id.
    fn for_person(
        &self,
        record: WorkspaceRecord,
        conflict: Conflict,
    ) -> BoxFuture<'static, Result<TaskId, String>>;
}

/// How workspaces are made.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How much they may take on the disk, in bytes.
    pub max_disk: Option<u64>,
    /// How long one command of git may take.
    pub git_timeout: Duration,
    /// The directories in and below which repositories may be; anywhere if there are none.
    pub roots: Vec<PathBuf>,
}

/// The workspaces of a host. Cheap to clone.
#[derive(Clone)]
pub struct Workspaces(Arc<Inner>);

struct Inner {
    root: PathBuf,
    bounds: Bounds,
    git: Git,
    locks: Locks,
    journal: Box<dyn Journal>,
    log: Logger,
    records: Mutex<BTreeMap<Key, WorkspaceRecord>>,
    /// Those that are being closed: each is closed once, whoever wants it.
    closing: Mutex<BTreeSet<Key>>,
    /// Rung whenever one begins to wait for its turn.
    turns: Notify,
}

impl Workspaces {
    /// The workspaces in `root`, with what a host before this left there. Blocks.
    pub fn open(root: PathBuf, bounds: Bounds, journal: Box<dyn Journal>, log: Logger) -> Self {
        let mut records = BTreeMap::new();
        for task in fs::read_dir(&root).into_iter().flatten().flatten() {
            for attempt in fs::read_dir(task.path()).into_iter().flatten().flatten() {
                let path = attempt.path().join(RECORD);
                let read = fs::read(&path).and_then(|text| {
                    serde_json::from_slice::<WorkspaceRecord>(&text).map_err(io::Error::other)
                });
                match read {
                    Ok(record) if record.removed_at.is_none() => {
                        records.insert((record.task, record.attempt), record);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        warn!(log, "a workspace's record can't be read: it stays as it is";
                        "path" => %path.display(), "error" => %error)
                    }
                }
            }
        }
        let git = Git { limit: bounds.git_timeout };
        let (locks, records) = (Locks::default(), Mutex::new(records));
        let (closing, turns) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { root, bounds, git, locks, journal, log, records, closing, turns }))
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Key, WorkspaceRecord>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that attempt is under way in a workspace.
    pub fn is_open(&self, task: TaskId, attempt: Attempt) -> bool {
        self.records().get(&(task, attempt)).is_some_and(WorkspaceRecord::is_open)
    }

    /// Makes the workspace of an attempt that is to have one.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`]; nothing is left then.
    pub async fn prepare(
        &self,
        fleet: &Fleet,
        assignment: &Assignment,
    ) -> Result<Option<Place>, WorkspaceError> {
        let Some(spec) = WorkspaceSpec::of(fleet, assignment) else { return Ok(None) };
        if fleet.user.as_deref().is_some_and(is_another) {
            return Err(WorkspaceError::OtherUser);
        }
        let spec = &WorkspaceSpec { git: self.repository(&spec.git).await?, ..spec.clone() };
        let branch = branch_name(&spec.branch, &Facts::of(assignment))?;
        self.make_room().await?;
        let dir = self.dir((assignment.task, assignment.attempt));
        let made = dir.clone();
        blocking(move || make_dir(&made))
            .await
            .map_err(|source| WorkspaceError::Files { path: dir.clone(), source })?;
        let conflict = self.left_to_resolve(assignment).or_else(|| spec.conflict.clone());
        let place = match self.add(spec, &branch, conflict.as_ref(), &dir.join("tree")).await {
            Ok(place) => place,
            Err(error) => {
                // Empty, unless git has left something: then it stays for people to see.
                fs::remove_dir(&dir).unwrap_or_default();
                return Err(error);
            }
        };
        let bytes = self.used(&place.path).await;
        let record = WorkspaceRecord {
            task: assignment.task,
            attempt: assignment.attempt,
            agent: assignment.agent.clone(),
            git: spec.git.clone(),
            place: place.clone(),
            commit: None,
            left_over: false,
            files: Vec::new(),
            changed: 0,
            outside: Vec::new(),
            outside_count: 0,
            into: spec.into.clone(),
            merge: spec.merge,
            on_conflict: spec.on_conflict,
            turn: spec.turn,
            waiting: false,
            stuck: None,
            writes: spec.writes.clone(),
            merged: None,
            unresolved: place.conflict.clone(),
            problem: None,
            bytes,
            created_at: Timestamp::now(),
            ended_at: None,
            removed_at: None,
        };
        info!(self.0.log, "workspace made"; "task" => %record.task, "attempt" => record.attempt.0,
            "path" => %place.path.display(), "to" => &place.branch);
        self.keep(record).await?;
        Ok(Some(place))
    }

    /// The repository that is meant, with all links followed where it must be below a root.
    async fn repository(&self, git: &Path) -> Result<PathBuf, WorkspaceError> {
        if self.0.bounds.roots.is_empty() {
            return Ok(git.to_owned());
        }
        let (path, roots) = (git.to_owned(), self.0.bounds.roots.clone());
        let open = move || Workplace::open(&path, Within::of(&roots));
        let opened = tokio::task::spawn_blocking(open).await.map_err(io::Error::other);
        match opened.map_err(OutOfBounds::Unusable).and_then(|opened| opened) {
            Ok(place) => Ok(place.path().to_owned()),
            Err(source) => Err(WorkspaceError::OutOfBounds { git: git.to_owned(), source }),
        }
    }

    /// Makes the worktree at `tree`, of the newest that there is to begin at.
    async fn add(
        &self,
        spec: &WorkspaceSpec,
        branch: &str,
        conflict: Option<&Conflict>,
        tree: &Path,
    ) -> Result<Place, WorkspaceError> {
        let git = &self.0.git;
        let _held = self.hold(&spec.git).await?;
        let mut base = &spec.base;
        if let Some(into) = &spec.into {
            let is_there = worktree::has_branch(git, &spec.git, into).await?;
            // Work that could not be merged in the end is not begun; what has a turn waits for it.
            if !spec.merge.is_leave() && spec.turn.is_none() {
                if !is_there && into == base {
                    return Err(WorkspaceError::NoBranch {
                        git: spec.git.clone(),
                        branch: into.clone(),
                    });
                }
                merge::check_free(git, &spec.git, into).await?;
            }
            base = if is_there { into } else { base };
        }
        worktree::add(git, &spec.git, (base, branch), conflict, tree).await
    }

    /// The conflict that the attempts of a task before this one left.
    fn left_to_resolve(&self, assignment: &Assignment) -> Option<Conflict> {
        let (first, this) = ((assignment.task, Attempt(0)), (assignment.task, assignment.attempt));
        let records = self.records();
        let last = records.range(first..this).next_back()?;
        last.1.unresolved.clone()
    }

    fn closing(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.0.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a record to its file, to memory and to the journal.
    async fn keep(&self, record: WorkspaceRecord) -> Result<(), WorkspaceError> {
        let key = (record.task, record.attempt);
        let path = self.dir(key).join(RECORD);
        let (to, text) = (path.clone(), serde_json::to_vec_pretty(&record));
        let written = blocking(move || {
            let temporary = to.with_extension("new");
            fs::write(&temporary, text.map_err(io::Error::other)?)?;
            fs::rename(&temporary, &to)
        });
        written.await.map_err(|source| WorkspaceError::Files { path, source })?;
        self.records().insert(key, record.clone());
        self.tell(record).await;
        Ok(())
    }

    /// Writes a record to the journal. The file counts; the journal is for those who ask for the attempt.
    async fn tell(&self, record: WorkspaceRecord) {
        let task = record.task;
        if let Err(error) = self.0.journal.write(record).await {
            warn!(self.0.log, "a workspace can't be written down with its attempt"; "task" => %task,
                "error" => error);
        }
    }

    fn dir(&self, (task, attempt): Key) -> PathBuf {
        self.0.root.join(task.to_string()).join(attempt.to_string())
    }

    /// Holds the repository that `git` is a directory of.
    async fn hold(&self, git: &Path) -> Result<Held, WorkspaceError> {
        let common = worktree::common_dir(&self.0.git, git).await?;
        self.0.locks.hold(&common, HOLD).await
    }

    async fn used(&self, dir: &Path) -> u64 {
        let dir = dir.to_owned();
        blocking(move || Ok(disk::used(&dir))).await.unwrap_or(0)
    }
}

/// Whether that is not the user of the host.
fn is_another(user: &str) -> bool {
    let found = nix::unistd::User::from_name(user).ok().flatten();
    found.is_none_or(|user| user.uid != nix::unistd::geteuid())
}

/// Makes a directory that only this user can enter, and its parents. Blocks.
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Works on files, off the thread of the actors.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done)
}

#[cfg(test)]
pub(crate) mod tests;
