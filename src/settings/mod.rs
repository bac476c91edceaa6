//! Typed settings, checked once at the start.
//!
//! Sources, later ones win: `config/default.toml` (built in, the one place of every default), the
//! user's files in the order given, the environment (`HOSTLER__SECTION__FIELD`), flags. Values are
//! read raw, every problem is found (not the first alone) and named with its file, line and field,
//! and what comes out is typed: nothing behind this module parses a duration or a size again.
//!
//! The way of a value: `layers` reads each source and remembers where every value is written;
//! `shape` takes out keys that the defaults do not have; the `config` crate merges; one module per
//! section reads typed values through `reader`; `check` holds rules about more than one field.
//! `docs/CONFIG.md` is this for people.

mod change;
mod check;
mod command;
mod component;
mod context;
mod database;
mod fleet_secrets;
mod fleets;
mod history;
mod host;
mod http;
mod layers;
mod limits;
mod load;
mod log;
mod mask;
mod places;
mod policies;
mod problem;
mod queues;
mod reader;
mod retries;
mod roots;
mod schedules;
mod secrets;
mod shape;
mod show;
mod sources;
pub mod suggest;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod units;
mod values;
mod webhook;
mod webhooks;
mod workspaces;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use change::change;
pub use component::Component;
pub use fleet_secrets::find_secrets;
pub use limits::{format_rate, parse_rate};
pub use load::load;
pub use problem::{Origin, Problem, Problems};
pub use roots::{OutOfBounds, Within, Workplace};
pub use show::{show, to_json};
pub use sources::{Machine, Sources, default_file};
pub use tls::Tls;
pub use units::{format_duration, format_size, parse_duration, parse_size};

pub use crate::domain::secret::Secret;
use crate::domain::{
    EndpointName, FleetName, QueueName,
    admission::{KeyPattern, Limit},
    delivery::EndpointSpec,
    fleet::Fleet,
    floors::Floors,
    history::{Keep, Terms},
    outbound,
    retry::{AllQueueTerms, QueueTerms, RetryPolicy, RetryTerms},
    schedule::Schedule,
    webhook::{GithubRule, Reach},
};

/// Everything a host is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[host]`
    pub host: Host,
    /// `[database]`
    pub database: Database,
    /// `[http]`
    pub http: Http,
    /// `[log]`
    pub log: Log,
    /// `[tasks]`: what a task is given that does not say otherwise.
    pub tasks: Tasks,
    /// `[limits]`: limits of all hosts together.
    pub limits: Limits,
    /// `[history]`: how long ended tasks are kept.
    pub history: History,
    /// `[workspaces]`: the git worktrees of attempts.
    pub workspaces: Workspaces,
    /// `[deliveries]`: the sending of webhooks.
    pub deliveries: Deliveries,
    /// `[webhooks.NAME]`, in the order of their names.
    pub webhooks: Vec<Endpoint>,
    /// `[webhook]`: what callers of `POST /webhook` may ask for.
    pub webhook: Webhook,
    /// `[github.NAME]`, in the order of their names.
    pub github: Vec<GithubRule>,
    /// `[queues.NAME]`; every queue that a fleet serves is here, with defaults where it has no table.
    pub queues: BTreeMap<QueueName, Queue>,
    /// `[schedules.NAME]`, in the order of their names, each with whether it is made paused.
    pub schedules: Vec<(Schedule, bool)>,
    /// `[fleets.NAME]`, in the order of their names.
    pub fleets: Vec<Fleet>,
    /// Where each field is written, by its dotted name: `show` tells it, nothing else looks.
    pub provenance: BTreeMap<String, Origin>,
}

/// `[host]`: this host as a whole.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where everything of this host lives: the socket, the embedded Postgres, logs, attempts.
    pub data_dir: PathBuf,
    /// The name in listings; the machine's host name by default.
    pub name: String,
    /// How long a host that stopped renewing keeps its tasks.
    pub lease: Duration,
    /// How long running tasks may take to finish once the host is asked to stop.
    pub drain_grace: Duration,
    /// Whether changed config files are read again by themselves.
    pub watch_config: bool,
    /// How long the files of ended attempts are kept.
    pub keep_attempts: Duration,
    /// Whether agents get control groups, and where.
    pub cgroups: CgroupPlace,
    /// The directories in and below which agents work; anywhere if there are none.
    pub roots: Vec<PathBuf>,
    /// How many processes may be starting at once.
    pub start_concurrency: Option<u16>,
    /// `[host.floors]`.
    pub floors: HostFloors,
}

