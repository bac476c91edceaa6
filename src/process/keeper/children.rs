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
    wire::{Notice, Stream},
};
use super::{births::Unborn, nursery::Nursery, orphans::Again};

/// How long killed descendants may take to end before the process is reported without them.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// The wait before a control group that is not empty is looked at again: what dies in it may be
/// nobody's orphan yet.
const GROUP_LOOK: Duration = Duration::from_millis(5);

/// The wait before that is looked for which left its control group by itself.
const LATE_LOOK: Duration = Duration::from_millis(100);

/// The wait before it is looked whether other children died with one whose death is told already: the signals of
/// several are one.
const FULL_LOOK: Duration = Duration::from_millis(1);

/// What the host is told, and the descriptors that go with it.
pub(super) type Told = (Notice, Vec<Rc<OwnedFd>>);

/// The host's ends of a process's pipes, shared with the frame that takes them to the host.
pub(super) type Pipes = Vec<(Stream, Rc<OwnedFd>)>;

#[derive(Debug)]
pub(super) struct Leader {
    pub(super) pid: i32,
    pub(super) kept: Kept,
    /// It was killed because the host had fallen silent.
    pub(super) for_silence: bool,
    pub(super) group: Option<Group>,
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
    /// Its control group, while anything in it may live.
    group: Option<Group>,
    /// Its control group was seen to be empty, and nothing of it elsewhere.
    is_clean: bool,
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
    pub(super) nursery: Nursery,
    /// Those whose start is not told yet.
    pub(super) unborn: BTreeMap<u64, Unborn>,
    /// How those went that the host is told of next.
    pub(super) arrived: Vec<Told>,
    pub(super) leaders: BTreeMap<u64, Leader>,
    pub(super) by_pid: HashMap<i32, u64>,
    pub(super) dying: Vec<Dying>,
    /// As many as had a process and no host: nothing is started without one.
    over: BTreeMap<u64, Over>,
    /// What is dropped when there is time.
    forgotten: Vec<Over>,
    /// Whether another look is due without waiting for a signal.
    pub(super) again: Again,
    /// Orphans that were found to be of nobody who is dying, since the last of these died.
    pub(super) others: HashSet<i32>,
    /// When what left its control group by itself is looked for.
    late_look: Option<Instant>,
    /// When all children are looked through after a signal.
    full_look: Option<Instant>,
}

impl Children {
    pub(super) fn new(log: Logger, instance: Uuid, nursery: Nursery) -> Self {
        Self {
            nursery,
            unborn: BTreeMap::new(),
            arrived: Vec::new(),
            log,
            instance,
            leaders: BTreeMap::new(),
            by_pid: HashMap::new(),
            dying: Vec::new(),
            over: BTreeMap::new(),
            forgotten: Vec::new(),
            again: Again::No,
            others: HashSet::new(),
            late_look: None,
            full_look: None,
        }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.leaders.contains_key(&id) || self.unborn.contains_key(&id)
    }

    /// All that a host has not said to forget, for one that connects, in the order of their starts.
    pub(super) fn kept(&mut self) -> Vec<Told> {
        self.settle_births();
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
        if let Some(unborn) = self.unborn.get_mut(&id) {
            unborn.close_stdin();
        }
        if let Some(leader) = self.leaders.get_mut(&id) {
            leader.kept.pipes.retain(|(stream, _)| *stream != Stream::Stdin);
        }
    }

    /// Has what is kept of a process that is over dropped by [`Children::drop_forgotten`].
    pub(super) fn forget(&mut self, id: u64) {
        self.forgotten.extend(self.over.remove(&id));
    }

    /// Closes the pipes of those that were forgotten, once nobody who is to be started waits for that.
    pub(super) fn drop_forgotten(&mut self) {
        self.forgotten.clear();
    }

