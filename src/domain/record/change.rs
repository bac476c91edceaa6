//! What is told of changes while the host runs.

use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use crate::domain::{FleetName, Generation};

/// What reading the settings again changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FleetChangeRecord {
    /// The fleet.
    pub name: FleetName,
    /// What became of it.
    pub change: FleetChange,
    /// Its fields that differ; none for one that is new or gone.
    pub fields: Vec<String>,
}

/// What a change makes of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScaleRecord {
    /// The fewest agents.
    pub min: u16,
    /// The most.
    pub max: u16,
}

/// That a program took the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeRecord {
    /// The version before this one.
    pub from: String,
    /// Why that one, which was to take over, did not.
    pub failed: Option<String>,
}

/// What became of the processes that the host before this one left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdoptionRecord {
    /// How many there were.
    pub found: usize,
    /// How many go on, as agents of this host.
    pub kept: usize,
    /// How many had finished their attempt meanwhile: the outcome counts.
    pub settled: usize,
    /// Those that were ended.
    pub ended: Vec<EndedRecord>,
    /// How many attempts were put back, because their process could not be kept.
    pub released: usize,
    /// Why the keeper of the host before could not be used at all, and was ended with its agents.
    #[serde(default)]
    pub replaced: Option<String>,
}

/// A process that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndedRecord {
    /// Whose it was; its note where that can't be read.
    pub agent: String,
    /// Its pid.
    pub pid: u32,
    /// Why.
    pub reason: String,
}

/// That an agent goes on with a process of the host before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdoptedRecord {
    /// The generation that was taken back.
    pub generation: Generation,
    /// When.
    pub at: Timestamp,
}
