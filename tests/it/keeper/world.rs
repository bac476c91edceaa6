//! A keeper in a directory of its own, and what tests need around it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hostler::{
    domain::{AgentName, FleetName, Generation, fleet::Limits},
    process::{Ended, Keeper, KeeperPlaces, Processes, SpawnError, Spawned, Spec, Stdio},
};
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe::Receiver,
    time::timeout,
};
use uuid::Uuid;

/// How long anything in these tests may take; only a failing test waits this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The environment variable that tells one world's processes from all others.
pub(super) const WORLD: &str = "HOSTLER_TEST_WORLD";

/// The tested program.
pub(super) const HOSTLER: &str = env!("CARGO_BIN_EXE_hostler");

pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) keeper: Keeper,
    name: String,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with_groups(None).await
    }

    /// One whose processes get control groups below `groups`.
    pub(super) async fn with_groups(groups: Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keeper = start_with(dir.path(), groups).await;
        Self { dir, keeper, name: Uuid::new_v4().to_string() }
    }

    /// A process that runs `script` by `sh`, with stdout as a pipe.
    pub(super) fn sh(&self, script: &str) -> Spec {
        let mut spec = spec(&["/bin/sh", "-c", script]);
        spec.env.insert(WORLD.to_owned(), self.name.clone());
        spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        spec.stdout = Stdio::Pipe;
        spec
    }

    pub(super) async fn try_spawn(&self, spec: Spec) -> Result<Running, SpawnError> {
        let spawned = in_time(self.keeper.spawn(spec)).await?;
        Ok(Running::new(spawned))
    }

    pub(super) async fn spawn(&self, spec: Spec) -> Running {
        self.try_spawn(spec).await.unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The pids of this world's processes.
    pub(super) fn alive(&self) -> Vec<u32> {
        alive(&self.name)
    }

    /// Ends the keeper; nothing of this world may be left.
    pub(super) async fn end(self) {
        let pid = self.keeper.pid();
        in_time(self.keeper.shutdown()).await;
        assert_eq!(self.keeper.pid(), None);
        assert!(pid.is_none_or(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        assert_eq!(self.alive(), Vec::<u32>::new());
        assert!(!self.path("keeper.sock").exists());
    }
}

/// A started process, with its stdout as lines.
pub(super) struct Running {
    pub(super) spawned: Spawned,
    lines: Option<Lines<BufReader<Receiver>>>,
}

impl Running {
    fn new(mut spawned: Spawned) -> Self {
        let receiver = spawned.stdout.take().map(|fd| Receiver::from_owned_fd(fd).unwrap());
        Self { spawned, lines: receiver.map(|receiver| BufReader::new(receiver).lines()) }
    }

    /// The next line of stdout; `None` at its end.
    pub(super) async fn line(&mut self) -> Option<String> {
        in_time(self.lines.as_mut().unwrap().next_line()).await.unwrap()
    }

    /// The next line of stdout, as a number.
    pub(super) async fn number(&mut self) -> u32 {
        self.line().await.unwrap().trim().parse().unwrap()
    }

    /// All further lines, to the end of stdout.
    pub(super) async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    pub(super) async fn ended(self) -> Ended {
        in_time(self.spawned.ended).await.unwrap()
    }
}

pub(super) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

pub(super) async fn start(dir: &Path) -> Keeper {
    start_with(dir, None).await
}

/// A host's places in `dir`.
pub(super) fn places(dir: &Path, groups: Option<PathBuf>) -> KeeperPlaces {
    KeeperPlaces {
        exe: HOSTLER.into(),
        socket: dir.join("keeper.sock"),
        log_dir: dir.join("logs"),
        groups,
        grace: Duration::from_secs(7),
    }
}

async fn start_with(dir: &Path, groups: Option<PathBuf>) -> Keeper {
    let log = Logger::root(Discard, o!());
    Keeper::start(&log, places(dir, groups)).await.unwrap().0
}

/// A process with nothing but a command.
pub(super) fn spec(argv: &[&str]) -> Spec {
    let fleet: FleetName = "test".parse().unwrap();
    Spec {
        agent: AgentName::of(&fleet, 1),
        generation: Generation(1),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: BTreeMap::new(),
        cwd: "/".into(),
        user: None,
        limits: Limits::default(),
        stdin: Stdio::Null,
        stdout: Stdio::Null,
        stderr: Stdio::Null,
        note: "a note".to_owned(),
        pinned: false,
        keep_pipes: false,
    }
}

/// The pids of the living processes of a world. Zombies have no environment.
pub(super) fn alive(world: &str) -> Vec<u32> {
    let entry = format!("{WORLD}={world}");
    let mut pids = Vec::new();
    for process in fs::read_dir("/proc").unwrap() {
        let path = process.unwrap().path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()) {
            pids.push(pid);
        }
    }
    pids
}

/// Whether a process runs; a zombie does not.
pub(super) fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Kills a process as an outsider would.
pub(super) fn kill_9(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}
