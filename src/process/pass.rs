//! What the system gives to a process itself: descriptors that this process hands on to the program that takes its place (`exec`), or was handed.

use std::{
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Has `fd` stay open in the program that takes the place of this one.
///
/// # Errors
///
/// That of the system.
pub fn hand_on(fd: impl AsFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Takes the descriptor `fd`, which this process was handed; `None` if there is none of that number.
///
/// It is this process's alone from here: its children do not get it. To be called before anything
/// else is opened, and once for each number.
#[expect(unsafe_code, reason = "a number becomes a descriptor")]
pub fn take(fd: RawFd) -> Option<OwnedFd> {
    if fd < 3 {
        return None;
    }
    // SAFETY: asking for the flags of a number does nothing to whoever owns it, and says whether
    // it is a descriptor at all. The caller says that it was handed to this process.
    let there = unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1;
    if !there {
        return None;
    }
    // SAFETY: it is open, as was just seen, and nobody else in this process knows of it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(fd)
}

/// The monotonic clock of the system, which systemd's protocol speaks of.
#[expect(unsafe_code, reason = "std's clock does not tell its reading")]
pub fn monotonic() -> Duration {
    // SAFETY: all zeros is a valid timespec, which outlives the call that writes it.
    let now = unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
        now
    };
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn what_is_handed_on_outlives_an_exec_and_what_is_taken_does_not() {
        let flags = |fd: &OwnedFd| fcntl(fd, FcntlArg::F_GETFD).unwrap();
        let (read, _write) = nix::unistd::pipe().unwrap();
        fcntl(&read, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        hand_on(&read).unwrap();
        assert_eq!(flags(&read), 0);
        let taken = take(read.into_raw_fd()).unwrap();
        assert_eq!(flags(&taken), FdFlag::FD_CLOEXEC.bits());
        assert!(take(1).is_none() && take(-1).is_none());
        assert!(take(taken.as_raw_fd() + 100_000).is_none());
    }
}
