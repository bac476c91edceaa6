//! Which agents tasks are claimed for, and what becomes of what was claimed.
//!
//! Tracked tasks are claimed for agents that are free, by their names. At most one claim of a fleet
//! is under way at a time: agents that come free meanwhile are in the next one, so that claims batch
//! by themselves under load. Plain tasks are claimed a little ahead, and handed out from memory (see
//! `supply`). A higher priority goes first; plain tasks have the priority 0, and take turns with
//! tracked ones of the same. A fleet whose last claim came back short is not asked again until
//! somebody says that there is work.

mod orders;
mod serving;
mod slots;
mod supply;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{AgentName, Attempt, FleetName, QueueName, TaskId, task::Assignment};
pub use orders::{Claim, Handout, RangeClaim};
use serving::{Claiming, PLAIN, Serving, Turn};

/// The agents, the claims under way and the attempts held by this host.
#[derive(Debug, Default)]
pub struct Dispatch {
    fleets: BTreeMap<FleetName, Serving>,
    /// Queues that were found paused, of which nobody has said since that there is work.
    paused: HashSet<QueueName>,
    held: HashMap<TaskId, Held>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    fleet: FleetName,
    agent: AgentName,
    attempt: Attempt,
}

impl Dispatch {
    /// Serves `queues` with the agents of each fleet.
    pub fn new(fleets: impl IntoIterator<Item = (FleetName, Vec<QueueName>)>) -> Self {
        let serving = |(name, queues)| (name, Serving::new(queues));
        Self {
            fleets: fleets.into_iter().map(serving).collect(),
            paused: HashSet::new(),
            held: HashMap::new(),
        }
    }

    /// Serves these queues with these fleets from now on. What is claimed stays claimed; a fleet that
    /// is not named claims no more, and is kept for what its agents still have in hand.
    pub fn serve(&mut self, fleets: Vec<(FleetName, Vec<QueueName>)>) {
        let mut gone: BTreeSet<FleetName> = self.fleets.keys().cloned().collect();
        for (name, queues) in fleets {
            gone.remove(&name);
            match self.fleets.get_mut(&name) {
                Some(serving) if serving.queues == queues => {}
                Some(serving) => {
                    serving.queues = queues;
                    serving.wake();
                }
                None => _ = self.fleets.insert(name, Serving::new(queues)),
            }
        }
        for name in &gone {
            if let Some(serving) = self.fleets.get_mut(name) {
                serving.queues = Vec::new();
            }
        }
    }

    /// `agent` of `fleet` takes tasks, up to `window` at a time. One with a window of 1 says so again
    /// for each task. Saying it twice changes nothing.
    pub fn offer(&mut self, fleet: &FleetName, agent: AgentName, window: usize) {
        let Some(serving) = self.fleets.get_mut(fleet) else { return };
        if let Some(claiming) = &mut serving.claiming {
            claiming.withdrawn.remove(&agent);
        }
        serving.slots.open(agent, window);
    }

    /// `agent` takes no more tasks.
    pub fn withdraw(&mut self, fleet: &FleetName, agent: &AgentName) {
        let Some(serving) = self.fleets.get_mut(fleet) else { return };
        serving.slots.close(agent);
        if let Some(claiming) = &mut serving.claiming
            && claiming.agents.contains(agent)
        {
            claiming.withdrawn.insert(agent.clone());
        }
    }

    /// There may be work in `queue`; in any of them if `None`.
    pub fn wake(&mut self, queue: Option<&QueueName>) {
        self.paused.retain(|paused| queue.is_some_and(|queue| paused != queue));
        self.serving(queue).for_each(Serving::wake);
    }

    /// Tracked tasks came in `queue`: of plain ones it is known as much as before.
    pub fn wake_tracked(&mut self, queue: &QueueName) {
        self.serving(Some(queue)).for_each(Serving::wake_tracked);
    }

    /// As [`Self::wake`] for all queues, where nobody has said so: a fleet that finds no plain task
    /// needs a single claim for the tracked ones then.
    pub fn look(&mut self) {
        self.wake(None);
        for serving in self.fleets.values_mut() {
            serving.looking = true;
        }
    }

    /// There are new plain tasks in `queue`. Returns whether that is a reason to claim.
    pub fn wake_plain(&mut self, queue: &QueueName) -> bool {
        let open = !self.paused.contains(queue);
        if open {
            self.serving(Some(queue)).for_each(|serving| serving.supply.wake());
        }
        open
    }

    /// `queue` is paused: new plain tasks are no reason to claim, until somebody wakes it. Returns
    /// whether that was not known.
    pub fn pause(&mut self, queue: &QueueName) -> bool {
        self.paused.insert(queue.clone())
    }

