//! The conversation with a worker, and how an attempt is called off in it.

use std::time::Duration;

use actix::prelude::*;
use serde_json::Value;
use slog::{debug, warn};

use super::{actor::AgentActor, messages::Timer, stdio::Stdin, work::CalledOff};
use crate::{
    domain::{
        Attempt, TaskId,
        adoption::{Standing, Tool},
        agent::{AgentEvent, Fault},
        fleet::Protocol,
        heartbeat::OpenTool,
        restart::millis,
        secret,
    },
    process,
    protocol::{
        frame::{LineReader, line_limit},
        worker::{Received, Terms, WorkerSession},
    },
    queue::Ended,
    telemetry::Chain,
};

/// How the conversation with the worker of a process begins.
pub(super) enum Greeting {
    /// With a hello.
    Hello,
    /// It has none, and is one of the host before this.
    Adopted,
    /// It goes on from there, with this host as the so manieth.
    Known(Standing, u64),
}

/// The conversation with a worker.
pub(super) struct Worker {
    pub(super) session: WorkerSession,
    pub(super) lines: LineReader,
    pub(super) stdin: Stdin,
    pub(super) idle_heartbeat: bool,
    /// It has answered the hello.
    greeted: bool,
    /// Nothing was read of it yet, and the beginning of its line may have been read by the host before.
    mid_line: bool,
}

impl AgentActor {
    /// Begins the conversation with a worker, or goes on with it. A worker that is known is told
    /// nothing before there is a reason to: it has been greeted.
    pub(super) fn greet(&self, stdin: Stdin, greeting: Greeting) -> Worker {
        let terms = Terms {
            agent: self.status.agent.clone(),
            fleet: self.fleet.name.clone(),
            generation: self.status.generation,
            heartbeat: self.fleet.heartbeat.every,
            max_output: self.fleet.max_output,
            prefetch: usize::from(self.fleet.prefetch),
            attempts: self.around.api.attempts.clone(),
        };
        let lines = LineReader::new(line_limit(self.fleet.max_output));
        match greeting {
            Greeting::Hello | Greeting::Adopted => {
                let mut session = WorkerSession::new(terms);
                // Nothing waits in a new one.
                stdin.send(session.hello()).unwrap_or_default();
                Worker {
                    session,
                    lines,
                    stdin,
                    idle_heartbeat: false,
                    greeted: false,
                    mid_line: false,
                }
            }
            Greeting::Known(Standing { open, idle_heartbeat, .. }, epoch) => {
                let session = WorkerSession::resume(terms, epoch, open);
                Worker { session, lines, stdin, idle_heartbeat, greeted: true, mid_line: true }
            }
        }
    }

    /// Writes down how far the conversation is, and what the process has said of how it shows life.
    pub(super) fn note_standing(&mut self) {
        let Some(process) = &self.process else { return };
        let worker = process.worker.as_ref();
        // Without a conversation a worker could not be taken over; nor before its hello.
        let is_worker = self.fleet.protocol == Protocol::Worker;
        if is_worker && worker.is_none_or(|worker| !worker.greeted) {
            return;
        }
        let standing = Standing {
            generation: self.status.generation,
            idle_heartbeat: worker.is_some_and(|worker| worker.idle_heartbeat),
            open: worker.map(|worker| worker.session.open()).unwrap_or_default(),
            pid: Some(process.pid),
            promise: process.promise,
            tools: self.open_tools(),
        };
        if let Err(error) = self.memo.write(&standing) {
            warn!(self.log, "an agent's standing can't be written: it could not be taken over";
                "error" => %error);
        }
    }

    /// The open tool calls, by a clock that the next host has, too.
    fn open_tools(&self) -> Vec<Tool> {
        let tools = self.vitals.tools();
        if tools.is_empty() {
            return Vec::new();
        }
        let (now, machine) = (self.around.clock.now(), millis(process::monotonic()));
        let tool = |(id, OpenTool { until, limit })| Tool {
            id,
            until_ms: machine.saturating_add(until.saturating_sub(now)),
            limit_ms: millis(limit),
        };
        tools.into_iter().map(tool).collect()
    }

    /// Gives the worker what it was not given yet. That is written down first: what was given but
    /// not written down would run again beside it, once this host dies.
    pub(super) fn hand_over(&mut self, ctx: &mut Context<Self>) {
        let mut messages = Vec::new();
        let mut refused = None;
        while !self.waits_for_place(ctx) {
            let worker = self.process.as_mut().and_then(|process| process.worker.as_mut());
            let Some(worker) = worker else { return };
            let Some(work) = self.work.iter_mut().find(|work| !work.given) else { break };
            work.given = true;
            let left = work.time_left(self.fleet.task_timeout, Duration::ZERO);
            match worker.session.run(&work.assignment, left.map(|left| left.limit)) {
                Ok(message) => messages.extend(message),
                Err(error) => {
                    refused = Some(Chain(&error).to_string());
                    break;
                }
            }
        }
        self.note_standing();
        if !messages.is_empty() {
            self.say(messages, ctx);
        }
        if let Some(reason) = refused {
            self.fault(Fault::Protocol, reason, Value::Null, ctx);
        }
    }

    /// Writes a message to a worker's stdin.
    pub(super) fn say(&mut self, message: Vec<u8>, ctx: &mut Context<Self>) {
        let worker = self.process.as_mut().and_then(|process| process.worker.as_mut());
        let Some(worker) = worker else { return };
        if worker.stdin.send(message).is_err() {
            let reason = "it does not read its stdin: too many messages wait for it";
            self.fault(Fault::Protocol, reason.to_owned(), Value::Null, ctx);
        }
    }

