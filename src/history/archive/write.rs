//! Writing an archive.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

use super::ArchiveError;
use crate::domain::{history::archive_name, leadership::Term};

/// How many bytes are passed on at once.
const PIECE: usize = 256 << 10;

/// Writes `records`, one a line, to a new file below `dir`, and returns its path once it is on disk.
/// `term` is that of the leader who writes; without one it is a person. It blocks the thread.
///
/// # Errors
///
/// [`ArchiveError`]; at most a hidden file is left then, whose name ends in `.part`.
pub fn write(
    dir: &Path,
    at: Timestamp,
    term: Option<Term>,
    records: &[String],
) -> Result<PathBuf, ArchiveError> {
    let is_new = make_day(dir, &dir.join(archive_name(at, term, 0).0))?;
    let (mut nth, mut place) = (0, None);
    while place.is_none() {
        let (day, name) = archive_name(at, term, nth);
        place = begin(&dir.join(day), &name)?;
        nth += 1;
    }
    let Some(place) = place else { unreachable!("the loop ends with one") };
    let written = finish(&place, records).and_then(|()| {
        let day = place.path.parent().unwrap_or(dir);
        sync(day)?;
        if is_new { sync(dir) } else { Ok(()) }
    });
    if written.is_err() {
        fs::remove_file(&place.part).ok();
    }
    written.map(|()| place.path)
}

/// A file that is begun.
pub(super) struct Place {
    pub(super) file: File,
    pub(super) part: PathBuf,
    path: PathBuf,
}

impl Place {
    /// All of it is written: it gets its name once it is on disk.
    pub(super) fn complete(&self) -> Result<(), ArchiveError> {
        let complete = || {
            self.file.sync_all()?;
            fs::rename(&self.part, &self.path)
        };
        complete().map_err(ArchiveError::of("write", &self.path))
    }
}

fn make_day(dir: &Path, day: &Path) -> Result<bool, ArchiveError> {
    // Its owner's alone: it holds inputs and results of tasks.
    match DirBuilder::new().mode(0o700).create(day) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(ArchiveError::of("make a directory in", dir)(error)),
    }
}

/// Begins the file, unless there is one of that name.
pub(super) fn begin(day: &Path, name: &str) -> Result<Option<Place>, ArchiveError> {
    let (path, part) = (day.join(name), day.join(format!(".{name}.part")));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part) {
        Ok(file) if !path.exists() => Ok(Some(Place { file, part, path })),
        Ok(_) => {
            fs::remove_file(&part).map_err(ArchiveError::of("remove", &part))?;
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(ArchiveError::of("make a file in", day)(error)),
    }
}

fn finish(place: &Place, records: &[String]) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::of("write", &place.path)(error);
    let packed =
        GzEncoder::new(BufWriter::with_capacity(PIECE, &place.file), Compression::default());
    let mut to = BufWriter::with_capacity(PIECE, packed);
    for record in records {
        to.write_all(record.as_bytes()).map_err(failed)?;
        to.write_all(b"\n").map_err(failed)?;
    }
    let packed = to.into_inner().map_err(|error| failed(error.into_error()))?;
    let mut file = packed.finish().map_err(failed)?;
    file.flush().map_err(failed)?;
    place.complete()
}

pub(super) fn sync(dir: &Path) -> Result<(), ArchiveError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ArchiveError::of("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::archive::{find, list};

    fn record(task: &str, state: &str) -> String {
        format!("{{\"id\": \"{task}\", \"state\": \"{state}\"}}")
    }

    #[test]
    fn what_is_written_is_found_and_no_file_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-03-01T07:08:09Z".parse().unwrap();
        let task = crate::domain::TaskId::from_uuid(uuid::Uuid::from_u128(7));
        let first = [record(&task.to_string(), "failed"), record("tsk_other", "completed")];
        let one = write(dir.path(), at, Some(Term(3)), &first).unwrap();
        let two = write(dir.path(), at, Some(Term(3)), &[record(&task.to_string(), "cancelled")]);
        let two = two.unwrap();
        assert!(one != two && one.exists() && two.exists());
        let listed = list(dir.path()).unwrap();
        assert_eq!(listed.iter().map(|file| &file.path).collect::<Vec<_>>(), [&one, &two]);
        let found = find(dir.path(), task).unwrap();
        let states: Vec<_> = found.iter().map(|found| found.record["state"].clone()).collect();
        assert_eq!(states, ["failed", "cancelled"], "in the order in which they were written");
        let entries = fs::read_dir(one.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 2, "nothing else is left");
    }

    #[test]
    fn what_cant_be_written_says_where_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = write(&missing, Timestamp::now(), None, &[]).unwrap_err();
        assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
        assert!(error.advice().contains("mount"), "{}", error.advice());
        assert!(!missing.exists(), "it is not made");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file, Timestamp::now(), None, &[]).unwrap_err();
        assert!(error.advice().contains("directory"), "{}", error.advice());
    }
}
