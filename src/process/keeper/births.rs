//! The processes on their way to their commands: what is asked of one meanwhile is done once it is there.

use std::{rc::Rc, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::{
    children::{Children, Kept, Leader, Told},
    nursery::Birth,
    spawn::{Ends, Started},
};
use crate::process::{
    cgroup::Group,
    wire::{Failure, Notice, Stream},
};

/// How long a host that comes waits for those that an earlier one had started.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// A process whose start is not told yet.
#[derive(Debug)]
pub(super) struct Unborn {
    note: String,
    keep_pipes: bool,
    group: Option<Group>,
    /// What it is sent once it is there.
    signals: Vec<Signal>,
    /// The end of its stdin is not kept.
    closes_stdin: bool,
    for_silence: bool,
}

impl Unborn {
    /// It is sent this once it is there.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    pub(super) fn close_stdin(&mut self) {
        self.closes_stdin = true;
    }

    /// It is killed because the host had fallen silent.
    pub(super) fn end_for_silence(&mut self) {
        self.for_silence = true;
        self.signal(Signal::SIGKILL);
    }
}

impl Children {
    /// Has a process started in `group`, at once if it is `alone`. How that went is among the arrived, then or
    /// later.
    pub(super) fn begin(&mut self, mut birth: Birth, group: Option<Group>, alone: bool) {
        let (id, alone) = (birth.order.id, alone && self.unborn.is_empty());
        birth.group = group.as_ref().and_then(Group::directory);
        let unborn = Unborn {
            note: std::mem::take(&mut birth.order.note),
            keep_pipes: birth.order.keep_pipes,
            group,
            signals: Vec::new(),
            closes_stdin: false,
            for_silence: false,
        };
        self.unborn.insert(id, unborn);
        if alone {
            let started = self.nursery.start(&birth);
            self.started(id, started);
        } else {
            self.nursery.ask(birth);
        }
    }

    /// Takes in those that have started.
    pub(super) fn arrive(&mut self) {
        while let Some((id, started)) = self.nursery.next() {
            self.started(id, started);
        }
    }

    fn started(&mut self, id: u64, started: Result<Started, Failure>) {
        let Some(unborn) = self.unborn.remove(&id) else { return };
        let told = match started {
            Ok(Started { pid, pipes }) => self.take_in(id, pid, pipes, unborn),
            Err(failure) => (Notice::SpawnFailed { id, failure }, Vec::new()),
        };
        self.arrived.push(told);
    }

    fn take_in(&mut self, id: u64, pid: i32, pipes: Ends, unborn: Unborn) -> Told {
        let Unborn { note, keep_pipes, group, signals, closes_stdin, for_silence } = unborn;
        let ends: Vec<_> = pipes.into_iter().map(|(of, end)| (of, Rc::new(end))).collect();
        let is_kept =
            |(of, _): &&(Stream, _)| keep_pipes && !(closes_stdin && *of == Stream::Stdin);
        let kept = Kept { note, pipes: ends.iter().filter(is_kept).cloned().collect() };
        self.leaders.insert(id, Leader { pid, kept, for_silence, group });
        self.by_pid.insert(pid, id);
        for signal in signals {
            self.signal(id, signal);
        }
        let (pipes, fds) = ends.into_iter().unzip();
        (Notice::Spawned { id, pid: pid.unsigned_abs(), pipes }, fds)
    }

    /// Waits until all that an earlier host had started are there; whoever waited for them is gone. One that is
    /// not there in time is killed when it is.
    pub(super) fn settle_births(&mut self) {
        let deadline = Instant::now() + SETTLE_LIMIT;
        while !self.unborn.is_empty() && Instant::now() < deadline {
            self.nursery.wait(deadline.saturating_duration_since(Instant::now()));
            self.arrive();
        }
        self.unborn.values_mut().for_each(|unborn| unborn.signal(Signal::SIGKILL));
        self.arrived.clear();
    }
}
