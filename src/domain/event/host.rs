//! What is told of hosts, fleets and agents: that something holds them, and what became of them.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NoType;
use crate::domain::{AgentName, FleetName, HostId, text_schema::text_schema};

/// The word of such an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostWord {
    /// A host took over what the one before it left, or had to end it: `detail` is the report.
    HostAdopted,
    /// Nothing is started on a host, because the machine has too little left.
    HostHeld,
    /// It has enough again.
    HostResumed,
    /// A fleet failed too often.
    FleetHeld,
    /// It is started again.
    FleetResumed,
    /// An agent goes on with a process of the host before.
    AgentAdopted,
    /// An agent that is to run is not started for now.
    AgentHeld,
    /// It is started.
    AgentResumed,
    /// An agent was given up.
    AgentQuarantined,
    /// An operator has it run, or rest, again.
    AgentReleased,
}

text_schema!(HostWord, "^(host|fleet|agent)[.][a-z]+$", "agent.held");

impl HostWord {
    /// Every word.
    pub const ALL: [Self; 10] = [
        Self::HostAdopted,
        Self::HostHeld,
        Self::HostResumed,
        Self::FleetHeld,
        Self::FleetResumed,
        Self::AgentAdopted,
        Self::AgentHeld,
        Self::AgentResumed,
        Self::AgentQuarantined,
        Self::AgentReleased,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostAdopted => "host.adopted",
            Self::HostHeld => "host.held",
            Self::HostResumed => "host.resumed",
            Self::FleetHeld => "fleet.held",
            Self::FleetResumed => "fleet.resumed",
            Self::AgentAdopted => "agent.adopted",
            Self::AgentHeld => "agent.held",
            Self::AgentResumed => "agent.resumed",
            Self::AgentQuarantined => "agent.quarantined",
            Self::AgentReleased => "agent.released",
        }
    }

    /// What it is about: `host`, `fleet` or `agent`.
    pub fn family(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for HostWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HostWord {
    type Err = NoType;

    fn from_str(text: &str) -> Result<Self, NoType> {
        Self::ALL.into_iter().find(|word| word.as_str() == text).ok_or(NoType)
    }
}

/// What a host has to tell; where and when comes with it when it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// What happened.
    pub word: HostWord,
    /// To which fleet, if to one.
    pub fleet: Option<FleetName>,
    /// To which agent, if to one.
    pub agent: Option<AgentName>,
    /// Why, for people.
    pub reason: Option<String>,
    /// More, for programs.
    pub detail: Value,
}

impl News {
    /// Of a host as a whole.
    pub const fn of_host(word: HostWord, reason: Option<String>) -> Self {
        Self { word, fleet: None, agent: None, reason, detail: Value::Null }
    }

    /// Of a fleet.
    pub fn of_fleet(word: HostWord, fleet: &FleetName, reason: Option<String>) -> Self {
        Self { fleet: Some(fleet.clone()), ..Self::of_host(word, reason) }
    }

    /// Of an agent.
    pub fn of_agent(
        word: HostWord,
        fleet: &FleetName,
        agent: &AgentName,
        reason: Option<String>,
    ) -> Self {
        Self { agent: Some(agent.clone()), ..Self::of_fleet(word, fleet, reason) }
    }
}

/// An event of a host, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub word: HostWord,
    /// The host.
    pub host: HostId,
    /// The fleet, if it is about one.
    pub fleet: Option<FleetName>,
    /// The agent, if it is about one.
    pub agent: Option<AgentName>,
    /// Why, for people.
    pub reason: Option<String>,
    /// More, for programs: of an adoption the report.
    pub detail: Value,
    /// When.
    pub at: Timestamp,
}
