//! A process on its way from the fork to its command. The keeper does not wait for it: while one
//! child prepares itself on another core, the next is forked.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::children::Pipes;
use crate::process::wire::{Failure, Step};

/// A process whose command may not run yet.
#[derive(Debug)]
pub(super) struct Launch {
    /// Closed by the exec; or what failed comes first.
    pub(super) told: File,
    /// The ends that the host gets when the command runs.
    pub(super) pipes: Pipes,
    /// What each step would have been about, for people.
    pub(super) subjects: Subjects,
    /// What the child said, if it did.
    pub(super) word: Option<Word>,
}

/// The step that failed, and the errno.
type Word = [u8; 5];

/// What the steps of a start are about.
#[derive(Debug)]
pub(super) struct Subjects {
    pub(super) command: String,
    pub(super) cwd: String,
    pub(super) user: String,
    pub(super) limits: String,
}

/// How far a launch is.
#[derive(Debug)]
pub(super) enum Progress {
    /// It is on its way.
    Open,
    /// The command runs, or ran.
    Runs,
    /// It failed.
    Failed(Failure),
}

impl Launch {
    /// Looks how far it is.
    pub(super) fn look(&mut self) -> Progress {
        if let Some(word) = self.word {
            return Progress::Failed(self.subjects.failure(word));
        }
        let mut word = Word::default();
        match self.told.read(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Open,
            Ok(5) => {
                self.word = Some(word);
                Progress::Failed(self.subjects.failure(word))
            }
            // Shorter than a word: nothing failed, or a kill came between.
            Ok(_) | Err(_) => Progress::Runs,
        }
    }
}

/// The launches under way, to be waited for together.
#[derive(Debug)]
pub(super) struct Launches(Epoll);

/// The most that are looked at in one turn of the loop.
const TURN: usize = 64;

impl Launches {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Waits for a launch, too.
    pub(super) fn add(&self, id: u64, launch: &Launch) -> io::Result<()> {
        Ok(self.0.add(&launch.told, EpollEvent::new(EpollFlags::EPOLLIN, id))?)
    }

    /// Waits for a launch no more. Closing it is not enough: children that were forked meanwhile have
    /// copies until they come to their own commands.
    pub(super) fn remove(&self, launch: &Launch) {
        // One that could not be added can't be removed either.
        self.0.delete(&launch.told).ok();
    }

    /// Some of those that have come further.
    pub(super) fn ready(&self) -> io::Result<Vec<u64>> {
        let mut events = [EpollEvent::empty(); TURN];
        let count = self.0.wait(&mut events, EpollTimeout::ZERO)?;
        Ok(events[..count].iter().map(EpollEvent::data).collect())
    }
}

impl AsFd for Launches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Subjects {
    fn failure(&self, [step, a, b, c, d]: Word) -> Failure {
        let step = Step::ALL.get(usize::from(step)).copied().unwrap_or(Step::Exec);
        let subject = match step {
            Step::Cwd => &self.cwd,
            Step::User => &self.user,
            Step::Limits => &self.limits,
            _ => &self.command,
        };
        Failure { step, errno: i32::from_le_bytes([a, b, c, d]), subject: subject.clone() }
    }
}
