//! What can go wrong with the private Postgres, in words that say what to do.

use std::{io, path::PathBuf, time::Duration};

use super::find::{Installation, NEWEST_VERSION, OLDEST_VERSION};

/// How to get Postgres, for the messages about a missing one.
const INSTALL: &str = "install it (Debian, Ubuntu: `apt-get install postgresql`; Fedora, RHEL: \
     `dnf install postgresql-server`; macOS: `brew install postgresql@17`), set \
     `database.embedded.bin_dir` to where its `initdb` is, or set `database.url` to a server \
     that runs elsewhere";

/// Why the private Postgres could not be found, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No `initdb` and `postgres` were found anywhere.
    #[error("no PostgreSQL was found: {INSTALL}")]
    NotInstalled,

    /// `database.embedded.bin_dir` is set, and the programs are not there.
    #[error(
        "`{}` (database.embedded.bin_dir) does not hold both `initdb` and `postgres`",
        path.display()
    )]
    NotInBinDir {
        /// The directory of the setting.
        path: PathBuf,
    },

    /// Only versions were found that this build does not know.
    #[error(
        "only {} was found, and versions {OLDEST_VERSION} to {NEWEST_VERSION} are supported: \
         {INSTALL}",
        list(found)
    )]
    Unsupported {
        /// What was found, newest first.
        found: Vec<Installation>,
    },

    /// The cluster needs its own major version, and that one is not installed.
    #[error(
        "the cluster in `{}` was made by PostgreSQL {needed}, and there is {}: install version \
         {needed}, or dump and restore the cluster with a newer one",
        path.display(), list(found)
    )]
    OtherVersion {
        /// The data directory.
        path: PathBuf,
        /// The major version in its `PG_VERSION`.
        needed: u32,
        /// What was found instead, newest first.
        found: Vec<Installation>,
    },

    /// There is something where the cluster should be, and it is not a cluster.
    #[error(
        "`{}` is not a PostgreSQL cluster (it has no readable PG_VERSION): move it away, or \
         set `host.data_dir` to another directory",
        path.display()
    )]
    NotACluster {
        /// The directory in the way.
        path: PathBuf,
    },

    /// Another process holds the data directory.
    #[error(
        "the data directory `{}` is in use by {}: stop it, or set `host.data_dir` to another \
         directory",
        path.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The process that wrote its id into the lock file, where it could be read.
        holder: Option<u32>,
    },

    /// The path of the socket does not fit into an address.
    #[error(
        "the socket path `{}` has {length} bytes, and the system allows {limit}: set \
         `host.data_dir` to a shorter path",
        path.display()
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The most bytes that a socket's path may have here.
        limit: usize,
    },

    /// The account of `database.embedded.user` is not there, or is root.
    #[error(
        "Postgres must not run as root, and the user `{user}` (database.embedded.user) {problem}: \
         name an unprivileged user of this machine"
    )]
    User {
        /// The name from the settings.
        user: String,
        /// What is wrong with it, as the end of a sentence.
        problem: &'static str,
    },

    /// The account that Postgres runs as cannot get to its directory.
    #[error(
        "the user `{user}`, whom Postgres runs as, cannot enter `{}`: `chmod o+x` that directory, \
         or set `host.data_dir` to one below directories that everybody may pass",
        path.display()
    )]
    Untraversable {
        /// The account.
        user: String,
        /// The first directory on the way that it may not enter.
        path: PathBuf,
    },

    /// The cluster belongs to another account than the one that Postgres would run as.
    #[error(
        "`{}` belongs to uid {owner}, and Postgres would run as uid {wanted}: run the host as \
         before, or `chown -R {wanted}` the directory above it",
        path.display()
    )]
    WrongOwner {
        /// The data directory.
        path: PathBuf,
        /// The uid that owns it.
        owner: u32,
        /// The uid that would run Postgres.
        wanted: u32,
    },

    /// A file or directory could not be made, read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A program could not be started at all.
    #[error("cannot run `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// `initdb` failed. Nothing is left of its work.
    #[error("initdb failed ({exit}): {output}")]
    Initdb {
        /// Its exit status or signal.
        exit: String,
        /// The last lines it wrote.
        output: String,
    },

    /// The postmaster ended before it answered.
    #[error("postgres ended while it was starting ({exit}): {output}")]
    Ended {
        /// Its exit status or signal.
        exit: String,
        /// The last lines it wrote in this start.
        output: String,
    },

    /// The postmaster runs, and did not answer in time.
    #[error("postgres did not answer within {} s: {output}", limit.as_secs())]
    Unresponsive {
        /// How long it was waited for.
        limit: Duration,
        /// The last lines it wrote in this start.
        output: String,
    },

    /// The server answered, and refused what the host needs.
    #[error("cannot {action} in the private Postgres")]
    Refused {
        /// What was tried, as a verb.
        action: &'static str,
        /// The server's answer.
        source: tokio_postgres::Error,
    },

    /// Processes of this directory are still there, though they were asked to end.
    #[error(
        "process {pid} still works in `{}` after {} s and must end first: look at it with `ps -f \
         -p {pid}`",
        path.display(), waited.as_secs()
    )]
    StillRunning {
        /// One of the processes.
        pid: i32,
        /// The directory.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },

    /// A task of this module panicked or was dropped with its runtime.
    #[error("the task that looks after the private Postgres ended early")]
    Unsupervised(#[source] tokio::task::JoinError),
}

impl EmbeddedError {
    /// For `map_err`: the failure of `action` on `path`.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

/// `PostgreSQL 13 (/usr/lib/postgresql/13/bin), PostgreSQL 12 (...)`.
fn list(found: &[Installation]) -> String {
    let one = |it: &Installation| format!("PostgreSQL {} ({})", it.version, it.bin_dir.display());
    match found {
        [] => "none".to_owned(),
        found => found.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
