//! What the actor is told: each message becomes an event, or is dropped for being too old.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    AgentStatus,
    actor::{AgentActor, Reading},
    messages::{
        Dismiss, FromProcess, HandOver, Order, Refit, SetHold, Silent, Started, Timer, What,
    },
    work::{CalledOff, Work},
};
use crate::{
    domain::adoption::fingerprint,
    domain::agent::{AgentEvent, AgentState, Fault, IllegalStep, Rules},
    domain::task::{Assignment, Outcome},
    queue::{Ended, ToAgent},
};

/// How long an agent may take to stop where another host can go on.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(3);

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
        self.fingerprint = fingerprint(&fleet);
        self.fleet = fleet;
    }
}

impl Handler<HandOver> for AgentActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: HandOver, _: &mut Self::Context) -> Self::Result {
        self.handing_over = true;
        let Some(process) = &mut self.process else { return Box::pin(async {}) };
        let written = process.worker.as_ref().map(|worker| worker.stdin.written());
        let reading = process.reading.take();
        let over = async move {
            if let Some(written) = written {
                written.await;
            }
            if let Some(Reading { stop, task }) = reading {
                stop.send_replace(true);
                // It ends at the end of a line. If it panicked, there is nothing to wait for.
                task.await.unwrap_or_default();
            }
        };
        // One that does not read, or stops in the middle of a line, is taken over as after a crash.
        Box::pin(async move { timeout(HAND_OVER_LIMIT, over).await.unwrap_or_default() })
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
            _ if self.handing_over => false,
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

impl Handler<SetHold> for AgentActor {
    type Result = ();

    fn handle(&mut self, SetHold(hold): SetHold, ctx: &mut Self::Context) {
        let (hold, why) = hold.unzip();
        self.hold_reason = why;
        self.observe(hold.map_or(AgentEvent::Unhold, AgentEvent::Hold), ctx);
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
        (self.wanted, self.waits_long) = (None, false);
        if std::mem::take(&mut self.waits_for_place) && self.agent.leaving.is_none() {
            self.status.reason = None;
        }
        if self.agent.state == AgentState::Starting {
            self.place = started.place;
        }
        match started.result {
            Ok(spawned) => self.started(spawned, ctx),
            Err(error) => self.start_failed(&error, ctx),
        }
    }
}

impl Handler<FromProcess> for AgentActor {
    type Result = Option<Duration>;

    fn handle(&mut self, message: FromProcess, ctx: &mut Self::Context) -> Self::Result {
        if !self.is_newest(message.generation) {
            return None;
        }
        match message.what {
            What::Output(chunk) => return Some(self.heard(&chunk, ctx)),
            What::Closed => {
                let reason = "it closed its stdout and went on".to_owned();
                self.fault(Fault::Protocol, reason, Value::Null, ctx);
            }
            What::Lingers => self.lingers(ctx),
            What::Floods => self.floods(ctx),
            What::Ended(ended) => self.ended(&ended, None, ctx),
            What::Left(ended, outcome) => self.ended(&ended, Some(outcome), ctx),
        }
        None
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
            Timer::Waits(generation) => {
                if self.is_newest(generation) && self.waits_for_place {
                    self.waits_long = true;
                    self.report();
                }
            }
            Timer::Linger(task, attempt) if self.is_at((task, attempt)) => self.lingers(ctx),
            Timer::Linger(..) => {}
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
