//! The files of one attempt: `<attempts>/<task>/<attempt>/`, with `stdin.json`, `stdout` and
//! `stderr` of an `exec` process, `log` with what a worker wrote meanwhile, and `artifacts/` with what it sent
//! by `task/artifact`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{
        fleet::{Fleet, OutputFormat, StdinMode},
        task::{Assignment, FailureClass, Outcome},
    },
    heartbeat::Vitals,
    process::{Ended, Exit},
    protocol::{
        exec,
        output::{self, Window},
    },
};

/// How often the files of a running process are looked at for growth, at the least and the most.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The same where they may not grow beyond a limit: what floods fills a disk in seconds.
const LOOK_FOR_FLOODS: Duration = Duration::from_secs(1);

/// Where the files of one attempt are.
#[derive(Debug, Clone)]
pub(super) struct AttemptFiles {
    dir: PathBuf,
}

impl AttemptFiles {
    pub(super) fn of(attempts_dir: &Path, assignment: &Assignment) -> Self {
        let dir =
            attempts_dir.join(assignment.task.to_string()).join(assignment.attempt.to_string());
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn stdin(&self) -> PathBuf {
        self.dir.join("stdin.json")
    }

    pub(super) fn stdout(&self) -> PathBuf {
        self.dir.join("stdout")
    }

    /// What a worker, which has no stdout and stderr of its own here, wrote while it was at it.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(super) fn stderr(&self) -> PathBuf {
        self.dir.join("stderr")
    }

    /// Makes the directory, and `stdin.json` if the fleet wants one. Blocks.
    pub(super) fn make(&self, fleet: &Fleet, assignment: &Assignment) -> io::Result<()> {
        private_dir(&self.dir)?;
        if fleet.stdin == StdinMode::Task {
            let left = assignment.time_left(fleet.task_timeout, Duration::ZERO, Duration::ZERO);
            let timeout = left.map(|left| left.limit);
            private_file(&self.stdin())?.write_all(&exec::stdin(assignment, timeout)?)?;
        }
        Ok(())
    }

    /// Keeps an artifact under a name that can't leave the directory. Blocks.
    pub(super) fn keep_artifact(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let dir = self.dir.join("artifacts");
        private_dir(&dir)?;
        let path = dir.join(file_name(name));
        private_file(&path)?.write_all(content)?;
        Ok(path)
    }

    /// What an ended process left as its outcome; one that `gave_result` and was ended by the host for
    /// going on afterwards, as if it had ended well. Blocks.
    pub(super) fn outcome(&self, fleet: &Fleet, ended: &Ended, gave_result: bool) -> Outcome {
        let status = match (ended.exit, ended.fault_of_host()) {
            (Exit::Code(_) | Exit::Signal(_), None) if gave_result => exec::Exit::Code(0),
            (Exit::Code(code), None) => exec::Exit::Code(code),
            (Exit::Signal(signal), None) => exec::Exit::Signal(signal),
            (_, why) => {
                let reason = why.unwrap_or("the process was lost").to_owned();
                return Outcome::Released { reason };
            }
        };
        let read = || -> io::Result<(Vec<u8>, Vec<u8>)> {
            let stdout = match output::window(fleet.output, fleet.max_output) {
                Window::Head(most) => read_some(&self.stdout(), most)?,
                Window::Tail(most) => tail(&self.stdout(), most)?,
            };
            Ok((stdout, tail(&self.stderr(), exec::MAX_TAIL as u64)?))
        };
        match read() {
            Ok((stdout, stderr)) => {
                let outcome =
                    exec::outcome(fleet.output, status, &stdout, &stderr, fleet.max_output);
                match outcome {
                    Outcome::Failed { message, detail, .. } if ended.out_of_memory => {
                        let message = format!("{OUT_OF_MEMORY}; {message}");
                        Outcome::Failed { class: FailureClass::Memory, message, detail }
                    }
                    outcome => outcome,
                }
            }
            Err(error) => {
                let dir = self.dir.display();
                let message = format!("the output of the attempt in {dir} can't be read: {error}");
                Outcome::failed(FailureClass::Internal, message)
            }
        }
    }

