use proptest::prelude::*;

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const POLICY: Policy =
    Policy { min: 1, max: 8, up_after: secs(10), down_after: secs(60), cooldown: secs(30) };

const fn look(count: u16, idle: u16, oldest: Option<u64>) -> Look {
    let oldest = match oldest {
        Some(waited) => Some(secs(waited)),
        None => None,
    };
    Look { count, idle, starting: 0, oldest }
}

#[test]
fn a_single_look_is_judged_as_the_table_says() {
    let rows = [
        ("nothing waits, all work", look(4, 0, None), None),
        ("it waits, not for long", look(4, 0, Some(9)), None),
        ("it waits for long", look(4, 0, Some(10)), Some(6)),
        ("by one at least", look(1, 0, Some(10)), Some(2)),
        ("by no more than may be", look(7, 0, Some(99)), Some(8)),
        ("as many as may be", look(8, 0, Some(99)), None),
        ("one is idle: it waits for something else", look(4, 1, Some(99)), None),
        ("some are coming", Look { starting: 1, ..look(4, 0, Some(99)) }, None),
        ("too few by the config", look(0, 0, None), Some(1)),
        ("too many by the config", look(9, 9, None), Some(8)),
    ];
    for (name, look, wanted) in rows {
        assert_eq!(decide(&POLICY, &mut Memory::default(), &look, 5), wanted, "{name}");
    }
    let from_none = Policy { min: 0, ..POLICY };
    let wanted = decide(&from_none, &mut Memory::default(), &look(0, 0, Some(10)), 5);
    assert_eq!(wanted, Some(1));
}

#[test]
fn fewer_only_after_a_long_calm_and_half_of_the_idle_at_a_time() {
    let mut memory = Memory::default();
    let mut at = |second: u64, seen: Look| decide(&POLICY, &mut memory, &seen, second * 1000);
    assert_eq!(at(0, look(8, 6, None)), None);
    assert_eq!(at(59, look(8, 6, Some(4))), None, "a task that came just now is no disturbance");
    assert_eq!(at(60, look(8, 6, None)), Some(5));
    assert_eq!(at(61, look(5, 3, None)), None, "the calm begins anew");
    assert_eq!(at(100, look(5, 3, Some(6))), None, "something waits");
    assert_eq!(at(150, look(5, 3, None)), None);
    assert_eq!(at(209, look(5, 3, None)), None);
    assert_eq!(at(210, look(5, 5, None)), Some(2));
    assert_eq!(at(300, look(2, 2, None)), None);
    assert_eq!(at(360, look(2, 2, None)), Some(1));
    assert_eq!(at(900, look(1, 1, None)), None, "the fewest");
}

#[test]
fn after_a_step_nothing_happens_for_a_while() {
    let mut memory = Memory::default();
    let mut at = |second: u64, seen: Look| decide(&POLICY, &mut memory, &seen, second * 1000);
    assert_eq!(at(0, look(2, 0, Some(20))), Some(3));
    assert_eq!(at(29, look(3, 0, Some(49))), None);
    assert_eq!(at(30, look(3, 0, Some(50))), Some(4));
    memory.changed(40_000);
    assert_eq!(decide(&POLICY, &mut memory, &look(4, 0, Some(60)), 69_000), None);
}

proptest! {
    /// It stays within bounds, and steps are a cooldown apart, unless the bounds ask for one.
    #[test]
    fn steps_are_rare_and_within_bounds(
        seen in prop::collection::vec((0_u16..10, 0_u16..10, 0_u64..40, 1_u64..40), 1..60),
    ) {
        let (mut memory, mut now, mut last, mut count) = (Memory::default(), 0, None, 4_u16);
        for (idle, starting, waited, passed) in seen {
            now += passed * 1000;
            let look = Look {
                count,
                idle: idle.min(count),
                starting,
                oldest: (waited > 0).then(|| secs(waited)),
            };
            if let Some(wanted) = decide(&POLICY, &mut memory, &look, now) {
                prop_assert!((POLICY.min..=POLICY.max).contains(&wanted) && wanted != count);
                if let Some(last) = last {
                    prop_assert!(now - last >= 30_000);
                }
                (last, count) = (Some(now), wanted);
            }
        }
    }
}