    /// It is time for `fleet` to ask again for plain tasks, which somebody else had locked.
    pub fn range_unlocked(&mut self, fleet: &FleetName) {
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.supply.unlock();
        }
    }

    fn serving(&mut self, queue: Option<&QueueName>) -> impl Iterator<Item = &mut Serving> {
        let serves =
            move |serving: &&mut Serving| queue.is_none_or(|queue| serving.queues.contains(queue));
        self.fleets.values_mut().filter(serves)
    }

    /// The claims of tracked tasks to send now, for at most `most` agents each; they count as under
    /// way from here.
    pub fn claims(&mut self, most: usize) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (fleet, serving) in &mut self.fleets {
            let floor = serving.floor();
            if serving.queues.is_empty()
                || serving.claiming.is_some()
                || serving.is_dry_from(floor)
                || serving.asks_first()
            {
                continue;
            }
            // Where plain tasks may wait too, they get the other places.
            let agents = serving.slots.reserve(most, floor > i16::MIN);
            if agents.is_empty() {
                continue;
            }
            serving.turn = Turn::Plain;
            let claiming = Claiming { agents: agents.clone(), floor, ..Claiming::default() };
            serving.claiming = Some(claiming);
            let (fleet, queues) = (fleet.clone(), serving.queues.clone());
            claims.push(Claim { fleet, queues, agents, floor });
        }
        claims
    }

    /// The claims of plain tasks to send now, for at most `most` each; they count as under way from
    /// here.
    pub fn range_claims(&mut self, most: usize) -> Vec<RangeClaim> {
        let mut claims = Vec::new();
        for (fleet, serving) in self.fleets.iter_mut().filter(|(_, it)| !it.queues.is_empty()) {
            if let Some(most) = serving.supply.claim(serving.slots.free(), most) {
                let (fleet, queues) = (fleet.clone(), serving.queues.clone());
                claims.push(RangeClaim { fleet, queues, most });
            }
        }
        claims
    }

    /// The claim of tracked tasks of `fleet` came back with `assignments`.
    pub fn claimed(&mut self, fleet: &FleetName, assignments: Vec<Assignment>) -> Vec<Handout> {
        let Some(serving) = self.fleets.get_mut(fleet) else { return Vec::new() };
        let Some(claiming) = serving.claiming.take() else { return Vec::new() };
        if assignments.len() < claiming.agents.len() && !claiming.woken {
            serving.dry_from = Some(claiming.floor);
        }
        // Their places, as often as they stand there.
        let mut places: BTreeMap<&AgentName, usize> = BTreeMap::new();
        claiming.agents.iter().for_each(|agent| *places.entry(agent).or_default() += 1);
        let mut handouts = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            let place = places.get_mut(&assignment.agent).filter(|left| **left > 0);
            let has_place = place.map(|left| *left -= 1).is_some();
            serving.slots.unreserve(&assignment.agent, true);
            if has_place
                && !claiming.withdrawn.contains(&assignment.agent)
                && serving.slots.is_open(&assignment.agent)
            {
                serving.slots.gave(&assignment.agent, 1);
                self.held.insert(assignment.task, Held::of(fleet, &assignment));
                handouts.push(Handout::Give(assignment));
            } else {
                handouts.push(Handout::PutBack(assignment));
            }
        }
        // Whoever got nothing is first in the next claim, in the old order.
        let given: BTreeSet<&AgentName> = handouts.iter().map(Handout::agent).collect();
        for agent in claiming.agents.iter().rev() {
            if let Some(left) = places.get_mut(agent).filter(|left| **left > 0) {
                *left -= 1;
                serving.slots.unreserve(agent, given.contains(agent));
            }
        }
        // Who could take more than one has not been listed since.
        claiming.agents.iter().for_each(|agent| serving.slots.list(agent));
        handouts
    }

    /// The claim of tracked tasks of `fleet` failed: its agents are free as before.
    pub fn claim_failed(&mut self, fleet: &FleetName) {
        self.claimed(fleet, Vec::new());
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.dry_from = Some(i16::MIN);
        }
    }

    /// The claim of `asked` plain tasks of `fleet` came back: a range of `span` with these tasks.
    pub fn range_claimed(
        &mut self,
        fleet: &FleetName,
        asked: usize,
        span: usize,
        tasks: Vec<Assignment>,
    ) {
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.looking = false;
            serving.supply.claimed(asked, span, tasks);
            // The next look is for tracked ones, without a detour.
            if !serving.supply.may_have_more() {
                serving.turn = Turn::Tracked;
            }
        }
    }

    /// The claim of plain tasks of `fleet` found what waits locked by somebody else.
    pub fn range_locked(&mut self, fleet: &FleetName) {
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.looking = false;
            serving.supply.locked();
        }
    }

    /// The claim of plain tasks of `fleet` failed.
    pub fn range_claim_failed(&mut self, fleet: &FleetName) {
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.looking = false;
            serving.supply.failed();
        }
    }

    /// The fleet that could take new plain tasks of `queue` at once, before anybody else, and how
    /// many.
    pub fn direct(&self, queue: &QueueName) -> Option<(FleetName, usize)> {
        let serves = |serving: &&Serving| serving.queues.contains(queue);
        if self.paused.contains(queue) {
            return None;
        }
        let waits =
            |serving: &Serving| !serving.supply.is_spent() || !serving.is_dry_from(PLAIN + 1);
        if self.fleets.values().filter(serves).any(waits) {
            return None;
        }
        let mut free = self
            .fleets
            .iter()
            .filter(|(_, serving)| serving.queues.contains(queue))
            .map(|(name, serving)| (name, serving.slots.free()));
        let (name, free) = free.find(|(_, free)| *free > 0)?;
        Some((name.clone(), free))
    }

    /// Plain tasks were claimed for `fleet` as they were submitted.
    pub fn submitted(&mut self, fleet: &FleetName, tasks: Vec<Assignment>) {
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.supply.add(tasks);
        }
    }

    /// The plain tasks to hand out now; they are held by their agents from here.
    pub fn hand_out(&mut self) -> Vec<(AgentName, Vec<Assignment>)> {
        let mut handouts = Vec::new();
        for (fleet, serving) in &mut self.fleets {
            // Not before it is known that nothing more urgent waits.
            if !serving.is_dry_from(PLAIN + 1) {
                continue;
            }
            let mut served = Vec::new();
            while serving.supply.waiting() > 0 {
                let Some((agent, share)) = serving.slots.share(serving.supply.waiting()) else {
                    // Who has got a share may have room for more of what nobody else could take.
                    if served.is_empty() {
                        break;
                    }
                    served.drain(..).for_each(|agent| serving.slots.list(&agent));
                    continue;
                };
                let mut tasks: Vec<_> = serving.supply.take(share).collect();
                for task in &mut tasks {
                    task.agent = agent.clone();
                    self.held.insert(task.task, Held::of(fleet, task));
                }
                serving.slots.gave(&agent, tasks.len());
                serving.turn = Turn::Tracked;
                served.push(agent.clone());
                handouts.push((agent, tasks));
            }
            served.iter().for_each(|agent| serving.slots.list(agent));
        }
        handouts
    }

    /// What was claimed for agents that are all at work, and have ended nothing since this was asked
    /// last; all of it where a fleet has no agents any longer.
    pub fn stalled(&mut self) -> Vec<Assignment> {
        let mut stalled = Vec::new();
        for serving in self.fleets.values_mut() {
            if !serving.slots.any_stays() {
                stalled.extend(serving.supply.empty());
            } else if serving.slots.free() == 0 && serving.claiming.is_none() {
                // A claim under way keeps agents for itself, and they are free again in a moment.
                stalled.extend(serving.supply.stalled());
            }
        }
        stalled
    }

    /// What was claimed and not handed out.
    pub fn unclaim(&mut self) -> Vec<Assignment> {
        self.fleets.values_mut().flat_map(|serving| serving.supply.empty()).collect()
    }

    /// This host holds an attempt that a host before it gave out, to an agent of `fleet`.
    pub fn resume(&mut self, fleet: &FleetName, assignment: &Assignment) {
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.slots.gave(&assignment.agent, 1);
        }
        self.held.insert(assignment.task, Held::of(fleet, assignment));
    }

    /// The attempt ended. Returns whether this host held it.
    pub fn ended(&mut self, task: TaskId, attempt: Attempt) -> bool {
        if self.held.get(&task).is_none_or(|held| held.attempt != attempt) {
            return false;
        }
        if let Some(held) = self.held.remove(&task)
            && let Some(serving) = self.fleets.get_mut(&held.fleet)
        {
            serving.slots.ended(&held.agent);
            serving.supply.ended();
        }
        true
    }

    /// The attempt ended before its agent was given it: that one is as free as before.
    pub fn spared(&mut self, task: TaskId, attempt: Attempt) {
        let held = self.held.get(&task).filter(|held| held.attempt == attempt);
        let agent = held.map(|held| (held.fleet.clone(), held.agent.clone()));
        if let Some((fleet, agent)) = agent
            && self.ended(task, attempt)
            && let Some(serving) = self.fleets.get_mut(&fleet)
        {
            serving.slots.spared(&agent);
        }
    }

    /// The agent that runs `task` here, and its attempt.
    pub fn holder(&self, task: TaskId) -> Option<(&AgentName, Attempt)> {
        self.held.get(&task).map(|held| (&held.agent, held.attempt))
    }

    /// What `agent` holds.
    pub fn held_by(&self, agent: &AgentName) -> Vec<(TaskId, Attempt)> {
        let of_agent = self.held.iter().filter(|(_, held)| held.agent == *agent);
        of_agent.map(|(task, held)| (*task, held.attempt)).collect()
    }

    /// How many attempts this host holds.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The tasks that are claimed and wait for an agent.
    pub fn buffered(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.fleets.values().flat_map(|serving| serving.supply.tasks())
    }
}

impl Held {
    fn of(fleet: &FleetName, assignment: &Assignment) -> Self {
        Self { fleet: fleet.clone(), agent: assignment.agent.clone(), attempt: assignment.attempt }
    }
}

#[cfg(test)]
mod tests;
