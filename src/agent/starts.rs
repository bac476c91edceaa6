//! How many processes may be starting at once, on the host and of each fleet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{FleetName, fleet::Fleet};

/// The places of those that start. Cheap to clone; all clones share them.
#[derive(Debug, Clone)]
pub struct Starts {
    host: Option<Arc<Semaphore>>,
    fleets: Arc<Mutex<BTreeMap<FleetName, Gate>>>,
}

/// The places of one fleet: how many there are in all, and those that are free.
type Gate = (u16, Arc<Semaphore>);

/// A place among those that start; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _held: Vec<OwnedSemaphorePermit>,
}

impl Starts {
    /// So many at once on this host; `None`: as many as there are.
    pub fn new(host: Option<u16>) -> Self {
        let host = host.map(|count| Arc::new(Semaphore::new(usize::from(count))));
        Self { host, fleets: Arc::default() }
    }

    /// What an agent of `fleet` needs a place of; its own fleet's first, so that one fleet does not hold the
    /// places of the others while it waits for itself.
    fn gates(&self, fleet: &Fleet) -> Vec<Arc<Semaphore>> {
        let own = fleet.start_concurrency.map(|count| {
            let mut fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
            let gate = fleets.get(&fleet.name).filter(|(old, _)| *old == count);
            let gate = gate.map_or_else(
                // The fleet is new, or has another limit now: who has a place by the old one keeps it.
                || Arc::new(Semaphore::new(usize::from(count))),
                |(_, gate)| gate.clone(),
            );
            fleets.insert(fleet.name.clone(), (count, gate.clone()));
            gate
        });
        own.into_iter().chain(self.host.clone()).collect()
    }

    /// A place, if there is one now.
    pub(super) fn try_take(&self, fleet: &Fleet) -> Option<Place> {
        let take = |gate: Arc<Semaphore>| gate.try_acquire_owned().ok();
        let held = self.gates(fleet).into_iter().map(take).collect::<Option<_>>()?;
        Some(Place { _held: held })
    }

    /// A place, once there is one; in the order of those who wait.
    ///
    /// # Cancel safety
    ///
    /// Whoever stops waiting has no place.
    pub(super) async fn take(&self, fleet: &Fleet) -> Place {
        let mut held = Vec::new();
        for gate in self.gates(fleet) {
            // Nobody closes a gate.
            if let Ok(permit) = gate.acquire_owned().await {
                held.push(permit);
            }
        }
        Place { _held: held }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{agent::tests::fleet, domain::fleet::Protocol};

    #[test]
    fn host_and_fleet_have_so_many_places_and_no_more() {
        let of = |name: &str, limit| Fleet {
            name: name.parse().unwrap(),
            start_concurrency: limit,
            ..fleet(Protocol::Worker)
        };
        let (one, two) = (of("a", Some(1)), of("b", None));
        let starts = Starts::new(Some(2));
        let first = starts.try_take(&one).unwrap();
        assert!(starts.try_take(&one).is_none(), "the fleet has one place");
        let other = starts.try_take(&two).unwrap();
        assert!(starts.try_take(&two).is_none(), "the host has two");
        let waits = starts.take(&two);
        let mut waits = std::pin::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        let third = waits.now_or_never().expect("a place is free");
        drop((other, third));
        assert!(starts.try_take(&one).is_some());
        let free = Starts::new(None);
        let places: Vec<_> = (0..1000).map(|_| free.try_take(&two)).collect();
        assert!(places.iter().all(Option::is_some));
    }
}
