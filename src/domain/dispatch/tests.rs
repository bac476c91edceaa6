use std::collections::VecDeque;

use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::domain::task::RunTerms;

mod properties;

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

/// The claims of tracked tasks, once it is known that there are no plain ones.
fn tracked(dispatch: &mut Dispatch, most: usize) -> Vec<Claim> {
    for claim in dispatch.range_claims(10) {
        dispatch.range_claimed(&claim.fleet, claim.most, 0, vec![]);
    }
    dispatch.claims(most)
}

/// It is known that no tracked task goes before the plain ones.
fn no_urgent(dispatch: &mut Dispatch) {
    for claim in dispatch.claims(10) {
        dispatch.claimed(&claim.fleet, vec![]);
    }
}

/// Plain tasks with these numbers.
fn plain(tasks: std::ops::Range<u128>) -> Vec<Assignment> {
    tasks.map(|task| assignment(task, AgentName::nobody())).collect()
}

fn numbers(handouts: &[(AgentName, Vec<Assignment>)]) -> Vec<(&str, Vec<u128>)> {
    let task = |one: &Assignment| one.task.as_uuid().as_u128();
    handouts.iter().map(|(to, given)| (to.as_str(), given.iter().map(task).collect())).collect()
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
        results: None,
        entry: None,
        frees: false,
        terms: RunTerms::default(),
    }
}

#[test]
fn one_claim_serves_all_that_are_idle_and_the_rest_wait_for_the_next() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.offer(&fleet(), agent(2), 1);
    let claims = tracked(&mut dispatch, 10);
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].agents, [agent(1), agent(2)]);
    dispatch.offer(&fleet(), agent(3), 1);
    assert!(tracked(&mut dispatch, 10).is_empty(), "one at a time");
    let given = vec![assignment(1, agent(1)), assignment(2, agent(2))];
    assert_eq!(dispatch.claimed(&fleet(), given).len(), 2);
    assert_eq!(tracked(&mut dispatch, 10)[0].agents, [agent(3)]);
}

#[test]
fn a_dry_queue_is_asked_again_only_when_woken() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    tracked(&mut dispatch, 10);
    dispatch.claimed(&fleet(), vec![]);
    assert!(tracked(&mut dispatch, 10).is_empty());
    dispatch.wake(Some(&name("other")));
    assert!(tracked(&mut dispatch, 10).is_empty());
    dispatch.wake(Some(&name("q")));
    assert_eq!(tracked(&mut dispatch, 10).len(), 1);
}

#[test]
fn tracked_tasks_are_claimed_at_once_where_no_plain_ones_wait() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    let asked = dispatch.range_claims(10)[0].most;
    dispatch.range_claimed(&fleet(), asked, 0, Vec::new());
    dispatch.claims(10);
    dispatch.claimed(&fleet(), vec![]);
    dispatch.wake_tracked(&name("other"));
    assert!(dispatch.claims(10).is_empty());
    dispatch.wake_tracked(&name("q"));
    assert_eq!(dispatch.claims(10)[0].floor, i16::MIN);
    assert!(dispatch.range_claims(10).is_empty());
    dispatch.claimed(&fleet(), vec![]);
    // Where there may be plain ones, those come first that would go before them.
    dispatch.wake(Some(&name("q")));
    assert!(dispatch.claims(10)[0].floor > i16::MIN);
}

#[test]
fn a_wake_during_a_claim_is_not_missed() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    tracked(&mut dispatch, 10);
    dispatch.wake(None);
    dispatch.claimed(&fleet(), vec![]);
    assert_eq!(tracked(&mut dispatch, 10).len(), 1);
}

#[test]
fn a_task_for_an_agent_that_left_is_put_back() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    tracked(&mut dispatch, 10);
    dispatch.withdraw(&fleet(), &agent(1));
    let task = assignment(1, agent(1));
    let handouts = dispatch.claimed(&fleet(), vec![task.clone()]);
    assert_eq!(handouts, [Handout::PutBack(task)]);
    dispatch.wake(None);
    assert!(tracked(&mut dispatch, 10).is_empty(), "nobody is idle");
    assert_eq!(dispatch.held(), 0);
}

