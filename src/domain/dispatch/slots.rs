//! The agents of one fleet, and how many tasks each could take now.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::AgentName;

/// What one agent can take.
#[derive(Debug, Default)]
struct Slot {
    /// How many tasks it may have at a time.
    window: usize,
    /// How many it has.
    held: usize,
    /// For how many a claim is under way.
    reserved: usize,
    /// Whether it takes any now.
    open: bool,
    /// Whether it will take more once it has ended what it has.
    stays: bool,
    /// Whether it stands in the order of the free.
    listed: bool,
}

impl Slot {
    const fn free(&self) -> usize {
        if self.open { self.window.saturating_sub(self.held + self.reserved) } else { 0 }
    }
}

/// The agents of a fleet; the one that has been free longest is first.
#[derive(Debug, Default)]
pub(super) struct Slots {
    agents: BTreeMap<AgentName, Slot>,
    order: VecDeque<AgentName>,
}

impl Slots {
    /// `agent` takes tasks, `window` at a time. Saying it twice changes nothing.
    pub(super) fn open(&mut self, agent: AgentName, window: usize) {
        let slot = self.agents.entry(agent.clone()).or_default();
        (slot.open, slot.stays, slot.window) = (true, true, window.max(1));
        self.list(&agent);
    }

    /// `agent` takes no more.
    pub(super) fn close(&mut self, agent: &AgentName) {
        if let Some(slot) = self.agents.get_mut(agent) {
            (slot.open, slot.stays) = (false, false);
        }
    }

    pub(super) fn is_open(&self, agent: &AgentName) -> bool {
        self.agents.get(agent).is_some_and(|slot| slot.open)
    }

    /// Whether anybody takes tasks, now or once it has ended what it has.
    pub(super) fn any_stays(&self) -> bool {
        self.agents.values().any(|slot| slot.stays)
    }

    /// How many tasks could be taken now.
    pub(super) fn free(&self) -> usize {
        let listed = self.order.iter().filter_map(|agent| self.agents.get(agent));
        listed.map(Slot::free).sum()
    }

    /// Up to `most` places of agents that are free, in turns, or one place of each; a claim is under
    /// way for them from here. The emptiest come first: what holds something for itself should not
    /// stand behind another task of its agent.
    pub(super) fn reserve(&mut self, most: usize, one_each: bool) -> Vec<AgentName> {
        let most = if one_each { most.min(self.order.len()) } else { most };
        let mut reserved: Vec<(usize, AgentName)> = Vec::new();
        while reserved.len() < most {
            let Some(agent) = self.next_free() else { break };
            if let Some(slot) = self.agents.get_mut(&agent) {
                slot.reserved += 1;
                reserved.push((slot.held + slot.reserved, agent.clone()));
            }
            self.list(&agent);
        }
        reserved.sort_by_key(|(behind, _)| *behind);
        reserved.into_iter().map(|(_, agent)| agent).collect()
    }

    /// The claim for `agent` is over. Whoever got nothing is first again if it is told so in the
    /// opposite order.
    pub(super) fn unreserve(&mut self, agent: &AgentName, got: bool) {
        let Some(slot) = self.agents.get_mut(agent) else { return };
        slot.reserved = slot.reserved.saturating_sub(1);
        if got {
            return;
        }
        if slot.listed {
            self.order.retain(|listed| listed != agent);
        }
        slot.listed = slot.free() > 0;
        if slot.listed {
            self.order.push_front(agent.clone());
        }
    }

    /// `agent` has `count` tasks more. One that takes a single task has to say itself when it can
    /// take the next.
    pub(super) fn gave(&mut self, agent: &AgentName, count: usize) {
        let slot = self.agents.entry(agent.clone()).or_default();
        slot.held += count;
        slot.open &= slot.window > 1;
    }

    /// `agent` has ended a task.
    pub(super) fn ended(&mut self, agent: &AgentName) {
        if let Some(slot) = self.agents.get_mut(agent) {
            slot.held = slot.held.saturating_sub(1);
            self.list(agent);
        }
    }

    /// `agent` was never given a task that has ended: it need not say that it is free again.
    pub(super) fn spared(&mut self, agent: &AgentName) {
        if let Some(slot) = self.agents.get_mut(agent) {
            slot.open |= slot.stays;
            self.list(agent);
        }
    }

    /// The next free agent, and its share of `waiting` tasks.
    pub(super) fn share(&mut self, waiting: usize) -> Option<(AgentName, usize)> {
        let agent = self.next_free()?;
        let free = self.agents.get(&agent).map_or(0, Slot::free);
        let fair = waiting.div_ceil(self.order.len() + 1);
        Some((agent, free.min(fair)))
    }

    /// Puts `agent` at the end of the order, if it is free.
    pub(super) fn list(&mut self, agent: &AgentName) {
        let Some(slot) = self.agents.get_mut(agent) else { return };
        if !slot.listed && slot.free() > 0 {
            slot.listed = true;
            self.order.push_back(agent.clone());
        }
    }

    /// Takes the first free agent out of the order.
    fn next_free(&mut self) -> Option<AgentName> {
        while let Some(agent) = self.order.pop_front() {
            let Some(slot) = self.agents.get_mut(&agent) else { continue };
            slot.listed = false;
            if slot.free() > 0 {
                return Some(agent);
            }
        }
        None
    }
}
