//! When an agent that says nothing counts as stale.
//!
//! Silence is judged only where life can be expected: any output, progress or heartbeat counts,
//! and an operator sets the limits per fleet. An idle worker is not judged unless it promised to
//! beat while idle.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{Millis, restart::millis};

/// The heartbeat limits of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How often a worker that can is asked to beat.
    pub every: Duration,
    /// An agent at work that shows no life for this long is stale; `None` switches the check off.
    pub stale_after: Option<Duration>,
}

/// What is expected of an agent right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Nothing: idle without a promise to beat, starting, stopping, or down.
    Nothing,
    /// Signs of life: it runs a task, or promised to beat while idle.
    Life,
}

/// What the time since the last sign of life says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Alive, or nothing can be said.
    Alive,
    /// Silent for too long.
    Stale(Silence),
}

/// The evidence of a stale verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// How long nothing was heard.
    pub silent: Duration,
    /// The limit it passed.
    pub limit: Duration,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no output, progress or heartbeat for {:.1} s (the limit is {:.1} s)",
            self.silent.as_secs_f64(),
            self.limit.as_secs_f64()
        )
    }
}

/// Judges an agent that was last heard at `heard`.
pub fn judge(limits: &Limits, expect: Expect, heard: Millis, now: Millis) -> Verdict {
    let (Expect::Life, Some(limit)) = (expect, limits.stale_after) else {
        return Verdict::Alive;
    };
    let silent = now.saturating_sub(heard);
    if silent <= millis(limit) {
        return Verdict::Alive;
    }
    Verdict::Stale(Silence { silent: Duration::from_millis(silent), limit })
}

/// How often a fleet with these limits is looked at: often enough that a verdict comes within a
/// tenth of the limit, and never more than a hundred times a second.
pub fn look_every(limits: &Limits) -> Option<Duration> {
    limits
        .stale_after
        .map(|limit| (limit / 12).clamp(Duration::from_millis(10), Duration::from_secs(5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { every: Duration::from_secs(1), stale_after: Some(Duration::from_secs(5)) };

    #[test]
    fn silence_is_stale_only_where_life_is_expected() {
        let stale = Verdict::Stale(Silence {
            silent: Duration::from_millis(5001),
            limit: Duration::from_secs(5),
        });
        let off = Limits { stale_after: None, ..LIMITS };
        let rows = [
            (LIMITS, Expect::Life, 1000, 6000, Verdict::Alive),
            (LIMITS, Expect::Life, 1000, 6001, stale),
            (LIMITS, Expect::Nothing, 1000, 600_000, Verdict::Alive),
            (LIMITS, Expect::Life, 9000, 1000, Verdict::Alive),
            (off, Expect::Life, 0, u64::MAX, Verdict::Alive),
        ];
        for (limits, expect, heard, now, verdict) in rows {
            assert_eq!(judge(&limits, expect, heard, now), verdict, "{expect:?} {heard} {now}");
        }
    }

    #[test]
    fn a_verdict_comes_within_a_tenth_of_the_limit() {
        for secs in [1, 5, 30, 40] {
            let limit = Duration::from_secs(secs);
            let every = look_every(&Limits { stale_after: Some(limit), ..LIMITS }).unwrap();
            assert!(every <= limit / 10, "{limit:?}: {every:?}");
        }
        assert_eq!(look_every(&Limits { stale_after: None, ..LIMITS }), None);
    }

    #[test]
    fn the_verdict_names_its_evidence() {
        let silence =
            Silence { silent: Duration::from_millis(5250), limit: Duration::from_secs(5) };
        assert_eq!(
            silence.to_string(),
            "no output, progress or heartbeat for 5.2 s (the limit is 5.0 s)"
        );
    }
}
