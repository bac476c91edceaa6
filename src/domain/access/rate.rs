//! How often a key may ask: a bucket that is filled evenly, and that a burst can empty. Pure.

use std::time::Duration;

use crate::domain::admission::Rate;

/// How full the bucket of one key is. It holds as many requests as the rate has in its window.
///
/// Kept as one time, as GCRA has it: when the bucket will be full again, on a clock that counts from
/// an arbitrary zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Duration,
}

/// The caller has to wait so long before it may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wait {} ms", .0.as_millis())]
pub struct Wait(pub Duration);

impl Bucket {
    /// Takes one request out of the bucket at `now`. One that has to wait takes nothing.
    ///
    /// # Errors
    ///
    /// [`Wait`], after which there is room for one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Wait> {
        // A rate of nothing can't be written down; it would let nothing through.
        let Some(each) = rate.per.checked_div(rate.count) else { return Err(Wait(rate.per)) };
        let full_at = self.full_at.max(now) + each;
        // At most a window ahead: then the bucket is empty.
        let latest = now + rate.per;
        if full_at > latest {
            return Err(Wait(full_at - latest));
        }
        self.full_at = full_at;
        Ok(())
    }
}
