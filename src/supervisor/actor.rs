//! The shell: passes on what it is told, and keeps the registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use slog::{Logger, error, info, o, warn};
use tokio::sync::oneshot;

use super::{
    fleets::Run,
    handle::{Command, SupervisorError},
    holds::{Guard, Holds},
    news::Tell,
    registry::{Entry, Registry},
    scales::Scales,
};
use crate::{
    agent::{Adopted, AgentHandle, AgentReport, AgentStatus, Surroundings},
    domain::{
        AgentName, FleetName, Generation,
        agent::{AgentEvent, AgentState},
        event::{HostWord, News},
        fleet::Fleet,
        record::{AgentRecord, FleetRecord, RestartCause},
        restart::{self, Decision},
        task::{FailureClass, Outcome},
    },
    heartbeat::{HeartbeatHandle, HeartbeatReport},
    queue::{FromAgent, QueueReport},
};

pub(super) struct SupervisorActor {
    pub(super) log: Logger,
    pub(super) fleets: BTreeMap<FleetName, Run>,
    /// The sizes that fleets were given.
    pub(super) scales: Scales,
    pub(super) around: Surroundings,
    pub(super) agents: Registry,
    pub(super) guard: Guard,
    pub(super) holds: Holds,
    pub(super) news: Tell,
    /// The newest generations of agents that were removed.
    pub(super) past: BTreeMap<AgentName, Generation>,
    /// What agents go on with, until they are launched.
    pub(super) adopted: BTreeMap<AgentName, Adopted>,
    pub(super) heartbeats: BTreeMap<FleetName, HeartbeatHandle>,
    /// The host is ending: nothing is started any more.
    pub(super) closing: bool,
    /// How its agents are asked to leave then, and which fleets have been asked.
    pub(super) resting_by: Option<AgentEvent>,
    pub(super) told_to_rest: BTreeSet<FleetName>,
    pub(super) resting: Vec<oneshot::Sender<()>>,
}

impl SupervisorActor {
    pub(super) fn new(
        log: Logger,
        (fleets, scales): (Vec<Fleet>, Scales),
        around: Surroundings,
        adopted: BTreeMap<AgentName, Adopted>,
        (guard, news): (Guard, Tell),
    ) -> Self {
        let run = |fleet: Fleet| (fleet.name.clone(), Run::new(fleet, &scales));
        Self {
            log,
            fleets: fleets.into_iter().map(run).collect(),
            scales,
            around,
            agents: Registry::default(),
            guard,
            holds: Holds::default(),
            news,
            past: BTreeMap::new(),
            adopted,
            heartbeats: BTreeMap::new(),
            closing: false,
            resting_by: None,
            told_to_rest: BTreeSet::new(),
            resting: Vec::new(),
        }
    }

