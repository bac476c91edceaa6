//! The shell: carries out what [`step`] decides.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use actix::prelude::*;
use jiff::Timestamp;
use serde_json::Value;
use slog::{Logger, debug, info, o, warn};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::{
    Adopted, AgentReport, AgentStatus, Surroundings,
    conversation::Worker,
    log::{AgentLog, Said},
    memo::Memo,
    messages::Timer,
    notify::Listening,
    spawn::Start,
    starts::Place,
    tombstone::Tombstone,
    work::Work,
};
use crate::{
    domain::{
        Generation, Millis,
        adoption::{Promise, fingerprint},
        agent::{
            Agent, AgentEvent, AgentState, Effect, End, Fault, IllegalStep, Rules, Rung, step,
        },
        fleet::{Fleet, Protocol},
        health::{Check, Gate, Looks},
        heartbeat::Expect,
        record::RestartCause,
        restart, secret,
        task::{FailureClass, Outcome},
    },
    heartbeat::Vitals,
    process::ProcessId,
    queue::FromAgent,
};

/// Whoever waits for its place for longer is told of.
const MOMENT: Duration = Duration::from_secs(1);

/// A live process.
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) pid: u32,
    pub(super) worker: Option<Worker>,
    /// What it must still show before its agent is ready.
    pub(super) gate: Gate,
    /// What looks at it from outside have found.
    pub(super) looks: Looks,
    /// What reads its stdout, if it is a worker.
    pub(super) reading: Option<Reading>,
    /// What it has said of how it shows life.
    pub(super) promise: Promise,
    /// What the newest look from outside found wrong.
    pub(super) last_look: Option<String>,
}

/// Whoever reads a worker's stdout.
pub(super) struct Reading {
    /// Asks it to stop at the end of a line.
    pub(super) stop: watch::Sender<bool>,
    /// Ends when it has.
    pub(super) task: JoinHandle<()>,
}

pub(crate) struct AgentActor {
    pub(super) log: Logger,
    pub(super) fleet: Arc<Fleet>,
    /// That of the fleet, which each start writes down.
    pub(super) fingerprint: String,
    pub(super) rules: Rules,
    pub(super) agent: Agent,
    pub(super) status: AgentStatus,
    pub(super) around: Arc<Surroundings>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) own_log: AgentLog,
    pub(super) said: Said,
    pub(super) memo: Memo,
    /// A process to go on with, until the actor has started.
    pub(super) adopted: Option<Adopted>,
    pub(super) process: Option<Process>,
    /// The attempts in hand, the one under way first.
    pub(super) work: VecDeque<Work>,
    /// The ended process of an `exec` attempt whose outcome is not settled yet.
    pub(super) unsettled: Option<ProcessId>,
    /// More about the fault that is being dealt with, for a program.
    pub(super) detail: Value,
    /// The process that has just ended did so for want of memory.
    pub(super) out_of_memory: bool,
    pub(super) grace: Option<SpawnHandle>,
    pub(super) backoff: Option<SpawnHandle>,
    /// Why it is held, while it is.
    pub(super) hold_reason: Option<String>,
    /// Its place among those that start, while it does.
    pub(super) place: Option<Place>,
    pub(super) waits_for_place: bool,
    /// And has done so for longer than a moment.
    pub(super) waits_long: bool,
    /// While a process waits for its place: dropped, it is called off.
    pub(super) wanted: Option<oneshot::Sender<()>>,
    /// Its notification socket, once it was opened.
    pub(super) listening: Option<Listening>,
    /// Since when its process is being sent away.
    pub(super) leaves_since: Option<Millis>,
    pub(super) tombstone: Tombstone,
    /// Another host is about to go on with all this: nothing more is taken in hand.
    pub(super) handing_over: bool,
    /// Nothing has been heard of the process since it was taken over in the middle of a task.
    pub(super) unheard: bool,
}

