//! A real host, with its private Postgres.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Outcome,
    stage::{PATIENCE, Stage, now, pids},
    subject::{Subject, terminate},
};

/// What it is called in the figures.
pub(crate) const NAME: &str = "hostler";

/// The most agents of one fleet.
const FLEET: usize = 1_000;

/// A fleet of processes that stay, each started again at once.
pub(crate) fn services(stage: &Stage, name: &str, count: usize, flag: &str) -> String {
    let (child, log) = (stage.child(), stage.log());
    let (child, log) = (child.display(), log.display());
    format!(
        r#"
[fleets.{name}]
protocol = "service"
command = ["{child}", "{log}", "-", "{flag}"]
count = {count}
stop_grace = "1s"
restart = {{ backoff_min = "0s", backoff_max = "0s", max_restarts = 10000 }}
"#
    )
}

/// So many of them, in as many fleets as it takes.
pub(crate) fn many(stage: &Stage, count: usize) -> String {
    let fleets = (0..count.div_ceil(FLEET))
        .map(|nth| services(stage, &format!("f{nth}"), FLEET.min(count - nth * FLEET), "stay"));
    fleets.collect()
}

/// A host that runs; killed when dropped.
pub(crate) struct Host {
    directory: PathBuf,
    process: Child,
    /// When it was started.
    pub(crate) launched: u64,
    /// Since when what its log says counts: that, or when it was given its fleets.
    since: u64,
}

impl Host {
    /// Starts a host with these fleets in the directory `name`, where one may have run before.
    pub(crate) fn start(stage: &Stage, name: &str, fleets: &str) -> Outcome<Self> {
        let directory = stage.path(name);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("bench.toml"), format!("[http]\nbind = \"off\"\n{fleets}"))?;
        let launched = now();
        let process = Command::new(env!("CARGO_BIN_EXE_hostler"))
            .args(["up", "--config", "bench.toml", "--data-dir", "data"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("stderr"))?)
            .spawn()?;
        Ok(Self { directory, process, launched, since: launched })
    }

    /// Asks its API; the status and the body of the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Outcome<(u16, Value)> {
        let mut stream = UnixStream::connect(self.directory.join("data/hostler.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |parts| parts.1);
        Ok((status.ok_or("no answer")?, serde_json::from_str(body).unwrap_or_default()))
    }

    /// Gives these fleets to a host that is up.
    pub(crate) fn add(&mut self, fleets: &str) -> Outcome<()> {
        let path = self.directory.join("bench.toml");
        let settings = fs::read_to_string(&path)?;
        fs::write(path, settings + fleets)?;
        self.since = now();
        match self.ask("POST", "/api/v1/reload", "")? {
            (200, _) => Ok(()),
            refused => Err(format!("the fleets are refused: {refused:?}").into()),
        }
    }

    /// Waits until it says that it is ready.
    pub(crate) fn await_ready(&mut self) -> Outcome<()> {
        let began = Instant::now();
        while !self.ask("GET", "/readyz", "").is_ok_and(|(status, _)| status == 200) {
            if began.elapsed() > PATIENCE || self.process.try_wait()?.is_some() {
                let stderr = fs::read_to_string(self.directory.join("stderr"))?;
                return Err(format!("the host is not ready: {stderr}").into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// When the first of its agents was told to start: Postgres was up then. What a host before it wrote into the
    /// same log does not count.
    pub(crate) fn first_start(&self) -> Outcome<u64> {
        let log = fs::read_to_string(self.directory.join("data/logs/hostler.log"))?;
        for line in log.lines().filter(|line| line.contains("\"msg\":\"agent moved\"")) {
            let line: Value = serde_json::from_str(line)?;
            let at: Timestamp = line["ts"].as_str().unwrap_or_default().parse()?;
            let at = u64::try_from(at.as_nanosecond())?;
            if at >= self.since {
                return Ok(at);
            }
        }
        Err("no agent was started".into())
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Its keeper.
    fn keeper(&self) -> Outcome<i32> {
        let host = self.process.id().to_string();
        let is_keeper = |pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            stat.contains("(hostler-keeper)") && parent == Some(&*host)
        };
        Ok(pids()?.into_iter().find(is_keeper).ok_or("the host has no keeper")?)
    }
}

impl Subject for Host {
    fn supervisors(&self) -> Outcome<Vec<i32>> {
        Ok(vec![i32::try_from(self.process.id())?, self.keeper()?])
    }

    fn began(&self) -> Outcome<u64> {
        self.first_start()
    }

    fn ask_to_stop(&mut self) -> Outcome<()> {
        terminate(&self.process)
    }

    fn await_end(&mut self) -> Outcome<()> {
        self.process.wait()?;
        Ok(())
    }

    fn answers(&self) -> bool {
        self.ask("GET", "/readyz", "").is_ok_and(|(status, _)| status == 200)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait()
            && terminate(&self.process).is_ok()
        {
            self.process.wait().ok();
        }
    }
}
