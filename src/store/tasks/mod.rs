//! Statements on the `tasks` table and what hangs on it: a task from its submit to its end.
//!
//! | file | statements |
//! | --- | --- |
//! | `submit.rs` | new tasks |
//! | `members.rs` | groups and batches: a part of the submit, and their listings |
//! | `unique.rs` | one task per key: a part of the submit |
//! | `run.rs` | what hosts do all the time: claim, settle, promote |
//! | `control.rs` | what people do: cancel, retry |
//! | `bulk.rs` | the same for many tasks |
//! | `letters.rs` | failed tasks |
//! | `graph.rs` | tasks that depend on others |
//! | `unique.rs` | one task per key: a part of the submit |
//! | `run.rs` | what hosts do all the time: claim, settle, promote, expire |
//! | `control.rs` | what people do: cancel, retry, snooze |
//! | `read.rs` | what is told |

mod bulk;
mod control;
mod graph;
mod letters;
mod members;
mod read;
mod run;
mod submit;
mod unique;

pub use bulk::{
    Found, Retried, cancel_many, dependents_among, discard_many, find, find_plain, retry_many,
};
pub use control::{CancelAnswer, RetryAnswer, SnoozeAnswer, cancel, retry, snooze};
pub use graph::{ReleaseAnswer, graph, pending_queues, release, woken_queues};
pub use letters::{dead_letter, dead_letters};
pub use read::{attempts, events, get, list, queues_of_keys};
pub use run::{Promoted, Settled, claim, expire, next_deadline, promote_due, settle, warm};
pub(super) use run::{assignment, readable, run_terms};
pub(super) use submit::check;
pub use submit::{MAX_KEY, MAX_KIND, submit};
