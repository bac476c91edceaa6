//! LOCAL STAND-IN, thrown away at the merge: the supervisor handle, in memory.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;

use crate::domain::{
    AgentName, Generation,
    agent::AgentState,
    fleet::Protocol,
    record::{AgentRecord, FleetRecord},
};

/// What an operator can ask of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run.
    Start,
    /// Leave.
    Stop,
    /// Leave and come back.
    Restart,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// No such agent.
    #[error("there is no agent `{agent}`")]
    UnknownAgent {
        /// Which.
        agent: AgentName,
    },
    /// Not now.
    #[error("{agent} is {state}")]
    WrongMoment {
        /// Which.
        agent: AgentName,
        /// Where it is.
        state: AgentState,
    },
    /// A fault.
    #[error("internal")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The handle.
#[derive(Clone)]
pub struct SupervisorHandle(PathBuf);

#[expect(missing_docs, reason = "thrown away")]
impl SupervisorHandle {
    pub fn stand_in(logs: PathBuf) -> Self {
        Self(logs)
    }
    pub async fn fleets(&self) -> Result<Vec<FleetRecord>, SupervisorError> {
        Ok(vec![FleetRecord {
            name: "echo".parse().expect("name"),
            protocol: Protocol::Worker,
            command: vec!["python3".into(), "echo.py".into()],
            queues: vec!["default".parse().expect("name")],
            count: 1,
            states: BTreeMap::from([(AgentState::Idle, 1)]),
        }])
    }
    pub async fn agents(&self) -> Result<Vec<AgentRecord>, SupervisorError> {
        Ok(vec![AgentRecord {
            name: "echo-1".parse().expect("name"),
            fleet: "echo".parse().expect("name"),
            protocol: Protocol::Worker,
            state: AgentState::Quarantined,
            since: Timestamp::now(),
            reason: Some("failed 4 times within 60 s".into()),
            generation: Generation(4),
            pid: None,
            task: None,
            attempt: None,
            progress: None,
            heard_ms_ago: Some(1234),
            restarts: BTreeMap::new(),
            attempts_ended: 3,
        }])
    }
    pub async fn agent(&self, agent: AgentName) -> Result<AgentRecord, SupervisorError> {
        let mut all = self.agents().await?;
        let record = all.remove(0);
        if record.name == agent { Ok(record) } else { Err(SupervisorError::UnknownAgent { agent }) }
    }
    pub async fn command(
        &self,
        name: AgentName,
        command: Command,
    ) -> Result<AgentRecord, SupervisorError> {
        let record = self.agent(name.clone()).await?;
        match command {
            Command::Stop => Err(SupervisorError::WrongMoment { agent: name, state: record.state }),
            _ => Ok(record),
        }
    }
    pub fn log_path(&self, name: &AgentName) -> PathBuf {
        self.0.join(format!("{name}.log"))
    }
    pub async fn ready(&self) -> Result<(), String> {
        Err("2 of 3 agents are still starting".to_owned())
    }
}
