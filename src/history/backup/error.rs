//! What can go wrong with a backup, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// Why a backup, a restore or a verification did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is a file of that name.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is no backup of ours.
    #[error("{} is no backup: {problem}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is damaged, or was cut off.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        problem: String,
    },
    /// A newer program made it.
    #[error(
        "the backup has schema version {found} and this program knows {known}: use a newer hostler"
    )]
    TooNew {
        /// Of the backup.
        found: u32,
        /// Of this program.
        known: u32,
    },
    /// The database has a schema of another version.
    #[error(
        "the database has schema version {found} and the backup has {wanted}: restore into a database without the schema `hostler`"
    )]
    OtherSchema {
        /// Of the database.
        found: u32,
        /// Of the backup.
        wanted: u32,
    },
    /// The tables of the backup are not those of the schema.
    #[error("table `{table}` {problem}")]
    OtherTable {
        /// Which.
        table: String,
        /// How it differs.
        problem: &'static str,
    },
    /// The database is not empty.
    #[error("the database is not empty: table `{table}` has rows")]
    NotEmpty {
        /// The first table that has rows.
        table: String,
    },
    /// Somebody uses the database.
    #[error("the database is in use: {who}")]
    InUse {
        /// Who.
        who: String,
    },
    /// What the database holds after the restore is not what the backup holds. Nothing was changed.
    #[error(
        "table `{table}` came out of the database otherwise than it went in; nothing was changed"
    )]
    Differs {
        /// Which.
        table: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
