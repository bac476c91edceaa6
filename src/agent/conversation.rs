//! The conversation with a worker, and how an attempt is called off in it.

use actix::prelude::*;
use serde_json::Value;
use slog::debug;
use tokio::sync::mpsc;

use super::{actor::AgentActor, messages::Timer, work::CalledOff};
use crate::{
    domain::agent::{AgentEvent, Fault},
    protocol::{
        frame::{LineReader, line_limit},
        worker::{Received, Terms, WorkerSession},
    },
    telemetry::Chain,
};

/// The conversation with a worker.
pub(super) struct Worker {
    pub(super) session: WorkerSession,
    pub(super) lines: LineReader,
    pub(super) stdin: mpsc::Sender<Vec<u8>>,
    pub(super) idle_heartbeat: bool,
}

impl AgentActor {
    /// Begins the conversation with a worker.
    pub(super) fn greet(&self, stdin: mpsc::Sender<Vec<u8>>) -> Worker {
        let mut session = WorkerSession::new(Terms {
            agent: self.status.agent.clone(),
            fleet: self.fleet.name.clone(),
            generation: self.status.generation,
            heartbeat: self.fleet.heartbeat.every,
            max_output: self.fleet.max_output,
        });
        // The channel is new and empty.
        stdin.try_send(session.hello()).unwrap_or_default();
        Worker {
            session,
            lines: LineReader::new(line_limit(self.fleet.max_output)),
            stdin,
            idle_heartbeat: false,
        }
    }

    /// Writes a message to a worker's stdin.
    pub(super) fn say(&mut self, message: Vec<u8>, ctx: &mut Context<Self>) {
        let worker = self.process.as_mut().and_then(|process| process.worker.as_mut());
        let Some(worker) = worker else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = worker.stdin.try_send(message) {
            let reason = "it does not read its stdin: too many messages wait for it";
            self.fault(Fault::Protocol, reason.to_owned(), Value::Null, ctx);
        }
    }

    /// The process wrote to its stdout.
    pub(super) fn heard(&mut self, chunk: &[u8], ctx: &mut Context<Self>) {
        let mut chunk = chunk;
        while let Some(worker) = self.process.as_mut().and_then(|p| p.worker.as_mut()) {
            let received = match worker.lines.next_line(&mut chunk) {
                Ok(None) => return,
                Ok(Some(line)) => {
                    worker.session.receive(line.as_bytes()).map_err(|e| Chain(&e).to_string())
                }
                Err(error) => Err(Chain(&error).to_string()),
            };
            match received {
                Ok(received) => self.received(received, ctx),
                Err(reason) => {
                    let reason = format!("it broke the protocol: {reason}");
                    self.fault(Fault::Protocol, reason, Value::Null, ctx);
                    // Nothing it says from here on can be trusted.
                    if let Some(process) = &mut self.process {
                        process.worker = None;
                    }
                    return;
                }
            }
        }
    }

    fn received(&mut self, received: Received, ctx: &mut Context<Self>) {
        match received {
            Received::Ready { name, version, idle_heartbeat } => {
                debug!(self.log, "worker said hello"; "version" => version.unwrap_or_default(),
                    "reason" => name.unwrap_or_default());
                if let Some(worker) = self.process.as_mut().and_then(|p| p.worker.as_mut()) {
                    worker.idle_heartbeat = idle_heartbeat;
                }
                self.observe(AgentEvent::Ready, ctx);
            }
            Received::Finished { outcome } => {
                self.settle(outcome, ctx);
                self.observe(AgentEvent::Done, ctx);
            }
            Received::Progress(progress) => self.vitals.set_progress(Some(progress)),
            Received::Log { level, message } => self.write_log(level.as_str(), &message),
            Received::Artifact(artifact) => self.keep_artifact(artifact),
            Received::Reply { bytes, why } => {
                debug!(self.log, "request refused"; "reason" => why);
                self.say(bytes, ctx);
            }
            Received::Heartbeat => {}
            Received::Ignored { why } => {
                debug!(self.log, "message ignored"; "reason" => why);
            }
        }
    }

    pub(super) fn call_off(&mut self, why: CalledOff, ctx: &mut Context<Self>) {
        let Some(work) = &mut self.work else { return };
        if self.agent.leaving.is_some() || work.called_off.is_some() {
            return;
        }
        work.called_off = Some(why);
        let (task, attempt) = work.key();
        let worker = self.process.as_mut().and_then(|process| process.worker.as_mut());
        match worker.and_then(|worker| worker.session.cancel()) {
            Some(message) => {
                self.say(message, ctx);
                ctx.notify_later(Timer::CallOff(task, attempt), self.fleet.stop_grace);
            }
            None => self.force_off(why, ctx),
        }
    }

    /// The process does not let go of its attempt by itself.
    pub(super) fn force_off(&mut self, why: CalledOff, ctx: &mut Context<Self>) {
        let limit = self.work.as_ref().and_then(|work| work.assignment.timeout);
        let limit = limit.or(self.fleet.task_timeout).unwrap_or_default();
        match why {
            CalledOff::Timeout => {
                let reason = format!(
                    "the attempt took longer than its limit of {}",
                    humantime::format_duration(limit)
                );
                self.fault(Fault::Timeout, reason, Value::Null, ctx);
            }
            CalledOff::Cancel => {
                self.fault(Fault::Cancel, "its task was cancelled".to_owned(), Value::Null, ctx);
            }
        }
    }
}