    /// The process wrote to its stdout. How long to wait until more of it is read.
    pub(super) fn heard(&mut self, chunk: &[u8], ctx: &mut Context<Self>) -> Duration {
        self.unheard = false;
        let (mut chunk, mut ends) = (chunk, Vec::new());
        while let Some(worker) = self.process.as_mut().and_then(|p| p.worker.as_mut()) {
            let received = match worker.lines.next_line(&mut chunk) {
                Ok(None) => break,
                Ok(Some(line)) => {
                    worker.session.receive(line.as_bytes()).map_err(|e| Chain(&e).to_string())
                }
                Err(error) => Err(Chain(&error).to_string()),
            };
            let mid_line = std::mem::take(&mut worker.mid_line);
            match received {
                Ok(Received::Finished { task, attempt, outcome }) => {
                    ends.extend(self.take_end((task, attempt), outcome, ctx));
                }
                Ok(received) => self.received(received, ctx),
                // The end of a line never reads as a message: its braces don't match.
                Err(reason) if mid_line => {
                    debug!(self.log, "the end of a line ignored"; "reason" => reason);
                }
                Err(reason) => {
                    let reason = format!("it broke the protocol: {reason}");
                    self.fault(Fault::Protocol, reason, Value::Null, ctx);
                    // Nothing it says from here on can be trusted.
                    if let Some(process) = &mut self.process {
                        process.worker = None;
                        self.around.processes.close_stdin(process.id);
                    }
                    break;
                }
            }
        }
        if !ends.is_empty() {
            self.answered(ends, ctx);
        }
        self.write_said()
    }

    /// The worker has answered these.
    fn answered(&mut self, ends: Vec<Ended>, ctx: &mut Context<Self>) {
        self.note_standing();
        self.tell_ends(ends);
        if self.work.is_empty() {
            self.observe(AgentEvent::Done, ctx);
        } else {
            self.begin_next(ctx);
            self.report();
        }
    }

    fn received(&mut self, received: Received, ctx: &mut Context<Self>) {
        match received {
            Received::Ready { name, version, idle_heartbeat } => {
                debug!(self.log, "worker said hello"; "version" => version.unwrap_or_default(),
                    "reason" => name.unwrap_or_default());
                if let Some(worker) = self.process.as_mut().and_then(|p| p.worker.as_mut()) {
                    worker.idle_heartbeat = idle_heartbeat;
                    worker.greeted = true;
                }
                self.note_standing();
                self.greeted(ctx);
            }
            // Gathered by whoever reads, so that all of one reading are settled together.
            Received::Finished { .. } => {}
            Received::Progress(mut progress) => {
                secret::hide_in(&self.fleet.secrets, &mut progress);
                self.vitals.set_progress(Some(progress));
            }
            Received::Log { level, message } => self.write_log(level.as_str(), &message),
            Received::Artifact(artifact) => self.keep_artifact(artifact),
            Received::Reply { bytes, why } => {
                debug!(self.log, "request refused"; "reason" => why);
                self.say(bytes, ctx);
            }
            Received::ToolOpened { id, limit } => {
                let limit = limit.unwrap_or(self.fleet.heartbeat.tool_stale_after);
                self.vitals.open_tool(id, limit);
                self.note_standing();
            }
            Received::ToolClosed { id } => {
                self.vitals.close_tool(&id);
                self.note_standing();
            }
            Received::Heartbeat => {}
            Received::Ignored { why } => {
                debug!(self.log, "message ignored"; "reason" => why);
            }
        }
    }

    /// Calls an attempt off. Of one that waits behind others the worker is told, too, but it is
    /// forced off only once it is under way.
    pub(super) fn call_off(
        &mut self,
        key: (TaskId, Attempt),
        why: CalledOff,
        ctx: &mut Context<Self>,
    ) {
        if self.agent.leaving.is_some() {
            return;
        }
        let is_first = self.work.front().is_some_and(|first| first.key() == key);
        let Some(work) = self.work.iter_mut().find(|work| work.key() == key) else { return };
        if work.called_off.is_some() {
            return;
        }
        work.called_off = Some(why);
        let (task, attempt) = key;
        let worker = self.process.as_mut().and_then(|process| process.worker.as_mut());
        match worker.and_then(|worker| worker.session.cancel(task, attempt)) {
            Some(message) => {
                self.say(message, ctx);
                if is_first {
                    ctx.notify_later(Timer::CallOff(task, attempt), self.fleet.stop_grace);
                }
            }
            None => self.force_off(why, ctx),
        }
    }

    /// The process does not let go of its attempt by itself.
    pub(super) fn force_off(&mut self, why: CalledOff, ctx: &mut Context<Self>) {
        let limit = self.work.front().and_then(|work| work.assignment.timeout);
        let limit = limit.or(self.fleet.task_timeout).unwrap_or_default();
        match why {
            CalledOff::Timeout => {
                let reason = format!(
                    "the attempt took longer than its limit of {}",
                    humantime::format_duration(limit)
                );
                self.fault(Fault::Timeout, reason, Value::Null, ctx);
            }
            CalledOff::Deadline => {
                let reason = "the deadline of its task passed".to_owned();
                self.fault(Fault::Timeout, reason, Value::Null, ctx);
            }
            CalledOff::Cancel => {
                self.fault(Fault::Cancel, "its task was cancelled".to_owned(), Value::Null, ctx);
            }
        }
    }
}
