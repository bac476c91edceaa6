//! The children of the keeper: the leaders, which it started, and orphans, which they left to it.
//!
//! A leader that died is **dying** until nothing of it is left: its group is killed, then it is
//! reaped, then orphans of it are looked for and killed, again and again until a look finds none, and
//! its control group is empty. One look serves all that are dying at the time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use slog::{Logger, warn};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::{
    Ended, Exit, Usage,
    cgroup::Group,
    sys::{self, Look},
    wire::{Failure, Notice, Stream},
};
use super::launch::{Launch, Launches, Progress};
use super::spawn::Started;

/// How long killed descendants may take to end before the process is reported without them.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// The wait before a control group that is not empty is looked at again: what dies in it may be
/// nobody's orphan yet.
const GROUP_LOOK: Duration = Duration::from_millis(5);

/// What the host is told, and the descriptors that go with it.
pub(super) type Told = (Notice, Vec<Rc<OwnedFd>>);

/// The host's ends of a process's pipes, shared with the frame that takes them to the host.
pub(super) type Pipes = Vec<(Stream, Rc<OwnedFd>)>;

#[derive(Debug)]
struct Leader {
    pid: i32,
    kept: Kept,
    /// It was killed because the host had fallen silent.
    for_silence: bool,
    /// Its command may not run yet, and the host was not told of it.
    launch: Option<Launch>,
    group: Option<Group>,
}

/// What is kept with a process for the next host.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) note: String,
    pub(super) pipes: Pipes,
}

#[derive(Debug)]
pub(super) struct Dying {
    pub(super) id: u64,
    /// The pid that its leader had: the number of its group and its session.
    pub(super) pid: i32,
    kept: Kept,
    exit: Exit,
    usage: Usage,
    for_silence: bool,
    out_of_memory: bool,
    /// Why its command never ran.
    failure: Option<Failure>,
    /// Its control group, while anything in it may live.
    group: Option<Group>,
    pub(super) swept: u32,
    /// Killed orphans that are not reaped yet. When empty, another look is due.
    pub(super) waits: HashSet<i32>,
    deadline: Instant,
}

/// A process that is over and that no host has settled.
#[derive(Debug)]
struct Over {
    pid: i32,
    kept: Kept,
    ended: Ended,
}

/// All children, by what is known of them.
#[derive(Debug)]
pub(super) struct Children {
    pub(super) log: Logger,
    pub(super) instance: Uuid,
    leaders: BTreeMap<u64, Leader>,
    pub(super) by_pid: HashMap<i32, u64>,
    pub(super) dying: Vec<Dying>,
    /// Readable while one of those that were forked has come to its command, or failed.
    pub(super) launches: Launches,
    /// As many as had a process and no host: nothing is started without one.
    over: BTreeMap<u64, Over>,
    /// Whether another look is due without waiting for a signal.
    pub(super) again: bool,
}

impl Children {
    pub(super) fn new(log: Logger, instance: Uuid) -> io::Result<Self> {
        Ok(Self {
            launches: Launches::new()?,
            log,
            instance,
            leaders: BTreeMap::new(),
            by_pid: HashMap::new(),
            dying: Vec::new(),
            over: BTreeMap::new(),
            again: false,
        })
    }

    /// Takes a process in that was just forked. [`Children::launched`] tells how that went on.
    pub(super) fn add(&mut self, id: u64, started: Started, kept: Kept, group: Option<Group>) {
        let Started { pid, launch } = started;
        let watched = self.launches.add(id, &launch);
        let launch = Some(launch);
        self.leaders.insert(id, Leader { pid, kept, for_silence: false, launch, group });
        self.by_pid.insert(pid, id);
        if let Err(error) = watched {
            // Nobody would hear of it before its end: then that is now.
            warn!(self.log, "launch can't be watched"; "error" => %error);
            self.signal(id, Signal::SIGKILL);
        }
    }

    /// Tells of those whose command runs by now.
    pub(super) fn launched(&mut self) -> io::Result<Vec<Told>> {
        let mut told = Vec::new();
        for id in self.launches.ready()? {
            let Some(leader) = self.leaders.get_mut(&id) else { continue };
            // One that failed is told of when nothing of it is left; it ends by itself.
            if let Some(launch) = leader.launch.take_if(|one| matches!(one.look(), Progress::Runs))
            {
                self.launches.remove(&launch);
                told.push(spawned(id, leader.pid, launch));
            }
        }
        Ok(told)
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.leaders.contains_key(&id)
    }

