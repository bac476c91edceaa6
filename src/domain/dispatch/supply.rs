//! The plain tasks that a fleet has claimed and not handed out yet, and how many more it claims.
//!
//! A claim takes as many as the agents could take now, and as many more as they end while two claims
//! are under way: so agents with short tasks never wait for a claim, and those with long ones claim
//! nothing that another host could run.

use std::collections::VecDeque;

use crate::domain::{TaskId, task::Assignment};

/// The most tasks that are claimed ahead of the agents.
const MOST_AHEAD: usize = 2_000;

/// The supply of one fleet.
#[derive(Debug, Default)]
pub(super) struct Supply {
    buffer: VecDeque<Assignment>,
    claiming: bool,
    /// Somebody said that there is work while the claim was under way: it may have missed it.
    woken: bool,
    /// The last claim came back short, and nobody has said since that there is work.
    dry: bool,
    /// Somebody else has what waits locked: there is no claim before it is time to ask again.
    locked: bool,
    /// How many are claimed beyond what the agents could take now.
    ahead: usize,
    /// How many the agents ended since the last claim was sent.
    ended: usize,
    /// Nothing has come, gone or ended since the last look.
    still: bool,
}

impl Supply {
    /// There may be work.
    pub(super) fn wake(&mut self) {
        self.dry = false;
        self.woken |= self.claiming;
    }

    /// How many to claim now, for agents that could take `free`; the claim is under way from here.
    pub(super) fn claim(&mut self, free: usize, most: usize) -> Option<usize> {
        let wanted = free + self.ahead;
        // Half is left when the claim is sent, so that it is there before the rest is used up.
        if self.claiming || self.dry || self.locked || wanted == 0 || self.buffer.len() * 2 > wanted
        {
            return None;
        }
        (self.claiming, self.ended) = (true, 0);
        Some((wanted - self.buffer.len()).min(most))
    }

    /// The claim for `asked` came back, with a range of `span` and these tasks.
    pub(super) fn claimed(&mut self, asked: usize, span: usize, tasks: Vec<Assignment>) {
        self.claiming = false;
        self.dry = span < asked && !std::mem::take(&mut self.woken);
        self.ahead = (2 * self.ended).min(MOST_AHEAD);
        self.still = false;
        self.buffer.extend(tasks);
    }

    /// The claim found what waits locked by somebody else: there may be as much as before.
    pub(super) const fn locked(&mut self) {
        (self.claiming, self.woken, self.locked) = (false, false, true);
    }

    /// It is time to ask again for what was locked.
    pub(super) const fn unlock(&mut self) {
        self.locked = false;
    }

    /// The claim failed: nothing is claimed before somebody says that there is work.
    pub(super) fn failed(&mut self) {
        (self.claiming, self.woken, self.dry) = (false, false, true);
    }

    /// Tasks that were claimed as they were submitted.
    pub(super) fn add(&mut self, tasks: Vec<Assignment>) {
        self.still = false;
        self.buffer.extend(tasks);
    }

    /// How many wait for an agent.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Which those are.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.buffer.iter().map(|assignment| assignment.task)
    }

    /// Whether a new task may overtake nobody that this host knows of.
    pub(super) fn is_spent(&self) -> bool {
        self.buffer.is_empty() && self.dry && !self.claiming
    }

    /// Whether there is, or may be, a task to hand out.
    pub(super) fn may_have_more(&self) -> bool {
        !self.buffer.is_empty() || !self.dry
    }

    /// Whether only a claim can tell if there is a task.
    pub(super) fn is_unknown(&self) -> bool {
        self.buffer.is_empty() && !self.dry
    }

    /// The next `count` tasks.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = Assignment> + '_ {
        self.still = false;
        self.buffer.drain(..count.min(self.buffer.len()))
    }

    /// An agent ended a task.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
        self.still = false;
    }

    /// What nobody has taken, if nothing has come, gone or ended since the last time that this was
    /// asked: another host may be free to run it.
    pub(super) fn stalled(&mut self) -> Vec<Assignment> {
        if std::mem::replace(&mut self.still, true) { self.empty() } else { Vec::new() }
    }

    /// All that nobody has taken.
    pub(super) fn empty(&mut self) -> Vec<Assignment> {
        self.buffer.drain(..).collect()
    }
}
