//! The faults that the demo makes from outside. Two more are in its agents: one answers its first
//! task with rubbish, and one task fails twice.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{DemoError, stage};
use crate::{
    app::Running,
    domain::{AgentName, agent::AgentState, record::AgentRecord},
};

/// How often an agent is looked at until it is as the fault needs it.
const LOOK: Duration = Duration::from_millis(2);
/// How far the demo is before the faults begin.
const BEFORE: Duration = Duration::from_millis(500);

/// Kills one agent at work, and stops another one (as one that hangs).
pub(super) async fn make(running: &Running) -> Result<(), DemoError> {
    tokio::time::sleep(BEFORE).await;
    let killed = at_work(running, stage::name("steady-1")).await?;
    signal(&killed, Signal::SIGKILL);
    let again = at_work_as(running, stage::name("steady-1"), killed.generation.0 + 1).await?;
    signal(&again, Signal::SIGSTOP);
    Ok(())
}

async fn at_work(running: &Running, name: AgentName) -> Result<AgentRecord, DemoError> {
    at_work_as(running, name, 1).await
}

/// Waits until the agent runs a task in its process number `generation` or a later one.
async fn at_work_as(
    running: &Running,
    name: AgentName,
    generation: u64,
) -> Result<AgentRecord, DemoError> {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        let agent = running.supervisor().agent(name.clone()).await?;
        if agent.state == AgentState::Busy && agent.generation.0 >= generation {
            return Ok(agent);
        }
    }
}

fn signal(agent: &AgentRecord, signal: Signal) {
    let pid = agent.pid.and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // It may have ended since it was looked at; then there is one fault less.
        kill(Pid::from_raw(pid), signal).unwrap_or_default();
    }
}
