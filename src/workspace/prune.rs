//! Listing, and removing what nothing speaks for.

use std::fs;

use jiff::Timestamp;
use slog::{info, warn};

use super::{WorkspaceError, Workspaces, blocking, disk, worktree};
use crate::domain::workspace::{
    Kept, Sight, WorkspaceList, WorkspaceListing, WorkspacePruning, WorkspaceRecord, kept,
};

impl Workspaces {
    /// All worktrees, the oldest first, with what they take now.
    pub async fn list(&self) -> WorkspaceList {
        let records: Vec<_> = self.records().values().cloned().collect();
        let mut items = Vec::with_capacity(records.len());
        for mut workspace in records {
            workspace.bytes = self.used(&workspace.place.path).await;
            let stays = self.stays(&workspace).await;
            items.push(WorkspaceListing { workspace, stays });
        }
        items.sort_by_key(|item| item.workspace.created_at);
        let bytes = items.iter().map(|item| item.workspace.bytes).sum();
        WorkspaceList { items, bytes, max_bytes: self.0.bounds.max_disk }
    }

    /// Removes what nothing speaks for, the oldest first; or only says what it would.
    pub async fn prune(&self, dry_run: bool) -> WorkspacePruning {
        let mut pruning =
            WorkspacePruning { removed: Vec::new(), kept: Vec::new(), freed: 0, dry_run };
        for listing in self.list().await.items {
            let removed = match &listing.stays {
                Some(_) => false,
                None if dry_run => true,
                None => match self.remove(&listing.workspace).await {
                    Ok(removed) => removed,
                    Err(error) => {
                        warn!(self.0.log, "a workspace can't be removed"; "error" => %error,
                            "path" => %listing.workspace.place.path.display());
                        let stays = Some(Kept::Unknown(error.to_string()));
                        pruning.kept.push(WorkspaceListing { stays, ..listing });
                        continue;
                    }
                },
            };
            if removed {
                pruning.freed += listing.workspace.bytes;
                pruning.removed.push(listing.workspace);
            } else {
                pruning.kept.push(listing);
            }
        }
        pruning
    }

    /// Sees to it that one more may be made: where they take too much, what nothing speaks for goes.
    pub(super) async fn make_room(&self) -> Result<(), WorkspaceError> {
        let Some(bound) = self.0.bounds.max_disk else { return Ok(()) };
        let used = || self.records().values().map(|record| record.bytes).sum::<u64>();
        if used() >= bound {
            self.prune(false).await;
        }
        match used() {
            used if used < bound => Ok(()),
            used => Err(WorkspaceError::Full { used, bound }),
        }
    }

    /// Why a worktree stays; nothing if it may go.
    async fn stays(&self, record: &WorkspaceRecord) -> Option<Kept> {
        if record.is_open() {
            return kept(&Sight { at_work: true, ..Sight::default() });
        }
        let path = record.place.path.clone();
        if !path.exists() {
            // Somebody has removed it: its branch stays with what it holds.
            return None;
        }
        let mut sight = worktree::look(&self.0.git, record).await;
        match blocking(move || disk::inside(&path)).await {
            Ok(processes) => sight.processes = processes,
            Err(error) => sight.unknown = Some(format!("/proc can't be read: {error}")),
        }
        kept(&sight)
    }

    /// Removes a worktree, if nothing speaks for it still. Whether it did.
    async fn remove(&self, record: &WorkspaceRecord) -> Result<bool, WorkspaceError> {
        let _held = self.hold(&record.git).await?;
        if self.stays(record).await.is_some() {
            return Ok(false);
        }
        worktree::remove(&self.0.git, record).await?;
        let key = (record.task, record.attempt);
        let dir = self.dir(key);
        let gone = blocking(move || {
            fs::remove_dir_all(&dir)?;
            // That of the task, if this was the last of its attempts.
            dir.parent().map_or(Ok(()), |dir| fs::remove_dir(dir).or(Ok(())))
        });
        gone.await.map_err(|source| WorkspaceError::Files { path: self.dir(key), source })?;
        self.records().remove(&key);
        info!(self.0.log, "workspace removed"; "task" => %record.task, "attempt" => record.attempt.0,
            "bytes" => record.bytes);
        self.tell(WorkspaceRecord { removed_at: Some(Timestamp::now()), ..record.clone() }).await;
        Ok(true)
    }
}