#[test]
fn an_agent_that_was_never_given_its_task_is_free_as_before() {
    for window in [1, 2] {
        let mut dispatch = dispatch();
        dispatch.offer(&fleet(), agent(1), window);
        tracked(&mut dispatch, 10);
        let task = assignment(1, agent(1));
        dispatch.claimed(&fleet(), vec![task.clone()]);
        dispatch.spared(task.task, Attempt(2));
        assert_eq!(dispatch.held(), 1, "that is another attempt");
        dispatch.spared(task.task, task.attempt);
        assert_eq!(dispatch.held(), 0);
        dispatch.wake(None);
        assert_eq!(tracked(&mut dispatch, 10)[0].agents, vec![agent(1); window]);
        // One that left meanwhile is not.
        let next = assignment(2, agent(1));
        dispatch.claimed(&fleet(), vec![next.clone()]);
        dispatch.withdraw(&fleet(), &agent(1));
        dispatch.spared(next.task, next.attempt);
        dispatch.wake(None);
        assert!(tracked(&mut dispatch, 10).is_empty());
    }
}

#[test]
fn an_old_attempt_does_not_end_a_newer_one() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    tracked(&mut dispatch, 10);
    let newer = Assignment { attempt: Attempt(2), ..assignment(1, agent(1)) };
    dispatch.claimed(&fleet(), vec![newer.clone()]);
    assert!(!dispatch.ended(newer.task, Attempt(1)));
    assert_eq!(dispatch.holder(newer.task), Some((&agent(1), Attempt(2))));
    assert!(dispatch.ended(newer.task, Attempt(2)));
    assert_eq!(dispatch.held_by(&agent(1)), []);
}

#[test]
fn plain_tasks_are_shared_out_evenly_and_no_agent_gets_more_than_its_window() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 4);
    dispatch.offer(&fleet(), agent(2), 4);
    no_urgent(&mut dispatch);
    let asked = dispatch.range_claims(100).remove(0).most;
    assert_eq!(asked, 8, "as many as the agents could take");
    assert!(dispatch.range_claims(100).is_empty(), "one at a time");
    dispatch.range_claimed(&fleet(), asked, 6, plain(1..7));
    let given = dispatch.hand_out();
    assert_eq!(numbers(&given), [("f-1", vec![1, 2, 3]), ("f-2", vec![4, 5, 6])]);
    assert!(given.iter().all(|(to, tasks)| tasks.iter().all(|task| task.agent == *to)));
    dispatch.submitted(&fleet(), plain(7..20));
    let given = dispatch.hand_out();
    assert_eq!(numbers(&given), [("f-1", vec![7]), ("f-2", vec![8])]);
    assert!(dispatch.ended(given[0].1[0].task, Attempt(1)));
    assert_eq!(numbers(&dispatch.hand_out()), [("f-1", vec![9])]);
    assert_eq!(dispatch.held_by(&agent(2)).len(), 4);
    dispatch.withdraw(&fleet(), &agent(2));
    for (task, attempt) in dispatch.held_by(&agent(2)) {
        dispatch.ended(task, attempt);
    }
    assert!(dispatch.hand_out().is_empty(), "nobody who takes any is free");
    assert_eq!(dispatch.buffered().count(), 10);
}

#[test]
fn an_agent_with_a_window_of_one_says_when_it_takes_the_next() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    no_urgent(&mut dispatch);
    dispatch.submitted(&fleet(), plain(1..3));
    let given = dispatch.hand_out();
    assert_eq!(numbers(&given), [("f-1", vec![1])]);
    dispatch.ended(given[0].1[0].task, Attempt(1));
    assert!(dispatch.hand_out().is_empty());
    dispatch.offer(&fleet(), agent(1), 1);
    assert_eq!(numbers(&dispatch.hand_out()), [("f-1", vec![2])]);
}

