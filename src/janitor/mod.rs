//! Actor for the duties that one host among all does: the leader.
//!
//! # Overview
//!
//! Every host has a janitor. All of them ask for the right to lead ([`crate::store::leader`]: an
//! advisory lock); the one that gets it runs the registered [duties](Duty), each at its interval,
//! until it loses the right or its host stops. The others keep asking, so that one of them leads
//! within seconds after the leader is gone, whichever way it went.
//!
//! What stays with every host, because it can't wait for a hand-over: renewing its own lease,
//! looking for its own lost claims and called-off tasks, and promoting tasks that are due. Those are
//! done by the queue actor.
//!
//! # Adding a duty
//!
//! A function that makes a [`Duty`], in the list of `app::start`. It gets a [`Leading`] at each run,
//! and says with [`Done`] which queues got work, and whether it wants to run again before its
//! interval has passed. A duty does its work in either of two ways:
//!
//! - [`Leading::fenced`]: one transaction that counts only while this leader's term lasts. The
//!   usual way.
//! - by [`Leading::store`], with statements that are harmless when two hosts send them at once.
//!
//! # Guarantees
//!
//! - One host leads at a time, as far as the database is concerned: fenced work of a former leader
//!   is refused once another leads, and finished before that.
//! - A leader whose connection is cut, or that gets no answers, stops its duties within
//!   [`Pace::safe`](crate::domain::leadership::Pace), before the server lets another one lead.
//! - A duty never runs twice at once on a host. One that fails or panics is logged and tried again,
//!   and holds up no other.
//!
//! # Failures
//!
//! If the actor panics, its connection ends and another host leads; its own host ends (see
//! `app::up`). While Postgres is away nobody leads, and no duty is done.

mod actor;
mod deadlines;
mod duties;
mod duty;
mod handle;
mod plans;
mod schedules;

pub use actor::{Launch, Wake};
pub use deadlines::expire_tasks;
pub use duties::{ended_pauses, forget_audit, forget_receipts, forget_starts, lost_hosts};
pub use duty::{Done, Duty, Leading, OnDeed, OnEnd};
pub use handle::JanitorHandle;
pub use plans::carry_out_plans;
pub use schedules::{TermsNow, fire_schedules};
