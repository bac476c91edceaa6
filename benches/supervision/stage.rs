//! Where everything happens: a directory in memory, the programs in C, and what they say.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::Outcome;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked.
const LOOK: Duration = Duration::from_micros(500);

/// Nanoseconds on the clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A child said that it runs.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// `C` for a child, `G` for what it forked, `B` for the last beat of one that hangs.
    pub(crate) kind: char,
    /// Whose it is.
    pub(crate) id: String,
    /// Its process.
    pub(crate) pid: i32,
    /// When.
    pub(crate) at: u64,
}

/// The directory of one subject, with the log of its children.
pub(crate) struct Stage {
    directory: TempDir,
    read: u64,
    rest: String,
    /// All that was said.
    pub(crate) said: Vec<Said>,
    /// The newest child of each id.
    pub(crate) newest: BTreeMap<String, Said>,
}

impl Stage {
    /// A directory with the programs in it.
    pub(crate) fn new() -> Outcome<Self> {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("hostler-bench-").tempdir_in(place)?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711))?;
        let (read, rest) = (0, String::new());
        let stage = Self { directory, read, rest, said: Vec::new(), newest: BTreeMap::new() };
        for name in ["child", "floor"] {
            let source = format!("{}/benches/supervision/{name}.c", env!("CARGO_MANIFEST_DIR"));
            let made = Command::new("cc")
                .args(["-O2", "-static", "-o"])
                .arg(stage.path(name))
                .arg(source)
                .output()
                .map_err(|error| format!("a C compiler is needed, as `cc`: {error}"))?;
            if !made.status.success() {
                return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
            }
        }
        fs::write(stage.log(), "")?;
        Ok(stage)
    }

    /// A name in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program that is supervised.
    pub(crate) fn child(&self) -> PathBuf {
        self.path("child")
    }

    /// Where children say that they run.
    pub(crate) fn log(&self) -> PathBuf {
        self.path("said")
    }

    /// Forgets what was said, as for another subject.
    pub(crate) fn forget(&mut self) -> Outcome<()> {
        fs::write(self.log(), "")?;
        self.read = 0;
        self.rest.clear();
        self.said.clear();
        self.newest.clear();
        Ok(())
    }

    /// Reads what was said since.
    pub(crate) fn listen(&mut self) -> Outcome<()> {
        let mut file = fs::File::open(self.log())?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = std::mem::take(&mut self.rest);
        self.read += file.read_to_string(&mut text)? as u64;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.rest = text.split_off(whole);
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [kind, id, pid, at] = words[..] else { return Err(format!("`{line}`").into()) };
            let kind = kind.chars().next().unwrap_or_default();
            let said = Said { kind, id: id.to_owned(), pid: pid.parse()?, at: at.parse()? };
            if kind == 'C' {
                self.newest.insert(said.id.clone(), said.clone());
            }
            self.said.push(said);
        }
        Ok(())
    }

    /// Listens until something is so.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Outcome<()> {
        let began = Instant::now();
        loop {
            self.listen()?;
            if is_so(self) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{what}: not within {PATIENCE:?}").into());
            }
            thread::sleep(LOOK);
        }
    }

    /// When the last child of all said that it runs.
    pub(crate) fn last(&self) -> u64 {
        self.newest.values().map(|said| said.at).max().unwrap_or_default()
    }

    /// The processes that run the child's program, what they forked among them.
    pub(crate) fn alive(&self) -> Outcome<Vec<i32>> {
        let program = self.child();
        let mut alive = Vec::new();
        for pid in pids()? {
            if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program) {
                alive.push(pid);
            }
        }
        Ok(alive)
    }

    /// Waits until no child is left; gives how many are when `patience` is over.
    pub(crate) fn await_none(&self, patience: Duration) -> Outcome<usize> {
        let began = Instant::now();
        loop {
            let left = self.alive()?.len();
            if left == 0 || began.elapsed() > patience {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills whatever child is left.
    pub(crate) fn clear(&self) -> Outcome<()> {
        for pid in self.alive()? {
            // It may have ended by now.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nobody is left to tell.
        self.clear().ok();
    }
}

/// All processes.
pub(crate) fn pids() -> Outcome<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// What processes cost, all together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Memory, shared pages by their part, in bytes.
    pub(crate) pss: f64,
    /// CPU time so far, in milliseconds.
    pub(crate) cpu: f64,
    /// How often a thread of theirs went to sleep so far.
    pub(crate) sleeps: f64,
}

impl Cost {
    /// Of the processes `pids`, without their children.
    pub(crate) fn of(pids: &[i32]) -> Outcome<Self> {
        let mut cost = Self::default();
        for pid in pids {
            let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            cost.pss += field(&memory, "Pss:") * 1024.0;
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let thread = thread?.path();
                let nanos = fs::read_to_string(thread.join("schedstat"))?;
                let nanos = nanos.split_whitespace().next().and_then(|word| word.parse().ok());
                cost.cpu += nanos.unwrap_or(0.0) / 1e6;
                let status = fs::read_to_string(thread.join("status"))?;
                cost.sleeps += field(&status, "voluntary_ctxt_switches:");
            }
        }
        Ok(cost)
    }
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
