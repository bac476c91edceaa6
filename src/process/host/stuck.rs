//! A process that does not come to its command, for its directory or its program lies on a file system that
//! does not answer. A thread of the keeper waits for it, and there are few of those, so it is ended from here.

use std::{collections::BTreeSet, fs, time::Duration};

use super::super::sys::PidFd;

/// How long a start may go unanswered before it is looked what hangs, and the wait between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Looks for children of the keeper `pid` that run its program still, and ends those that did so at the look
/// `before`. Gives those that do, and how many were ended. Blocks.
pub(super) fn look(pid: u32, before: &BTreeSet<i32>) -> (BTreeSet<i32>, usize) {
    let exe = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let keeper = exe(&pid.to_string());
    // Where the kernel does not list children, none is found.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.flat_map(|thread| fs::read_to_string(thread.path().join("children")));
    let children: Vec<String> = children.collect();
    let (mut hang, mut ended) = (BTreeSet::new(), 0);
    for child in children.iter().flat_map(|list| list.split_ascii_whitespace()) {
        let Ok(number) = child.parse() else { continue };
        // The handle first: what is read after that is of this process, or of none.
        let Ok(Some(handle)) = PidFd::open(number) else { continue };
        if keeper.is_some() && exe(child) == keeper {
            hang.insert(number);
            if before.contains(&number) {
                ended += usize::from(handle.kill().is_ok());
            }
        }
    }
    (hang, ended)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use super::*;

    #[test]
    fn what_runs_another_program_is_let_be_and_what_hangs_is_ended_at_the_second_look() {
        let me = std::process::id();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        // This program once more, which does nothing for long.
        let this = std::env::current_exe().unwrap();
        let mut hangs = Command::new(this)
            .args(["process::host::stuck::tests::hangs", "--exact", "--ignored"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let number = i32::try_from(hangs.id()).unwrap();
        let mut found = (BTreeSet::new(), 0);
        // Other tests start children of this program, too: only this one is waited for.
        while !found.0.contains(&number) {
            assert!(hangs.try_wait().unwrap().is_none(), "it runs for long");
            found = look(me, &BTreeSet::new());
            assert_eq!(found.1, 0);
        }
        assert_eq!(look(me, &BTreeSet::from([number])).1, 1);
        assert_eq!(hangs.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    #[ignore = "a process for the test above"]
    #[expect(clippy::disallowed_methods, reason = "it hangs")]
    fn hangs() {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
