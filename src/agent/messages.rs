//! What the agent actor is told, and what it tells.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use jiff::Timestamp;

use super::starts::Place as StartPlace;
use crate::{
    domain::{
        AgentName, Attempt, Generation, TaskId,
        agent::{AgentEvent, AgentState, Hold, IllegalStep},
        fleet::Fleet,
        heartbeat::Silence,
        record::{AdoptedRecord, RestartCause},
        task::Outcome,
        workspace::Place,
    },
    process::{Ended, SpawnError, Spawned},
    workspace::WorkspaceError,
};

/// Where an agent is, as its owner keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentStatus {
    /// Its name.
    pub agent: AgentName,
    /// Where it is in its life.
    pub state: AgentState,
    /// Since when.
    pub since: Timestamp,
    /// Why, where there is a reason to tell.
    pub reason: Option<String>,
    /// Its newest process.
    pub generation: Generation,
    /// That it was taken back from the host before this one.
    pub adopted: Option<AdoptedRecord>,
    /// The pid of that, while it lives.
    pub pid: Option<u32>,
    /// The attempt it runs.
    pub work: Option<(TaskId, Attempt)>,
    /// How often a process of its was replaced.
    pub restarts: BTreeMap<RestartCause, u64>,
    /// How many attempts it has ended.
    pub attempts_ended: u64,
    /// How many of its processes failed, in all.
    pub failures: u64,
    /// Its process ended by itself with status 0, and no other one follows.
    pub completed: bool,
    /// It is to run, and is not started: because of a hold, or for want of a place for longer than a moment.
    pub held: bool,
}

impl AgentStatus {
    /// Of an agent that never ran.
    pub fn new(agent: AgentName) -> Self {
        Self {
            agent,
            state: AgentState::Stopped,
            since: Timestamp::now(),
            reason: None,
            generation: Generation::default(),
            adopted: None,
            pid: None,
            work: None,
            restarts: BTreeMap::new(),
            attempts_ended: 0,
            failures: 0,
            completed: false,
            held: false,
        }
    }
}

/// What an agent tells its owner.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum AgentReport {
    /// It is somewhere else now.
    Changed(Box<AgentStatus>),
    /// Its actor is gone, and so is its process.
    Gone {
        /// The agent.
        agent: AgentName,
    },
}

/// Feed an event to the agent.
#[derive(Debug, Message)]
#[rtype(result = "Result<AgentStatus, IllegalStep>")]
pub(super) struct Order {
    pub(super) event: AgentEvent,
    pub(super) reason: Option<String>,
}

/// Be of this fleet from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Refit(pub(super) Arc<Fleet>);

/// Stop where another host can go on: write what is to be written, read no more, take nothing.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct HandOver;

/// End, and tell nobody.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Dismiss;

/// Whether the agent is held, and why.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct SetHold(pub(super) Option<(Hold, String)>);

/// The heartbeat's verdict.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Silent {
    pub(super) generation: Generation,
    pub(super) silence: Silence,
}

/// A process was started, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Started {
    pub(super) generation: Generation,
    pub(super) result: Result<Spawned, StartError>,
    /// Its place among those that start.
    pub(super) place: Option<StartPlace>,
}

/// The workspace of an attempt of a worker was made, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Placed {
    pub(super) key: (TaskId, Attempt),
    pub(super) result: Result<Option<Place>, WorkspaceError>,
}

/// How a look at whether the process is in order ended.
#[derive(Debug, Message)]
#[rtype(result = "Option<Duration>")]
pub(super) struct Looked {
    pub(super) generation: Generation,
    /// What is not in order, where something is.
    pub(super) result: Result<(), String>,
}

/// Why no process came to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The task does not fit the argv template: the task's fault, not the agent's.
    #[error("{0}")]
    Template(String),
    /// Nobody wants it any more.
    #[error("it was called off before there was a place for it")]
    CalledOff,
    /// The workspace of the attempt could not be made: the fault of its task, or of the repository.
    #[error("the workspace of the attempt could not be made")]
    Workspace(#[from] WorkspaceError),
    #[error("the files of the attempt could not be made in {path}")]
    Files {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// What the process of a generation does. The answer is how long to wait until more of its output is read.
#[derive(Debug, Message)]
#[rtype(result = "Option<Duration>")]
pub(super) struct FromProcess {
    pub(super) generation: Generation,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// It wrote to its stdout.
    Output(Bytes),
    /// It closed its stdout, and goes on.
    Closed,
    /// It has given its result, and goes on.
    Lingers,
    /// It has written more than it may.
    Floods,
    /// It is gone, with all it forked.
    Ended(Ended),
    /// It is gone, and this is what it left of its attempt.
    Left(Ended, Outcome),
}

/// A timer ran out.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) enum Timer {
    /// It was not ready in time.
    Startup(Generation),
    /// A rung of the kill ladder has waited.
    Grace(Generation),
    /// The backoff has waited.
    Backoff,
    /// It has waited for its place for longer than a moment.
    Waits(Generation),
    /// The process of an attempt said that it is done, and has not ended.
    Linger(TaskId, Attempt),
    /// The attempt takes too long.
    Attempt(TaskId, Attempt),
    /// The attempt was called off, and the process did not let go of it.
    CallOff(TaskId, Attempt),
}
