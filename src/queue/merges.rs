//! Merges of what was made in workspaces, for the host that has these.

use serde_json::json;

use super::{QueueError, QueueHandle, messages::Reason};
use crate::{
    domain::{
        QueueName, TaskId,
        plan::run::{self, HOST, PERSON},
        workspace::{Conflict, Resolver, WorkspaceRecord, told},
    },
    store::plans::{self, ByHand, Turn},
};

impl QueueHandle {
    /// How merges stand that wait for their turn.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn turns(&self, merges: &[TaskId]) -> Result<Vec<Turn>, QueueError> {
        Ok(plans::turns(&self.store.client().await?, merges).await?)
    }

    /// What the task `merge` stands for is merged, by `commit`: of itself, or because a person resolved it.
    /// False if it is not pending any more.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn merged(
        &self,
        merge: TaskId,
        commit: &str,
        by_person: bool,
    ) -> Result<bool, QueueError> {
        let output = json!({ "merged": commit });
        let who = if by_person { PERSON } else { HOST };
        self.ended_by(who, merge, ByHand::Completed(output)).await
    }

    /// What the task `merge` stands for can't be merged: it goes to a person, or to the agents in
    /// `agents`, with the conflict in its input.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn in_conflict(
        &self,
        merge: TaskId,
        record: &WorkspaceRecord,
        conflict: &Conflict,
        agents: Option<QueueName>,
    ) -> Result<(), QueueError> {
        let by_agent = record.on_conflict == Resolver::Agent && record.problem.is_none();
        let queue = agents.filter(|_| by_agent).or_else(run::people);
        let Some(queue) = queue else { return Ok(()) };
        let told = told(record, conflict);
        let moved = self
            .store
            .transact(async |db| plans::conflict(db, merge, &queue, &told, conflict).await)
            .await?;
        if moved {
            self.wake_for(vec![queue], Reason::Needing);
        }
        Ok(())
    }
}
