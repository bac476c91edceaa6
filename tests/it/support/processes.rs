//! The processes that belong to a directory: its host, its keeper, its agents and what they forked,
//! its Postgres. All of them name the directory in their environment, their command line or as the
//! place of their stderr; other tests' processes don't.

use std::{fs, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Far longer than anything takes here; only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process, as it is shown when it should not be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
}

/// All live processes of `dir`. Zombies are gone already, as far as a test cares.
pub(crate) fn of(dir: &Path) -> Vec<Process> {
    let dir = dir.to_str().expect("a plain name");
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = std::process::id().cast_signed();
    pids.filter(|pid| *pid != own).filter_map(|pid| look(pid, dir)).collect()
}

fn look(pid: i32, dir: &str) -> Option<Process> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', " ");
    let command = words(&read("cmdline"));
    let stderr = fs::read_link(format!("/proc/{pid}/fd/2")).unwrap_or_default();
    let ours = command.contains(dir)
        || words(&read("environ")).contains(dir)
        || stderr.to_string_lossy().contains(dir);
    (ours && is_live(pid)).then_some(Process { pid, command })
}

/// Whether there is such a process, and it is no zombie.
pub(crate) fn is_live(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Sends a signal to a process that the test knows to be there.
#[track_caller]
pub(crate) fn send(pid: i32, signal: Signal) {
    assert!(pid > 1, "{pid} is no process of a test");
    // It may end just now by itself; whoever needs it to have got the signal looks for that.
    kill(Pid::from_raw(pid), signal).unwrap_or_default();
}

/// Polls until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(PATIENCE, condition), "not in time: {what}");
}

/// Polls until `condition` holds or `limit` has passed; returns whether it does.
pub(crate) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = now() + limit;
    loop {
        if condition() {
            return true;
        }
        if now() >= deadline {
            return false;
        }
        pause(Duration::from_millis(15));
    }
}

/// What a stopwatch and a pause are to tests of whole hosts: another program runs in real time.
#[expect(clippy::disallowed_methods, reason = "there is no paused clock for another program")]
mod real_time {
    use std::time::{Duration, Instant};

    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    pub(crate) fn pause(time: Duration) {
        std::thread::sleep(time);
    }
}

pub(crate) use real_time::{now, pause};
