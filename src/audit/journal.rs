//! What is still on its way into the database, on disk: a host that is killed loses none of it.
//!
//! One file is written to; the other holds what is being sent. Each line is a deed as JSON. Nothing
//! waits for the disk itself, so what was told in the seconds before a machine lost its power may be gone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::domain::audit::Deed;

/// How much may wait, in bytes: some tens of thousands of deeds. What comes after that is counted.
const MOST: u64 = 16 << 20;

/// The files, and what is in them.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    waiting: Vec<Deed>,
    /// What was taken, until it is said that it was sent.
    taken: Option<Arc<Vec<Deed>>>,
    /// Lines that are to be written.
    unwritten: Vec<u8>,
    bytes: u64,
    lost: u32,
}

impl Journal {
    /// Opens the journal in `dir`, and finds what a host before this one did not get rid of. A line that
    /// was cut off in the middle is left out.
    ///
    /// # Errors
    ///
    /// Those of the files.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("audit.journal");
        let sending = sending(&path);
        let mut text = read(&sending)?;
        text.push_str(&read(&path)?);
        let waiting: Vec<Deed> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        // Put together in one file first: whoever is killed here finds all of it, or some of it twice.
        let together = path.with_extension("new");
        let mut file = create(&together)?;
        let mut lines = Vec::new();
        for deed in &waiting {
            line(&mut lines, deed)?;
        }
        file.write_all(&lines)?;
        fs::rename(&together, &path)?;
        remove(&sending)?;
        let bytes = lines.len() as u64;
        Ok(Self { path, file, waiting, taken: None, unwritten: Vec::new(), bytes, lost: 0 })
    }

    /// Keeps a deed, unless too many wait already: then it is counted. It is on disk after [`Self::write_out`].
    ///
    /// # Errors
    ///
    /// If it is no line.
    pub(super) fn enter(&mut self, deed: Deed) -> io::Result<()> {
        if self.bytes >= MOST {
            self.lost = self.lost.saturating_add(1);
            return Ok(());
        }
        let before = self.unwritten.len();
        line(&mut self.unwritten, &deed)?;
        self.bytes += (self.unwritten.len() - before) as u64;
        self.waiting.push(deed);
        Ok(())
    }

    /// Writes what was entered, in one piece. What can't be written may still be sent.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.unwritten);
        self.unwritten.clear();
        written
    }

    /// Takes what waits, which must have been written out; what comes from now on is kept apart from it. What was
    /// taken before and not sent is taken again.
    ///
    /// # Errors
    ///
    /// Those of the files; nothing is taken then.
    pub(super) fn take(&mut self) -> io::Result<Arc<Vec<Deed>>> {
        if let Some(taken) = &self.taken {
            return Ok(taken.clone());
        }
        if self.waiting.is_empty() {
            return Ok(Arc::default());
        }
        fs::rename(&self.path, sending(&self.path))?;
        let taken = Arc::new(std::mem::take(&mut self.waiting));
        self.taken = Some(taken.clone());
        self.file = create(&self.path)?;
        self.bytes = 0;
        Ok(taken)
    }

    /// How many were lost since the last time that this was asked.
    pub(super) fn lost(&mut self) -> u32 {
        std::mem::take(&mut self.lost)
    }

    /// What was taken is in the database.
    ///
    /// # Errors
    ///
    /// Those of the file. It does no harm: what is sent twice counts once.
    pub(super) fn sent(&mut self) -> io::Result<()> {
        self.taken = None;
        remove(&sending(&self.path))
    }
}

fn sending(path: &Path) -> PathBuf {
    path.with_extension("sending")
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Appends the line of a deed, if it has one.
fn line(lines: &mut Vec<u8>, deed: &Deed) -> io::Result<()> {
    let before = lines.len();
    if let Err(failed) = serde_json::to_writer(&mut *lines, deed) {
        lines.truncate(before);
        return Err(failed.into());
    }
    lines.push(b'\n');
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::audit::Surface;

    fn deed(nth: u128) -> Deed {
        let id = Uuid::from_u128(nth);
        Deed::of_host(id, Timestamp::UNIX_EPOCH, Surface::Host, "test")
    }

    fn add(journal: &mut Journal, deed: Deed) {
        journal.enter(deed).unwrap();
        journal.write_out().unwrap();
    }

    fn found(dir: &Path) -> Vec<u128> {
        let journal = Journal::open(dir).unwrap();
        journal.waiting.iter().map(|deed| deed.id.as_u128()).collect()
    }

    #[test]
    fn what_was_not_sent_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        assert!(journal.take().unwrap().is_empty());
        add(&mut journal, deed(1));
        assert_eq!(journal.take().unwrap().len(), 1);
        add(&mut journal, deed(2));
        assert_eq!(journal.take().unwrap()[0].id, deed(1).id, "it has not been sent yet");
        drop(journal);
        assert_eq!(found(dir.path()), [1, 2], "one was being sent, one came after it");
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.take().unwrap();
        add(&mut journal, deed(3));
        journal.sent().unwrap();
        drop(journal);
        assert_eq!(found(dir.path()), [3]);
        let text = fs::read_to_string(dir.path().join("audit.journal")).unwrap();
        fs::write(dir.path().join("audit.journal"), format!("{text}{{\"id\": \"00")).unwrap();
        assert_eq!(found(dir.path()), [3], "a line that was cut off");
    }

    #[test]
    fn what_was_entered_is_found_once_it_is_written_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.enter(deed(1)).unwrap();
        journal.enter(deed(2)).unwrap();
        let text = || fs::read_to_string(dir.path().join("audit.journal")).unwrap();
        assert_eq!(text(), "");
        journal.write_out().unwrap();
        journal.write_out().unwrap();
        assert_eq!(text().lines().count(), 2, "each once");
        drop(journal);
        assert_eq!(found(dir.path()), [1, 2]);
    }

    #[test]
    fn too_much_is_counted_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let big = Deed { object: "x".repeat(1 << 20), ..deed(1) };
        for _ in 0..20 {
            add(&mut journal, big.clone());
        }
        let size = fs::metadata(dir.path().join("audit.journal")).unwrap().len();
        assert!(size < 2 * MOST, "{size}");
        assert_eq!((journal.take().unwrap().len(), journal.lost()), (16, 4));
    }
}
