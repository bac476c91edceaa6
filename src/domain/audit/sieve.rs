//! What was not done, put together.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;

use super::{Deed, Outcome, Surface};

/// After which time what was counted is told.
pub const WINDOW: Duration = Duration::from_secs(60);

/// As many different ones are told apart within a window; all others are told as one.
const MOST: usize = 64;

/// By what deeds are the same: not by what they are about, which a flood would vary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    who: String,
    peer: Option<String>,
    surface: Surface,
    operation: String,
    outcome: Outcome,
    status: Option<u16>,
}

/// Lets deeds through that were done, and of each kind of the others the first in a window.
///
/// The rest is counted, and told when the window is over. So no flood writes more than about twice
/// `MOST` records in a window.
#[derive(Debug, Default)]
pub struct Sieve {
    /// Each with the newest of it, and how many have not been told.
    seen: BTreeMap<Likeness, (Option<Deed>, u32)>,
    /// The newest of those that did not fit in, and how many.
    others: Option<(Deed, u32)>,
    began: Duration,
}

impl Sieve {
    /// The deed, if it is to be told now; `now` is a clock that never goes back.
    pub fn pass(&mut self, deed: Deed, now: Duration) -> Option<Deed> {
        if deed.outcome == Outcome::Done {
            return Some(deed);
        }
        if self.seen.is_empty() {
            self.began = now;
        }
        let likeness = Likeness {
            who: deed.who.clone(),
            peer: deed.peer.as_deref().map(without_port),
            surface: deed.surface,
            operation: deed.operation.clone(),
            outcome: deed.outcome,
            status: deed.status,
        };
        if let Some((newest, count)) = self.seen.get_mut(&likeness) {
            *newest = Some(deed);
            *count = count.saturating_add(1);
            return None;
        }
        if self.seen.len() < MOST {
            self.seen.insert(likeness, (None, 0));
            return Some(deed);
        }
        let before = self.others.take().map_or(0, |(_, count)| count);
        self.others = Some((deed, before.saturating_add(1)));
        None
    }

    /// Whether there is something to be told once the window is over, and how long that takes.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        let ends = self.began + WINDOW;
        (!self.seen.is_empty()).then(|| ends.saturating_sub(now))
    }

    /// Ends the window: what was counted in it.
    pub fn drain(&mut self, mut new_id: impl FnMut() -> Uuid) -> Vec<Deed> {
        let counted = std::mem::take(&mut self.seen).into_values();
        let mut told: Vec<_> = counted
            .filter_map(|(deed, count)| Some(Deed { id: new_id(), count, ..deed? }))
            .collect();
        if let Some((deed, count)) = self.others.take() {
            told.push(Deed {
                who: "several".to_owned(),
                peer: None,
                operation: "several".to_owned(),
                object: String::new(),
                status: None,
                request: None,
                id: new_id(),
                count,
                ..deed
            });
        }
        told.sort_by_key(|deed| deed.at);
        told
    }
}

/// An address without its port, which a caller changes with every connection.
fn without_port(peer: &str) -> String {
    let address = peer.parse::<std::net::SocketAddr>().map(|address| address.ip().to_string());
    address.unwrap_or_else(|_| peer.to_owned())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn deed(who: &str, operation: &str, status: u16) -> Deed {
        let outcome = Outcome::of_status(status);
        let at = Timestamp::UNIX_EPOCH;
        Deed {
            who: who.to_owned(),
            outcome,
            status: Some(status),
            peer: Some("192.0.2.7:1234".to_owned()),
            ..Deed::of_host(Uuid::nil(), at, Surface::Http, operation)
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_when_the_window_is_over() {
        let mut sieve = Sieve::default();
        let at = Duration::from_secs;
        assert!(sieve.pass(deed("nobody", "tasks.create", 401), at(5)).is_some());
        for port in 0..9 {
            let peer = Some(format!("192.0.2.7:{port}"));
            let again = Deed { peer, ..deed("nobody", "tasks.create", 401) };
            assert_eq!(sieve.pass(again, at(6)), None);
        }
        // Another caller, another operation, another answer are something else.
        for other in [
            deed("key:a", "tasks.create", 401),
            deed("nobody", "tasks.cancel", 401),
            deed("nobody", "tasks.create", 429),
        ] {
            assert!(sieve.pass(other, at(7)).is_some());
        }
        assert_eq!(sieve.due(at(65)), Some(Duration::ZERO));
        let told = sieve.drain(Uuid::nil);
        assert_eq!(told.len(), 1, "what came once is not told again");
        assert_eq!((told[0].count, told[0].peer.as_deref()), (9, Some("192.0.2.7:8")));
        assert_eq!(sieve.due(at(70)), None);
        assert!(sieve.pass(deed("nobody", "tasks.create", 401), at(70)).is_some());
    }

    proptest! {
        /// What was done is always told, a flood is bounded, and nothing of it is lost from the counts.
        #[test]
        fn a_flood_stays_small_and_is_counted_whole(
            deeds in proptest::collection::vec((0..200_u32, proptest::bool::weighted(0.1)), 0..2_000),
        ) {
            let mut sieve = Sieve::default();
            let (mut done, mut refused) = (0, 0_u64);
            let mut told: Vec<Deed> = Vec::new();
            for (who, is_done) in &deeds {
                let status = if *is_done { 200 } else { 401 };
                done += usize::from(*is_done);
                refused += u64::from(!*is_done);
                told.extend(sieve.pass(deed(&who.to_string(), "x", status), Duration::ZERO));
            }
            told.extend(sieve.drain(Uuid::nil));
            let (well, ill): (Vec<_>, Vec<_>) =
                told.into_iter().partition(|deed| deed.outcome == Outcome::Done);
            prop_assert_eq!(well.len(), done);
            prop_assert!(ill.len() <= 2 * MOST + 1);
            prop_assert_eq!(ill.iter().map(|deed| u64::from(deed.count)).sum::<u64>(), refused);
        }
    }
}
