//! What can go wrong when somebody asks about keys.

use crate::{
    domain::access::KeyId,
    store::{Recovery, StoreError},
};

/// What can go wrong, as far as a caller can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no such key.
    #[error("there is no API key `{key}`; `hostler key list` shows those there are")]
    UnknownKey {
        /// What was asked for.
        key: KeyId,
    },
    /// Postgres does not answer now; the same call may work soon.
    #[error("the database does not answer; try again")]
    Unavailable(#[source] StoreError),
    /// The statement failed, and would again.
    #[error("the database refused a statement")]
    Internal(#[source] StoreError),
}

impl From<StoreError> for AccessError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.recovery() == Recovery::RetryLater => Self::Unavailable(error),
            error => Self::Internal(error),
        }
    }
}
