//! The others' side of the supervisor actor.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use serde_json::Value;
use slog::Logger;
use tokio::sync::{Mutex, oneshot};

use super::{
    Guard, Scales, Tell,
    actor::{ListAgents, ListFleets, Operate, SupervisorActor},
    attempts::{AtWork, IsSoFar, WhoWorksOn},
    ending::{Drain, HandOver, StopAll, TellWhenResting},
    fleets::{Reshape, Resize, Roll},
};
use crate::{
    agent::{Adopted, Surroundings},
    domain::{
        AgentName, Attempt, FleetName, TaskId,
        agent::{AgentEvent, AgentState},
        fleet::Fleet,
        record::{AgentRecord, FleetRecord},
        rollout::Share,
    },
    queue::QueueReport,
};

/// What an operator can say to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run, also out of quarantine.
    Start,
    /// Stop, and stay stopped. A task in hand is put back.
    Stop,
    /// Stop and start. A task in hand is put back.
    Restart,
    /// Out of quarantine, and run.
    Release,
    /// Stop, and stay paused. A task in hand is put back.
    Pause,
    /// Take no more tasks, and stop once the one in hand has ended.
    Drain,
}

impl Command {
    /// The word of the command line and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Release => "release",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }

    pub(super) const fn event(self) -> AgentEvent {
        match self {
            Self::Start => AgentEvent::Start,
            Self::Stop => AgentEvent::Stop { hard: false },
            Self::Restart => AgentEvent::Restart,
            Self::Release => AgentEvent::Release,
            Self::Pause => AgentEvent::Pause,
            Self::Drain => AgentEvent::Drain,
        }
    }

    /// Whether it is to run then.
    pub(super) const fn is_to_run(self) -> bool {
        matches!(self, Self::Start | Self::Restart | Self::Release)
    }

    pub(super) fn reason(self) -> String {
        format!("an operator said {}", self.as_str())
    }
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// There is no such agent.
    #[error("there is no agent `{agent}`; `hostler agent list` shows those there are")]
    UnknownAgent {
        /// The name that was asked for.
        agent: AgentName,
    },
    /// There is no such fleet.
    #[error("there is no fleet `{fleet}`; `hostler fleet list` shows those there are")]
    UnknownFleet {
        /// The name that was asked for.
        fleet: FleetName,
    },
    /// The fleet is scaled by itself within bounds.
    #[error(
        "fleet {fleet} is scaled within {min} and {max}, and {count} is not: change `scale` in the config"
    )]
    OutOfBounds {
        /// The fleet.
        fleet: FleetName,
        /// What was asked for.
        count: u16,
        /// The fewest agents.
        min: u16,
        /// The most.
        max: u16,
    },
    /// The size holds for as long as this host runs, but could not be kept for the next.
    #[error("the fleet is scaled, but {} can't be written ({why}): the next host will not know", path.display())]
    NotKept {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The command makes no sense now.
    #[error("agent {agent} is {state}: `{}` makes no sense now", command.as_str())]
    WrongMoment {
        /// The agent.
        agent: AgentName,
        /// Where it is.
        state: AgentState,
        /// What was asked.
        command: Command,
    },
    /// Its actor does not answer.
    #[error("agent {agent} is being rebuilt after a fault of Hostler; try again")]
    Unreachable {
        /// The agent.
        agent: AgentName,
    },
    /// The supervisor itself does not answer.
    #[error("the supervisor does not answer: the host is ending")]
    Ending,
}

/// Reads and commands fleets and agents. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct SupervisorHandle {
    actor: Addr<SupervisorActor>,
    log_dir: PathBuf,
    attempts_dir: PathBuf,
    /// Where the sizes of fleets are kept; one writes at a time.
    scales_file: Arc<Mutex<PathBuf>>,
}

impl SupervisorHandle {
    /// Starts the actor, and with it the agents of `fleets`, in the current arbiter; as many as
    /// `scales` says, which are kept in `scales_file`. Those that have something in `adopted` go on
    /// with it. What happens to agents is told to `news`.
    pub fn start(
        log: Logger,
        (fleets, scales, scales_file): (Vec<Fleet>, Scales, PathBuf),
        around: Surroundings,
        adopted: BTreeMap<AgentName, Adopted>,
        (guard, news): (Guard, Tell),
    ) -> Self {
        let (log_dir, attempts_dir) = (around.log_dir.clone(), around.attempts_dir.clone());
        let actor = SupervisorActor::new(log, (fleets, scales), around, adopted, (guard, news));
        let actor = actor.start();
        Self { actor, log_dir, attempts_dir, scales_file: Arc::new(Mutex::new(scales_file)) }
    }

    /// Has these fleets from now on: those that are new are started, those that are gone leave once
    /// their attempts have ended, and agents whose definition is another are replaced, a few at a time.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::Ending`], [`SupervisorError::NotKept`].
    pub async fn reshape(&self, fleets: Vec<Fleet>) -> Result<(), SupervisorError> {
        let file = self.scales_file.lock().await;
        let scales = self.actor.send(Reshape(fleets)).await.map_err(|_| SupervisorError::Ending)?;
        keep(&file, scales).await
    }

    /// Has the fleet have so many agents from now on, until the settings say another number than now;
    /// those that are too many leave once their attempts have ended.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::UnknownFleet`], [`SupervisorError::OutOfBounds`],
    /// [`SupervisorError::NotKept`], [`SupervisorError::Ending`].
    pub async fn scale(
        &self,
        fleet: FleetName,
        count: u16,
    ) -> Result<FleetRecord, SupervisorError> {
        let file = self.scales_file.lock().await;
        let answer = self.actor.send(Resize { fleet, count }).await;
        let (record, scales) = answer.map_err(|_| SupervisorError::Ending)??;
        keep(&file, scales).await?;
        Ok(record)
    }

