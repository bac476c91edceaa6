//! The shell: passes on what it is told, and keeps the registry.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use slog::{Logger, error, info, o, warn};
use tokio::sync::oneshot;

use super::{
    handle::{Command, SupervisorError},
    registry::{Entry, Registry},
};
use crate::{
    agent::{Adopted, AgentHandle, AgentReport, AgentStatus, Surroundings},
    domain::{
        AgentName, FleetName,
        agent::{AgentEvent, AgentState},
        fleet::Fleet,
        health::FleetStanding,
        record::{AgentRecord, FleetRecord},
        restart::{self, Decision},
        task::{FailureClass, Outcome},
    },
    heartbeat::{HeartbeatHandle, HeartbeatReport},
    queue::{FromAgent, QueueReport},
};

pub(super) struct SupervisorActor {
    log: Logger,
    fleets: Vec<Arc<Fleet>>,
    around: Surroundings,
    agents: Registry,
    /// What agents go on with, until they are launched.
    adopted: BTreeMap<AgentName, Adopted>,
    heartbeats: BTreeMap<FleetName, HeartbeatHandle>,
    /// The host is ending: nothing is started any more.
    closing: bool,
    resting: Vec<oneshot::Sender<()>>,
}

impl SupervisorActor {
    pub(super) fn new(
        log: Logger,
        fleets: Vec<Fleet>,
        around: Surroundings,
        adopted: BTreeMap<AgentName, Adopted>,
    ) -> Self {
        Self {
            log,
            fleets: fleets.into_iter().map(Arc::new).collect(),
            around,
            agents: Registry::default(),
            adopted,
            heartbeats: BTreeMap::new(),
            closing: false,
            resting: Vec::new(),
        }
    }

    fn watch_fleet(&mut self, fleet: &Fleet, ctx: &mut Context<Self>) {
        let owner = ctx.address().recipient();
        let clock = self.around.clock;
        let handle = HeartbeatHandle::start(fleet.name.clone(), fleet.heartbeat, clock, owner);
        for entry in self.agents.iter().filter(|entry| entry.fleet.name == fleet.name) {
            if let Some(agent) = &entry.handle {
                let status = &entry.status;
                handle.watch(status.agent.clone(), status.generation, agent.vitals().clone());
            }
        }
        self.heartbeats.insert(fleet.name.clone(), handle);
    }

    #[cfg(test)]
    pub(super) fn handle_of(&self, agent: &AgentName) -> Option<&AgentHandle> {
        self.agents.get(agent).and_then(|entry| entry.handle.as_ref())
    }

    fn launch(
        &self,
        fleet: &Arc<Fleet>,
        status: AgentStatus,
        adopted: Option<Adopted>,
        ctx: &mut Context<Self>,
    ) -> AgentHandle {
        let around = Surroundings {
            log: self.around.log.new(o!("fleet" => fleet.name.to_string())),
            ..self.around.clone()
        };
        AgentHandle::launch(fleet.clone(), status, around, ctx.address().recipient(), adopted)
    }

    fn changed(&mut self, status: AgentStatus) {
        let Some(entry) = self.agents.get_mut(&status.agent) else { return };
        let newer = status.generation > entry.status.generation;
        entry.status = status;
        let (Some(handle), true) = (&entry.handle, newer) else {
            self.tell_if_resting();
            return;
        };
        if let Some(heartbeat) = self.heartbeats.get(&entry.fleet.name) {
            let (agent, generation) = (entry.status.agent.clone(), entry.status.generation);
            heartbeat.watch(agent, generation, handle.vitals().clone());
        }
    }

