//! What can go wrong when somebody asks something of a session.

use crate::{
    domain::{
        access::Denied,
        session::{IllegalSessionStep, NoCursor, SessionId},
    },
    queue::QueueError,
    store::StoreError,
};

/// What can go wrong, as far as a caller can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no such session.
    #[error("there is no session `{session}`; make it with `create_session`")]
    UnknownSession {
        /// The id that was asked for.
        session: SessionId,
    },
    /// There is a session of the id already.
    #[error("there is a session `{session}` already")]
    Exists {
        /// The id.
        session: SessionId,
    },
    /// The session is not in a state in which that can be done.
    #[error("session `{session}` can't do that: {step}")]
    Illegal {
        /// The session.
        session: SessionId,
        /// Where it is, and what was asked for.
        step: IllegalSessionStep,
    },
    /// The session is over and takes nothing more.
    #[error("session `{session}` is completed and takes nothing more; make another")]
    Completed {
        /// The session.
        session: SessionId,
    },
    /// The session has something in it, and was to be deleted only without.
    #[error("session `{session}` is not empty; it is deleted with all that is in it by `cascade`")]
    NotEmpty {
        /// The session.
        session: SessionId,
    },
    /// There is no such thing in the session.
    #[error("session `{session}` has no {what} `{name}`")]
    Unknown {
        /// The session.
        session: SessionId,
        /// What it is.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// Something is in a state in which that can't be done.
    #[error("{what}")]
    WrongState {
        /// What it is, and what can't be done.
        what: String,
    },
    /// What was given for a field can't be used.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The operator does not allow it.
    #[error("{field}: {detail}")]
    NotAllowed {
        /// The field.
        field: &'static str,
        /// What is not allowed, and what is.
        detail: String,
    },
    /// The caller's key does not reach it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The queue, or the database behind it.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A fault of this program.
    #[error("{0}")]
    Fault(&'static str),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Queue(error.into())
    }
}

impl From<NoCursor> for SessionError {
    fn from(error: NoCursor) -> Self {
        Self::Invalid { field: "cursor".to_owned(), detail: error.to_string() }
    }
}