impl AgentActor {
    pub(super) fn new(
        fleet: Arc<Fleet>,
        status: AgentStatus,
        around: Surroundings,
        vitals: Arc<Vitals>,
        watcher: Recipient<AgentReport>,
        adopted: Option<Adopted>,
    ) -> Self {
        let log = around.log.new(o!("agent" => status.agent.to_string()));
        let path = around.log_path(&status.agent);
        let own_log = AgentLog::open(&path, around.log_policy).unwrap_or_else(|error| {
            warn!(log, "an agent's log can't be opened"; "error" => %error,
                "path" => %path.display());
            AgentLog::nowhere(around.log_policy)
        });
        Self {
            log,
            rules: Rules::of(&fleet),
            fingerprint: fingerprint(&fleet),
            fleet,
            agent: Agent::default(),
            tombstone: Tombstone::new(
                status.agent.clone(),
                watcher,
                around.processes.clone(),
                around.workspaces.clone(),
            ),
            memo: Memo::new(&around.standing_dir, &status.agent),
            adopted,
            status: AgentStatus { state: AgentState::Stopped, pid: None, work: None, ..status },
            around: Arc::new(around),
            vitals,
            said: Said::new(own_log.allowance()),
            own_log,
            process: None,
            work: VecDeque::new(),
            unsettled: None,
            detail: Value::Null,
            out_of_memory: false,
            grace: None,
            backoff: None,
            handing_over: false,
            unheard: false,
            hold_reason: None,
            place: None,
            waits_for_place: false,
            waits_long: false,
            wanted: None,
            listening: None,
            leaves_since: None,
        }
    }

    /// Feeds one event to the state machine and carries out what it asks for.
    pub(super) fn apply(
        &mut self,
        event: AgentEvent,
        ctx: &mut Context<Self>,
    ) -> Result<(), IllegalStep> {
        let (next, effects) = step(&self.rules, &self.agent, event, self.around.clock.now())?;
        let before = std::mem::replace(&mut self.agent, next);
        if before.state != self.agent.state {
            self.log_move(before.state, event);
            self.status.since = Timestamp::now();
            self.status.completed = self.agent.has_completed(&before, event);
        }
        self.count_restart(event, before.state);
        self.status.failures = self.agent.failures;
        if before.state == AgentState::Starting && self.agent.state != AgentState::Starting {
            self.place = None;
        }
        for effect in effects {
            self.perform(effect, ctx);
        }
        // Only now: the end of an attempt is told with the reason for it.
        if before.state != self.agent.state
            && matches!(self.agent.state, AgentState::Idle | AgentState::Starting)
            && !self.waits_for_place
        {
            self.status.reason = None;
        }
        // One that takes several tasks takes them while at work, too.
        let takes_more = match self.agent.state {
            AgentState::Busy => !self.agent.draining && !self.agent.parting,
            state => state == AgentState::Idle,
        };
        if self.fleet.prefetch > 1 && before.state == AgentState::Busy && !takes_more {
            self.withdraw();
        }
        self.note_leaving();
        self.vitals.expect(self.expectation());
        self.report();
        Ok(())
    }

    /// The line of a change of state. From idle to busy and back is the ordinary course of tasks.
    fn log_move(&self, from: AgentState, event: AgentEvent) {
        let at_work = |state| matches!(state, AgentState::Idle | AgentState::Busy);
        let (to, generation) = (self.agent.state, self.status.generation.0);
        if at_work(from) && at_work(to) {
            debug!(self.log, "agent moved"; "from" => %from, "event" => ?event, "to" => %to,
                "generation" => generation);
        } else {
            info!(self.log, "agent moved"; "from" => %from, "event" => ?event, "to" => %to,
                "generation" => generation, "reason" => self.status.reason.as_deref());
        }
    }

    /// As [`AgentActor::apply`], for events that may come too late to make sense.
    pub(super) fn observe(&mut self, event: AgentEvent, ctx: &mut Context<Self>) {
        if let Err(IllegalStep { state, event }) = self.apply(event, ctx) {
            debug!(self.log, "event ignored"; "from" => %state, "event" => ?event);
        }
    }

    pub(super) fn expectation(&self) -> Expect {
        let promised = |process: &Process| {
            process.promise.beats
                || process.worker.as_ref().is_some_and(|worker| worker.idle_heartbeat)
        };
        match self.agent.state {
            AgentState::Busy => Expect::Life,
            AgentState::Idle if self.process.as_ref().is_some_and(promised) => Expect::Life,
            _ => Expect::Nothing,
        }
    }