    /// All that a host has not said to forget, for one that connects, in the order of their starts.
    pub(super) fn kept(&mut self) -> Vec<Told> {
        // Whoever waited for these launches is gone: should one fail, it ends with the status of that.
        for launch in self.leaders.values_mut().filter_map(|leader| leader.launch.take()) {
            self.launches.remove(&launch);
        }
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

    /// Signals the group of a process; SIGKILL goes to all of its control group.
    pub(super) fn signal(&self, id: u64, signal: Signal) {
        let Some(leader) = self.leaders.get(&id) else { return };
        self.signal_group(leader, signal);
        if signal == Signal::SIGKILL {
            self.kill_group(leader.group.as_ref());
        }
    }

    /// Signals the process group of a leader.
    fn signal_group(&self, leader: &Leader, signal: Signal) {
        if let Err(errno) = signal_group(leader.pid, signal) {
            warn!(self.log, "process group can't be signalled";
                "pid" => leader.pid, "signal" => %signal, "error" => %errno);
        }
    }

    /// Kills all that is in the control group of a process.
    fn kill_group(&self, group: Option<&Group>) {
        if let Some(Err(error)) = group.map(Group::kill) {
            warn!(self.log, "control group can't be killed"; "error" => %error);
        }
    }

    /// Asks all processes to leave; one that is stopped, too.
    pub(super) fn ask_all(&self) {
        for id in self.leaders.keys() {
            self.signal(*id, Signal::SIGTERM);
            self.signal(*id, Signal::SIGCONT);
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
        let look = |dying: &Dying| match dying.group {
            Some(_) => dying.deadline.min(now + GROUP_LOOK),
            None => dying.deadline,
        };
        let first = self.dying.iter().map(look).min();
        if self.again { Some(now) } else { first }
    }

    /// Reaps the dead, sweeps what they left, and tells who is over.
    pub(super) fn tend(&mut self, now: Instant) -> io::Result<Vec<Told>> {
        let mut told = Vec::new();
        let others = self.reap_all(now, &mut told)?;
        self.again = false;
        self.empty_groups();
        if self.dying.iter().any(|dying| dying.waits.is_empty()) {
            // Without any child there is no orphan, and nothing to look for.
            let clean = !others || self.sweep()?;
            // An orphan died between reaping and looking: whose children it left is not known yet.
            self.again = !clean;
        }
        let again = self.again;
        let over = |dying: &mut Dying| {
            let is_empty = dying.waits.is_empty() && dying.group.is_none();
            (is_empty && !again) || dying.deadline <= now
        };
        let over: Vec<_> = self.dying.extract_if(.., over).collect();
        told.extend(over.into_iter().map(|dying| (self.report(dying), Vec::new())));
        Ok(told)
    }

    /// Kills what lives in the control groups of the dying, and removes those that are empty.
    fn empty_groups(&mut self) {
        for dying in &mut self.dying {
            dying.group.take_if(|group| !group.is_populated());
        }
        for group in self.dying.iter().filter_map(|dying| dying.group.as_ref()) {
            self.kill_group(Some(group));
        }
    }

    fn report(&mut self, dying: Dying) -> Notice {
        let Dying { id, pid, kept, exit, usage, for_silence, out_of_memory, swept, .. } = dying;
        let survived = u32::try_from(dying.waits.len()).unwrap_or(u32::MAX);
        let survived = survived.max(dying.group.is_some().into());
        if survived > 0 {
            warn!(self.log, "descendants do not end by SIGKILL"; "pid" => pid, "count" => survived);
        }
        if let Some(failure) = dying.failure {
            return Notice::SpawnFailed { id, failure };
        }
        let ended = Ended { exit, usage, swept, survived, for_silence, out_of_memory };
        self.over.insert(id, Over { pid, kept, ended });
        Notice::Exited { id, ended }
    }

    /// Reaps every dead child, the group of a leader killed first. Tells whether a child remains, and
    /// adds the leaders whose command had run unseen to what is `told`.
    pub(super) fn reap_all(&mut self, now: Instant, told: &mut Vec<Told>) -> io::Result<bool> {
        loop {
            let pid = match sys::look_for_dead()? {
                Look::NoChildren => return Ok(false),
                Look::NoneDead => return Ok(true),
                Look::Dead(pid) => pid,
            };
            let id = self.by_pid.remove(&pid);
            let leader = id.and_then(|id| Some((id, self.leaders.remove(&id)?)));
            if let Some((_, leader)) = &leader {
                // The dead leader still holds the number of its group.
                self.signal_group(leader, Signal::SIGKILL);
            }
            let (exit, usage) = sys::reap(pid)?;
            for dying in &mut self.dying {
                dying.waits.remove(&pid);
            }
            if let Some((id, leader)) = leader {
                self.bury(id, leader, (exit, usage), now, told);
            }
        }
    }

    /// A leader is reaped; what it left is not looked for yet.
    fn bury(
        &mut self,
        id: u64,
        leader: Leader,
        (exit, usage): (Exit, Usage),
        now: Instant,
        told: &mut Vec<Told>,
    ) {
        let Leader { pid, kept, for_silence, launch, group } = leader;
        let failure = launch.and_then(|mut launch| {
            self.launches.remove(&launch);
            match launch.look() {
                Progress::Failed(failure) => Some(failure),
                // Nothing holds the other end: the command ran, or a kill came before it.
                Progress::Open | Progress::Runs => {
                    told.push(spawned(id, pid, launch));
                    None
                }
            }
        });
        // One that had ended by itself just before did that.
        let for_silence = for_silence && exit == Exit::Signal(Signal::SIGKILL as i32);
        let was_killed = exit == Exit::Signal(Signal::SIGKILL as i32);
        let out_of_memory = was_killed && group.as_ref().is_some_and(Group::was_out_of_memory);
        self.dying.push(Dying {
            id,
            pid,
            kept,
            exit,
            usage,
            for_silence,
            out_of_memory,
            failure,
            group,
            swept: 0,
            waits: HashSet::new(),
            deadline: now + SWEEP_LIMIT,
        });
    }
}

/// Signals the group that the process `pid` leads, or will: one that was just forked has none yet, and is
/// alone. It is not reaped, so the number is its own.
fn signal_group(pid: i32, signal: Signal) -> nix::Result<()> {
    let pid = Pid::from_raw(pid);
    match killpg(pid, signal) {
        Err(Errno::ESRCH) => kill(pid, signal),
        told => told,
    }
}

/// That the command of a process runs, with the ends of its pipes.
fn spawned(id: u64, pid: i32, launch: Launch) -> Told {
    let (pipes, fds) = launch.pipes.into_iter().unzip();
    (Notice::Spawned { id, pid: pid.unsigned_abs(), pipes }, fds)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use super::*;

    #[test]
    fn one_that_leads_no_group_yet_is_signalled_all_the_same() {
        // As a child between the fork and its `setsid`: in the group of who forked it.
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        signal_group(i32::try_from(child.id()).unwrap(), Signal::SIGKILL).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
