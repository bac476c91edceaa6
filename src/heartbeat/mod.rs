//! Actor, one per fleet, that notices agents which show no life.
//!
//! # Overview
//!
//! Whatever sees an agent live (a chunk of output, a grown file, a heartbeat message) touches its
//! [`Vitals`]; the actor looks at all of its fleet's from time to time and asks
//! [`domain::heartbeat`](crate::domain::heartbeat). It reports a verdict and decides nothing.
//!
//! # Guarantees
//!
//! A verdict comes within a tenth of the limit after the limit has passed, and carries the
//! generation it was judged for: one for an older process is dropped by whoever gets it.
//!
//! # Failures
//!
//! The actor holds nothing that its owner can't give it again; if it panics, the supervisor starts
//! another and has it watch the same agents.

mod vitals;

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;

pub use vitals::{Clock, Vitals};

use crate::domain::{
    AgentName, FleetName, Generation,
    heartbeat::{self, Limits, Silence, Verdict},
};

/// What the actor tells its owner.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum HeartbeatReport {
    /// An agent was silent for too long.
    Stale {
        /// The agent.
        agent: AgentName,
        /// The process that was judged.
        generation: Generation,
        /// The evidence.
        silence: Silence,
    },
    /// The actor is gone: stopped, or ended by a panic.
    Gone {
        /// The fleet it watched.
        fleet: FleetName,
    },
}

/// The owner's side of the actor.
#[derive(Clone, Debug)]
pub struct HeartbeatHandle(Addr<HeartbeatActor>);

impl HeartbeatHandle {
    /// Starts an actor for `fleet` in the current arbiter.
    pub fn start(
        fleet: FleetName,
        limits: Limits,
        clock: Clock,
        owner: Recipient<HeartbeatReport>,
    ) -> Self {
        let tombstone = Tombstone { fleet, owner };
        Self(HeartbeatActor { limits, clock, watched: BTreeMap::new(), tombstone }.start())
    }

    /// Whether the actor is still there.
    pub fn is_alive(&self) -> bool {
        self.0.connected()
    }

    /// Watches this process of `agent` from now on, in place of any older one.
    pub fn watch(&self, agent: AgentName, generation: Generation, vitals: Arc<Vitals>) {
        // A report that must not be lost: a hung agent would never be found.
        self.0.do_send(Watch { agent, generation, vitals });
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Watch {
    agent: AgentName,
    generation: Generation,
    vitals: Arc<Vitals>,
}

/// Tells the owner however the actor ends. `Drop` runs while a panic unwinds.
struct Tombstone {
    fleet: FleetName,
    owner: Recipient<HeartbeatReport>,
}

impl Drop for Tombstone {
    fn drop(&mut self) {
        self.owner.do_send(HeartbeatReport::Gone { fleet: self.fleet.clone() });
    }
}

struct HeartbeatActor {
    limits: Limits,
    clock: Clock,
    watched: BTreeMap<AgentName, Watched>,
    tombstone: Tombstone,
}

struct Watched {
    generation: Generation,
    vitals: Arc<Vitals>,
    /// A verdict is given once for a process.
    judged: bool,
}

impl HeartbeatActor {
    fn look(&mut self, _: &mut Context<Self>) {
        let now = self.clock.now();
        for (agent, watched) in self.watched.iter_mut().filter(|(_, watched)| !watched.judged) {
            let vitals = &watched.vitals;
            let verdict = heartbeat::judge(&self.limits, vitals.expected(), vitals.heard(), now);
            if let Verdict::Stale(silence) = verdict {
                watched.judged = true;
                self.tombstone.owner.do_send(HeartbeatReport::Stale {
                    agent: agent.clone(),
                    generation: watched.generation,
                    silence,
                });
            }
        }
    }
}

impl Actor for HeartbeatActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(every) = heartbeat::look_every(&self.limits) {
            ctx.run_interval(every, Self::look);
        }
    }
}

impl Handler<Watch> for HeartbeatActor {
    type Result = ();

    fn handle(&mut self, Watch { agent, generation, vitals }: Watch, _: &mut Self::Context) {
        self.watched.insert(agent, Watched { generation, vitals, judged: false });
    }
}

#[cfg(test)]
mod tests;
