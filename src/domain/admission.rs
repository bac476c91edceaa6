//! Which tasks may begin: what each needs for itself, what is limited, and whose turn it is.
//!
//! | word | meaning |
//! | --- | --- |
//! | need | what a task holds while an attempt of it is under way: a lock, files, or one of what a key has |
//! | lock | a name that one task holds alone (exclusive), or several together (shared) |
//! | path | files by a [`Glob`](super::glob::Glob) that are written (by one alone) or read (by several) |
//! | key | a name under which tasks are counted: `account:alice` |
//! | limit | how many may run at once, and how many may begin within a window; of the tasks in the hands of one agent, one runs |
//! | lane | tasks of one queue with the same needs: if the first can't begin, no other can |
//! | waiter | a task that was passed over, though an agent was there for it, since others hold what it needs |
//!
//! [`choose()`] decides for one fleet at a time, over everything that all hosts hold:
//!
//! - A task gets everything it needs, or waits and holds nothing: there is no deadlock.
//! - Higher priorities come first, then older tasks; within a fair queue, keys take turns at equal
//!   priority; between queues whose weights differ, queues take turns by their weights.
//! - A task that is blocked is passed over. Once it has been passed over for the patience, what it
//!   needs is kept for it: only tasks that come before it (of a higher priority, or of the same and
//!   older) still get it. So a task waits for what is held when its patience ends, and for what
//!   comes before it, and for nothing else.
//!
//! [`Usage::blockers`] says the same for one task, to whoever asks what it waits for.

mod change;
mod choose;
mod limits;
mod needs;
mod turns;
mod usage;

pub use change::{LimitChange, Limited, QueueChange, Until};
pub use choose::{Ask, Candidate, Choice, choose};
pub use limits::{KeyPattern, Limit, Pause, QueueRules, Rate, Rules, Scope};
pub use needs::{
    Access, Label, LockUse, MAX_LABEL, MAX_NEEDS, Mode, NeedKind, Needs, ParseLabelError, PathUse,
    UnreadableNeed,
};
pub use turns::Turns;
pub use usage::{AgentAt, BlockKind, Blocker, Held, Running, Situation, Start, Usage, Waiter};

#[cfg(test)]
mod tests;
