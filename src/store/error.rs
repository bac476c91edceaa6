//! What can go wrong in the store, and what the caller may do about it.
//!
//! No error here shows a value: not a password, not an input, not a key. What the server says of a
//! failing row (its DETAIL) is left out for the same reason.

use std::{error::Error as StdError, fmt, io, time::Duration};

use deadpool_postgres::{HookError, PoolError, TimeoutType};

use crate::domain::{BatchId, QueueName, ScheduleName, TaskId, task::TaskEvent, unique::Rejected};

/// An error from the store. Variants name what the caller can act on, not which library failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL of the database cannot be used. The URL is not shown: it may hold a password.
    #[error("the database URL {problem}")]
    Url {
        /// What is wrong with it.
        problem: &'static str,
    },

    /// Certificates cannot be checked, and the URL asks for that.
    #[error("TLS cannot be set up: {problem}")]
    Tls {
        /// What is missing.
        problem: &'static str,
    },

    /// Every connection was busy for the whole configured wait.
    #[error("no database connection became free in time")]
    PoolExhausted,

    /// No connection could be made: the server is away, or turned us down.
    #[error("the database cannot be reached")]
    Unavailable {
        /// What the server or the link said; absent where it said nothing for too long.
        source: Option<Cause>,
    },

    /// The server took a statement, and said nothing for the whole limit. It may have been done.
    #[error("the database did not answer within {} s", limit.as_secs_f32())]
    Silent {
        /// The limit.
        limit: Duration,
    },

    /// A session that was to be ended has not ended yet.
    #[error("a former session of this host has not ended yet")]
    Severing,

    /// The server or the link failed while a statement ran.
    #[error("statement `{statement}` failed")]
    Statement {
        /// The name of the statement: its path below `sql/queries`.
        statement: &'static str,
        /// What the server or the link said.
        source: Cause,
    },

    /// A row held a value that this build does not know. Usually a newer schema.
    #[error("statement `{statement}` returned a `{column}` that this version does not know")]
    UnknownValue {
        /// The name of the statement.
        statement: &'static str,
        /// The column.
        column: &'static str,
    },

    /// A task was submitted to a queue that is not there. Nothing of its batch was inserted.
    #[error("there is no queue `{queue}`")]
    UnknownQueue {
        /// The queue.
        queue: QueueName,
    },

    /// A schedule holds something that this build, or this machine, does not know.
    #[error("the schedule `{schedule}` can't be read: {problem}")]
    UnreadableSchedule {
        /// The schedule.
        schedule: ScheduleName,
        /// What is wrong with it.
        problem: String,
    },

    /// A task cannot be kept as it is. Nothing of its batch was inserted.
    #[error("task {position} of the batch: `{field}` {problem}")]
    Unstorable {
        /// Which task of the batch, counted from 0.
        position: usize,
        /// Which of its fields.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A task depends on one that is not there. Nothing of its batch was inserted.
    #[error("task {position} of the batch depends on {task}, and there is no such task")]
    UnknownDependency {
        /// Which task of the batch, counted from 0.
        position: usize,
        /// Which of its dependencies.
        nth: usize,
        /// The task that is not there.
        task: TaskId,
    },

    /// Steps were deleted that the reader of the feed has not been told of.
    #[error("steps of the feed after this place were deleted")]
    FeedCut,

    /// A lane of the log does not end with the task that a batch was to come after. Nothing was appended.
    #[error("a lane of the log has not the newest task that its host knew")]
    MovedOn,

    /// A key was taken by another submit in the very moment, and its task is younger than one of
    /// this batch that depends on it. Nothing was inserted; the next try sees it.
    #[error("another submit took an idempotency key of this batch in the same moment")]
    Overtaken,

    /// A task was to be the only one of its key, and another is in its way. Nothing of its batch
    /// was inserted.
    #[error("task {} of the batch: task {} has its key and is {}", rejected.position, rejected.task, rejected.state)]
    NotUnique {
        /// Which task, and what is in its way.
        rejected: Rejected,
    },

    /// A task was submitted to a batch that is not there. Nothing was inserted.
    #[error("there is no batch {batch}")]
    UnknownBatch {
        /// The batch.
        batch: BatchId,
    },

    /// A task was submitted to a batch that takes no more. Nothing was inserted.
    #[error("batch {batch} is closed")]
    BatchClosed {
        /// The batch.
        batch: BatchId,
    },

    /// A settlement says something that ends no attempt. Nothing of its batch was written.
    #[error("{event:?} does not end an attempt")]
    NotAnEnd {
        /// What it says.
        event: TaskEvent,
    },

    /// The schema was changed by a newer version in a way that this one cannot work with.
    #[error(
        "the database has schema version {found} and this program knows {known}: version {found} breaks older programs, because {reason}; upgrade this host"
    )]
    SchemaTooNew {
        /// The newest breaking version in the database.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
        /// What the migration says.
        reason: String,
    },

    /// A migration could not be run. Those before it stay.
    #[error("the database schema cannot be brought up to date: {problem}")]
    Migration {
        /// Which step failed, and what the server or the link said.
        problem: String,
        /// Whether it passes by itself.
        passes: bool,
    },
}

