//! What is told of changes while the host runs.

use serde::{Deserialize, Serialize};

use crate::domain::FleetName;

/// What reading the settings again changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRecord {
    /// The fleets that are not as they were.
    pub fleets: Vec<FleetChangeRecord>,
    /// Other fields that hold from now on.
    pub applied: Vec<String>,
    /// Fields that hold from the next start of the host on.
    pub needs_restart: Vec<String>,
}

impl ReloadRecord {
    /// Whether nothing differed.
    pub fn is_empty(&self) -> bool {
        self.fleets.is_empty() && self.applied.is_empty() && self.needs_restart.is_empty()
    }
}

/// What became of one fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetChangeRecord {
    /// The fleet.
    pub name: FleetName,
    /// What became of it.
    pub change: FleetChange,
    /// Its fields that differ; none for one that is new or gone.
    pub fields: Vec<String>,
}

/// What a change makes of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetChange {
    /// It is new: its agents are started.
    Added,
    /// It is gone: its agents leave once their attempts have ended.
    Removed,
    /// Its agents are replaced, a few at a time.
    Replaced,
    /// The change holds without a new process.
    Adjusted,
}

impl FleetChange {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Adjusted => "adjusted",
        }
    }
}

/// The bounds within which a fleet is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleRecord {
    /// The fewest agents.
    pub min: u16,
    /// The most.
    pub max: u16,
}
