//! Control groups (version 2), one for each process of a keeper, in a directory of that keeper's.
//!
//! The kernel lists in a group whatever a process forks, however it leaves its parent, and kills them
//! all at one word. Where no group can be made, the session and the mark must do.
//!
//! What can be asked of a group beyond that depends on the controllers that the directory above passes
//! on, which it can only while no process is in it itself. So a host whose own group is called
//! [`LEAF`] makes the groups of agents beside it (systemd: `Delegate=yes`, `DelegateSubgroup=hostler`).

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::wire::Limits;

/// The name of a host's own group, where agents' groups go beside it.
const LEAF: &str = "hostler";

/// The controllers that limits need.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// The file of a group that says whether anything in it lives.
const EVENTS: &str = "cgroup.events";

/// How long the processes of a killed group may take to end.
const LIMIT: Duration = Duration::from_secs(5);

/// The wait before a group that is ending is looked at again.
const LOOK: Duration = Duration::from_millis(5);

/// The directory in which this process may make groups, where the system has one.
pub fn own_directory() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let directory = directory_of(&mounts, &own)?;
    // A mount of another namespace shows nothing of this process.
    directory.join("cgroup.procs").is_file().then(|| match directory.parent() {
        Some(parent) if directory.ends_with(LEAF) => parent.to_owned(),
        _ => directory,
    })
}

/// The group of a process by what the kernel says of its mounts and groups.
fn directory_of(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        kind.starts_with("cgroup2 ").then(|| Path::new(point).join(below))
    })
}

/// The directory of the groups of a keeper.
pub(crate) fn directory_for(base: &Path, instance: Uuid) -> PathBuf {
    base.join(format!("hostler-{}", instance.simple()))
}

/// The groups of a keeper. Making one takes about as long as starting a process: those that emptied by
/// themselves are used again.
#[derive(Debug)]
pub(crate) struct Cgroups {
    directory: PathBuf,
    free: Rc<RefCell<Vec<Empty>>>,
}

impl Cgroups {
    /// Makes the directory, and has it pass on what controllers there are.
    ///
    /// # Errors
    ///
    /// No group can be made there.
    pub(crate) fn make(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir(&directory)?;
        for directory in directory.parent().into_iter().chain([&*directory]) {
            for controller in CONTROLLERS {
                // Without it the limits that need it are told of when a process asks for them.
                write(directory, "cgroup.subtree_control", &format!("+{controller}")).ok();
            }
        }
        let groups = Self { directory, free: Rc::default() };
        if groups.directory.join("cgroup.kill").is_file() {
            return Ok(groups);
        }
        Err(io::Error::other("the kernel can't kill a group (Linux 5.14 can)"))
    }

    /// A group for the process `id`, with its limits; and which of these it can't keep.
    ///
    /// # Errors
    ///
    /// None can be made.
    pub(crate) fn group(&self, id: u64, limits: &Limits) -> io::Result<(Group, Vec<&'static str>)> {
        let limits = [limits.group_memory, limits.group_processes, limits.cpu_weight];
        let mut free = self.free.borrow_mut();
        let place = free.iter().rposition(|empty| empty.limits == limits);
        let empty = match place {
            Some(place) => free.swap_remove(place),
            None => Empty::make(self.directory.join(id.to_string()), limits)?,
        };
        let unkept = empty.unkept.clone();
        Ok((
            Group {
                killed: empty.killed(),
                empty: Some(empty),
                seen_empty: Cell::new(false),
                free: Rc::clone(&self.free),
            },
            unkept,
        ))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // A group that can't be emptied keeps it; the next host tries again.
        remove(&self.directory).ok();
    }
}

/// A group with nothing in it.
#[derive(Debug)]
struct Empty {
    path: PathBuf,
    directory: Arc<File>,
    /// What says whether anything in it lives: opened once, as that takes three times as long as to read it.
    events: File,
    limits: [Option<u64>; 3],
    /// The names of the limits that it can't keep.
    unkept: Vec<&'static str>,
    /// It was killed once. Newer kernels (6.18 does) then kill whatever is forked into it later.
    killed_once: Cell<bool>,
}

impl Empty {
    fn make(path: PathBuf, limits: [Option<u64>; 3]) -> io::Result<Self> {
        fs::create_dir(&path)?;
        let unkept = limit(&path, limits);
        let directory = Arc::new(File::open(&path)?);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let events = openat(&*directory, EVENTS, flags, Mode::empty())?.into();
        Ok(Self { directory, events, path, limits, unkept, killed_once: Cell::new(false) })
    }

    /// Whether anything in it lives.
    fn is_populated(&self) -> bool {
        // Two lines of a word and a digit.
        let mut text = [0; 64];
        let length = self.events.read_at(&mut text, 0);
        length.is_ok_and(|length| says_populated(&String::from_utf8_lossy(&text[..length])))
    }

    /// How often the kernel killed something in it for want of memory.
    fn killed(&self) -> u64 {
        if self.limits[0].is_none() {
            return 0;
        }
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.parse().ok()).unwrap_or_default()
    }
}