    pub(super) fn watch_fleet(&mut self, fleet: &Fleet, ctx: &mut Context<Self>) {
        let owner = ctx.address().recipient();
        let clock = self.around.clock;
        let handle = HeartbeatHandle::start(
            fleet.name.clone(),
            fleet.heartbeat,
            clock,
            self.around.trees.clone(),
            owner,
        );
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

    pub(super) fn launch(
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
        let watcher = ctx.address().recipient();
        let handle = AgentHandle::launch(fleet.clone(), status, around, watcher, adopted);
        if let Some(hold) = self.holds.of(&fleet.name) {
            handle.hold(Some(hold));
        }
        handle
    }

    fn changed(&mut self, status: AgentStatus, ctx: &mut Context<Self>) {
        let Some(entry) = self.agents.get_mut(&status.agent) else { return };
        let newer = status.generation > entry.status.generation;
        entry.starting &= status.state == AgentState::Stopped;
        let up = matches!(status.state, AgentState::Idle | AgentState::Starting);
        let was_up = matches!(
            entry.status.state,
            AgentState::Idle | AgentState::Starting | AgentState::Busy
        );
        // Somebody had one come back that was to leave.
        entry.leaving &= !up || was_up;
        let failures = |status: &AgentStatus| -> u64 {
            let own = |(cause, _): &(&RestartCause, &u64)| cause.is_failure();
            status.restarts.iter().filter(own).map(|(_, count)| count).sum()
        };
        // One that is given up, or has done its work, does not come back: nobody goes with it.
        let over = matches!(status.state, AgentState::Stopped | AgentState::Quarantined);
        let failed = !over && failures(&status) > failures(&entry.status);
        let ended_badly = status.failures.saturating_sub(entry.status.failures);
        let agent = status.agent.clone();
        let old = std::mem::replace(&mut entry.status, status.clone());
        let definition = entry.fleet.clone();
        let fleet = definition.name.clone();
        if let (Some(handle), true) = (&entry.handle, newer) {
            if let Some(heartbeat) = self.heartbeats.get(&fleet) {
                let (agent, generation) = (entry.status.agent.clone(), entry.status.generation);
                heartbeat.watch(agent, generation, handle.vitals().clone());
            }
        } else {
            self.tell_if_resting();
        }
        if failed
            && let Some(entry) = self.agents.get(&agent)
            && !self.closing
        {
            self.take_along(entry);
        }
        self.tell_move(&fleet, &old, &status);
        self.count_failures(&definition, ended_badly, ctx);
        self.steer(&fleet, ctx);
        self.begin_what_can();
        if let Some(event) = self.resting_by.filter(|_| !self.agents.all_at_rest()) {
            self.stop_what_can(event, false);
        }
    }

    /// The actor of `agent` is gone, and its process with it.
    fn gone(&mut self, agent: &AgentName, ctx: &mut Context<Self>) {
        if self.closing && self.agents.all_at_rest() {
            return;
        }
        let now = self.around.clock.now();
        let closing = self.closing;
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
        if closing {
            entry.status.state = AgentState::Stopped;
            self.tell_if_resting();
            return;
        }
        let policy = restart::Policy { when: restart::When::Always, ..entry.fleet.restart };
        match entry.panics.ended(&policy, true, std::time::Duration::ZERO, now) {
            Decision::Quarantine { failures } => {
                entry.status.state = AgentState::Quarantined;
                let reason = format!("{reason}; it did so {failures} times");
                entry.status.reason = Some(reason.clone());
                let (word, fleet) = (HostWord::AgentQuarantined, &entry.fleet.name);
                let news = News::of_agent(word, fleet, agent, Some(reason));
                self.tell(news);
            }
            Decision::After(wait) => {
                let agent = agent.clone();
                let wait = restart::jittered(wait, fastrand::f64());
                ctx.run_later(wait, move |this, ctx| this.rebuild(&agent, ctx));
            }
            Decision::Again | Decision::Leave => self.rebuild(agent, ctx),
        }
    }

    /// Starts a new actor for an agent whose last one is gone, unless the host is ending.
    pub(super) fn rebuild(&mut self, agent: &AgentName, ctx: &mut Context<Self>) {
        let Some(entry) = self.agents.get(agent) else { return };
        if entry.handle.is_some() || self.closing {
            return;
        }
        let (fleet, wanted) = (entry.fleet.clone(), entry.wanted);
        let handle = self.launch(&fleet, entry.status.clone(), None, ctx);
        if wanted {
            handle.tell(AgentEvent::Start, None);
        }
        if let Some(entry) = self.agents.get_mut(agent) {
            entry.handle = Some(handle);
        }
        info!(self.log, "agent actor rebuilt"; "agent" => %agent);
    }

    pub(super) fn tell_if_resting(&mut self) {
        if self.agents.all_at_rest() {
            for tell in self.resting.drain(..) {
                // Whoever asked may have stopped waiting.
                tell.send(()).unwrap_or_default();
            }
        }
    }
}

impl Actor for SupervisorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
        self.guard_machine(ctx);
        let fleets: Vec<Arc<Fleet>> = self.fleets.values().map(|run| run.fleet.clone()).collect();
        for fleet in fleets {
            self.watch_fleet(&fleet, ctx);
            self.steer(&fleet.name, ctx);
        }
        self.begin_what_can();
    }
}

impl Handler<AgentReport> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, report: AgentReport, ctx: &mut Self::Context) {
        match report {
            AgentReport::Changed(status) => self.changed(*status, ctx),
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
                let found = self.fleets.get(&fleet).map(|run| run.fleet.clone());
                // One that was replaced has an heir that lives.
                let heir = self.heartbeats.get(&fleet).is_some_and(HeartbeatHandle::is_alive);
                if let (Some(found), false) = (found, self.closing || heir) {
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
        self.fleet_records()
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
        // It is the operator's from here, whatever was planned with it.
        entry.leaving &= command.is_to_run();
        if let Some(run) = self.fleets.get_mut(&entry.fleet.name) {
            run.changing = true;
        }
        let (fleet, number, revision) = (entry.fleet.clone(), entry.number, entry.revision);
        let mut event = command.event();
        if entry.handle.is_none() {
            // A new actor is at rest.
            entry.panics.clear();
            (entry.wanted, entry.status.state) = (false, AgentState::Stopped);
            entry.status.reason = Some(command.reason());
            let record = entry.record();
            self.rebuild(&agent, ctx);
            match command {
                Command::Stop | Command::Drain => return Box::pin(async move { Ok(record) }),
                Command::Start | Command::Restart | Command::Release => event = AgentEvent::Start,
                Command::Pause => {}
            }
        }
        if command.is_to_run() {
            self.forgive(&fleet.name);
        }
        let Some(handle) = self.agents.get(&agent).and_then(|entry| entry.handle.clone()) else {
            return Box::pin(async move { Err(SupervisorError::Unreachable { agent }) });
        };
        Box::pin(async move {
            let answer = handle.order(event, Some(command.reason())).await;
            let status = answer.map_err(|illegal| match illegal {
                Some(illegal) => {
                    SupervisorError::WrongMoment { agent, state: illegal.state, command }
                }
                None => SupervisorError::Unreachable { agent },
            })?;
            let panics = restart::History::default();
            let handle = Some(handle);
            let (wanted, leaving, starting) = (true, false, false);
            let entry = Entry {
                fleet,
                number,
                handle,
                status,
                panics,
                wanted,
                revision,
                leaving,
                starting,
            };
            Ok(entry.record())
        })
    }
}
