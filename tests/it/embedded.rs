//! The private Postgres, with real processes. Needs an installed PostgreSQL; as root also the
//! account `postgres`.

use std::{
    fs::{self, Permissions},
    future::{Future, pending},
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hostler::{
    embedded::{EmbeddedError, Postgres, State},
    settings::Embedded,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid, getsid},
};
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

/// Longer than anything here takes, so that a hanging test ends with a message.
const DEADLINE: Duration = Duration::from_secs(60);
/// Where the host that is killed finds its directory.
const DIR_VARIABLE: &str = "HOSTLER_TEST_EMBEDDED_DIR";
/// What it says once its Postgres answers.
const READY: &str = "the host is ready";

/// A data directory of its own; ends with an assertion that no process is left in it.
struct World {
    root: TempDir,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // The account that Postgres runs as must pass through.
        fs::set_permissions(root.path(), Permissions::from_mode(0o711)).unwrap();
        Self { root }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("postgres")
    }

    fn config_file(&self) -> PathBuf {
        self.dir().join("cluster/postgresql.conf")
    }

    async fn start(&self) -> Result<Postgres, EmbeddedError> {
        start(&self.dir()).await
    }

    /// Processes of Postgres that work in this world, zombies not counted.
    fn processes(&self) -> Vec<i32> {
        let root = self.root.path().canonicalize().unwrap();
        let pids = fs::read_dir("/proc").unwrap();
        pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
                cwd.is_ok_and(|cwd| cwd.starts_with(&root))
            })
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let left = self.processes();
        for pid in &left {
            kill(Pid::from_raw(*pid), Signal::SIGKILL).ok();
        }
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<i32>::new(), "processes left behind");
        }
    }
}

fn settings() -> Embedded {
    Embedded { bin_dir: None, user: "postgres".to_owned(), shared_buffers: 16 << 20 }
}

async fn start(dir: &Path) -> Result<Postgres, EmbeddedError> {
    let log = Logger::root(Discard, o!());
    within(Postgres::start(&log, &settings(), dir)).await
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}

/// Polls until `condition` holds, up to the deadline.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let poll = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(DEADLINE, poll).await.is_ok(), "not in time: {what}");
}

async fn connect(postgres: &Postgres) -> Client {
    let (client, connection) = within(postgres.config().connect(NoTls)).await.unwrap();
    tokio::spawn(async { connection.await.ok() });
    client
}

async fn text(client: &Client, query: &str) -> String {
    within(client.query_one(query, &[])).await.unwrap().get(0)
}

async fn insert(postgres: &Postgres, note: &str) {
    let client = connect(postgres).await;
    within(client.batch_execute("CREATE TABLE IF NOT EXISTS notes (note text)")).await.unwrap();
    within(client.execute("INSERT INTO notes VALUES ($1)", &[&note])).await.unwrap();
}

async fn notes(postgres: &Postgres) -> String {
    let client = connect(postgres).await;
    text(&client, "SELECT coalesce(string_agg(note, ' ' ORDER BY note), '') FROM notes").await
}

fn pid_of(postgres: &Postgres) -> Pid {
    Pid::from_raw(i32::try_from(postgres.pid().expect("running")).unwrap())
}

/// Waits for the next state that `wanted` accepts.
async fn state_becomes(postgres: &Postgres, wanted: impl FnMut(&State) -> bool) {
    let mut states = postgres.watch();
    within(states.wait_for(wanted)).await.expect("supervised");
}

