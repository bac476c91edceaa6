//! The system calls that neither `std` nor `nix` wraps as they are needed here: waiting with resource use,
//! receiving descriptors, pidfds.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{
    errno::Errno,
    sys::signal::{SigHandler, Signal},
    unistd::{Gid, Uid},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{Exit, Usage};

/// What a look at the children finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// No child at all, dead or alive.
    NoChildren,
    /// Children, none of them dead.
    NoneDead,
    /// This child is dead and waits to be reaped; its pid can't be reused until it is.
    Dead(i32),
}

/// Looks for a dead child without reaping it.
pub(crate) fn look_for_dead() -> io::Result<Look> {
    match peek(libc::P_ALL, 0) {
        Ok(0) => Ok(Look::NoneDead),
        Ok(pid) => Ok(Look::Dead(pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Look::NoChildren),
        Err(error) => Err(error),
    }
}

/// Whether `pid` is a child of this process: one cheap call, where `/proc/<pid>/stat` takes three.
pub(crate) fn look_at(pid: i32) -> io::Result<Look> {
    match peek(libc::P_PID, pid.unsigned_abs()) {
        Ok(0) => Ok(Look::NoneDead),
        Ok(pid) => Ok(Look::Dead(pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Look::NoChildren),
        Err(error) => Err(error),
    }
}

/// The pid of a dead child, unreaped, or 0.
#[expect(unsafe_code, reason = "nix's waitid fails on a child that a realtime signal ended")]
fn peek(kind: libc::idtype_t, id: libc::id_t) -> io::Result<i32> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    loop {
        // SAFETY: all zeros is a valid siginfo_t, and `info` outlives the call that writes it;
        // si_pid is set by waitid, or left zero where no child is dead.
        let (result, pid) = unsafe {
            let mut info: libc::siginfo_t = mem::zeroed();
            let result = libc::waitid(kind, id, &mut info, options);
            (result, info.si_pid())
        };
        if result == 0 {
            return Ok(pid);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Reaps a dead child: how it ended, and what it and the children that it waited for used.
pub(crate) fn reap(pid: i32) -> io::Result<(Exit, Usage)> {
    wait(pid, libc::WNOHANG)
}

/// Waits for the end of a child, and reaps it. Blocks.
pub(crate) fn await_end(pid: i32) -> io::Result<(Exit, Usage)> {
    wait(pid, 0)
}

#[expect(unsafe_code, reason = "nix has no wait4, which alone tells the resource use of one child")]
fn wait(pid: i32, options: i32) -> io::Result<(Exit, Usage)> {
    // SAFETY: all zeros is a valid rusage, and both out-pointers outlive the call.
    let (result, status, usage) = unsafe {
        let mut status = 0;
        let mut usage: libc::rusage = mem::zeroed();
        let result = libc::wait4(pid, &mut status, options | libc::__WALL, &mut usage);
        (result, status, usage)
    };
    if result != pid {
        return Err(io::Error::last_os_error());
    }
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or_default()
    };
    let usage = Usage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or_default() * 1024,
    };
    Ok((exit, usage))
}

/// Closes every descriptor from `first` up: whatever a careless parent let through.
#[expect(unsafe_code, reason = "no wrapper of close_range; closing descriptors is unsafe as such")]
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called first thing in `main`, before anything owns a descriptor above stderr.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the ignoring of every signal but SIGPIPE, as a parent (`nohup`, a shell's `&`) may have left it:
/// children would inherit it and not hear their stop signal.
#[expect(unsafe_code, reason = "nix has no realtime signals, and setting dispositions is unsafe")]
pub(crate) fn heed_signals() {
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: the default disposition runs no code of ours. `std`'s handlers for a stack
        // overflow stay. An error is one of a signal that can't be ignored in the first place.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            if libc::sigaction(signal, ptr::null(), &mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// Ends this process without running anything that its parent would run, too.
#[expect(unsafe_code, reason = "no wrapper of _exit")]
pub(crate) fn exit_at_once(status: i32) -> ! {
    // SAFETY: it does not come back.
    unsafe { libc::_exit(status) }
}

/// Becomes a user, this process alone and not the others that share its memory.
#[expect(unsafe_code, reason = "the C library's setuid changes all threads that it knows of")]
pub(crate) fn assume(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), Errno> {
    let done = |result: libc::c_long| Errno::result(result).map(drop);
    // SAFETY: plain system calls; `Gid` is laid out as what it wraps.
    unsafe {
        done(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        done(libc::syscall(libc::SYS_setgid, gid.as_raw()))?;
        done(libc::syscall(libc::SYS_setuid, uid.as_raw()))
    }
}

/// Hears SIGPIPE again, which `std` has this program ignore.
#[expect(unsafe_code, reason = "setting dispositions is")]
pub(crate) fn heed_sigpipe() -> Result<(), Errno> {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop)
}

/// The descriptors that came with one message.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Those that arrived, in order. Fewer than were sent where this process has no room for more.
    pub(crate) fds: Vec<OwnedFd>,
}

/// The most descriptors in one message.
const MAX_FDS: usize = 4;

/// Reads bytes, and the descriptors that were sent with them. Unix sockets never join the
/// descriptors of two messages in one read.
#[expect(unsafe_code, reason = "nix's recvmsg leaks the descriptors of a truncated message")]
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
) -> io::Result<(usize, Option<Batch>)> {
    // A u64 array aligns the buffer for cmsghdr.
    let mut control = [0_u64; 8];
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: msghdr is valid as zeros; its pointers stay valid for the call, with their true
    // lengths. The kernel filled `control` with well-formed headers, which the CMSG macros walk, and
    // each descriptor in SCM_RIGHTS is new and owned by nobody else.
    unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = mem::size_of_val(&control) as _;
        debug_assert!(
            libc::CMSG_SPACE((MAX_FDS * mem::size_of::<i32>()) as u32) as usize
                <= mem::size_of_val(&control)
        );
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
        let length = libc::recvmsg(socket.as_raw_fd(), &mut header, flags);
        let Ok(length) = usize::try_from(length) else {
            return Err(io::Error::last_os_error());
        };
        let truncated = header.msg_flags & libc::MSG_CTRUNC != 0;
        let mut batch = truncated.then(Batch::default);
        let mut message = libc::CMSG_FIRSTHDR(&header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET && (*message).cmsg_type == libc::SCM_RIGHTS
            {
                let bytes = (*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(message).cast::<i32>();
                let batch = batch.get_or_insert_default();
                for at in 0..bytes / mem::size_of::<i32>() {
                    let fd = ptr::read_unaligned(data.add(at));
                    batch.fds.push(OwnedFd::from_raw_fd(fd));
                }
            }
            message = libc::CMSG_NXTHDR(&header, message);
        }
        Ok((length, batch))
    }
}

/// A process by a handle that its pid's reuse can't mislead.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has `pid` now; `None` where none has.
    #[expect(unsafe_code, reason = "no wrapper of pidfd_open")]
    pub(crate) fn open(pid: i32) -> io::Result<Option<Self>> {
        // SAFETY: a plain system call; a result that is not negative is a new descriptor.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match i32::try_from(result) {
            Ok(fd) if fd >= 0 => {
                // SAFETY: see above; nobody else owns it.
                Ok(Some(Self(unsafe { OwnedFd::from_raw_fd(fd) })))
            }
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Ends the process with SIGKILL, and its process group where it leads one and the kernel can
    /// (Linux 6.9). A process that is gone already is no error.
    pub(crate) fn kill(&self) -> io::Result<()> {
        const WHOLE_GROUP: u32 = 1 << 2;
        let group = self.send(libc::SIGKILL, WHOLE_GROUP);
        match self.send(libc::SIGKILL, 0) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
            _ => match group {
                // EINVAL: an older kernel. ESRCH: it leads no group.
                Err(error) if !is_one_of(&error, &[libc::EINVAL, libc::ESRCH]) => Err(error),
                _ => Ok(()),
            },
        }
    }

    #[expect(unsafe_code, reason = "no wrapper of pidfd_send_signal")]
    fn send(&self, signal: i32, flags: u32) -> io::Result<()> {
        let no_info = ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open; a null siginfo is allowed.
        let result = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, no_info, flags)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl PidFd {
    /// The handle, to be waited for on tokio's reactor: readable when the process has ended.
    #[expect(unsafe_code, reason = "tokio can't see that the descriptor stays open")]
    pub(crate) fn watch(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is owned by the handle, which never gives it up or closes it before
        // its own end, and which the AsyncFd owns.
        let watched = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        Ok(watched?)
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl std::os::fd::AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn is_one_of(error: &io::Error, codes: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
