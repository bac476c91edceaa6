//! A whole host: the real program, on a database and in a directory of one test's own.
//!
//! ```ignore
//! let mut host = Host::new(FLEETS).up();
//! let task = host.submit(json!({"input": {"op": "echo", "value": 1}}));
//! assert_eq!(host.wait(&task)["state"], "completed");
//! host.kill9();                                  // and again, on the same data directory:
//! host.restart();
//! ```
//!
//! However the test ends, all its processes are ended by their pids; a test that passed fails if a
//! process was left.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    TestDatabase,
    cluster::on_a_runtime,
    processes::{self, PATIENCE, Process, eventually, send, within},
    wire::{Answer, Ask},
};

/// The tested program.
pub(crate) const HOSTLER: &str = env!("CARGO_BIN_EXE_hostler");

/// What the tests' hosts have in common: nothing waits for long.
const BASE: &str = r#"
[http]
bind = "off"
[host]
drain_grace = "20s"
[host.floors]
memory = "off"
disk = "off"
[log]
level = "debug"
format = "json"
[tasks]
poll = "200ms"
[tasks.retry]
backoff_min = "10ms"
backoff_max = "50ms"
[database.embedded]
shared_buffers = "16MiB"
[fleet_defaults]
cwd = "@EXAMPLES@"
env = { EFFECTS_FILE = "@DIR@/effects" }
stop_grace = "500ms"
[fleet_defaults.restart]
backoff_min = "10ms"
backoff_max = "100ms"
max_restarts = 10000
"#;

