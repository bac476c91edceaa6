//! The process of an agent, from its start to its end.

use std::time::Duration;

use actix::prelude::*;
use serde_json::Value;
use slog::{info, warn};
use tokio::sync::watch;

use super::{
    actor::{AgentActor, Process, Reading},
    attempt::OUT_OF_MEMORY,
    conversation::Greeting,
    messages::StartError,
    stdio,
    tombstone::{once_copied, when_ended},
    workspace::without_workspace,
};
use crate::{
    domain::{
        adoption::{Promise, Tool},
        agent::AgentEvent,
        fleet::Protocol,
        health::{Gate, Looks},
        secret,
        task::{FailureClass, Outcome},
    },
    process::{self, Ended, Exit, ProcessId, Spawned},
    protocol::frame::FrameError,
    telemetry::Chain,
};

impl AgentActor {
    pub(super) fn started(&mut self, spawned: Spawned, ctx: &mut Context<Self>) {
        info!(self.log, "process started"; "pid" => spawned.pid,
            "generation" => self.status.generation.0);
        self.take_process(spawned, Greeting::Hello, ctx);
        self.limit_start(ctx);
        match self.agent.leaving {
            Some(leaving) => self.climb(leaving.rung, ctx),
            None if self.fleet.protocol == Protocol::Service => self.greeted(ctx),
            None => {}
        }
        self.report();
    }

    /// Makes a process this agent's own: it is guarded, read, and written to.
    pub(super) fn take_process(
        &mut self,
        spawned: Spawned,
        greeting: Greeting,
        ctx: &mut Context<Self>,
    ) {
        let Spawned { id, pid, stdin, stdout, stderr, ended } = spawned;
        let (mut ended, generation) = (when_ended(ended), self.status.generation);
        self.tombstone.guard(id, ended.clone());
        let (vitals, log) = (self.vitals.clone(), self.own_log.clone());
        let pump = stdio::Pump { actor: ctx.address(), generation, vitals: vitals.clone() };
        if let Some(stderr) = stderr {
            let copy =
                stdio::copy_to_log(stderr, log.clone(), self.log.clone(), vitals, ended.clone());
            ended = once_copied(ended, actix::spawn(copy));
        }
        let known = matches!(greeting, Greeting::Known(..) | Greeting::Adopted);
        let (promise, tools) = match &greeting {
            Greeting::Known(standing, _) => (standing.promise, standing.tools.clone()),
            Greeting::Hello | Greeting::Adopted => (Promise::default(), Vec::new()),
        };
        let looked_at = ended.clone();
        let (mut worker, mut reading) = (None, None);
        match (self.fleet.protocol, stdin, stdout) {
            (Protocol::Worker, Some(stdin), Some(stdout)) => {
                match stdio::Stdin::open(stdin) {
                    Ok(stdin) => worker = Some(self.greet(stdin, greeting)),
                    Err(error) => warn!(self.log, "stdin can't be used"; "error" => %error),
                }
                let (stop, asked) = watch::channel(false);
                let task = actix::spawn(pump.worker(stdout, ended, asked));
                reading = Some(Reading { stop, task });
            }
            (Protocol::Exec, ..) => self.follow_attempt(pump, ended),
            (_, _, stdout) => {
                actix::spawn(pump.service(stdout, log, self.log.clone(), ended));
            }
        }
        let mut gate = Gate::of(&self.fleet.readiness.check);
        let mut looks = Looks::default();
        if known {
            // It was ready under the host before this one, or is judged by what it does from now on.
            gate.greeted();
            gate.shown();
            looks = Looks::after_readiness();
        }
        self.process =
            Some(Process { id, pid, worker, reading, gate, looks, promise, last_look: None });
        self.vitals.set_pid(pid);
        if let Some(limit) = promise.limit_ms {
            self.vitals.limit(Some(Duration::from_millis(limit)));
        }
        for Tool { id, until_ms, limit_ms } in tools {
            let left = Duration::from_millis(until_ms).saturating_sub(process::monotonic());
            self.vitals.reopen_tool(id, left, Duration::from_millis(limit_ms));
        }
        self.look_from_outside(looked_at, ctx);
        self.vitals.expect(self.expectation());
    }

