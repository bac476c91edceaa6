//! Whether the process of an agent is in order, and what follows when it is not: see
//! [`domain::health`](crate::domain::health) for what is decided.
//!
//! A look from outside runs beside the actor, one at a time, until the process ends. A command that looks
//! is a process of the keeper's, as the agent's own, so that nothing of it is left either.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use slog::{debug, info};
use tokio::{net::TcpStream, time::timeout};

use super::{actor::AgentActor, messages::Looked, spawn::Start, tombstone::WhenEnded};
use crate::{
    domain::{
        Generation,
        agent::{AgentEvent, AgentState, Fault},
        fleet::Protocol,
        health::{Check, HttpTarget, News, for_agent},
    },
    process::{Exit, Processes, Spec},
};

impl AgentActor {
    /// The protocol has begun: its agent is ready, if it need not show more.
    pub(super) fn greeted(&mut self, ctx: &mut Context<Self>) {
        if let Some(process) = &mut self.process {
            process.gate.greeted();
        }
        self.enter(ctx);
    }

    /// The readiness check has passed.
    pub(super) fn shown(&mut self, ctx: &mut Context<Self>) {
        if let Some(process) = &mut self.process {
            process.gate.shown();
        }
        self.enter(ctx);
    }

    fn enter(&mut self, ctx: &mut Context<Self>) {
        let is_open = self.process.as_ref().is_some_and(|process| process.gate.is_open());
        if is_open && self.agent.state == AgentState::Starting {
            self.observe(AgentEvent::Ready, ctx);
        } else if !is_open && self.agent.state == AgentState::Starting {
            self.status.reason = Some(format!("it has yet to {}", self.what_is_missing()));
            self.report();
        }
    }

    /// What a process must still do.
    fn what_is_missing(&self) -> &'static str {
        let process = self.process.as_ref();
        let is_silent = process.is_none_or(|process| process.gate.awaits_greeting());
        match &self.fleet.readiness.check {
            _ if is_silent && self.fleet.protocol == Protocol::Worker => "answer `initialize`",
            Check::Notify => "say READY=1",
            _ => "pass its readiness check",
        }
    }

    /// Why it is not ready though its time is over.
    pub(super) fn why_not_ready(&self) -> String {
        let limit = humantime::format_duration(self.fleet.start_timeout);
        let reason = format!("it did not {} within {limit}", self.what_is_missing());
        match self.process.as_ref().and_then(|process| process.last_look.as_deref()) {
            Some(last) => format!("{reason}; the last look: {last}"),
            None => reason,
        }
    }

    /// Looks at the process until it ends, if its fleet says how.
    pub(super) fn look_from_outside(&mut self, ended: WhenEnded, ctx: &mut Context<Self>) {
        let readiness = &self.fleet.readiness;
        let of = |text: &str| for_agent(text, &self.status.agent);
        let look = match &readiness.check {
            Check::Protocol | Check::Notify => return,
            Check::Tcp(address) => Look::Tcp(of(address)),
            Check::Http(HttpTarget { address, path }) => {
                Look::Http { address: of(address), path: of(path) }
            }
            Check::Exec(argv) => {
                let start = Start {
                    around: self.around.clone(),
                    fleet: self.fleet.clone(),
                    fingerprint: self.fingerprint.clone(),
                    agent: self.status.agent.clone(),
                    generation: self.status.generation,
                    notify: None,
                    assignment: None,
                    place: None,
                    wanted: tokio::sync::oneshot::channel().1,
                };
                let argv = argv.iter().map(|word| of(word)).collect();
                Look::Exec(Box::new(start.check(argv)), self.around.processes.clone())
            }
        };
        let looker = Looker { look, limit: readiness.timeout, generation: self.status.generation };
        actix::spawn(looker.go(ctx.address(), ended));
    }
}

impl Handler<Looked> for AgentActor {
    type Result = Option<Duration>;

