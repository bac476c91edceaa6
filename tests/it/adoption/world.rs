//! A host that can be killed and started again, whose agents wait for the test's word.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    TestDatabase,
    cluster::on_a_runtime,
    processes::{PATIENCE, is_live, within},
};

/// An `exec` agent that notes that it began, waits for the file `go`, notes what it did, and speaks
/// before and after.
const EXEC: &str = "echo $HOSTLER_TASK_ID >>began; echo first; \
    while [ ! -e go ]; do sleep 0.02; done; echo $HOSTLER_TASK_ID >>effects; echo last";

/// A worker that does the same with each task.
const WORKER: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":} id=${id%%,*} task=${line#*\"task_id\":\"} task=${task%%\"*}
  case $line in
    *\"method\":\"initialize\"*)
      echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"protocol_version\":1}}" ;;
    *\"method\":\"task/run\"*)
      echo $task >>began
      while [ ! -e go ]; do sleep 0.02; done
      echo $task >>effects
      echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":\"done by $$\"}" ;;
    *\"method\":\"shutdown\"*) exit 0 ;;
  esac
done
"#;

/// A host on a database and in a directory of its own. Dropped, it is killed with its keeper.
pub(super) struct Host {
    dir: TempDir,
    pub(super) database: TestDatabase,
    child: Option<Child>,
}

impl Host {
    /// One of each kind of agent: `exec-1`, `worker-1` and `worker-2`, `service-1`.
    pub(super) fn of_all_kinds() -> Self {
        let host = Self::new();
        host.configure(&[EXEC_FLEET, WORKER_FLEET, SERVICE_FLEET]);
        host
    }

    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("exec.sh"), EXEC).unwrap();
        fs::write(dir.path().join("worker.sh"), WORKER).unwrap();
        Self { dir, database: on_a_runtime(TestDatabase::new()), child: None }
    }

    /// Writes the config, for the next start.
    pub(super) fn configure(&self, fleets: &[&str]) {
        let base = format!(
            "[http]\nbind = \"off\"\n[host]\ndata_dir = '{data}'\nlease = \"6s\"\n\
             [tasks]\npoll = \"100ms\"\n\
             [tasks.retry]\nbackoff_min = \"10ms\"\nbackoff_max = \"50ms\"\n\
             [fleet_defaults]\ncwd = '{dir}'\nstop_grace = \"500ms\"\n\
             [database]\nurl = \"{url}\"\n",
            data = self.path("data").display(),
            dir = self.dir.path().display(),
            url = self.database.url(),
        );
        fs::write(self.path("hostler.toml"), base + &fleets.concat()).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).stdin(Stdio::null());
        command.arg("-c").arg(self.path("hostler.toml")).args(words);
        command
    }

    /// Starts the host and waits until it answers.
    pub(super) fn up(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.path("stderr")).unwrap();
        let child = self.command(&["up"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let child = self.child.insert(child);
        let pid = child.id();
        self.until("the host is ready", |host| {
            assert!(runs(pid), "the host ended:\n{}", host.log());
            host.command(&["agent", "list", "--json"]).output().unwrap().status.success()
        });
    }

    /// Kills the host as a crash would, and waits until it is gone.
    pub(super) fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops the host as an operator would.
    pub(super) fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        child.wait().unwrap()
    }

    /// What a command prints, and how it ends.
    pub(super) fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts a command.
    pub(super) fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The pid of the host.
    pub(super) fn process(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Waits for the end of the host, which comes by itself.
    pub(super) fn reap(&mut self) {
        self.child.take().expect("it runs").wait().unwrap();
    }

    #[track_caller]
    pub(super) fn cli(&self, words: &[&str]) -> Value {
        let output = self.command(words).arg("--json").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            panic!("{words:?}: {error}: {text}{stderr}\n{}", self.log())
        })
    }

    #[track_caller]
    pub(super) fn agent(&self, name: &str) -> Value {
        self.cli(&["agent", "show", name])
    }

    #[track_caller]
    pub(super) fn pid(&self, name: &str) -> u32 {
        let agent = self.agent(name);
        u32::try_from(agent["pid"].as_u64().unwrap_or_else(|| panic!("{agent}"))).unwrap()
    }

    /// Submits a task, and returns its id.
    #[track_caller]
    pub(super) fn submit(&self, queue: &str) -> String {
        let answer = self.cli(&["task", "submit", "-q", queue, "-i", "{}"]);
        answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Submits a task, and waits until its agent says that it began.
    #[track_caller]
    pub(super) fn begin(&self, queue: &str) -> String {
        let task = self.submit(queue);
        self.until("the task began", |host| host.lines("began").contains(&task));
        task
    }

    #[track_caller]
    pub(super) fn task(&self, task: &str) -> Value {
        self.cli(&["task", "show", task])["task"].take()
    }

    /// The task once it has ended.
    #[track_caller]
    pub(super) fn ended(&self, task: &str) -> Value {
        let mut seen = Value::Null;
        self.until("the task ends", |host| {
            seen = host.task(task);
            ["completed", "failed", "cancelled"].contains(&seen["state"].as_str().unwrap())
        });
        seen
    }

    /// Lets the agents' tasks end.
    pub(super) fn go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    /// Whether a task is not under way any more that ran once, without another beginning.
    #[track_caller]
    pub(super) fn ran_once(&self, task: &str) {
        for file in ["began", "effects"] {
            let count = self.lines(file).iter().filter(|line| *line == task).count();
            assert_eq!(count, 1, "{file} of {task}:\n{}", self.log());
        }
    }

    pub(super) fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn log(&self) -> String {
        let mut text = fs::read_to_string(self.path("stderr")).unwrap_or_default();
        for name in ["hostler.log", "keeper.log"] {
            let file = self.path("data/logs").join(name);
            text += &fs::read_to_string(file).unwrap_or_default();
        }
        text
    }

    /// Whether a keeper answers at this data directory.
    pub(super) fn keeper(&self) -> Option<UnixStream> {
        UnixStream::connect(self.path("data/keeper.sock")).ok()
    }

    #[track_caller]
    pub(super) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        assert!(within(PATIENCE, || holds(self)), "{what} in vain:\n{}", self.log());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        // A keeper that has no host ends when it is told to, and all its agents with it.
        let request = json!({"type": "shutdown"}).to_string();
        let frame = [&u32::try_from(request.len()).unwrap().to_le_bytes(), request.as_bytes()];
        while let Some(mut keeper) = self.keeper() {
            keeper.write_all(&frame.concat()).ok();
            // It hangs up when it has ended, or when it has a host that the kernel has not cleared away.
            keeper.read_to_end(&mut Vec::new()).ok();
        }
    }
}

pub(super) const EXEC_FLEET: &str =
    "[fleets.exec]\nprotocol = \"exec\"\ncommand = [\"sh\", \"exec.sh\"]\nqueues = [\"exec\"]\n";

pub(super) const WORKER_FLEET: &str = "[fleets.worker]\nprotocol = \"worker\"\n\
    command = [\"sh\", \"worker.sh\"]\nqueues = [\"worker\"]\ncount = 2\n";

pub(super) const SERVICE_FLEET: &str = "[fleets.service]\nprotocol = \"service\"\n\
    command = [\"sh\", \"-c\", \"while :; do echo tick; sleep 0.05; done\"]\n";

/// Whether a process runs; a zombie does not.
pub(super) fn runs(pid: u32) -> bool {
    is_live(pid.cast_signed())
}
