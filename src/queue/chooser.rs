//! When this host chooses among tasks that need something, or that are limited. Pure.
//!
//! A choice takes a lock that all hosts share, so none is made without a reason: a task came that
//! needs something, something was freed or changed, time has passed that a limit or a pause asked
//! for, or it is time to look anyway. A fleet that chose and left tasks waiting chooses again when
//! there is such a reason, and not before.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{FleetName, QueueName},
    store::admission::{Claimed, Gate, Memory},
};

/// Of so many polls one is for fleets that know of nothing to choose: a notice may be lost.
const RARE: u32 = 10;

/// What this host knows of tasks that are chosen, fleet by fleet.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    fleets: BTreeMap<FleetName, Standing>,
    polls: u32,
}

#[derive(Debug)]
struct Standing {
    queues: Vec<QueueName>,
    /// From this priority on there is no reason to choose, or none since the last choice began.
    clean_from: Option<i16>,
    /// From which priority on the choice under way looks.
    choosing_from: Option<i16>,
    /// Tasks are known to wait that could not begin.
    waiting: bool,
    /// Queues that plain claims give nothing of, when it was last asked.
    limited: BTreeSet<QueueName>,
    /// The last choice gave out something, so the next one will hardly be in vain.
    is_fruitful: bool,
    memory: Memory,
}

/// There is a reason to choose.
#[derive(Debug)]
pub(super) struct Reason {
    /// What is remembered of the choice before.
    pub(super) memory: Memory,
    /// The queues whose plain tasks are to be found, if that need not be asked first.
    pub(super) limited: Option<BTreeSet<QueueName>>,
}

/// What a claim found, as far as it chose.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) gate: Gate,
    /// Something was given out by choice.
    pub(super) gave: bool,
    /// What was chosen, if there was anything to choose among.
    pub(super) claimed: Option<Claimed>,
    /// What was remembered, if nothing was chosen.
    pub(super) memory: Memory,
}

impl Standing {
    fn new(queues: &[QueueName]) -> Self {
        Self {
            queues: queues.to_vec(),
            // Nothing is known yet.
            clean_from: None,
            choosing_from: None,
            waiting: false,
            limited: BTreeSet::new(),
            is_fruitful: false,
            memory: Memory::default(),
        }
    }
}