/// A worker that knows `echo`, `sleep` and `fail`, and writes down what it did.
pub(crate) const WORKER: &str = "
[fleets.quick]
protocol = \"worker\"
command = [\"python3\", \"worker.py\"]
";

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A host, or the place where one was.
pub(crate) struct Host {
    dir: TempDir,
    database: Option<Arc<TestDatabase>>,
    sets: Vec<String>,
    env: Vec<(String, String)>,
    /// The words before the host's command.
    prefix: Vec<String>,
    child: Option<Child>,
}

impl Host {
    /// A place for a host with these fleets, on a database of its own in the tests' cluster. In the
    /// text `@EXAMPLES@`, `@FIXTURES@` and `@DIR@` stand for directories.
    pub(crate) fn new(fleets: &str) -> Self {
        let mut host = Self::embedded(fleets);
        host.database = Some(Arc::new(on_a_runtime(TestDatabase::new())));
        host
    }

    /// A place for another host, on the database of this one.
    pub(crate) fn beside(&self, fleets: &str) -> Self {
        let mut host = Self::embedded(fleets);
        host.database = self.database.clone();
        host
    }

    /// The same, with a private Postgres.
    pub(crate) fn embedded(fleets: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("host-").tempdir().expect("a directory");
        // The user of a private Postgres must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
        let (sets, env) = (Vec::new(), Vec::new());
        let host = Self { dir, database: None, sets, env, prefix: Vec::new(), child: None };
        fs::create_dir(host.path("tmp")).expect("a directory");
        fs::write(host.path("base.toml"), host.filled(BASE)).expect("a config file");
        fs::write(host.path("fleets.toml"), host.filled(fleets)).expect("a config file");
        host
    }

    /// One more setting, as by `--set`.
    pub(crate) fn set(mut self, field: &str, value: &str) -> Self {
        self.sets.push(format!("{field}={value}"));
        self
    }

    /// One more variable of the host's own environment.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// The host is started by the program that these words name.
    pub(crate) fn within(mut self, prefix: &[&str]) -> Self {
        self.prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts the host, and waits until it is ready.
    pub(crate) fn up(mut self) -> Self {
        self.restart();
        self
    }

    /// Starts the host once more on the same data directory, and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        self.launch();
        let mut exit = None;
        let ready = within(PATIENCE, || {
            exit = self.child.as_mut().and_then(|child| child.try_wait().expect("wait"));
            exit.is_some() || self.is_ready()
        });
        assert!(ready && exit.is_none(), "no host ({exit:?}):\n{}", self.log());
    }

    /// Starts the host, and waits for nothing.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let stderr = File::options().create(true).append(true).open(self.path("stderr"));
        let mut up = self.program(&self.prefix);
        for file in ["base.toml", "fleets.toml"] {
            up.arg("-c").arg(self.path(file));
        }
        up.arg("up");
        if let Some(database) = &self.database {
            up.args(["--set", &format!("database.url={}", database.url())]);
        }
        for set in &self.sets {
            up.args(["--set", set]);
        }
        up.envs(self.env.iter().cloned());
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.expect("a file"));
        self.child = Some(up.spawn().expect("hostler runs"));
    }

    /// The tested program, on this host's data directory, in a clean environment.
    pub(crate) fn command(&self) -> Command {
        self.program(&[])
    }

    fn program(&self, prefix: &[String]) -> Command {
        let mut words = prefix.iter().map(String::as_str).chain([HOSTLER]);
        let mut command = Command::new(words.next().expect("one at least"));
        command.args(words);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).env("TMPDIR", self.path("tmp"));
        command.current_dir(self.dir.path()).arg("--data-dir").arg(self.data_dir());
        command
    }

    /// Runs a command of the program to its end.
    pub(crate) fn cli(&self, words: &[&str]) -> Done {
        let output = self.command().args(words).stdin(Stdio::null()).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done {
            code: output.status.code().expect("no signal"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The JSON that a command prints which is to succeed.
    #[track_caller]
    pub(crate) fn cli_json(&self, words: &[&str]) -> Value {
        let done = self.cli(&[words, &["--json"]].concat());
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Asks the host over its socket.
    #[track_caller]
    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        let answer = ask.over_socket(&self.data_dir().join("hostler.sock"));
        answer.unwrap_or_else(|error| panic!("{ask:?}: {error}\n{}", self.log()))
    }

    /// The JSON at a path.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask(&Ask::new("GET", path)).expect(200)
    }

    /// Submits one task, and returns its id.
    #[track_caller]
    pub(crate) fn submit(&self, task: &Value) -> String {
        let answer = self.ask(&Ask::new("POST", "/api/v1/tasks").json(task)).expect(201);
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// One task.
    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/tasks/{id}"))
    }

    /// The task once it is final.
    #[track_caller]
    pub(crate) fn wait(&self, id: &str) -> Value {
        let task = self.get(&format!("/api/v1/tasks/{id}?wait=60s"));
        let state = task["state"].as_str().unwrap_or_default();
        let is_final = matches!(state, "completed" | "failed" | "cancelled");
        assert!(is_final, "not in time: {task}\n{}", self.log());
        task
    }

    /// The items of `attempts` or `events` of a task.
    #[track_caller]
    pub(crate) fn history(&self, id: &str, what: &str) -> Vec<Value> {
        let list = self.get(&format!("/api/v1/tasks/{id}/{what}"));
        list["items"].as_array().expect("items").clone()
    }

    /// Polls until the task is in this state.
    #[track_caller]
    pub(crate) fn until_task(&self, id: &str, state: &str) {
        eventually(&format!("{id} is {state}"), || self.task(id)["state"] == state);
    }

    /// One agent.
    #[track_caller]
    pub(crate) fn agent(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/agents/{name}"))
    }

    /// Polls until the agent is in this state; returns it.
    #[track_caller]
    pub(crate) fn until_agent(&self, name: &str, state: &str) -> Value {
        let mut agent = Value::Null;
        let there = within(PATIENCE, || {
            agent = self.agent(name);
            agent["state"] == state
        });
        assert!(there, "{name} is not {state}: {agent}\n{}", self.log());
        agent
    }

    /// The attempts that workers wrote down as done, with how often.
    pub(crate) fn effects(&self) -> BTreeMap<(String, u64), usize> {
        let text = fs::read_to_string(self.path("effects")).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(task), Some(attempt)) = (words.next(), words.next()) else { continue };
            *counts.entry((task.to_owned(), attempt.parse().expect("a number"))).or_default() += 1;
        }
        counts
    }

    /// How the host ended, if it has. It can be launched again then.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let exit = self.child.as_mut()?.try_wait().expect("wait")?;
        self.child = None;
        Some(exit)
    }

    /// The pid of the host, if it was launched.
    pub(crate) fn launched(&self) -> Option<i32> {
        self.child.as_ref().map(|child| child.id().cast_signed())
    }

    /// SIGKILL.
    pub(crate) fn kill9(&mut self) {
        send(self.pid(), Signal::SIGKILL);
        self.ended();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        send(self.pid(), Signal::SIGTERM);
        self.ended()
    }

    /// Waits for the end of the host.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let mut exit = None;
        let over = within(PATIENCE, || {
            exit = child.try_wait().expect("wait");
            exit.is_some()
        });
        if !over {
            self.child = Some(child);
        }
        exit.unwrap_or_else(|| panic!("the host does not end\n{}", self.log()))
    }

    /// Waits until no process of this place is left.
    #[track_caller]
    pub(crate) fn until_nothing_is_left(&self) {
        let left = within(PATIENCE, || self.processes().is_empty());
        assert!(left, "left: {:#?}\n{}", self.processes(), self.log());
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::of(self.dir.path())
    }

    /// The pid of the keeper.
    #[track_caller]
    pub(crate) fn keeper(&self) -> i32 {
        let all = self.processes();
        let found = all.iter().find(|one| one.command.split(' ').nth(1) == Some("keeper"));
        found.unwrap_or_else(|| panic!("no keeper among {all:#?}")).pid
    }

    /// The pid of the host.
    #[track_caller]
    pub(crate) fn pid(&self) -> i32 {
        self.child.as_ref().expect("it runs").id().cast_signed()
    }

    pub(crate) fn is_ready(&self) -> bool {
        let socket = self.data_dir().join("hostler.sock");
        Ask::new("GET", "/readyz").over_socket(&socket).is_ok_and(|answer| answer.status == 200)
    }

    /// The database in the tests' cluster.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_deref().expect("not a private Postgres")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the host has logged so far: the end of it.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.path("stderr")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn filled(&self, text: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let show = |path: &Path| path.to_str().expect("a plain name").to_owned();
        text.replace("@EXAMPLES@", &show(&root.join("examples/agents")))
            .replace("@FIXTURES@", &show(&root.join("tests/fixtures/agents")))
            .replace("@DIR@", &show(self.dir.path()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        // A killed host's Postgres ends by itself, its keeper with the lease, or when it is asked to.
        for process in self.processes() {
            if process.command.split(' ').nth(1) == Some("keeper") {
                send(process.pid, Signal::SIGTERM);
            }
        }
        within(PATIENCE, || self.processes().is_empty());
        let left = self.processes();
        for process in &left {
            send(process.pid, Signal::SIGKILL);
        }
        if std::thread::panicking() {
            eprintln!("the host's log:\n{}", self.log());
        } else {
            assert_eq!(left, Vec::new(), "left behind");
        }
    }
}
