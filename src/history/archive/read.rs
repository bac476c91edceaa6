//! Reading archives.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use serde::Serialize;
use serde_json::Value;

use super::ArchiveError;
use crate::domain::{TaskId, history::ARCHIVE_END};

/// How often what changes while it is read is read again.
const TRIES: u32 = 20;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// The day it was written, in UTC.
    pub day: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// A record that was looked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The file that it is in.
    pub path: PathBuf,
    /// The task, as it was when it was archived.
    pub record: Value,
}

/// Every archive below `dir`, in the order of time.
///
/// # Errors
///
/// [`ArchiveError`], which names the directory.
pub fn list(dir: &Path) -> Result<Vec<Archive>, ArchiveError> {
    until_still(|| {
        let mut all = Vec::new();
        for day in entries(dir)? {
            let name = day.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if day.is_dir() && name.parse::<jiff::civil::Date>().is_ok() {
                // Nobody changes it between these two, or somebody is seen to.
                let files = of_day(&name, &day)?;
                if files != of_day(&name, &day)? {
                    return Err(ArchiveError::of("read", &day)(ErrorKind::NotFound.into()));
                }
                all.extend(files);
            }
        }
        Ok(all)
    })
}

fn of_day(name: &str, day: &Path) -> Result<Vec<Archive>, ArchiveError> {
    let is_archive = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.ends_with(ARCHIVE_END) && !file.starts_with('.')
    };
    let all = entries(day)?.into_iter().filter(is_archive).map(|path| {
        let bytes = fs::metadata(&path).map_err(ArchiveError::of("look at", &path))?.len();
        Ok(Archive { day: name.to_owned(), path, bytes })
    });
    all.collect()
}

/// Reads again as long as a file is gone that was there a moment ago: its leader puts files together,
/// or deletes a day. The new file has its name before the old ones go.
fn until_still<T>(mut read: impl FnMut() -> Result<T, ArchiveError>) -> Result<T, ArchiveError> {
    for _ in 1..TRIES {
        match read() {
            Err(error) if error.source.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
    }
    read()
}

/// Every record of this task, in the order in which they were written: there may be several, the
/// last one tells the most. It reads through all that was written since the task was made.
///
/// # Errors
///
/// [`ArchiveError`], which names the file.
pub fn find(dir: &Path, task: TaskId) -> Result<Vec<Found>, ArchiveError> {
    until_still(|| find_once(dir, task))
}

fn find_once(dir: &Path, task: TaskId) -> Result<Vec<Found>, ArchiveError> {
    let (wanted, made) = (task.to_string(), made_on(task));
    let mut found = Vec::new();
    for archive in list(dir)?.into_iter().filter(|archive| archive.day >= made) {
        let failed = |error| ArchiveError::of("read", &archive.path)(error);
        let file = BufReader::new(File::open(&archive.path).map_err(failed)?);
        for line in BufReader::new(MultiGzDecoder::new(file)).lines() {
            let line = line.map_err(failed)?;
            if !line.contains(&wanted) {
                continue;
            }
            let record: Value =
                serde_json::from_str(&line).map_err(|error| failed(io::Error::other(error)))?;
            // Another task may name it.
            if record["id"] == wanted.as_str() {
                found.push(Found { path: archive.path.clone(), record });
            }
        }
    }
    Ok(found)
}

/// The day before the one on which a task was made, as its id has it: clocks differ.
fn made_on(task: TaskId) -> String {
    let seconds = task.as_uuid().get_timestamp().map_or(0, |time| time.to_unix().0);
    let made = i64::try_from(seconds).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let before = made.and_then(|made| made.checked_sub(jiff::SignedDuration::from_hours(24)).ok());
    before.map_or_else(String::new, |at| {
        at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string()
    })
}

pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut all = read().map_err(ArchiveError::of("read", dir))?;
    all.sort_unstable();
    Ok(all)
}
