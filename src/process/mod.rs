//! Operating system processes: the keeper, and the host's handle to it.
//!
//! Every agent process is a child of the **keeper** ([`keeper`]), a small helper
//! (the same program, `hostler keeper`) that the host starts and reaches over a unix socket. It
//! forks on request, hands the pipes over, reaps, and tells how each process ended. [`Keeper`] is
//! the host's handle to it; actors know only the trait [`Processes`], so that tests can pass a fake.
//!
//! # Guarantees
//!
//! - A process is told to be over by its pid, never by the end of a pipe, and once it is told to be
//!   over, so is everything that it forked: its group is killed before its leader is reaped, and
//!   what escaped by `setsid` or a double fork is in its control group, where one could be made, and is
//!   else found as an orphan of the keeper (a child subreaper) by its session or the mark
//!   `HOSTLER_MARK` in its environment.
//! - When the host's connection ends, the keeper keeps everything for the next host until the time
//!   that [`Keeper::keep_until`] told, then ends it all and itself; at once if none was told. The next
//!   host's [`Keeper::start`] finds every process with its pipes, its note and its end, until the
//!   end is told to be forgotten. After [`Keeper::shutdown`] nothing is left. When the keeper dies,
//!   the kernel kills the processes with it (`PR_SET_PDEATHSIG`), the host sweeps what they had
//!   forked, reports [`Exit::Lost`] only then, and starts another keeper.
//! - A signal never goes to a pid that could have been reused: the keeper signals only processes
//!   that it has not reaped, the host only through pidfds.
//!
//! # Limits
//!
//! Where there are no control groups:
//!
//! - A daemonised descendant that erased its environment and left its session belongs to no agent
//!   that could be named; it ends with the keeper. If the keeper is itself killed, such a one, and a
//!   descendant in the agent's own group that erased its environment, are out of reach.
//! - A descendant that makes itself a subreaper keeps its orphans until it ends.
//! - A process that not even SIGKILL ends (in an uninterruptible wait) is reported after a deadline
//!   in [`Ended::survived`].

mod cgroup;
mod error;
mod host;
pub mod keeper;
mod mark;
mod notify;
mod pass;
mod room;
mod stat;
mod sweep;
mod sys;
mod tree;
mod vfork;
mod wire;

use std::{collections::BTreeMap, fmt, os::fd::OwnedFd, path::PathBuf};

use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use cgroup::own_directory as own_cgroup;
pub use error::{KeeperError, SpawnError};
pub use host::{Keeper, KeeperPlaces};
pub use mark::VARIABLE as MARK_VARIABLE;
pub use notify::{Datagram, NotifySocket};
pub use pass::{hand_on, monotonic, take};
pub use room::make_room;
pub use tree::{belongs, look_at};
pub use wire::{OLDEST as OLDEST_KEEPER_PROTOCOL, VERSION as KEEPER_PROTOCOL};

use crate::domain::{
    AgentName, Generation,
    fleet::{Limits, StopSignal},
};

/// Where a standard stream of a process goes to or comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// `/dev/null`.
    Null,
    /// A pipe whose other end comes with [`Spawned`].
    Pipe,
    /// A file, by its absolute path: read as stdin; made with mode 0600 and appended to as stdout or
    /// stderr. Opened with the rights of the host, not of the agent's user; never through a symlink.
    File(PathBuf),
}

/// A process to start.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Whose process it is; for errors and the log.
    pub agent: AgentName,
    /// Which of the agent's processes it is; for errors and the log.
    pub generation: Generation,
    /// The command and its arguments. A command without `/` is searched in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment; only [`MARK_VARIABLE`] is added.
    pub env: BTreeMap<String, String>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// Whether it must be that very directory: a link that has come into the path meanwhile is refused.
    pub pinned: bool,
    /// The user to run as; the host's own where absent.
    pub user: Option<String>,
    /// Resource limits, set before the command runs.
    pub limits: Limits,
    /// Where stdin comes from.
    pub stdin: Stdio,
    /// Where stdout goes.
    pub stdout: Stdio,
    /// Where stderr goes.
    pub stderr: Stdio,
    /// A note that the keeper keeps with the process for a host that comes later.
    pub note: String,
    /// Whether the keeper keeps the host's pipe ends, too, for a host that comes later. Then stdin is
    /// at its end only after [`Processes::close_stdin`], and nobody gets SIGPIPE.
    pub keep_pipes: bool,
}

