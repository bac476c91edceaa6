//! A real host: the `hostler` program in a directory of its own, with its private Postgres.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio_postgres::Config;

use crate::{
    agent::{ARGUMENT, Ear, SOCKET},
    api::Api,
};

/// How many workers there are.
pub(crate) const WORKERS: usize = 4;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that runs; stopped when dropped.
pub(crate) struct Host {
    dir: TempDir,
    process: Child,
    /// Where its agents are heard.
    pub(crate) ear: Ear,
    /// The process that is killed over and over.
    pub(crate) victim: i32,
}

impl Host {
    /// Starts a host with four workers and a process to be killed, and waits until all are there.
    pub(crate) fn start() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("hostler-bench-").tempdir()?;
        // The private Postgres of a root host runs as another user, who must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let ear = Ear::open(&dir.path().join("ear"))?;
        fs::write(dir.path().join("bench.toml"), config(dir.path())?)?;
        let process = Command::new(env!("CARGO_BIN_EXE_hostler"))
            .args(["up", "--config", "bench.toml", "--data-dir", "data"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("stderr"))?)
            .spawn()?;
        let mut host = Self { dir, process, ear, victim: 0 };
        host.await_agents()?;
        Ok(host)
    }

    fn await_agents(&mut self) -> io::Result<()> {
        let mut pids = Vec::new();
        for _ in 0..=WORKERS {
            let said = self.ear.hear().map_err(|error| {
                let stderr = fs::read_to_string(self.dir.path().join("stderr"));
                io::Error::other(format!("{error}\n{}", stderr.unwrap_or_default()))
            })?;
            pids.push(said.pid);
        }
        let is_victim = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"stay")
        };
        let victim = pids.into_iter().find(is_victim);
        self.victim = victim.ok_or_else(|| io::Error::other("no process to be killed"))?;
        let began = Instant::now();
        while self.connect().is_err() {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other("the host does not serve its socket"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// A connection to its API.
    pub(crate) fn connect(&self) -> io::Result<Api> {
        Api::connect(&self.socket())
    }

    /// Where its API is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("data/hostler.sock")
    }

    /// Another name in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// How to reach its Postgres.
    pub(crate) fn database(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.dir.path().join("data/postgres")).user("hostler").dbname("hostler");
        config
    }

    /// The CPU time that the host process itself has used.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let ticks = stat.rsplit(')').next().into_iter().flat_map(str::split_whitespace);
        let ticks: u64 = ticks.skip(11).take(2).filter_map(|tick| tick.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).map(Pid::from_raw);
        let asked = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
        let began = Instant::now();
        while asked && began.elapsed() < PATIENCE {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn config(dir: &Path) -> io::Result<String> {
    let this = std::env::current_exe()?;
    let (this, ear) = (this.display(), dir.join("ear").display().to_string());
    Ok(format!(
        r#"
[http]
bind = "off"

[fleets.noop]
protocol = "worker"
command = ["{this}", "{ARGUMENT}", "worker"]
count = {WORKERS}
queues = ["pickup", "drain", "parked"]
env = {{ {SOCKET} = "{ear}" }}

# The first backoff is all that it waits: 1 ms with jitter.
[fleets.victim]
protocol = "service"
command = ["{this}", "{ARGUMENT}", "stay"]
env = {{ {SOCKET} = "{ear}" }}
restart = {{ backoff_min = "1ms", backoff_max = "1ms", max_restarts = 10000 }}

[queues.drain]
paused = true

[queues.parked]
paused = true
"#
    ))
}
