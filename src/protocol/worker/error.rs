//! What can be wrong in a conversation.

use crate::domain::TaskId;

/// A line that a worker must not send. The conversation is over.
///
/// `excerpt` is always the line, escaped and bounded to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The line is not JSON.
    #[error(
        "expected one JSON-RPC 2.0 message a line, and nothing else on stdout; got `{excerpt}`, which is not JSON: {reason}"
    )]
    NotJson {
        /// Where it stops being JSON.
        reason: String,
        /// The line.
        excerpt: String,
    },
    /// The line is JSON, but no JSON-RPC 2.0 message.
    #[error("expected a JSON-RPC 2.0 message; got `{excerpt}`: {reason}")]
    NotRpc {
        /// What is wrong with it.
        reason: String,
        /// The line.
        excerpt: String,
    },
    /// An answer to a request that was never made.
    #[error("expected {expected}; got `{excerpt}`, which answers a request that was never made")]
    UnknownId {
        /// What could have been answered.
        expected: String,
        /// The line.
        excerpt: String,
    },
    /// An error answer without an id: the agent could not read what it was sent.
    #[error("the agent could not read a message it was sent: `{excerpt}`")]
    Unread {
        /// The line.
        excerpt: String,
    },
    /// An error as the answer to `initialize`.
    #[error("expected the result of `initialize`; the agent refused with `{excerpt}`")]
    Refused {
        /// The line.
        excerpt: String,
    },
    /// The result of `initialize` is not of its form.
    #[error("expected a result of `initialize` with `protocol_version`; got `{excerpt}`: {reason}")]
    BadHello {
        /// What is wrong with it.
        reason: String,
        /// The line.
        excerpt: String,
    },
    /// The agent speaks another version.
    #[error("expected protocol version {ours}; the agent speaks {theirs}")]
    Version {
        /// What it said, escaped and bounded.
        theirs: String,
        /// What this host speaks.
        ours: u64,
    },
}

/// Why no task can be given to the worker now.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It has not answered `initialize`.
    #[error("the worker has not answered `initialize`")]
    NotReady,
    /// It has a task.
    #[error("the worker is at work on {0}")]
    Busy(TaskId),
    /// It was asked to shut down.
    #[error("the worker was asked to shut down")]
    Stopping,
    /// The task can't be written as JSON.
    #[error("the task can't be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}