/// `[host.floors]`: what the machine must have left before a process is started.
#[derive(Debug, Clone, Copy)]
pub struct HostFloors {
    /// What.
    pub floors: Floors,
    /// How often the machine is looked at.
    pub look: Duration,
}

/// Where the control groups of agents go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupPlace {
    /// Below the host's own, or beside it, if that may be.
    Auto,
    /// Nowhere.
    Off,
    /// Below this directory.
    At(PathBuf),
}

impl std::fmt::Display for CgroupPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::At(path) => path.display().fmt(f),
        }
    }
}

/// `[database]`: which Postgres, and how it is used.
#[derive(Debug, Clone)]
pub struct Database {
    /// A `postgres://` URL; without one, a private cluster in the data directory is run.
    pub url: Option<Secret>,
    /// The most connections in the pool.
    pub pool_size: u32,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// `[database.embedded]`: the private cluster.
    pub embedded: Embedded,
}

/// The private Postgres, where no `database.url` is set.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Where `initdb` and `postgres` are; PATH and the usual places where absent.
    pub bin_dir: Option<PathBuf>,
    /// The user that Postgres runs as when the host runs as root.
    pub user: String,
    /// `shared_buffers`, in bytes.
    pub shared_buffers: u64,
}

/// `[deliveries]`: the sending of webhooks.
#[derive(Debug, Clone)]
pub struct Deliveries {
    /// What may be sent to beside the public internet.
    pub reach: outbound::Reach,
    /// How long deliveries are kept that were taken.
    pub keep_delivered: Duration,
    /// How long deliveries are kept that nobody took.
    pub keep_dead: Duration,
}

/// `[webhooks.NAME]`: who is told of events.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name.
    pub name: EndpointName,
    /// What it is.
    pub spec: EndpointSpec,
    /// What signs; made when it is first seen, where absent.
    pub secret: Option<Secret>,
}

