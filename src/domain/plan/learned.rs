//! What earlier runs say of how long tasks take.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Estimate, Millis, Plan, PlanTaskId};

/// How many of the newest runs count.
pub const NEWEST: u32 = 20;

/// From how many runs on their spread says something.
const ENOUGH: u64 = 3;

/// How long tasks of one name took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Learned {
    /// The name in the plan.
    pub id: PlanTaskId,
    /// In how many of the newest runs one was completed.
    pub runs: u64,
    /// One of ten took no longer.
    pub low_ms: Millis,
    /// Half of them took no longer.
    pub median_ms: Millis,
    /// Nine of ten took no longer.
    pub high_ms: Millis,
    /// When the newest of them ended.
    pub last_at: Timestamp,
}

impl Learned {
    /// The estimate that follows: the median, and from a few runs on their spread.
    pub fn estimate(&self) -> Estimate {
        let length = Duration::from_millis;
        if self.runs < ENOUGH || self.low_ms == self.high_ms {
            return Estimate::Fixed(length(self.median_ms));
        }
        Estimate::Range {
            optimistic: length(self.low_ms),
            likely: length(self.median_ms),
            pessimistic: length(self.high_ms),
        }
    }
}

impl Plan {
    /// The plan with the estimates that follow from earlier runs, where there were any.
    #[must_use]
    pub fn with_history(mut self, learned: &[Learned]) -> Self {
        let known: HashMap<&PlanTaskId, &Learned> =
            learned.iter().map(|one| (&one.id, one)).collect();
        for task in &mut self.tasks {
            if let Some(one) = known.get(&task.id) {
                task.estimate = one.estimate();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(runs: u64, times: [Millis; 3]) -> Learned {
        let [low_ms, median_ms, high_ms] = times;
        let id = "a".parse().unwrap();
        Learned { id, runs, low_ms, median_ms, high_ms, last_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_few_runs_say_the_median_and_more_the_spread() {
        let fixed = |ms| Estimate::Fixed(Duration::from_millis(ms));
        assert_eq!(learned(1, [5, 5, 5]).estimate(), fixed(5));
        assert_eq!(learned(2, [1, 5, 9]).estimate(), fixed(5));
        assert_eq!(learned(9, [5, 5, 5]).estimate(), fixed(5));
        let spread = learned(3, [60, 120, 600]).estimate();
        assert_eq!((spread.is_range(), spread.expected()), (true, (60 + 4 * 120 + 600) / 6));
    }
}
