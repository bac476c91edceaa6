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

mod disk;
mod error;
mod git;
mod locks;
mod merge;
mod prune;
mod worktree;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use slog::{Logger, info, warn};

pub use error::WorkspaceError;

use crate::{
    domain::{
        Attempt, TaskId,
        fleet::Fleet,
        glob::Glob,
        task::{Assignment, FailureClass, Outcome},
        workspace::{
            Conflict, Facts, MAX_FILES, Place, WorkspaceRecord, WorkspaceSpec, branch_name, outside,
        },
    },
    telemetry::Chain,
};
use git::Git;
use locks::{Held, Locks};
use merge::Merged;

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
}

/// How workspaces are made.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How much they may take on the disk, in bytes.
    pub max_disk: Option<u64>,
    /// How long one command of git may take.
    pub git_timeout: Duration,
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
        Self(Arc::new(Inner { root, bounds, git, locks, journal, log, records }))
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
        let branch = branch_name(&spec.branch, &Facts::of(assignment))?;
        self.make_room().await?;
        let dir = self.dir((assignment.task, assignment.attempt));
        let made = dir.clone();
        blocking(move || make_dir(&made))
            .await
            .map_err(|source| WorkspaceError::Files { path: dir.clone(), source })?;
        let conflict = self.left_to_resolve(assignment);
        let held = self.hold(&spec.git).await?;
        let (git, tree) = (&self.0.git, dir.join("tree"));
        let base = match &spec.into {
            Some(into) if worktree::has_branch(git, &spec.git, into).await? => into,
            _ => &spec.base,
        };
        let names = (&**base, &*branch);
        let place = worktree::add(git, &spec.git, names, conflict.as_ref(), &tree).await;
        drop(held);
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                // Empty, unless git has left something: then it stays for people to see.
                fs::remove_dir(&dir).unwrap_or_default();
                return Err(error);
            }
        };
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
            writes: spec.writes.clone(),
            merged: None,
            unresolved: place.conflict.clone(),
            problem: None,
            bytes: self.used(&tree).await,
            created_at: Timestamp::now(),
            ended_at: None,
            removed_at: None,
        };
        info!(self.0.log, "workspace made"; "task" => %record.task, "attempt" => record.attempt.0,
            "path" => %place.path.display(), "to" => &place.branch);
        self.keep(record).await?;
        Ok(Some(place))
    }

    /// The attempt has ended with `outcome`, and its agent works in the workspace no longer: what it left is
    /// committed. What the outcome is then.
    pub async fn close(&self, task: TaskId, attempt: Attempt, outcome: Outcome) -> Outcome {
        let found = self.records().get(&(task, attempt)).cloned();
        let Some(record) = found.filter(WorkspaceRecord::is_open) else { return outcome };
        let path = record.place.path.clone();
        let is_done = matches!(outcome, Outcome::Completed { .. });
        match self.finish(record, is_done).await {
            Ok(Some(conflict)) if is_done => in_conflict(&conflict, &path),
            Ok(_) => outcome,
            Err(error) => {
                let why = Chain(&error).to_string();
                warn!(self.0.log, "what an agent left can't be committed"; "task" => %task,
                    "attempt" => attempt.0, "path" => %path.display(), "error" => &why);
                match outcome {
                    Outcome::Completed { .. } => Outcome::failed(
                        FailureClass::Internal,
                        format!(
                            "the agent was done, but what it left in {} can't be committed: {why}",
                            path.display()
                        ),
                    ),
                    outcome => outcome,
                }
            }
        }
    }

    /// Commits what is there, and merges it if the attempt is done. What is left to resolve.
    async fn finish(
        &self,
        mut record: WorkspaceRecord,
        is_done: bool,
    ) -> Result<Option<Conflict>, WorkspaceError> {
        let git = &self.0.git;
        let marked = match &record.unresolved {
            Some(conflict) => merge::unresolved(&record.place.path, conflict),
            None => Vec::new(),
        };
        let harvest = worktree::harvest(git, &record).await;
        record.ended_at = Some(Timestamp::now());
        record.bytes = self.used(&record.place.path).await;
        let failed = match harvest {
            Ok(harvest) => {
                self.note(&mut record, harvest).await;
                let mergeable = is_done && marked.is_empty() && record.problem.is_none();
                if mergeable { self.merge(&mut record).await.err() } else { None }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = &failed {
            record.problem = Some(Chain(error).to_string());
        }
        let mut unresolved = record.unresolved.clone();
        if let (Some(conflict), false) = (&mut unresolved, marked.is_empty()) {
            conflict.files = marked;
        }
        worktree::unlock(git, &record).await?;
        self.keep(record).await?;
        failed.map_or(Ok(unresolved), Err)
    }

    /// Merges what an attempt made, if it is to be merged.
    async fn merge(&self, record: &mut WorkspaceRecord) -> Result<(), WorkspaceError> {
        record.unresolved = None;
        let (Some(into), Some(ours)) = (record.into.clone(), record.commit.clone()) else {
            return Ok(());
        };
        if record.merge.is_leave() {
            return Ok(());
        }
        let _held = self.hold(&record.git).await?;
        match merge::merge(&self.0.git, record, &into, &ours).await? {
            Merged::At(commit) => {
                info!(self.0.log, "workspace merged"; "task" => %record.task, "to" => &into);
                record.merged = Some(commit);
            }
            Merged::Conflict(conflict) => {
                warn!(self.0.log, "workspace could not be merged"; "task" => %record.task,
                    "to" => &into, "count" => conflict.files.len());
                record.unresolved = Some(conflict);
            }
        }
        Ok(())
    }

    /// The conflict that the attempts of a task before this one left.
    fn left_to_resolve(&self, assignment: &Assignment) -> Option<Conflict> {
        let (first, this) = ((assignment.task, Attempt(0)), (assignment.task, assignment.attempt));
        let records = self.records();
        let last = records.range(first..this).next_back()?;
        last.1.unresolved.clone()
    }

    /// Writes what was found into the record.
    async fn note(&self, record: &mut WorkspaceRecord, harvest: worktree::Harvest) {
        let mut declared = self.0.journal.declared(record.task).await.unwrap_or_else(|error| {
            warn!(self.0.log, "the paths of a task can't be read"; "task" => %record.task,
                "error" => error);
            Vec::new()
        });
        declared.extend(record.writes.iter().cloned());
        let first =
            |files: &[&String]| files.iter().take(MAX_FILES).map(|it| (*it).clone()).collect();
        let stray = outside(&harvest.changed, &declared);
        if !stray.is_empty() {
            warn!(self.0.log, "files changed outside of what the task declared";
                "task" => %record.task, "attempt" => record.attempt.0, "count" => stray.len(),
                "path" => stray[0]);
        }
        record.outside = first(&stray);
        record.outside_count = stray.len();
        record.files = first(&harvest.changed.iter().collect::<Vec<_>>());
        record.changed = harvest.changed.len();
        record.commit = Some(harvest.commit);
        record.left_over = harvest.left_over;
        record.problem = harvest.problem;
        info!(self.0.log, "workspace closed"; "task" => %record.task, "attempt" => record.attempt.0,
            "count" => record.changed, "bytes" => record.bytes);
    }

    /// Closes those that a host before this left open, but for the attempts in `held`: nobody works in
    /// them any longer.
    pub async fn close_others(&self, held: &[(TaskId, Attempt)]) {
        let open: Vec<Key> = {
            let records = self.records();
            let open =
                records.iter().filter(|(key, record)| record.is_open() && !held.contains(key));
            open.map(|(key, _)| *key).collect()
        };
        for (task, attempt) in open {
            // Its attempt was put back, whatever can be committed of it.
            self.close(task, attempt, Outcome::Cancelled).await;
        }
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

/// The end of an attempt whose work could not be merged: the next one gets the conflict.
fn in_conflict(conflict: &Conflict, path: &Path) -> Outcome {
    let files = conflict.files.join(", ");
    Outcome::Failed {
        class: FailureClass::Task,
        message: format!(
            "what it made could not be merged: others changed {files} as well; the next attempt gets the \
             conflict to resolve"
        ),
        detail: serde_json::json!({ "conflict": conflict, "path": path }),
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
