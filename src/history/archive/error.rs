//! What can go wrong with archives, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct ArchiveError {
    /// What was tried.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl ArchiveError {
    pub(super) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }

    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room on the disk of the archives, or move old ones away"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "let the user of the host write to `history.archive`"
            }
            io::ErrorKind::NotFound => {
                "make the directory that `history.archive` names, or mount its disk"
            }
            io::ErrorKind::NotADirectory => "name a directory in `history.archive`",
            _ => "see whether the disk of `history.archive` is sound",
        }
    }
}
