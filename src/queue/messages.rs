//! What the queue actor is told, and what it tells.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::{
    AgentName, Attempt, FleetName, QueueName, TaskId,
    retry::AllQueueTerms,
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
        /// How many tasks it takes at a time. One that takes more than one takes them while it is at
        /// work, too, until it says [`FromAgent::Withdraw`].
        window: usize,
        /// Where its tasks go.
        to: Recipient<ToAgent>,
    },
    /// The agent takes no more tasks.
    Withdraw {
        /// Its fleet.
        fleet: FleetName,
        /// The agent.
        agent: AgentName,
    },
    /// Attempts ended, in this order.
    Ended(Vec<Ended>),
    /// The agent goes on with an attempt that a host before this gave it.
    Resumed {
        /// The agent.
        agent: AgentName,
        /// Where its tasks go.
        to: Recipient<ToAgent>,
    },
    /// The agent's actor is gone, and its process with it.
    Gone {
        /// Its fleet.
        fleet: FleetName,
        /// The agent.
        agent: AgentName,
        /// How the attempt that it was at ends. What it had not begun is put back.
        outcome: Outcome,
    },
}

/// The end of an attempt.
#[derive(Debug)]
pub struct Ended {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// How.
    pub outcome: Outcome,
    /// Told once the outcome is written, or can't count any more.
    pub written: Option<oneshot::Sender<()>>,
}

/// What the queue tells an agent.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum ToAgent {
    /// Run these, one after another. Only sent after [`FromAgent::Ready`], and no more than fit into
    /// its window.
    Run(Vec<Arc<Assignment>>),
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

/// As many submits wait in the inbox as the actor waits for.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Append;

/// Who runs these tasks here.
#[derive(Message)]
#[rtype(result = "Vec<Option<AgentName>>")]
pub(super) struct Holders(pub(super) Vec<TaskId>);

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

/// Serve these queues with these fleets from now on, and give tasks that do not say otherwise this.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServeFleets {
    pub(super) fleets: Vec<(FleetName, Vec<QueueName>)>,
    pub(super) terms: Arc<AllQueueTerms>,
}

/// Claim no more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close;

/// Resolves when nothing is held and every outcome is settled.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TellWhenQuiet(pub(super) oneshot::Sender<()>);

/// Resolves when no claim is under way and every outcome that was told is written; what runs goes on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TellWhenSettled(pub(super) oneshot::Sender<()>);

/// Ends the actor, its timers and statements with it; answers with the host id it had last.
#[derive(Message)]
#[rtype(result = "crate::domain::HostId")]
pub(super) struct Halt;

/// How the lease stands: `Err` says what is wrong.
#[derive(Message)]
#[rtype(result = "Result<(), String>")]
pub(super) struct Standing;
