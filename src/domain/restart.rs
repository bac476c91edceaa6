//! When a process that ended is started again, and when it is given up.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::Millis;

/// Which ends of a process lead to a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Any end.
    Always,
    /// An end with a status other than 0, by a signal, or at the host's hand for a fault.
    OnFailure,
    /// No end.
    Never,
}

/// The restart policy of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Which ends lead to a new process.
    pub when: When,
    /// The wait after the first failure; it doubles with each further one.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// More failures than this within `window` put the agent into quarantine.
    pub max_restarts: u32,
    /// The window of `max_restarts`.
    pub window: Duration,
    /// A process that lived this long makes the backoff begin anew.
    pub stable_after: Duration,
}

/// What is remembered of an agent's failures: enough to decide, and no more than the window holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    failed_at: VecDeque<Millis>,
    in_a_row: u32,
}

/// What to do about an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start a new process now.
    Again,
    /// Start a new process after this wait (before jitter).
    After(Duration),
    /// Leave it ended: the policy asks for no new process.
    Leave,
    /// Give it up: it failed more often than the policy's intensity allows.
    Quarantine {
        /// How many failures fell into the window.
        failures: u32,
    },
}

impl History {
    /// Forgets everything, as when an operator releases the agent.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many failures in a row there were without a stable time between them.
    pub const fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Records the end of a process and decides what follows.
    ///
    /// `lived` is how long it ran. A clean end (`failed` is false) is no failure, but one that
    /// comes before `stable_after` still waits `backoff_min`, so that a program that exits with 0
    /// at once can't spin.
    pub fn ended(
        &mut self,
        policy: &Policy,
        failed: bool,
        lived: Duration,
        now: Millis,
    ) -> Decision {
        let stable = lived >= policy.stable_after;
        if stable {
            self.in_a_row = 0;
        }
        if !failed {
            return match policy.when {
                When::Always if stable => Decision::Again,
                When::Always => after(policy.backoff_min),
                When::OnFailure | When::Never => Decision::Leave,
            };
        }
        if policy.when == When::Never {
            return Decision::Leave;
        }
        let window = millis(policy.window);
        while self.failed_at.front().is_some_and(|at| now.saturating_sub(*at) > window) {
            self.failed_at.pop_front();
        }
        self.failed_at.push_back(now);
        let failures = u32::try_from(self.failed_at.len()).unwrap_or(u32::MAX);
        if failures > policy.max_restarts {
            return Decision::Quarantine { failures };
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        after(backoff(policy.backoff_min, policy.backoff_max, self.in_a_row))
    }
}

/// A new process after this wait: now, where there is none.
const fn after(wait: Duration) -> Decision {
    if wait.is_zero() { Decision::Again } else { Decision::After(wait) }
}

/// The wait after the `failures`-th failure in a row: `min` doubled each time, `max` at the most.
/// No failure, no wait.
pub fn backoff(min: Duration, max: Duration, failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => 2u32.checked_pow(n - 1).and_then(|f| min.checked_mul(f)).map_or(max, |d| d.min(max)),
    }
}

/// Spreads `delay` to between half of it and the whole, so that what failed together does not come
/// back together. `dice` is a number in `0.0..1.0` from the caller.
pub fn jittered(delay: Duration, dice: f64) -> Duration {
    delay.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
}

/// Whole milliseconds of a duration, for comparing with [`Millis`].
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(when: When) -> Policy {
        Policy {
            when,
            backoff_min: SECOND,
            backoff_max: SECOND * 10,
            max_restarts: 3,
            window: SECOND * 60,
            stable_after: SECOND * 30,
        }
    }

    #[test]
    fn the_policy_table() {
        use Decision::{After, Again, Leave};
        let rows = [
            (When::Always, false, SECOND * 31, Again),
            (When::Always, false, SECOND, After(SECOND)),
            (When::Always, true, SECOND, After(SECOND)),
            (When::OnFailure, false, SECOND * 31, Leave),
            (When::OnFailure, true, SECOND, After(SECOND)),
            (When::Never, false, SECOND, Leave),
            (When::Never, true, SECOND, Leave),
        ];
        for (when, failed, lived, decision) in rows {
            let got = History::default().ended(&policy(when), failed, lived, 0);
            assert_eq!(got, decision, "{when:?} failed={failed} lived={lived:?}");
        }
    }

    #[test]
    fn no_wait_is_none_and_the_intensity_holds_all_the_same() {
        let policy = Policy { backoff_min: Duration::ZERO, ..policy(When::Always) };
        let mut history = History::default();
        let decisions: Vec<_> =
            (0..5).map(|n| history.ended(&policy, n > 0, SECOND, n * 10)).collect();
        assert_eq!(decisions[..4], [Decision::Again; 4]);
        assert_eq!(decisions[4], Decision::Quarantine { failures: 4 });
    }

    #[test]
    fn waits_double_until_the_intensity_is_passed() {
        let policy = policy(When::OnFailure);
        let mut history = History::default();
        let decisions: Vec<_> =
            (0..4).map(|n| history.ended(&policy, true, SECOND, n * 1000)).collect();
        assert_eq!(
            decisions,
            [
                Decision::After(SECOND),
                Decision::After(SECOND * 2),
                Decision::After(SECOND * 4),
                Decision::Quarantine { failures: 4 }
            ]
        );
    }

    #[test]
    fn a_stable_time_begins_the_backoff_anew_and_the_window_forgets() {
        let policy = policy(When::OnFailure);
        let mut history = History::default();
        history.ended(&policy, true, SECOND, 0);
        history.ended(&policy, true, SECOND, 1_000);
        let later = history.ended(&policy, true, SECOND * 40, 61_500);
        assert_eq!(
            later,
            Decision::After(SECOND),
            "stable for 40 s, and both old ones out of the window"
        );
        assert_eq!(history.in_a_row(), 1);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_longest(failures in 0u32..200, dice in 0.0f64..1.0) {
            let wait = backoff(SECOND, SECOND * 10, failures);
            prop_assert!(wait <= SECOND * 10);
            let spread = jittered(wait, dice);
            prop_assert!(spread <= wait && spread >= wait / 2);
        }

        #[test]
        fn no_more_restarts_than_the_intensity_in_any_window(
            gaps in prop::collection::vec(0u64..40_000, 1..60),
        ) {
            let policy = policy(When::OnFailure);
            let (mut history, mut now, mut restarts) = (History::default(), 0, Vec::new());
            for gap in gaps {
                now += gap;
                if let Decision::After(_) = history.ended(&policy, true, SECOND, now) {
                    restarts.push(now);
                }
            }
            for (at, first) in restarts.iter().enumerate() {
                let within = restarts[at..].iter().filter(|t| **t - first <= 60_000).count();
                prop_assert!(within <= policy.max_restarts as usize);
            }
        }
    }
}
