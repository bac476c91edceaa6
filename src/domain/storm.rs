//! When a whole fleet fails too often.
//!
//! The intensity of a single agent is in [`restart`](super::restart). A fleet of many agents can storm
//! though none of them exceeds its own: each failure of any of them counts here.

use std::{collections::VecDeque, time::Duration};

use super::{Millis, restart::millis};

/// How many failures of a fleet are too many, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// More failures than this of all its agents within `window` are too many; `None`: there is no limit.
    pub max_restarts: Option<u32>,
    /// The window.
    pub window: Duration,
    /// What follows.
    pub then: Answer,
    /// How long nothing of it is started, if it waits.
    pub wait: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        let (window, wait) = (Duration::from_secs(300), Duration::from_secs(60));
        Self { max_restarts: None, window, then: Answer::Wait, wait }
    }
}

/// What is done about a fleet that fails too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing of it is started for a while; then it begins anew.
    Wait,
    /// Whatever of it has no process, or loses it, is in quarantine until an operator releases it.
    Quarantine,
}

/// The failures of one fleet, as many as the window holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures(VecDeque<Millis>);

impl Failures {
    /// Records `more` failures; says how many there are in the window, if that is too many. They are
    /// forgotten then: what follows is a new beginning.
    pub fn add(&mut self, intensity: &Intensity, more: u64, now: Millis) -> Option<u32> {
        let most = intensity.max_restarts?;
        let window = millis(intensity.window);
        while self.0.front().is_some_and(|at| now.saturating_sub(*at) > window) {
            self.0.pop_front();
        }
        // No more than it takes to decide.
        let more = more.min(u64::from(most) + 1);
        self.0.extend((0..more).map(|_| now));
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let too_many = (count > most).then_some(count);
        if too_many.is_some() {
            self.0.clear();
        }
        too_many
    }

    /// Forgets them, as when an operator releases an agent.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn intensity(most: u32) -> Intensity {
        Intensity {
            max_restarts: Some(most),
            window: Duration::from_secs(10),
            then: Answer::Quarantine,
            ..Intensity::default()
        }
    }

    #[test]
    fn failures_of_any_agent_count_within_the_window() {
        let mut failures = Failures::default();
        let told: Vec<_> = [(0, 1), (1000, 2), (9000, 1), (10_001, 0), (10_001, 2)]
            .map(|(now, more)| failures.add(&intensity(4), more, now))
            .into();
        assert_eq!(told, [None, None, None, None, Some(5)], "the first is not in it any more");
        assert_eq!(failures.add(&intensity(4), 4, 11_002), None, "it began anew");
        assert_eq!(failures.add(&intensity(4), u64::MAX, 11_003), Some(9));
        let off = Intensity { max_restarts: None, ..intensity(0) };
        assert_eq!(failures.add(&off, u64::MAX, 0), None);
    }

    proptest! {
        #[test]
        fn no_window_has_more_failures_than_allowed_without_a_word(
            gaps in prop::collection::vec(0_u64..6_000, 1..80), most in 0_u32..8,
        ) {
            let intensity = intensity(most);
            let (mut failures, mut now, mut quiet) = (Failures::default(), 0, Vec::new());
            for gap in gaps {
                now += gap;
                if failures.add(&intensity, 1, now).is_some() {
                    quiet.clear();
                    continue;
                }
                quiet.push(now);
                let within = quiet.iter().filter(|at| now - **at <= 10_000).count();
                prop_assert!(within <= most as usize);
            }
        }
    }
}
