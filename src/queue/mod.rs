//! Actor that claims tasks for idle agents, holds their leases and settles their outcomes.
//!
//! # Overview
//!
//! Agents say that they are idle; the actor claims for all of them at once, hands each its task,
//! and writes what comes back in batches: one settle is under way at a time, and the next takes all
//! that arrived meanwhile. It is woken by this host's own submits directly, by other hosts through
//! LISTEN, and by a poll behind both.
//!
//! Tasks that need something for themselves, or that are limited, are chosen in a transaction of their
//! own before the plain ones are claimed; `chooser` says when there is a reason to.
//!
//! # Guarantees
//!
//! - An outcome is published (to waiters, metrics, agents' records) only after it is committed.
//! - An outcome counts only with the attempt number and the host id of its claim.
//! - While Postgres is away, outcomes wait here, in order, and nothing new is claimed once
//!   `tasks.settle_buffer` of them do.
//! - A claim whose answer got lost is put back: tasks that the database says this host holds, and
//!   this actor does not know of, are returned to their queues.
//! - A notice that a task was called off is looked into: it ends no attempt by itself.
//! - A host that can't renew its lease says so ([`QueueReport::LeaseLost`]) before the lease ends.
//!
//! # Failures
//!
//! If the actor panics, the host ends: what its agents held goes back to the queues with the lease,
//! or at once when the host starts again on the same data directory.

mod actor;
mod appending;
mod batches;
mod bulk;
mod chooser;
mod choosing;
mod error;
mod feed;
mod graph;
mod handle;
mod handlers;
mod inbox;
mod lease;
mod limits;
mod merges;
mod messages;
mod outcomes;
mod plain;
mod plans;
mod rumours;
mod schedules;
mod settling;
mod strays;
mod tenure;

pub use bulk::Bulk;
pub use error::QueueError;
pub use handle::QueueHandle;
pub use messages::{Ended, FromAgent, QueueReport, ToAgent};

pub(crate) use actor::{Launch, OnLease};
