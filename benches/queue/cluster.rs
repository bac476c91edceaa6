//! The one Postgres that everybody is measured on: private, fully durable, gone with this program.
//!
//! It must be gone however the program ends, so the clean-up is not this program's to do: a small
//! shell reads from a pipe that this program holds and never writes to. When the program ends, by a
//! return, a panic or SIGKILL, the kernel closes the pipe; the shell then stops whatever works in
//! the directory (hosts, their agents, peers), stops the server and removes the directory.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::unistd::{Uid, User};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use crate::Outcome;

/// The superuser; some peers' schemas expect this name.
const SUPERUSER: &str = "postgres";

/// The settings of the server, for everybody. What is not here has the default of PostgreSQL.
pub(crate) const SETTINGS: [&str; 5] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "max_connections=200",
];

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Once nobody can write to its stdin any more: ends what works in `$1/work`, stops the server in
/// `$1/data`, and removes `$1`.
const REAPER: &str = r#"
trap '' INT TERM HUP
while read -r line; do :; done
at_work() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd") in "$1/work"*) echo "${process#/proc/}" ;; esac
    done
}
kill_all() { for pid in $(at_work "$2"); do kill "$1" "$pid"; done; }
kill_all -TERM "$1"
tries=200
while [ "$tries" -gt 0 ] && [ -n "$(at_work "$1")" ]; do
    sleep 0.1
    tries=$((tries - 1))
done
kill_all -KILL "$1"
if read -r pid < "$1/data/postmaster.pid"; then
    kill -QUIT "$pid"
    while kill -0 "$pid"; do sleep 0.05; done
fi
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// The running server.
pub(crate) struct Cluster {
    directory: PathBuf,
    port: u16,
    runtime: Runtime,
    reaper: Child,
    server: Option<Child>,
}

