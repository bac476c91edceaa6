//! Carrying plans out: what is submitted of a plan, and in which order what is left goes on.
//!
//! [`compile`](compile()) makes a [`NewRun`](crate::domain::plan::run::NewRun) of a plan and its
//! analysis; [`replan`](replan()) looks at what is left of it; [`report`](report()) compares what was
//! planned with what was. All of it is pure: who submits, looks and changes priorities is the queue
//! and a duty of the leader.

mod compile;
mod merges;
mod queues;
mod replan;
mod report;
#[cfg(test)]
mod tests;

pub use compile::{Asked, Crew, Flaw, carried_out, compile};
pub use replan::{Left, Stand, priorities, replan};
pub use report::{RunReport, TaskReport, Waited, report};
