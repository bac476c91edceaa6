//! A real host: the `hostler` program on the benchmark's Postgres.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Outcome,
    agent::{ARGUMENT, COUNT, TO},
    client::Client,
    cluster::{Cluster, free_address},
};

/// The queue of agents that answer at once.
pub(crate) const QUEUE: &str = "bench";

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that runs; stopped when dropped.
pub(crate) struct Host {
    directory: PathBuf,
    process: Child,
    address: SocketAddr,
}

impl Host {
    /// Starts a host on `database`, and waits until it answers.
    pub(crate) fn start(cluster: &Cluster, database: &str) -> Outcome<Self> {
        let directory = cluster.workplace("host")?;
        fs::create_dir_all(directory.join("said"))?;
        fs::create_dir_all(directory.join("root"))?;
        let address = free_address()?;
        fs::write(
            directory.join("bench.toml"),
            config(&directory, &cluster.url(database), address)?,
        )?;
        let process = Command::new(env!("CARGO_BIN_EXE_hostler"))
            .args(["up", "--config", "bench.toml", "--data-dir", "data"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("stderr"))?)
            .spawn()?;
        let mut host = Self { directory, process, address };
        let began = Instant::now();
        while host.connect()?.ask("GET", "/readyz", "").is_err() {
            if began.elapsed() > PATIENCE || host.process.try_wait()?.is_some() {
                let stderr = fs::read_to_string(host.directory.join("stderr"));
                return Err(format!("no host: {}", stderr.unwrap_or_default()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Until its agents have said hello and count as idle.
        thread::sleep(Duration::from_secs(1));
        Ok(host)
    }

    /// A connection to it; waits for a host that does not listen yet.
    pub(crate) fn connect(&self) -> Outcome<Client> {
        let began = Instant::now();
        loop {
            match Client::connect(self.address) {
                Ok(client) => return Ok(client),
                Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory in which commands of callers run.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// The memory that is its own, in kilobytes.
    pub(crate) fn memory(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let word = line.and_then(|line| line.split_whitespace().next()).ok_or("no Pss")?;
        Ok(word.parse()?)
    }

    /// The CPU time that it has used, in milliseconds.
    pub(crate) fn cpu(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let ticks = stat.rsplit(')').next().into_iter().flat_map(str::split_whitespace);
        let ticks: u64 = ticks.skip(11).take(2).filter_map(|tick| tick.parse::<u64>().ok()).sum();
        Ok(ticks as f64 * 10.0)
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

fn config(directory: &Path, url: &str, address: SocketAddr) -> Outcome<String> {
    let this = std::env::current_exe()?;
    let (this, program) = (this.display(), env!("CARGO_BIN_EXE_hostler"));
    let (said, root) = (directory.join("said"), directory.join("root"));
    let (said, root) = (said.display(), root.display());
    Ok(format!(
        r#"
[database]
url = "{url}"

[http]
bind = "{address}"

[fleets.noop]
protocol = "worker"
command = ["{this}", "{ARGUMENT}", "{COUNT}"]
count = 2
queues = ["{QUEUE}"]
env = {{ {TO} = "{said}" }}

[fleets.commands]
protocol = "worker"
command = ["{program}", "command-agent"]
queues = ["commands"]
env_pass = ["PATH", "HOME"]

[webhook]
command_fleet = "commands"
roots = ["{root}"]

[deliveries]
allow_loopback = true
"#
    ))
}
