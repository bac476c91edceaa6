//! How the fleets become what is wanted of them: [`rollout::next`] says what to do, and this does it.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::*;
use slog::info;

use super::{
    actor::SupervisorActor,
    handle::SupervisorError,
    registry::Entry,
    scales::{Scale, Scales},
};
use crate::{
    agent::AgentStatus,
    domain::{
        AgentName, FleetName,
        agent::{AgentEvent, AgentState},
        fleet::Fleet,
        order::{self, Dependency},
        record::{FleetRecord, ScaleRecord},
        restart,
        rollout::{self, Member, Move, Share},
    },
};

/// What is wanted of a fleet.
pub(super) struct Run {
    pub(super) fleet: Arc<Fleet>,
    /// How many agents it is to have.
    pub(super) target: u16,
    /// Which definition its agents are to be of; a restart makes a new one, too.
    revision: u64,
    /// How many may be away at once for that.
    share: Share,
    /// The settings name it no longer.
    removed: bool,
    /// What it depends on has come so far, once: its agents may start.
    begun: bool,
    /// It is not yet what is wanted.
    pub(super) changing: bool,
}

impl Run {
    pub(super) fn new(fleet: Fleet, scales: &Scales) -> Self {
        Self {
            target: scales.count_of(&fleet),
            share: fleet.max_unavailable,
            fleet: Arc::new(fleet),
            revision: 0,
            removed: false,
            begun: false,
            changing: true,
        }
    }

    fn record(&self, agents: &super::registry::Registry) -> FleetRecord {
        let fleet = &self.fleet;
        let mut states = BTreeMap::new();
        for entry in agents.of(&fleet.name) {
            *states.entry(entry.status.state).or_default() += 1;
        }
        let members = agents.of(&fleet.name).map(|entry| self.member(entry)).collect::<Vec<_>>();
        let current = |one: &&Member| one.current && !one.leaving && one.number <= self.target;
        let right = u16::try_from(members.iter().filter(current).count()).unwrap_or(u16::MAX);
        let too_many = members.iter().filter(|one| one.number > self.target).count();
        FleetRecord {
            name: fleet.name.clone(),
            protocol: fleet.protocol,
            command: fleet.command.clone(),
            queues: fleet.queues.clone(),
            count: self.target,
            configured: if self.removed { 0 } else { fleet.count },
            scale: fleet.scale.map(|scale| ScaleRecord { min: scale.min, max: scale.max }),
            outdated: (self.target - right.min(self.target))
                .saturating_add(u16::try_from(too_many).unwrap_or(u16::MAX)),
            states,
            ready: agents.standing(&fleet.name).ready,
        }
    }

    fn member(&self, entry: &Entry) -> Member {
        Member {
            number: entry.number,
            // Until it tells otherwise it must not pass for one that rests.
            state: if entry.starting { AgentState::Starting } else { entry.status.state },
            current: entry.revision == self.revision,
            leaving: entry.leaving,
        }
    }
}

impl SupervisorActor {
    pub(super) fn fleet_records(&self) -> Vec<FleetRecord> {
        self.fleets.values().map(|run| run.record(&self.agents)).collect()
    }

    fn fleet_record(&self, name: &FleetName) -> Result<FleetRecord, SupervisorError> {
        let run = self.fleets.get(name).filter(|run| !run.removed);
        let unknown = || SupervisorError::UnknownFleet { fleet: name.clone() };
        run.map(|run| run.record(&self.agents)).ok_or_else(unknown)
    }

    /// Brings a fleet nearer to what is wanted of it, if it is not there yet.
    pub(super) fn steer(&mut self, name: &FleetName, ctx: &mut Context<Self>) {
        if self.closing {
            return;
        }
        let Some(run) = self.fleets.get_mut(name).filter(|run| run.changing) else { return };
        let members: Vec<_> = self.agents.of(name).map(|entry| run.member(entry)).collect();
        let moves = rollout::next(run.target, run.share.of(run.target), &members);
        let is_right = |one: &Member| one.current && !one.leaving;
        if moves.is_empty()
            && members.len() == usize::from(run.target)
            && members.iter().all(is_right)
        {
            run.changing = false;
            run.share = run.fleet.max_unavailable;
            if run.removed {
                self.fleets.remove(name);
                self.heartbeats.remove(name);
            }
            return;
        }
        let mut at_once = false;
        for one in moves {
            at_once |= self.carry_out(name, one, ctx);
        }
        if at_once {
            self.steer(name, ctx);
        }
    }

