//! What the processes of agents do, and whose a process is, as `/proc` tells it.
//!
//! The processes of an agent are those of its session and those that descend from its first one. One that was
//! daemonised into a session of its own after its parents had ended counts for [`belongs`], by its mark, and
//! not for [`look_at`]: that would take the environments of all processes.

use std::{
    collections::{HashMap, HashSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::{mark::Mark, stat};
use crate::domain::heartbeat::Tree;

/// How long one tick of the times in `/proc` is: the kernel shows them in hundredths of a second on all
/// machines that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// The most generations between a process and the first one of its agent.
const MAX_DEPTH: usize = 1000;

/// One line of `/proc/<pid>/stat`, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: u32,
    session: u32,
    /// In ticks, with the children that it has waited for.
    cpu: u64,
    began: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads the line.
    fn parse(line: &str) -> Option<Self> {
        let fields = stat::fields(line)?;
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let cpu = (11..=14).map(number).sum::<Option<u64>>()?;
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            parent: u32::try_from(number(1)?).ok()?,
            session: u32::try_from(number(3)?).ok()?,
            cpu,
            began: number(19)?,
        })
    }

    /// By a signal or by a debugger.
    const fn is_stopped(self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

/// What the processes of agents, named by their first ones, did until now; nothing of one that is gone.
/// Blocks: it reads the whole of `/proc` once.
pub fn look_at(roots: &[u32]) -> Vec<Option<Tree>> {
    if roots.is_empty() {
        return Vec::new();
    }
    let all = everything();
    let wanted: HashSet<u32> = roots.iter().copied().collect();
    let mut trees: HashMap<u32, Tree> = HashMap::new();
    for (pid, stat) in &all {
        let Some(root) = root_of(*pid, &all, &wanted) else { continue };
        let tree = trees.entry(root).or_default();
        tree.processes += 1;
        tree.stopped += u32::from(stat.is_stopped());
        tree.cpu += TICK * u32::try_from(stat.cpu).unwrap_or(u32::MAX);
        tree.bytes = tree.bytes.saturating_add(bytes_of(*pid));
        let mut hasher = DefaultHasher::new();
        (pid, stat.began).hash(&mut hasher);
        tree.members ^= hasher.finish();
    }
    roots.iter().map(|root| trees.get(root).copied()).collect()
}

fn everything() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    // One that ends meanwhile is not there.
    pids.filter_map(|pid| Some((pid, Stat::of(pid)?))).collect()
}

/// Which of `wanted` a process belongs to: the leader of its session, or the nearest of its ancestors.
fn root_of(pid: u32, all: &HashMap<u32, Stat>, wanted: &HashSet<u32>) -> Option<u32> {
    let mut at = pid;
    for _ in 0..MAX_DEPTH {
        if wanted.contains(&at) {
            return Some(at);
        }
        let stat = all.get(&at)?;
        if wanted.contains(&stat.session) {
            return Some(stat.session);
        }
        at = stat.parent;
    }
    None
}

/// What it has read and written; nothing where that may not be seen.
fn bytes_of(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let counted = |line: &str| {
        let count = line.strip_prefix("rchar: ").or_else(|| line.strip_prefix("wchar: "))?;
        count.trim().parse::<u64>().ok()
    };
    text.lines().filter_map(counted).sum()
}

/// Whether `pid` is one of the processes of the agent whose first one is `root`. Not of one that is gone
/// already: whose it was can't be known any more.
pub fn belongs(pid: u32, root: u32) -> bool {
    let mut at = pid;
    for _ in 0..MAX_DEPTH {
        if at == root {
            return true;
        }
        let Some(stat) = Stat::of(at).filter(|_| at > 1) else { break };
        if stat.session == root {
            return true;
        }
        at = stat.parent;
    }
    let mark = |pid| i32::try_from(pid).ok().and_then(Mark::of);
    mark(pid).is_some_and(|of_pid| mark(root) == Some(of_pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let line = "42 (a ) S 1 (x) R 7 42 41 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 12345 6 7";
        let expected = Stat { state: b'R', parent: 7, session: 41, cpu: 100, began: 12345 };
        assert_eq!(Stat::parse(line), Some(expected));
        for broken in ["", "1 (x", "1 (x) R", "1 (x) R 1 2 3"] {
            assert_eq!(Stat::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_process_is_seen_with_what_it_forked() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 1000 & echo; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let pid = child.id();
        let own = std::process::id();
        let found = look_at(&[pid, u32::MAX]);
        assert!(found[0].is_some_and(|tree| tree.processes == 2 && tree.stopped == 0), "{found:?}");
        assert_eq!(found[1], None);
        let all = everything();
        let sleeper = *all.iter().find(|(_, stat)| stat.parent == pid).unwrap().0;
        assert!(belongs(sleeper, pid) && belongs(pid, pid) && belongs(pid, own));
        assert!(!belongs(own, pid) && !belongs(u32::MAX, pid));
        let sleeper = nix::unistd::Pid::from_raw(i32::try_from(sleeper).unwrap());
        nix::sys::signal::kill(sleeper, nix::sys::signal::Signal::SIGKILL).unwrap();
        child.wait().unwrap();
    }
}