impl Chooser {
    pub(super) fn new<'a>(
        fleets: impl IntoIterator<Item = (&'a FleetName, &'a Vec<QueueName>)>,
    ) -> Self {
        let fleets = fleets.into_iter().map(|(name, queues)| (name.clone(), Standing::new(queues)));
        Self { fleets: fleets.collect(), polls: 0 }
    }

    /// Chooses for these fleets from now on, and for no other: a choice that is still under way for
    /// one that is gone is told to nobody.
    pub(super) fn serve(&mut self, fleets: &[(FleetName, Vec<QueueName>)]) {
        self.fleets.retain(|name, _| fleets.iter().any(|(served, _)| served == name));
        for (name, queues) in fleets {
            match self.fleets.get_mut(name) {
                Some(standing) if standing.queues == *queues => {}
                Some(standing) => {
                    let choosing_from = standing.choosing_from;
                    *standing = Standing { choosing_from, ..Standing::new(queues) };
                }
                None => _ = self.fleets.insert(name.clone(), Standing::new(queues)),
            }
        }
    }

    /// A task of `queue` came that needs something; of any if `None`, or who knows what changed.
    pub(super) fn wake(&mut self, queue: Option<&QueueName>) {
        for standing in self.fleets.values_mut() {
            if queue.is_none_or(|queue| standing.queues.contains(queue)) {
                standing.clean_from = None;
            }
        }
    }

    /// A plain task of `queue` came; of any if `None`. Returns whether that is a reason to choose.
    pub(super) fn plain(&mut self, queue: Option<&QueueName>) -> bool {
        let mut any = false;
        for standing in self.fleets.values_mut() {
            let limited = &standing.limited;
            if queue.map_or(!limited.is_empty(), |queue| limited.contains(queue)) {
                standing.clean_from = None;
                any = true;
            }
        }
        any
    }

    /// Something was freed. Returns the queues of the fleets for which that may matter.
    pub(super) fn freed(&mut self) -> BTreeSet<QueueName> {
        let mut concerned = BTreeSet::new();
        for standing in self.fleets.values_mut() {
            standing.clean_from = None;
            if standing.waiting || standing.choosing_from.is_some() {
                concerned.extend(standing.queues.iter().cloned());
            }
        }
        concerned
    }

    /// It is time to look, though nobody said anything.
    pub(super) fn poll(&mut self) {
        self.polls = (self.polls + 1) % RARE;
        for standing in self.fleets.values_mut() {
            if standing.waiting || self.polls == 0 {
                standing.clean_from = None;
            }
        }
    }

    /// A claim for `fleet` is to be sent, of tasks from the priority `floor` on: why and by what it is
    /// to choose, if it is.
    pub(super) fn begin(&mut self, fleet: &FleetName, floor: i16) -> Option<Reason> {
        let standing = self.fleets.get_mut(fleet)?;
        if standing.clean_from.is_some_and(|from| from <= floor) {
            return None;
        }
        standing.clean_from = Some(floor);
        standing.choosing_from = Some(floor);
        let limited = standing.is_fruitful.then(|| standing.limited.clone());
        Some(Reason { memory: std::mem::take(&mut standing.memory), limited })
    }

    /// The choice of `fleet` came back; `all` says that every agent was given a task. Returns
    /// whether it is to choose again at once.
    pub(super) fn done(&mut self, fleet: &FleetName, found: Found, all: bool) -> bool {
        let Some(standing) = self.fleets.get_mut(fleet) else { return false };
        let floor = standing.choosing_from.take().unwrap_or(i16::MIN);
        standing.limited = found.gate.limited;
        standing.is_fruitful = found.gave;
        let Some(claimed) = found.claimed else {
            // Nothing waits, of whatever priority.
            standing.waiting = false;
            standing.memory = found.memory;
            standing.clean_from = standing.clean_from.map(|_| i16::MIN);
            return false;
        };
        // What waits and was not found is in the hands of somebody who may let go of it; where only
        // higher priorities were looked for, it may just be of a lower one.
        let is_left = found.gate.waiting && !found.gave && floor == i16::MIN;
        standing.waiting = claimed.blocked || is_left || standing.waiting && floor > i16::MIN;
        standing.memory = claimed.memory;
        // With every agent at work nobody knows what is left.
        if all || claimed.more {
            standing.clean_from = None;
        }
        claimed.more
    }

    /// The choice of `fleet` failed: it is as due as before.
    pub(super) fn failed(&mut self, fleet: &FleetName) {
        if let Some(standing) = self.fleets.get_mut(fleet)
            && standing.choosing_from.take().is_some()
        {
            standing.clean_from = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        name.parse().unwrap()
    }

    fn chooser() -> (Chooser, FleetName) {
        let fleet: FleetName = "f".parse().unwrap();
        let mut chooser = Chooser::new([(&fleet, &vec![queue("a"), queue("b")])]);
        assert!(chooser.begin(&fleet, i16::MIN).is_some(), "nothing is known at first");
        chooser.done(&fleet, Found::default(), false);
        (chooser, fleet)
    }

    #[test]
    fn after_a_choice_that_gave_something_nobody_asks_first_whether_it_is_worth_it() {
        let (mut chooser, fleet) = chooser();
        chooser.wake(None);
        assert_eq!(chooser.begin(&fleet, i16::MIN).unwrap().limited, None);
        let limited = BTreeSet::from([queue("a")]);
        let gate = Gate { limited: limited.clone(), ..Gate::default() };
        chooser.done(&fleet, Found { gate, gave: true, ..blocked() }, true);
        assert_eq!(chooser.begin(&fleet, i16::MIN).unwrap().limited, Some(limited));
        chooser.done(&fleet, blocked(), true);
        assert_eq!(chooser.begin(&fleet, i16::MIN).unwrap().limited, None);
    }

    fn blocked() -> Found {
        let claimed = Claimed { blocked: true, ..Claimed::default() };
        Found { claimed: Some(claimed), ..Found::default() }
    }

    #[test]
    fn nobody_chooses_without_a_reason() {
        let (mut chooser, fleet) = chooser();
        assert!(chooser.begin(&fleet, i16::MIN).is_none());
        chooser.wake(Some(&queue("other")));
        chooser.plain(Some(&queue("a")));
        assert!(chooser.begin(&fleet, i16::MIN).is_none());
        chooser.wake(Some(&queue("a")));
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        assert!(!chooser.done(&fleet, blocked(), false));
        assert!(chooser.begin(&fleet, i16::MIN).is_none(), "blocked: not before something changes");
        chooser.poll();
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
    }

    #[test]
    fn what_waits_and_could_not_be_found_is_looked_for_at_the_next_poll() {
        let (mut chooser, fleet) = chooser();
        chooser.wake(None);
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        let gate = Gate { waiting: true, ..Gate::default() };
        let nothing = Found { gate, claimed: Some(Claimed::default()), ..Found::default() };
        assert!(!chooser.done(&fleet, nothing, false));
        assert!(chooser.begin(&fleet, i16::MIN).is_none(), "not at once");
        chooser.poll();
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        chooser.done(&fleet, Found::default(), false);
        chooser.poll();
        assert!(chooser.begin(&fleet, i16::MIN).is_none(), "nothing waits any more");
    }

    #[test]
    fn what_was_not_looked_at_is_looked_at_later() {
        let (mut chooser, fleet) = chooser();
        chooser.wake(None);
        assert!(chooser.begin(&fleet, 1).is_some());
        chooser.done(&fleet, blocked(), false);
        assert!(chooser.begin(&fleet, 1).is_none());
        assert!(chooser.begin(&fleet, 0).is_some(), "plain tasks went before those");
        chooser.done(&fleet, Found::default(), false);
        assert!(chooser.begin(&fleet, i16::MIN).is_none(), "nothing waits at all");
    }

    #[test]
    fn plain_tasks_of_a_limited_queue_are_a_reason() {
        let (mut chooser, fleet) = chooser();
        chooser.wake(None);
        chooser.begin(&fleet, i16::MIN);
        let gate = Gate { limited: BTreeSet::from([queue("a")]), ..Gate::default() };
        chooser.done(&fleet, Found { gate, ..Found::default() }, false);
        chooser.plain(Some(&queue("b")));
        assert!(chooser.begin(&fleet, i16::MIN).is_none());
        chooser.plain(Some(&queue("a")));
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
    }

    #[test]
    fn a_fleet_that_is_gone_has_no_part_in_it() {
        let (mut chooser, fleet) = chooser();
        chooser.wake(None);
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        let other: FleetName = "g".parse().unwrap();
        chooser.serve(&[(other.clone(), vec![queue("a")])]);
        assert_eq!(chooser.fleets.len(), 1);
        assert!(!chooser.done(&fleet, blocked(), false), "its last choice comes back");
        chooser.failed(&fleet);
        assert!(chooser.begin(&fleet, i16::MIN).is_none());
        assert!(chooser.begin(&other, i16::MIN).is_some());
        // One that comes back begins anew.
        chooser.serve(&[(fleet.clone(), vec![queue("a")])]);
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
    }

    #[test]
    fn what_is_freed_concerns_those_who_wait_or_choose() {
        let (mut chooser, fleet) = chooser();
        assert!(chooser.freed().is_empty(), "nobody waits");
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        assert_eq!(chooser.freed().len(), 2, "the choice may have been too early");
        chooser.done(&fleet, blocked(), false);
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        chooser.done(&fleet, blocked(), false);
        assert_eq!(chooser.freed(), BTreeSet::from([queue("a"), queue("b")]));
    }

    #[test]
    fn a_full_claim_or_a_failed_one_leaves_it_due() {
        let (mut chooser, fleet) = chooser();
        chooser.wake(None);
        chooser.begin(&fleet, i16::MIN);
        chooser.done(&fleet, blocked(), true);
        assert!(chooser.begin(&fleet, i16::MIN).is_some(), "agents were short");
        chooser.failed(&fleet);
        assert!(chooser.begin(&fleet, i16::MIN).is_some());
        chooser.done(&fleet, Found::default(), false);
        chooser.failed(&fleet);
        assert!(chooser.begin(&fleet, i16::MIN).is_none(), "a plain claim failed");
        let polls = (0..RARE).filter(|_| {
            chooser.poll();
            let due = chooser.begin(&fleet, i16::MIN).is_some();
            chooser.done(&fleet, Found::default(), false);
            due
        });
        assert_eq!(polls.count(), 1);
    }
}
