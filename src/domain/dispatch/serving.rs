//! How the claims of one fleet stand.

use std::collections::BTreeSet;

use super::{slots::Slots, supply::Supply};
use crate::domain::{AgentName, QueueName};

/// The priority of plain tasks.
pub(super) const PLAIN: i16 = 0;

#[derive(Debug)]
pub(super) struct Serving {
    pub(super) queues: Vec<QueueName>,
    pub(super) slots: Slots,
    pub(super) claiming: Option<Claiming>,
    /// A claim of tracked tasks from this priority on came back short, and nobody has said since that
    /// there is work.
    pub(super) dry_from: Option<i16>,
    pub(super) supply: Supply,
    /// Whose turn it is where both kinds of tasks have work of the same priority.
    pub(super) turn: Turn,
    /// Nobody said that there is work, and the claim of plain tasks which tells has not come back.
    pub(super) looking: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Tracked,
    Plain,
}

#[derive(Debug, Default)]
pub(super) struct Claiming {
    pub(super) agents: Vec<AgentName>,
    pub(super) withdrawn: BTreeSet<AgentName>,
    pub(super) floor: i16,
    /// Somebody said that there is work while the claim was under way: it may have missed it.
    pub(super) woken: bool,
}

impl Serving {
    pub(super) fn new(queues: Vec<QueueName>) -> Self {
        Self {
            queues,
            slots: Slots::default(),
            claiming: None,
            dry_from: None,
            supply: Supply::default(),
            turn: Turn::Tracked,
            looking: false,
        }
    }

    /// There may be work.
    pub(super) fn wake(&mut self) {
        self.wake_tracked();
        self.supply.wake();
    }

    /// There are tracked tasks, and plain ones as before.
    pub(super) fn wake_tracked(&mut self) {
        (self.dry_from, self.looking) = (None, false);
        if let Some(claiming) = &mut self.claiming {
            claiming.woken = true;
        }
    }

    /// From which priority on tracked tasks are claimed now: where there may be plain ones, not those
    /// that would go after them.
    pub(super) fn floor(&self) -> i16 {
        match self.turn {
            _ if !self.supply.may_have_more() => i16::MIN,
            Turn::Tracked => PLAIN,
            Turn::Plain => PLAIN + 1,
        }
    }

    /// Whether a claim of plain tasks comes first, which tells from where on tracked ones are claimed.
    pub(super) fn asks_first(&self) -> bool {
        self.looking && self.supply.is_unknown()
    }

    pub(super) fn is_dry_from(&self, priority: i16) -> bool {
        self.dry_from.is_some_and(|from| from <= priority)
    }
}
