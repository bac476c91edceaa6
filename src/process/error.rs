//! What can go wrong with processes, and what the caller may do about it.

use std::{io, path::PathBuf};

use super::wire::{Failure, Step};
use crate::domain::AgentName;

/// A process was not started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such command, or no such interpreter as its first line names.
    #[error(
        "agent `{agent}`: the command `{command}` was not found; install it, give its full path, or set PATH in the fleet's `env` (a script's `#!` line must name a program that exists)"
    )]
    NotFound {
        /// Whose process it would have been.
        agent: AgentName,
        /// The first word of its argv.
        command: String,
    },

    /// The command is there and may not be run.
    #[error(
        "agent `{agent}`: the command `{command}` can't be run; it must be a program that its user may execute"
    )]
    NotExecutable {
        /// Whose process it would have been.
        agent: AgentName,
        /// The first word of its argv.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The working directory can't be entered.
    #[error(
        "agent `{agent}`: the working directory `{path}` can't be entered; it must be an absolute path to a directory that its user may enter"
    )]
    Cwd {
        /// Whose process it would have been.
        agent: AgentName,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The user is unknown, or this host may not become it.
    #[error(
        "agent `{agent}`: can't run as the user `{user}`; it must exist, and only a host that runs as root may change to it"
    )]
    User {
        /// Whose process it would have been.
        agent: AgentName,
        /// The user.
        user: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The process can't be as the spec says.
    #[error("agent `{agent}`: can't start a process: {what}")]
    Refused {
        /// Whose process it would have been.
        agent: AgentName,
        /// What of it can't be.
        what: String,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
    },

    /// There is no keeper that could have started it, and none came in time; or it died meanwhile.
    #[error("agent `{agent}`: no process was started, because {why}; try again")]
    KeeperGone {
        /// Whose process it would have been.
        agent: AgentName,
        /// What became of the keeper.
        why: &'static str,
    },
}

impl SpawnError {
    /// What the keeper said, in words of the caller.
    pub(super) fn from_failure(agent: AgentName, command: String, failure: Failure) -> Self {
        let Failure { step, errno, subject } = failure;
        let source = io::Error::from_raw_os_error(errno);
        match (step, errno) {
            (Step::Exec, libc::ENOENT | libc::ENOTDIR) => Self::NotFound { agent, command },
            (Step::Exec, libc::EACCES | libc::ENOEXEC | libc::EISDIR) => {
                Self::NotExecutable { agent, command, source }
            }
            (Step::Cwd, _) => Self::Cwd { agent, path: subject.into(), source },
            (Step::User, libc::ENOENT) => {
                let source = io::Error::new(io::ErrorKind::NotFound, "no user has that name");
                Self::User { agent, user: subject, source }
            }
            (Step::User, _) => Self::User { agent, user: subject, source },
            _ => {
                let what = match step {
                    Step::Order => subject,
                    Step::Stdio => format!("its {subject} can't be opened"),
                    Step::Limits => format!(
                        "its limit {subject} can't be set; it is above what this host may give"
                    ),
                    Step::Exec => format!("running `{subject}` failed"),
                    _ => format!("the system refused a new process (step {step:?})"),
                };
                Self::Refused { agent, what, source: (errno != 0).then_some(source) }
            }
        }
    }

    /// Whether the same spawn may work soon, with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::KeeperGone { .. } => true,
            Self::Refused { source: Some(source), .. } => matches!(
                source.raw_os_error(),
                Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ETXTBSY)
            ),
            _ => false,
        }
    }
}

/// The keeper can't be started.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A file or directory that it needs can't be made.
    #[error("the keeper needs `{path}`, and it can't be made; check the data directory")]
    Files {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The socket can't be made.
    #[error(
        "the keeper's socket `{path}` can't be made; the path must be shorter than 108 bytes, in a directory of this user"
    )]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// Another host runs on this data directory.
    #[error(
        "the keeper at `{path}` serves another host; stop that host first, or use another data directory"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },

    /// The program can't be run.
    #[error("the keeper `{exe}` can't be run")]
    Program {
        /// This program, as it would have been run.
        exe: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// It ran, and did not answer as a keeper of this version does.
    #[error("the keeper did not start: {what}; its own words are in `{log}`")]
    NoAnswer {
        /// What it did instead.
        what: String,
        /// Its log.
        log: PathBuf,
    },
}
