//! The children of the keeper: the leaders, which it started, and orphans, which they left to it.
//!
//! A leader that died is **dying** until nothing of it is left: its group is killed, then it is
//! reaped, then orphans of it are looked for and killed, again and again until a look finds none.
//! One look serves all that are dying at the time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::fd::OwnedFd,
    rc::Rc,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid, getsid},
};
use slog::{Logger, warn};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::{
    Ended, Exit, Usage,
    mark::Mark,
    sys::{self, Look},
    wire::{Notice, Stream},
};

/// How long killed descendants may take to end before the process is reported without them.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// The host's ends of a process's pipes, shared with the frame that takes them to the host.
pub(super) type Pipes = Vec<(Stream, Rc<OwnedFd>)>;

#[derive(Debug)]
struct Leader {
    pid: i32,
    kept: Kept,
    /// It was killed because the host had fallen silent.
    for_silence: bool,
}

/// What is kept with a process for the next host.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) note: String,
    pub(super) pipes: Pipes,
}

#[derive(Debug)]
struct Dying {
    id: u64,
    /// The pid that its leader had: the number of its group and its session.
    pid: i32,
    kept: Kept,
    exit: Exit,
    usage: Usage,
    for_silence: bool,
    swept: u32,
    /// Killed orphans that are not reaped yet. When empty, another look is due.
    waits: HashSet<i32>,
    deadline: Instant,
}

/// A process that is over and that no host has settled.
#[derive(Debug)]
struct Over {
    pid: i32,
    kept: Kept,
    ended: Ended,
}

/// Whose an orphan is.
enum Owner {
    /// A leader that lives; its descendants may outlive each other.
    Live,
    /// The place of one in `dying`.
    Dying(usize),
    /// One of ours that was reported already.
    Reported,
    /// Nobody that can be named.
    Unknown,
}

/// All children, by what is known of them.
#[derive(Debug)]
pub(super) struct Children {
    log: Logger,
    instance: Uuid,
    leaders: BTreeMap<u64, Leader>,
    by_pid: HashMap<i32, u64>,
    dying: Vec<Dying>,
    /// As many as had a process and no host: nothing is started without one.
    over: BTreeMap<u64, Over>,
    /// Whether another look is due without waiting for a signal.
    again: bool,
}

impl Children {
    pub(super) fn new(log: Logger, instance: Uuid) -> Self {
        Self {
            log,
            instance,
            leaders: BTreeMap::new(),
            by_pid: HashMap::new(),
            dying: Vec::new(),
            over: BTreeMap::new(),
            again: false,
        }
    }

    /// Takes a process in that was just started.
    pub(super) fn add(&mut self, id: u64, pid: i32, kept: Kept) {
        self.leaders.insert(id, Leader { pid, kept, for_silence: false });
        self.by_pid.insert(pid, id);
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.leaders.contains_key(&id)
    }

    /// All that a host has not said to forget, for one that connects, in the order of their starts.
    pub(super) fn kept(&self) -> Vec<(Notice, Vec<Rc<OwnedFd>>)> {
        let leaders = self.leaders.iter().map(|(id, one)| (*id, (one.pid, &one.kept, None)));
        let dying = self.dying.iter().map(|one| (one.id, (one.pid, &one.kept, None)));
        let over = self.over.iter().map(|(id, one)| (*id, (one.pid, &one.kept, Some(one.ended))));
        let all: BTreeMap<_, _> = leaders.chain(dying).chain(over).collect();
        let tell = |(id, (pid, kept, ended)): (u64, (i32, &Kept, Option<Ended>))| {
            let (pipes, fds) = kept.pipes.iter().cloned().unzip();
            let (pid, note) = (pid.unsigned_abs(), kept.note.clone());
            (Notice::Kept { id, pid, note, pipes, ended }, fds)
        };
        all.into_iter().map(tell).collect()
    }

    /// Closes the kept copy of the write end of a process's stdin.
    pub(super) fn close_stdin(&mut self, id: u64) {
        if let Some(leader) = self.leaders.get_mut(&id) {
            leader.kept.pipes.retain(|(stream, _)| *stream != Stream::Stdin);
        }
    }

    /// Drops what is kept of a process that is over.
    pub(super) fn forget(&mut self, id: u64) {
        self.over.remove(&id);
    }

    /// Signals the group of a process. Its leader is not reaped, so the number is still its own.
    pub(super) fn signal(&self, id: u64, signal: Signal) {
        let Some(leader) = self.leaders.get(&id) else { return };
        if let Err(errno) = killpg(Pid::from_raw(leader.pid), signal)
            && errno != Errno::ESRCH
        {
            warn!(self.log, "process group can't be signalled";
                "pid" => leader.pid, "signal" => %signal, "error" => %errno);
        }
    }

    /// Kills the groups of all processes.
    pub(super) fn kill_all(&self) {
        for id in self.leaders.keys() {
            self.signal(*id, Signal::SIGKILL);
        }
    }

    /// Kills the groups of all processes because the host has fallen silent: their ends say so.
    pub(super) fn kill_for_silence(&mut self) {
        self.leaders.values_mut().for_each(|leader| leader.for_silence = true);
        self.kill_all();
    }

    /// How many processes live.
    pub(super) fn count(&self) -> usize {
        self.leaders.len()
    }

    /// Whether all processes are over and reported.
    pub(super) fn is_empty(&self) -> bool {
        self.leaders.is_empty() && self.dying.is_empty()
    }

