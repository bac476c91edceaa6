//! A log file that begins anew when it is large or old, and of which old ones are kept.
//!
//! `NAME` is the newest, then `NAME.1`, `NAME.2` and so on. A line is never split over two files.
//! The time is an argument.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// When a file begins anew, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Before it would grow beyond this many bytes.
    pub size: u64,
    /// When it is this old; `None` is never.
    pub age: Option<Duration>,
    /// How many old files are kept.
    pub keep: u32,
}

/// A file with its rotation.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    begun: SystemTime,
}

impl RotatingFile {
    /// Opens the file at `path`, or makes it; goes on where an earlier process ended.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written.
    pub fn open(path: &Path, rotation: Rotation, now: SystemTime) -> io::Result<Self> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        // Where the file system does not keep the time of birth, the file is as old as its end.
        let begun = metadata.created().or_else(|_| metadata.modified()).unwrap_or(now);
        let size = metadata.len();
        let begun = if size == 0 { now } else { begun };
        Ok(Self { path: path.to_owned(), rotation, file, size, begun })
    }

    /// Writes one line, which has its line feed, to the newest file.
    ///
    /// # Errors
    ///
    /// When the line could not be written as a whole.
    pub fn write_line(&mut self, line: &[u8], now: SystemTime) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let is_full = self.size > 0 && self.size.saturating_add(length) > self.rotation.size;
        let age = now.duration_since(self.begun).unwrap_or_default();
        let is_old = self.size > 0 && self.rotation.age.is_some_and(|limit| age >= limit);
        if is_full || is_old {
            self.rotate(now)?;
        }
        self.file.write_all(line)?;
        self.size = self.size.saturating_add(length);
        Ok(())
    }

    /// Begins a new file, and removes the oldest.
    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        let keep = self.rotation.keep;
        if !self.path.exists() {
            // Taken away by somebody, or by an earlier try that failed after it: nothing to move.
        } else if keep == 0 {
            fs::remove_file(&self.path)?;
        } else {
            for number in (1..keep).rev() {
                rename_if_there(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
            }
            rename_if_there(&self.path, &numbered(&self.path, 1))?;
        }
        self.file = open(&self.path)?;
        self.size = 0;
        self.begun = now;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn contents(dir: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_full_file_begins_anew_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = Rotation { size: 8, age: None, keep: 2 };
        let mut file = RotatingFile::open(&dir.path().join("log"), rotation, START).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "longer than all\n", "six\n"] {
            file.write_line(line.as_bytes(), START).unwrap();
        }
        let expected = [("log", "six\n"), ("log.1", "longer than all\n"), ("log.2", "four\n")];
        assert_eq!(contents(dir.path()), pairs(&expected));
    }

    #[test]
    fn an_old_file_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let hour = Duration::from_secs(3600);
        let rotation = Rotation { size: 1 << 20, age: Some(hour), keep: 3 };
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, rotation, START).unwrap();
        for (minutes, line) in [(0, "a\n"), (59, "b\n"), (60, "c\n"), (119, "d\n"), (500, "e\n")] {
            file.write_line(line.as_bytes(), START + Duration::from_secs(minutes * 60)).unwrap();
        }
        let expected = [("log", "e\n"), ("log.1", "c\nd\n"), ("log.2", "a\nb\n")];
        assert_eq!(contents(dir.path()), pairs(&expected));
    }

    #[test]
    fn a_new_process_goes_on_where_the_last_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let rotation = Rotation { size: 8, age: Some(Duration::from_secs(60)), keep: 0 };
        let now = SystemTime::now();
        for line in ["one\n", "two\n", "three\n"] {
            let mut file = RotatingFile::open(&path, rotation, now).unwrap();
            file.write_line(line.as_bytes(), now).unwrap();
        }
        assert_eq!(contents(dir.path()), pairs(&[("log", "three\n")]));
        let later = now + Duration::from_secs(120);
        let mut file = RotatingFile::open(&path, rotation, later).unwrap();
        file.write_line(b"four\n", later).unwrap();
        assert_eq!(
            contents(dir.path()),
            pairs(&[("log", "four\n")]),
            "the age is that of the file"
        );
    }
}
