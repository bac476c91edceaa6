//! Who asks, for handlers: `Caller` is an argument like any other.

use std::{
    fmt,
    future::{Ready, ready},
    net::SocketAddr,
    sync::Arc,
};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};

use super::error::ApiError;
use crate::{
    access::Access,
    domain::{
        Attempt, TaskId,
        access::{About, Grants, KeyId, Scope},
    },
};

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// Whoever can open the unix socket: the user that the host runs as.
    Owner,
    /// Anybody on this machine, where there are no keys.
    Anybody,
    /// Whoever has the key of the config file.
    HostKey,
    /// Whoever signs: the handler looks whether the signature is right.
    Signer,
    /// Whoever has this key.
    Key(KeyId),
    /// An agent at work, with the token of its attempt.
    Attempt(TaskId, Attempt),
    /// Nobody who was let in.
    Nobody,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Anybody => f.write_str("anybody"),
            Self::HostKey => f.write_str("http.api_key"),
            Self::Signer => f.write_str("signer"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Attempt(task, attempt) => write!(f, "attempt:{task}/{attempt}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// Who asks, from where, and what they may do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who it is.
    pub(super) who: Who,
    /// Where from; none is the unix socket.
    pub(super) peer: Option<SocketAddr>,
    /// What they may do.
    pub(super) grants: Arc<Grants>,
}

impl Caller {
    /// Who asks, of a request that was let in.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::fault("a request without a caller got to a handler"))
    }

    /// Whether a request of this kind about this is allowed; every caller that got this far has the
    /// scope of its route.
    pub(super) fn may(&self, scope: Scope, about: About<'_>) -> Result<(), ApiError> {
        Ok(self.grants.allow(scope, about)?)
    }

    /// Returns once the caller would not be let in any more as the one he is: his key has ended, or he had
    /// none and now needs one. (The token of an attempt opens nothing that lasts.)
    pub(super) async fn ended(&self, access: &Access) {
        match &self.who {
            Who::Key(key) => access.ended(key).await,
            Who::Anybody => access.locked().await,
            Who::Owner | Who::HostKey | Who::Signer | Who::Attempt(..) | Who::Nobody => {
                std::future::pending().await
            }
        }
    }

    /// What the caller may do in a session. Where an agent at work got in, the gate has looked whether the
    /// session is that of its task.
    pub(super) fn in_sessions(&self) -> Arc<Grants> {
        match self.who {
            Who::Attempt(..) => Arc::new(Grants::all()),
            _ => self.grants.clone(),
        }
    }

    /// The caller's API key, in which what he calls something counts for him alone. All who may do
    /// everything anyway, and agents at work, share one scope.
    pub(super) const fn scope(&self) -> Option<&KeyId> {
        match &self.who {
            Who::Key(key) => Some(key),
            Who::Owner
            | Who::Anybody
            | Who::HostKey
            | Who::Signer
            | Who::Attempt(..)
            | Who::Nobody => None,
        }
    }

    /// Whether the caller may look at this.
    pub(super) fn sees(&self, about: About<'_>) -> bool {
        self.grants.allow(Scope::Read, about).is_ok()
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}
