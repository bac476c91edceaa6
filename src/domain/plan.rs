//! What a plan is, and what can be said of it without a schedule.
//!
//! | word | meaning |
//! | --- | --- |
//! | plan | tasks with durations, dependencies and files, for a fleet to carry out |
//! | estimate | how long a task takes: one figure, or three |
//! | file use | files that a task reads or writes, by a [`Glob`] |
//! | conflict | two tasks that no dependency orders, of which one writes what the other uses |
//! | pool | agents of a plan that can do the same |
//! | phase | a named part of a plan; a barrier only where a person wants it to be |
//! | preparation | a phase that is done before the clock of the plan starts |
//! | part | a task that stands for a share of one or more others, should they be split |
//! | slot | when a task runs, and who runs it |
//! | run | a plan that is carried out: see [`run`] |
//!
//! Times are milliseconds from the start of the plan; `docs/PLANS.md` is this for people.

mod conflict;
mod graph;
mod learned;
pub mod run;
mod schedule;
mod split;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Capability, FleetName, Millis, PhaseName, PlanTaskId, QueueName, workspace::Resolver};

pub use super::glob::{Glob, ParseGlobError};
pub use conflict::{Conflict, Locks, Pair, conflicts, locks};
pub use graph::{Graph, Reach, Times};
pub use learned::{Learned, NEWEST};
pub use schedule::{Cause, Schedule, Slot, Wait, Worker};
pub use split::Split;

/// A plan: what a plan file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What people call it.
    pub title: String,
    /// How many people there are for tasks that wait for a person.
    pub people: u32,
    /// The agents, where the plan says which there are.
    pub pools: Vec<Pool>,
    /// The phases, in their order.
    pub phases: Vec<Phase>,
    /// The tasks, in the order of the file.
    pub tasks: Vec<PlanTask>,
}

impl Plan {
    /// Whether some of its agents may take this task.
    pub fn has_agent_for(&self, task: &PlanTask) -> bool {
        self.pools.iter().any(|pool| task.needs.met_by(pool))
    }
}

/// A phase of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: PhaseName,
    /// What people call it.
    pub title: String,
    /// Whether it is done before the clock of the plan starts, so that no figure counts it.
    pub preparation: bool,
}

/// Agents that can do the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    /// The fleet that they belong to.
    pub fleet: Option<FleetName>,
    /// How many.
    pub count: u32,
    /// The queues that they serve.
    pub queues: Vec<QueueName>,
    /// What they can do.
    pub capabilities: Vec<Capability>,
}

/// One task of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTask {
    /// Its name in the plan.
    pub id: PlanTaskId,
    /// What people call it.
    pub title: String,
    /// Which agents may take it.
    pub needs: Needs,
    /// How long it takes.
    pub estimate: Estimate,
    /// The tasks that must be done before it starts.
    pub depends_on: Vec<PlanTaskId>,
    /// The files that it uses.
    pub files: Vec<FileUse>,
    /// Which of two tasks goes first where both could; higher is sooner.
    pub priority: i16,
    /// What its agent is given.
    pub input: Value,
    /// When it is run at all: an expression over the results of the tasks before it.
    pub condition: Option<String>,
    /// Whether a person must allow it before it starts.
    pub approval: bool,
    /// How long its agent may be silent; its fleet's limit where absent.
    pub stale_after: Option<Duration>,
    /// The phase that it belongs to.
    pub phase: Option<PhaseName>,
    /// Who does it.
    pub owner: Owner,
    /// The tasks that this one, with the others of the same list, may stand for.
    pub split_of: Vec<PlanTaskId>,
    /// The branch of a workspace of its own; none where it works in the one of all.
    pub branch: Option<String>,
    /// What becomes of the branch.
    pub merge: Merge,
    /// A directory of the repository of the workspace; none where only who runs the plan says it.
    pub git: Option<PathBuf>,
    /// What the branch begins at.
    pub base: Option<String>,
    /// Who resolves what can't be merged.
    pub on_conflict: Resolver,
}

impl PlanTask {
    /// Whether it works on files that no other task sees before the merge.
    pub const fn is_apart(&self) -> bool {
        self.branch.is_some()
    }
}

/// Which agents may take a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Needs {
    /// Any of them.
    #[default]
    Anyone,
    /// Those of this fleet.
    Fleet(FleetName),
    /// Those that serve this queue.
    Queue(QueueName),
    /// Those that can do this.
    Capability(Capability),
}

impl Needs {
    /// Whether the agents of `pool` are meant.
    pub fn met_by(&self, pool: &Pool) -> bool {
        match self {
            Self::Anyone => true,
            Self::Fleet(fleet) => pool.fleet.as_ref() == Some(fleet),
            Self::Queue(queue) => pool.queues.contains(queue),
            Self::Capability(capability) => pool.capabilities.contains(capability),
        }
    }
}

/// Who does a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// An agent.
    #[default]
    Agent,
    /// A person: the plan waits, and no agent is kept.
    Human,
}

impl Owner {
    /// The word of the plan file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Human => "human",
        }
    }
}

/// What becomes of the branch of a task that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// It is merged into the base.
    #[default]
    Merge,
    /// It is rebased onto the base.
    Rebase,
    /// It is left for a person.
    Leave,
}

impl Merge {
    /// Whether nothing becomes of it.
    pub const fn is_leave(&self) -> bool {
        matches!(self, Self::Leave)
    }

    /// The word of the plan file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Rebase => "rebase",
            Self::Leave => "leave",
        }
    }
}

/// Files that a task uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUse {
    /// Which.
    pub glob: Glob,
    /// Whether it writes them; else it only reads them.
    pub write: bool,
}

/// How long a task takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimate {
    /// One figure.
    Fixed(Duration),
    /// Three figures, the first the least and the last the most.
    Range {
        /// If all goes well.
        optimistic: Duration,
        /// As a rule.
        likely: Duration,
        /// If all goes wrong.
        pessimistic: Duration,
    },
}

impl Estimate {
    /// What to plan with, in milliseconds: the figure, or the mean of the PERT distribution,
    /// `(optimistic + 4 likely + pessimistic) / 6`.
    pub fn expected(&self) -> Millis {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 8);
        match self {
            Self::Fixed(duration) => ms(*duration),
            Self::Range { optimistic, likely, pessimistic } => {
                (ms(*optimistic) + 4 * ms(*likely) + ms(*pessimistic)) / 6
            }
        }
    }

    /// Whether it says more than one figure.
    pub const fn is_range(&self) -> bool {
        matches!(self, Self::Range { .. })
    }
}
