//! Hostler keeps fleets of agent processes working on a person's own hosts.
//!
//! The modules in the order they are built on each other; `tests/architecture.rs` holds the table
//! of who may import whom, and `docs/ARCHITECTURE.md` walks through three operations.

pub mod app;
pub mod cli;
pub mod domain;
pub mod embedded;
pub mod http;
pub mod queue;
pub mod settings;
pub mod store;
pub mod supervisor;
pub mod telemetry;
