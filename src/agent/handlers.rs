//! What the actor is told: each message becomes an event, or is dropped for being too old.

use std::sync::Arc;

use actix::prelude::*;
use serde_json::Value;

use super::{
    AgentStatus,
    actor::AgentActor,
    messages::{Dismiss, FromProcess, Order, Refit, Silent, Started, Timer, What},
    work::{CalledOff, Work},
};
use crate::{
    domain::agent::{AgentEvent, AgentState, Fault, IllegalStep, Rules},
    domain::task::{Assignment, Outcome},
    queue::{Ended, ToAgent},
};

impl Actor for AgentActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(64);
        match self.adopted.take() {
            Some(adopted) => self.adopt(adopted, ctx),
            None => self.report(),
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // It is called while a panic unwinds, too.
        if !std::thread::panicking() {
            self.tombstone.stopped();
        }
    }
}

impl Handler<Order> for AgentActor {
    type Result = Result<AgentStatus, IllegalStep>;

    fn handle(&mut self, order: Order, ctx: &mut Self::Context) -> Self::Result {
        let before = self.status.reason.clone();
        if order.reason.is_some() {
            self.status.reason = order.reason;
        }
        if let Err(illegal) = self.apply(order.event, ctx) {
            self.status.reason = before;
            return Err(illegal);
        }
        Ok(self.status.clone())
    }
}

impl Handler<Refit> for AgentActor {
    type Result = ();

    fn handle(&mut self, Refit(fleet): Refit, _: &mut Self::Context) {
        self.rules = Rules::of(&fleet);
        self.fleet = fleet;
    }
}

impl Handler<Dismiss> for AgentActor {
    type Result = ();

    fn handle(&mut self, _: Dismiss, ctx: &mut Self::Context) {
        self.tombstone.dismiss();
        ctx.stop();
    }
}

impl AgentActor {
    /// Whether so many more attempts can be taken in hand now.
    fn has_room(&self, more: usize) -> bool {
        match self.agent.state {
            AgentState::Idle => true,
            AgentState::Busy if self.agent.draining || self.agent.parting => false,
            AgentState::Busy => self.work.len() + more <= usize::from(self.fleet.prefetch),
            _ => false,
        }
    }
}

impl Handler<ToAgent> for AgentActor {
    type Result = ();

    fn handle(&mut self, message: ToAgent, ctx: &mut Self::Context) {
        match message {
            ToAgent::Run(assignments) if self.has_room(assignments.len()) => {
                self.work.extend(assignments.into_iter().map(Work::new));
                self.observe(AgentEvent::Assigned, ctx);
            }
            ToAgent::Run(assignments) => {
                let reason = format!("its agent is {}", self.agent.state);
                let release = |assignment: Arc<Assignment>| Ended {
                    task: assignment.task,
                    attempt: assignment.attempt,
                    outcome: Outcome::Released { reason: reason.clone() },
                    written: None,
                };
                self.tell_ends(assignments.into_iter().map(release).collect());
            }
            ToAgent::Cancel { task, attempt } => {
                self.call_off((task, attempt), CalledOff::Cancel, ctx);
            }
        }
    }
}

impl Handler<Silent> for AgentActor {
    type Result = ();

    fn handle(&mut self, silent: Silent, ctx: &mut Self::Context) {
        let live = matches!(self.agent.state, AgentState::Idle | AgentState::Busy);
        if live && self.is_newest(silent.generation) {
            self.status.reason = Some(silent.silence.to_string());
            self.observe(AgentEvent::Silent, ctx);
        }
    }
}

impl Handler<Started> for AgentActor {
    type Result = ();

    fn handle(&mut self, started: Started, ctx: &mut Self::Context) {
        debug_assert!(self.is_newest(started.generation), "one start at a time");
        match started.result {
            Ok(spawned) => self.started(spawned, ctx),
            Err(error) => self.start_failed(&error, ctx),
        }
    }
}

impl Handler<FromProcess> for AgentActor {
    type Result = ();

    fn handle(&mut self, message: FromProcess, ctx: &mut Self::Context) {
        if !self.is_newest(message.generation) {
            return;
        }
        match message.what {
            What::Output(chunk) => self.heard(&chunk, ctx),
            What::Closed => {
                let reason = "it closed its stdout and went on".to_owned();
                self.fault(Fault::Protocol, reason, Value::Null, ctx);
            }
            What::Ended(ended) => self.ended(&ended, None, ctx),
            What::Left(ended, outcome) => self.ended(&ended, Some(outcome), ctx),
        }
    }
}

impl Handler<Timer> for AgentActor {
    type Result = ();

    fn handle(&mut self, timer: Timer, ctx: &mut Self::Context) {
        match timer {
            Timer::Startup(generation) => {
                let starts = self.is_newest(generation) && self.agent.state == AgentState::Starting;
                if let Some(left) = self.start_extended().filter(|_| starts) {
                    ctx.notify_later(timer, left);
                } else if starts {
                    let reason = self.why_not_ready();
                    self.fault(Fault::Startup, reason, Value::Null, ctx);
                }
            }
            Timer::Grace(generation) if self.is_newest(generation) => {
                self.observe(AgentEvent::GraceElapsed, ctx);
            }
            Timer::Grace(_) => {}
            Timer::Backoff => {
                self.backoff = None;
                self.observe(AgentEvent::BackoffElapsed, ctx);
            }
            Timer::Attempt(task, attempt) if self.is_at((task, attempt)) => {
                let why = self.work.front().map_or(CalledOff::Timeout, |work| work.at_limit);
                self.call_off((task, attempt), why, ctx);
            }
            Timer::CallOff(task, attempt) if self.is_at((task, attempt)) => {
                let why = self.work.front().and_then(|work| work.called_off);
                self.force_off(why.unwrap_or(CalledOff::Cancel), ctx);
            }
            Timer::Attempt(..) | Timer::CallOff(..) => {}
        }
    }
}