    /// Answers how long to wait before the next look; nothing where there is to be none.
    fn handle(&mut self, looked: Looked, ctx: &mut Self::Context) -> Self::Result {
        if !self.is_newest(looked.generation) || self.agent.leaving.is_some() {
            return None;
        }
        let fleet = self.fleet.clone();
        let process = self.process.as_mut()?;
        let (news, wait) = process.looks.looked(&fleet.readiness, looked.result.is_ok());
        if let Err(wrong) = looked.result {
            debug!(self.log, "readiness check failed"; "reason" => &wrong,
                "generation" => looked.generation.0);
            process.last_look = Some(wrong);
        }
        match news {
            News::None => {}
            News::Ready => {
                info!(self.log, "readiness check passed"; "generation" => looked.generation.0);
                self.shown(ctx);
            }
            News::Unready(times) => {
                let last = process.last_look.as_deref().unwrap_or_default();
                let reason = format!("its readiness check failed {times} times in a row: {last}");
                self.fault(Fault::Unready, reason, Value::Null, ctx);
                return None;
            }
        }
        Some(wait)
    }
}

/// Looks at one process again and again.
struct Looker {
    look: Look,
    limit: Duration,
    generation: Generation,
}

/// How a process is looked at from outside.
#[derive(Clone)]
enum Look {
    Tcp(String),
    Http { address: String, path: String },
    Exec(Box<Spec>, Arc<dyn Processes>),
}

impl Looker {
    async fn go(self, actor: Addr<AgentActor>, ended: WhenEnded) {
        loop {
            let result = tokio::select! {
                _ = ended.clone() => return,
                result = self.look.once(self.limit) => result,
            };
            let looked = Looked { generation: self.generation, result };
            let Ok(Some(wait)) = actor.send(looked).await else { return };
            tokio::select! {
                _ = ended.clone() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl Look {
    /// One look. What it says of a failure names no secret: no body, and nothing that a command wrote.
    async fn once(&self, limit: Duration) -> Result<(), String> {
        let late = || format!("no answer within {}", humantime::format_duration(limit));
        match self {
            Self::Tcp(address) => match timeout(limit, TcpStream::connect(address)).await {
                Ok(connected) => connected.map(drop).map_err(|error| format!("{address}: {error}")),
                Err(_) => Err(format!("{address}: {}", late())),
            },
            Self::Http { address, path } => match timeout(limit, get(address, path)).await {
                Ok(answered) => {
                    answered.map_err(|error| format!("http://{address}{path}: {error}"))
                }
                Err(_) => Err(format!("http://{address}{path}: {}", late())),
            },
            Self::Exec(spec, processes) => {
                // A task of its own: it ends its process also when nobody waits for it any more.
                let run = run(Spec::clone(spec), processes.clone(), limit);
                actix::spawn(run).await.unwrap_or_else(|_| Err("the look panicked".to_owned()))
            }
        }
    }
}

async fn get(address: &str, path: &str) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| told(&error))?;
    let handshake = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| told(&error))?;
    let request = Request::get(path)
        .header(HOST, address)
        .header("user-agent", concat!("hostler/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| told(&error))?;
    let answer = async move {
        let answer = sender.send_request(request).await.map_err(|error| told(&error))?;
        let status = answer.status();
        let in_order = status.is_success() || status.is_redirection();
        if in_order { Ok(()) } else { Err(format!("answered {status}")) }
    };
    // The connection is driven beside the request, and closed with it. It may end in the moment in which
    // it hands the answer over.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

/// Runs the command of a check, and ends it when it takes too long.
async fn run(spec: Spec, processes: Arc<dyn Processes>, limit: Duration) -> Result<(), String> {
    let command = spec.argv.first().cloned().unwrap_or_default();
    let process = processes.spawn(spec).await.map_err(|error| error.to_string())?;
    let mut ended = process.ended;
    let in_time = timeout(limit, &mut ended).await;
    let result = match in_time {
        Ok(Ok(ended)) if ended.exit == Exit::Code(0) => Ok(()),
        Ok(Ok(ended)) => Err(format!("`{command}` {}", ended.exit)),
        Ok(Err(_)) => Err(format!("`{command}` was lost")),
        Err(_) => {
            processes.kill(process.id);
            // An error says that the keeper is gone, and the process with it.
            ended.await.ok();
            Err(format!("`{command}` did not end within {}", humantime::format_duration(limit)))
        }
    };
    processes.forget(process.id);
    result
}

#[cfg(test)]
mod tests;
