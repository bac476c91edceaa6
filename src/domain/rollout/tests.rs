use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use AgentState as S;

const fn member(number: u16, state: AgentState, current: bool, leaving: bool) -> Member {
    Member { number, state, current, leaving }
}

#[test]
fn shares_are_counts_or_parts() {
    let rows = [
        ("1", Some(Share::Count(1)), 10, 1),
        ("25%", Some(Share::Percent(25)), 10, 2),
        ("25%", Some(Share::Percent(25)), 3, 1),
        ("100%", Some(Share::Percent(100)), 3, 3),
        ("200", Some(Share::Count(200)), 3, 200),
        ("0", None, 0, 0),
        ("0%", None, 0, 0),
        ("101%", None, 0, 0),
        ("-1", None, 0, 0),
        ("+1", None, 0, 0),
        ("%", None, 0, 0),
        ("", None, 0, 0),
        ("1.5", None, 0, 0),
        ("70000", None, 0, 0),
    ];
    for (text, share, total, count) in rows {
        assert_eq!(text.parse().ok(), share, "{text}");
        if let Some(share) = share {
            assert_eq!((share.of(total), share.to_string()), (count, text.to_owned()));
        }
    }
}

#[test]
fn only_what_concerns_a_process_replaces_it() {
    let old = crate::domain::adoption::tests::fleet("f", crate::domain::fleet::Protocol::Worker);
    let second = std::time::Duration::from_secs(1);
    type Change = fn(&mut Fleet, std::time::Duration);
    let in_place: [Change; 6] = [
        |fleet, _| fleet.count = 7,
        |fleet, _| fleet.queues = vec!["other".parse().unwrap()],
        |fleet, second| fleet.stop_grace = second,
        |fleet, second| fleet.restart.backoff_min = second,
        |fleet, second| fleet.heartbeat.stale_after = Some(second * 8),
        |fleet, _| fleet.concurrency = Some(3),
    ];
    let replacing: [Change; 6] = [
        |fleet, _| fleet.command.push("-v".to_owned()),
        |fleet, _| _ = fleet.env.insert("A".to_owned(), "b".to_owned()),
        |fleet, _| fleet.prefetch = 2,
        |fleet, _| fleet.limits.cpu = Some(std::time::Duration::from_secs(7)),
        |fleet, second| fleet.heartbeat.every = second * 3,
        |fleet, _| fleet.protocol = crate::domain::fleet::Protocol::Exec,
    ];
    let changed = |change: Change| {
        let mut new = old.clone();
        change(&mut new, second);
        assert_ne!(new, old);
        replaces(&old, &new)
    };
    assert!(!replaces(&old, &old));
    assert!(in_place.into_iter().all(|change| !changed(change)));
    assert!(replacing.into_iter().all(changed));
}

