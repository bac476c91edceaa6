//! What Postgres says: one file that it appends to, kept short by the host.
//!
//! Postgres's own collector bounds the number of files and not their size, and lets the errors of
//! a failed start go elsewhere. So the server writes straight to a file, and the host looks at its
//! size from time to time: what is too long is copied to a second file and cut. Lines that are
//! written between the copy and the cut are lost.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The size in bytes from which the file is cut; the copy is no longer than this either.
const MAX_SIZE: u64 = 4 * 1024 * 1024;
/// How much of the end is read for a message, in bytes.
const TAIL_SIZE: u64 = 4 * 1024;
/// How many lines of it are told.
const TAIL_LINES: usize = 5;

/// The log in the directory of the private Postgres.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    /// The log of the cluster in `dir`. Touches nothing yet.
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("postgres.log") }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for a server to append to, and tells its length in bytes so far.
    pub(super) fn open(&self) -> io::Result<(File, u64)> {
        let file = options().append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }

    /// The last lines after the first `from` bytes, joined by `; `. Empty where nothing can be
    /// read: this goes into messages about something worse.
    pub(super) fn tail(&self, from: u64) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            let from = if from > length { 0 } else { from };
            file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_SIZE))))?;
            let mut bytes = Vec::new();
            file.take(TAIL_SIZE).read_to_end(&mut bytes)?;
            Ok(last_lines(&bytes))
        };
        read().unwrap_or_default()
    }

    /// Cuts the file where it has grown too long, keeping its end in `postgres.log.1`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or cut. Where only the copy fails, as on a full disk, the file is
    /// cut all the same: that it stays short matters more.
    pub(super) fn bound(&self) -> io::Result<()> {
        self.bound_to(MAX_SIZE)
    }

    fn bound_to(&self, max_size: u64) -> io::Result<()> {
        let mut file = match options().read(true).append(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let length = file.metadata()?.len();
        if length <= max_size {
            return Ok(());
        }
        let copied = self.keep_end(&mut file, length.saturating_sub(max_size));
        file.set_len(0)?;
        copied
    }

    fn keep_end(&self, file: &mut File, from: u64) -> io::Result<()> {
        let mut old =
            options().write(true).truncate(true).open(self.path.with_extension("log.1"))?;
        file.seek(SeekFrom::Start(from))?;
        io::copy(&mut file.take(MAX_SIZE), &mut old).map(drop)
    }
}

/// The directory belongs to an unprivileged account, and the host may be root: it must not
/// follow a link that somebody put there.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// The last lines of what a program wrote, joined by `; `.
pub(super) fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("; ")
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn the_tail_is_of_this_start_alone() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::new(dir.path());
        assert_eq!(log.tail(0), "", "no file yet");
        fs::write(log.path(), "old\n").unwrap();
        let (mut file, from) = log.open().unwrap();
        write!(file, "1\n2\n\n3\n  4\n5\n6\n").unwrap();
        assert_eq!(log.tail(from), "2; 3; 4; 5; 6");
        assert_eq!(log.tail(1000), "2; 3; 4; 5; 6", "cut since then");
        fs::write(log.path(), "x".repeat(10_000)).unwrap();
        assert!(log.tail(0).len() <= 4096);
    }

    #[test]
    fn a_long_file_is_cut_under_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::new(dir.path());
        let (mut writer, _) = log.open().unwrap();
        write!(writer, "0123456789").unwrap();
        log.bound_to(10).unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "0123456789", "not too long yet");
        write!(writer, "abc").unwrap();
        log.bound_to(10).unwrap();
        write!(writer, "new").unwrap();
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "new");
        let old = fs::read_to_string(dir.path().join("postgres.log.1")).unwrap();
        assert_eq!(old, "3456789abc");
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFile::new(dir.path());
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, log.path()).unwrap();
        log.open().unwrap_err();
        log.bound_to(1).unwrap_err();
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    }
}