    /// Whether it is done, and nobody will tell of it.
    fn carry_out(&mut self, name: &FleetName, one: Move, ctx: &mut Context<Self>) -> bool {
        let Some(run) = self.fleets.get(name) else { return false };
        let (fleet, revision, begun) = (run.fleet.clone(), run.revision, run.begun);
        match one {
            Move::Launch(number) => {
                self.add(&fleet, revision, number, ctx);
                false
            }
            Move::Retire(number) => {
                let reason = "its fleet has fewer agents now";
                self.send_away(&AgentName::of(name, number), reason)
            }
            Move::Replace(number) => {
                let reason = "its fleet was changed, or restarted: its successor follows";
                self.send_away(&AgentName::of(name, number), reason)
            }
            Move::Remove(number) => {
                let agent = AgentName::of(name, number);
                if let Some(entry) = self.agents.remove(&agent) {
                    self.past.insert(agent.clone(), entry.status.generation);
                    if let Some(handle) = entry.handle {
                        handle.dismiss();
                    }
                    info!(self.log, "agent removed"; "agent" => %agent);
                }
                true
            }
            Move::Renew(number) | Move::Refit(number) => {
                let agent = AgentName::of(name, number);
                let Some(entry) = self.agents.get_mut(&agent) else { return false };
                (entry.leaving, entry.revision, entry.fleet) = (false, revision, fleet.clone());
                // One of a fleet that still waits starts with the others.
                let start = begun && matches!(one, Move::Renew(_));
                (entry.wanted, entry.starting) = (start || !begun, start);
                match &entry.handle {
                    Some(handle) => {
                        handle.refit(fleet);
                        if start {
                            handle.tell(AgentEvent::Start, None);
                        }
                    }
                    None if start => self.rebuild(&agent, ctx),
                    None => {}
                }
                !start
            }
        }
    }

    /// Launches the agent of this number. It is started, unless it has something to go on with.
    fn add(&mut self, fleet: &Arc<Fleet>, revision: u64, number: u16, ctx: &mut Context<Self>) {
        let mut status = AgentStatus::new(AgentName::of(&fleet.name, number));
        let adopted = self.adopted.remove(&status.agent);
        let is_adopted = adopted.is_some();
        if let Some(adopted) = &adopted {
            status.generation = adopted.generation;
        } else if let Some(generation) = self.past.remove(&status.agent) {
            status.generation = generation;
        }
        let begun = self.fleets.get(&fleet.name).is_some_and(|run| run.begun);
        if !begun && let Some(need) = self.unmet(fleet) {
            status.reason = Some(format!("waits for {need}"));
        }
        let handle = self.launch(fleet, status.clone(), adopted, ctx);
        let starting = begun || is_adopted;
        if begun && !is_adopted {
            handle.tell(AgentEvent::Start, None);
        }
        if let Some(heartbeat) = self.heartbeats.get(&fleet.name) {
            heartbeat.watch(status.agent.clone(), status.generation, handle.vitals().clone());
        }
        self.agents.insert(Entry {
            fleet: fleet.clone(),
            number,
            handle: Some(handle),
            status,
            panics: restart::History::default(),
            wanted: true,
            revision,
            leaving: false,
            starting,
        });
    }

    /// Asks an agent to leave once its attempt has ended. Whether it has left.
    fn send_away(&mut self, agent: &AgentName, reason: &str) -> bool {
        let Some(entry) = self.agents.get_mut(agent) else { return false };
        (entry.leaving, entry.wanted) = (true, false);
        match &entry.handle {
            Some(handle) => {
                handle.tell(AgentEvent::Drain, Some(reason.to_owned()));
                false
            }
            // Its actor is being rebuilt: it has no process.
            None => {
                entry.status.state = AgentState::Stopped;
                true
            }
        }
    }

    /// The first of what a fleet depends on that has not come so far.
    fn unmet(&self, fleet: &Fleet) -> Option<Dependency> {
        order::unmet(&fleet.depends_on, |name| self.agents.standing(name)).cloned()
    }

    /// Starts the agents of fleets for which what they depend on has come so far.
    pub(super) fn begin_what_can(&mut self) {
        if self.closing {
            return;
        }
        let waiting: Vec<Arc<Fleet>> =
            self.fleets.values().filter(|run| !run.begun).map(|run| run.fleet.clone()).collect();
        for fleet in waiting {
            if self.unmet(&fleet).is_some() {
                continue;
            }
            if let Some(run) = self.fleets.get_mut(&fleet.name) {
                run.begun = true;
            }
            if !fleet.depends_on.is_empty() {
                info!(self.log, "fleet starts: what it depends on is there"; "fleet" => %fleet.name);
            }
            for entry in self.agents.iter_mut().filter(|entry| entry.fleet.name == fleet.name) {
                let waits = entry.status.state == AgentState::Stopped && !entry.starting;
                if let (Some(handle), true) = (&entry.handle, waits && entry.wanted) {
                    handle.tell(AgentEvent::Start, None);
                    entry.starting = true;
                }
            }
        }
    }

    /// An agent failed: those go with it whom the strategy of the fleet names.
    pub(super) fn take_along(&self, failed: &Entry) {
        let strategy = failed.fleet.strategy;
        if !strategy.takes_others() {
            // As a rule: then its own restart waits for no look at all the others.
            return;
        }
        for entry in self.agents.of(&failed.fleet.name) {
            if !entry.leaving
                && strategy.concerns(failed.number, entry.number, entry.status.state)
                && let Some(handle) = &entry.handle
            {
                let reason = format!("{} of its fleet failed", failed.status.agent);
                handle.tell(AgentEvent::Restart, Some(reason));
            }
        }
    }

