//! Handing out tasks that need something for themselves, and those of what is limited.
//!
//! Statements read what waits, what is held and what is limited; [`crate::domain::admission`]
//! chooses; and statements write down what was chosen. All of it is one transaction under one
//! advisory lock, so that one host chooses at a time, and sees everything that the one before it
//! decided.
//!
//! | file | statements |
//! | --- | --- |
//! | `claim.rs` | the transaction |
//! | `needs.rs` | what tasks need, written down with them |
//! | `situation.rs` | what is held, limited and waited for, by all hosts |
//! | `read.rs` | what is told: what a task waits for, who holds what |

mod claim;
pub(super) mod needs;
mod read;
mod situation;

pub use claim::{Claimed, Gate, Memory, Order, begin, gate};
pub use read::{locks, waits_for};
pub(super) use situation::needs as needs_of;
