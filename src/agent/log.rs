//! The agent's own log: what its processes wrote to stderr (a service's to stdout, too), and what its
//! workers said by `task/log`. A file that begins anew at a size and an age, with old ones kept. What is
//! written while an attempt of a worker is under way goes to a log of that attempt as well.
//!
//! Bytes are taken as they come. How many there may be in a second is limited: past it the agent has
//! to wait for its own writes, and nobody else does.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::attempt::private_dir;
use crate::telemetry::{RotatingFile, Rotation};

/// How much of the end of stderr is kept in memory for error messages, in bytes.
const TAIL: usize = 2048;

/// How the logs of agents are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPolicy {
    /// When a file begins anew.
    pub rotation: Rotation,
    /// How many bytes an agent may write in a second; `None` is any number.
    pub rate: Option<u64>,
}

/// An open log. Clones write to the same file.
#[derive(Clone)]
pub(super) struct AgentLog {
    inner: Arc<Mutex<Inner>>,
    /// The log of the attempt under way. Not held while anything is written.
    attempt: Arc<Mutex<Option<OfAttempt>>>,
    policy: LogPolicy,
}

struct Inner {
    file: Option<RotatingFile>,
    tail: Vec<u8>,
}

/// The log of one attempt, whose file is made once there is something to write.
type OfAttempt = Arc<Mutex<AttemptLog>>;

struct AttemptLog {
    path: PathBuf,
    file: Option<RotatingFile>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AgentLog {
    /// Opens (or makes) the log at `path`.
    ///
    /// # Errors
    ///
    /// When it can't be made or written.
    pub(super) fn open(path: &Path, policy: LogPolicy) -> io::Result<Self> {
        let file = RotatingFile::open(path, policy.rotation, SystemTime::now())?;
        Ok(Self::new(Some(file), policy))
    }

    /// A log that keeps nothing but its tail, where the file can't be had.
    pub(super) fn nowhere(policy: LogPolicy) -> Self {
        Self::new(None, policy)
    }

    fn new(file: Option<RotatingFile>, policy: LogPolicy) -> Self {
        let inner = Arc::new(Mutex::new(Inner { file, tail: Vec::new() }));
        Self { inner, attempt: Arc::default(), policy }
    }

    /// How fast it may be written to.
    pub(super) fn allowance(&self) -> Allowance {
        Allowance::new(self.policy.rate, Instant::now())
    }

    /// Appends `chunk`, off the actors' thread. Which attempt it is about is settled by the call, not
    /// when it is written.
    ///
    /// # Errors
    ///
    /// That of the write; the disk may be full.
    pub(super) fn append(&self, chunk: Bytes) -> impl Future<Output = io::Result<()>> + use<> {
        let (inner, attempt) = (self.inner.clone(), lock(&self.attempt).clone());
        let rotation = self.policy.rotation;
        let write = move || {
            let now = SystemTime::now();
            let own = lock(&inner).write(&chunk, now);
            own.and(attempt.map_or(Ok(()), |log| lock(&log).write(&chunk, rotation, now)))
        };
        async { tokio::task::spawn_blocking(write).await.map_err(io::Error::other)? }
    }

    /// From here on what is written is about the attempt whose log is `path`, or about none.
    pub(super) fn concerns(&self, path: Option<PathBuf>) {
        let log = path.map(|path| Arc::new(Mutex::new(AttemptLog { path, file: None })));
        *lock(&self.attempt) = log;
    }

    /// The end of what was appended since [`AgentLog::forget`], for people.
    pub(super) fn tail(&self) -> String {
        String::from_utf8_lossy(&lock(&self.inner).tail).trim().to_owned()
    }

    /// Begins the tail anew, as for a new process.
    pub(super) fn forget(&self) {
        lock(&self.inner).tail.clear();
    }
}

impl AttemptLog {
    fn write(&mut self, chunk: &[u8], rotation: Rotation, now: SystemTime) -> io::Result<()> {
        if self.file.is_none() {
            if let Some(dir) = self.path.parent() {
                private_dir(dir)?;
            }
            self.file = Some(RotatingFile::open(&self.path, rotation, now)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_line(chunk, now))
    }
}

impl Inner {
    fn write(&mut self, chunk: &[u8], now: SystemTime) -> io::Result<()> {
        self.keep_tail(chunk);
        self.file.as_mut().map_or(Ok(()), |file| file.write_line(chunk, now))
    }

    fn keep_tail(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(TAIL)..];
        let over = (self.tail.len() + chunk.len()).saturating_sub(TAIL);
        self.tail.drain(..over);
        self.tail.extend_from_slice(chunk);
    }
}

/// What a worker has said by `task/log`: written at once for all that was read of it at a time, and no faster
/// than the log may be written to. Else one that says much would fill the queue of those who write.
pub(super) struct Said {
    lines: Vec<u8>,
    allowance: Allowance,
}

impl Said {
    pub(super) const fn new(allowance: Allowance) -> Self {
        Self { lines: Vec::new(), allowance }
    }

    pub(super) fn add(&mut self, line: &str) {
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// What is to be written, and how long to wait before more is read.
    pub(super) fn take(&mut self, now: Instant) -> (Bytes, Duration) {
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        let wait = self.allowance.take(lines.len(), now);
        (lines, wait)
    }
}

/// What may be written by now: as much as a second's worth at once, and that much a second.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: Option<u64>,
    /// When all that was written has been paid for.
    paid_at: Instant,
}

impl Allowance {
    const fn new(rate: Option<u64>, now: Instant) -> Self {
        Self { rate, paid_at: now }
    }

    /// Takes so many bytes; how long to wait until more may be written.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let price = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.paid_at = self.paid_at.max(now) + price;
        self.paid_at.saturating_duration_since(now + Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(size: u64) -> LogPolicy {
        LogPolicy { rotation: Rotation { size, age: None, keep: 1 }, rate: None }
    }

    #[tokio::test]
    async fn the_log_is_bounded_and_its_tail_is_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let log = AgentLog::open(&dir.path().join("a.log"), policy(1000)).unwrap();
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

    #[tokio::test]
    async fn an_attempt_has_a_log_of_its_own_once_something_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let log = AgentLog::open(&dir.path().join("a.log"), policy(1000)).unwrap();
        let (first, second) = (dir.path().join("t/1/log"), dir.path().join("t/2/log"));
        log.append(Bytes::from_static(b"before\n")).await.unwrap();
        log.concerns(Some(first.clone()));
        log.append(Bytes::from_static(b"\xff\x00\n")).await.unwrap();
        log.concerns(Some(second.clone()));
        log.concerns(None);
        log.append(Bytes::from_static(b"after\n")).await.unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), b"\xff\x00\n");
        assert!(!second.parent().unwrap().exists());
        let own = std::fs::read(dir.path().join("a.log")).unwrap();
        assert_eq!(own, b"before\n\xff\x00\nafter\n");
    }

    #[test]
    fn a_second_s_worth_is_free_and_the_rest_waits() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut allowance = Allowance::new(Some(1000), now);
        assert_eq!(allowance.take(1000, now), Duration::ZERO);
        assert_eq!(allowance.take(500, now), second / 2);
        assert_eq!(allowance.take(500, now + second / 2), second / 2);
        assert_eq!(allowance.take(1000, now + second * 9), Duration::ZERO, "rest is not saved up");
        assert_eq!(allowance.take(1000, now + second * 9), second);
        assert_eq!(Allowance::new(None, now).take(usize::MAX, now), Duration::ZERO);
    }
}
