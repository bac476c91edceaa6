//! Hostler keeps fleets of agent processes working on a person's own hosts.
//!
//! The modules in the order they are built on each other; `tests/architecture.rs` holds the table
//! of who may import whom, and `docs/ARCHITECTURE.md` walks through three operations.

pub mod domain;

pub mod links;

pub mod memory;

pub mod rounds;

pub mod settings;

pub mod plan;

pub mod telemetry;

pub mod protocol;

pub mod process;

pub mod embedded;

pub mod store;

pub mod access;

pub mod audit;

pub mod janitor;

pub mod history;

pub mod heartbeat;

pub mod events;

pub mod queue;

pub mod webhooks;

pub mod sessions;

pub mod workspace;

pub mod agent;

pub mod supervisor;

pub mod http;

pub mod app;

pub mod cli;
