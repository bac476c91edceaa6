//! What the queue actor is told, and what it tells.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::{
    AgentName, Attempt, FleetName, QueueName, TaskId,
    task::{Assignment, Outcome},
};

/// What agents tell the queue.
#[derive(Message)]
#[rtype(result = "()")]
pub enum FromAgent {
    /// The agent is idle.
    Ready {
        /// Its fleet.
        fleet: FleetName,
        /// The agent.
        agent: AgentName,
        /// Where its tasks go.
        to: Recipient<ToAgent>,
    },
    /// The agent is no longer idle.
    Withdraw {
        /// Its fleet.
        fleet: FleetName,
        /// The agent.
        agent: AgentName,
    },
    /// An attempt ended.
    Ended {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// How.
        outcome: Outcome,
        /// Told once the outcome is written, or can't count any more.
        written: Option<oneshot::Sender<()>>,
    },
    /// The agent goes on with an attempt that a host before this gave it.
    Resumed {
        /// The agent.
        agent: AgentName,
        /// Where its tasks go.
        to: Recipient<ToAgent>,
    },
    /// The agent's actor is gone, and its process with it. Whatever it held ends like this.
    Gone {
        /// Its fleet.
        fleet: FleetName,
        /// The agent.
        agent: AgentName,
        /// How the attempt that it held ends.
        outcome: Outcome,
    },
}

/// What the queue tells an agent.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum ToAgent {
    /// Run this. Only sent after [`FromAgent::Ready`], once.
    Run(Arc<Assignment>),
    /// This attempt was called off.
    Cancel {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
}

/// What the queue tells whoever watches it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum QueueReport {
    /// The lease could not be renewed in time: agents at work must be stopped at once, because
    /// another host may soon take their tasks.
    LeaseLost {
        /// Whoever was handed a task and has not told its end: some may not have begun yet.
        at_work: Vec<AgentName>,
    },
}

/// There may be work in these queues.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Wake {
    pub(super) queues: Vec<QueueName>,
    pub(super) reason: Reason,
}

/// Why there may be work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Tasks came that need nothing.
    Plain,
    /// Tasks came, and some need something for themselves.
    Needing,
    /// Something changed that others may wait for.
    Changed,
}

/// A task becomes due in so long.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct DueIn(pub(super) std::time::Duration);

/// Somebody called a task off that runs here.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CancelHere(pub(super) TaskId);

/// Report there from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ReportTo(pub(super) Recipient<QueueReport>);

/// Claim no more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close;

/// Resolves when nothing is held and every outcome is settled.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TellWhenQuiet(pub(super) oneshot::Sender<()>);

/// Ends the actor, its timers and statements with it; answers with the host id it had last.
#[derive(Message)]
#[rtype(result = "crate::domain::HostId")]
pub(super) struct Halt;

/// How the lease stands: `Err` says what is wrong.
#[derive(Message)]
#[rtype(result = "Result<(), String>")]
pub(super) struct Standing;
