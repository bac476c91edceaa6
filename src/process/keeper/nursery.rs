//! Where processes begin. A child holds up whoever starts it until its command runs: so where there are several,
//! threads start them beside one another. One alone is started at once, by the loop itself.
//!
//! The threads live as long as the keeper: a child is tied to the life of the thread that started it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        resource::rlim_t,
    },
};

use super::spawn::{self, Started};
use crate::process::{
    mark::Mark,
    vfork::{Born, Cradle},
    wire::{Failure, Order},
};

/// A process to be started.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) order: Order,
    pub(super) mark: Mark,
    /// The limits of open files, soft and hard, that it has where the order sets none.
    pub(super) files: (rlim_t, rlim_t),
    /// The directory of its control group.
    pub(super) group: Option<Arc<File>>,
}

/// The most threads.
const MOST: usize = 16;

/// What came of it: its id, and how it started.
pub(super) type Arrival = (u64, Result<Started, Failure>);

/// The threads, and what they are asked and answer.
#[derive(Debug)]
pub(super) struct Nursery {
    asked: Sender<Birth>,
    arrived: Receiver<Arrival>,
    /// Readable while there are answers.
    bell: Arc<EventFd>,
    /// What each thread is about to start.
    born: Vec<Arc<Born>>,
    /// That of the loop itself.
    own: Cradle,
    /// Children have no descriptors from this number on.
    above: u32,
}

impl Nursery {
    /// Starts the threads. To be called before much else is open: their children have what is open by then
    /// until their commands run.
    pub(super) fn open() -> io::Result<Self> {
        // Twice as many as can run at once: most of the time each waits for its child.
        let count = (2 * thread::available_parallelism().map_or(2, usize::from)).min(MOST);
        let own = Cradle::new()?;
        let cradles: Vec<_> = (0..count).map(|_| Cradle::new()).collect::<io::Result<_>>()?;
        let above = cradles.iter().map(Cradle::above).max().unwrap_or_else(|| own.above());
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (asked, births) = channel();
        let births = Arc::new(Mutex::new(births));
        let (answer, arrived) = channel();
        let mut born = Vec::new();
        for cradle in cradles {
            born.push(cradle.born());
            let (births, answer, bell) = (births.clone(), answer.clone(), bell.clone());
            let work = move || attend(cradle, above, &births, &answer, &bell);
            thread::Builder::new().name("start".to_owned()).spawn(work)?;
        }
        Ok(Self { asked, arrived, bell, born, own, above })
    }

    /// Starts a process here and now.
    pub(super) fn start(&mut self, birth: &Birth) -> Result<Started, Failure> {
        spawn::start(birth, self.above, &mut self.own)
    }

    /// Has a process started.
    pub(super) fn ask(&self, birth: Birth) {
        // A thread ends by a panic alone; without any, its host hears nothing, and has it called off.
        self.asked.send(birth).ok();
    }

    /// Whether `pid` is of a process whose start is not told yet.
    pub(super) fn bears(&self, pid: i32) -> bool {
        self.born.iter().any(|born| born.pid() == pid)
    }

    /// The next answer, if there is one.
    pub(super) fn next(&self) -> Option<Arrival> {
        let arrival = self.arrived.try_recv().ok();
        if arrival.is_none() {
            // Rung since, it rings again.
            self.bell.read().ok();
        }
        arrival.or_else(|| self.arrived.try_recv().ok())
    }

    /// Waits for an answer, at most so long.
    pub(super) fn wait(&self, limit: Duration) {
        let limit = u16::try_from(limit.as_millis()).unwrap_or(u16::MAX);
        // Whatever comes of it, the answers are looked at next.
        poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], PollTimeout::from(limit)).ok();
    }
}

impl AsFd for Nursery {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Starts one process after another.
fn attend(
    mut cradle: Cradle,
    above: u32,
    births: &Mutex<Receiver<Birth>>,
    answer: &Sender<Arrival>,
    bell: &EventFd,
) {
    let next = || births.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(birth) = next() {
        let id = birth.order.id;
        let started = spawn::start(&birth, above, &mut cradle);
        if answer.send((id, started)).is_err() {
            return;
        }
        // Only now: until then nobody else may know it.
        cradle.leave();
        // It can't overflow before the keeper reads it.
        bell.write(1).ok();
    }
}
