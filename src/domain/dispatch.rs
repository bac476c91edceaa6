//! Which idle agents tasks are claimed for, and what becomes of what was claimed.
//!
//! At most one claim of a fleet is under way at a time: agents that come free meanwhile are in the
//! next one, so that claims batch by themselves under load. A fleet whose last claim came back
//! short is not asked again until somebody says that there is work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{AgentName, Attempt, FleetName, QueueName, TaskId, task::Assignment};

/// The idle agents, the claims under way and the attempts held by this host.
#[derive(Debug, Default)]
pub struct Dispatch {
    fleets: BTreeMap<FleetName, Serving>,
    held: BTreeMap<TaskId, Held>,
}

#[derive(Debug)]
struct Serving {
    queues: Vec<QueueName>,
    idle: VecDeque<AgentName>,
    claiming: Option<Claiming>,
    /// The last claim came back short, and nobody has said since that there is work.
    dry: bool,
}

#[derive(Debug, Default)]
struct Claiming {
    agents: Vec<AgentName>,
    withdrawn: BTreeSet<AgentName>,
    /// Somebody said that there is work while the claim was under way: it may have missed it.
    woken: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    agent: AgentName,
    attempt: Attempt,
}

/// A claim to send: up to one task for each of `agents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The fleet it is for.
    pub fleet: FleetName,
    /// The queues to take from.
    pub queues: Vec<QueueName>,
    /// Whom the tasks are for.
    pub agents: Vec<AgentName>,
}

/// What becomes of a claimed task.
#[derive(Debug, Clone, PartialEq)]
pub enum Handout {
    /// Its agent is there.
    Give(Assignment),
    /// Its agent left meanwhile: put it back.
    PutBack(Assignment),
}

impl Dispatch {
    /// Serves `queues` with the agents of each fleet.
    pub fn new(fleets: impl IntoIterator<Item = (FleetName, Vec<QueueName>)>) -> Self {
        let serving =
            |queues| Serving { queues, idle: VecDeque::new(), claiming: None, dry: false };
        Self {
            fleets: fleets.into_iter().map(|(name, queues)| (name, serving(queues))).collect(),
            held: BTreeMap::new(),
        }
    }

    /// `agent` of `fleet` is idle. Saying it twice changes nothing.
    pub fn offer(&mut self, fleet: &FleetName, agent: AgentName) {
        let Some(serving) = self.fleets.get_mut(fleet) else { return };
        if let Some(claiming) = &mut serving.claiming
            && claiming.agents.contains(&agent)
        {
            claiming.withdrawn.remove(&agent);
        } else if !serving.idle.contains(&agent) {
            serving.idle.push_back(agent);
        }
    }

    /// `agent` is no longer idle.
    pub fn withdraw(&mut self, fleet: &FleetName, agent: &AgentName) {
        let Some(serving) = self.fleets.get_mut(fleet) else { return };
        serving.idle.retain(|idle| idle != agent);
        if let Some(claiming) = &mut serving.claiming
            && claiming.agents.contains(agent)
        {
            claiming.withdrawn.insert(agent.clone());
        }
    }

    /// There may be work in `queue`; in any of them if `None`.
    pub fn wake(&mut self, queue: Option<&QueueName>) {
        for serving in self.fleets.values_mut() {
            if queue.is_none_or(|queue| serving.queues.contains(queue)) {
                serving.dry = false;
                if let Some(claiming) = &mut serving.claiming {
                    claiming.woken = true;
                }
            }
        }
    }

