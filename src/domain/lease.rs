//! Whether this host still holds its lease, by its own monotonic clock.
//!
//! A host renews one row in `hosts`; its attempts live by that row. The lease is counted here from
//! the moment *before* the renewal was sent, so that this host gives up before the database lets
//! another one take over.

use std::time::Duration;

use super::{Millis, restart::millis};

/// What the age of the last renewal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Renewed lately.
    Held,
    /// Time to renew.
    Due,
    /// So late that agents must be stopped now, before another host may take their tasks.
    Lost,
}

/// How often a lease of this length is renewed: three tries fit in.
pub fn renew_every(lease: Duration) -> Duration {
    lease / 4
}

/// How long after the sending of a renewal the agents may run at the most, with or without their host:
/// the last eighth of the lease is kept for stopping them.
pub fn safe(lease: Duration) -> Duration {
    lease - lease / 8
}

/// How often a host looks after its lease: it gives it up well before it counts as frozen.
pub fn look_every(lease: Duration) -> Duration {
    lease / 32
}

/// How long after the sending of a renewal a host that says nothing more counts as frozen: its agents are
/// ended by their keeper then, within the last part of the lease.
pub fn frozen(lease: Duration) -> Duration {
    lease - lease / 16
}

/// How long a host that has given up has for ending its agents, before that is done for it.
pub fn stopping(lease: Duration) -> Duration {
    lease / 32
}

/// Judges a lease of length `lease` that was last renewed by a request sent at `renewed`.
pub fn judge(lease: Duration, renewed: Millis, now: Millis) -> Standing {
    let age = now.saturating_sub(renewed);
    if age >= millis(safe(lease)) {
        Standing::Lost
    } else if age >= millis(renew_every(lease)) {
        Standing::Due
    } else {
        Standing::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_lost_before_it_ends() {
        let lease = Duration::from_secs(8);
        let rows = [
            (0, Standing::Held),
            (1_999, Standing::Held),
            (2_000, Standing::Due),
            (6_999, Standing::Due),
            (7_000, Standing::Lost),
            (8_000, Standing::Lost),
        ];
        for (age, standing) in rows {
            assert_eq!(judge(lease, 50, 50 + age), standing, "{age}");
        }
    }
}
