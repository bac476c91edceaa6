//! What can go wrong when somebody asks the queue.

use crate::{
    domain::{
        BatchId, EndpointName, GroupName, PlanRunId, PlanTaskId, QueueName, ScheduleName, TaskId,
        admission::KeyPattern, task::TaskState, unique::Rejected,
    },
    store::{Recovery, StoreError},
};

/// What can go wrong, as far as a caller can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such task.
    #[error("there is no task {task}")]
    UnknownTask {
        /// The id that was asked for.
        task: TaskId,
    },
    /// There is no such queue.
    #[error("there is no queue `{queue}`; `hostler queue list` shows those there are")]
    UnknownQueue {
        /// The name that was asked for.
        queue: QueueName,
    },
    /// A task depends on one that is not there.
    #[error("there is no task {task}; it may have been deleted")]
    UnknownDependency {
        /// Which task of the submit, counted from 0.
        position: usize,
        /// Which of its dependencies.
        nth: usize,
        /// The task that is not there.
        task: TaskId,
    },
    /// A task can't be kept as it is.
    #[error("{problem}")]
    Unstorable {
        /// Which task of the submit, counted from 0.
        position: usize,
        /// Which of its fields.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No key is held back under this name.
    #[error("no key is paused as `{key}`; `hostler limit list` shows those that are")]
    UnknownKey {
        /// The name that was asked for.
        key: KeyPattern,
    },
    /// There is no such schedule.
    #[error("there is no schedule `{schedule}`; `hostler schedule list` shows those there are")]
    UnknownSchedule {
        /// The name that was asked for.
        schedule: ScheduleName,
    },
    /// There is no such run of a plan.
    #[error("there is no run {run}; `hostler plan list` shows those there are")]
    UnknownRun {
        /// The id that was asked for.
        run: PlanRunId,
    },
    /// The plan of the run has no such task.
    #[error("run {run} has no task `{task}`; `hostler plan show {run}` shows those it has")]
    UnknownPlanTask {
        /// The run.
        run: PlanRunId,
        /// The name that was asked for.
        task: PlanTaskId,
    },
    /// A run, or a task of one, is in a state where that can't be done.
    #[error("{subject} is {state}: {what}")]
    WrongMoment {
        /// The run or the task.
        subject: String,
        /// Where it is.
        state: String,
        /// What can't be done, and what can.
        what: &'static str,
    },
    /// The task is in a state where that can't be done.
    #[error("task {task} is {state}: {what}")]
    WrongState {
        /// The task.
        task: TaskId,
        /// Where it is.
        state: TaskState,
        /// What can't be done, and what can.
        what: &'static str,
    },
    /// A task of a submit was to be the only one of its key, and another is in its way.
    #[error("task {} has its key already and is {}", rejected.task, rejected.state)]
    NotUnique {
        /// Which task of the submit, and what is in its way.
        rejected: Rejected,
    },
    /// There is no such batch.
    #[error("there is no batch {batch}")]
    UnknownBatch {
        /// The id that was asked for.
        batch: BatchId,
    },
    /// The batch takes no more tasks.
    #[error("batch {batch} is closed: no more tasks can be added to it")]
    BatchClosed {
        /// The batch.
        batch: BatchId,
    },
    /// There is no task in this group.
    #[error("there is no task in group `{group}`")]
    UnknownGroup {
        /// The name that was asked for.
        group: GroupName,
    },
    /// The task is not failed, or there is no such task.
    #[error("there is no failed task {task}")]
    NotDead {
        /// The id that was asked for.
        task: TaskId,
    },
    /// There is no such endpoint of webhooks.
    #[error("there is no endpoint `{endpoint}`; `hostler webhook endpoints` shows those there are")]
    UnknownEndpoint {
        /// The name that was asked for.
        endpoint: EndpointName,
    },
    /// There is no such delivery of a webhook.
    #[error("there is no delivery {delivery}; it may have been deleted")]
    UnknownDelivery {
        /// The id that was asked for.
        delivery: String,
    },
    /// Steps of the feed were deleted that the reader has not been told of.
    #[error(
        "steps after this cursor were deleted, for their terms are over ([history] in the config): ask for the tasks that you follow, and read on from `latest`, or without a cursor from the oldest that is kept"
    )]
    FeedCut,
    /// Postgres does not answer now; the same call may work soon.
    #[error("the database does not answer; try again")]
    Unavailable(#[source] StoreError),
    /// The statement failed, and would again.
    #[error("the database refused a statement")]
    Internal(#[source] StoreError),
}

impl From<StoreError> for QueueError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownQueue { queue } => Self::UnknownQueue { queue },
            StoreError::NotUnique { rejected } => Self::NotUnique { rejected },
            StoreError::UnknownBatch { batch } => Self::UnknownBatch { batch },
            StoreError::BatchClosed { batch } => Self::BatchClosed { batch },
            StoreError::UnknownDependency { position, nth, task } => {
                Self::UnknownDependency { position, nth, task }
            }
            StoreError::Unstorable { position, field, problem } => {
                Self::Unstorable { position, field, problem }
            }
            StoreError::FeedCut => Self::FeedCut,
            error if error.recovery() == Recovery::RetryLater => Self::Unavailable(error),
            error => Self::Internal(error),
        }
    }
}
