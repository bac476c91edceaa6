//! One cluster on disk: where it is, who owns it, how it is made and how its server is called.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::sys::signal::Signal;
use slog::{Logger, info};
use tokio::{process::Command, time::Instant};

use super::{
    NAME,
    account::Account,
    elapsed_ms,
    error::EmbeddedError,
    find::{Installation, find, find_for},
    leftovers,
    log_file::{LogFile, last_lines},
    spawner::{Spawner, bare},
};
use crate::settings;

/// The superuser of the cluster. The host uses it only to make its own role and database.
const SUPERUSER: &str = "postgres";
/// The port is part of the socket's name, and of nothing else.
const PORT: u16 = 5432;
/// The most bytes of a socket's path: `sun_path` less the closing zero.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// The least `shared_buffers` that Postgres takes, in KiB.
const MIN_SHARED_BUFFERS: u64 = 128;

/// What the server is told whatever its configuration file says: that it is private, durable,
/// and writes no statement (which may hold a secret) to its log.
const FIXED: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "cluster_name=hostler",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_destination=stderr",
    "logging_collector=off",
    "log_line_prefix=%m [%p] ",
    "log_min_messages=log",
    "log_min_error_statement=panic",
    "log_statement=none",
    "log_checkpoints=off",
    // The host's statements are small; compiling them costs more than it saves.
    "jit=off",
    // The pools of the host and of its tools, with room for a person's psql.
    "max_connections=200",
];

/// A cluster that is ready to be started.
#[derive(Debug)]
pub(super) struct Cluster {
    dir: PathBuf,
    account: Account,
    installation: Installation,
    shared_buffers: u64,
    log_file: LogFile,
}

impl Cluster {
    /// Finds the programs and the account, and makes the cluster where there is none.
    ///
    /// # Errors
    ///
    /// Everything that [`EmbeddedError`] has to say of paths, accounts, versions and initdb.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no cluster or a complete one.
    pub(super) async fn prepare(
        log: &Logger,
        settings: &settings::Embedded,
        dir: &Path,
        spawner: &Spawner,
    ) -> Result<Self, EmbeddedError> {
        let (settings, dir) = (settings.clone(), dir.to_owned());
        let locate = move || Self::locate(&settings, &dir);
        let cluster =
            tokio::task::spawn_blocking(locate).await.map_err(EmbeddedError::Unsupervised)??;
        if !cluster.data().exists() {
            leftovers::clear(log, &cluster).await?;
            cluster.init(log, spawner).await?;
        }
        Ok(cluster)
    }

    /// The part that blocks: makes `dir`, reads the version in it, and looks for programs.
    fn locate(settings: &settings::Embedded, dir: &Path) -> Result<Self, EmbeddedError> {
        check_socket_path(&std::path::absolute(dir).map_err(EmbeddedError::file("resolve", dir))?)?;
        let account = Account::resolve(&settings.user)?;
        check_owner(&dir.join("cluster"), account.uid())?;
        make_dir(dir, &account)?;
        // What /proc says of a process has no links in it.
        let dir = dir.canonicalize().map_err(EmbeddedError::file("resolve", dir))?;
        check_socket_path(&dir)?;

        let data = dir.join("cluster");
        let bin_dir = settings.bin_dir.as_deref();
        // PATH is the system's own way to find programs, not a setting of this host.
        let path_env = std::env::var_os("PATH");
        let installation = match version_of(&data)? {
            Some(needed) => find_for(&data, needed, bin_dir, path_env.as_deref())?,
            None => find(bin_dir, path_env.as_deref())?,
        };
        let shared_buffers = settings.shared_buffers;
        Ok(Self { log_file: LogFile::new(&dir), dir, account, installation, shared_buffers })
    }

    /// Makes the cluster beside its place, and moves it there once it is complete and on disk.
    async fn init(&self, log: &Logger, spawner: &Spawner) -> Result<(), EmbeddedError> {
        let began = Instant::now();
        let new = self.dir.join("cluster.new");
        remove_tree(&new)?;
        let program = self.installation.program("initdb");
        let mut command = self.command(&program);
        command.arg("--pgdata").arg(&new);
        command.args(["--username", SUPERUSER, "--encoding=UTF8", "--locale=C"]);
        command.args(["--data-checksums", "--auth-local=trust", "--auth-host=reject"]);
        command.arg("--no-instructions").stdout(Stdio::null()).stderr(Stdio::piped());

        let failed = |source| self.account.explain(&self.dir, &program, source);
        let child = spawner.spawn(command, Signal::SIGKILL).await.map_err(failed)?;
        let output = child.wait_with_output().await.map_err(failed)?;
        if !output.status.success() {
            remove_tree(&new)?;
            let (exit, output) = (output.status.to_string(), last_lines(&output.stderr));
            return Err(EmbeddedError::Initdb { exit, output });
        }
        let data = self.data();
        fs::rename(&new, &data).map_err(EmbeddedError::file("make", &data))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(EmbeddedError::file("sync", &self.dir))?;
        info!(log, "postgres cluster made"; "path" => %data.display(),
            "version" => self.version(), "elapsed_ms" => elapsed_ms(began));
        Ok(())
    }