    pub(super) fn start_failed(&mut self, error: &StartError, ctx: &mut Context<Self>) {
        let reason = Chain(error).to_string();
        warn!(self.log, "process could not be started"; "error" => &reason,
            "generation" => self.status.generation.0);
        if self.agent.leaving.is_some() {
            self.observe(AgentEvent::Exited { clean: false }, ctx);
            return;
        }
        self.status.reason = Some(reason.clone());
        if let StartError::Template(_) | StartError::Workspace(_) = error {
            // The task's fault: another one may fit.
            let outcome = match error {
                StartError::Workspace(error) => without_workspace(error),
                _ => Outcome::failed(FailureClass::Spawn, reason),
            };
            self.settle(outcome, ctx);
            self.observe(AgentEvent::Done, ctx);
        } else {
            self.observe(AgentEvent::SpawnFailed, ctx);
        }
    }

    pub(super) fn ended(&mut self, ended: &Ended, left: Option<Outcome>, ctx: &mut Context<Self>) {
        self.tombstone.release();
        self.vitals.process_ended();
        let process = self.process.take();
        let id = process.as_ref().map(|process| process.id);
        let worker = process.and_then(|process| process.worker);
        let unfinished = worker.and_then(|mut worker| worker.lines.finish().err());
        if let Some(grace) = self.grace.take() {
            ctx.cancel_future(grace);
        }
        info!(self.log, "process ended"; "generation" => self.status.generation.0,
            "exit" => %ended.exit, "count" => ended.swept);
        if let Some(reason) = ended.fault_of_host() {
            self.forget(id);
            // What the host has said of it counts, if it has.
            if self.agent.leaving.is_none() {
                self.status.reason = Some(reason.to_owned());
            }
            self.observe(AgentEvent::Lost, ctx);
            self.report();
            return;
        }
        if let Some(outcome) = left {
            self.unsettled = id;
            let leaving = self.agent.leaving.is_some();
            // Killed on our own word: then it is that word that counts, unless it had finished.
            if !leaving || matches!(outcome, Outcome::Completed { .. }) {
                self.settle(outcome, ctx);
                self.observe(AgentEvent::Done, ctx);
            }
            if leaving {
                self.observe(AgentEvent::Exited { clean: false }, ctx);
            }
            let settled = self.unsettled.take();
            self.forget(settled);
            self.report();
            return;
        }
        self.forget(id);
        if self.agent.leaving.is_none() {
            self.explain_end(ended, unfinished.as_ref());
        }
        let clean = ended.exit == Exit::Code(0);
        self.out_of_memory = ended.out_of_memory;
        self.observe(AgentEvent::Exited { clean }, ctx);
        self.out_of_memory = false;
    }

    /// No later host needs to hear of the end of that process.
    fn forget(&self, id: Option<ProcessId>) {
        if let Some(id) = id {
            self.around.processes.forget(id);
        }
    }

    /// Keeps why a resident process is gone that nobody asked to leave.
    fn explain_end(&mut self, ended: &Ended, unfinished: Option<&FrameError>) {
        let tail = self.own_log.tail();
        let at_work = if !self.work.is_empty() { " in the middle of a task" } else { "" };
        let mut reason = format!("the process {}{at_work}", ended.exit);
        if let Some(error) = unfinished {
            reason = format!("{reason}; {error}");
        }
        if ended.out_of_memory {
            reason = format!("{reason}; {OUT_OF_MEMORY}");
        }
        let tail = secret::hide(&self.fleet.secrets, &tail);
        if !tail.is_empty() {
            reason = format!("{reason}; the end of its stderr: {tail}");
        }
        self.status.reason = Some(reason);
        self.detail = match ended.exit {
            Exit::Code(code) => serde_json::json!({"exit_code": code, "stderr_tail": tail}),
            Exit::Signal(signal) => serde_json::json!({"signal": signal, "stderr_tail": tail}),
            Exit::Lost => Value::Null,
        };
    }
}
