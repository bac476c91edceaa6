//! What a keeper does of itself when it begins.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    fcntl::{OFlag, open},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        stat::Mode,
    },
    unistd::dup2_stdin,
};

use crate::process::sys;

/// Blocks the signals that the loop reads, and clears what was ignored, which children would inherit.
/// SIGPIPE stays ignored here: `std` clears it in children.
pub(super) fn take_signals() -> io::Result<SignalFd> {
    sys::heed_signals();
    let mut mask = SigSet::empty();
    // The terminal's signals are read and dropped: when the keeper ends is for its host to say.
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGTSTP,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// The listening socket that came as stdin, which becomes `/dev/null`.
pub(super) fn take_stdin() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    Ok(socket)
}
