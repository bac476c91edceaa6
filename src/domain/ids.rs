//! Typed identifiers. Every id that crosses a module, wire or table border has its own type.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::text_schema::text_schema;

/// The text was not `<prefix>_<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form `{prefix}_<32 hex digits>`, got `{text}`")]
pub struct ParseIdError {
    prefix: &'static str,
    text: String,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Uuid);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        text_schema!($name, concat!("^", $prefix, "_[0-9a-f]{32}$"));

        impl $name {
            /// Wraps raw bits: what the store reads from a row, or a fresh UUID version 7.
            pub const fn from_uuid(raw: Uuid) -> Self {
                Self(raw)
            }

            /// The raw bits, as the store writes them.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        // Debug prints like Display: the type is already in the prefix.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or_else(|| ParseIdError { prefix: $prefix, text: text.to_owned() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }
    };
}

typed_id!(
    /// One unit of queued work.
    TaskId,
    "tsk"
);
typed_id!(
    /// One running `hostler up`. Every start makes a new one.
    HostId,
    "hst"
);
typed_id!(
    /// Several tasks that end together.
    BatchId,
    "bat"
);
typed_id!(
    /// A plan that is carried out, once.
    PlanRunId,
    "run"
);

impl PlanRunId {
    /// The group of all tasks of the run.
    pub fn group(&self) -> GroupName {
        GroupName(self.to_string())
    }
}

/// A name that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` can not be the name of {what}: use 1 to {MAX_NAME} characters, a to z, 0 to 9, `_`, `.` and `-`, and begin with a letter or a digit"
)]
pub struct ParseNameError {
    what: &'static str,
    text: String,
}

/// The longest name of a fleet or a queue, in characters.
pub const MAX_NAME: usize = 63;

fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= MAX_NAME
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|c| plain(c) || matches!(c, b'_' | b'.' | b'-'))
}

macro_rules! typed_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_.-]{0,62}$")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub const fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, ParseNameError> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseNameError { what: $what, text: text.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, ParseNameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

typed_name!(
    /// Agents of one kind, as the config file names them.
    FleetName,
    "a fleet"
);
typed_name!(
    /// A named stream of tasks.
    QueueName,
    "a queue"
);

/// The queue of what names none.
impl Default for QueueName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

typed_name!(
    /// Tasks that somebody wants to see together.
    GroupName,
    "a group"
);
typed_name!(
    /// One supervised slot of a fleet: `<fleet>-<number>`, counted from 1.
    AgentName,
    "an agent"
);
typed_name!(
    /// What submits a task at each of its times.
    ScheduleName,
    "a schedule"
);
typed_name!(
    /// Who is told of events by signed webhooks.
    EndpointName,
    "an endpoint"
);
typed_name!(
    /// One task of a plan, as its plan file names it.
    PlanTaskId,
    "a task of a plan"
);
typed_name!(
    /// A phase of a plan.
    PhaseName,
    "a phase"
);
typed_name!(
    /// Something that some agents can do and others can not.
    Capability,
    "a capability"
);

impl AgentName {
    /// Stands where no agent is known yet.
    pub fn nobody() -> Self {
        Self("unknown".to_owned())
    }

    /// The fleet that it is a slot of; none if its name is not made by [`AgentName::of`].
    pub fn fleet(&self) -> Option<FleetName> {
        self.0.rsplit_once('-')?.0.parse().ok()
    }

    /// The name of slot `number` of `fleet`.
    pub fn of(fleet: &FleetName, number: u16) -> Self {
        Self(format!("{fleet}-{number}"))
    }
}

/// Counts the processes of one agent: 1 is its first. A late message of an older process is told
/// from one of the newest by this number.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of one execution of a task, 1 for the first: the fencing token. An outcome counts
/// only with the newest number.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_what_it_parses() {
        let id = TaskId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "tsk_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("hst_00000000000000000000000000000007".parse::<TaskId>().is_err());
        assert!("tsk_7".parse::<TaskId>().is_err());
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "0", "claude", "gpu-big_1.x"] {
            assert!(good.parse::<FleetName>().is_ok(), "{good}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for bad in ["", "-a", "A", "a b", "ä", "a/b", long.as_str()] {
            let error = bad.parse::<QueueName>().unwrap_err().to_string();
            assert!(error.contains("can not be the name of a queue"), "{error}");
        }
    }

    #[test]
    fn an_agent_is_named_after_its_fleet_and_slot() {
        let fleet: FleetName = "claude".parse().unwrap();
        let agent = AgentName::of(&fleet, 3);
        assert_eq!(agent.as_str(), "claude-3");
        assert_eq!(agent.fleet(), Some(fleet));
        assert_eq!(AgentName::nobody().fleet(), None);
    }
}
