//! Starting a keeper program and saying hello to it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use slog::{Logger, info, warn};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    super::{
        KeeperError, cgroup,
        sweep::sweep,
        wire::{Notice, OLDEST, Request, VERSION},
    },
    link::{Broken, Link, Told},
    program::Program,
};
use crate::domain::restart::millis;

/// How a host begins.
const HELLO: Request = Request::Hello { version: VERSION, oldest: Some(OLDEST) };

/// How long a keeper may take to answer the hello, or the keeper of a host that died to end.
const HELLO_LIMIT: Duration = Duration::from_secs(20);

/// How long a keeper may still serve a host that died: the kernel closes the files of a dead process one
/// after another, the lock on the data directory perhaps before the connection.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);

/// The wait before such a keeper is asked again.
const CLOSING_LOOK: Duration = Duration::from_millis(20);

/// What a host needs for its keeper.
#[derive(Debug, Clone)]
pub struct KeeperPlaces {
    /// This program.
    pub exe: PathBuf,
    /// Where the keeper listens.
    pub socket: PathBuf,
    /// Where its log is.
    pub log_dir: PathBuf,
    /// Where its control groups may go.
    pub groups: Option<PathBuf>,
    /// How long agents of a keeper that can't be used may take to leave once they are asked to.
    pub grace: Duration,
}

/// What is written down of a keeper for the hosts that come after it.
#[derive(Debug)]
struct Record {
    instance: Uuid,
    /// The directory of its control groups.
    groups: Option<PathBuf>,
}

impl Record {
    fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut lines = text.lines();
        let instance = Uuid::try_parse(lines.next()?.trim()).ok()?;
        Some(Self { instance, groups: lines.next().map(PathBuf::from) })
    }

    fn text(&self) -> String {
        let groups = self.groups.as_ref().map(|path| path.display().to_string());
        format!("{}\n{}", self.instance.simple(), groups.unwrap_or_default()).trim_end().to_owned()
    }
}

impl KeeperPlaces {
    fn log_file(&self) -> PathBuf {
        self.log_dir.join("keeper.log")
    }

    /// Holds the id of the newest keeper, for a host that must sweep after it.
    fn instance_file(&self) -> PathBuf {
        self.socket.with_extension("instance")
    }

    /// Removes what is of no use without the keeper `instance`, unless another took its place.
    pub(super) fn clear(&self, instance: Uuid) {
        let file = self.instance_file();
        if Record::read(&file).is_some_and(|record| record.instance == instance) {
            for path in [&self.socket, &file] {
                // A file that stays does no harm: the next start replaces it.
                fs::remove_file(path).ok();
            }
        }
    }
}

/// A keeper that runs and said hello.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) program: Program,
    pub(super) link: Link,
    pub(super) pid: u32,
    pub(super) instance: Uuid,
    /// The highest process id that it has seen.
    pub(super) last_id: u64,
    /// The number of this host among those that it served.
    pub(super) hosts: u64,
    /// What it keeps: [`Notice::Kept`], each with its descriptors.
    pub(super) kept: Vec<Told>,
}

/// What an earlier keeper answered to a hello.
enum Answer {
    /// It goes on with this host.
    Welcome(Box<Started>),
    /// It serves another host.
    InUse,
    /// It does not serve hosts like this one.
    Refused(String),
    /// It has ended.
    Ended,
}

/// What there was of an earlier keeper.
pub(super) enum Earlier {
    /// It goes on with this host.
    Found(Box<Started>),
    /// It could not be used, for this reason: it was ended, and its agents with it.
    Replaced(String),
    /// There was none.
    None,
}

/// The keeper of a host before this, if it is of use. Otherwise makes way for another: waits for the
/// end of one that is ending, has one of another version end, sweeps what a dead one left.
pub(super) async fn find(log: &Logger, places: &KeeperPlaces) -> Result<Earlier, KeeperError> {
    let in_use = || KeeperError::InUse { path: places.socket.clone() };
    let mut earlier = Earlier::None;
    let deadline = Instant::now() + CLOSING_LIMIT;
    while let Ok(link) = Link::connect(&places.socket).await {
        let answer = timeout(HELLO_LIMIT, greet(link)).await;
        match answer.map_err(|_| in_use())? {
            Answer::Welcome(found) => {
                info!(log, "keeper of an earlier host found"; "pid" => found.pid,
                    "count" => found.kept.len());
                return Ok(Earlier::Found(found));
            }
            Answer::InUse if Instant::now() < deadline => sleep(CLOSING_LOOK).await,
            Answer::InUse => return Err(in_use()),
            Answer::Refused(reason) => {
                warn!(log, "keeper of an earlier host can't be used: its agents are asked to leave";
                    "reason" => &reason, "wait_ms" => millis(places.grace));
                let limit = places.grace.saturating_add(HELLO_LIMIT);
                timeout(limit, dismiss(places)).await.map_err(|_| in_use())?;
                earlier = Earlier::Replaced(reason);
            }
            Answer::Ended => break,
        }
    }
    if let Some(record) = Record::read(&places.instance_file()) {
        sweep_after(log, places, record.instance, Vec::new()).await;
    }
    Ok(earlier)
}

