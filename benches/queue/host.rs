//! A real host: the `hostler` program on the benchmark's Postgres, in a database of its own.

use std::{
    fs, io,
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
    agent::{ARGUMENT, COUNT, Ear, TELL, TO, counted, moments},
    api::Api,
    cluster::Cluster,
};

/// The workers of a host.
pub(crate) const WORKERS: usize = 4;
/// The queue that they serve.
pub(crate) const QUEUE: &str = "bench";
/// A queue that waits.
pub(crate) const PARKED: &str = "parked";

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the agents of a host do with a task, besides answering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agents {
    /// So many write down when it came.
    Count(usize),
    /// The usual number say at once that it came.
    Tell,
}

/// A host that runs; stopped when dropped.
pub(crate) struct Host {
    directory: PathBuf,
    process: Child,
    ear: Option<Ear>,
}

impl Host {
    /// Starts a host of this name on `database`, and waits until its agents are there.
    pub(crate) fn start(
        cluster: &Cluster,
        database: &str,
        name: &str,
        agents: Agents,
    ) -> Outcome<Self> {
        let directory = cluster.workplace(name)?;
        let said = directory.join("said");
        let ear = match agents {
            Agents::Tell => Some(Ear::open(&directory.join("ear"))?),
            Agents::Count(_) => None,
        };
        fs::create_dir_all(&said)?;
        for old in fs::read_dir(&said)? {
            fs::remove_file(old?.path())?;
        }
        fs::write(
            directory.join("bench.toml"),
            config(&directory, &cluster.url(database), agents)?,
        )?;
        let process = Command::new(env!("CARGO_BIN_EXE_hostler"))
            .args(["up", "--config", "bench.toml", "--data-dir", "data"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("stderr"))?)
            .spawn()?;
        let mut host = Self { directory, process, ear };
        host.await_agents(agents)?;
        Ok(host)
    }

    fn await_agents(&mut self, agents: Agents) -> Outcome<()> {
        let began = Instant::now();
        loop {
            let there = match agents {
                Agents::Count(wanted) => counted(&self.said())?.0 >= wanted,
                // They are few: they are there long before the socket has been found quiet.
                Agents::Tell => true,
            };
            if there && self.connect().is_ok() {
                break;
            }
            if began.elapsed() > PATIENCE || self.process.try_wait()?.is_some() {
                let stderr = fs::read_to_string(self.directory.join("stderr"));
                return Err(format!("no host: {}", stderr.unwrap_or_default()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Until the last of them has said hello and counts as idle.
        thread::sleep(Duration::from_secs(1));
        Ok(())
    }

    fn said(&self) -> PathBuf {
        self.directory.join("said")
    }

    /// A connection to its API.
    pub(crate) fn connect(&self) -> io::Result<Api> {
        Api::connect(&self.socket())
    }

    /// Where its API is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("data/hostler.sock")
    }

    /// How many tasks its agents have had.
    pub(crate) fn tasks_had(&self) -> io::Result<usize> {
        Ok(counted(&self.said())?.1)
    }

    /// When its agents got each task, the earliest first.
    pub(crate) fn moments(&self) -> io::Result<Vec<u64>> {
        moments(&self.said())
    }

    /// When an agent that tells got its next task.
    pub(crate) fn hear(&self) -> Outcome<u64> {
        Ok(self.ear.as_ref().ok_or("these agents do not tell")?.hear()?)
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

fn config(directory: &Path, url: &str, agents: Agents) -> io::Result<String> {
    let this = std::env::current_exe()?;
    let (this, count) =
        (this.display(), if let Agents::Count(count) = agents { count } else { WORKERS });
    let (how, to) = match agents {
        Agents::Count(_) => (COUNT, "said"),
        Agents::Tell => (TELL, "ear"),
    };
    // As many as a host claims ahead of agents this quick; one at a time where single tasks are timed.
    let prefetch = match agents {
        Agents::Count(_) => 128,
        Agents::Tell => 1,
    };
    let to = directory.join(to);
    let to = to.display();
    Ok(format!(
        r#"
[database]
url = "{url}"

[http]
bind = "off"

[fleets.noop]
protocol = "worker"
command = ["{this}", "{ARGUMENT}", "{how}"]
count = {count}
prefetch = {prefetch}
queues = ["{QUEUE}", "{PARKED}"]
env = {{ {TO} = "{to}" }}

[queues.{PARKED}]
paused = true
"#
    ))
}