#[tokio::test]
async fn the_first_start_makes_a_private_durable_cluster_and_later_ones_keep_it() {
    let world = World::new();
    let postgres = world.start().await.unwrap();
    let client = connect(&postgres).await;
    for (setting, value) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("shared_buffers", "16MB"),
    ] {
        assert_eq!(text(&client, &format!("SHOW {setting}")).await, value, "{setting}");
    }
    let who = "SELECT current_user || ' ' || current_database() || ' ' || rolsuper || ' ' || \
               datcollate FROM pg_roles, pg_database \
               WHERE rolname = current_user AND datname = current_database()";
    assert_eq!(text(&client, who).await, "hostler hostler false C");
    insert(&postgres, "kept").await;

    let pid = pid_of(&postgres);
    assert_eq!(getsid(Some(pid)), Ok(pid), "a session of its own");
    let process = fs::metadata(format!("/proc/{pid}")).unwrap();
    assert_ne!(process.uid(), 0);
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    for variable in environment.split('\0').filter(|it| !it.is_empty()) {
        assert!(["LC_ALL=C", "TZ=UTC"].contains(&variable), "{variable}");
    }
    let dir = fs::metadata(world.dir()).unwrap();
    assert_eq!((dir.mode() & 0o777, dir.uid()), (0o700, process.uid()));

    within(postgres.stop()).await.unwrap();
    assert_eq!(world.processes(), Vec::<i32>::new(), "gone when stop returns");

    let again = world.start().await.unwrap();
    assert_eq!(notes(&again).await, "kept");
    within(again.stop()).await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_comes_back_with_what_was_committed() {
    let world = World::new();
    let postgres = world.start().await.unwrap();
    insert(&postgres, "committed").await;
    // A backend that never looks whether its postmaster lives.
    let busy = connect(&postgres).await;
    let spin =
        tokio::spawn(async move { busy.batch_execute("DO 'BEGIN LOOP END LOOP; END'").await });
    let probe = connect(&postgres).await;
    let spinning = async {
        let query = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'DO %LOOP%'";
        while text(&probe, query).await != "1" {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(spinning).await;

    let first = pid_of(&postgres);
    kill(first, Signal::SIGKILL).unwrap();
    state_becomes(&postgres, |state| matches!(state, State::Restarting { .. })).await;
    assert_eq!(postgres.pid(), None);
    state_becomes(&postgres, |state| matches!(state, State::Running { .. })).await;
    assert_ne!(pid_of(&postgres), first);
    assert!(within(spin).await.unwrap().is_err(), "its backend is gone");
    assert_eq!(notes(&postgres).await, "committed");
    within(postgres.stop()).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_cannot_start_says_why_is_tried_again_and_can_be_stopped() {
    let world = World::new();
    let postgres = world.start().await.unwrap();
    let good = fs::read_to_string(world.config_file()).unwrap();
    let bad = format!("{good}\nno_such_setting = 1\n");

    fs::write(world.config_file(), &bad).unwrap();
    kill(pid_of(&postgres), Signal::SIGKILL).unwrap();
    let failed = |state: &State| matches!(state, State::Restarting { failures } if *failures > 2);
    state_becomes(&postgres, failed).await;
    fs::write(world.config_file(), &good).unwrap();
    state_becomes(&postgres, |state| matches!(state, State::Running { .. })).await;
    connect(&postgres).await;

    fs::write(world.config_file(), &bad).unwrap();
    kill(pid_of(&postgres), Signal::SIGKILL).unwrap();
    state_becomes(&postgres, |state| matches!(state, State::Restarting { .. })).await;
    let mut states = postgres.watch();
    within(postgres.stop()).await.expect("in the middle of its restarts");
    assert_eq!(*states.borrow_and_update(), State::Stopped);
    assert_eq!(world.processes(), Vec::<i32>::new());

    let error = world.start().await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Ended { .. }), "{error:?}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    assert_eq!(world.processes(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_half_made_cluster_is_made_anew_and_a_dropped_one_shuts_down() {
    let world = World::new();
    let half = world.dir().join("cluster.new");
    fs::create_dir_all(half.join("base")).unwrap();
    fs::write(half.join("PG_VERSION"), "15\n").unwrap();

    let postgres = world.start().await.unwrap();
    assert!(!half.exists());
    connect(&postgres).await;
    let mut states = postgres.watch();
    drop(postgres);
    within(states.wait_for(|state| *state == State::Stopped)).await.unwrap();
    eventually("no process", || world.processes().is_empty()).await;
}

/// A process of the account that Postgres runs as, which is not Postgres.
fn stranger() -> Child {
    let mut command = Command::new("sleep");
    command.arg("600").current_dir("/").stdin(Stdio::null());
    if geteuid().is_root() {
        let user = User::from_name("postgres").unwrap().unwrap();
        command.gid(user.gid.as_raw()).uid(user.uid.as_raw());
    }
    command.spawn().unwrap()
}

#[tokio::test]
async fn stale_pid_files_do_not_hinder_a_start() {
    let world = World::new();
    within(world.start().await.unwrap().stop()).await.unwrap();
    let mut stranger = stranger();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();

    for pid in [stranger.id(), gone.id()] {
        let data = world.dir().join("cluster");
        let content = format!("{pid}\n{}\n1700000000\n5432\n", data.display());
        for file in [data.join("postmaster.pid"), world.dir().join(".s.PGSQL.5432.lock")] {
            fs::write(&file, &content).unwrap();
            let owner = fs::metadata(&data).unwrap();
            std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let postgres = world.start().await.unwrap();
        within(postgres.stop()).await.unwrap();
    }
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger was left alone");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_directory_that_the_account_cannot_reach_is_named() {
    let world = World::new();
    let closed = world.root.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    if geteuid().is_root() {
        let error = start(&closed.join("postgres")).await.unwrap_err();
        let closed = closed.canonicalize().unwrap();
        assert!(
            matches!(&error, EmbeddedError::Untraversable { path, .. } if *path == closed),
            "{error:?}"
        );
        assert!(error.to_string().contains("`postgres`"), "{error}");
    }
    let missing = closed.join("missing/postgres");
    let error = start(&missing).await.unwrap_err().to_string();
    assert_eq!(error, format!("cannot make the directory `{}`", missing.display()));

    let long = closed.join("x".repeat(90)).join("postgres");
    let error = start(&long).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::PathTooLong { limit: 103 | 107, .. }), "{error:?}");
}

/// The host of the next test: this binary once more, asked for this test alone.
#[tokio::test]
async fn host_that_is_killed() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else {
        return;
    };
    let postgres = start(Path::new(&dir)).await.unwrap();
    let client = connect(&postgres).await;
    insert(&postgres, "committed").await;
    client.batch_execute("BEGIN; INSERT INTO notes VALUES ('open')").await.unwrap();
    println!("\n{READY}");
    pending::<()>().await;
}

/// Runs a host until its Postgres answers, and kills it by SIGKILL.
fn run_and_kill_a_host(dir: &Path) {
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::host_that_is_killed", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line == READY);
    host.kill().unwrap();
    host.wait().unwrap();
    assert!(ready, "the host failed before it was killed");
}

#[tokio::test]
async fn a_host_killed_by_sigkill_leaves_no_postgres_and_the_next_takes_over() {
    let world = World::new();
    run_and_kill_a_host(&world.dir());
    eventually("the cluster shuts down by itself", || world.processes().is_empty()).await;
    assert!(!world.dir().join("cluster/postmaster.pid").exists(), "it shut down cleanly");

    run_and_kill_a_host(&world.dir());
    let postgres = world.start().await.expect("at once, while the former one shuts down");
    assert_eq!(notes(&postgres).await, "committed committed");
    within(postgres.stop()).await.unwrap();
}
