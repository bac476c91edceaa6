//! The keeper program: `hostler keeper`. Started by a host, never by a person.
//!
//! It has one loop and no policy: it starts, signals and reaps on request, and tells what happened. Its other
//! threads do nothing but start processes (`nursery.rs`). The listening socket comes as stdin and the instance's id as the only argument. Log
//! lines go to stderr, which the host points at a file.
//!
//! When the host's connection ends it keeps its processes for the next host for as long as the host
//! had said (`Request::Keep`), then ends them and itself; where the host had said nothing, at once.
//! A host that is there and says nothing by the time it had said is frozen: its processes are ended, for
//! their tasks may run elsewhere, and it can't see to that.
//! The next host is told of every process, also of those that ended meanwhile.
//!
//! It keeps copies of the pipe ends that it hands out only where the order asks for them: a copy of a
//! read end keeps a writer from SIGPIPE after the host closed its own, which then waits once the pipe
//! is full, and a copy of a write end keeps a reader from EOF (`Request::CloseStdin` ends that).

mod begin;
mod births;
mod child;
mod children;
mod ending;
mod identity;
mod nursery;
mod orphans;
mod peer;
mod setup;
mod spawn;

use std::{
    ffi::OsString,
    io,
    os::{fd::AsFd, unix::net::UnixListener},
    path::PathBuf,
    process::ExitCode,
    sync::Mutex,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{prctl, resource::rlim_t, signal::Signal, signalfd::SignalFd},
    unistd::{chdir, setsid},
};
use slog::{Drain, Logger, error, info, o, warn};
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    children::{Children, Told},
    nursery::Nursery,
    peer::Peer,
};
use super::{
    cgroup::Cgroups,
    room::make_room,
    sys,
    wire::{Notice, Request, VERSION},
};
use crate::memory;

/// How long a keeper waits for its host's hello before it ends.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// The wait before writing again where the kernel had too many descriptors under way.
const STALL: Duration = Duration::from_millis(5);

/// Runs the keeper; `args` are the words after `keeper`: its id, and the directory that its control
/// groups go to, where they may. Must be called before the process has a
/// second thread.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let drain = Mutex::new(slog_json::Json::default(io::stderr())).map(slog::Fuse);
    let log = Logger::root(drain, o!("component" => "keeper", "pid" => std::process::id()));
    let mut args = args.into_iter();
    let instance = args.next().and_then(|word| Uuid::try_parse(word.to_str()?).ok());
    let groups = args.next().map(PathBuf::from);
    let (Some(instance), None) = (instance, args.next()) else {
        error!(log, "the keeper is started by a host, not by hand: run `hostler up`");
        return ExitCode::from(2);
    };
    match Keeper::new(log.clone(), instance, groups).and_then(|mut keeper| keeper.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!(log, "keeper failed"; "error" => %problem);
            ExitCode::FAILURE
        }
    }
}

/// Where the keeper is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No host has come; none is waited for after this.
    New(Instant),
    /// There is a host.
    Served,
    /// The host is gone, and the next has not said that it keeps the processes; after this all end.
    Orphaned(Instant),
    /// Everything is asked to leave; what has not ended then is killed.
    Parting(Instant),
    /// Everything is killed; what has not ended then is left.
    Ending(Instant),
}

impl Stage {
    const fn limit(self) -> Option<Instant> {
        match self {
            Self::Served => None,
            Self::New(limit)
            | Self::Orphaned(limit)
            | Self::Parting(limit)
            | Self::Ending(limit) => Some(limit),
        }
    }
}

/// What there is to do something about.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    signals: bool,
    listener: bool,
    births: bool,
    peer: bool,
}

struct Keeper {
    log: Logger,
    instance: Uuid,
    listener: UnixListener,
    signals: SignalFd,
    peer: Option<Peer>,
    children: Children,
    /// Where control groups can be made.
    groups: Option<Cgroups>,
    last_id: u64,
    /// How many hosts said hello.
    hosts: u64,
    stage: Stage,
    /// Until when processes are kept without a host; `None` where no host asked for it.
    keep_until: Option<Instant>,
    /// When a host that is there and has said nothing more counts as frozen.
    frozen_at: Option<Instant>,
    /// The limits of open files, soft and hard, that processes get.
    files: (rlim_t, rlim_t),
    /// Set once a connection could not be taken.
    is_deaf: bool,
}