    /// The claims to send now, for at most `most` agents each; they count as under way from here.
    pub fn claims(&mut self, most: usize) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (fleet, serving) in &mut self.fleets {
            if serving.claiming.is_some() || serving.dry || serving.idle.is_empty() {
                continue;
            }
            let agents: Vec<_> = serving.idle.drain(..serving.idle.len().min(most)).collect();
            serving.claiming = Some(Claiming { agents: agents.clone(), ..Claiming::default() });
            claims.push(Claim { fleet: fleet.clone(), queues: serving.queues.clone(), agents });
        }
        claims
    }

    /// The claim of `fleet` came back with `assignments`.
    pub fn claimed(&mut self, fleet: &FleetName, assignments: Vec<Assignment>) -> Vec<Handout> {
        let Some(serving) = self.fleets.get_mut(fleet) else { return Vec::new() };
        let Some(claiming) = serving.claiming.take() else { return Vec::new() };
        serving.dry = assignments.len() < claiming.agents.len() && !claiming.woken;
        let mut without: BTreeSet<_> =
            claiming.agents.iter().filter(|agent| !claiming.withdrawn.contains(*agent)).collect();
        let mut handouts = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            if without.remove(&assignment.agent) {
                let held = Held { agent: assignment.agent.clone(), attempt: assignment.attempt };
                self.held.insert(assignment.task, held);
                handouts.push(Handout::Give(assignment));
            } else {
                handouts.push(Handout::PutBack(assignment));
            }
        }
        // Whoever got nothing is first in the next claim, in the old order.
        for agent in claiming.agents.iter().rev().filter(|agent| without.contains(agent)) {
            serving.idle.push_front(agent.clone());
        }
        handouts
    }

    /// The claim of `fleet` failed: its agents are idle as before.
    pub fn claim_failed(&mut self, fleet: &FleetName) {
        self.claimed(fleet, Vec::new());
        if let Some(serving) = self.fleets.get_mut(fleet) {
            serving.dry = true;
        }
    }

    /// This host holds an attempt that a host before it gave out.
    pub fn resume(&mut self, assignment: &Assignment) {
        let held = Held { agent: assignment.agent.clone(), attempt: assignment.attempt };
        self.held.insert(assignment.task, held);
    }

    /// The attempt ended. Returns whether this host held it.
    pub fn ended(&mut self, task: TaskId, attempt: Attempt) -> bool {
        let held = self.held.get(&task).is_some_and(|held| held.attempt == attempt);
        if held {
            self.held.remove(&task);
        }
        held
    }

    /// The agent that runs `task` here, and its attempt.
    pub fn holder(&self, task: TaskId) -> Option<(&AgentName, Attempt)> {
        self.held.get(&task).map(|held| (&held.agent, held.attempt))
    }

    /// What `agent` holds.
    pub fn held_by(&self, agent: &AgentName) -> Option<(TaskId, Attempt)> {
        let (task, held) = self.held.iter().find(|(_, held)| held.agent == *agent)?;
        Some((*task, held.attempt))
    }

    /// How many attempts this host holds.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::domain::task::RunTerms;

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn fleet() -> FleetName {
        name("f")
    }

    fn agent(number: u16) -> AgentName {
        AgentName::of(&fleet(), number)
    }

    fn dispatch() -> Dispatch {
        Dispatch::new([(fleet(), vec![name("q")])])
    }

    fn assignment(task: u128, agent: AgentName) -> Assignment {
        Assignment {
            task: TaskId::from_uuid(Uuid::from_u128(task)),
            attempt: Attempt(1),
            failures: 0,
            max_attempts: 1,
            agent,
            queue: name("q"),
            kind: String::new(),
            input: Value::Null,
            timeout: None,
            waited: std::time::Duration::ZERO,
            frees: false,
            terms: RunTerms::default(),
        }
    }

    #[test]
    fn one_claim_serves_all_that_are_idle_and_the_rest_wait_for_the_next() {
        let mut dispatch = dispatch();
        dispatch.offer(&fleet(), agent(1));
        dispatch.offer(&fleet(), agent(1));
        dispatch.offer(&fleet(), agent(2));
        let claims = dispatch.claims(10);
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].agents, [agent(1), agent(2)]);
        dispatch.offer(&fleet(), agent(3));
        assert!(dispatch.claims(10).is_empty(), "one at a time");
        let given = vec![assignment(1, agent(1)), assignment(2, agent(2))];
        assert_eq!(dispatch.claimed(&fleet(), given).len(), 2);
        assert_eq!(dispatch.claims(10)[0].agents, [agent(3)]);
    }

    #[test]
    fn a_dry_queue_is_asked_again_only_when_woken() {
        let mut dispatch = dispatch();
        dispatch.offer(&fleet(), agent(1));
        dispatch.claims(10);
        dispatch.claimed(&fleet(), vec![]);
        assert!(dispatch.claims(10).is_empty());
        dispatch.wake(Some(&name("other")));
        assert!(dispatch.claims(10).is_empty());
        dispatch.wake(Some(&name("q")));
        assert_eq!(dispatch.claims(10).len(), 1);
    }

    #[test]
    fn a_wake_during_a_claim_is_not_missed() {
        let mut dispatch = dispatch();
        dispatch.offer(&fleet(), agent(1));
        dispatch.claims(10);
        dispatch.wake(None);
        dispatch.claimed(&fleet(), vec![]);
        assert_eq!(dispatch.claims(10).len(), 1);
    }

    #[test]
    fn a_task_for_an_agent_that_left_is_put_back() {
        let mut dispatch = dispatch();
        dispatch.offer(&fleet(), agent(1));
        dispatch.claims(10);
        dispatch.withdraw(&fleet(), &agent(1));
        let task = assignment(1, agent(1));
        let handouts = dispatch.claimed(&fleet(), vec![task.clone()]);
        assert_eq!(handouts, [Handout::PutBack(task)]);
        dispatch.wake(None);
        assert!(dispatch.claims(10).is_empty(), "nobody is idle");
        assert_eq!(dispatch.held(), 0);
    }

    #[test]
    fn an_old_attempt_does_not_end_a_newer_one() {
        let mut dispatch = dispatch();
        dispatch.offer(&fleet(), agent(1));
        dispatch.claims(10);
        let newer = Assignment { attempt: Attempt(2), ..assignment(1, agent(1)) };
        dispatch.claimed(&fleet(), vec![newer.clone()]);
        assert!(!dispatch.ended(newer.task, Attempt(1)));
        assert_eq!(dispatch.holder(newer.task), Some((&agent(1), Attempt(2))));
        assert!(dispatch.ended(newer.task, Attempt(2)));
        assert_eq!(dispatch.held_by(&agent(1)), None);
    }

    proptest! {
        /// Whatever happens in whatever order, no agent is given a second task, and no idle agent
        /// is forgotten.
        #[test]
        fn nobody_is_forgotten_and_nobody_gets_two(steps in prop::collection::vec((0u8..5, 1u16..6), 0..200)) {
            let mut dispatch = dispatch();
            let (mut under_way, mut next): (Option<Claim>, u128) = (None, 0);
            let (mut idle, mut busy) = (BTreeSet::new(), BTreeMap::new());
            for (step, number) in steps {
                let agent = agent(number);
                match step {
                    0 if !busy.contains_key(&agent) => {
                        dispatch.offer(&fleet(), agent.clone());
                        idle.insert(agent);
                    }
                    1 if idle.remove(&agent) => dispatch.withdraw(&fleet(), &agent),
                    2 => if let Some((task, attempt)) = busy.remove(&agent) {
                        prop_assert!(dispatch.ended(task, attempt));
                    },
                    3 => {
                        dispatch.wake(None);
                        if let Some(claim) = dispatch.claims(usize::from(number)).pop() {
                            prop_assert!(under_way.replace(claim).is_none());
                        }
                    }
                    4 => if let Some(claim) = under_way.take() {
                        let tasks = claim.agents.into_iter().take(usize::from(number));
                        let tasks = tasks.map(|agent| { next += 1; assignment(next, agent) });
                        for handout in dispatch.claimed(&fleet(), tasks.collect()) {
                            let Handout::Give(task) = handout else { continue };
                            prop_assert!(idle.remove(&task.agent));
                            prop_assert!(busy.insert(task.agent, (task.task, task.attempt)).is_none());
                        }
                    },
                    _ => {}
                }
                prop_assert_eq!(dispatch.held(), busy.len());
            }
            if under_way.is_some() {
                dispatch.claim_failed(&fleet());
            }
            dispatch.wake(None);
            let left: BTreeSet<_> =
                dispatch.claims(100).into_iter().flat_map(|claim| claim.agents).collect();
            prop_assert_eq!(left, idle);
        }
    }
}