#[test]
fn as_much_is_claimed_ahead_as_ends_during_a_claim() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 10);
    no_urgent(&mut dispatch);
    dispatch.range_claims(1_000);
    dispatch.range_claimed(&fleet(), 10, 10, plain(1..11));
    dispatch.hand_out();
    assert!(dispatch.range_claims(1_000).is_empty(), "nobody is free, and nothing has ended");
    for task in plain(1..6) {
        dispatch.ended(task.task, Attempt(1));
    }
    assert_eq!(dispatch.range_claims(1_000)[0].most, 5);
    for task in plain(6..10) {
        dispatch.ended(task.task, Attempt(1));
    }
    dispatch.range_claimed(&fleet(), 5, 5, plain(11..16));
    dispatch.hand_out();
    assert_eq!(dispatch.range_claims(1_000)[0].most, 4 + 8, "four are free, four ended meanwhile");
    dispatch.range_claimed(&fleet(), 12, 12, plain(16..28));
    dispatch.hand_out();
    assert_eq!(dispatch.range_claims(1_000), [], "with long tasks there is nothing to be ahead of");
}

#[test]
fn what_no_agent_takes_goes_back() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    no_urgent(&mut dispatch);
    dispatch.submitted(&fleet(), plain(1..4));
    let given = dispatch.hand_out();
    dispatch.ended(given[0].1[0].task, Attempt(1));
    assert!(dispatch.stalled().is_empty(), "something ended");
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.hand_out();
    assert!(dispatch.stalled().is_empty(), "it has just begun");
    assert_eq!(dispatch.stalled().len(), 1, "its one agent is long at work");
    dispatch.submitted(&fleet(), plain(4..6));
    assert_eq!(dispatch.unclaim().len(), 2);
}

#[test]
fn what_waits_for_a_claim_of_tracked_tasks_does_not_go_back() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    let claim = dispatch.claims(10).remove(0);
    dispatch.submitted(&fleet(), plain(1..2));
    for _ in 0..3 {
        assert!(dispatch.hand_out().is_empty(), "its one agent is claimed for");
        assert!(dispatch.stalled().is_empty());
    }
    dispatch.claimed(&claim.fleet, vec![]);
    assert_eq!(numbers(&dispatch.hand_out()), [("f-1", vec![1])]);
}

#[test]
fn plain_and_tracked_tasks_take_turns() {
    let mut dispatch = dispatch();
    dispatch.submitted(&fleet(), plain(1..5));
    // The priorities of the tracked tasks, in the order in which the database gives them.
    let mut tracked = VecDeque::from([5, 0, 0, 0, -5]);
    let mut order = Vec::new();
    while order.len() < 9 {
        dispatch.offer(&fleet(), agent(1), 1);
        for claim in dispatch.range_claims(10) {
            dispatch.range_claimed(&claim.fleet, claim.most, 0, vec![]);
        }
        if let Some(claim) = dispatch.claims(10).pop() {
            let found = tracked.pop_front_if(|priority| *priority >= claim.floor);
            let task = |_| assignment(100 + order.len() as u128, claim.agents[0].clone());
            let tasks: Vec<_> = found.iter().map(task).collect();
            dispatch.claimed(&fleet(), tasks.clone());
            for (task, priority) in tasks.iter().zip(found) {
                order.push(priority.to_string());
                dispatch.ended(task.task, Attempt(1));
            }
        } else if let Some((_, tasks)) = dispatch.hand_out().pop() {
            order.push("plain".to_owned());
            dispatch.ended(tasks[0].task, Attempt(1));
        }
    }
    let turns = ["5", "plain", "0", "plain", "0", "plain", "0", "plain", "-5"];
    assert_eq!(order, turns);
}

