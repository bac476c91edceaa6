//! What a host and its agents say to each other: bytes in, bytes out.
//!
//! Nothing here reads, writes, waits or looks at a clock; the agent's actor does that and carries
//! the bytes. `docs/PROTOCOL.md` is the same protocol for people who write agents, and its
//! examples are run through this code.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`frame`] | where one line of a stream ends, and how long it may be |
//! | [`worker`] | the conversation with a process that stays: who may say what, and what it means |
//! | [`exec`] | one process per task: its argv, its stdin, its environment, what its end means |
//! | [`output`] | how the stdout of an `exec` agent becomes a result |
//! | [`sse`] | the lines of an event stream: for those who listen to a host, not for agents |
//!
//! An agent is not trusted. Whatever it sends ends in a value: a meaning, a reason to ignore it,
//! or an error that says what came and what was expected. Nothing an agent can send panics, and
//! nothing is kept that has no limit.

mod excerpt;
pub mod exec;
pub mod frame;
pub mod notify;
pub mod output;
pub mod sse;
mod task;
pub mod worker;
