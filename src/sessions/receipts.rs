//! Requests that may come twice, and are carried out once.

use std::time::Duration;

use serde_json::Value;

use super::{SessionError, Sessions};
use crate::store::sessions::receipts::{self, Take};

/// How long an answer is kept for a request that comes again.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long a request may take beyond the wait for a task; after that its host is lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request that is carried out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    kind: &'static str,
    key: String,
}

impl Sessions {
    /// Whether the request with this key is to be carried out now, and if not, what was answered:
    /// `Ok(Err(…))` is the status and the body.
    ///
    /// # Errors
    ///
    /// [`SessionError::WrongState`] while it is being carried out; [`SessionError::Invalid`] if another
    /// request had the key.
    pub async fn take(
        &self,
        kind: &'static str,
        key: &str,
        fingerprint: &[u8],
    ) -> Result<Result<Receipt, (u16, Value)>, SessionError> {
        let patience = self.rules.webhook.sync_wait + PATIENCE;
        let db = self.store.client().await?;
        match receipts::take(&db, kind, key, fingerprint, patience).await? {
            Take::Ours => Ok(Ok(Receipt { kind, key: key.to_owned() })),
            Take::Answered { status, answer } => Ok(Err((status, answer))),
            Take::UnderWay => {
                let what = "a request with this key is being carried out; ask again soon";
                Err(SessionError::WrongState { what: what.to_owned() })
            }
            Take::Another => Err(SessionError::Invalid {
                field: "Idempotency-Key".to_owned(),
                detail: "was the key of another request".to_owned(),
            }),
        }
    }

    /// Keeps the answer to a request.
    ///
    /// # Errors
    ///
    /// [`SessionError::Queue`]: the request was carried out, and may be again if it comes again.
    pub async fn answered(
        &self,
        receipt: &Receipt,
        status: u16,
        answer: &Value,
    ) -> Result<(), SessionError> {
        let db = self.store.client().await?;
        Ok(receipts::answer(&db, receipt.kind, &receipt.key, status, answer).await?)
    }

    /// Forgets a request that came to nothing.
    ///
    /// # Errors
    ///
    /// [`SessionError::Queue`]: it is forgotten later.
    pub async fn release(&self, receipt: &Receipt) -> Result<(), SessionError> {
        let db = self.store.client().await?;
        Ok(receipts::release(&db, receipt.kind, &receipt.key).await?)
    }
}
