//! Orphans: what the children of a keeper left to it when they died, or when they let go of it.

use std::{collections::HashMap, fs, io};

use nix::errno::Errno;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid, getsid},
};
use slog::warn;
use tokio::time::Instant;

use super::children::Children;
use crate::process::{
    mark::{Mark, Seen},
    sys::{self, Look},
};

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
    /// It can't be told in this moment.
    Untold,
}

/// When orphans are to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Again {
    /// When something happens.
    No,
    /// In a moment: one was becoming another program, and can't be told whose it is meanwhile.
    Soon,
    /// At once: one was dead already, and whose children it left is not known yet.
    Now,
}

impl Children {
    /// Looks at every orphan once and kills those of the dying. Says whether that was all.
    pub(super) fn sweep(&mut self) -> io::Result<Again> {
        let mut again = Again::No;
        for pid in orphans(&self.by_pid)? {
            again = again.max(match sys::look_at(pid)? {
                Look::NoChildren => Again::No,
                Look::Dead(_) => Again::Now,
                Look::NoneDead => self.sweep_one(pid),
            });
        }
        Ok(again)
    }

    fn sweep_one(&mut self, pid: i32) -> Again {
        match self.owner(pid) {
            Owner::Live | Owner::Unknown => _ = self.others.insert(pid),
            Owner::Untold if !self.others.contains(&pid) => return Again::Soon,
            Owner::Untold => {}
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
        Again::No
    }

    /// Whose `pid` is: by its mark, else by its session, whose number can't be reused before all
    /// members are gone.
    fn owner(&self, pid: i32) -> Owner {
        match Mark::look(pid) {
            Seen::Mark(mark) if mark.instance == self.instance => {
                return match self.dying.iter().position(|dying| dying.id == mark.id) {
                    Some(at) => Owner::Dying(at),
                    None if self.contains(mark.id) => Owner::Live,
                    None => Owner::Reported,
                };
            }
            Seen::Changing => return Owner::Untold,
            Seen::Mark(_) | Seen::None => {}
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
        // The keeper is at its end: all leaders are reported.
        if !self.reap_all(now)? {
            return Ok(true);
        }
        for pid in orphans(&self.by_pid)? {
            match sys::look_at(pid)? {
                Look::NoneDead => self.kill_orphan(pid),
                Look::Dead(_) => self.again = Again::Now,
                Look::NoChildren => {}
            }
        }
        Ok(false)
    }
}

/// The pids of all children but the leaders, and where the kernel does not list children, of all other
/// processes: the candidates.
///
/// A list of children that is read while some of them go may miss others. Here none goes meanwhile:
/// only this thread, whose children they are, reaps them. What becomes a child meanwhile is at its end.
fn orphans(leaders: &HashMap<i32, u64>) -> io::Result<Vec<i32>> {
    let is_other = |pid: &i32| !leaders.contains_key(pid);
    if let Ok(children) = fs::read_to_string("/proc/thread-self/children") {
        let pids = children.split(' ').filter_map(|pid| pid.parse().ok());
        return Ok(pids.filter(is_other).collect());
    }
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(
            entry?.file_name().to_str().and_then(|name| name.parse().ok()).filter(is_other),
        );
    }
    Ok(pids)
}
