//! Room for the descriptors that are to come.

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl, open},
    sys::{
        resource::{Resource, getrlimit},
        stat::Mode,
    },
    unistd::close,
};

/// For how many descriptors there is room at once: those of a keeper with two thousand agents. It costs the
/// kernel 64 KiB.
const ROOM: i32 = 8_192;

/// Has the kernel make its table of this process's descriptors as large as it may become. To be called before
/// the process has a second thread.
///
/// Such a table doubles when it is full. Where threads share it, each time waits until all processors have
/// passed through a quiet moment (`synchronize_rcu` in the kernel's `expand_fdtable`), and so does whatever
/// else opens something meanwhile. Measured in a start of 200 agents: 5 to 17 ms, two to four times.
///
/// Where it can't be done, nothing is lost but that time.
pub fn make_room() {
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let last = i32::try_from(most).unwrap_or(ROOM).min(ROOM) - 1;
    let Ok(null) = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
        return;
    };
    if let Ok(high) = fcntl(&null, FcntlArg::F_DUPFD_CLOEXEC(last)) {
        close(high).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_all_that_may_be_open() {
        make_room();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let room = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let room: u64 = room.trim().parse().unwrap();
        assert!(room >= soft.min(ROOM.unsigned_abs().into()), "{room} of {soft}");
    }
}