    fn count_restart(&mut self, event: AgentEvent, from: AgentState) {
        let live = matches!(from, AgentState::Starting | AgentState::Idle | AgentState::Busy);
        let cause = match event {
            AgentEvent::Exited { .. } | AgentEvent::Lost if live => RestartCause::Crash,
            AgentEvent::Silent => RestartCause::Stale,
            AgentEvent::Faulty(Fault::Protocol | Fault::Startup) => RestartCause::Protocol,
            AgentEvent::Faulty(Fault::Unready) => RestartCause::Unready,
            AgentEvent::Faulty(Fault::Timeout) => RestartCause::Timeout,
            AgentEvent::Faulty(Fault::Linger) => RestartCause::Linger,
            AgentEvent::Faulty(Fault::Cancel) => RestartCause::Cancel,
            AgentEvent::SpawnFailed => RestartCause::Spawn,
            AgentEvent::Restart if live => RestartCause::Operator,
            _ => return,
        };
        *self.status.restarts.entry(cause).or_default() += 1;
        self.around.metrics.restarted(&self.fleet.name, cause);
    }

    pub(super) fn report(&mut self) {
        self.status.state = self.agent.state;
        self.status.pid = self.process.as_ref().map(|process| process.pid);
        self.status.work = self.work.front().map(Work::key);
        self.status.held = self.agent.waits || self.waits_long;
        // A report that must not be lost: the owner's registry would be wrong.
        self.tombstone.watcher().do_send(AgentReport::Changed(Box::new(self.status.clone())));
    }

