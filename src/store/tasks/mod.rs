//! Statements on the `tasks` table and what hangs on it: a task from its submit to its end.
//!
//! | file | statements |
//! | --- | --- |
//! | `submit.rs` | new tasks |
//! | `graph.rs` | tasks that depend on others |
//! | `unique.rs` | one task per key: a part of the submit |
//! | `run.rs` | what hosts do all the time: claim, settle, promote |
//! | `control.rs` | what people do: cancel, retry |
//! | `read.rs` | what is told |

mod control;
mod graph;
mod read;
mod run;
mod submit;
mod unique;

pub use control::{CancelAnswer, RetryAnswer, cancel, retry};
pub use graph::{ReleaseAnswer, graph, pending_queues, release, woken_queues};
pub use read::{attempts, events, get, list};
pub(super) use run::run_terms;
pub use run::{Promoted, Settled, claim, promote_due, settle};
pub(super) use submit::check;
pub use submit::{MAX_KEY, MAX_KIND, submit};
