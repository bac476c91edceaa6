//! What is merged of runs of plans, in the order of each plan.

use deadpool_postgres::GenericClient;
use tokio_postgres::types::{Json, ToSql};

use crate::{
    domain::{Attempt, QueueName, TaskId, plan::run::MERGES, task::TaskState, workspace::Conflict},
    store::{
        StoreError,
        codec::Document,
        statement::{Sql, sql},
    },
};

const TURNS: Sql = sql!("plan_tasks/turns");
const CONFLICT: Sql = sql!("plan_tasks/conflict");

/// How a merge stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The task that stands for it.
    pub merge: TaskId,
    /// Where that is.
    pub state: TaskState,
    /// Its queue: that of merges, unless somebody is to resolve a conflict. None, if it is unknown.
    pub queue: Option<QueueName>,
    /// The queue of the agents that would resolve a conflict.
    pub agents: Option<QueueName>,
    /// The attempt that made what is merged.
    pub attempt: Option<Attempt>,
    /// Whether all before it in the order of the plan have ended.
    pub first: bool,
}

impl Turn {
    /// Whether it is to be merged now.
    pub fn has_come(&self) -> bool {
        let here = self.queue.as_ref().is_some_and(|queue| queue.as_str() == MERGES);
        self.state == TaskState::Pending && here && self.first
    }

    /// Whether it is out of the hands of who merges: it has ended, or somebody resolves it.
    pub fn is_gone(&self) -> bool {
        let elsewhere = self.queue.as_ref().is_none_or(|queue| queue.as_str() != MERGES);
        self.state.is_final() || elsewhere
    }
}

/// How merges stand.
pub async fn turns(db: &impl GenericClient, merges: &[TaskId]) -> Result<Vec<Turn>, StoreError> {
    let rows = TURNS.query(db, &[&merges]).await?;
    rows.iter()
        .map(|row| {
            let fields = TURNS.fields(row);
            Ok(Turn {
                merge: fields.get("id")?,
                state: fields.get("state")?,
                queue: fields.get("queue")?,
                agents: fields.get("agents")?,
                attempt: fields.get("attempt")?,
                first: fields.get("first")?,
            })
        })
        .collect()
}

/// Gives a merge that waits for its turn to those in `queue`, who resolve a conflict: `told` is added to
/// its input. False if it does not wait any more.
pub async fn conflict(
    db: &impl GenericClient,
    merge: TaskId,
    queue: &QueueName,
    told: &serde_json::Value,
    conflict: &Conflict,
) -> Result<bool, StoreError> {
    let given: [&(dyn ToSql + Sync); 5] =
        [&merge, &queue, &Document(told), &Json(conflict), &MERGES];
    Ok(CONFLICT.query_opt(db, &given).await?.is_some())
}
