//! Putting small archives together, and deleting old ones.
//!
//! Only days that are closed are touched. Two who do so at once, on a disk that hosts share, may
//! write the same twice, and lose nothing: what is deleted is on disk in another file before, under a
//! name that nobody writes over.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use jiff::{Timestamp, civil::Date};

use super::{
    ArchiveError,
    read::{Archive, entries, list},
    write::{begin, sync},
};
use crate::domain::history::{ARCHIVE_END, Keep, is_closed, is_over, merged_name, merges};

/// The most bytes of a file that is put together.
const MOST: u64 = 64 << 20;

/// What became of archives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// So many were put together.
    pub merged: u64,
    /// So many were deleted.
    pub deleted: u64,
}

/// Puts the small archives below `dir` of each closed day together, and deletes those of the days that
/// are over the term `keep`. It blocks the thread.
///
/// # Errors
///
/// [`ArchiveError`]. Nothing is lost, and the next time goes on from there.
pub fn tidy(dir: &Path, keep: Keep, now: Timestamp) -> Result<Tidied, ArchiveError> {
    let mut tidied = Tidied::default();
    for (date, day) in days(dir)? {
        if is_over(date, keep, now) {
            tidied.deleted += delete(&day)?;
        }
    }
    let archives = list(dir)?;
    for day in archives.chunk_by(|one, other| one.day == other.day) {
        if day[0].day.parse().is_ok_and(|date| is_closed(date, now)) {
            tidied.merged += merge_day(day)?;
        }
    }
    Ok(tidied)
}

fn days(dir: &Path) -> Result<Vec<(Date, PathBuf)>, ArchiveError> {
    let date = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    let all = entries(dir)?.into_iter().filter(|path| path.is_dir());
    Ok(all.filter_map(|path| Some((date(&path)?, path))).collect())
}

/// Deletes the archives of a day, and the directory if nothing else is in it.
fn delete(day: &Path) -> Result<u64, ArchiveError> {
    let mut deleted = 0;
    for path in entries(day)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let begun = name.starts_with('.') && name.ends_with(".part");
        if begun || name.ends_with(ARCHIVE_END) {
            gone(fs::remove_file(&path)).map_err(ArchiveError::of("delete", &path))?;
            deleted += u64::from(!begun);
        }
    }
    match fs::remove_dir(day) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(deleted),
        other => gone(other).map_err(ArchiveError::of("delete", day)).map(|()| deleted),
    }
}

/// Somebody else may have deleted it just before.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn merge_day(archives: &[Archive]) -> Result<u64, ArchiveError> {
    let sizes: Vec<u64> = archives.iter().map(|archive| archive.bytes).collect();
    let mut merged = 0;
    for run in merges(&sizes, MOST) {
        // What can't be read stays as it is: behind it nothing could be read either.
        let sound: Vec<bool> = archives[run.clone()].iter().map(|it| is_sound(&it.path)).collect();
        let run = &archives[run];
        let mut from = 0;
        for part in sound.chunk_by(|one, other| one == other) {
            let these = &run[from..from + part.len()];
            from += part.len();
            if part[0] && these.len() > 1 {
                merge(these)?;
                merged += these.len() as u64;
            }
        }
    }
    Ok(merged)
}

/// Whether a file can be read to its end, and its checksum is right.
fn is_sound(path: &Path) -> bool {
    let read = || {
        let mut from = MultiGzDecoder::new(BufReader::new(File::open(path)?));
        io::copy(&mut from, &mut io::sink())
    };
    read().is_ok_and(|bytes| bytes > 0)
}

/// Writes all of these to a file of their own, and deletes them once it is on disk. What is
/// compressed can stand behind one another as it is.
fn merge(archives: &[Archive]) -> Result<(), ArchiveError> {
    let Some(last) = archives.last() else { return Ok(()) };
    let day = last.path.parent().unwrap_or(&last.path);
    let name = last.path.file_name().unwrap_or_default().to_string_lossy();
    let mut nth = 1;
    let place = loop {
        if let Some(place) = begin(day, &merged_name(&name, nth))? {
            break place;
        }
        nth += 1;
    };
    let written = archives.iter().try_for_each(|archive| {
        let copy = || io::copy(&mut File::open(&archive.path)?, &mut &place.file);
        copy().map(drop).map_err(ArchiveError::of("put together", &archive.path))
    });
    let written = written.and_then(|()| place.complete()).and_then(|()| sync(day));
    if let Err(error) = written {
        fs::remove_file(&place.part).ok();
        return Err(error);
    }
    for Archive { path, .. } in archives {
        gone(fs::remove_file(path)).map_err(ArchiveError::of("delete", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
