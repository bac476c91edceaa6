//! How many may run at once, how many may begin within a window, and what is paused.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::needs::{Label, ParseLabelError};
use crate::domain::{FleetName, QueueName};

/// How many attempts may begin within a window that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many, at least 1.
    pub count: u32,
    /// The length of the window.
    pub per: Duration,
}

/// What is allowed of one thing that is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// How many may run at once.
    pub concurrency: Option<u32>,
    /// How many may begin within a window.
    pub rate: Option<Rate>,
}

impl Limit {
    /// Whether everything is allowed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// That something is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: Option<String>,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

/// What is told of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRules {
    /// Of all its tasks together.
    pub limit: Limit,
    /// Of its tasks with one key, for each key.
    pub key_limit: Limit,
    /// Its share of the agents that serve other queues too; 1 is ordinary.
    pub weight: u32,
    /// Whether its keys take turns.
    pub fair: bool,
    /// Whether it is held back.
    pub paused: Option<Pause>,
}

impl Default for QueueRules {
    fn default() -> Self {
        Self {
            limit: Limit::default(),
            key_limit: Limit::default(),
            weight: 1,
            fair: false,
            paused: None,
        }
    }
}

/// A key, or all that begin like this: `account:alice`, `account:*`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,255}$")]
pub struct KeyPattern(Label);

impl KeyPattern {
    /// The pattern as it is written.
    pub const fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it means this key.
    pub fn matches(&self, key: &Label) -> bool {
        match self.as_str().strip_suffix('*') {
            Some(start) => key.as_str().starts_with(start),
            None => key == &self.0,
        }
    }

    /// How closely it looks: a whole key most, then the longer beginning.
    fn closeness(&self) -> (bool, usize) {
        (!self.as_str().ends_with('*'), self.as_str().len())
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyPattern {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, ParseLabelError> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for KeyPattern {
    type Error = ParseLabelError;

    fn try_from(text: String) -> Result<Self, ParseLabelError> {
        text.parse()
    }
}

impl From<KeyPattern> for String {
    fn from(pattern: KeyPattern) -> Self {
        pattern.0.into()
    }
}

/// Everything that is limited or held back, as the database has it: the same for all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of all tasks of all hosts.
    pub all: Limit,
    /// Of the agents of a fleet, on all hosts that have it.
    pub fleets: BTreeMap<FleetName, Limit>,
    /// Of each queue; one that is not here has the ordinary rules.
    pub queues: BTreeMap<QueueName, QueueRules>,
    /// Of each key that a pattern means; the closest pattern counts.
    pub keys: BTreeMap<KeyPattern, Limit>,
    /// The keys that are held back.
    pub paused_keys: BTreeMap<KeyPattern, Pause>,
}

impl Rules {
    /// The limit of a key, in whatever queue.
    pub fn of_key(&self, key: &Label) -> Limit {
        let meant = self.keys.iter().filter(|(pattern, _)| pattern.matches(key));
        meant.max_by_key(|(pattern, _)| pattern.closeness()).map_or_else(Limit::default, |it| *it.1)
    }

    /// The pause of a key, if one is in force.
    pub fn pause_of_key(&self, key: &Label, now: Timestamp) -> Option<&Pause> {
        let meant = self.paused_keys.iter().filter(|(pattern, _)| pattern.matches(key));
        meant.map(|(_, pause)| pause).filter(|pause| pause.holds(now)).max_by_key(|pause| {
            // One without an end lasts longest.
            (pause.until.is_none(), pause.until)
        })
    }

    /// The limits that a task of `queue` with `keys` falls under, with what each counts.
    pub fn scopes<'a>(
        &'a self,
        fleet: Option<&'a FleetName>,
        queue: &'a QueueName,
        keys: &'a [Label],
    ) -> impl Iterator<Item = (Scope, Limit)> + 'a {
        let of_fleet = fleet.and_then(|fleet| {
            self.fleets.get(fleet).map(|limit| (Scope::Fleet(fleet.clone()), *limit))
        });
        let rules = self.queues.get(queue);
        let of_queue = rules.map(|rules| (Scope::Queue(queue.clone()), rules.limit));
        let of_keys = keys.iter().flat_map(move |key| {
            let within =
                rules.map(|rules| (Scope::QueueKey(queue.clone(), key.clone()), rules.key_limit));
            [(Scope::Key(key.clone()), self.of_key(key))].into_iter().chain(within)
        });
        let all = [(Scope::All, self.all)].into_iter();
        let scopes = all.chain(of_fleet).chain(of_queue).chain(of_keys);
        scopes.filter(|(_, limit)| !limit.is_none())
    }
}

impl Pause {
    /// Whether it has not ended by itself.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All tasks of all hosts.
    All,
    /// The agents of a fleet, on all hosts.
    Fleet(FleetName),
    /// The tasks of a queue.
    Queue(QueueName),
    /// The tasks with a key.
    Key(Label),
    /// The tasks of a queue with a key.
    QueueKey(QueueName, Label),
}

impl fmt::Display for Scope {
    /// The name under which starts are kept. No two scopes have the same: names of fleets and
    /// queues have no colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Fleet(fleet) => write!(f, "fleet:{fleet}"),
            Self::Queue(queue) => write!(f, "queue:{queue}"),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::QueueKey(queue, key) => write!(f, "queue:{queue}:{key}"),
        }
    }
}

/// A name under which no starts are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names nothing that is counted")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let wrong = || UnknownScope(text.to_owned());
        let read = match text.split_once(':') {
            None if text == "all" => Some(Self::All),
            Some(("fleet", fleet)) => fleet.parse().ok().map(Self::Fleet),
            Some(("key", key)) => key.parse().ok().map(Self::Key),
            Some(("queue", rest)) => match rest.split_once(':') {
                None => rest.parse().ok().map(Self::Queue),
                Some((queue, key)) => {
                    queue.parse().ok().zip(key.parse().ok()).map(|(q, k)| Self::QueueKey(q, k))
                }
            },
            _ => None,
        };
        read.ok_or_else(wrong)
    }
}
