//! What holds whatever happens.

use proptest::prelude::*;

use super::*;

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
                    dispatch.offer(&fleet(), agent.clone(), 1);
                    idle.insert(agent);
                }
                1 if idle.remove(&agent) => dispatch.withdraw(&fleet(), &agent),
                2 => if let Some((task, attempt)) = busy.remove(&agent) {
                    prop_assert!(dispatch.ended(task, attempt));
                },
                3 => {
                    dispatch.wake(None);
                    if let Some(claim) = tracked(&mut dispatch, usize::from(number)).pop() {
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
            tracked(&mut dispatch, 100).into_iter().flat_map(|claim| claim.agents).collect();
        prop_assert_eq!(left, idle);
    }

    /// The same of agents that take several: a claim is for every place that they have, and none
    /// gets more than its window.
    #[test]
    fn a_claim_fills_every_place_and_no_more(
        window in 2..4_usize,
        steps in prop::collection::vec((0u8..5, 1u16..6), 0..200),
    ) {
        let mut dispatch = dispatch();
        let (mut under_way, mut next): (Option<Claim>, u128) = (None, 0);
        let mut open = BTreeSet::new();
        let mut given: BTreeMap<AgentName, Vec<(TaskId, Attempt)>> = BTreeMap::new();
        for (step, number) in steps {
            let agent = agent(number);
            match step {
                0 => {
                    dispatch.offer(&fleet(), agent.clone(), window);
                    open.insert(agent);
                }
                1 if open.remove(&agent) => dispatch.withdraw(&fleet(), &agent),
                2 => if let Some((task, attempt)) = given.get_mut(&agent).and_then(Vec::pop) {
                    prop_assert!(dispatch.ended(task, attempt));
                },
                3 => {
                    dispatch.wake(None);
                    if let Some(claim) = tracked(&mut dispatch, usize::from(2 * number)).pop() {
                        prop_assert!(under_way.replace(claim).is_none());
                    }
                }
                4 => if let Some(claim) = under_way.take() {
                    // Any of the places, as a choice may leave some out.
                    let agents = claim.agents.into_iter().skip(usize::from(number % 2));
                    let tasks = agents.map(|agent| { next += 1; assignment(next, agent) });
                    for handout in dispatch.claimed(&fleet(), tasks.collect()) {
                        let Handout::Give(task) = handout else { continue };
                        prop_assert!(open.contains(&task.agent));
                        let of_agent = given.entry(task.agent).or_default();
                        of_agent.push((task.task, task.attempt));
                        prop_assert!(of_agent.len() <= window);
                    }
                },
                _ => {}
            }
            prop_assert_eq!(dispatch.held(), given.values().map(Vec::len).sum::<usize>());
        }
        if under_way.is_some() {
            dispatch.claim_failed(&fleet());
        }
        dispatch.wake(None);
        let mut places: BTreeMap<AgentName, usize> = BTreeMap::new();
        let claims = tracked(&mut dispatch, 100);
        let asked = claims.into_iter().flat_map(|claim| claim.agents);
        asked.for_each(|agent| *places.entry(agent).or_default() += 1);
        let held = |agent: &AgentName| given.get(agent).map_or(0, Vec::len);
        let free = open.into_iter().map(|agent| (window - held(&agent), agent));
        let free: BTreeMap<_, _> = free.filter(|(n, _)| *n > 0).map(|(n, agent)| (agent, n)).collect();
        prop_assert_eq!(places, free);
    }
}
