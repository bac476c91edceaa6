//! The agent's own log: what its processes wrote to stderr, and what its workers said by
//! `task/log`. A file that begins anew at a size, with one old one kept.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;

use crate::telemetry::{RotatingFile, Rotation};

/// How many old files are kept beside the newest.
const KEEP: u32 = 1;
/// How much of the end of stderr is kept in memory for error messages, in bytes.
const TAIL: usize = 2048;

/// An open log. Clones write to the same file.
#[derive(Clone)]
pub(super) struct AgentLog(Arc<Mutex<Inner>>);

struct Inner {
    file: Option<RotatingFile>,
    tail: Vec<u8>,
}

impl AgentLog {
    /// Opens (or makes) the log at `path`, which begins anew at `rotate_size` bytes.
    ///
    /// # Errors
    ///
    /// When it can't be made or written.
    pub(super) fn open(path: &Path, rotate_size: u64) -> io::Result<Self> {
        let rotation = Rotation { size: rotate_size, age: None, keep: KEEP };
        let file = RotatingFile::open(path, rotation, SystemTime::now())?;
        Ok(Self(Arc::new(Mutex::new(Inner { file: Some(file), tail: Vec::new() }))))
    }

    /// A log that keeps nothing but its tail, where the file can't be had.
    pub(super) fn nowhere() -> Self {
        Self(Arc::new(Mutex::new(Inner { file: None, tail: Vec::new() })))
    }

    /// Appends `chunk`, off the actors' thread.
    ///
    /// # Errors
    ///
    /// That of the write; the disk may be full.
    pub(super) async fn append(&self, chunk: Bytes) -> io::Result<()> {
        let inner = self.0.clone();
        let write = move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.keep_tail(&chunk);
            inner.file.as_mut().map_or(Ok(()), |file| file.write_line(&chunk, SystemTime::now()))
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }

    /// The end of what was appended since [`AgentLog::forget`], for people.
    pub(super) fn tail(&self) -> String {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&inner.tail).trim().to_owned()
    }

    /// Begins the tail anew, as for a new process.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tail.clear();
    }
}

impl Inner {
    fn keep_tail(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(TAIL)..];
        let over = (self.tail.len() + chunk.len()).saturating_sub(TAIL);
        self.tail.drain(..over);
        self.tail.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_is_bounded_and_its_tail_is_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let log = AgentLog::open(&dir.path().join("a.log"), 1000).unwrap();
        for line in 0..200 {
            log.append(Bytes::from(format!("line {line:04} \u{fffd}\n"))).await.unwrap();
        }
        let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        let size: u64 = files.iter().map(|f| f.as_ref().unwrap().metadata().unwrap().len()).sum();
        assert!(files.len() == 2 && size < 2_500, "{} files, {size} bytes", files.len());
        assert!(log.tail().ends_with("line 0199 \u{fffd}"));
        assert!(log.tail().len() <= TAIL);
        log.forget();
        assert_eq!(log.tail(), "");
    }
}