    fn perform(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Spawn => self.spawn(ctx),
            Effect::Offer => self.around.queue.do_send(FromAgent::Ready {
                fleet: self.fleet.name.clone(),
                agent: self.status.agent.clone(),
                window: usize::from(self.fleet.prefetch),
                to: ctx.address().recipient(),
            }),
            Effect::Withdraw => self.withdraw(),
            Effect::Run => self.run(ctx),
            Effect::End(end) => self.end_attempt(end, ctx),
            Effect::Climb(rung) => self.climb(rung, ctx),
            Effect::AwaitEnd => {
                let timer = Timer::Grace(self.status.generation);
                self.grace = Some(ctx.notify_later(timer, self.fleet.stop_grace));
            }
            Effect::ArmBackoff(delay) => {
                let delay = restart::jittered(delay, fastrand::f64());
                self.backoff = Some(ctx.notify_later(Timer::Backoff, delay));
            }
            Effect::Held => self.status.reason = self.hold_reason.clone(),
            Effect::GiveUp { failures } => {
                let last = self.status.reason.take().unwrap_or_default();
                let policy = &self.fleet.restart;
                let window = humantime::format_duration(policy.window);
                let reason = format!("failed {failures} times within {window}, last: {last}");
                warn!(self.log, "agent quarantined"; "reason" => &reason);
                self.status.reason = Some(reason);
            }
        }
    }

    /// Asks for a process; [`Started`](super::messages::Started) is the answer.
    fn spawn(&mut self, ctx: &mut Context<Self>) {
        if let Some(backoff) = self.backoff.take() {
            ctx.cancel_future(backoff);
        }
        self.status.generation = self.status.generation.next();
        (self.status.adopted, self.unheard) = (None, false);
        self.own_log.forget();
        self.listen(ctx);
        // One that starts again at once has its own place to give first.
        self.place = None;
        let place = self.around.starts.try_take(&self.fleet);
        self.waits_for_place = place.is_none();
        if self.waits_for_place {
            self.status.reason = Some("it waits for its turn to start".to_owned());
            ctx.notify_later(Timer::Waits(self.status.generation), MOMENT);
        }
        let (wanted, still_wanted) = oneshot::channel();
        self.wanted = Some(wanted);
        let start = Start {
            place,
            wanted: still_wanted,
            around: self.around.clone(),
            fleet: self.fleet.clone(),
            fingerprint: self.fingerprint.clone(),
            agent: self.status.agent.clone(),
            generation: self.status.generation,
            notify: self.listening.as_ref().and_then(|_| self.notify_name()),
            assignment: self.work.front().map(|work| work.assignment.clone()),
        };
        start.go(ctx.address().recipient());
    }

    /// Arms the limit of the start of a process that runs now.
    pub(super) fn limit_start(&self, ctx: &mut Context<Self>) {
        let must_show = self.fleet.readiness.check != Check::Protocol;
        if self.fleet.protocol == Protocol::Worker || must_show {
            let timer = Timer::Startup(self.status.generation);
            ctx.notify_later(timer, self.fleet.start_timeout);
        }
    }

    /// Says that no more tasks are wanted.
    fn withdraw(&self) {
        self.around.queue.do_send(FromAgent::Withdraw {
            fleet: self.fleet.name.clone(),
            agent: self.status.agent.clone(),
        });
    }

    /// Hands what is in hand to the process, or has one started for it.
    fn run(&mut self, ctx: &mut Context<Self>) {
        self.begin_next(ctx);
        if self.process.as_ref().is_some_and(|process| process.worker.is_some()) {
            self.hand_over(ctx);
        } else {
            self.spawn(ctx);
        }
    }

    /// The process must be replaced; says why.
    pub(super) fn fault(
        &mut self,
        fault: Fault,
        reason: String,
        detail: Value,
        ctx: &mut Context<Self>,
    ) {
        if self.agent.leaving.is_some() {
            return;
        }
        // It may quote what the process wrote.
        let reason = secret::hide(&self.fleet.secrets, &reason).into_owned();
        warn!(self.log, "agent at fault"; "generation" => self.status.generation.0,
            "reason" => &reason);
        self.status.reason = Some(reason);
        self.detail = detail;
        self.observe(AgentEvent::Faulty(fault), ctx);
    }

    /// The attempt under way ends without its agent's own word. Those behind it had not begun.
    fn end_attempt(&mut self, end: End, ctx: &mut Context<Self>) {
        let reason = self.status.reason.clone();
        let outcome = match end {
            // It was cut off from the host that gave it the task, perhaps before it had that.
            End::Failed(FailureClass::Stale | FailureClass::Timeout) if self.unheard => {
                let reason = "nothing was heard of it since its host was replaced";
                Outcome::Released { reason: reason.to_owned() }
            }
            End::Failed(class) => Outcome::Failed {
                class: if self.out_of_memory && class == FailureClass::Exit {
                    FailureClass::Memory
                } else {
                    class
                },
                message: reason.unwrap_or_else(|| format!("the attempt failed: {class}")),
                detail: std::mem::take(&mut self.detail),
            },
            End::Released => Outcome::Released {
                reason: reason.unwrap_or_else(|| "its agent was stopped".to_owned()),
            },
            End::Cancelled => Outcome::Cancelled,
        };
        self.settle(outcome, ctx);
    }

    pub(super) fn climb(&mut self, rung: Rung, ctx: &mut Context<Self>) {
        if let Some(grace) = self.grace.take() {
            ctx.cancel_future(grace);
        }
        // Without a process there is one on its way (then the rung is climbed when it is there),
        // or its outcome is being read (then it is gone already).
        let Some(process) = &mut self.process else {
            self.wanted = None;
            return;
        };
        match (rung, &mut process.worker) {
            (Rung::Ask, Some(worker)) => {
                let message = worker.session.shutdown();
                // Full means that it reads nothing: the next rung follows.
                worker.stdin.send(message).unwrap_or_default();
            }
            (Rung::Ask | Rung::Signal, _) => {
                self.around.processes.signal(process.id, self.fleet.stop_signal);
            }
            (Rung::Kill, _) => self.around.processes.kill(process.id),
        }
        if rung < Rung::Kill {
            let timer = Timer::Grace(self.status.generation);
            self.grace = Some(ctx.notify_later(timer, self.fleet.stop_grace));
        }
    }

    /// Whether that attempt is the one under way.
    pub(super) fn is_at(&self, key: (crate::domain::TaskId, crate::domain::Attempt)) -> bool {
        self.work.front().is_some_and(|work| work.key() == key)
    }

    pub(super) fn is_newest(&self, generation: Generation) -> bool {
        self.status.generation == generation
    }
}
