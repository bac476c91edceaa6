//! The kinds of failure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an attempt failed.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The process ended before or instead of an answer: a status other than 0, or a signal.
    Exit,
    /// The agent answered that the task failed.
    Task,
    /// The attempt took longer than its limit.
    Timeout,
    /// The agent showed no life for longer than its limit.
    Stale,
    /// The process could not be started.
    Spawn,
    /// The agent broke the protocol: garbage, an overlong line, an unreadable result.
    Protocol,
    /// The host that ran it is gone.
    HostLost,
    /// A fault of Hostler itself.
    Internal,
    /// Its input could not be made of the results that it is a template over.
    Input,
    /// The task's deadline passed.
    Deadline,
    /// The kernel ended it, because it and what it forked took more memory than they may.
    Memory,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::Exit,
        Self::Task,
        Self::Timeout,
        Self::Stale,
        Self::Spawn,
        Self::Protocol,
        Self::HostLost,
        Self::Internal,
        Self::Input,
        Self::Deadline,
        Self::Memory,
    ];

    /// The word used in SQL, in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Task => "task",
            Self::Timeout => "timeout",
            Self::Stale => "stale",
            Self::Spawn => "spawn",
            Self::Protocol => "protocol",
            Self::HostLost => "host_lost",
            Self::Internal => "internal",
            Self::Input => "input",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
        }
    }
}

/// A word that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no class of failures; the classes are {known}", known = FailureClass::ALL.map(FailureClass::as_str).join(", "))]
pub struct UnknownClass(String);

impl std::str::FromStr for FailureClass {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        let found = Self::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
