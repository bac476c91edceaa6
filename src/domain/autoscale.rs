//! How many agents a fleet should have, by how long its queues' tasks wait.
//!
//! More where the oldest task has waited too long although every agent is at work; fewer where
//! nothing has waited for a long time and agents are idle. Between the two lies a wide band in which
//! nothing happens, and after each step a time in which nothing does: so it does not swing.

use std::time::Duration;

use super::{Millis, restart::millis};

/// `[fleets.NAME.scale]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The fewest agents.
    pub min: u16,
    /// The most.
    pub max: u16,
    /// How long a task may wait before there are to be more.
    pub up_after: Duration,
    /// How long agents are idle with nothing waiting before there are to be fewer.
    pub down_after: Duration,
    /// How long nothing happens after a step.
    pub cooldown: Duration,
}

impl Policy {
    /// `count`, within what is allowed.
    pub fn within(&self, count: u16) -> u16 {
        count.max(self.min).min(self.max)
    }
}

/// What is seen of a fleet and of its queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// How many agents it is to have.
    pub count: u16,
    /// How many of them have no task.
    pub idle: u16,
    /// How many of them are on their way up.
    pub starting: u16,
    /// How long the oldest task has waited that could run.
    pub oldest: Option<Duration>,
}

/// What is remembered from look to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    changed_at: Option<Millis>,
    calm_since: Option<Millis>,
}

impl Memory {
    /// The fleet's size was changed, by this or by hand: the cooldown begins.
    pub const fn changed(&mut self, now: Millis) {
        self.changed_at = Some(now);
        self.calm_since = None;
    }
}

/// How many agents there should be from now on, if not as many as there are to be.
pub fn decide(policy: &Policy, memory: &mut Memory, look: &Look, now: Millis) -> Option<u16> {
    let within = policy.within(look.count);
    if within != look.count {
        memory.changed(now);
        return Some(within);
    }
    let waited = look.oldest.unwrap_or(Duration::ZERO);
    let calm = waited < policy.up_after / 2 && look.idle > 0;
    if !calm {
        memory.calm_since = None;
    } else if memory.calm_since.is_none() {
        memory.calm_since = Some(now);
    }
    let since = |at: Option<Millis>| at.map(|at| now.saturating_sub(at));
    if since(memory.changed_at).is_some_and(|passed| passed < millis(policy.cooldown)) {
        return None;
    }
    // While one is idle it is not for want of agents that tasks wait.
    let short = waited >= policy.up_after && look.idle == 0 && look.starting == 0;
    let long_calm = since(memory.calm_since).is_some_and(|it| it >= millis(policy.down_after));
    let wanted = if short {
        look.count.saturating_add((look.count / 2).max(1)).min(policy.max)
    } else if long_calm {
        look.count.saturating_sub(look.idle.div_ceil(2)).max(policy.min)
    } else {
        return None;
    };
    if wanted == look.count {
        return None;
    }
    memory.changed(now);
    Some(wanted)
}

#[cfg(test)]
mod tests;
