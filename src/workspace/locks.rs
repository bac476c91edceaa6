//! One at a time on what the worktrees of a repository share: its list of worktrees, and its branches.
//!
//! Within a host by a lock in memory, between hosts on one machine by a lock on the file `hostler.lock` in the
//! directory of the repository, which the kernel frees when its holder dies.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, interval, timeout_at},
};

use super::WorkspaceError;

/// How often a file is tried that another process has locked.
const TRY: Duration = Duration::from_millis(20);

/// The locks of all repositories that were used so far.
#[derive(Debug, Default)]
pub(super) struct Locks {
    of: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

/// Holds a repository; let go by its drop.
pub(super) struct Held {
    _here: OwnedMutexGuard<()>,
    _file: File,
}

impl Locks {
    /// Waits until nobody else has the repository whose shared files are in `common`.
    pub(super) async fn hold(
        &self,
        common: &Path,
        limit: Duration,
    ) -> Result<Held, WorkspaceError> {
        let lock = {
            let mut of = self.of.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            of.entry(common.to_owned()).or_default().clone()
        };
        let busy = || WorkspaceError::Busy { git: common.to_owned() };
        let deadline = Instant::now() + limit;
        let here = timeout_at(deadline, lock.lock_owned()).await.map_err(|_| busy())?;
        let path = common.join("hostler.lock");
        let failed = |source| WorkspaceError::Files { path: path.clone(), source };
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        let mut tick = interval(TRY);
        loop {
            tick.tick().await;
            match file.try_lock() {
                Ok(()) => return Ok(Held { _here: here, _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {}
                Err(TryLockError::WouldBlock) => return Err(busy()),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }
}