    /// Resolves once the process has given its result, a whole JSON value on stdout, and said nothing more
    /// for the time that it may linger. Never where a result can't be told from the beginning of one.
    pub(super) async fn lingers(self, fleet: Arc<Fleet>) {
        let (Some(linger), OutputFormat::Json) = (fleet.linger, fleet.output) else {
            return std::future::pending().await;
        };
        let mut tick = tokio::time::interval((linger / 4).clamp(LOOK.0, LOOK.1));
        let mut seen = (0, Instant::now(), false);
        loop {
            tick.tick().await;
            let size = tokio::fs::metadata(self.stdout()).await.map_or(0, |meta| meta.len());
            if size != seen.0 {
                let (path, most) = (self.stdout(), fleet.max_output);
                let is_whole = move || {
                    let text = read_some(&path, most).unwrap_or_default();
                    serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok()
                };
                let is_whole = tokio::task::spawn_blocking(is_whole).await.unwrap_or(false);
                seen = (size, Instant::now(), is_whole);
            } else if seen.2 && seen.1.elapsed() >= linger {
                return;
            }
        }
    }

    /// Touches `vitals` whenever stdout or stderr have grown. Resolves once they have more than `most` bytes.
    pub(super) async fn watch(
        self,
        vitals: Arc<Vitals>,
        stale_after: Option<Duration>,
        most: Option<u64>,
    ) {
        let longest = if most.is_some() { LOOK_FOR_FLOODS } else { LOOK.1 };
        let every = stale_after.map_or(longest, |limit| (limit / 12).clamp(LOOK.0, longest));
        let most = most.unwrap_or(u64::MAX);
        let (mut seen, mut wait) = (0, LOOK.0);
        loop {
            let mut size = 0;
            for path in [self.stdout(), self.stderr()] {
                size += tokio::fs::metadata(path).await.map_or(0, |meta| meta.len());
            }
            if size > most {
                return;
            }
            let grown = size.saturating_sub(seen);
            if size != seen {
                seen = size;
                vitals.touch();
            }
            // Soon at first, and whenever it would be past its limit by then if it goes on like this.
            let then = growth(grown, wait, every).saturating_add(size);
            wait = if then > most { LOOK.0 } else { (wait * 2).min(every) };
            tokio::time::sleep(wait).await;
        }
    }
}

/// How much more there will be after `every`, of what has grown by so many bytes in `time`.
fn growth(bytes: u64, time: Duration, every: Duration) -> u64 {
    let grown = u128::from(bytes) * every.as_millis() / time.as_millis().max(1);
    u64::try_from(grown).unwrap_or(u64::MAX)
}

/// Makes a directory and its parents that only this user can enter.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a file, or empties it, that only this user can read.
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// What is said of an attempt that the kernel ended for want of memory.
pub(super) const OUT_OF_MEMORY: &str =
    "it took more memory than its control group may have (limits.group_memory)";

/// At most the first `most` bytes of a file.
fn read_some(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut head)?;
    Ok(head)
}

/// At most the last `most` bytes of a file.
fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
    let mut tail = Vec::new();
    file.take(most).read_to_end(&mut tail)?;
    Ok(tail)
}

/// A plain file name made of any text: no separator, no leading dot, at most 100 characters.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().take(100).map(plain).collect();
    match name.trim_start_matches('.') {
        "" => "artifact".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is looked at once a second is looked at sooner where it grows.
    #[tokio::test(start_paused = true)]
    async fn a_flood_is_found_at_its_limit_and_what_has_none_never() {
        let dir = tempfile::tempdir().unwrap();
        let files = AttemptFiles { dir: dir.path().to_owned() };
        fs::write(files.stdout(), [0; 60]).unwrap();
        fs::write(files.stderr(), [0; 40]).unwrap();
        let clock = crate::heartbeat::Clock::start();
        let vitals = Arc::new(Vitals::new(clock));
        let limited = files.clone().watch(vitals.clone(), None, Some(100));
        let mut limited = std::pin::pin!(limited);
        let free = tokio::spawn(files.clone().watch(vitals, None, None));
        let wait = tokio::time::timeout(Duration::from_secs(60), &mut limited).await;
        assert!(wait.is_err(), "it may have as much");
        fs::write(files.stderr(), [0; 41]).unwrap();
        let before = clock.now();
        limited.await;
        assert!(clock.now() - before <= 1_000);
        assert!(!free.is_finished());
        free.abort();
    }

    #[test]
    fn how_fast_it_grows_says_when_it_is_looked_at_next() {
        let (look, second) = (LOOK.0, Duration::from_secs(1));
        assert_eq!(growth(0, look, second), 0);
        assert_eq!(growth(20 << 20, look, second), 200 << 20);
        assert_eq!(growth(u64::MAX, look, second), u64::MAX);
    }

    #[test]
    fn an_artifacts_name_can_not_leave_its_directory() {
        for (name, file) in [
            ("report.md", "report.md"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..", "artifact"),
            ("", "artifact"),
            ("/a\0b\n", "_a_b_"),
            ("ä ö", "___"),
        ] {
            assert_eq!(file_name(name), file, "{name:?}");
        }
    }
}
