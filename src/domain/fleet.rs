//! What a fleet is: the settled form of one `[fleets.NAME]` table of the config.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    FleetName, QueueName, autoscale, health, heartbeat,
    order::{Dependency, Strategy},
    restart,
    rollout::Share,
    secret, storm,
    webhook::ShellRule,
    workspace::WorkspaceSpec,
};

/// How the host talks to the agents of a fleet. See `docs/PROTOCOL.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// One process per task; argv templates, the task on stdin, the exit status decides.
    Exec,
    /// A process that stays and takes task after task over JSON-RPC lines on stdio.
    Worker,
    /// A process that takes no tasks and is only supervised.
    Service,
}

impl Protocol {
    /// Whether agents of this protocol take tasks.
    pub const fn takes_tasks(self) -> bool {
        !matches!(self, Self::Service)
    }

    /// Whether the process lives between tasks.
    pub const fn is_resident(self) -> bool {
        !matches!(self, Self::Exec)
    }

    /// The word of the config file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Worker => "worker",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the stdout of an `exec` agent becomes the task's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// The whole of stdout, as one JSON string.
    Text,
    /// Stdout is one JSON value.
    Json,
    /// Stdout is one JSON value a line; the result is the last.
    Jsonl,
}

/// What an `exec` agent finds on its stdin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// The task as one JSON object.
    Task,
    /// Nothing: stdin is at its end.
    Null,
}

/// The signal that asks a process to leave, before SIGKILL makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StopSignal {
    /// SIGTERM.
    Sigterm,
    /// SIGINT.
    Sigint,
    /// SIGHUP.
    Sighup,
    /// SIGQUIT.
    Sigquit,
}

/// Limits of one agent: of each of its processes, set by `setrlimit` before it runs, where absent means
/// inherited; and of all of them together, set of its control group, where one can be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes (`RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes of the same user (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// CPU time (`RLIMIT_CPU`), in whole seconds.
    pub cpu: Option<Duration>,
    /// Largest file in bytes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
    /// Memory of all its processes together, in bytes (`memory.max`).
    pub group_memory: Option<u64>,
    /// How many processes it may have (`pids.max`).
    pub group_processes: Option<u64>,
    /// Its share of the CPU beside others, 1 to 10,000; 100 is usual (`cpu.weight`).
    pub cpu_weight: Option<u64>,
}

/// One fleet: agents of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The name of its table in the config.
    pub name: FleetName,
    /// How the host talks to its agents.
    pub protocol: Protocol,
    /// The argv. For `exec` each word is a template over the task; never a shell line.
    pub command: Vec<String>,
    /// How many agents.
    pub count: u16,
    /// How many tasks fleets of this name may run at once, on all hosts.
    pub concurrency: Option<u32>,
    /// How many tasks a `worker` is given at a time: it works on one, the others wait in its stdin.
    /// 1 for the others.
    pub prefetch: u16,
    /// The queues that its agents take tasks from; empty for a `service`.
    pub queues: Vec<QueueName>,
    /// The working directory of its processes.
    pub cwd: PathBuf,
    /// Environment variables set for its processes.
    pub env: BTreeMap<String, String>,
    /// Names of variables passed on from the host's own environment.
    pub env_pass: Vec<String>,
    /// What its processes have in their environment that nobody else must see.
    pub secrets: secret::FleetSecrets,
    /// The user its processes run as; the host's own where absent.
    pub user: Option<String>,
    /// Resource limits of each process.
    pub limits: Limits,
    /// What `exec` agents find on stdin.
    pub stdin: StdinMode,
    /// How `exec` agents' stdout is read.
    pub output: OutputFormat,
    /// The most bytes of a result that are kept; more is a `protocol` failure.
    pub max_output: u64,
    /// The most bytes that an `exec` process may write to stdout and stderr; `None` is any number.
    pub max_written: Option<u64>,
    /// How long a task may run where the task does not say; `None` is for ever.
    pub task_timeout: Option<Duration>,
    /// How long a process that stays may take until it is ready.
    pub start_timeout: Duration,
    /// The signal that asks a process to leave.
    pub stop_signal: StopSignal,
    /// How long each rung of the kill ladder waits before the next.
    pub stop_grace: Duration,
    /// How many of its processes may be starting at once; `None` is as many as the host allows.
    pub start_concurrency: Option<u16>,
    /// How long an `exec` process may go on after it has given its result; `None` is for ever.
    pub linger: Option<Duration>,
    /// How many failures of all its agents are too many, and what follows.
    pub storm: storm::Intensity,
    /// When its processes are started again.
    pub restart: restart::Policy,
    /// When an agent counts as stale.
    pub heartbeat: heartbeat::Limits,
    /// What must have come so far before its agents start.
    pub depends_on: Vec<Dependency>,
    /// Who is restarted when one of its agents fails.
    pub strategy: Strategy,
    /// How many of its agents may be away at once when they are replaced by newer ones.
    pub max_unavailable: Share,
    /// How many agents it should have by how much there is to do; always `count` where absent.
    pub scale: Option<autoscale::Policy>,
    /// When an agent counts as ready.
    pub readiness: health::Readiness,
    /// What each attempt works in that does not say otherwise; `cwd` where there is none.
    pub workspace: Option<WorkspaceSpec>,
    /// What of a task or a caller may reach a shell.
    pub shell: ShellRule,
    /// The queues that an agent at work may submit tasks to; those that it takes from where empty.
    pub submit_to: Vec<QueueName>,
}

impl Fleet {
    /// The queues that an agent at work may submit tasks to.
    pub fn submits_to(&self) -> &[QueueName] {
        if self.submit_to.is_empty() { &self.queues } else { &self.submit_to }
    }
}
