//! Who there is: every agent of every fleet, and where it was last heard to be.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    agent::{AgentHandle, AgentStatus},
    domain::{
        AgentName, FleetName, agent::AgentState, fleet::Fleet, health::FleetStanding,
        record::AgentRecord, restart::History,
    },
};

/// One agent, as the supervisor keeps it.
pub(super) struct Entry {
    pub(super) fleet: Arc<Fleet>,
    /// Its number in the fleet.
    pub(super) number: u16,
    /// `None` while a new actor is waited for, after one panicked.
    pub(super) handle: Option<AgentHandle>,
    pub(super) status: AgentStatus,
    /// The ends of its actors by panic.
    pub(super) panics: History,
    /// Whether it was meant to run when its actor ended.
    pub(super) wanted: bool,
    /// Which definition of its fleet it is of.
    pub(super) revision: u64,
    /// It was asked to leave for the sake of a change.
    pub(super) leaving: bool,
    /// It was told to start, and has told nothing since.
    pub(super) starting: bool,
}

/// Every agent by its name.
#[derive(Default)]
pub(super) struct Registry(BTreeMap<AgentName, Entry>);

impl Registry {
    pub(super) fn insert(&mut self, entry: Entry) {
        self.0.insert(entry.status.agent.clone(), entry);
    }

    pub(super) fn remove(&mut self, agent: &AgentName) -> Option<Entry> {
        self.0.remove(agent)
    }

    /// The agents of one fleet.
    pub(super) fn of<'a>(&'a self, fleet: &'a FleetName) -> impl Iterator<Item = &'a Entry> {
        self.iter().filter(move |entry| entry.fleet.name == *fleet)
    }

    pub(super) fn get(&self, agent: &AgentName) -> Option<&Entry> {
        self.0.get(agent)
    }

    pub(super) fn get_mut(&mut self, agent: &AgentName) -> Option<&mut Entry> {
        self.0.get_mut(agent)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.values_mut()
    }

    /// Whether no agent has, or is about to have, a process or a task.
    pub(super) fn all_at_rest(&self) -> bool {
        self.iter().all(Entry::is_at_rest)
    }

    /// Whether no agent of this fleet has, or is about to have, a process or a task.
    pub(super) fn at_rest(&self, fleet: &FleetName) -> bool {
        self.of(fleet).all(Entry::is_at_rest)
    }

    pub(super) fn agents(&self) -> Vec<AgentRecord> {
        self.iter().map(Entry::record).collect()
    }

    /// How a fleet stands, for what depends on it.
    pub(super) fn standing(&self, fleet: &FleetName) -> FleetStanding {
        let mut standing = FleetStanding::default();
        for entry in self.iter().filter(|entry| entry.fleet.name == *fleet) {
            let status = &entry.status;
            standing.count(status.state, status.generation.0, status.completed);
        }
        standing
    }
}

impl Entry {
    const fn is_at_rest(&self) -> bool {
        matches!(
            self.status.state,
            AgentState::Stopped | AgentState::Quarantined | AgentState::Paused
        )
    }

    pub(super) fn record(&self) -> AgentRecord {
        let status = &self.status;
        let vitals = self.handle.as_ref().map(AgentHandle::vitals);
        AgentRecord {
            name: status.agent.clone(),
            fleet: self.fleet.name.clone(),
            protocol: self.fleet.protocol,
            state: status.state,
            since: status.since,
            ready: status.state.is_ready(),
            reason: status.reason.clone(),
            generation: status.generation,
            adopted: status.adopted,
            pid: status.pid,
            task: status.work.map(|(task, _)| task),
            attempt: status.work.map(|(_, attempt)| attempt),
            progress: vitals.and_then(|vitals| vitals.progress()),
            told: vitals.and_then(|vitals| vitals.told()),
            heard_ms_ago: vitals.filter(|_| status.pid.is_some()).map(|v| v.silent_for()),
            restarts: status.restarts.clone(),
            attempts_ended: status.attempts_ended,
        }
    }
}
