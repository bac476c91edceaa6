//! The life of one agent, as a pure function.
//!
//! See `docs/LIFECYCLES.md` for the drawing; the table in the tests is the authority. Events that
//! belong to an older generation never come here: the shell drops them by number first.

mod step;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Millis,
    fleet::{Fleet, Protocol},
    restart::{self, History},
    task::FailureClass,
};
pub use step::step;

/// Where an agent is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Not running, and not meant to.
    Stopped,
    /// A process was asked for and has not said hello yet.
    Starting,
    /// Ready, with no task.
    Idle,
    /// Runs an attempt.
    Busy,
    /// Showed no life for too long; asked to leave.
    Stale,
    /// Asked to leave.
    Stopping,
    /// Failed, and waits before the next start.
    Backoff,
    /// Failed too often. Only an operator's start leaves this state.
    Quarantined,
    /// Held back by an operator or a limit.
    Paused,
}

impl AgentState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Stopped,
        Self::Starting,
        Self::Idle,
        Self::Busy,
        Self::Stale,
        Self::Stopping,
        Self::Backoff,
        Self::Quarantined,
        Self::Paused,
    ];

    /// Whether an agent there is ready: has what it needs to work, and is meant to.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }

    /// The word used in the API, on the command line and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Stale => "stale",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Quarantined => "quarantined",
            Self::Paused => "paused",
        }
    }
}

impl std::fmt::Display for AgentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far the kill ladder has been climbed. Each rung waits the fleet's grace before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Asked in the words of its protocol.
    Ask,
    /// Sent the stop signal.
    Signal,
    /// SIGKILL to the whole group.
    Kill,
}

/// What follows once the process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Stay stopped.
    Stop,
    /// Stay paused.
    Pause,
    /// Start again at once.
    Again,
    /// What the restart policy says of a failure.
    Recover,
    /// What the restart policy says of the way in which it ends.
    Part,
}

/// How an attempt ends that its agent did not end itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It failed.
    Failed(FailureClass),
    /// It is put back and uses up no try.
    Released,
    /// It was called off.
    Cancelled,
}

/// A process on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// How far the kill ladder has been climbed.
    pub rung: Rung,
    /// What follows.
    pub then: Then,
    /// How the attempt under way ends: only when the process is gone, so that the task can't run
    /// twice at the same time.
    pub end: Option<End>,
}

/// What the process is to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One process per task (`exec`): an idle agent has none.
    PerTask,
    /// A process that stays (`worker`, `service`).
    Resident,
}

/// Why nothing of an agent is started though it is meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It waits, and goes on when the hold is over.
    Wait,
    /// It is given up, with its fleet: what has no process, or loses it, is in quarantine.
    Quarantine,
}

/// The rules of a fleet, as far as they decide steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What the process is to the agent.
    pub kind: Kind,
    /// Whether it can be asked to leave in words. Else the first rung is the signal, and no second
    /// follows.
    pub asks: bool,
    /// When it is started again.
    pub restart: restart::Policy,
}

impl Rules {
    /// The rules of `fleet`.
    pub const fn of(fleet: &Fleet) -> Self {
        let kind = if fleet.protocol.is_resident() { Kind::Resident } else { Kind::PerTask };
        let asks = matches!(fleet.protocol, Protocol::Worker);
        Self { kind, asks, restart: fleet.restart }
    }
}

/// One agent: its state and what the next decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Where it is.
    pub state: AgentState,
    /// How it leaves; only while `Stale` or `Stopping`.
    pub leaving: Option<Leaving>,
    /// Takes no new task; stops when the current one has ended.
    pub draining: bool,
    /// Its process is on its way out by itself: it takes no new task.
    pub parting: bool,
    /// Nothing of it is started now.
    pub held: Option<Hold>,
    /// It is paused because it is held, and not by an operator.
    pub waits: bool,
    /// When the newest process was started.
    pub started: Millis,
    /// Its failures, as far as they decide.
    pub history: History,
    /// How many of its processes failed, in all.
    pub failures: u64,
}

impl Agent {
    /// Whether it has done its work for good by `event`, which led here from `before`: its process
    /// ended by itself and well, and no other follows.
    pub fn has_completed(&self, before: &Self, event: AgentEvent) -> bool {
        let by_itself = before.leaving.is_none_or(|leaving| leaving.then == Then::Part);
        self.state == AgentState::Stopped
            && by_itself
            && event == (AgentEvent::Exited { clean: true })
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            state: AgentState::Stopped,
            leaving: None,
            draining: false,
            parting: false,
            held: None,
            waits: false,
            started: 0,
            history: History::default(),
            failures: 0,
        }
    }
}

/// How a fault of the process shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It broke the protocol.
    Protocol,
    /// An attempt took longer than its limit.
    Timeout,
    /// An attempt was called off, and the process did not let go of it by itself.
    Cancel,
    /// It was not ready in time.
    Startup,
    /// It was ready, and fails its readiness check.
    Unready,
    /// It has given its result, and does not end.
    Linger,
}

/// What can happen to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEvent {
    /// An operator, or the supervisor, wants it to run.
    Start,
    /// A process that a host before this one started goes on.
    Adopted {
        /// Whether it is at work on an attempt.
        busy: bool,
    },
    /// Its process is ready: said hello, and passed the fleet's readiness check.
    Ready,
    /// The queue handed it an attempt.
    Assigned,
    /// The attempt ended, and the process (if it stays) can take another.
    Done,
    /// The process is gone, with all it forked.
    Exited {
        /// Whether it ended with status 0, by itself.
        clean: bool,
    },
    /// The process is gone because its keeper died: through no fault of its own.
    Lost,
    /// The process could not be started.
    SpawnFailed,
    /// The process is at fault and must be replaced.
    Faulty(Fault),
    /// The heartbeat's verdict.
    Silent,
    /// Its process says that it is on its way out by itself.
    Parting,
    /// Leave; if `hard`, without asking.
    Stop {
        /// SIGKILL at once.
        hard: bool,
    },
    /// Leave, and stay away until started.
    Pause,
    /// Start nothing more for now.
    Hold(Hold),
    /// What it was held for is over.
    Unhold,
    /// An operator takes it out of quarantine.
    Release,
    /// Leave, and come back at once.
    Restart,
    /// Take nothing new; leave when the current attempt has ended.
    Drain,
    /// The rung of the kill ladder has waited long enough.
    GraceElapsed,
    /// The backoff has waited long enough.
    BackoffElapsed,
}

/// What the shell must do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start a process and arm the start-up limit.
    Spawn,
    /// Tell the queue that the agent is idle.
    Offer,
    /// Tell the queue that the agent is no longer idle.
    Withdraw,
    /// Hand the attempt to the process; for [`Kind::PerTask`], start one for it.
    Run,
    /// The attempt that was under way ends like this.
    End(End),
    /// Wait for its end, and arm the grace.
    AwaitEnd,
    /// Climb to this rung of the kill ladder, and arm the grace (none after the last rung).
    Climb(Rung),
    /// Wait this long (before jitter), then [`AgentEvent::BackoffElapsed`].
    ArmBackoff(Duration),
    /// Say why it is held.
    Held,
    /// Say that the agent was given up after so many failures.
    GiveUp {
        /// How many failures fell into the window.
        failures: u32,
    },
}

/// An event that makes no sense in that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} makes no sense for an agent that is {state}")]
pub struct IllegalStep {
    /// Where the agent was.
    pub state: AgentState,
    /// What was said to have happened.
    pub event: AgentEvent,
}

#[cfg(test)]
mod tests;
