//! Actor that owns the registry of fleets and agents, and is the only one that starts and stops
//! them.
//!
//! # Overview
//!
//! It launches one agent actor per slot and one heartbeat actor per fleet, keeps where each agent
//! was last heard to be, passes verdicts and operators' orders on, and brings everything down in
//! an orderly way.
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
mod handle;
mod registry;

pub use handle::{Command, SupervisorError, SupervisorHandle};

#[cfg(test)]
mod tests;
