//! A Postgres of one test's own, reachable over a network.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio_postgres::{Config, NoTls};

use super::{
    cluster::{
        SUPERUSER, command, find_programs, initdb, on_a_runtime, start_reaper, unprivileged_user,
    },
    processes::{PATIENCE, send, within},
};

/// The database that hosts use.
const DATABASE: &str = "hosts";

/// The server, running or not. It is gone with this value, and with this program however that ends.
pub(crate) struct Server {
    directory: PathBuf,
    settings: Vec<String>,
    postmaster: Option<Child>,
    /// Why its disk is not one of its own, if it is not.
    no_disk: Option<String>,
    _lifeline: ChildStdin,
}

impl Server {
    /// One that listens on a unix socket, and on `address` if one is given.
    pub(crate) fn start(address: Option<&str>) -> Self {
        Self::make(address, None)
    }

    /// One that listens on a unix socket, on a disk of its own with so many MiB, if one can be made.
    pub(crate) fn on_disk(mebibytes: u32) -> Self {
        Self::make(None, Some(mebibytes))
    }

    fn make(address: Option<&str>, disk: Option<u32>) -> Self {
        let directory = tempfile::Builder::new().prefix("postgres-").tempdir();
        let directory = directory.expect("a temporary directory").keep();
        let lifeline = start_reaper(&directory);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).expect("chmod");
        let owner = unprivileged_user();
        let data = directory.join("data");
        fs::create_dir(&data).expect("a directory");
        // The reaper takes it away.
        let no_disk = disk.and_then(|mebibytes| mount(&data, mebibytes).err());
        if let Some(user) = &owner {
            for path in [&directory, &data] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
            }
        }
        initdb(&directory, owner.as_ref());
        let mut settings = vec![
            format!("listen_addresses={}", address.unwrap_or_default()),
            "fsync=off".to_owned(),
            "max_connections=100".to_owned(),
            "shared_buffers=32MB".to_owned(),
            // Small pieces, so that a small disk holds many of them.
            "min_wal_size=32MB".to_owned(),
            "max_wal_size=64MB".to_owned(),
        ];
        if address.is_some() {
            let rules = data.join("pg_hba.conf");
            let all = "local all all trust\nhost all all all trust\n";
            fs::write(rules, all).expect("the rules of access");
            settings.push("port=5432".to_owned());
        }
        let mut server =
            Self { directory, settings, postmaster: None, no_disk, _lifeline: lifeline };
        server.start_again();
        server.execute("postgres", &format!("CREATE DATABASE {DATABASE}"));
        server
    }

    /// Starts it once more, and waits until it answers. It may have to recover first.
    pub(crate) fn start_again(&mut self) {
        self.launch();
        let ready = within(PATIENCE, || self.answers());
        assert!(ready, "no server:\n{}", self.log());
    }

    /// Starts it once more, and waits for nothing.
    pub(crate) fn launch(&mut self) {
        assert!(self.postmaster.is_none(), "it runs already");
        let log = fs::File::options().create(true).append(true).open(self.directory.join("log"));
        let owner = unprivileged_user();
        let program = find_programs().join("postgres");
        let mut postgres = command(&program, owner.as_ref(), &self.directory);
        postgres.arg("-D").arg(self.directory.join("data")).arg("-k").arg(&self.directory);
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        postgres.stderr(log.expect("a log file"));
        self.postmaster = Some(postgres.spawn().expect("postgres runs"));
    }

    /// Ends it at once (its immediate mode); it has to recover when it starts again.
    pub(crate) fn stop_at_once(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        send(postmaster.id().cast_signed(), Signal::SIGQUIT);
        let over = |postmaster: &mut Child| {
            within(PATIENCE / 4, || postmaster.try_wait().is_ok_and(|exit| exit.is_some()))
        };
        if !over(&mut postmaster) {
            // It may have been starting, and not have heard it.
            postmaster.kill().unwrap_or_default();
            assert!(over(&mut postmaster), "it does not end:\n{}", self.log());
        }
    }

    /// Whether it has ended by itself. Then it can be launched again.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(postmaster) = &mut self.postmaster else { return false };
        let ended = postmaster.try_wait().expect("wait").is_some();
        if ended {
            self.postmaster = None;
        }
        ended
    }

    /// Why nothing can fill its disk, if so.
    pub(crate) fn no_disk(&self) -> Option<&str> {
        self.no_disk.as_deref()
    }

    /// Takes all room that its disk has left.
    pub(crate) fn fill_disk(&self) {
        assert!(self.no_disk.is_none(), "this would fill the disk of the machine");
        let filler = fs::File::options().create(true).append(true).open(self.filler());
        let mut filler = filler.expect("a file");
        let block = vec![1; 64 << 10];
        while filler.write_all(&block).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn free_disk(&self) {
        // It may never have been there.
        fs::remove_file(self.filler()).unwrap_or_default();
    }

    fn filler(&self) -> PathBuf {
        self.directory.join("data/filler")
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// How to connect to the database of the hosts.
    pub(crate) fn database(&self) -> Config {
        self.config(DATABASE)
    }

    /// The URL of the database for hosts that reach it at `address`, or by its socket.
    pub(crate) fn url(&self, address: Option<&str>) -> String {
        match address {
            Some(address) => format!("postgres://{SUPERUSER}@{address}/{DATABASE}?sslmode=disable"),
            None => format!("postgres://{SUPERUSER}@/{DATABASE}?host={}", self.directory.display()),
        }
    }

    /// The end of what it logged.
    pub(crate) fn log(&self) -> String {
        let text = self.whole_log();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// All that it logged.
    pub(crate) fn whole_log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.directory).user(SUPERUSER).dbname(database);
        config.connect_timeout(Duration::from_secs(5));
        config
    }

    fn answers(&self) -> bool {
        let config = self.config("postgres");
        on_a_runtime(async { config.connect(NoTls).await.is_ok() })
    }

    fn execute(&self, database: &str, statement: &str) {
        let config = self.config(database);
        on_a_runtime(async {
            let (client, connection) = config.connect(NoTls).await.expect("the server answers");
            let connection = tokio::spawn(connection);
            client.batch_execute(statement).await.expect(statement);
            drop(client);
            connection.await.expect("no panic").expect("a clean end");
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            send(postmaster.id().cast_signed(), Signal::SIGQUIT);
            if !within(PATIENCE, || postmaster.try_wait().is_ok_and(|exit| exit.is_some())) {
                postmaster.kill().unwrap_or_default();
            }
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
        // The rest is done by the reaper, as soon as the lifeline is cut.
    }
}

/// Gives a directory a disk of its own, which is memory.
fn mount(directory: &Path, mebibytes: u32) -> Result<(), String> {
    let options = format!("size={mebibytes}m,mode=0700");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
        .arg(directory)
        .output()
        .map_err(|error| format!("mount: {error}"))?;
    let said = String::from_utf8_lossy(&mount.stderr).trim().to_owned();
    if mount.status.success() { Ok(()) } else { Err(said) }
}
