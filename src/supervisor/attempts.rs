//! Attempts as those ask about them who are at work on them.

use actix::prelude::*;
use serde_json::Value;

use super::actor::SupervisorActor;
use crate::domain::{Attempt, FleetName, QueueName, TaskId};

/// Who works on an attempt, and what that entitles to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtWork {
    /// The fleet of the agent.
    pub fleet: FleetName,
    /// The queues that it may submit to.
    pub queues: Vec<QueueName>,
}

/// Who works on this attempt, now and here?
#[derive(Debug, Message)]
#[rtype(result = "Option<AtWork>")]
pub(super) struct WhoWorksOn(pub(super) TaskId, pub(super) Attempt);

impl Handler<WhoWorksOn> for SupervisorActor {
    type Result = Option<AtWork>;

    fn handle(
        &mut self,
        WhoWorksOn(task, attempt): WhoWorksOn,
        _: &mut Self::Context,
    ) -> Self::Result {
        let entry = self.agents.iter().find(|entry| entry.status.work == Some((task, attempt)))?;
        let fleet = &entry.fleet;
        Some(AtWork { fleet: fleet.name.clone(), queues: fleet.submits_to().to_vec() })
    }
}

/// The agent that works on this attempt is so far. Whether there is such an agent.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(super) struct IsSoFar(pub(super) TaskId, pub(super) Attempt, pub(super) Value);

impl Handler<IsSoFar> for SupervisorActor {
    type Result = bool;

    fn handle(&mut self, IsSoFar(task, attempt, progress): IsSoFar, _: &mut Self::Context) -> bool {
        let found = self.agents.iter().find(|entry| entry.status.work == Some((task, attempt)));
        let Some(handle) = found.and_then(|entry| entry.handle.as_ref()) else { return false };
        handle.vitals().set_progress(Some(progress));
        // It is a sign of life as much as output is.
        handle.vitals().touch();
        true
    }
}