/// What waits is locked by another: what would go after it does not go before it.
#[test]
fn a_locked_lane_is_asked_again_and_counts_as_work_until_then() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    assert_eq!(dispatch.range_claims(10).len(), 1);
    dispatch.range_locked(&fleet());
    assert_eq!(dispatch.range_claims(10), [], "not before it is time");
    assert_eq!(dispatch.claims(10)[0].floor, PLAIN);
    dispatch.claimed(&fleet(), vec![]);
    assert_eq!((dispatch.claims(10), dispatch.direct(&name("q"))), (vec![], None));
    dispatch.range_unlocked(&fleet());
    assert_eq!(dispatch.range_claims(10).len(), 1);
    dispatch.range_claimed(&fleet(), 1, 0, vec![]);
    assert_eq!(dispatch.claims(10)[0].floor, i16::MIN);
}

#[test]
fn a_look_that_finds_nothing_is_two_claims() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 1);
    dispatch.look();
    assert_eq!(dispatch.claims(10), [], "the claim of plain tasks tells what to ask for");
    assert_eq!(dispatch.range_claims(10).len(), 1);
    assert_eq!(dispatch.claims(10), []);
    dispatch.range_claimed(&fleet(), 1, 0, vec![]);
    assert_eq!(dispatch.claims(10)[0].floor, i16::MIN);
    dispatch.claimed(&fleet(), vec![]);
    assert_eq!((dispatch.claims(10).len(), dispatch.range_claims(10).len()), (0, 0));
    // Where somebody says that there is work, it may be urgent: nothing waits for the other.
    dispatch.look();
    dispatch.wake(None);
    assert_eq!(dispatch.claims(10).len(), 1);
    // And where the claim of plain tasks fails, the others are not forgotten.
    dispatch.claimed(&fleet(), vec![]);
    dispatch.look();
    assert_eq!((dispatch.claims(10).len(), dispatch.range_claims(10).len()), (0, 1));
    dispatch.range_claim_failed(&fleet());
    assert_eq!(dispatch.claims(10).len(), 1);
}

#[test]
fn a_submit_goes_straight_to_agents_only_where_nobody_waits() {
    let mut dispatch = dispatch();
    assert_eq!(dispatch.direct(&name("q")), None, "there may be others");
    dispatch.offer(&fleet(), agent(1), 3);
    tracked(&mut dispatch, 1);
    assert_eq!(dispatch.direct(&name("q")), None, "something more urgent may come");
    assert_eq!(dispatch.direct(&name("other")), None);
    dispatch.claimed(&fleet(), vec![]);
    assert_eq!(dispatch.direct(&name("q")), Some((fleet(), 3)));
    dispatch.submitted(&fleet(), plain(1..2));
    assert_eq!(dispatch.direct(&name("q")), None);
    dispatch.hand_out();
    assert_eq!(dispatch.direct(&name("q")), Some((fleet(), 2)));
    dispatch.wake_plain(&name("q"));
    assert_eq!(dispatch.direct(&name("q")), None);
}

#[test]
fn new_tasks_of_a_paused_queue_are_no_reason_to_claim_until_somebody_wakes_it() {
    let mut dispatch = dispatch();
    dispatch.offer(&fleet(), agent(1), 3);
    tracked(&mut dispatch, 1);
    dispatch.claimed(&fleet(), vec![]);
    assert!(dispatch.range_claims(10).is_empty(), "nothing came since the last one");
    assert!(dispatch.pause(&name("q")));
    assert!(!dispatch.pause(&name("q")), "that was known");
    assert!(!dispatch.wake_plain(&name("q")));
    assert_eq!(dispatch.direct(&name("q")), None);
    assert!(dispatch.range_claims(10).is_empty());
    dispatch.wake(Some(&name("other")));
    assert!(!dispatch.wake_plain(&name("q")), "another was woken");
    dispatch.wake(Some(&name("q")));
    assert_eq!(dispatch.range_claims(10).len(), 1);
    assert!(dispatch.wake_plain(&name("q")));
    assert!(dispatch.pause(&name("q")));
    dispatch.look();
    assert!(dispatch.wake_plain(&name("q")), "a poll asks for all");
}