#[test]
fn moves_are_as_the_table_says() {
    let cur = true;
    let old = false;
    type Row = (&'static str, u16, u16, Vec<Member>, Vec<Move>);
    let rows: [Row; 14] = [
        ("nothing to do", 1, 1, vec![member(1, S::Busy, cur, false)], vec![]),
        (
            "more",
            3,
            1,
            vec![member(1, S::Idle, cur, false)],
            vec![Move::Launch(2), Move::Launch(3)],
        ),
        ("fewer", 0, 1, vec![member(1, S::Busy, cur, false)], vec![Move::Retire(1)]),
        ("leaving", 0, 1, vec![member(1, S::Busy, cur, true)], vec![]),
        ("has left", 0, 1, vec![member(1, S::Stopped, cur, true)], vec![Move::Remove(1)]),
        ("rested", 0, 1, vec![member(1, S::Paused, cur, false)], vec![Move::Retire(1)]),
        ("wanted again", 1, 1, vec![member(1, S::Stopped, cur, true)], vec![Move::Renew(1)]),
        (
            "idle ones first",
            2,
            1,
            vec![member(1, S::Busy, old, false), member(2, S::Idle, old, false)],
            vec![Move::Replace(2)],
        ),
        (
            "no more than may be away",
            3,
            1,
            vec![
                member(1, S::Starting, cur, false),
                member(2, S::Idle, old, false),
                member(3, S::Idle, old, false),
            ],
            vec![],
        ),
        (
            "one that is away anyway costs nothing",
            2,
            1,
            vec![member(1, S::Starting, old, false), member(2, S::Idle, old, false)],
            vec![Move::Replace(1)],
        ),
        (
            "one that waits to start again would start as what it was",
            2,
            1,
            vec![member(1, S::Backoff, old, false), member(2, S::Idle, old, false)],
            vec![Move::Replace(1)],
        ),
        (
            "one that failed gets another chance",
            2,
            1,
            vec![member(1, S::Quarantined, old, false), member(2, S::Idle, old, false)],
            vec![Move::Renew(1)],
        ),
        (
            "the new definition fails: the others stay",
            2,
            1,
            vec![member(1, S::Quarantined, cur, false), member(2, S::Idle, old, false)],
            vec![],
        ),
        (
            "what an operator stopped stays so, and is in nobody's way",
            2,
            1,
            vec![member(1, S::Stopped, old, false), member(2, S::Idle, old, false)],
            vec![Move::Refit(1), Move::Replace(2)],
        ),
    ];
    for (name, target, away, members, moves) in rows {
        assert_eq!(next(target, away, &members), moves, "{name}");
    }
}

/// A fleet whose agents do as they are told, sooner or later.
struct World {
    target: u16,
    away: u16,
    members: BTreeMap<u16, Member>,
}

impl World {
    fn steer(&mut self) {
        let members: Vec<_> = self.members.values().copied().collect();
        for step in next(self.target, self.away, &members) {
            match step {
                Move::Launch(n) => {
                    assert!(self.members.insert(n, member(n, S::Starting, true, false)).is_none());
                }
                Move::Retire(n) | Move::Replace(n) => {
                    let one = self.members.get_mut(&n).unwrap();
                    assert!(!one.leaving);
                    one.leaving = true;
                }
                Move::Remove(n) => {
                    assert_eq!(self.members.remove(&n).unwrap().state, S::Stopped);
                }
                Move::Renew(n) => {
                    self.members.insert(n, member(n, S::Starting, true, false)).map_or((), drop)
                }
                Move::Refit(n) => self.members.get_mut(&n).unwrap().current = true,
            }
        }
    }

    /// The `pick`-th agent takes its next step, if it has one.
    fn turn(&mut self, pick: usize) -> bool {
        let able = |one: &Member| match one.state {
            S::Starting | S::Stopping | S::Backoff => true,
            S::Idle | S::Busy => one.leaving,
            S::Paused | S::Quarantined => one.leaving,
            _ => false,
        };
        let all: Vec<u16> =
            self.members.values().filter(|one| able(one)).map(|one| one.number).collect();
        let Some(number) = all.get(pick.checked_rem(all.len()).unwrap_or(0)) else { return false };
        let one = self.members.get_mut(number).unwrap();
        one.state = match (one.state, one.leaving) {
            (S::Starting, false) => S::Idle,
            (S::Backoff, false) => S::Starting,
            (S::Idle | S::Busy | S::Starting, true) => S::Stopping,
            _ => S::Stopped,
        };
        true
    }

    /// How many there are to be at any time, come what may.
    fn floor(&self) -> usize {
        let resting = |one: &&Member| one.number <= self.target && one.rests();
        let resting = self.members.values().filter(resting).count();
        usize::from(self.target).saturating_sub(resting + usize::from(self.away))
    }

    fn there(&self) -> usize {
        self.members.values().filter(|one| one.number <= self.target && one.is_there()).count()
    }
}

fn any_member() -> impl Strategy<Value = (AgentState, bool)> {
    let states = [S::Stopped, S::Starting, S::Idle, S::Busy, S::Backoff, S::Quarantined, S::Paused];
    (prop::sample::select(states.to_vec()), any::<bool>())
}

proptest! {
    /// However agents come and go, a change ends, and it never costs more agents than it may.
    #[test]
    fn every_change_ends_and_costs_no_more_than_it_may(
        seen in prop::collection::vec(any_member(), 0..12),
        target in 0_u16..12,
        away in 1_u16..5,
        picks in prop::collection::vec(any::<usize>(), 400),
    ) {
        let members = seen.iter().enumerate().map(|(at, (state, current))| {
            let number = u16::try_from(at + 1).unwrap();
            (number, member(number, *state, *current, false))
        });
        let mut world = World { target, away, members: members.collect() };
        let floor = world.floor();
        let mut least = world.there().min(floor);
        for pick in picks {
            world.steer();
            prop_assert!(world.there() >= least, "{:?}", world.members);
            if !world.turn(pick) {
                break;
            }
            least = least.max(world.there().min(floor));
        }
        world.steer();
        prop_assert!(!world.turn(0));
        prop_assert_eq!(world.members.len(), usize::from(target));
        for one in world.members.values() {
            let failed = one.state == S::Quarantined;
            prop_assert!(one.rests() || one.is_there() || failed, "{one:?}");
            prop_assert!(one.current || world.there() < usize::from(target), "{one:?}");
        }
    }
}