    fn steer_all(&mut self, ctx: &mut Context<Self>) {
        let names: Vec<FleetName> = self.fleets.keys().cloned().collect();
        for name in names {
            self.steer(&name, ctx);
        }
    }
}

/// Be these fleets from now on. Answers with the sizes to be kept.
#[derive(Message)]
#[rtype(result = "Scales")]
pub(super) struct Reshape(pub(super) Vec<Fleet>);

impl Handler<Reshape> for SupervisorActor {
    type Result = MessageResult<Reshape>;

    fn handle(&mut self, Reshape(fleets): Reshape, ctx: &mut Self::Context) -> Self::Result {
        let mut gone: Vec<FleetName> = self.fleets.keys().cloned().collect();
        for fleet in fleets {
            gone.retain(|name| *name != fleet.name);
            let name = fleet.name.clone();
            match self.fleets.get_mut(&name) {
                None => {
                    self.fleets.insert(name.clone(), Run::new(fleet.clone(), &self.scales));
                    self.watch_fleet(&fleet, ctx);
                }
                Some(run) if *run.fleet == fleet && !run.removed => {}
                Some(run) => {
                    let old = std::mem::replace(&mut run.fleet, Arc::new(fleet));
                    // Of one that comes back the agents that have not left yet may be of anything.
                    let replaces = rollout::replaces(&old, &run.fleet);
                    run.revision += u64::from(replaces);
                    run.share = run.fleet.max_unavailable;
                    run.target = self.scales.count_of(&run.fleet);
                    (run.removed, run.changing) = (false, true);
                    let fleet = run.fleet.clone();
                    if !replaces {
                        for entry in self.agents.iter_mut().filter(|one| one.fleet.name == name) {
                            entry.fleet = fleet.clone();
                            if let Some(handle) = &entry.handle {
                                handle.refit(fleet.clone());
                            }
                        }
                    }
                    if old.heartbeat != fleet.heartbeat {
                        self.watch_fleet(&fleet, ctx);
                    }
                }
            }
        }
        for name in gone {
            if let Some(run) = self.fleets.get_mut(&name) {
                (run.target, run.removed, run.changing) = (0, true, true);
            }
        }
        self.scales.retain(self.fleets.values().map(|run| &*run.fleet));
        self.steer_all(ctx);
        self.begin_what_can();
        MessageResult(self.scales.clone())
    }
}

/// Have so many agents. Answers with the fleet, and the sizes to be kept.
#[derive(Message)]
#[rtype(result = "Result<(FleetRecord, Scales), SupervisorError>")]
pub(super) struct Resize {
    pub(super) fleet: FleetName,
    pub(super) count: u16,
}

impl Handler<Resize> for SupervisorActor {
    type Result = Result<(FleetRecord, Scales), SupervisorError>;

    fn handle(&mut self, resize: Resize, ctx: &mut Self::Context) -> Self::Result {
        let Resize { fleet: name, count } = resize;
        self.fleet_record(&name)?;
        let run = self.fleets.get_mut(&name);
        let run = run.ok_or_else(|| SupervisorError::UnknownFleet { fleet: name.clone() })?;
        if let Some(scale) = run.fleet.scale
            && scale.within(count) != count
        {
            let (min, max) = (scale.min, scale.max);
            return Err(SupervisorError::OutOfBounds { fleet: name, count, min, max });
        }
        info!(self.log, "fleet scaled"; "fleet" => %name, "from" => run.target, "to" => count);
        (run.target, run.changing) = (count, true);
        let configured = run.fleet.count;
        self.scales.set(&name, Scale { count, configured });
        self.steer(&name, ctx);
        Ok((self.fleet_record(&name)?, self.scales.clone()))
    }
}

/// Replace every agent, a few at a time.
#[derive(Message)]
#[rtype(result = "Result<FleetRecord, SupervisorError>")]
pub(super) struct Roll {
    pub(super) fleet: FleetName,
    pub(super) share: Option<Share>,
}

impl Handler<Roll> for SupervisorActor {
    type Result = Result<FleetRecord, SupervisorError>;

    fn handle(&mut self, roll: Roll, ctx: &mut Self::Context) -> Self::Result {
        let Roll { fleet: name, share } = roll;
        self.fleet_record(&name)?;
        if let Some(run) = self.fleets.get_mut(&name) {
            (run.revision, run.changing) = (run.revision + 1, true);
            run.share = share.unwrap_or(run.fleet.max_unavailable);
            info!(self.log, "fleet restarts"; "fleet" => %name, "count" => run.share.of(run.target));
        }
        self.steer(&name, ctx);
        self.fleet_record(&name)
    }
}
