//! The common moments of this program: see [`domain::rounds`](crate::domain::rounds) for which they are.

use std::{sync::OnceLock, time::Duration};

use tokio::time::{Instant, sleep};

use crate::domain::rounds;

/// The beginning that all moments are counted from.
pub fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// How long it is until the next look of somebody who looks every `every`.
pub fn wait(every: Duration) -> Duration {
    rounds::until(Instant::now().saturating_duration_since(origin()), every)
}

/// Waits for that look.
///
/// # Cancel safety
///
/// Nothing is lost.
pub async fn next(every: Duration) {
    sleep(wait(every)).await;
}
