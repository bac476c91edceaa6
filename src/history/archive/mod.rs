//! Archives: what is deleted, one task a line, as JSON, compressed with gzip.
//!
//! Each batch is a file of its own, in a directory for each day: `2026-03-01/<time>-<who>.jsonl.gz`.
//! Once the day is over its small files are put together, and if there is a term the files of a day
//! are deleted when it is over. `zcat 2026-03-01/* | jq` reads a day.
//!
//! # Guarantees
//!
//! - A file appears under its name once it is complete and on disk, its name too. Nothing of it is
//!   deleted before that.
//! - Whoever fails between the two leaves the tasks where they are, and they are archived again. So
//!   a task may be there twice, or be there though it was tried again; none is missing.
//! - What is put together is on disk in its new file, under its new name, before the old ones go. A
//!   crash leaves both, and whoever reads meanwhile finds the one or the other.
//!
//! The directory itself is never made: where it is missing, a mount may be, and what is written
//! under it would be on another disk.

mod error;
mod read;
mod tidy;
mod write;

pub use error::ArchiveError;
pub use read::{Archive, Found, find, list};
pub use tidy::{Tidied, tidy};
pub use write::write;
