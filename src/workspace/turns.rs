//! Work that is merged when its turn has come, and conflicts that people resolve.
//!
//! The order is not known here: who knows it asks for [`Workspaces::waiting`], takes the turns that have
//! come, and says so by [`Workspaces::told`] once it is known to all. Until then a turn can be taken
//! again: a merge that is there already is found, and not made twice.

use slog::{info, warn};

use super::{Key, WorkspaceError, Workspaces, merge, worktree};
use crate::{
    domain::{
        Attempt, TaskId,
        workspace::{Conflict, Resolver, WorkspaceRecord},
    },
    telemetry::Chain,
};

/// Work that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The task whose work it is.
    pub task: TaskId,
    /// The attempt that made it.
    pub attempt: Attempt,
    /// The task that stands for the merge.
    pub turn: TaskId,
}

/// What came of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turned {
    /// It is merged, by this commit.
    Merged(String),
    /// It can't be, and somebody is to resolve it.
    Conflict(Box<WorkspaceRecord>, Conflict),
}

/// Why what a person resolved is not merged.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The worktree is not here.
    #[error(
        "this host has no worktree in which that is to be resolved: `hostler task show {task}` says where it \
         is; ask the host there"
    )]
    NotHere {
        /// What was asked for.
        task: TaskId,
    },
    /// Marks are left.
    #[error("{files} still have marks of the conflict (`<<<<<<<`): resolve them in {path}")]
    Marked {
        /// The files.
        files: String,
        /// The worktree.
        path: String,
    },
    /// Others merged something else meanwhile.
    #[error("others changed {files} once more meanwhile: resolve that in {path}, too")]
    Again {
        /// The files.
        files: String,
        /// The worktree.
        path: String,
    },
    /// It is not clear what is meant.
    #[error("{0}")]
    Unclear(String),
    /// Git, or a file.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl Workspaces {
    /// All work that waits for its turn, in the order of the tasks.
    pub fn waiting(&self) -> Vec<Waiting> {
        let waits = |record: &WorkspaceRecord| {
            let turn = record.turn.filter(|_| record.waiting)?;
            Some(Waiting { task: record.task, attempt: record.attempt, turn })
        };
        self.records().values().filter_map(waits).collect()
    }

    /// Resolves when more has begun to wait since this was asked last.
    pub async fn more_waits(&self) {
        self.0.turns.notified().await;
    }

    /// The turn of some work has come: it is merged, or who is to resolve it finds the merge under way.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`]: it is not merged, waits still, and can be tried again.
    pub async fn take_turn(&self, waiting: &Waiting) -> Result<Turned, WorkspaceError> {
        let key = (waiting.task, waiting.attempt);
        let record = self.records().get(&key).cloned();
        let missing = || WorkspaceError::Files {
            path: self.dir(key),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let mut record = record.ok_or_else(missing)?;
        match self.turn(&mut record).await {
            Ok(turned) => {
                record.stuck = None;
                self.keep(record).await?;
                Ok(turned)
            }
            Err(error) => {
                let why = Chain(&error).to_string();
                if record.stuck.as_ref() != Some(&why) {
                    warn!(self.0.log, "workspace can't be merged for now"; "task" => %record.task,
                        "path" => %record.place.path.display(), "error" => &why);
                    self.keep(WorkspaceRecord { stuck: Some(why), ..record }).await?;
                }
                Err(error)
            }
        }
    }

    async fn turn(&self, record: &mut WorkspaceRecord) -> Result<Turned, WorkspaceError> {
        let ours = record.commit.clone().unwrap_or_default();
        let conflict = match &record.problem {
            // Nobody knows which commits are meant: a person looks.
            Some(_) => Some(Conflict { files: Vec::new(), ours, theirs: String::new() }),
            None => {
                self.merge(record).await?;
                record.unresolved.clone()
            }
        };
        let Some(mut conflict) = conflict else {
            return Ok(Turned::Merged(record.merged.clone().unwrap_or_default()));
        };
        if record.on_conflict == Resolver::Person && record.problem.is_none() {
            conflict = self.open_conflict(record, &conflict).await?;
        }
        record.unresolved = Some(conflict.clone());
        Ok(Turned::Conflict(Box::new(record.clone()), conflict))
    }

    /// Begins the merge in the worktree itself, with the marks in its files.
    async fn open_conflict(
        &self,
        record: &WorkspaceRecord,
        conflict: &Conflict,
    ) -> Result<Conflict, WorkspaceError> {
        let _held = self.hold(&record.git).await?;
        merge::begin(&self.0.git, &record.place.path, conflict, &conflict.theirs).await
    }

    /// What came of its turn is known to all: it waits no longer.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError::Files`]; it waits still.
    pub async fn told(&self, waiting: &Waiting) -> Result<(), WorkspaceError> {
        let record = self.records().get(&(waiting.task, waiting.attempt)).cloned();
        let Some(record) = record.filter(|record| record.waiting) else { return Ok(()) };
        self.keep(WorkspaceRecord { waiting: false, stuck: None, ..record }).await
    }

    /// Has a person resolve what an attempt that has ended could not merge, if that is wanted. Whether it
    /// is, and they know.
    pub(super) async fn ask_person(&self, key: Key, conflict: &Conflict) -> bool {
        let record = self.records().get(&key).cloned();
        let wanted = |record: &WorkspaceRecord| {
            record.on_conflict == Resolver::Person && record.turn.is_none()
        };
        let Some(mut record) = record.filter(wanted) else { return false };
        let asked = async {
            let opened = self.open_conflict(&record, conflict).await;
            let opened = opened.map_err(|error| Chain(&error).to_string())?;
            let turn = self.0.journal.for_person(record.clone(), opened.clone()).await?;
            Ok::<_, String>((turn, opened))
        };
        match asked.await {
            Ok((turn, opened)) => {
                info!(self.0.log, "a person is to resolve a conflict"; "task" => %turn,
                    "path" => %record.place.path.display());
                (record.turn, record.unresolved) = (Some(turn), Some(opened));
                self.keep(record).await.is_ok()
            }
            Err(error) => {
                warn!(self.0.log, "nobody could be asked to resolve a conflict";
                    "task" => %record.task, "error" => error);
                false
            }
        }
    }

    /// A person has resolved the conflict for which `task` stands, or which it is of: what is in the
    /// worktree is committed and merged. Returns the task that stands for it, and the commit.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]; nothing was merged.
    pub async fn resolve(&self, task: TaskId) -> Result<(TaskId, String), ResolveError> {
        let found = {
            let records = self.records();
            let meant = |record: &&WorkspaceRecord| {
                (record.turn == Some(task) || record.task == task)
                    && record.unresolved.is_some()
                    && !record.is_open()
                    && record.turn.is_some()
            };
            records.values().rev().find(meant).cloned()
        };
        let missing = || ResolveError::NotHere { task };
        let mut record = found.ok_or_else(missing)?;
        let (turn, conflict) = (record.turn.ok_or_else(missing)?, record.unresolved.clone());
        let conflict = conflict.ok_or_else(missing)?;
        let path = record.place.path.clone();
        let shown = path.display().to_string();
        let marked = merge::unresolved(&path, &conflict);
        if !marked.is_empty() {
            return Err(ResolveError::Marked { files: marked.join(", "), path: shown });
        }
        let harvest = worktree::harvest(&self.0.git, &record).await?;
        if let Some(problem) = harvest.problem {
            return Err(ResolveError::Unclear(problem));
        }
        (record.commit, record.problem) = (Some(harvest.commit), None);
        self.merge(&mut record).await?;
        if let Some(again) = record.unresolved.clone() {
            let opened = self.open_conflict(&record, &again).await?;
            let files = opened.files.join(", ");
            record.unresolved = Some(opened);
            self.keep(record).await?;
            return Err(ResolveError::Again { files, path: shown });
        }
        let commit = record.merged.clone().unwrap_or_default();
        // Until all know of it, it can be said again.
        self.keep(WorkspaceRecord { unresolved: Some(conflict), ..record }).await?;
        Ok((turn, commit))
    }

    /// That the conflict for which `turn` stands is resolved is known to all.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError::Files`]; it can be said again.
    pub async fn resolved(&self, turn: TaskId) -> Result<(), WorkspaceError> {
        let of = |record: &&WorkspaceRecord| record.turn == Some(turn) && record.merged.is_some();
        let found = self.records().values().find(of).cloned();
        match found {
            Some(record) => self.keep(WorkspaceRecord { unresolved: None, ..record }).await,
            None => Ok(()),
        }
    }
}