impl Keeper {
    fn new(log: Logger, instance: Uuid, groups: Option<PathBuf>) -> io::Result<Self> {
        sys::close_from(3)?;
        // Fails where the keeper leads a group already, which is as good.
        if let Err(errno) = setsid() {
            warn!(log, "no own session"; "error" => %errno);
        }
        chdir("/")?;
        prctl::set_name(c"hostler-keeper")?;
        prctl::set_child_subreaper(true)?;
        let signals = setup::take_signals()?;
        let files = spawn::raise_file_limit()?;
        make_room();
        let nursery = Nursery::open()?;
        let listener = UnixListener::from(setup::take_stdin()?);
        listener.set_nonblocking(true)?;
        info!(log, "keeper started");
        // What only a start needs is most of what is there so far.
        memory::give_back();
        Ok(Self {
            children: Children::new(log.clone(), instance, nursery),
            groups: groups.and_then(|directory| {
                let made = Cgroups::make(directory.clone());
                made.inspect_err(|error| {
                    info!(log, "no control groups: sessions and marks must do";
                        "path" => %directory.display(), "error" => %error);
                })
                .ok()
            }),
            log,
            instance,
            listener,
            signals,
            peer: None,
            last_id: 0,
            hosts: 0,
            stage: Stage::New(Instant::now() + HELLO_LIMIT),
            keep_until: None,
            frozen_at: None,
            files,
            is_deaf: false,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            let (signalled, dead) =
                if ready.signals { self.take_signals()? } else { <_>::default() };
            if !dead.is_empty() {
                let told = self.children.tend_to(&dead, Instant::now())?;
                self.tell(told);
                self.flush();
            }
            if ready.peer
                || self.peer.as_ref().is_some_and(|peer| peer.is_due() || peer.is_stalled())
            {
                self.serve();
            }
            self.end_of_frozen();
            // Whatever is killed above ends later, and is told by a signal.
            if ready.births || self.children.is_due(Instant::now()) {
                self.tend()?;
            }
            self.flush();
            self.children.drop_forgotten();
            if let Some(peer) = self.peer.take_if(|peer| peer.is_gone())
                && peer.is_host
            {
                self.host_left();
            }
            if signalled {
                self.end();
            }
            if ready.listener {
                self.accept()?;
            }
            if self.is_over()? {
                info!(self.log, "keeper ended");
                return Ok(());
            }
        }
    }

    /// The host's connection is over.
    fn host_left(&mut self) {
        info!(self.log, "host is gone"; "count" => self.children.count());
        match (self.stage, self.keep_until) {
            (Stage::Served, Some(until)) => self.stage = Stage::Orphaned(until),
            (Stage::Served, None) => self.end(),
            // Its time is counted already.
            (Stage::New(_) | Stage::Orphaned(_) | Stage::Parting(_) | Stage::Ending(_), _) => {}
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> io::Result<Ready> {
        let now = Instant::now();
        let peer = self.peer.as_ref();
        let stalled = peer.is_some_and(Peer::is_stalled).then(|| now + STALL);
        let held = peer.is_some_and(Peer::is_due).then_some(now);
        let frozen = self.frozen_at.filter(|_| self.stage == Stage::Served);
        let all = [self.stage.limit(), self.children.deadline(now), stalled, held, frozen];
        let due = all.into_iter().flatten().min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // Rounded up, so that the loop does not turn before its time.
            let millis = due.saturating_duration_since(now).as_micros().div_ceil(1000);
            u16::try_from(millis).map_or(PollTimeout::from(u16::MAX), PollTimeout::from)
        });
        let listen = if self.listens() { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), listen),
            PollFd::new(self.children.nursery.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(peer) = &self.peer {
            fds.push(PollFd::new(peer.as_fd(), peer.interest()));
        }
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno.into()),
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any().unwrap_or(true));
        Ok(Ready {
            signals: is_ready(0),
            listener: is_ready(1),
            births: is_ready(2),
            peer: is_ready(3),
        })
    }

    /// Empties the queue of signals. Tells whether one asks the keeper to end, and of which children something
    /// happened: not of all, as the signals of several are one.
    fn take_signals(&self) -> io::Result<(bool, Vec<i32>)> {
        let (mut end, mut children) = (false, Vec::new());
        while let Some(info) = self.signals.read_signal()? {
            end |= info.ssi_signo == Signal::SIGTERM as u32;
            if info.ssi_signo == Signal::SIGCHLD as u32 {
                children.extend(i32::try_from(info.ssi_pid));
            }
        }
        Ok((end, children))
    }

    fn flush(&mut self) {
        if let Some(peer) = &mut self.peer {
            peer.flush();
        }
    }

    /// Whether connections are taken. Once all is being ended none is: the next host's waits, unseen,
    /// until the keeper has ended, and so learns when it has.
    fn listens(&self) -> bool {
        !self.is_deaf && !self.is_ending() && !self.peer.as_ref().is_some_and(Peer::has_hung_up)
    }

    /// Takes a connection where there is none; refuses it where there is one.
    fn accept(&mut self) -> io::Result<()> {
        while self.listens() {
            let mut peer = match self.listener.accept() {
                Ok((stream, _)) => Peer::new(stream)?,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ if self.peer.is_none() => return Err(error),
                    // Those who connect are not worth the agents: they wait till the keeper ends.
                    _ => {
                        warn!(self.log, "no more connections taken"; "error" => %error);
                        self.is_deaf = true;
                        return Ok(());
                    }
                },
            };
            if self.peer.is_none() {
                self.peer = Some(peer);
            } else {
                peer.refuse_second();
                peer.flush();
            }
        }
        Ok(())
    }

    /// Reads and carries out requests.
    fn serve(&mut self) {
        let Some(mut peer) = self.peer.take() else { return };
        // Answers that could be written make room for more requests.
        peer.flush();
        peer.receive();
        while let Some(request) = peer.next() {
            if !peer.is_host {
                self.greet(&mut peer, request);
                continue;
            }
            match request {
                Request::Hello { .. } => peer.refuse("a second hello"),
                Request::Spawn(order) => self.spawn(&mut peer, *order),
                Request::Signal { id, signal } => {
                    self.children.signal(id, spawn::number(signal));
                    self.children.signal(id, Signal::SIGCONT);
                }
                Request::Kill { id } => self.children.signal(id, Signal::SIGKILL),
                Request::CloseStdin { id } => self.children.close_stdin(id),
                Request::Forget { id } => self.children.forget(id),
                Request::Keep { ms, unless_told_ms } => self.keep(ms, unless_told_ms),
                Request::Shutdown { grace_ms } => self.leave(grace_ms),
            }
            peer.flush();
        }
        self.peer = Some(peer);
    }

    /// Answers the first request, which must be a hello in this version.
    fn greet(&mut self, peer: &mut Peer, request: Request) {
        match request {
            Request::Hello { version, oldest }
                if (oldest.unwrap_or(version)..=version).contains(&VERSION) =>
            {
                peer.is_host = true;
                self.hosts += 1;
                if let Stage::New(_) = self.stage {
                    self.stage = Stage::Served;
                }
                let kept = self.children.kept();
                let hello = Notice::Hello {
                    version: VERSION,
                    instance: self.instance,
                    pid: std::process::id(),
                    last_id: self.last_id,
                    hosts: self.hosts,
                    kept: kept.len() as u64,
                };
                peer.tell(&hello, Vec::new());
                for (notice, fds) in kept {
                    peer.tell(&notice, fds);
                }
            }
            Request::Hello { version, .. } => {
                warn!(self.log, "peer refused"; "error" => "another version");
                peer.refuse(&format!(
                    "this keeper speaks protocol version {VERSION}, not {version}; stop the host that runs, then start again"
                ));
            }
            // A host of another version, which was refused, makes way for a keeper of its own.
            Request::Shutdown { grace_ms } => self.leave(grace_ms),
            _ => peer.refuse("the first message must be a hello"),
        }
    }

    /// The host says for how long processes are kept without it, and when it is frozen.
    fn keep(&mut self, ms: u64, unless_told_ms: Option<u64>) {
        let now = Instant::now();
        self.keep_until = now.checked_add(Duration::from_millis(ms));
        self.frozen_at = unless_told_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
        if let Stage::Orphaned(_) = self.stage {
            self.stage = Stage::Served;
        }
    }

    /// Tells the host, if there is one.
    fn tell(&mut self, told: impl IntoIterator<Item = Told>) {
        if let Some(peer) = self.peer.as_mut().filter(|peer| peer.is_host) {
            told.into_iter().for_each(|(notice, fds)| peer.tell(&notice, fds));
        }
    }

    /// Reaps, sweeps and tells the host.
    fn tend(&mut self) -> io::Result<()> {
        let told = self.children.tend(Instant::now())?;
        self.tell(told);
        Ok(())
    }

    /// Kills the processes of a host that is there and does nothing. The host that wakes is told that
    /// they ended for that, and not by themselves.
    fn end_of_frozen(&mut self) {
        let now = Instant::now();
        if self.stage == Stage::Served && self.frozen_at.take_if(|at| *at <= now).is_some() {
            warn!(self.log, "the host is frozen"; "count" => self.children.count());
            self.children.kill_for_silence();
        }
    }
}
