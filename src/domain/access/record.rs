//! What is told of API keys.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyId, Scope};
use crate::domain::{FleetName, QueueName, record::RateRecord};

/// An API key. The key itself is not kept, and never told again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKeyRecord {
    /// What it goes by: the part of the key between its underscores.
    pub id: KeyId,
    /// What it is for, in the words of whoever made it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The fleets that it is limited to.
    pub fleets: Vec<FleetName>,
    /// The queues that it is limited to.
    pub queues: Vec<QueueName>,
    /// How often it may ask.
    pub rate: Option<RateRecord>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, some seconds late.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// Whether it can be used at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// The answer to a key that was made: the only time that the key is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewApiKeyRecord {
    /// The key. Keep it: it can't be shown again.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub record: ApiKeyRecord,
}

impl std::fmt::Debug for NewApiKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKeyRecord").field("record", &self.record).finish_non_exhaustive()
    }
}
