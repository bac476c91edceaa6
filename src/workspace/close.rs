//! What becomes of a workspace when its attempt has ended: what was left there is committed, and merged if it is
//! its turn at once.

use std::path::Path;

use jiff::Timestamp;
use slog::{info, warn};

use super::{Key, WorkspaceError, Workspaces, merge, merge::Merged, worktree};
use crate::{
    domain::{
        AgentName, Attempt, TaskId,
        task::{FailureClass, Outcome},
        workspace::{Conflict, MAX_FILES, WorkspaceRecord, outside},
    },
    telemetry::Chain,
};

impl Workspaces {
    /// The attempt has ended with `outcome`, and its agent works in the workspace no longer: what it left is
    /// committed. What the outcome is then.
    pub async fn close(&self, task: TaskId, attempt: Attempt, outcome: Outcome) -> Outcome {
        let key = (task, attempt);
        let found = self.records().get(&key).cloned();
        let Some(record) = found.filter(WorkspaceRecord::is_open) else { return outcome };
        if !self.closing().insert(key) {
            return outcome;
        }
        let path = record.place.path.clone();
        let is_done = matches!(outcome, Outcome::Completed { .. });
        let finished = self.finish(record, is_done).await;
        self.closing().remove(&key);
        match finished {
            Ok(Some(conflict)) if is_done => {
                if self.ask_person(key, &conflict).await {
                    return outcome;
                }
                in_conflict(&conflict, &path)
            }
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
                record.waiting = is_done && record.turn.is_some();
                if mergeable && !record.waiting {
                    self.merge(&mut record).await.err()
                } else {
                    None
                }
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
        let waits = record.waiting;
        self.keep(record).await?;
        if waits {
            self.0.turns.notify_one();
        }
        failed.map_or(Ok(unresolved), Err)
    }

    /// Merges what an attempt made, if it is to be merged.
    pub(super) async fn merge(&self, record: &mut WorkspaceRecord) -> Result<(), WorkspaceError> {
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

    /// Closes what an agent left open that is no more.
    pub async fn close_of(&self, agent: &AgentName) {
        let open: Vec<Key> = {
            let records = self.records();
            let of = |record: &WorkspaceRecord| record.is_open() && record.agent == *agent;
            records.iter().filter(|(_, record)| of(record)).map(|(key, _)| *key).collect()
        };
        for (task, attempt) in open {
            self.close(task, attempt, Outcome::Cancelled).await;
        }
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
