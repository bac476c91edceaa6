//! Actor around one agent: owns its process, its stdio protocol, its current attempt and its log.
//!
//! # Overview
//!
//! Every event (a message, a timer, a line of the process, its end) goes through
//! [`domain::agent::step`](crate::domain::agent::step), and every effect that it returns is carried
//! out here. The actor decides nothing about life cycles.
//!
//! # Guarantees
//!
//! - At most one live process; the next one starts only after the keeper said that the last one is
//!   gone, with all it forked.
//! - An attempt ends exactly once, and not before its process is gone, unless the process itself
//!   answered.
//! - What a process wrote before it died counts: its stdout is read to the end of what is there
//!   before its death is acted upon.
//! - Messages about an older process are dropped by generation.
//! - A host that comes after this one died can go on with the process: what it must know of it is in
//!   the keeper's note, in the files of the attempt, and in the record of [`read_standing`].
//!
//! # Failures
//!
//! If the actor panics, its process is killed, and its owner hears [`AgentReport::Gone`] when that
//! is done; the owner ends the attempt and starts a new actor.

mod actor;
mod adopt;
mod attempt;
mod conversation;
mod handlers;
mod life;
mod log;
mod memo;
mod messages;
mod notify;
mod readiness;
mod spawn;
mod starts;
mod stdio;
mod tombstone;
mod work;
mod workspace;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use actix::prelude::*;

pub use adopt::{Adopted, left_outcome};
pub use log::LogPolicy;
pub use memo::read_standing;
pub use messages::{AgentReport, AgentStatus};
pub use starts::Starts;

use crate::{
    domain::{
        AgentName, Generation,
        access::AttemptKey,
        agent::{AgentEvent, Hold, IllegalStep},
        fleet::Fleet,
        heartbeat::Silence,
    },
    heartbeat::{Clock, LookAtTrees, Vitals},
    process::Processes,
    queue::FromAgent,
    telemetry::metrics::Metrics,
    workspace::Workspaces,
};

/// Where the API is, as agents are told, and by what they may call it.
#[derive(Debug, Clone, Default)]
pub struct Api {
    /// Its address over TCP, if it is served there.
    pub url: Option<String>,
    /// Its unix socket.
    pub socket: Option<String>,
    /// The key by which tokens of attempts are made.
    pub attempts: Option<AttemptKey>,
}

/// What an agent needs of the world around it.
#[derive(Clone)]
pub struct Surroundings {
    /// Starts and ends processes.
    pub processes: Arc<dyn Processes>,
    /// Where idleness and outcomes are told.
    pub queue: Recipient<FromAgent>,
    /// Where the API is, for agents that call it.
    pub api: Arc<Api>,
    /// The host's own environment, for what fleets pass on.
    pub env: Arc<BTreeMap<String, String>>,
    /// Where the files of attempts go.
    pub attempts_dir: PathBuf,
    /// Where agents write down how far the conversations with their workers are.
    pub standing_dir: PathBuf,
    /// Whether processes may work in certain directories alone, and a link that has come into the path of
    /// one is refused.
    pub bounded: bool,
    /// What attempts work in that have a worktree of their own.
    pub workspaces: Workspaces,
    /// How many processes may be starting at once.
    pub starts: Starts,
    /// What the abstract names of the agents' notification sockets begin with.
    pub notify_prefix: String,
    /// Looks at the processes of agents.
    pub trees: LookAtTrees,
    /// Where agents' own logs go.
    pub log_dir: PathBuf,
    /// How the logs of agents are kept.
    pub log_policy: LogPolicy,
    /// The clock of the host.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The log.
    pub log: slog::Logger,
}

impl Surroundings {
    /// The log file of `agent`.
    pub fn log_path(&self, agent: &AgentName) -> PathBuf {
        self.log_dir.join(format!("{agent}.log"))
    }
}

/// The owner's side of the actor.
#[derive(Clone)]
pub struct AgentHandle {
    actor: Addr<actor::AgentActor>,
    vitals: Arc<Vitals>,
}

impl AgentHandle {
    /// Starts an actor for slot `name` of `fleet` in the current arbiter. `status` is that of the
    /// actor before it, if there was one. The agent is stopped until it is told to start, unless it
    /// goes on with a process that was `adopted`.
    pub fn launch(
        fleet: Arc<Fleet>,
        status: AgentStatus,
        around: Surroundings,
        watcher: Recipient<AgentReport>,
        adopted: Option<Adopted>,
    ) -> Self {
        let vitals = Arc::new(Vitals::new(around.clock));
        let actor = actor::AgentActor::new(fleet, status, around, vitals.clone(), watcher, adopted);
        let actor = actor.start();
        Self { actor, vitals }
    }

    /// Feeds `event` to the agent; `reason` is shown where the agent comes to.
    ///
    /// # Errors
    ///
    /// [`IllegalStep`] if the event makes no sense now, or `None` if the actor is gone.
    pub async fn order(
        &self,
        event: AgentEvent,
        reason: Option<String>,
    ) -> Result<AgentStatus, Option<IllegalStep>> {
        let order = messages::Order { event, reason };
        self.actor.send(order).await.map_err(|_| None)?.map_err(Some)
    }

    /// As [`AgentHandle::order`], without waiting for the answer.
    pub fn tell(&self, event: AgentEvent, reason: Option<String>) {
        // A report that must not be lost: the owner's plan depends on it.
        self.actor.do_send(messages::Order { event, reason });
    }

    /// Has the agent be one of `fleet` from now on. What runs goes on as it was started; a fleet that
    /// runs other processes is only given to an agent without one.
    pub fn refit(&self, fleet: Arc<Fleet>) {
        // A report that must not be lost: the next process would be of the old fleet.
        self.actor.do_send(messages::Refit(fleet));
    }

    /// Brings the agent to where another host can go on with it. It hears of nothing more from its
    /// process, and takes no more tasks.
    pub async fn hand_over(&self) {
        // An actor that is gone has nothing to hand over.
        self.actor.send(messages::HandOver).await.unwrap_or_default();
    }

    /// Ends the actor of an agent without a process; nobody hears of its end.
    pub fn dismiss(&self) {
        // A report that must not be lost: the actor would stay for ever.
        self.actor.do_send(messages::Dismiss);
    }

    /// Tells of the heartbeat's verdict on the process of `generation`.
    pub fn silent(&self, generation: Generation, silence: Silence) {
        self.actor.do_send(messages::Silent { generation, silence });
    }

    /// Nothing of the agent is started from now on, for this reason; or again, where there is none.
    pub fn hold(&self, why: Option<(Hold, String)>) {
        // A report that must not be lost: what must not start would.
        self.actor.do_send(messages::SetHold(why));
    }

    /// The agent's signs of life.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    #[cfg(test)]
    /// Has the actor panic, as a bug would.
    pub(crate) fn explode(&self) {
        self.actor.do_send(tests::Explode);
    }
}

#[cfg(test)]
pub(crate) mod tests;