/// `[http]`: the API.
#[derive(Debug, Clone)]
pub struct Http {
    /// The TCP address; the unix socket in the data directory is always served.
    pub bind: Option<SocketAddr>,
    /// A key that allows everything, beside those of the database.
    pub api_key: Option<Secret>,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// The longest `?wait=` of a request.
    pub max_wait: Duration,
    /// Whether keys may come over a network that can be read on the way.
    pub allow_plain: bool,
    /// What TLS is spoken with over TCP; it is not, where absent.
    pub tls: Option<Tls>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[log]`: what is logged, and where.
#[derive(Debug, Clone)]
pub struct Log {
    /// The least level that is logged.
    pub level: slog::Level,
    /// Another level for one component: `[log.components]`.
    pub components: BTreeMap<String, slog::Level>,
    /// The form on stderr; the file in the data directory is always JSON.
    pub format: LogFormat,
    /// The file begins anew at this size, in bytes.
    pub rotate_size: u64,
    /// The file begins anew when it is this old.
    pub rotate_age: Duration,
    /// How many old files are kept.
    pub keep_files: u32,
    /// How many lines may wait to be written before more are dropped (and counted).
    pub buffer: u32,
    /// An agent's own log begins anew at this size, in bytes.
    pub agent_rotate_size: u64,
    /// An agent's own log begins anew when it is this old.
    pub agent_rotate_age: Duration,
    /// How many old files of an agent's log are kept.
    pub agent_keep_files: u32,
    /// How many bytes an agent may write to its log in a second; `None` is any number.
    pub agent_rate: Option<u64>,
}

/// `[tasks]`: what a task is given that does not say otherwise.
#[derive(Debug, Clone)]
pub struct Tasks {
    /// How many attempts may fail before the task does.
    pub max_attempts: u32,
    /// The wait between attempts.
    pub retry: RetryPolicy,
    /// The largest input of one task, in bytes.
    pub max_input: u64,
    /// The most tasks in one submit.
    pub max_batch: u32,
    /// How often a queue is looked at though nobody said that there is work.
    pub poll: Duration,
    /// The most outcomes that may wait for Postgres; beyond, agents wait too.
    pub settle_buffer: u32,
}

/// `[limits]`: limits of all hosts together.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of all tasks.
    pub all: Limit,
    /// How long a task may be passed over before what it needs is kept for it.
    pub patience: Duration,
    /// `[limits.keys.PATTERN]`.
    pub keys: BTreeMap<KeyPattern, Limit>,
}

/// `[history]`: how long ended tasks are kept, and where they go then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// How long, by how they ended.
    pub terms: Terms,
    /// The directory of the archives; nothing is archived where there is none.
    pub archive: Option<PathBuf>,
    /// How long they are kept, in whole days of UTC after the day on which they were written.
    pub archive_keep: Keep,
    /// How long the audit record is kept.
    pub audit: Keep,
}

/// `[workspaces]`: the git worktrees of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workspaces {
    /// How much they may take on the disk, in bytes.
    pub max_disk: Option<u64>,
    /// How long one command of git may take.
    pub git_timeout: Duration,
}

/// `[webhook]`: what callers of `POST /webhook` may ask for.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// How long a caller who wants to wait for a task waits.
    pub sync_wait: Duration,
    /// The fleets that callers may give tasks to.
    pub reach: Reach,
    /// The fleet that runs the commands of callers; they may run none where it is absent.
    pub command_fleet: Option<FleetName>,
    /// The subcommands of git that callers may run.
    pub git: Vec<String>,
    /// The directories in and below which commands may be run.
    pub roots: Vec<PathBuf>,
    /// The secret that GitHub signs its deliveries with; none is taken where it is absent.
    pub github_secret: Option<Secret>,
}

/// `[queues.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Made paused the first time it is seen.
    pub paused: bool,
    /// What it is for, for people.
    pub description: String,
    /// Of all its tasks together.
    pub limit: Limit,
    /// Of its tasks with one key, for each key.
    pub key_limit: Limit,
    /// Its share of the agents that serve other queues too.
    pub weight: u32,
    /// Whether its keys take turns.
    pub fair: bool,
    /// How long an attempt of its tasks may run; the fleet's limit where absent.
    pub timeout: Option<Duration>,
    /// How many attempts of its tasks may fail; that of `[tasks]` where absent.
    pub max_attempts: Option<u32>,
    /// What differs from `[tasks.retry]`.
    pub retry: RetryTerms,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            paused: false,
            description: String::new(),
            limit: Limit::default(),
            key_limit: Limit::default(),
            weight: 1,
            fair: false,
            timeout: None,
            max_attempts: None,
            retry: RetryTerms::default(),
        }
    }
}

impl Settings {
    /// What this host gives the tasks of its queues that do not say otherwise.
    pub fn queue_terms(&self) -> AllQueueTerms {
        let of = |queue: &Queue| QueueTerms {
            timeout: queue.timeout,
            max_attempts: queue.max_attempts.unwrap_or(self.tasks.max_attempts),
            retry: self.tasks.retry.with(&queue.retry),
        };
        AllQueueTerms {
            fallback: of(&Queue::default()),
            queues: self.queues.iter().map(|(name, queue)| (name.clone(), of(queue))).collect(),
        }
    }
}

/// The names of what lives in a data directory.
impl Host {
    /// The unix socket of the API.
    pub fn socket(&self) -> PathBuf {
        Self::socket_in(&self.data_dir)
    }

    /// The unix socket of the API of the host in `data_dir`.
    pub fn socket_in(data_dir: &Path) -> PathBuf {
        data_dir.join("hostler.sock")
    }

    /// The unix socket of the keeper.
    pub fn keeper_socket(&self) -> PathBuf {
        self.data_dir.join("keeper.sock")
    }

    /// The file of what operators and autoscaling made of the sizes of fleets.
    pub fn scales_file(&self) -> PathBuf {
        self.data_dir.join("scales.json")
    }

    /// The directory of logs; agents' own logs are in `agents/` below it.
    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("logs")
    }

    /// The directory of the files of attempts.
    pub fn attempts_dir(&self) -> PathBuf {
        self.data_dir.join("attempts")
    }

    /// The directory of the workspaces.
    pub fn workspaces_dir(&self) -> PathBuf {
        self.data_dir.join("workspaces")
    }

    /// The directory of the agents' records of how far the conversations with their workers are.
    pub fn standing_dir(&self) -> PathBuf {
        self.data_dir.join("standing")
    }

    /// The directory of the private Postgres.
    pub fn postgres_dir(&self) -> PathBuf {
        self.data_dir.join("postgres")
    }
}