impl Cluster {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    ///
    /// If the programs of Postgres are not there, or the server does not start.
    pub(crate) fn start() -> Outcome<Self> {
        let programs = find_programs()?;
        let directory = tempfile::Builder::new().prefix("hostler-bench-").tempdir()?.keep();
        let reaper = start_reaper(&directory)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut cluster =
            Self { port: free_address()?.port(), directory, runtime, reaper, server: None };
        let directory = cluster.directory.clone();
        let directory = &*directory;
        fs::create_dir(directory.join("work"))?;
        // Others must get through, but need not see what else is here.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        let owner = unprivileged_user()?;
        if let Some(user) = &owner {
            chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let data = directory.join("data");
        let mut initdb = command(&programs.join("initdb"), owner.as_ref(), directory);
        initdb.arg("--pgdata").arg(&data);
        initdb.args(["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8"]);
        let output = initdb.args(["--locale=C.UTF-8"]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let mut postgres = command(&programs.join("postgres"), owner.as_ref(), directory);
        postgres.arg("-D").arg(&data).arg("-k").arg(directory);
        postgres.arg("-p").arg(cluster.port.to_string());
        for setting in SETTINGS.iter().chain(&["listen_addresses=127.0.0.1"]) {
            postgres.args(["-c", setting]);
        }
        // A group of its own, so that Ctrl-C in a terminal reaches the reaper's work and not it.
        postgres.stderr(fs::File::create(cluster.log())?).process_group(0);
        cluster.server = Some(postgres.spawn()?);
        cluster.await_answer()?;
        Ok(cluster)
    }

    fn await_answer(&self) -> Outcome<()> {
        let began = Instant::now();
        while let Err(error) = self.execute("postgres", &["SELECT 1"]) {
            if began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                return Err(format!("{error}\n{log}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// How to reach `database`, as everybody is told.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same for the driver.
    pub(crate) fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(SUPERUSER).dbname(database);
        config
    }

    /// Makes a directory in which something works that is to end with the benchmark.
    pub(crate) fn workplace(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.directory.join("work").join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// What the server logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Runs `statements` in `database`, one by one, outside of any transaction.
    pub(crate) fn execute(&self, database: &str, statements: &[&str]) -> Outcome<()> {
        self.runtime.block_on(async {
            let client = connect(&self.config(database)).await?;
            for statement in statements {
                client.batch_execute(statement).await?;
            }
            Ok(())
        })
    }

    /// A connection to `database` that is asked more than once.
    pub(crate) fn session(&self, database: &str) -> Outcome<Session<'_>> {
        let client = self.runtime.block_on(connect(&self.config(database)))?;
        Ok(Session { runtime: &self.runtime, client })
    }

    /// Makes `name` anew, empty or as a copy of another.
    pub(crate) fn make(&self, name: &str, template: Option<&str>) -> Outcome<()> {
        self.remove(name)?;
        let copy = template.map_or_else(String::new, |template| {
            format!(" TEMPLATE {template} STRATEGY file_copy")
        });
        self.execute("postgres", &[&format!("CREATE DATABASE {name}{copy}")])
    }

    /// Removes `name`, whoever is in it.
    pub(crate) fn remove(&self, name: &str) -> Outcome<()> {
        self.execute("postgres", &[&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")])
    }

    /// Makes `database` what it is after a while: statistics are there, and nothing waits to be
    /// written. With `vacuum`, what is dead is gone too.
    pub(crate) fn settle(&self, database: &str, vacuum: bool) -> Outcome<()> {
        let first = if vacuum { "VACUUM (ANALYZE)" } else { "ANALYZE" };
        self.execute(database, &[first, "CHECKPOINT"])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        // As long as nobody has asked how it ended, it is there for the reaper.
        if let Some(server) = &mut self.server {
            server.wait().ok();
        }
        self.reaper.wait().ok();
    }
}

/// A connection of the benchmark itself.
pub(crate) struct Session<'a> {
    runtime: &'a Runtime,
    client: Client,
}

impl Session<'_> {
    /// The first column of the first row that `statement` gives, as text.
    pub(crate) fn ask(&self, statement: &str) -> Outcome<String> {
        let messages = self.runtime.block_on(self.client.simple_query(statement))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        row.map(str::to_owned).ok_or_else(|| format!("nothing comes of {statement}").into())
    }
}

/// A connection, driven in the background of the runtime.
pub(crate) async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs `work` on a thread of its own, with a runtime of its own.
pub(crate) fn alone<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Outcome<T> + Send + 'static,
) -> thread::JoinHandle<Outcome<T>> {
    thread::spawn(|| Builder::new_current_thread().enable_all().build()?.block_on(work()))
}

/// What a thread came to.
pub(crate) fn joined<T>(thread: thread::JoinHandle<Outcome<T>>) -> Outcome<T> {
    thread.join().unwrap_or_else(|_| Err("a thread of the benchmark panicked".into()))
}

fn start_reaper(directory: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", REAPER, "reaper"])
        .arg(directory)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Where nobody listens at this moment.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// Whom Postgres runs as: it refuses to run as root.
fn unprivileged_user() -> Outcome<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    Ok(Some(User::from_name("nobody")?.ok_or("there is no user `nobody`")?))
}

fn command(program: &Path, user: Option<&User>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGOPTIONS");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// The directory of `initdb` and `postgres`: the one in `HOSTLER_TEST_PG_BIN`, else version 15,
/// which the peers were measured on, else the newest that is installed, else PATH.
fn find_programs() -> Outcome<PathBuf> {
    let mut candidates: Vec<PathBuf> =
        std::env::var_os("HOSTLER_TEST_PG_BIN").map(PathBuf::from).into_iter().collect();
    candidates.push("/usr/lib/postgresql/15/bin".into());
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    installed.sort();
    candidates.extend(installed.into_iter().rev());
    candidates.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let has_both = |directory: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| directory.join(program).is_file())
    };
    candidates.into_iter().find(has_both).ok_or_else(|| {
        "initdb and postgres are not installed; HOSTLER_TEST_PG_BIN may name their directory".into()
    })
}
