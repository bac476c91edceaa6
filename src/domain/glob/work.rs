//! A bound of the work that patterns may make.

use std::cell::Cell;

/// How much each pair of patterns may take in any case: twenty times what patterns take that people write.
const EACH: usize = 2_000;

/// How much may still be done to compare patterns: one for each pair of characters that is looked at.
///
/// Each pair has some of its own, so that those that are made to use all of it up do not change what is
/// said of plain ones.
#[derive(Debug)]
pub struct Work {
    own: Cell<usize>,
    shared: Cell<usize>,
}

impl Work {
    /// So much for all pairs together, beside what each has of its own.
    pub const fn new(most: usize) -> Self {
        Self { own: Cell::new(0), shared: Cell::new(most) }
    }

    /// The next pair begins.
    pub(super) fn begin(&self) {
        self.own.set(EACH);
    }

    /// Does a piece of it. False if that is more than there was.
    pub(super) fn spend(&self, cost: usize) -> bool {
        let from = if self.own.get() >= cost { &self.own } else { &self.shared };
        let left = from.get().checked_sub(cost);
        from.set(left.unwrap_or(0));
        left.is_some()
    }
}