    /// The actor of `agent` is gone, and its process with it.
    fn gone(&mut self, agent: &AgentName, ctx: &mut Context<Self>) {
        if self.closing && self.agents.all_at_rest() {
            return;
        }
        let now = self.around.clock.now();
        let Some(entry) = self.agents.get_mut(agent) else { return };
        let reason = "its actor inside the host panicked; this is a fault of Hostler";
        error!(self.log, "agent actor lost"; "agent" => %agent, "reason" => reason);
        entry.handle = None;
        entry.wanted = !matches!(entry.status.state, AgentState::Stopped | AgentState::Paused);
        entry.status = AgentStatus {
            state: AgentState::Backoff,
            reason: Some(reason.to_owned()),
            pid: None,
            work: None,
            ..entry.status.clone()
        };
        self.around.queue.do_send(FromAgent::Gone {
            fleet: entry.fleet.name.clone(),
            agent: agent.clone(),
            outcome: Outcome::failed(FailureClass::Internal, reason),
        });
        let policy = restart::Policy { when: restart::When::Always, ..entry.fleet.restart };
        match entry.panics.ended(&policy, true, std::time::Duration::ZERO, now) {
            Decision::Quarantine { failures } => {
                entry.status.state = AgentState::Quarantined;
                entry.status.reason = Some(format!("{reason}; it did so {failures} times"));
            }
            Decision::After(wait) => {
                let agent = agent.clone();
                let wait = restart::jittered(wait, fastrand::f64());
                ctx.run_later(wait, move |this, ctx| this.rebuild(&agent, ctx));
            }
            Decision::Again | Decision::Leave => self.rebuild(agent, ctx),
        }
        self.tell_if_resting();
    }

    /// Starts a new actor for an agent whose last one is gone.
    fn rebuild(&mut self, agent: &AgentName, ctx: &mut Context<Self>) {
        let Some(entry) = self.agents.get(agent) else { return };
        if entry.handle.is_some() {
            return;
        }
        let (fleet, wanted) = (entry.fleet.clone(), entry.wanted);
        let handle = self.launch(&fleet, entry.status.clone(), None, ctx);
        if wanted && !self.closing {
            handle.tell(AgentEvent::Start, None);
        }
        if let Some(entry) = self.agents.get_mut(agent) {
            entry.handle = Some(handle);
        }
        info!(self.log, "agent actor rebuilt"; "agent" => %agent);
    }

    fn tell_if_resting(&mut self) {
        if self.agents.all_at_rest() {
            for tell in self.resting.drain(..) {
                // Whoever asked may have stopped waiting.
                tell.send(()).unwrap_or_default();
            }
        }
    }

    /// Sends every agent to rest; one whose actor is being rebuilt is there already.
    fn send_to_rest(&mut self, event: AgentEvent) {
        self.closing = true;
        for entry in self.agents.iter_mut() {
            entry.wanted = false;
            match &entry.handle {
                Some(handle) => handle.tell(event, Some("the host is stopping".to_owned())),
                None => entry.status.state = AgentState::Stopped,
            }
        }
        self.tell_if_resting();
    }
}

impl Actor for SupervisorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
        for fleet in self.fleets.clone() {
            for number in 1..=fleet.count {
                let mut status = AgentStatus::new(AgentName::of(&fleet.name, number));
                let adopted = self.adopted.remove(&status.agent);
                let is_adopted = adopted.is_some();
                if let Some(adopted) = &adopted {
                    status.generation = adopted.generation;
                }
                let handle = self.launch(&fleet, status.clone(), adopted, ctx);
                if !is_adopted {
                    handle.tell(AgentEvent::Start, None);
                }
                self.agents.insert(Entry {
                    fleet: fleet.clone(),
                    handle: Some(handle),
                    status,
                    panics: restart::History::default(),
                    wanted: true,
                });
            }
            self.watch_fleet(&fleet, ctx);
        }
    }
}

impl Handler<AgentReport> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, report: AgentReport, ctx: &mut Self::Context) {
        match report {
            AgentReport::Changed(status) => self.changed(*status),
            AgentReport::Gone { agent } => self.gone(&agent, ctx),
        }
    }
}

impl Handler<HeartbeatReport> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, report: HeartbeatReport, ctx: &mut Self::Context) {
        match report {
            HeartbeatReport::Stale { agent, generation, silence } => {
                let handle = self.agents.get(&agent).and_then(|entry| entry.handle.as_ref());
                if let Some(handle) = handle {
                    handle.silent(generation, silence);
                }
            }
            HeartbeatReport::Gone { fleet } => {
                let found = self.fleets.iter().find(|one| one.name == fleet).cloned();
                if let (Some(found), false) = (found, self.closing) {
                    warn!(self.log, "heartbeat actor rebuilt"; "fleet" => %fleet);
                    self.watch_fleet(&found, ctx);
                }
            }
        }
    }
}

