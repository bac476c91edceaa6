//! The composition root: the only place that knows everyone. Builds a host from the bottom up, and
//! takes it down from the top.

mod demo;
mod housekeeping;
mod start;
mod stop;
mod up;

pub use demo::{DemoOptions, demo};
pub use start::{Running, StartError, start};
pub use up::up;
