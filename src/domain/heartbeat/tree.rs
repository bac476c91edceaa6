//! What the processes of an agent do, as two looks at them tell.

use std::{fmt, time::Duration};

use super::Evidence;

/// The processes of an agent in one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tree {
    /// How many there are.
    pub processes: u32,
    /// How many of them are stopped, by a signal or by a debugger.
    pub stopped: u32,
    /// The CPU time that they have used, with the children that they have waited for.
    pub cpu: Duration,
    /// The bytes that they have read and written, to whatever it was.
    pub bytes: u64,
    /// Tells one set of processes from another.
    pub members: u64,
}

/// What the processes of an agent did between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// How many there are.
    pub processes: u32,
    /// How many of them are stopped.
    pub stopped: u32,
    /// The CPU time that they used.
    pub cpu: Duration,
    /// The bytes that they read and wrote.
    pub bytes: u64,
    /// Whether one came or went.
    pub changed: bool,
    /// The time between the looks.
    pub over: Duration,
}

impl Moved {
    /// What happened from `before` to `after`, `over` that time.
    pub fn between(before: &Tree, after: &Tree, over: Duration) -> Self {
        Self {
            processes: after.processes,
            stopped: after.stopped,
            // Less than before where one is gone that nobody waited for: that is a change, and told as one.
            cpu: after.cpu.saturating_sub(before.cpu),
            bytes: after.bytes.saturating_sub(before.bytes),
            changed: before.members != after.members,
            over,
        }
    }

    /// Whether this counts as life. Of CPU time a hundredth of the time that passed must have been used:
    /// an event loop that only turns over uses less.
    pub fn is_life(&self, evidence: Evidence) -> bool {
        let busy = self.cpu * 100 >= self.over && !self.cpu.is_zero();
        (evidence.cpu && (busy || self.changed))
            || (evidence.io && (self.bytes > 0 || self.changed))
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.processes == 0 {
            return f.write_str("none of its processes is left");
        }
        match (self.processes, self.stopped) {
            (1, 1) => return f.write_str("its process is stopped by a signal"),
            (all, stopped) if all == stopped => {
                return write!(f, "its {all} processes are stopped by a signal");
            }
            (1, _) => f.write_str("its process")?,
            (all, 0) => write!(f, "its {all} processes")?,
            (all, stopped) => write!(f, "its {all} processes, {stopped} of them stopped,")?,
        }
        let (cpu, over) = (self.cpu.as_secs_f64(), self.over.as_secs_f64());
        let bytes = self.bytes;
        write!(f, " used {cpu:.2} s of CPU time and moved {bytes} bytes in the last {over:.1} s")
    }
}
