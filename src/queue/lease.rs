//! The lease of this host, as the queue actor keeps it.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{HostId, lease};

/// Which host this is, and until when.
#[derive(Debug)]
pub(super) struct Lease {
    length: Duration,
    host: Option<HostId>,
    renewed: Instant,
    asking: bool,
}

/// What to do about the lease now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Renew it.
    Renew(HostId),
    /// It is lost since just now: stop the agents.
    GiveUp,
    /// It is lost, and a new one can be asked for once nothing is held.
    Register,
}

impl Lease {
    /// A lease registered by a request sent at `since`.
    pub(super) fn new(host: HostId, length: Duration, since: Instant) -> Self {
        Self { length, host: Some(host), renewed: since, asking: false }
    }

    /// The host id, while the lease is held. By the clock, not by what was noticed so far: a host that
    /// was frozen may hear the answer to an old claim before it looks after its lease.
    pub(super) fn host(&self) -> Option<HostId> {
        self.host.filter(|_| Instant::now() < self.safe_until())
    }

    pub(super) const fn length(&self) -> Duration {
        self.length
    }

    /// Until when the agents may run, by the newest renewal.
    pub(super) fn safe_until(&self) -> Instant {
        self.renewed + lease::safe(self.length)
    }

    /// By when a host that has not said anything since must be frozen.
    pub(super) fn frozen_at(&self) -> Instant {
        self.renewed + lease::frozen(self.length)
    }

    /// Whether it is lost, and known to be.
    pub(super) const fn is_lost(&self) -> bool {
        self.host.is_none()
    }

    /// How often it is looked after while all is well: as often as it is renewed.
    pub(super) fn round(&self) -> Duration {
        lease::renew_every(self.length)
    }

    /// How long from now it need not be looked after, where `round` is the wait for the next common look.
    pub(super) fn rest(&self, now: Instant, round: Duration) -> Duration {
        match self.host {
            Some(_) if self.asking => self.safe_until().saturating_duration_since(now),
            Some(_) => round,
            None => lease::look_every(self.length),
        }
    }

    /// What to do now, as the next look comes `rest` later. A request that it asks for counts as under way
    /// until it is answered.
    pub(super) fn due(&mut self, now: Instant, rest: Duration) -> Due {
        let since = now.saturating_duration_since(self.renewed);
        let age = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        match (self.host, lease::judge(self.length, 0, age)) {
            (Some(_), lease::Standing::Lost) => {
                self.host = None;
                Due::GiveUp
            }
            (_, _) if self.asking => Due::Nothing,
            (None, _) => {
                self.asking = true;
                Due::Register
            }
            (Some(_), lease::Standing::Held) if since + rest <= self.round() => Due::Nothing,
            (Some(host), lease::Standing::Held | lease::Standing::Due) => {
                self.asking = true;
                Due::Renew(host)
            }
        }
    }

    /// The request under way failed to be answered; the next look asks again.
    pub(super) fn unanswered(&mut self) {
        self.asking = false;
    }

    /// `host` holds the lease by a request that was sent at `sent`.
    pub(super) fn granted(&mut self, host: HostId, sent: Instant) {
        self.asking = false;
        self.host = Some(host);
        self.renewed = sent;
    }

    /// The renewal of a lease that was lost meanwhile counts for nothing, noticed or not: what was
    /// claimed under it may have been passed over already, and nobody would know of it.
    pub(super) fn renewed(&mut self, host: HostId, sent: Instant) {
        self.asking = false;
        if self.host() == Some(host) {
            self.renewed = sent;
        }
    }

    /// The database says that the lease is gone. Returns whether that is news.
    pub(super) fn refused(&mut self, host: HostId) -> bool {
        self.asking = false;
        self.host == Some(host) && self.host.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(8);

    fn host(number: u128) -> HostId {
        HostId::from_uuid(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_lease_is_renewed_in_time_and_given_up_before_it_ends() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut lease = Lease::new(host(1), LENGTH, start);
        let due = |lease: &mut Lease, now| lease.due(now, Duration::from_millis(1));
        assert_eq!(due(&mut lease, at(1)), Due::Nothing);
        let mut slow = Lease::new(host(1), LENGTH, start);
        let rest = Duration::from_millis(1_001);
        assert_eq!(slow.due(at(1), rest), Due::Renew(host(1)), "the next look would be too late");
        assert_eq!(due(&mut lease, at(2)), Due::Renew(host(1)));
        assert_eq!(due(&mut lease, at(3)), Due::Nothing, "asked already");
        lease.renewed(host(1), at(2));
        assert_eq!(due(&mut lease, at(4)), Due::Renew(host(1)));
        assert_eq!(
            due(&mut lease, at(9)),
            Due::GiveUp,
            "seven seconds after the last renewal was sent"
        );
        assert_eq!(lease.host(), None);
        lease.renewed(host(1), at(4));
        assert_eq!(lease.host(), None, "an answer that comes too late changes nothing");
        assert_eq!(due(&mut lease, at(10)), Due::Register);
        lease.granted(host(2), at(10));
        assert_eq!((lease.host(), due(&mut lease, at(11))), (Some(host(2)), Due::Nothing));
        let round = Duration::from_millis(700);
        assert_eq!(lease.rest(at(11), round), round, "all is well");
        due(&mut lease, at(12));
        assert_eq!(lease.rest(at(12), round), Duration::from_secs(5), "it may be lost by then");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_frozen_knows_that_its_lease_may_have_ended() {
        let lease = Lease::new(host(1), LENGTH, Instant::now());
        tokio::time::advance(Duration::from_millis(6_999)).await;
        assert_eq!(lease.host(), Some(host(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(lease.host(), None, "though nobody has asked what is due");
        let mut lease = lease;
        lease.renewed(host(1), Instant::now());
        assert_eq!(
            (lease.host(), lease.due(Instant::now(), LENGTH)),
            (None, Due::GiveUp),
            "for good"
        );
    }

    #[tokio::test]
    async fn a_lease_that_the_database_refuses_is_lost_once() {
        let mut lease = Lease::new(host(1), LENGTH, Instant::now());
        assert!(lease.refused(host(1)));
        assert!(!lease.refused(host(1)));
    }
}
