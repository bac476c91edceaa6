//! How all agents come to rest, or are left to another host.

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::actor::SupervisorActor;
use crate::{
    agent::AgentHandle,
    domain::{
        FleetName,
        agent::{AgentEvent, AgentState},
        order,
    },
};

impl SupervisorActor {
    /// Sends every agent to rest, in their order; one whose actor is being rebuilt is there already.
    fn send_to_rest(&mut self, event: AgentEvent) {
        self.closing = true;
        self.resting_by = Some(event);
        for entry in self.agents.iter_mut() {
            entry.wanted = false;
            if entry.handle.is_none() {
                entry.status.state = AgentState::Stopped;
            }
        }
        // Those that depend on others leave before them. A stop is for all at once: time is up.
        self.stop_what_can(event, event != AgentEvent::Drain);
        self.tell_if_resting();
    }

    /// Tells the fleets to rest that nobody at work depends on any more; all of them, if `at_once`.
    pub(super) fn stop_what_can(&mut self, event: AgentEvent, at_once: bool) {
        let needs = self.fleets.iter().map(|(name, run)| (name, &*run.fleet.depends_on)).collect();
        let at_rest = |name: &FleetName| self.agents.at_rest(name);
        let may = |name: &&FleetName| at_once || order::may_stop(name, &needs, at_rest);
        let next: Vec<FleetName> = self.fleets.keys().filter(may).cloned().collect();
        for name in next {
            if !self.told_to_rest.insert(name.clone()) && !at_once {
                continue;
            }
            for entry in self.agents.of(&name) {
                if let Some(handle) = &entry.handle {
                    handle.tell(event, Some("the host is stopping".to_owned()));
                }
            }
        }
    }
}

/// Brings every agent to rest: what is idle stops, what is busy stops after its task.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drain;

impl Handler<Drain> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.send_to_rest(AgentEvent::Drain);
    }
}

/// Brings every agent to rest without waiting for its task.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StopAll {
    pub(super) hard: bool,
}

impl Handler<StopAll> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, StopAll { hard }: StopAll, _: &mut Self::Context) {
        self.send_to_rest(AgentEvent::Stop { hard });
    }
}

/// Brings every agent to where another host can go on with it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct HandOver;

impl Handler<HandOver> for SupervisorActor {
    type Result = LocalBoxFuture<'static, ()>;

    fn handle(&mut self, _: HandOver, _: &mut Self::Context) -> Self::Result {
        self.closing = true;
        let handles: Vec<_> = self.agents.iter().filter_map(|entry| entry.handle.clone()).collect();
        Box::pin(async move {
            let each = handles.iter().map(AgentHandle::hand_over);
            futures_util::future::join_all(each).await;
        })
    }
}

/// Resolves when no agent has a process or a task.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TellWhenResting(pub(super) oneshot::Sender<()>);

impl Handler<TellWhenResting> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, TellWhenResting(tell): TellWhenResting, _: &mut Self::Context) {
        self.resting.push(tell);
        self.tell_if_resting();
    }
}