    /// The command that runs the server, without its output.
    pub(super) fn server(&self) -> Command {
        let mut command = self.command(&self.installation.program("postgres"));
        command.arg("-D").arg(self.data());
        let buffers = (self.shared_buffers / 1024).max(MIN_SHARED_BUFFERS);
        let own = [
            format!("port={PORT}"),
            format!("shared_buffers={buffers}kB"),
            format!("unix_socket_directories={}", quoted(&self.dir)),
        ];
        for setting in FIXED.iter().copied().chain(own.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command
    }

    /// A program of this installation as this account, in the directory of this cluster.
    fn command(&self, program: &Path) -> Command {
        let mut command = bare(program, &self.dir);
        self.account.apply(&mut command);
        command
    }

    /// The error for a server that could not be started at all.
    pub(super) fn not_spawned(&self, source: io::Error) -> EmbeddedError {
        self.account.explain(&self.dir, &self.installation.program("postgres"), source)
    }

    /// How the host connects.
    pub(super) fn config(&self) -> tokio_postgres::Config {
        self.config_for(NAME, NAME)
    }

    /// How the superuser connects, to make the host's role and database.
    pub(super) fn admin_config(&self) -> tokio_postgres::Config {
        self.config_for(SUPERUSER, "postgres")
    }

    fn config_for(&self, user: &str, database: &str) -> tokio_postgres::Config {
        config_for(&self.dir, user, database)
    }

    /// The major version of the server.
    pub(super) fn version(&self) -> u32 {
        self.installation.version
    }

    /// The directory that everything is in, without links in its path.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data directory proper.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// The files that hold the postmaster's process id, in their first line.
    pub(super) fn pid_files(&self) -> [PathBuf; 2] {
        let socket = socket(&self.dir);
        [self.data().join("postmaster.pid"), socket.with_added_extension("lock")]
    }

    /// What the server writes.
    pub(super) fn log_file(&self) -> &LogFile {
        &self.log_file
    }
}

/// How to connect to the cluster in `dir` that somebody else has started: as the owner of the
/// host's database, or as the superuser.
pub(super) fn config_in(dir: &Path, superuser: bool) -> tokio_postgres::Config {
    config_for(dir, if superuser { SUPERUSER } else { NAME }, NAME)
}

fn config_for(dir: &Path, user: &str, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(dir).port(PORT).user(user).dbname(database);
    config.application_name(NAME);
    config
}

fn socket(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}"))
}

fn check_socket_path(dir: &Path) -> Result<(), EmbeddedError> {
    let path = socket(dir);
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(EmbeddedError::PathTooLong { path, length, limit: SOCKET_PATH_LIMIT });
    }
    Ok(())
}

/// A list of one path, as `unix_socket_directories` wants it: a comma would begin another.
fn quoted(dir: &Path) -> String {
    format!("\"{}\"", dir.to_string_lossy().replace('"', "\"\""))
}

fn check_owner(data: &Path, wanted: u32) -> Result<(), EmbeddedError> {
    match fs::metadata(data) {
        Ok(meta) if meta.uid() == wanted => Ok(()),
        Ok(meta) => {
            Err(EmbeddedError::WrongOwner { path: data.to_owned(), owner: meta.uid(), wanted })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => {
            Err(EmbeddedError::File { action: "look at", path: data.to_owned(), source })
        }
    }
}

/// Makes `dir` (not its parents: their modes are the caller's decision), closed to all but the
/// account and root.
fn make_dir(dir: &Path, account: &Account) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        other => other.map_err(EmbeddedError::file("make the directory", dir))?,
    }
    account.give(dir).map_err(EmbeddedError::file("change the owner of", dir))?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))
        .map_err(EmbeddedError::file("set the mode of", dir))
}

/// The major version of the cluster in `data`; `None` where nothing is there.
fn version_of(data: &Path) -> Result<Option<u32>, EmbeddedError> {
    let path = data.join("PG_VERSION");
    let not_a_cluster = || EmbeddedError::NotACluster { path: data.to_owned() };
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| not_a_cluster()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !data.exists() => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_a_cluster()),
        Err(source) => Err(EmbeddedError::File { action: "read", path, source }),
    }
}

fn remove_tree(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(EmbeddedError::file("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_for_a_socket_names_the_limit_and_the_setting() {
        let name = "/".to_owned() + &"x".repeat(SOCKET_PATH_LIMIT - "//.s.PGSQL.5432".len());
        check_socket_path(Path::new(&name)).expect("just short enough");
        let error = check_socket_path(Path::new(&(name + "x"))).unwrap_err().to_string();
        assert!(error.contains(&format!("{} bytes", SOCKET_PATH_LIMIT + 1)), "{error}");
        assert!(error.contains("host.data_dir"), "{error}");
    }

    #[test]
    fn odd_characters_in_a_path_stay_one_directory() {
        assert_eq!(quoted(Path::new("/a, b/\"c\"")), r#""/a, b/""c""""#);
    }

    #[test]
    fn only_a_cluster_is_taken_for_one() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("cluster");
        assert_eq!(version_of(&data).unwrap(), None);
        fs::create_dir(&data).unwrap();
        assert!(matches!(version_of(&data), Err(EmbeddedError::NotACluster { .. })));
        fs::write(data.join("PG_VERSION"), "nonsense").unwrap();
        assert!(matches!(version_of(&data), Err(EmbeddedError::NotACluster { .. })));
        fs::write(data.join("PG_VERSION"), "16\n").unwrap();
        assert_eq!(version_of(&data).unwrap(), Some(16));
    }

    #[test]
    fn a_cluster_of_another_account_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let owner = fs::metadata(root.path()).unwrap().uid();
        check_owner(root.path(), owner).unwrap();
        let error = check_owner(root.path(), owner + 1).unwrap_err().to_string();
        assert!(error.contains(&format!("belongs to uid {owner}")), "{error}");
    }
}
