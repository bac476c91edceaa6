//! What an operator changes: limits, and for how long something is held back.

use std::time::Duration;

use jiff::Timestamp;

use super::limits::{KeyPattern, Limit, Rate};
use crate::domain::FleetName;

/// When a pause ends by itself, if it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Until {
    /// When somebody ends it.
    #[default]
    Resumed,
    /// At this time.
    At(Timestamp),
    /// So long after it began, by the server's clock.
    For(Duration),
}

/// A change of a limit. What is none stays as it is; what is some of none is lifted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// How many may run at once.
    pub concurrency: Option<Option<u32>>,
    /// How many may begin within a window.
    pub rate: Option<Option<Rate>>,
}

impl LimitChange {
    /// The limit as it is where nothing was before.
    pub fn settled(&self) -> Limit {
        Limit { concurrency: self.concurrency.flatten(), rate: self.rate.flatten() }
    }
}

/// A change of what is limited of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueChange {
    /// Of all its tasks together.
    pub limit: LimitChange,
    /// Of its tasks with one key, for each key.
    pub key_limit: LimitChange,
    /// Its share of the agents that serve other queues too.
    pub weight: Option<u32>,
    /// Whether its keys take turns.
    pub fair: Option<bool>,
}

/// Whose a limit is that is no queue's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limited {
    /// That of all tasks of all hosts.
    All,
    /// That of the agents of a fleet, on all hosts.
    Fleet(FleetName),
    /// That of each key that a pattern means.
    Key(KeyPattern),
}
