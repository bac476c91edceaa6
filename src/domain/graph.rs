//! Tasks that wait for other tasks: what a submit says of it, and what follows from how these end.
//!
//! | file | what is decided there |
//! | --- | --- |
//! | this one | what a dependency that ended means to whoever waits for it: [`weigh`] |
//! | `resolve.rs` | which tasks the names in a submit stand for; what is wrong with them |
//! | `order.rs` | ids in an order in which a dependency is always the older one |
//! | `condition.rs` | whether a task is done at all, by the results of dependencies |
//! | `input.rs` | inputs that are templates over the results of dependencies |
//!
//! The database carries [`weigh`] out, in the commit in which a task ends: see
//! `sql/migrations/0010_graphs.sql`. A test walks its table and this one.

mod condition;
mod input;
mod order;
mod resolve;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{TaskId, task::TaskState};

pub use condition::{condition_uses, holds};
pub use input::{InputError, Names, Results, Unread, check, render, render_of};
pub use order::in_order;
pub use resolve::{Fault, Target, Wanted, resolve};

/// The longest name of a task within its submit, in characters.
pub const MAX_REFERENCE: usize = 64;

/// The most dependencies in one submit.
pub const MAX_DEPENDENCIES: usize = 1_000_000;

/// What becomes of a task when one that it depends on fails or is cancelled.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DependencyPolicy {
    /// It is cancelled, and with it what depends on it.
    #[default]
    Cancel,
    /// It runs all the same.
    Run,
    /// It waits until the other is tried again and completes, or somebody lets it go on.
    Hold,
}

impl DependencyPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Run, Self::Hold];

    /// The word used in SQL, in the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Run => "run",
            Self::Hold => "hold",
        }
    }
}

impl fmt::Display for DependencyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `cancel`, `run` or `hold`, not `{0}`")]
pub struct UnknownPolicy(String);

impl std::str::FromStr for DependencyPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| UnknownPolicy(text.chars().take(MAX_REFERENCE).collect()))
    }
}

/// Where a new task stands in the graph of its submit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// What other tasks of the submit call it.
    pub reference: Option<String>,
    /// What it waits for, in the order in which it was said.
    pub depends_on: Vec<Dependency>,
    /// What becomes of it when one of these fails or is cancelled.
    pub policy: DependencyPolicy,
    /// Whether its input is a template over their results.
    pub template: bool,
}

/// One thing that a new task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The task: one of the same submit, or one that is there already.
    pub task: TaskId,
    /// What the dependent calls it: a name of the submit, or the id.
    pub name: String,
    /// Whether its input uses the result.
    pub used: bool,
}

/// What a dependency means to a blocked task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It is waited for.
    Open,
    /// It is done with.
    Done,
    /// It ended badly, and holds the task up until it is tried again or the task is released.
    Holds,
    /// It ended badly just now, and the task with it.
    Cancels,
}

/// Decides what a dependency that comes to `state` means to a blocked task with `policy`.
///
/// One that is counted again later, because the task is tried again after it was cancelled, does not
/// cancel it once more: then [`Weight::Cancels`] is as good as [`Weight::Holds`].
pub const fn weigh(policy: DependencyPolicy, state: TaskState) -> Weight {
    match (state, policy) {
        (TaskState::Completed, _) => Weight::Done,
        (TaskState::Failed | TaskState::Cancelled, DependencyPolicy::Run) => Weight::Done,
        (TaskState::Failed | TaskState::Cancelled, DependencyPolicy::Hold) => Weight::Holds,
        (TaskState::Failed | TaskState::Cancelled, DependencyPolicy::Cancel) => Weight::Cancels,
        _ => Weight::Open,
    }
}

/// What the store knows of why a task is blocked, or was cancelled for another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many tasks it still waits for.
    pub waits_for: u32,
    /// The first of them that ended badly, or is gone.
    pub held_by: Option<TaskId>,
    /// The dependency for which it was cancelled.
    pub stopped_by: Option<TaskId>,
    /// The task whose end began that.
    pub cause: Option<TaskId>,
}

/// Why a task in `state` is blocked, or was cancelled for another; for a person.
pub fn reason(state: TaskState, standing: &Standing) -> Option<String> {
    match (state, standing) {
        (TaskState::Blocked, Standing { held_by: Some(task), .. }) => Some(format!(
            "{task} ended without a result: retry it, or release this task to go on without it"
        )),
        (TaskState::Blocked, Standing { waits_for: 1, .. }) => Some("waits for a task".to_owned()),
        (TaskState::Blocked, Standing { waits_for, .. }) => {
            Some(format!("waits for {waits_for} tasks"))
        }
        (TaskState::Cancelled, Standing { stopped_by: Some(by), cause, .. }) => match cause {
            Some(cause) if cause != by => Some(format!(
                "{cause} ended without a result, and this task depends on it through {by}"
            )),
            _ => Some(format!("{by} ended without a result, and this task depends on it")),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
