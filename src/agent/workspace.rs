//! What an agent does about workspaces: a worker's attempts get theirs before it is given them, and what an
//! attempt left is committed before its end is told.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::{actor::AgentActor, messages::Placed, work::Placing};
use crate::{
    domain::{
        agent::AgentEvent,
        task::{Assignment, FailureClass, Outcome},
        workspace::WorkspaceSpec,
    },
    queue::{Ended, FromAgent},
    telemetry::Chain,
    workspace::WorkspaceError,
};

/// How long a task is put off for which there is no room.
const NO_ROOM: Duration = Duration::from_secs(60);

/// The end of an attempt whose workspace could not be made.
pub(super) fn without_workspace(error: &WorkspaceError) -> Outcome {
    let why = Chain(error).to_string();
    if error.may_pass() {
        return Outcome::Snoozed { wait: NO_ROOM, reason: why };
    }
    Outcome::failed(FailureClass::Spawn, format!("the workspace could not be made: {why}"))
}

impl AgentActor {
    /// Has the workspace made of the first that is not given yet, if it is to have one. Whether that is
    /// waited for: what stands behind it waits, too.
    pub(super) fn waits_for_place(&mut self, ctx: &mut Context<Self>) -> bool {
        let Some(work) = self.work.iter_mut().find(|work| !work.given) else { return false };
        if WorkspaceSpec::of(&self.fleet, &work.assignment).is_none() {
            return false;
        }
        match work.placing {
            Placing::Done => return false,
            Placing::UnderWay => return true,
            Placing::Wanted => work.placing = Placing::UnderWay,
        }
        let (key, assignment) = (work.key(), work.assignment.clone());
        let (fleet, workspaces) = (self.fleet.clone(), self.around.workspaces.clone());
        let to = ctx.address();
        // Goes on if the actor ends meanwhile: then nobody works in what is made.
        actix::spawn(async move {
            let result = workspaces.prepare(&fleet, &assignment).await;
            if to.send(Placed { key, result }).await.is_err() {
                workspaces.close(key.0, key.1, Outcome::Cancelled).await;
            }
        });
        true
    }

    /// Tells the queue how attempts ended. What those left that had a workspace is committed first.
    pub(super) fn tell_ends(&self, ends: Vec<Ended>) {
        let workspaces = &self.around.workspaces;
        let is_apart = |end: &Ended| workspaces.is_open(end.task, end.attempt);
        let (apart, ends): (Vec<_>, Vec<_>) = ends.into_iter().partition(is_apart);
        // Reports that must not be lost: they are the tasks' results.
        if !ends.is_empty() {
            self.around.queue.do_send(FromAgent::Ended(ends));
        }
        for end in apart {
            let (workspaces, queue) = (workspaces.clone(), self.around.queue.clone());
            actix::spawn(async move {
                let outcome = workspaces.close(end.task, end.attempt, end.outcome).await;
                queue.do_send(FromAgent::Ended(vec![Ended { outcome, ..end }]));
            });
        }
    }
}

impl Handler<Placed> for AgentActor {
    type Result = ();

    fn handle(&mut self, Placed { key, result }: Placed, ctx: &mut Self::Context) {
        let Some(work) = self.work.iter_mut().find(|work| work.key() == key) else {
            // It was called off meanwhile, and its end has been told.
            let workspaces = self.around.workspaces.clone();
            actix::spawn(async move {
                workspaces.close(key.0, key.1, Outcome::Cancelled).await;
            });
            return;
        };
        match result {
            Ok(place) => {
                let mut placed = Assignment::clone(&work.assignment);
                placed.terms.place = place;
                (work.assignment, work.placing) = (Arc::new(placed), Placing::Done);
                self.hand_over(ctx);
            }
            Err(error) => {
                let end = self.take_end(key, without_workspace(&error), ctx);
                self.tell_ends(end.into_iter().collect());
                if self.work.is_empty() {
                    self.observe(AgentEvent::Done, ctx);
                } else {
                    self.begin_next(ctx);
                    self.hand_over(ctx);
                    self.report();
                }
            }
        }
    }
}
