//! The program beside ours: `peer/app.py`, by uvicorn with a process for each core.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Outcome,
    client::Client,
    cluster::{Cluster, free_address},
};

/// What it is called.
pub(crate) const NAME: &str = "FastAPI + asyncpg";

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program that runs; stopped when dropped.
pub(crate) struct Peer {
    process: Child,
    address: SocketAddr,
    database: String,
}

impl Peer {
    /// Starts it on a database that is made for it.
    pub(crate) fn start(cluster: &Cluster, database: &str) -> Outcome<Self> {
        let home = directory().ok_or("neither BENCH_PEERS nor HOME is set")?;
        let python = home.join("venv/bin/python");
        if !python.exists() {
            return Err(
                format!("{} is missing: run benches/sessions/peer.sh", python.display()).into()
            );
        }
        cluster.make(database, None)?;
        let app = fs::read_to_string(home.join("app.py"))?;
        let schema =
            app.split("SCHEMA = \"\"\"").nth(1).and_then(|rest| rest.split("\"\"\"").next());
        cluster.execute(database, &[schema.ok_or("the program has no schema")?])?;
        let address = free_address()?;
        let cores = thread::available_parallelism()?.to_string();
        let process = Command::new(python)
            .args(["-m", "uvicorn", "app:app", "--log-level", "warning", "--no-access-log"])
            .args(["--loop", "uvloop", "--http", "httptools", "--workers", &cores])
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .arg("--app-dir")
            .arg(home)
            .env("PEER_DATABASE", cluster.url(database))
            // Whoever works here is ended with the benchmark.
            .current_dir(cluster.workplace("peer")?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut peer = Self { process, address, database: database.to_owned() };
        let began = Instant::now();
        loop {
            let answered =
                peer.connect().and_then(|mut client| Ok(client.ask("GET", "/openapi.json", "")?));
            if answered.is_ok() {
                break;
            }
            if began.elapsed() > PATIENCE || peer.process.try_wait()?.is_some() {
                return Err("it does not answer".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        // Until the other processes have their connections, too.
        thread::sleep(Duration::from_secs(2));
        Ok(peer)
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Outcome<Client> {
        Ok(Client::connect(self.address)?)
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        self.process.wait().ok();
    }
}

/// Where `peer.sh` installs.
fn directory() -> Option<PathBuf> {
    let given = std::env::var_os("BENCH_PEERS").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/hostler/peers"));
    given.or_else(home).map(|peers| peers.join("fastapi"))
}