/// Sets the limits of the group at `path`; the names of those that no controller keeps.
fn limit(path: &Path, limits: [Option<u64>; 3]) -> Vec<&'static str> {
    let files = [
        ("group_memory", "memory.max"),
        ("group_processes", "pids.max"),
        ("cpu_weight", "cpu.weight"),
    ];
    let mut unkept = Vec::new();
    for ((name, file), limit) in files.into_iter().zip(limits) {
        let Some(limit) = limit else { continue };
        if write(path, file, &limit.to_string()).is_err() {
            unkept.push(name);
        } else if file == "memory.max" {
            // All or none: what is left of an agent after a part of it is killed is of no use.
            write(path, "memory.oom.group", "1").ok();
        }
    }
    unkept
}

/// The group of one process, with all that it forked.
#[derive(Debug)]
pub(crate) struct Group {
    /// Taken out when it is dropped.
    empty: Option<Empty>,
    /// How often something had been killed in it for want of memory before.
    killed: u64,
    /// It was seen to be empty: nothing is forked into it any more.
    seen_empty: Cell<bool>,
    free: Rc<RefCell<Vec<Empty>>>,
}

impl Group {
    /// Kills all that is in it.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.empty.as_ref().map_or(Ok(()), |group| {
            group.killed_once.set(true);
            write(&group.path, "cgroup.kill", "1")
        })
    }

    /// Whether anything in it lives.
    pub(crate) fn is_populated(&self) -> bool {
        let populated = self.empty.as_ref().is_some_and(Empty::is_populated);
        self.seen_empty.set(!populated);
        populated
    }

    /// Whether the kernel killed something in it for want of memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        self.empty.as_ref().is_some_and(|group| group.killed() > self.killed)
    }

    /// Where it is, for a process to begin there.
    pub(crate) fn directory(&self) -> Option<Arc<File>> {
        self.empty.as_ref().map(|group| group.directory.clone())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(group) = self.empty.take() else { return };
        let is_empty = self.seen_empty.get() || !group.is_populated();
        if group.killed_once.get() || !is_empty {
            // Where something in it does not end, it stays until the keeper's directory is removed.
            fs::remove_dir(&group.path).ok();
        } else {
            self.free.borrow_mut().push(group);
        }
    }
}

/// Kills whatever a dead keeper left in its groups, waits for its end, and removes them. Blocks.
///
/// # Errors
///
/// The groups can't be read, or something in them does not end.
pub(crate) fn sweep(directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    write(directory, "cgroup.kill", "1")?;
    let deadline = Instant::now() + LIMIT;
    while is_populated(directory) && Instant::now() < deadline {
        pause();
    }
    remove(directory)
}

#[expect(
    clippy::disallowed_methods,
    reason = "it blocks, and says so; the kernel tells no other way"
)]
fn pause() {
    sleep(LOOK);
}

fn remove(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir(entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn is_populated(directory: &Path) -> bool {
    says_populated(&fs::read_to_string(directory.join(EVENTS)).unwrap_or_default())
}

fn says_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

fn write(directory: &Path, file: &str, text: &str) -> io::Result<()> {
    // Never makes a file: in a directory that is no group this fails.
    io::Write::write_all(
        &mut fs::OpenOptions::new().write(true).open(directory.join(file))?,
        text.as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_through_mounts_and_namespaces() {
        let usual = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let mixed = "29 23 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            30 29 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";
        let part = "30 23 0:26 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let rows = [
            (usual, "0::/system.slice/a.service\n", Some("/sys/fs/cgroup/system.slice/a.service")),
            (usual, "0::/\n", Some("/sys/fs/cgroup")),
            (mixed, "4:memory:/x\n0::/y\n", Some("/sys/fs/cgroup/unified/y")),
            (part, "0::/user.slice/u\n", Some("/sys/fs/cgroup/u")),
            (part, "0::/system.slice\n", None),
            (usual, "4:memory:/x\n", None),
            ("", "0::/\n", None),
        ];
        for (mounts, own, found) in rows {
            let got = directory_of(mounts, own);
            // An empty rest of a path leaves a slash at the end, which compares as none.
            assert_eq!(got.as_deref(), found.map(Path::new), "{mounts} {own}");
        }
    }

    /// Against files that stand for those of the kernel: where there are no controllers, nothing else can tell
    /// which limit is written where.
    #[test]
    fn each_limit_is_written_where_its_controller_reads_it_or_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
        let limits = [Some(32 << 20), Some(30), Some(250)];
        assert_eq!(limit(dir.path(), [None; 3]), [] as [&str; 0]);
        let all = ["group_memory", "group_processes", "cpu_weight"];
        assert_eq!(limit(dir.path(), limits), all, "no controller is there");
        for file in ["memory.max", "memory.oom.group", "pids.max", "cpu.weight"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        assert_eq!(limit(dir.path(), [None, Some(30), None]), [] as [&str; 0]);
        assert_eq!([read("memory.max"), read("cpu.weight")], ["", ""]);
        assert_eq!(limit(dir.path(), limits), [] as [&str; 0]);
        let written = ["memory.max", "memory.oom.group", "pids.max", "cpu.weight"].map(read);
        assert_eq!(written, ["33554432", "1", "30", "250"]);
    }

    #[test]
    fn a_directory_that_is_no_group_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Cgroups::make(dir.path().join("hostler-x")).unwrap_err();
        assert!(refused.to_string().contains("can't kill a group"), "{refused}");
        assert!(!dir.path().join("hostler-x").exists());
    }
}
