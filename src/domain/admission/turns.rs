//! Whose turn it is: queues by their weights, and keys of a fair queue.
//!
//! Start-time fair queueing: whoever is served gets a tag that is further on by a step (shorter for
//! more weight), and the smallest tag is next. Whoever had nothing to do is no further behind than
//! whoever is being served now, so that nobody saves up turns.

use std::collections::BTreeMap;

use super::needs::Label;
use crate::domain::QueueName;

/// The step of weight 1. Weights divide it.
const STEP: u64 = 1 << 32;

/// The turns of one fleet of one host. Each host takes its own turns: if all of them are fair, so
/// are all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turns {
    queues: Ring<QueueName>,
    keys: BTreeMap<QueueName, Ring<Option<Label>>>,
}

impl Turns {
    /// The tag of a queue: the smallest is next.
    pub(super) fn of_queue(&self, queue: &QueueName) -> u64 {
        self.queues.tag(queue)
    }

    /// The tag of a key of a queue: the smallest is next.
    pub(super) fn of_key(&self, queue: &QueueName, key: &Option<Label>) -> u64 {
        self.keys.get(queue).map_or(0, |ring| ring.tag(key))
    }

    /// A task of `queue` was given out.
    pub(super) fn serve_queue(&mut self, queue: &QueueName, weight: u32) {
        self.queues.serve(queue, weight);
    }

    /// A task of `queue` with `key` was given out.
    pub(super) fn serve_key(&mut self, queue: &QueueName, key: &Option<Label>) {
        self.keys.entry(queue.clone()).or_default().serve(key, 1);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ring<K: Ord> {
    now: u64,
    /// Where each is that is ahead of `now`.
    next: BTreeMap<K, u64>,
}

impl<K: Ord> Default for Ring<K> {
    fn default() -> Self {
        Self { now: 0, next: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Ring<K> {
    fn tag(&self, who: &K) -> u64 {
        self.next.get(who).map_or(self.now, |tag| self.now.max(*tag))
    }

    fn serve(&mut self, who: &K, weight: u32) {
        self.now = self.tag(who);
        self.next.insert(who.clone(), self.now.saturating_add(STEP / u64::from(weight.max(1))));
        // Who is not ahead is as good as not there.
        let now = self.now;
        self.next.retain(|_, tag| *tag > now);
    }
}