impl Handler<QueueReport> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, report: QueueReport, _: &mut Self::Context) {
        let QueueReport::LeaseLost { at_work } = report;
        let reason = "the host could not renew its lease: its tasks may run elsewhere";
        for agent in &at_work {
            let Some(entry) = self.agents.get(agent) else { continue };
            let Some(handle) = &entry.handle else { continue };
            handle.tell(AgentEvent::Stop { hard: true }, Some(reason.to_owned()));
            // One that an operator had asked to leave stays away.
            let leaving = matches!(entry.status.state, AgentState::Stopping | AgentState::Stale);
            if !self.closing && !leaving {
                handle.tell(AgentEvent::Start, Some(reason.to_owned()));
            }
        }
    }
}

/// All agents, as they are now.
#[derive(Message)]
#[rtype(result = "Vec<AgentRecord>")]
pub(super) struct ListAgents;

impl Handler<ListAgents> for SupervisorActor {
    type Result = Vec<AgentRecord>;

    fn handle(&mut self, _: ListAgents, _: &mut Self::Context) -> Self::Result {
        self.agents.agents()
    }
}

/// All fleets, as they are now.
#[derive(Message)]
#[rtype(result = "Vec<FleetRecord>")]
pub(super) struct ListFleets;

impl Handler<ListFleets> for SupervisorActor {
    type Result = Vec<FleetRecord>;

    fn handle(&mut self, _: ListFleets, _: &mut Self::Context) -> Self::Result {
        self.agents.fleets(&self.fleets)
    }
}

/// How one fleet stands.
#[derive(Message)]
#[rtype(result = "Option<FleetStanding>")]
pub(super) struct StandingOf(pub(super) FleetName);

impl Handler<StandingOf> for SupervisorActor {
    type Result = Option<FleetStanding>;

    fn handle(&mut self, StandingOf(fleet): StandingOf, _: &mut Self::Context) -> Self::Result {
        let is_known = self.fleets.iter().any(|one| one.name == fleet);
        is_known.then(|| self.agents.standing(&fleet))
    }
}

/// An operator's word to one agent.
#[derive(Message)]
#[rtype(result = "Result<AgentRecord, SupervisorError>")]
pub(super) struct Operate {
    pub(super) agent: AgentName,
    pub(super) command: Command,
}

impl Handler<Operate> for SupervisorActor {
    type Result = LocalBoxFuture<'static, Result<AgentRecord, SupervisorError>>;

    fn handle(&mut self, operate: Operate, ctx: &mut Self::Context) -> Self::Result {
        let Operate { agent, command } = operate;
        let Some(entry) = self.agents.get_mut(&agent) else {
            return Box::pin(async move { Err(SupervisorError::UnknownAgent { agent }) });
        };
        if entry.handle.is_none() && command != Command::Stop {
            entry.panics.clear();
            entry.wanted = true;
            self.rebuild(&agent, ctx);
        }
        let Some(entry) = self.agents.get(&agent) else {
            return Box::pin(async move { Err(SupervisorError::UnknownAgent { agent }) });
        };
        let (Some(handle), fleet) = (entry.handle.clone(), entry.fleet.clone()) else {
            return Box::pin(async move { Err(SupervisorError::Unreachable { agent }) });
        };
        Box::pin(async move {
            let answer = handle.order(command.event(), Some(command.reason())).await;
            let status = answer.map_err(|illegal| match illegal {
                Some(illegal) => {
                    SupervisorError::WrongMoment { agent, state: illegal.state, command }
                }
                None => SupervisorError::Unreachable { agent },
            })?;
            let panics = restart::History::default();
            Ok(Entry { fleet, handle: Some(handle), status, panics, wanted: true }.record())
        })
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
