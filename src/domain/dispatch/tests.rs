use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;

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
        entry: None,
    }
}

#[test]
fn one_claim_serves_all_that_are_idle_and_the_rest_wait_for_the_next() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.offer(&fleet(), agent(2), 1);
    let claims = dispatch.claims(10);
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].agents, [agent(1), agent(2)]);
    dispatch.offer(&fleet(), agent(3), 1);
    assert!(dispatch.claims(10).is_empty(), "one at a time");
    let given = vec![assignment(1, agent(1)), assignment(2, agent(2))];
    assert_eq!(dispatch.claimed(&fleet(), given).len(), 2);
    assert_eq!(dispatch.claims(10)[0].agents, [agent(3)]);
}

#[test]
fn a_dry_queue_is_asked_again_only_when_woken() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
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
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.claims(10);
    dispatch.wake(None);
    dispatch.claimed(&fleet(), vec![]);
    assert_eq!(dispatch.claims(10).len(), 1);
}

#[test]
fn a_task_for_an_agent_that_left_is_put_back() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
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
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.claims(10);
    let newer = Assignment { attempt: Attempt(2), ..assignment(1, agent(1)) };
    dispatch.claimed(&fleet(), vec![newer.clone()]);
    assert!(!dispatch.ended(newer.task, Attempt(1)));
    assert_eq!(dispatch.holder(newer.task), Some((&agent(1), Attempt(2))));
    assert!(dispatch.ended(newer.task, Attempt(2)));
    assert_eq!(dispatch.held_by(&agent(1)), []);
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
                    dispatch.offer(&fleet(), agent.clone(), 1);
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
