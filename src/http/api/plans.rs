//! Of plans that are carried out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Line;
use crate::domain::{
    PlanTaskId, QueueName,
    admission::Needs,
    plan::run::{NewRun, NewRunTask, Planned, RunFigures, RunRecord},
    workspace::WorkspaceSpec,
};

/// A plan that is to be carried out, as a client writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunBody {
    /// The plan: an object with the fields of a plan file, or the text of one.
    pub plan: Value,
    /// Of a text: `toml`, `yaml` or `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How many agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10000)]
    pub agents: Option<u32>,
    /// The queue of all that agents do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
    /// A rehearsal at this speed: `1h=1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^1h=[1-9][0-9]{0,2}(ms|s|m)$")]
    pub speed: Option<String>,
    /// Whether phases are barriers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub phased: bool,
    /// Whether tasks are replaced by their parts where that is faster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub split: bool,
    /// Whether earlier runs say how long tasks take.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_history: bool,
    /// The absolute path of a repository: agents work in workspaces of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^/.*$")]
    pub git: Option<String>,
    /// What the work begins at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The absolute path of the directory that relative paths in the plan begin at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^/.*$")]
    pub dir: Option<String>,
    /// Only say what would be submitted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// A second submit with the same key is the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Line>)]
    pub idempotency_key: Option<String>,
}

/// The answer to a plan that is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunSubmitted {
    /// The run.
    #[serde(flatten)]
    pub run: RunRecord,
    /// Whether this request made it.
    pub created: bool,
}

/// What would be submitted of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunPreview {
    /// Always true: a run looks otherwise.
    pub dry_run: bool,
    /// What people call the plan.
    pub title: String,
    /// How many agents work at once, at the most.
    pub agents: u32,
    /// How many milliseconds of the clock an hour of the plan takes.
    pub hour_ms: u64,
    /// What was planned.
    #[serde(flatten)]
    pub figures: RunFigures,
    /// Whether no schedule is shorter.
    pub proven_optimal: bool,
    /// The tasks, in the order in which they go.
    pub tasks: Vec<TaskPreview>,
}

/// What would be submitted of one task of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskPreview {
    /// Its name in the plan.
    pub id: PlanTaskId,
    /// The queue it would go to.
    pub queue: QueueName,
    /// Higher goes first.
    pub priority: i16,
    /// Whether a person does it.
    pub human: bool,
    /// Whether a person must allow it.
    pub approval: bool,
    /// When it is done at all.
    pub condition: Option<String>,
    /// What was planned.
    #[serde(flatten)]
    pub planned: Planned,
    /// Who is to do it.
    pub worker: String,
    /// Whether it is on the longest chain.
    pub critical: bool,
    /// Which it is among those that are merged, if it is.
    pub merge_rank: Option<usize>,
    /// What it works in.
    pub workspace: Option<WorkspaceSpec>,
    /// What it needs for itself.
    #[serde(flatten)]
    pub needs: Needs,
    /// What its agent would be given.
    pub input: Value,
}

impl RunPreview {
    /// What would be submitted of `run`.
    pub fn of(run: &NewRun) -> Self {
        let task = |task: &NewRunTask| TaskPreview {
            id: task.name.clone(),
            queue: task.queue.clone(),
            priority: task.task.priority,
            human: task.human,
            approval: task.gate.is_some(),
            condition: task.condition.clone(),
            planned: task.planned,
            worker: task.worker.clone(),
            critical: task.critical,
            merge_rank: task.merge.as_ref().map(|merge| merge.rank),
            workspace: task.task.terms.workspace.clone(),
            needs: task.task.terms.needs.clone(),
            input: task.task.input.clone(),
        };
        let mut tasks: Vec<_> = run.tasks.iter().map(task).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.priority));
        Self {
            dry_run: true,
            title: run.title.clone(),
            agents: run.agents,
            hour_ms: run.hour_ms,
            figures: run.figures.clone(),
            proven_optimal: run.figures.is_proven(),
            tasks,
        }
    }
}
