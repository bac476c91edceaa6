//! What people do to a task: cancel, retry.

use deadpool_postgres::GenericClient;

use crate::{
    domain::{AgentName, Attempt, HostId, QueueName, TaskId, task::TaskState},
    store::{
        StoreError, log,
        statement::{Sql, sql},
    },
};

/// What came of calling a task off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It is cancelled.
    Cancelled,
    /// An attempt is under way; it must end first. Whoever runs it has to be told.
    Requested {
        /// The host that runs it.
        host: HostId,
        /// The agent that runs it.
        agent: AgentName,
        /// The attempt.
        attempt: Attempt,
    },
    /// It has ended already, and stays as it is.
    AlreadyFinal(TaskState),
    /// There is no such task.
    Unknown,
}

/// What came of asking for another try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryAnswer {
    /// It is pending again, with all its attempts before it.
    Retried {
        /// The queue that got work.
        queue: QueueName,
    },
    /// It is neither failed nor cancelled, and stays as it is.
    Refused(TaskState),
    /// There is no such task.
    Unknown,
}

const CANCEL: Sql = sql!("tasks/cancel");
const RETRY: Sql = sql!("tasks/retry");

/// Calls a task off: at once if nobody holds it, else by asking whoever does. A plain task leaves
/// the log for that; one that has completed there stays.
pub async fn cancel(db: &impl GenericClient, task: TaskId) -> Result<CancelAnswer, StoreError> {
    let mut row = CANCEL.query_opt(db, &[&task]).await?;
    if row.is_none() {
        log::track(db, &[(task, None)]).await?;
        row = CANCEL.query_opt(db, &[&task]).await?;
    }
    let Some(row) = row else {
        let ended = super::get(db, task).await?.map(|task| task.state);
        return Ok(ended.map_or(CancelAnswer::Unknown, CancelAnswer::AlreadyFinal));
    };
    let fields = CANCEL.fields(&row);
    let state: TaskState = fields.get("state")?;
    Ok(if state.is_held() {
        CancelAnswer::Requested {
            host: fields.get("host_id")?,
            agent: fields.get("agent")?,
            attempt: fields.get("attempt")?,
        }
    } else if state.is_final() {
        CancelAnswer::AlreadyFinal(state)
    } else {
        CancelAnswer::Cancelled
    })
}

/// Gives a failed or cancelled task another round of attempts, at once. None in the log is either.
pub async fn retry(db: &impl GenericClient, task: TaskId) -> Result<RetryAnswer, StoreError> {
    let Some(row) = RETRY.query_opt(db, &[&task]).await? else {
        let found = super::get(db, task).await?.map(|task| task.state);
        return Ok(found.map_or(RetryAnswer::Unknown, RetryAnswer::Refused));
    };
    let fields = RETRY.fields(&row);
    Ok(match fields.get("state")? {
        TaskState::Failed | TaskState::Cancelled => {
            RetryAnswer::Retried { queue: fields.get("queue")? }
        }
        state => RetryAnswer::Refused(state),
    })
}