/// Says hello to an earlier keeper and hears what it has.
async fn greet(mut link: Link) -> Answer {
    if link.ask(&HELLO).is_err() {
        return Answer::Ended;
    }
    let (instance, pid, last_id, hosts, count) = match link.next().await.map(|told| told.notice) {
        Ok(Notice::Hello { version: OLDEST..=VERSION, instance, pid, last_id, hosts, kept }) => {
            (instance, pid, last_id, hosts, kept)
        }
        Ok(Notice::Refused { in_use: true, .. }) => return Answer::InUse,
        Ok(Notice::Refused { reason, .. }) => return Answer::Refused(reason),
        Ok(_) | Err(Broken::Frame(_)) => return Answer::Refused("it speaks otherwise".to_owned()),
        Err(Broken::End | Broken::Failed(_)) => return Answer::Ended,
    };
    let mut kept = Vec::new();
    for _ in 0..count {
        match link.next().await {
            Ok(told) => kept.push(told),
            Err(_) => return Answer::Ended,
        }
    }
    let program = Program::find(instance, pid).unwrap_or(Program::Unseen);
    Answer::Welcome(Box::new(Started { program, link, pid, instance, last_id, hosts, kept }))
}

/// Asks an earlier keeper to end, in words that every version knows, and waits until it has. One that is
/// too old to know of a grace ends all at once.
async fn dismiss(places: &KeeperPlaces) {
    let Ok(mut link) = Link::connect(&places.socket).await else { return };
    if link.ask(&Request::Shutdown { grace_ms: Some(millis(places.grace)) }).is_ok() {
        while link.next().await.is_ok() {}
    }
}

/// Ends what a dead keeper left behind, and logs what was found.
pub(super) async fn sweep_after(
    log: &Logger,
    places: &KeeperPlaces,
    instance: Uuid,
    leaders: Vec<u32>,
) {
    let record = Record::read(&places.instance_file()).filter(|one| one.instance == instance);
    if let Some(groups) = record.and_then(|record| record.groups) {
        let swept = tokio::task::spawn_blocking(move || cgroup::sweep(&groups)).await;
        if let Err(error) = swept.map_err(io::Error::other).flatten() {
            warn!(log, "control groups of a dead keeper can't be removed"; "error" => %error);
        }
    }
    match tokio::task::spawn_blocking(move || sweep(instance, &leaders)).await {
        Ok(Ok(swept)) if swept.survived > 0 => {
            warn!(log, "processes of a dead keeper do not end"; "count" => swept.survived);
        }
        Ok(Ok(swept)) if swept.killed > 0 => {
            info!(log, "processes of a dead keeper ended"; "count" => swept.killed);
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!(log, "no sweep after a dead keeper"; "error" => %error),
        Err(error) => warn!(log, "no sweep after a dead keeper"; "error" => %error),
    }
}

/// Starts a keeper and says hello.
pub(super) async fn start(places: &KeeperPlaces) -> Result<Started, KeeperError> {
    let instance = Uuid::new_v4();
    let groups = places.groups.as_deref().map(|base| cgroup::directory_for(base, instance));
    let log = prepare(places, &Record { instance, groups: groups.clone() })?;
    let listener = listen_at(&places.socket)
        .map_err(|source| KeeperError::Socket { path: places.socket.clone(), source })?;
    let mut child = Command::new(&places.exe)
        .arg("keeper")
        .arg(instance.simple().to_string())
        .args(groups)
        .env_clear()
        .stdin(listener)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|source| KeeperError::Program { exe: places.exe.clone(), source })?;
    let no_answer = |what: String| KeeperError::NoAnswer { what, log: places.log_file() };
    let hello = async {
        let mut link = Link::connect(&places.socket).await?;
        link.ask(&HELLO)?;
        let told = link.next().await?;
        Ok::<_, Broken>((link, told.notice))
    };
    let answer = tokio::select! {
        biased;
        answer = timeout(HELLO_LIMIT, hello) => answer,
        status = child.wait() => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(no_answer(format!("it ended at once ({status})")));
        }
    };
    let what = match answer {
        Ok(Ok((
            link,
            Notice::Hello { version: VERSION, instance: theirs, pid, last_id, hosts, kept: 0 },
        ))) if theirs == instance => {
            let program = Program::Child(child);
            let kept = Vec::new();
            return Ok(Started { program, link, pid, instance, last_id, hosts, kept });
        }
        Ok(Ok((_, Notice::Refused { reason, .. }))) => format!("it said: {reason}"),
        Ok(Ok(_)) => "it answered as another keeper".to_owned(),
        Ok(Err(broken)) => broken.to_string(),
        Err(_) => format!("no hello within {} s", HELLO_LIMIT.as_secs()),
    };
    // It keeps nothing yet. Where killing it fails, it ends by itself for want of a host.
    child.kill().await.ok();
    Err(no_answer(what))
}

/// Makes the directories and files of a keeper; gives the file of its log.
fn prepare(places: &KeeperPlaces, record: &Record) -> Result<fs::File, KeeperError> {
    let at = |path: PathBuf| move |source| KeeperError::Files { path, source };
    let mut directory = DirBuilder::new();
    directory
        .recursive(true)
        .mode(0o700)
        .create(&places.log_dir)
        .map_err(at(places.log_dir.clone()))?;
    let file = places.instance_file();
    fs::write(&file, record.text()).map_err(at(file))?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(places.log_file())
        .map_err(at(places.log_file()))
}

/// A socket that listens at `path`, for this user alone. Nobody can connect before its mode is set,
/// as it does not listen before; the host can, before the keeper runs.
fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listen(&listener, Backlog::new(16)?)?;
    Ok(listener)
}
