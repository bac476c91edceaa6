//! The signs of life of one agent, shared between the tasks that see them and the actor that
//! judges them: no message per line of output.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::Value;
use tokio::time::Instant;

use crate::domain::{Millis, heartbeat::Expect};

/// A monotonic clock that begins with the host. Tests may pause it: it is tokio's.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since it began.
    pub fn now(&self) -> Millis {
        Millis::try_from(self.0.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

/// When one agent was last heard, and whether life is expected of it.
#[derive(Debug)]
pub struct Vitals {
    clock: Clock,
    heard: AtomicU64,
    expected: AtomicBool,
    progress: Mutex<Option<Value>>,
}

impl Vitals {
    /// Of an agent that is heard now, and of which nothing is expected.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            heard: AtomicU64::new(clock.now()),
            expected: AtomicBool::new(false),
            progress: Mutex::new(None),
        }
    }

    /// A sign of life.
    pub fn touch(&self) {
        self.heard.store(self.clock.now(), Ordering::Relaxed);
    }

    /// When it was last heard.
    pub fn heard(&self) -> Millis {
        self.heard.load(Ordering::Relaxed)
    }

    /// How long ago it was last heard.
    pub fn silent_for(&self) -> Millis {
        self.clock.now().saturating_sub(self.heard())
    }

    /// Says what is expected from now on; the silence before does not count.
    pub fn expect(&self, expect: Expect) {
        self.touch();
        self.expected.store(expect == Expect::Life, Ordering::Release);
    }

    /// What is expected now.
    pub fn expected(&self) -> Expect {
        if self.expected.load(Ordering::Acquire) { Expect::Life } else { Expect::Nothing }
    }

    /// Keeps what the agent last said of its progress; `None` when its task ends.
    pub fn set_progress(&self, progress: Option<Value>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// What the agent last said of its progress.
    pub fn progress(&self) -> Option<Value> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
