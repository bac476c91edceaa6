//! A throw-away Postgres for this test program: a unix socket in a temporary directory, no TCP.
//!
//! It must be gone however the program ends, so the clean-up is not this program's to do: a small
//! shell reads from a pipe that this program holds and never writes to. When the program ends, by a
//! return, a panic or SIGKILL, the kernel closes the pipe; the shell then stops the server and
//! removes the directory. It is started before anything that it has to clean up.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use nix::unistd::{Uid, User};
use tokio_postgres::{Config, NoTls};

/// The superuser of the cluster.
pub(crate) const SUPERUSER: &str = "hostler";

/// Stops the server in `$1/data`, and removes `$1`, once nobody can write to its stdin any more.
const REAPER: &str = r#"
trap '' INT TERM HUP
while read -r line; do :; done
if read -r pid < "$1/data/postmaster.pid"; then
    kill -QUIT "$pid"
    while kill -0 "$pid"; do sleep 0.05; done
fi
umount "$1/data"
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// The running server.
pub(crate) struct Cluster {
    directory: PathBuf,
    /// Open for as long as this program lives.
    _lifeline: ChildStdin,
}

impl Cluster {
    /// The server of this test program, started by whoever asks first.
    pub(crate) fn get() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| {
            // A thread of its own: whoever asks may be inside a runtime.
            std::thread::spawn(Self::start).join().expect("the test cluster starts")
        })
    }

    /// How to connect to `database` as the superuser.
    pub(crate) fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.directory).user(SUPERUSER).dbname(database);
        config
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// The same as a URL.
    pub(crate) fn url(&self, database: &str) -> String {
        let host = self.directory.to_str().expect("the temporary directory has a plain name");
        format!("postgres://{SUPERUSER}@/{database}?host={host}")
    }

    #[expect(clippy::zombie_processes, reason = "it outlives this program, on purpose")]
    fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hostler-test-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let lifeline = start_reaper(&directory);
        // Others must get through to the socket, but need not see what else is here.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).expect("chmod");
        let owner = unprivileged_user();
        if let Some(user) = &owner {
            chown(&directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        }
        initdb(&directory, owner.as_ref());
        let programs = find_programs();
        let data = directory.join("data");

        let log = fs::File::create(directory.join("log")).expect("a log file");
        let mut postgres = command(&programs.join("postgres"), owner.as_ref(), &directory);
        postgres.arg("-D").arg(&data).arg("-k").arg(&directory).stderr(log);
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "max_connections=300",
            "shared_buffers=64MB",
        ] {
            postgres.args(["-c", setting]);
        }
        // A group of its own, so that Ctrl-C in a terminal reaches the reaper's work and not it.
        postgres.process_group(0).spawn().expect("postgres runs");
        let cluster = Self { directory, _lifeline: lifeline };
        cluster.wait_until_ready();
        cluster
    }

    /// Runs `statements` in `database`, one by one, outside of any transaction.
    pub(crate) fn execute(&self, database: &str, statements: &[&str]) {
        let config = self.config(database);
        on_a_runtime(async {
            let (client, connection) = config.connect(NoTls).await.expect("the server answers");
            let connection = tokio::spawn(connection);
            for statement in statements {
                client.batch_execute(statement).await.expect(statement);
            }
            drop(client);
            // Wait until the server has seen it go: a template must have no connection.
            connection.await.expect("no panic").expect("a clean end");
        });
    }

    fn wait_until_ready(&self) {
        let config = self.config("postgres");
        on_a_runtime(async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            while let Err(error) = config.connect(NoTls).await {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                assert!(tokio::time::Instant::now() < deadline, "{error}\n{log}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
}

/// Runs `work` to its end on a runtime that is made for it. Not from within another one.
pub(crate) fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Makes a cluster in `directory/data`, for anybody who gets that far.
pub(crate) fn initdb(directory: &Path, owner: Option<&User>) {
    let mut initdb = command(&find_programs().join("initdb"), owner, directory);
    initdb.arg("--pgdata").arg(directory.join("data")).args([
        "--username",
        SUPERUSER,
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    let output = initdb.output().expect("initdb runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[expect(clippy::zombie_processes, reason = "it outlives this program, on purpose")]
pub(crate) fn start_reaper(directory: &Path) -> ChildStdin {
    let mut reaper = Command::new("sh")
        .args(["-c", REAPER, "reaper"])
        .arg(directory)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    reaper.stdin.take().expect("its stdin is a pipe")
}

/// Whom Postgres runs as: it refuses to run as root.
pub(crate) fn unprivileged_user() -> Option<User> {
    Uid::effective().is_root().then(|| {
        let user = User::from_name("nobody").expect("the user database can be read");
        user.expect("there is a user `nobody`")
    })
}

pub(crate) fn command(program: &Path, user: Option<&User>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGOPTIONS");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// The directory of `initdb` and `postgres`: the one in `HOSTLER_TEST_PG_BIN`, else on PATH, else
/// the newest where distributions put them.
pub(crate) fn find_programs() -> PathBuf {
    if let Some(directory) = std::env::var_os("HOSTLER_TEST_PG_BIN") {
        return directory.into();
    }
    let has_both = |directory: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| directory.join(program).is_file())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    installed.sort();
    std::env::split_paths(&path)
        .chain(installed.into_iter().rev())
        .find(has_both)
        .expect("initdb and postgres are installed, or HOSTLER_TEST_PG_BIN says where")
}
