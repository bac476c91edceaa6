//! Ending what a dead keeper left behind: the processes that bear its mark.

use std::{fs, io, os::fd::AsFd, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    mark::{Mark, Seen},
    sys::PidFd,
};

/// How long killed processes may take to end.
const LIMIT: Duration = Duration::from_secs(5);

/// The wait before the next look where a process could not be told, in milliseconds: an `execve` takes less,
/// as a rule.
const MOMENT_MS: u16 = 1;

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// How many processes were killed.
    pub(crate) killed: u32,
    /// How many of the last look had not ended in time.
    pub(crate) survived: u32,
}

/// Kills every process that bears the mark of `instance` until a look finds none, and waits for
/// `leaders`, the pids of those that the kernel kills by itself. Blocks.
///
/// # Errors
///
/// `/proc` can't be read, or the kernel has no pidfds (before Linux 5.3).
pub(crate) fn sweep(instance: Uuid, leaders: &[u32]) -> io::Result<Swept> {
    let deadline = Instant::now() + LIMIT;
    // Before the first look: a process that is ending loses its environment before its files.
    let ending = ending(instance, leaders)?;
    let mut swept = Swept::default();
    loop {
        let Look { marked, changing } = look(instance)?;
        swept.survived = count(marked.len());
        let all_seen = marked.is_empty() && !changing;
        if all_seen || Instant::now() >= deadline {
            break;
        }
        if marked.is_empty() {
            poll_for(&mut [], MOMENT_MS)?;
        }
        for process in &marked {
            // One that may not be signalled is seen again at the next look, and counted at last.
            if process.kill().is_ok() {
                swept.killed += 1;
            }
        }
        for process in &marked {
            wait_for(process, deadline)?;
        }
    }
    for process in &ending {
        wait_for(process, deadline)?;
    }
    Ok(swept)
}

/// Handles to those of `leaders` that have not ended. A pid may be another's by
/// now: it is only waited for, and not even that where it bears another mark.
fn ending(instance: Uuid, leaders: &[u32]) -> io::Result<Vec<PidFd>> {
    let mut found = Vec::new();
    for pid in leaders.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
        if let Some(process) = PidFd::open(pid)?
            && Mark::of(pid).is_none_or(|mark| mark.instance == instance)
        {
            found.push(process);
        }
    }
    Ok(found)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What one look at all processes found.
#[derive(Default)]
struct Look {
    /// Handles to those that bear the mark.
    marked: Vec<PidFd>,
    /// Whether of one it can't be told in this moment.
    changing: bool,
}

/// Looks for the living processes that bear the mark. The handle is opened first and the mark read
/// after, through the pid, which can't be another's while the handle's process lives; a process that
/// ended in between is not signalled, as its handle leads nowhere else.
fn look(instance: Uuid) -> io::Result<Look> {
    let mut found = Look::default();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let mut bears_mark = |pid| match Mark::look(pid) {
            Seen::Mark(mark) => mark.instance == instance,
            Seen::None => false,
            Seen::Changing => {
                found.changing = true;
                false
            }
        };
        // The first reading saves a handle for all the others.
        if bears_mark(pid)
            && let Some(process) = PidFd::open(pid)?
            && bears_mark(pid)
        {
            found.marked.push(process);
        }
    }
    Ok(found)
}

/// Waits until a process has ended, or the deadline.
fn wait_for(process: &PidFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let millis = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        if poll_for(&mut fds, millis)? {
            return Ok(());
        }
    }
}

/// Waits for one of these, so many milliseconds at the most, or until a signal comes; tells whether one came.
fn poll_for(fds: &mut [PollFd<'_>], millis: u16) -> io::Result<bool> {
    match poll(fds, PollTimeout::from(millis)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
