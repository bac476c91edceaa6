//! The moments that all who look after something from time to time have in common: so the program wakes
//! once for all of them.

use std::time::Duration;

/// The longest time between two of them, halved as often as it takes for those who look more often.
const LONGEST: Duration = Duration::from_secs(10);
/// Who looks more often than this looks alone.
const SHORTEST: Duration = Duration::from_millis(150);

/// How long to wait for the next look of somebody who looks every `every`, `since` the beginning: until the
/// last common moment that is not later than that.
pub fn until(since: Duration, every: Duration) -> Duration {
    let mut unit = LONGEST;
    while unit > every {
        unit /= 2;
        if unit < SHORTEST {
            return every;
        }
    }
    let unit = unit.as_nanos();
    let moment = (since + every).as_nanos() / unit * unit;
    // After `since`, as the unit is not longer than `every`.
    let wait = moment.saturating_sub(since.as_nanos());
    Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn those_who_look_at_different_times_look_together() {
        let rows = [
            // The first look is early, the others come with those of the others.
            (ms(1), ms(5_000), ms(4_999)),
            (ms(5_000), ms(5_000), ms(5_000)),
            (ms(5_003), ms(5_000), ms(4_997)),
            (ms(10_000), ms(6_000), ms(5_000)),
            (ms(10_000), ms(7_500), ms(5_000)),
            (ms(10_000), ms(2_500), ms(2_500)),
            (ms(10_000), ms(60_000), ms(60_000)),
            (ms(12_500), ms(1_000), ms(625)),
            (ms(3), ms(20), ms(20)),
        ];
        for (since, every, wait) in rows {
            assert_eq!(until(since, every), wait, "{since:?} {every:?}");
        }
    }

    proptest! {
        #[test]
        fn nobody_looks_later_than_it_wants_to(since in 0_u64..1 << 50, every in 1_u64..1 << 50) {
            let (since, every) = (Duration::from_nanos(since), Duration::from_nanos(every));
            let wait = until(since, every);
            prop_assert!(wait <= every && wait > Duration::ZERO);
        }
    }
}
