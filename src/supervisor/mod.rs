//! Actor that owns the registry of fleets and agents, and is the only one that starts and stops
//! them.
//!
//! # Overview
//!
//! It launches one agent actor per slot and one heartbeat actor per fleet, keeps where each agent
//! was last heard to be, passes verdicts and operators' orders on, and brings everything down in
//! an orderly way. What is wanted of a fleet may change while it runs: its size, its definition.
//! `domain::rollout` says who is launched, replaced and sent away for that.
//!
//! # Guarantees
//!
//! - An agent actor that panics is noticed: its process is gone before its task is told to have
//!   failed, and a new actor takes its place under the fleet's restart policy.
//! - After [`SupervisorHandle::drain`] no agent has a process.
//!
//! # Failures
//!
//! If this actor panics, the host ends: the keeper ends the agents, and their tasks go back.

mod actor;
mod attempts;
mod ending;
mod fleets;
mod handle;
mod holds;
mod machine;
mod news;
mod registry;
mod scales;

pub use attempts::AtWork;
pub use handle::{Command, SupervisorError, SupervisorHandle};
pub use holds::Guard;
pub use news::Tell;
pub use scales::Scales;

#[cfg(test)]
mod tests;
