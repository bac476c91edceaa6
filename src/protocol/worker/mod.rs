//! The conversation with a worker: JSON-RPC 2.0, one message a line.
//!
//! A [`WorkerSession`] is one side of one conversation, as a value: it makes the bytes to send and
//! says what a received line means. It belongs to one process; a new process gets a new session.
//!
//! | the worker | may be sent | may send |
//! | --- | --- | --- |
//! | was just started | [`hello`](WorkerSession::hello) | the answer to it, `heartbeat`, `task/log` |
//! | is ready | [`run`](WorkerSession::run), [`shutdown`](WorkerSession::shutdown) | `heartbeat`, `task/log` |
//! | has a task | [`cancel`](WorkerSession::cancel), [`shutdown`](WorkerSession::shutdown) | all notifications, the answer |
//!
//! Guarantees: an outcome is told once per attempt, and only for the attempt that is under way;
//! whatever is late is [`Received::Ignored`]. A session that returned a [`ProtocolError`] has lost
//! track of its agent: end the process. Any line at all, ignored ones too, is a sign of life.

mod error;
mod notice;
mod session;
mod wire;

#[cfg(test)]
mod tests;

pub use error::{ProtocolError, RunError};
pub use notice::{Artifact, ArtifactBody, LogLevel, MAX_LOG, MAX_NAME, MAX_PROGRESS};
pub use session::{MAX_MESSAGE, PROTOCOL_VERSION, Received, Terms, WorkerSession};

/// The error code of an answer to a task that was called off: "request cancelled". After
/// `shutdown`, an agent gives a task back with it, and no attempt is used up.
pub const REQUEST_CANCELLED: i64 = -32800;

/// The error code of an answer that does not want the task now: it is put off for the
/// `retry_after_ms` of its data, and no attempt is used up.
pub const NOT_NOW: i64 = -32801;
