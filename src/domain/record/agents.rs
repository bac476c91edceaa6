//! Fleets and agents, as they are told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AdoptedRecord, ScaleRecord};
use crate::domain::{
    AgentName, Attempt, FleetName, Generation, QueueName, TaskId, agent::AgentState,
    fleet::Protocol,
};

/// One fleet, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FleetRecord {
    /// Its name.
    pub name: FleetName,
    /// How its agents are talked to.
    pub protocol: Protocol,
    /// The argv, templates and all.
    pub command: Vec<String>,
    /// The queues it serves.
    pub queues: Vec<QueueName>,
    /// How many agents it is to have now.
    pub count: u16,
    /// How many the settings say.
    pub configured: u16,
    /// The bounds within which it is scaled by itself, if it is.
    pub scale: Option<ScaleRecord>,
    /// How many agents are still to be replaced, launched or sent away for what was asked of it.
    pub outdated: u16,
    /// How many are in each state.
    pub states: BTreeMap<AgentState, u16>,
    /// How many are ready.
    pub ready: u16,
}

/// One agent, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentRecord {
    /// Its name.
    pub name: AgentName,
    /// Its fleet.
    pub fleet: FleetName,
    /// How it is talked to.
    pub protocol: Protocol,
    /// Where it is in its life.
    pub state: AgentState,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is ready: what it must show before it takes a task, it has shown.
    pub ready: bool,
    /// Why it is there, where there is a reason to tell.
    pub reason: Option<String>,
    /// How many processes it has had.
    pub generation: Generation,
    /// That its process was taken back from the host before this one, as long as it lives.
    pub adopted: Option<AdoptedRecord>,
    /// Its live process.
    pub pid: Option<u32>,
    /// The task it runs.
    pub task: Option<TaskId>,
    /// The attempt it runs.
    pub attempt: Option<Attempt>,
    /// The newest `task/progress`, as the agent told it.
    pub progress: Option<Value>,
    /// What its process says of itself by `STATUS=` on its notification socket.
    pub told: Option<String>,
    /// How long ago it last showed life, in milliseconds; `null` without a process.
    pub heard_ms_ago: Option<u64>,
    /// How often a process of its was replaced, by cause.
    pub restarts: BTreeMap<RestartCause, u64>,
    /// How many attempts it has ended since the host started.
    pub attempts_ended: u64,
}

/// Why a process was replaced.
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
pub enum RestartCause {
    /// It ended by itself.
    Crash,
    /// It showed no life.
    Stale,
    /// It broke the protocol, or was not ready in time.
    Protocol,
    /// It was ready, and failed its readiness check.
    Unready,
    /// Its task took too long.
    Timeout,
    /// It had given its result, and did not end.
    Linger,
    /// Its task was called off and it did not let go.
    Cancel,
    /// It could not be started.
    Spawn,
    /// An operator asked, or another of its fleet failed and the strategy takes it along.
    Operator,
}

impl RestartCause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::Crash,
        Self::Stale,
        Self::Protocol,
        Self::Unready,
        Self::Timeout,
        Self::Linger,
        Self::Cancel,
        Self::Spawn,
        Self::Operator,
    ];

    /// Whether the process, or what it did, was at fault.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Operator | Self::Cancel)
    }

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Stale => "stale",
            Self::Protocol => "protocol",
            Self::Unready => "unready",
            Self::Timeout => "timeout",
            Self::Linger => "linger",
            Self::Cancel => "cancel",
            Self::Spawn => "spawn",
            Self::Operator => "operator",
        }
    }
}
