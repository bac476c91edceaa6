//! What is to be done: claims to send, and what becomes of claimed tasks.

use crate::domain::{AgentName, FleetName, QueueName, task::Assignment};

/// A claim of tracked tasks to send: up to one for each place of `agents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The fleet it is for.
    pub fleet: FleetName,
    /// The queues to take from.
    pub queues: Vec<QueueName>,
    /// Whom the tasks are for; who could take several stands there as often.
    pub agents: Vec<AgentName>,
    /// Only tasks of this priority and higher.
    pub floor: i16,
}

/// A claim of plain tasks to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeClaim {
    /// The fleet it is for.
    pub fleet: FleetName,
    /// The queues to take from.
    pub queues: Vec<QueueName>,
    /// How many.
    pub most: usize,
}

/// What becomes of a claimed task.
#[derive(Debug, Clone, PartialEq)]
pub enum Handout {
    /// Its agent is there.
    Give(Assignment),
    /// Its agent left meanwhile: put it back.
    PutBack(Assignment),
}

impl Handout {
    pub(super) const fn agent(&self) -> &AgentName {
        match self {
            Self::Give(assignment) | Self::PutBack(assignment) => &assignment.agent,
        }
    }
}