    /// Replaces every agent of the fleet once its attempt has ended, and no more at a time than `share`
    /// allows, or else the settings.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::UnknownFleet`], [`SupervisorError::Ending`].
    pub async fn roll(
        &self,
        fleet: FleetName,
        share: Option<Share>,
    ) -> Result<FleetRecord, SupervisorError> {
        self.actor.send(Roll { fleet, share }).await.map_err(|_| SupervisorError::Ending)?
    }

    /// One fleet.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::UnknownFleet`], [`SupervisorError::Ending`].
    pub async fn fleet(&self, name: FleetName) -> Result<FleetRecord, SupervisorError> {
        let found = self.fleets().await?.into_iter().find(|fleet| fleet.name == name);
        found.ok_or(SupervisorError::UnknownFleet { fleet: name })
    }

    /// Who works on this attempt, now and on this host; nobody if it has ended.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::Ending`].
    pub async fn at_work_on(
        &self,
        task: TaskId,
        attempt: Attempt,
    ) -> Result<Option<AtWork>, SupervisorError> {
        self.actor.send(WhoWorksOn(task, attempt)).await.map_err(|_| SupervisorError::Ending)
    }

    /// Notes how far an attempt is, as its agent says; false if nobody works on it.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::Ending`].
    pub async fn is_so_far(
        &self,
        task: TaskId,
        attempt: Attempt,
        progress: Value,
    ) -> Result<bool, SupervisorError> {
        let said = IsSoFar(task, attempt, progress);
        self.actor.send(said).await.map_err(|_| SupervisorError::Ending)
    }

    /// Where the queue's reports go.
    pub fn for_queue(&self) -> Recipient<QueueReport> {
        self.actor.clone().recipient()
    }

    /// Whether the actor is still there; it is gone only after a panic.
    pub fn is_alive(&self) -> bool {
        self.actor.connected()
    }

    /// All fleets.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::Ending`].
    pub async fn fleets(&self) -> Result<Vec<FleetRecord>, SupervisorError> {
        self.actor.send(ListFleets).await.map_err(|_| SupervisorError::Ending)
    }

    /// All agents.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::Ending`].
    pub async fn agents(&self) -> Result<Vec<AgentRecord>, SupervisorError> {
        self.actor.send(ListAgents).await.map_err(|_| SupervisorError::Ending)
    }

    /// One agent.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::UnknownAgent`], [`SupervisorError::Ending`].
    pub async fn agent(&self, name: AgentName) -> Result<AgentRecord, SupervisorError> {
        let found = self.agents().await?.into_iter().find(|agent| agent.name == name);
        found.ok_or(SupervisorError::UnknownAgent { agent: name })
    }

    /// Passes an operator's word to an agent, and tells where it is then.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::UnknownAgent`], [`SupervisorError::WrongMoment`],
    /// [`SupervisorError::Unreachable`], [`SupervisorError::Ending`].
    pub async fn command(
        &self,
        name: AgentName,
        command: Command,
    ) -> Result<AgentRecord, SupervisorError> {
        let operate = Operate { agent: name, command };
        self.actor.send(operate).await.map_err(|_| SupervisorError::Ending)?
    }

    /// The agent's own log file.
    pub fn log_path(&self, name: &AgentName) -> PathBuf {
        self.log_dir.join(format!("{name}.log"))
    }

    /// Where the files of a task's attempts are that ran on this host, each by its number.
    pub fn attempts_path(&self, task: TaskId) -> PathBuf {
        self.attempts_dir.join(task.to_string())
    }

    /// Whether the supervisor answers.
    ///
    /// # Errors
    ///
    /// A sentence for a person.
    pub async fn ready(&self) -> Result<(), String> {
        self.fleets().await.map(drop).map_err(|error| error.to_string())
    }

    /// Brings every agent to rest: idle ones stop now, busy ones after their task, those that take
    /// longer than `grace` by the kill ladder. Returns when no agent has a process.
    pub async fn drain(&self, grace: Duration) {
        self.actor.do_send(Drain);
        if tokio::time::timeout(grace, self.resting()).await.is_err() {
            self.actor.do_send(StopAll { hard: false });
            self.resting().await;
        }
    }

    /// Brings every agent to where another host can go on with it. What their processes do from then on,
    /// this host does not hear.
    pub async fn hand_over(&self) {
        // A supervisor that is gone has nothing to hand over.
        self.actor.send(HandOver).await.unwrap_or_default();
    }

    /// Kills every agent. Returns when no agent has a process.
    pub async fn kill_all(&self) {
        self.actor.do_send(StopAll { hard: true });
        self.resting().await;
    }

    async fn resting(&self) {
        let (tell, told) = oneshot::channel();
        self.actor.do_send(TellWhenResting(tell));
        // An error means that the actor is gone, and the agents with it.
        told.await.unwrap_or_default();
    }

    #[cfg(test)]
    pub(super) fn address(&self) -> &Addr<SupervisorActor> {
        &self.actor
    }
}

/// Writes down the sizes of fleets for the next host.
async fn keep(file: &Path, scales: Scales) -> Result<(), SupervisorError> {
    let path = file.to_owned();
    let write = tokio::task::spawn_blocking(move || scales.write(&path));
    let written = write.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written
        .map_err(|error| SupervisorError::NotKept { path: file.to_owned(), why: error.to_string() })
}