/// What a caller may do with a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The same call may work soon. Back off and try again.
    RetryLater,
    /// Trying again cannot help; give the work up.
    GiveUp,
}

impl StoreError {
    /// The error of a transaction that could not begin or commit.
    pub(crate) fn transaction(source: tokio_postgres::Error) -> Self {
        Self::Statement { statement: "transaction", source: Cause(source) }
    }

    /// Whether the server undid the transaction because it and another waited for each other: done
    /// again at once, it may well go through.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Statement { source, .. } if source.sqlstate() == Some("40P01"))
    }

    /// The one place that knows which failures pass by themselves.
    pub fn recovery(&self) -> Recovery {
        let passes = match self {
            // Whatever the server has against us now, an operator can mend it, and the work that
            // waits for a connection is as good then as it is now.
            Self::PoolExhausted
            | Self::Silent { .. }
            | Self::Severing
            | Self::Unavailable { .. }
            | Self::MovedOn
            | Self::Overtaken => true,
            Self::Statement { source, .. } => source.passes(),
            Self::Migration { passes, .. } => *passes,
            Self::Url { .. }
            | Self::Tls { .. }
            | Self::UnknownValue { .. }
            | Self::UnknownQueue { .. }
            | Self::UnknownDependency { .. }
            | Self::UnreadableSchedule { .. }
            | Self::Unstorable { .. }
            | Self::NotUnique { .. }
            | Self::UnknownBatch { .. }
            | Self::BatchClosed { .. }
            | Self::NotAnEnd { .. }
            | Self::FeedCut
            | Self::SchemaTooNew { .. } => false,
        };
        if passes { Recovery::RetryLater } else { Recovery::GiveUp }
    }
}

impl StoreError {
    /// Whether a row was there already that the statement was to insert.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Statement { source, .. } if source.sqlstate() == Some("23505"))
    }

    /// Whether a lane of the log does not end where who appended to it thought.
    pub fn is_moved_on(&self) -> bool {
        match self {
            Self::MovedOn => true,
            Self::Statement { source, .. } => source.constraint() == Some("log_tasks_pkey"),
            _ => false,
        }
    }

    /// Whether a row was not as a constraint of its table wants it.
    pub(super) fn is_check(&self) -> bool {
        matches!(self, Self::Statement { source, .. } if source.sqlstate() == Some("23514"))
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => Self::PoolExhausted,
            PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source)) => {
                Self::Unavailable { source: Some(Cause(source)) }
            }
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Self::Unavailable { source: None },
        }
    }
}

/// What the server or the link said, without the values that it says it of.
pub struct Cause(tokio_postgres::Error);

impl Cause {
    /// The five characters by which the server names an error, if the server answered.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.code().map(tokio_postgres::error::SqlState::code)
    }

    /// The constraint of which the server said that something is against it.
    fn constraint(&self) -> Option<&str> {
        self.0.as_db_error()?.constraint()
    }

    fn passes(&self) -> bool {
        passes(&self.0)
    }
}

/// Whether what the server or the link said passes by itself.
pub(super) fn passes(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code().map(tokio_postgres::error::SqlState::code) else {
        // The link broke, or nobody answered. Anything else that has no SQLSTATE is a value that
        // could not be written or read.
        return error.source().is_none_or(|source| source.is::<io::Error>());
    };
    // Connection trouble; conflict with another transaction, such as a deadlock; a resource that
    // ran out; an operator at work. See the appendix on error codes in PostgreSQL's manual.
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57")
        // A lock was not free; the server is a standby, as for a moment after a switch-over.
        || matches!(code, "55P03" | "25006")
}

/// What the server or the link said, without the values that it says it of.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        return error.to_string();
    };
    let code = db.code().code();
    // What is said of wrong data quotes the data.
    if code.starts_with("22") {
        format!("SQLSTATE {code}")
    } else {
        format!("SQLSTATE {code}: {}", db.message())
    }
}

impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&said(&self.0))
    }
}

// Debug prints like Display: what is inside would show values.
impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source().filter(|source| source.is::<io::Error>())
    }
}
