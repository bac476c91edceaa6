//! The keeper's program, as the host that started it sees it, or one that came later.

use std::{io, process::ExitStatus};

use tokio::{io::unix::AsyncFd, process::Child};
use uuid::Uuid;

use super::super::sys::PidFd;

/// A keeper's program.
#[derive(Debug)]
pub(super) enum Program {
    /// Started by this host.
    Child(Child),
    /// Started by a host before this.
    Found(AsyncFd<PidFd>),
    /// Started by a host before this, and not to be found by its pid: its connection alone tells of it.
    Unseen,
}

impl Program {
    /// The program of the keeper `instance`, which says that its pid is `pid`.
    ///
    /// The handle is opened first and the name read after: a pid that was given to another process
    /// in between is seen.
    pub(super) fn find(instance: Uuid, pid: u32) -> io::Result<Self> {
        let Some(handle) = i32::try_from(pid).ok().map(PidFd::open).transpose()?.flatten() else {
            return Ok(Self::Unseen);
        };
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let is_it = arguments.split(|byte| *byte == 0).any(|argument| {
            str::from_utf8(argument).ok().and_then(|text| Uuid::try_parse(text).ok())
                == Some(instance)
        });
        if !is_it {
            return Ok(Self::Unseen);
        }
        handle.watch().map(Self::Found)
    }

    /// Waits for its end; its status is known to the host alone that started it.
    pub(super) async fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Child(child) => child.wait().await.map(Some),
            Self::Found(handle) => handle.readable().await.map(|_| None),
            Self::Unseen => Ok(None),
        }
    }

    /// Kills it.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Child(child) => child.start_kill(),
            Self::Found(handle) => handle.get_ref().kill(),
            Self::Unseen => Ok(()),
        }
    }
}