/// One process. Never used again, not for the processes of a later keeper of this host either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A process that was started. It goes on when this is dropped; [`Processes::kill`] ends it.
#[derive(Debug)]
pub struct Spawned {
    /// What to name it by.
    pub id: ProcessId,
    /// Its pid, for people. Nothing may be signalled by it.
    pub pid: u32,
    /// The end to write to, where stdin is a pipe.
    pub stdin: Option<OwnedFd>,
    /// The end to read from, where stdout is a pipe.
    pub stdout: Option<OwnedFd>,
    /// The end to read from, where stderr is a pipe.
    pub stderr: Option<OwnedFd>,
    /// Resolves when the process and all that it forked are gone. Pipes may still hold output.
    pub ended: oneshot::Receiver<Ended>,
}

/// A process that a host before this one started.
#[derive(Debug)]
pub struct Kept {
    /// The process, as if it had just been started; its pipes as far as they were kept.
    pub process: Spawned,
    /// The note of its [`Spec`].
    pub note: String,
    /// Whether it has ended: then `ended` of the process is resolved.
    pub is_over: bool,
}

/// What a keeper had when this host came to it.
#[derive(Debug, Default)]
pub struct Found {
    /// The number of this host among those that the keeper served, from 1.
    pub epoch: u64,
    /// In the order of their starts. What is not wanted must be killed, and forgotten when it is over.
    pub processes: Vec<Kept>,
    /// Why there is a new keeper though there was one: that and its agents were ended.
    pub replaced: Option<String>,
}

/// How a process was, when it was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// What it used; zero where it was lost.
    pub usage: Usage,
    /// How many descendants had left its process group and were ended after it.
    pub swept: u32,
    /// How many of those SIGKILL had not ended after some seconds: they wait in the kernel, for a
    /// disk or a network file system, and go when that ends.
    pub survived: u32,
    /// Whether the keeper killed it because the host had fallen silent. A keeper of an older version
    /// does not say.
    #[serde(default)]
    pub for_silence: bool,
    /// Whether the kernel killed it because it, with all that it forked, took more memory than it may.
    #[serde(default)]
    pub out_of_memory: bool,
}

impl Ended {
    /// The end of a process whose keeper died.
    pub const LOST: Self = Self {
        exit: Exit::Lost,
        usage: Usage { user_us: 0, system_us: 0, max_rss_bytes: 0 },
        swept: 0,
        survived: 0,
        for_silence: false,
        out_of_memory: false,
    };

    /// What of the host was to blame, where the process was not: whatever it was at has not failed.
    pub const fn fault_of_host(&self) -> Option<&'static str> {
        match self.exit {
            Exit::Lost => Some("the keeper died, and the process with it"),
            _ if self.for_silence => Some("the host was frozen, and the keeper ended the process"),
            _ => None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The keeper died, and the kernel killed the process with it.
    Lost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "was ended by signal {number} ({signal})"),
                Err(_) => write!(f, "was ended by signal {number}"),
            },
            Self::Lost => f.write_str("was killed because its keeper died"),
        }
    }
}

/// What a process used, with the children that it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The most memory that was resident at once, in bytes.
    pub max_rss_bytes: u64,
}

/// What actors need of processes. The real one is [`Keeper`]; tests pass a fake.
pub trait Processes: Send + Sync {
    /// Starts a process. Dropping the future, or its result unseen, ends what it may have started.
    ///
    /// # Errors
    ///
    /// Nothing of the process is left. [`SpawnError::KeeperGone`] passes by itself; the others need
    /// a person, as they name what of the spec can't be.
    fn spawn(&self, spec: Spec) -> BoxFuture<'static, Result<Spawned, SpawnError>>;

    /// Sends the signal to the process group, and SIGCONT after it, so that a stopped one sees it.
    /// Does nothing to a process that has ended.
    fn signal(&self, id: ProcessId, signal: StopSignal);

    /// Ends the process group by SIGKILL. Does nothing to a process that has ended.
    fn kill(&self, id: ProcessId);

    /// Lets go of the kept copy of the process's stdin: it is at its end once the caller's is closed.
    fn close_stdin(&self, id: ProcessId);

    /// Says that all that follows from the end of this process is done: no later host needs to hear
    /// of it. Must be said once of every process that has ended.
    fn forget(&self, id: ProcessId);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_a_sentence() {
        assert_eq!(Exit::Code(3).to_string(), "exited with status 3");
        assert_eq!(Exit::Signal(9).to_string(), "was ended by signal 9 (SIGKILL)");
        assert_eq!(Exit::Signal(40).to_string(), "was ended by signal 40");
        assert_eq!(Exit::Lost.to_string(), "was killed because its keeper died");
    }
}
