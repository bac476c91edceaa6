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
    bytes: u64,
    /// Whether the last line may be cut off.
    torn: bool,
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
        let file = create(&together)?;
        let mut journal =
            Self { path, file, waiting: Vec::new(), taken: None, bytes: 0, torn: false, lost: 0 };
        waiting.iter().try_for_each(|deed| journal.write(deed))?;
        fs::rename(&together, &journal.path)?;
        remove(&sending)?;
        Ok(Self { waiting, ..journal })
    }

    /// Keeps a deed, unless too many wait already or it can't be written: then it is counted.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(super) fn add(&mut self, deed: Deed) -> io::Result<()> {
        if self.bytes >= MOST {
            self.lost = self.lost.saturating_add(1);
            return Ok(());
        }
        let written = self.write(&deed);
        // What can't be written may still be sent.
        self.waiting.push(deed);
        written
    }

    /// One line, in one piece.
    fn write(&mut self, deed: &Deed) -> io::Result<()> {
        // What was cut off ends first, and does not swallow this one.
        let mut line = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, deed)?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        self.torn = written.is_err();
        written?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Takes what waits; what comes from now on is kept apart from it. What was taken before and not sent
    /// is taken again.
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
        self.torn = false;
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

    fn found(dir: &Path) -> Vec<u128> {
        let journal = Journal::open(dir).unwrap();
        journal.waiting.iter().map(|deed| deed.id.as_u128()).collect()
    }

    #[test]
    fn what_was_not_sent_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        assert!(journal.take().unwrap().is_empty());
        journal.add(deed(1)).unwrap();
        assert_eq!(journal.take().unwrap().len(), 1);
        journal.add(deed(2)).unwrap();
        assert_eq!(journal.take().unwrap()[0].id, deed(1).id, "it has not been sent yet");
        drop(journal);
        assert_eq!(found(dir.path()), [1, 2], "one was being sent, one came after it");
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.take().unwrap();
        journal.add(deed(3)).unwrap();
        journal.sent().unwrap();
        drop(journal);
        assert_eq!(found(dir.path()), [3]);
        let text = fs::read_to_string(dir.path().join("audit.journal")).unwrap();
        fs::write(dir.path().join("audit.journal"), format!("{text}{{\"id\": \"00")).unwrap();
        assert_eq!(found(dir.path()), [3], "a line that was cut off");
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        // Nothing can be written to what is open for reading.
        let unwritable = File::open(dir.path().join("audit.journal")).unwrap();
        let mut whole = std::mem::replace(&mut journal.file, unwritable);
        journal.add(deed(1)).unwrap_err();
        // As much as there was room for.
        whole.write_all(b"{\"id\": \"00").unwrap();
        journal.file = whole;
        journal.add(deed(2)).unwrap();
        journal.add(deed(3)).unwrap();
        assert_eq!(journal.waiting.len(), 3, "all are sent");
        drop(journal);
        assert_eq!(found(dir.path()), [2, 3]);
    }

    #[test]
    fn too_much_is_counted_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let big = Deed { object: "x".repeat(1 << 20), ..deed(1) };
        for _ in 0..20 {
            journal.add(big.clone()).unwrap();
        }
        let size = fs::metadata(dir.path().join("audit.journal")).unwrap().len();
        assert!(size < 2 * MOST, "{size}");
        assert_eq!((journal.take().unwrap().len(), journal.lost()), (16, 4));
    }
}
