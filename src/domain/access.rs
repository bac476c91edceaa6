//! Who may do what: scopes, what they are limited to, and the form of an API key. Pure.
//!
//! A key has scopes, each of which allows one kind of request, and may be limited to some fleets and
//! queues. A key that is limited reaches those, and nothing that is about the host as a whole. One that is
//! limited to fleets reaches the queues, too, that nobody but these fleets serves ([`own_queues`]).

mod attempt;
mod key;
mod rate;
mod record;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{FleetName, QueueName};

pub use attempt::AttemptKey;
pub use key::{ApiKey, KeyHash, KeyId, NotAKey};
pub use rate::{Bucket, Wait};
pub use record::{ApiKeyRecord, NewApiKeyRecord};

/// One kind of request that a key allows.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To look: tasks, results, agents, logs.
    Read,
    /// To give work.
    Submit,
    /// To intervene: cancel, retry, restart, pause, limit.
    Control,
    /// To make keys, and everything else.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Submit, Self::Control, Self::Admin];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no scope; there are read, submit, control and admin")]
pub struct NotAScope {
    text: String,
}

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| NotAScope { text: text.chars().take(32).collect() })
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// Nothing that a key can be limited to: whether the host is alive, say.
    Nothing,
    /// The host as a whole, or things of many queues.
    Host,
    /// One fleet, or an agent of it.
    Fleet(&'a FleetName),
    /// One queue, or a task of it.
    Queue(&'a QueueName),
}

/// What a caller may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The kinds of requests.
    pub scopes: BTreeSet<Scope>,
    /// Limited to these fleets.
    pub fleets: BTreeSet<FleetName>,
    /// Limited to these queues.
    pub queues: BTreeSet<QueueName>,
}

/// What a caller is limited to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// These fleets.
    pub fleets: BTreeSet<FleetName>,
    /// These queues.
    pub queues: BTreeSet<QueueName>,
}

/// The queues that only `fleets` serve, of those that `all` serve: what is in them is for these fleets.
pub fn own_queues<'a>(
    all: impl Iterator<Item = (&'a FleetName, &'a [QueueName])> + Clone,
    fleets: &BTreeSet<FleetName>,
) -> BTreeSet<QueueName> {
    let of = |own: bool| {
        let some = all.clone().filter(move |(fleet, _)| fleets.contains(*fleet) == own);
        some.flat_map(|(_, queues)| queues.iter().cloned()).collect::<BTreeSet<_>>()
    };
    let (own, others) = (of(true), of(false));
    own.difference(&others).cloned().collect()
}

/// Why something may not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The key has not the scope.
    #[error("this needs the scope `{needed}`, which the key has not")]
    Scope {
        /// The scope that is missing.
        needed: Scope,
    },
    /// The key is limited, and this is about more than it is limited to.
    #[error("the key is limited to {allowed}, and this is about more than that")]
    Host {
        /// What the key is limited to, in words.
        allowed: String,
    },
    /// The key is limited to other fleets.
    #[error("the key is limited to {allowed}, and this is about the fleet `{fleet}`")]
    Fleet {
        /// The fleet.
        fleet: FleetName,
        /// What the key is limited to, in words.
        allowed: String,
    },
    /// The key is limited to other queues.
    #[error("the key is limited to {allowed}, and this is about the queue `{queue}`")]
    Queue {
        /// The queue.
        queue: QueueName,
        /// What the key is limited to, in words.
        allowed: String,
    },
}

impl Grants {
    /// Everything.
    pub fn all() -> Self {
        Self { scopes: BTreeSet::from([Scope::Admin]), ..Self::default() }
    }

    /// Whether it is limited to some fleets or queues.
    pub fn is_limited(&self) -> bool {
        !(self.fleets.is_empty() && self.queues.is_empty())
    }

    /// Whether requests of this kind are allowed at all.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether a request of this kind about this is allowed.
    ///
    /// # Errors
    ///
    /// [`Denied`] says what is missing.
    pub fn allow(&self, needed: Scope, about: About<'_>) -> Result<(), Denied> {
        if !self.has(needed) {
            return Err(Denied::Scope { needed });
        }
        match about {
            _ if !self.is_limited() => Ok(()),
            About::Nothing => Ok(()),
            About::Fleet(fleet) if self.fleets.contains(fleet) => Ok(()),
            About::Queue(queue) if self.queues.contains(queue) => Ok(()),
            About::Host => Err(Denied::Host { allowed: self.limits() }),
            About::Fleet(fleet) => {
                Err(Denied::Fleet { fleet: fleet.clone(), allowed: self.limits() })
            }
            About::Queue(queue) => {
                Err(Denied::Queue { queue: queue.clone(), allowed: self.limits() })
            }
        }
    }

    /// What it is limited to; none if it is not.
    pub fn limited_to(&self) -> Option<Limits> {
        let limits = || Limits { fleets: self.fleets.clone(), queues: self.queues.clone() };
        self.is_limited().then(limits)
    }

    /// What it is limited to, for people.
    pub fn limits(&self) -> String {
        let fleets = self.fleets.iter().map(|fleet| format!("fleet `{fleet}`"));
        let queues = self.queues.iter().map(|queue| format!("queue `{queue}`"));
        let all: Vec<_> = fleets.chain(queues).collect();
        all.join(", ")
    }
}