    /// Signals the group of a process; SIGKILL goes to all of its control group.
    pub(super) fn signal(&mut self, id: u64, signal: Signal) {
        if let Some(unborn) = self.unborn.get_mut(&id) {
            unborn.signal(signal);
        }
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

    /// Those that live, and those that are to.
    fn all(&self) -> Vec<u64> {
        self.leaders.keys().chain(self.unborn.keys()).copied().collect()
    }

    /// Asks all processes to leave; one that is stopped, too.
    pub(super) fn ask_all(&mut self) {
        for id in self.all() {
            self.signal(id, Signal::SIGTERM);
            self.signal(id, Signal::SIGCONT);
        }
    }

    /// Kills the groups of all processes.
    pub(super) fn kill_all(&mut self) {
        for id in self.all() {
            self.signal(id, Signal::SIGKILL);
        }
    }

    /// Kills the groups of all processes because the host has fallen silent: their ends say so.
    pub(super) fn kill_for_silence(&mut self) {
        self.leaders.values_mut().for_each(|leader| leader.for_silence = true);
        self.unborn.values_mut().for_each(Unborn::end_for_silence);
        self.kill_all();
    }

    /// How many processes live.
    pub(super) fn count(&self) -> usize {
        self.leaders.len() + self.unborn.len()
    }

    /// Whether all processes are over and reported.
    pub(super) fn is_empty(&self) -> bool {
        self.leaders.is_empty() && self.unborn.is_empty() && self.dying.is_empty()
    }

    /// When [`Children::tend`] wants to run again though no child died.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let look = |dying: &Dying| match dying.group {
            Some(_) => dying.deadline.min(now + GROUP_LOOK),
            None => dying.deadline,
        };
        let first = self.dying.iter().map(look).min();
        let looks = [first, self.late_look, self.full_look];
        if self.again == Again::Now { Some(now) } else { looks.into_iter().flatten().min() }
    }

    /// Whether [`Children::tend`] wants to run again by now though no child died.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline(now).is_some_and(|due| due <= now) || self.dying.iter().any(Dying::has_group)
    }

    /// Takes in who has started, reaps the dead, sweeps what they left, and tells of all that.
    ///
    /// Of one whose control group is empty nothing is left, so that nothing is looked for. But a process
    /// that is allowed to may have left the group: those are looked for a moment later.
    pub(super) fn tend(&mut self, now: Instant) -> io::Result<Vec<Told>> {
        self.arrive();
        self.full_look = None;
        let others = self.reap_all(now)?;
        self.again = Again::No;
        self.empty_groups();
        let is_late = self.late_look.take_if(|at| *at <= now).is_some();
        if is_late || self.dying.iter().any(|one| one.waits.is_empty() && !one.is_clean) {
            // Without any child there is no orphan, and nothing to look for.
            self.again = if others { self.sweep()? } else { Again::No };
        }
        if self.again == Again::Soon {
            // Where nobody waits for it there is time: a program on a file system that hangs may stay so for long.
            let soon = now + if self.dying.is_empty() { LATE_LOOK } else { FULL_LOOK };
            self.late_look = Some(self.late_look.map_or(soon, |at| at.min(soon)));
        }
        let is_clean = self.again == Again::No;
        Ok(self.tell(now, |dying| (is_clean && dying.is_empty()) || dying.deadline <= now))
    }

    /// Reaps those of `pids` that are dead leaders, and tells of each of which nothing is left.
    ///
    /// [`Children::tend`] looks through all children, which takes the longer the more there are. Where it has
    /// nothing else to do it is due a moment later: by then the host, which is woken on the same CPU as a rule,
    /// has done its part.
    pub(super) fn tend_to(&mut self, pids: &[i32], now: Instant) -> io::Result<Vec<Told>> {
        self.arrive();
        let mut all = true;
        for pid in pids.iter().copied() {
            if self.by_pid.contains_key(&pid) && sys::look_at(pid)? == Look::Dead(pid) {
                self.reap(pid, now)?;
            } else {
                all = false;
            }
        }
        self.empty_groups();
        let told = self.tell(now, |_| false);
        let wait = if all && self.dying.is_empty() { FULL_LOOK } else { Duration::ZERO };
        let due = now + wait;
        self.full_look = Some(self.full_look.map_or(due, |before| before.min(due)));
        Ok(told)
    }

    /// Who has started, and who is over: those of whom nothing is left, and whoever `is_over` all the same.
    fn tell(&mut self, now: Instant, is_over: impl Fn(&Dying) -> bool) -> Vec<Told> {
        let over = |dying: &mut Dying| (dying.is_clean && dying.is_empty()) || is_over(dying);
        let over: Vec<_> = self.dying.extract_if(.., over).collect();
        if over.iter().any(|dying| dying.is_clean) {
            self.late_look.get_or_insert(now + LATE_LOOK);
        }
        // Nobody's end is told before its start.
        let mut told = std::mem::take(&mut self.arrived);
        told.extend(over.into_iter().map(|dying| (self.report(dying), Vec::new())));
        told
    }

    /// Kills what lives in the control groups of the dying, and removes those that are empty.
    fn empty_groups(&mut self) {
        for dying in &mut self.dying {
            let is_empty = dying.group.take_if(|group| !group.is_populated()).is_some();
            // Whatever was seen of it otherwise must be gone, too.
            dying.is_clean |= is_empty && dying.swept == 0 && dying.waits.is_empty();
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
        let ended = Ended { exit, usage, swept, survived, for_silence, out_of_memory };
        self.over.insert(id, Over { pid, kept, ended });
        Notice::Exited { id, ended }
    }

    /// Reaps every dead child. Tells whether a child remains.
    pub(super) fn reap_all(&mut self, now: Instant) -> io::Result<bool> {
        loop {
            let pid = match sys::look_for_dead()? {
                Look::NoChildren => return Ok(false),
                Look::NoneDead => return Ok(true),
                Look::Dead(pid) => pid,
            };
            if !self.by_pid.contains_key(&pid) {
                if self.nursery.bears(pid) {
                    // Whose it is will be told in a moment, and then this is called again.
                    return Ok(true);
                }
                self.arrive();
            }
            self.reap(pid, now)?;
        }
    }

    /// Reaps a dead child, the group of a leader killed first.
    fn reap(&mut self, pid: i32, now: Instant) -> io::Result<()> {
        let id = self.by_pid.remove(&pid);
        let leader = id.and_then(|id| Some((id, self.leaders.remove(&id)?)));
        if let Some((_, leader)) = &leader {
            // The dead leader still holds the number of its group.
            self.signal_group(leader, Signal::SIGKILL);
        }
        let (exit, usage) = sys::reap(pid)?;
        self.others.remove(&pid);
        for dying in &mut self.dying {
            dying.waits.remove(&pid);
        }
        if let Some((id, leader)) = leader {
            self.bury(id, leader, (exit, usage), now);
        }
        Ok(())
    }

    /// A leader is reaped; what it left is not looked for yet.
    fn bury(&mut self, id: u64, leader: Leader, (exit, usage): (Exit, Usage), now: Instant) {
        let Leader { pid, kept, for_silence, group } = leader;
        // One that had ended by itself just before did that.
        let was_killed = exit == Exit::Signal(Signal::SIGKILL as i32);
        let out_of_memory = was_killed && group.as_ref().is_some_and(Group::was_out_of_memory);
        self.others.clear();
        self.dying.push(Dying {
            id,
            pid,
            kept,
            exit,
            usage,
            for_silence: for_silence && was_killed,
            out_of_memory,
            group,
            is_clean: false,
            swept: 0,
            waits: HashSet::new(),
            deadline: now + SWEEP_LIMIT,
        });
    }
}

impl Dying {
    /// Whether nothing that was seen of it is left.
    fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.group.is_none()
    }

    const fn has_group(&self) -> bool {
        self.group.is_some()
    }
}

/// Signals the group that the process `pid` leads; one that was killed before it had one is alone. It is not
/// reaped, so the number is its own.
fn signal_group(pid: i32, signal: Signal) -> nix::Result<()> {
    let pid = Pid::from_raw(pid);
    match killpg(pid, signal) {
        Err(Errno::ESRCH) => kill(pid, signal),
        told => told,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use super::*;

    #[test]
    fn one_that_leads_no_group_yet_is_signalled_all_the_same() {
        // As a child before its `setsid`: in the group of who started it.
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        signal_group(i32::try_from(child.id()).unwrap(), Signal::SIGKILL).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
