//! Backups: every table of the schema, as it was in one moment, in one compressed file.
//!
//! The format is our own, made of what `COPY` gives, so that nothing but a connection is needed, and
//! it is the same whichever Postgres, of whatever version, it comes from or goes to ([`format`]).
//!
//! # Guarantees
//!
//! - A backup is of one snapshot. Hosts go on meanwhile; nothing is locked.
//! - The file appears under its name once it is complete, on disk, and was read back.
//! - Every row has a part in a checksum of its table. [`verify`] compares it with what the file
//!   holds, and [`restore`] also with what the database then holds, before it commits.
//! - A restore is one transaction: it succeeds, or the database is as it was, but for a schema that
//!   was not there before.
//!
//! # What it does not do
//!
//! Files of the data directory (attempts, logs) are not part of it, nor are roles and grants. A
//! sequence is of no snapshot: it may be ahead of the rows, which does no harm.

mod digest;
mod dump;
mod error;
pub mod format;
mod restore;

use std::{fs::File, io::BufReader, path::Path};

use flate2::bufread::GzDecoder;

pub use digest::Digest;
pub use dump::dump;
pub use error::BackupError;
pub use restore::{Restored, restore};

use format::{Header, Reader, Summary};

/// The most bytes that are passed on at once.
const PIECE: usize = 256 << 10;

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What is being done, in a word or two: `tasks`, or `verifying`.
    pub what: &'a str,
    /// How much of it all is done, 0 to 1, as far as can be told.
    pub done: f64,
}

/// Hears how far it is, many times.
pub type Watch<'a> = &'a mut dyn FnMut(Progress<'_>);

type FileReader = Reader<BufReader<GzDecoder<BufReader<File>>>>;

/// Opens a backup and reads its header.
fn open(path: &Path) -> Result<FileReader, BackupError> {
    let file = File::open(path).map_err(BackupError::file("open", path))?;
    let plain = GzDecoder::new(BufReader::with_capacity(PIECE, file));
    Reader::new(BufReader::with_capacity(PIECE, plain), path)
}

/// Reads a backup from its beginning to its end and compares every checksum. Needs no database.
///
/// # Errors
///
/// [`BackupError`], which names the table where there is one.
pub fn verify(path: &Path, watch: Watch<'_>) -> Result<(Header, Vec<Summary>), BackupError> {
    let mut reader = open(path)?;
    let header = reader.header().clone();
    let all = header.tables.len().max(1);
    let mut found = Vec::new();
    while let Some(head) = reader.next_table()? {
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        watch(Progress { what: &head.table, done: found.len() as f64 / all as f64 });
        while reader.next_piece()?.is_some() {}
        found.push(reader.summary()?);
    }
    Ok((header, found))
}
