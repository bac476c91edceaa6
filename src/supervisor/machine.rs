//! What the machine has left, as the kernel tells it.

use std::{fs, path::Path};

use nix::sys::statvfs::statvfs;

use crate::domain::floors::Machine;

/// Looks at the machine, and at the file system of the data directory. Blocks.
pub(super) fn look(data_dir: &Path) -> Machine {
    let disk = statvfs(data_dir).ok().map(|stat| {
        // The types differ between platforms.
        #[expect(clippy::unnecessary_cast, reason = "they are u32 on some platforms")]
        let (blocks, size) = (stat.blocks_available() as u64, stat.fragment_size() as u64);
        blocks.saturating_mul(size)
    });
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = read("/proc/loadavg").and_then(|text| first_number(&text));
    Machine { memory: memory(), disk, load: load.map(|load| load / cpus as f64) }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn first_number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// What the machine has, or less where the control group of this program is limited to less.
fn memory() -> Option<u64> {
    let of_machine = read("/proc/meminfo").and_then(|text| available(&text));
    let of_groups = read("/proc/self/cgroup").and_then(|text| {
        let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        left_in_groups(Path::new("/sys/fs/cgroup"), group)
    });
    [of_machine, of_groups].into_iter().flatten().min()
}

/// The least that is left in a control group and those that it is in: the limit of a service of systemd is that
/// of the group around the host's own.
fn left_in_groups(root: &Path, group: &str) -> Option<u64> {
    let dir = root.join(group);
    dir.ancestors().take_while(|dir| dir.starts_with(root)).filter_map(left_in_group).min()
}

/// What is left in one control group, if it is limited.
fn left_in_group(dir: &Path) -> Option<u64> {
    let limit: u64 = read(dir.join("memory.max"))?.trim().parse().ok()?;
    let used: u64 = read(dir.join("memory.current"))?.trim().parse().ok()?;
    // What is only kept in case somebody reads it again is given back when it is needed.
    let stat = read(dir.join("memory.stat")).unwrap_or_default();
    let kept = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let kept = kept.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(kept)))
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something_of_everything() {
        let machine = look(Path::new("/"));
        assert!(machine.memory.is_some_and(|bytes| bytes > 1 << 20), "{machine:?}");
        assert!(machine.disk.is_some() && machine.load.is_some(), "{machine:?}");
        assert_eq!(look(Path::new("/nowhere/at/all")).disk, None);
    }

    #[test]
    fn the_tightest_of_the_groups_around_the_host_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = "system.slice/hostler.service/hostler";
        fs::create_dir_all(root.path().join(group)).unwrap();
        let write = |group: &str, limit: &str, used: &str, stat: &str| {
            let dir = root.path().join(group);
            for (name, text) in
                [("memory.max", limit), ("memory.current", used), ("memory.stat", stat)]
            {
                fs::write(dir.join(name), format!("{text}\n")).unwrap();
            }
        };
        assert_eq!(left_in_groups(root.path(), group), None, "no controller");
        write(group, "max", "50", "inactive_file 9");
        write("system.slice", "5000", "1000", "");
        assert_eq!(left_in_groups(root.path(), group), Some(4000));
        write("system.slice/hostler.service", "1000", "300", "anon 7\ninactive_file 100");
        assert_eq!(left_in_groups(root.path(), group), Some(800));
        assert_eq!(left_in_groups(root.path(), ""), None, "the root has no limit");
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let text = "MemTotal:  9 kB\nMemFree:   1 kB\nMemAvailable:   4096 kB\n";
        assert_eq!(available(text), Some(4 << 20));
        assert_eq!(available("MemAvailable: many"), None);
        assert_eq!(first_number("1.25 0.5 0.1 1/2 3\n"), Some(1.25));
    }
}