    /// When [`Children::tend`] wants to run again though no child died.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let first = self.dying.iter().map(|dying| dying.deadline).min();
        if self.again { Some(now) } else { first }
    }

    /// Reaps the dead, sweeps what they left, and tells who is over.
    pub(super) fn tend(&mut self, now: Instant) -> io::Result<Vec<Notice>> {
        let others = self.reap_all(now)?;
        self.again = false;
        if self.dying.iter().any(|dying| dying.waits.is_empty()) {
            // Without any child there is no orphan, and nothing to look for.
            let clean = !others || self.sweep()?;
            // An orphan died between reaping and looking: whose children it left is not known yet.
            self.again = !clean;
        }
        let again = self.again;
        let over = |dying: &mut Dying| (dying.waits.is_empty() && !again) || dying.deadline <= now;
        let over: Vec<_> = self.dying.extract_if(.., over).collect();
        Ok(over.into_iter().map(|dying| self.report(dying)).collect())
    }

    fn report(&mut self, dying: Dying) -> Notice {
        let Dying { id, pid, kept, exit, usage, for_silence, swept, waits, .. } = dying;
        let survived = u32::try_from(waits.len()).unwrap_or(u32::MAX);
        if survived > 0 {
            warn!(self.log, "descendants do not end by SIGKILL"; "pid" => pid, "count" => survived);
        }
        let ended = Ended { exit, usage, swept, survived, for_silence };
        self.over.insert(id, Over { pid, kept, ended });
        Notice::Exited { id, ended }
    }

    /// Reaps every dead child, the group of a leader killed first. Tells whether a child remains.
    fn reap_all(&mut self, now: Instant) -> io::Result<bool> {
        loop {
            let pid = match sys::look_for_dead()? {
                Look::NoChildren => return Ok(false),
                Look::NoneDead => return Ok(true),
                Look::Dead(pid) => pid,
            };
            let leader = self.by_pid.remove(&pid).and_then(|id| {
                // The dead leader still holds the number of its group.
                self.signal(id, Signal::SIGKILL);
                self.leaders.remove(&id).map(|leader| (id, leader))
            });
            let (exit, usage) = sys::reap(pid)?;
            for dying in &mut self.dying {
                dying.waits.remove(&pid);
            }
            if let Some((id, Leader { kept, for_silence, .. })) = leader {
                let (waits, deadline) = (HashSet::new(), now + SWEEP_LIMIT);
                // One that had ended by itself just before did that.
                let for_silence = for_silence && exit == Exit::Signal(Signal::SIGKILL as i32);
                self.dying.push(Dying {
                    id,
                    pid,
                    kept,
                    exit,
                    usage,
                    for_silence,
                    swept: 0,
                    waits,
                    deadline,
                });
            }
        }
    }

    /// Looks at every orphan once and kills those of the dying. `false` where one was dead already.
    fn sweep(&mut self) -> io::Result<bool> {
        let mut clean = true;
        for pid in orphans(&self.by_pid)? {
            match sys::look_at(pid)? {
                Look::NoChildren => {}
                Look::Dead(_) => clean = false,
                Look::NoneDead => self.sweep_one(pid),
            }
        }
        Ok(clean)
    }

    fn sweep_one(&mut self, pid: i32) {
        match self.owner(pid) {
            Owner::Live | Owner::Unknown => {}
            Owner::Reported => self.kill_orphan(pid),
            Owner::Dying(at) => {
                self.kill_orphan(pid);
                let dying = &mut self.dying[at];
                let in_its_group =
                    getpgid(Some(Pid::from_raw(pid))) == Ok(Pid::from_raw(dying.pid));
                if dying.waits.insert(pid) && !in_its_group {
                    dying.swept += 1;
                }
            }
        }
    }

    /// Whose `pid` is: by its mark, else by its session, whose number can't be reused before all
    /// members are gone.
    fn owner(&self, pid: i32) -> Owner {
        if let Some(mark) = Mark::of(pid).filter(|mark| mark.instance == self.instance) {
            return match self.dying.iter().position(|dying| dying.id == mark.id) {
                Some(at) => Owner::Dying(at),
                None if self.contains(mark.id) => Owner::Live,
                None => Owner::Reported,
            };
        }
        let Ok(session) = getsid(Some(Pid::from_raw(pid))) else { return Owner::Unknown };
        if self.by_pid.contains_key(&session.as_raw()) {
            return Owner::Live;
        }
        let place = self.dying.iter().position(|dying| dying.pid == session.as_raw());
        place.map_or(Owner::Unknown, Owner::Dying)
    }

    /// Kills an orphan and its group. It is a child that is not reaped, so neither number is reused.
    fn kill_orphan(&self, pid: i32) {
        let pid = Pid::from_raw(pid);
        let group = getpgid(Some(pid)).ok();
        let group = group.filter(|group| group.as_raw() > 1 && Ok(*group) != getpgid(None));
        let killed =
            [group.map(|group| killpg(group, Signal::SIGKILL)), Some(kill(pid, Signal::SIGKILL))];
        for errno in killed.into_iter().flatten().filter_map(Result::err) {
            if errno != Errno::ESRCH {
                warn!(self.log, "descendant can't be killed";
                    "pid" => pid.as_raw(), "error" => %errno);
            }
        }
    }

    /// Kills every child that is left, named or not. Tells whether there was none.
    pub(super) fn end_orphans(&mut self, now: Instant) -> io::Result<bool> {
        if !self.reap_all(now)? {
            return Ok(true);
        }
        for pid in orphans(&self.by_pid)? {
            match sys::look_at(pid)? {
                Look::NoneDead => self.kill_orphan(pid),
                Look::Dead(_) => self.again = true,
                Look::NoChildren => {}
            }
        }
        Ok(false)
    }
}

/// The pids of all processes but the leaders: the candidates. The kernel lists them in the order of
/// their numbers, and every one that lives through the whole listing is in it.
fn orphans(leaders: &HashMap<i32, u64>) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if !leaders.contains_key(&pid) {
            pids.push(pid);
        }
    }
    Ok(pids)
}
