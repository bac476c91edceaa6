//! The shell: carries out what `domain::dispatch`, `settling` and `lease` decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use slog::{Logger, debug, error, info, warn};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

use super::{
    lease::{Due, Lease},
    messages::{
        CancelHere, Close, DueIn, FromAgent, Halt, QueueReport, ReportTo, Standing, TellWhenQuiet, ToAgent,
        Wake,
    },
    settling::Settling,
};
use crate::{
    domain::{
        AgentName, FleetName, HostId, QueueName, TaskId,
        dispatch::{Claim, Dispatch, Handout},
        restart,
        task::{Assignment, Outcome, RetryPolicy, Settlement, TaskEvent, TaskState},
    },
    events::EventsHandle,
    store::{
        Recovery, Store, StoreError, hosts,
        listen::Notice,
        notify,
        tasks::{self, Promoted, Settled},
    },
    telemetry::{Chain, metrics::Metrics},
};

/// The most agents one claim is for.
const CLAIM_BATCH: usize = 256;
/// The least time between two announcements to other hosts: a NOTIFY takes a lock that all
/// committing sessions of the cluster share, so it is never part of a submit.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);
/// The waits between tries while Postgres is away.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What the actor is started with.
pub(crate) struct Launch {
    pub(crate) log: Logger,
    pub(crate) store: Store,
    pub(crate) host: hosts::NewHost,
    pub(crate) registered: Instant,
    pub(crate) fleets: Vec<(FleetName, Vec<QueueName>)>,
    pub(crate) retry: RetryPolicy,
    pub(crate) poll: Duration,
    pub(crate) settle_buffer: usize,
    pub(crate) notices: mpsc::Receiver<Notice>,
    pub(crate) events: EventsHandle,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) struct QueueActor {
    log: Logger,
    store: Store,
    host: hosts::NewHost,
    lease: Lease,
    dispatch: Dispatch,
    agents: BTreeMap<AgentName, Recipient<ToAgent>>,
    running: BTreeMap<TaskId, Arc<Assignment>>,
    settling: Settling,
    retry: RetryPolicy,
    poll: Duration,
    settle_buffer: usize,
    notices: Option<mpsc::Receiver<Notice>>,
    events: EventsHandle,
    metrics: Arc<Metrics>,
    watcher: Option<Recipient<QueueReport>>,
    open: bool,
    claims_under_way: usize,
    /// A claim's answer got lost: no new one before strays are put back.
    uncertain: bool,
    failures: u32,
    next_due: Option<(Instant, SpawnHandle)>,
    quiet: Vec<oneshot::Sender<()>>,
    /// Queues with new tasks that other hosts have not been told of.
    announce: BTreeSet<QueueName>,
    announcing: bool,
}

impl QueueActor {
    pub(super) fn new(launch: Launch) -> Self {
        let lease = Lease::new(launch.host.id, launch.host.lease, launch.registered);
        Self {
            log: launch.log,
            store: launch.store,
            host: launch.host,
            lease,
            dispatch: Dispatch::new(launch.fleets),
            agents: BTreeMap::new(),
            running: BTreeMap::new(),
            settling: Settling::default(),
            retry: launch.retry,
            poll: launch.poll,
            settle_buffer: launch.settle_buffer,
            notices: Some(launch.notices),
            events: launch.events,
            metrics: launch.metrics,
            watcher: None,
            open: true,
            claims_under_way: 0,
            uncertain: false,
            failures: 0,
            next_due: None,
            quiet: Vec::new(),
            announce: BTreeSet::new(),
            announcing: false,
        }
    }

    /// Sends the claims that are due.
    fn claim(&mut self, ctx: &mut Context<Self>) {
        let Some(host) = self.lease.host().filter(|_| self.may_claim()) else { return };
        for claim in self.dispatch.claims(CLAIM_BATCH) {
            self.claims_under_way += 1;
            let (store, started) = (self.store.clone(), Instant::now());
            let fleet = claim.fleet.clone();
            let send = async move {
                let db = store.client().await?;
                let Claim { queues, agents, .. } = claim;
                tasks::claim(&db, host, &queues, &agents).await
            };
            ctx.spawn(send.into_actor(self).map(move |result, this, ctx| {
                this.claims_under_way -= 1;
                match result {
                    Ok(assignments) => this.claimed(&fleet, assignments, started, ctx),
                    Err(error) => this.claim_failed(&fleet, &error, ctx),
                }
            }));
        }
    }

    fn may_claim(&self) -> bool {
        self.open && !self.uncertain && self.settling.len() < self.settle_buffer
    }

    fn claimed(
        &mut self,
        fleet: &FleetName,
        assignments: Vec<Assignment>,
        started: Instant,
        ctx: &mut Context<Self>,
    ) {
        self.failures = 0;
        self.metrics.claimed(assignments.len(), started.elapsed());
        for handout in self.dispatch.claimed(fleet, assignments) {
            match handout {
                Handout::Give(assignment) => self.give(assignment, ctx),
                Handout::PutBack(assignment) => self.put_back(&assignment, ctx),
            }
        }
        self.claim(ctx);
    }

    fn give(&mut self, assignment: Assignment, ctx: &mut Context<Self>) {
        let assignment = Arc::new(assignment);
        debug!(self.log, "task handed out"; "task" => %assignment.task,
            "attempt" => assignment.attempt.0, "agent" => %assignment.agent);
        self.metrics.picked_up(assignment.waited);
        let agent = self.agents.get(&assignment.agent);
        // A report that must not be lost: the task would hang until its lease ends.
        if let Some(to) = agent {
            self.running.insert(assignment.task, assignment.clone());
            to.do_send(ToAgent::Run(assignment));
        } else {
            self.dispatch.ended(assignment.task, assignment.attempt);
            self.put_back(&assignment, ctx);
        }
    }

    fn put_back(&mut self, assignment: &Assignment, ctx: &mut Context<Self>) {
        let reason = "its agent left before it could be handed over".to_owned();
        self.settle(assignment, Outcome::Released { reason }, ctx);
    }

    fn claim_failed(&mut self, fleet: &FleetName, error: &StoreError, ctx: &mut Context<Self>) {
        warn!(self.log, "claim failed"; "fleet" => %fleet, "error" => %Chain(error));
        self.dispatch.claim_failed(fleet);
        self.uncertain = true;
        let wait = self.backoff();
        ctx.run_later(wait, Self::put_back_strays);
    }

    /// The wait before the next try, longer with each failure.
    fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        restart::jittered(restart::backoff(RETRY.0, RETRY.1, self.failures), fastrand::f64())
    }

    /// Puts back what a lost claim took: held by this host, and known to nobody here.
    fn put_back_strays(&mut self, ctx: &mut Context<Self>) {
        let Some(host) = self.lease.host() else {
            // Registering anew puts back everything.
            self.uncertain = false;
            return;
        };
        if self.claims_under_way > 0 {
            ctx.run_later(RETRY.0, Self::put_back_strays);
            return;
        }
        let known: Vec<TaskId> =
            self.running.keys().copied().chain(self.settling.tasks()).collect();
        let store = self.store.clone();
        let send = async move {
            let db = store.client().await?;
            tasks::put_back_strays(&db, host, &known).await
        };
        ctx.spawn(send.into_actor(self).map(|result, this, ctx| match result {
            Ok(returned) => {
                if !returned.is_empty() {
                    info!(this.log, "tasks of a lost claim put back"; "count" => returned.len());
                }
                this.uncertain = false;
                this.dispatch.wake(None);
                this.claim(ctx);
            }
            Err(error) => {
                warn!(this.log, "looking for lost claims failed"; "error" => %Chain(&error));
                let wait = this.backoff();
                ctx.run_later(wait, Self::put_back_strays);
            }
        }));
    }

    fn settle(&mut self, assignment: &Assignment, outcome: Outcome, ctx: &mut Context<Self>) {
        self.settling.push(Settlement::of(assignment, outcome, &self.retry, fastrand::f64()));
        self.flush(ctx);
    }

    /// Writes the next batch of outcomes, if none is under way.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        // Without a lease there is nobody to settle for: the outcomes wait for the next host id
        // and are refused under it, because their attempts were put back.
        let host = self.lease.host().unwrap_or(self.host.id);
        let Some(batch) = self.settling.next() else {
            self.tell_if_quiet();
            return;
        };
        let (store, started) = (self.store.clone(), Instant::now());
        let send = async move {
            let db = store.client().await?;
            tasks::settle(&db, host, &batch).await
        };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| match result {
            Ok(settled) => this.settled(settled, started, ctx),
            Err(error) => this.settle_failed(&error, ctx),
        }));
    }

    fn settled(&mut self, settled: Vec<Settled>, started: Instant, ctx: &mut Context<Self>) {
        self.failures = 0;
        let written = self.settling.written();
        self.metrics.settled(written.len(), started.elapsed());
        let states: BTreeMap<_, _> =
            settled.into_iter().map(|one| ((one.task, one.attempt), one.state)).collect();
        let mut changes = Vec::with_capacity(written.len());
        for settlement in written {
            let Some(state) = states.get(&(settlement.task, settlement.attempt)) else {
                warn!(self.log, "late outcome refused"; "task" => %settlement.task,
                    "attempt" => settlement.attempt.0, "reason" => "the attempt is no longer ours");
                continue;
            };
            self.tell_settled(&settlement, *state, ctx);
            changes.push((settlement.task, *state));
        }
        self.events.publish(changes);
        self.flush(ctx);
        self.claim(ctx);
    }

    fn tell_settled(&mut self, settlement: &Settlement, state: TaskState, ctx: &mut Context<Self>) {
        self.metrics.attempt_ended(&settlement.outcome);
        debug!(self.log, "attempt settled"; "task" => %settlement.task,
            "attempt" => settlement.attempt.0, "event" => settlement.outcome.as_str(), "to" => %state);
        match state {
            TaskState::Pending => self.dispatch.wake(None),
            TaskState::Scheduled if settlement.event == TaskEvent::FailedForNow => {
                self.due_in(settlement.retry_after, ctx);
            }
            _ => {}
        }
    }

    fn settle_failed(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        warn!(self.log, "settling outcomes failed"; "error" => %Chain(error),
            "count" => self.settling.len(), "recovery" => ?error.recovery());
        if error.recovery() == Recovery::RetryLater {
            self.settling.again();
            let wait = self.backoff();
            ctx.run_later(wait, Self::flush);
            return;
        }
        if let Some(task) = self.settling.refused(&Chain(error).to_string()) {
            error!(self.log, "an outcome can't be stored"; "task" => %task, "error" => %Chain(error));
        }
        self.flush(ctx);
    }

    fn tell_if_quiet(&mut self) {
        if self.running.is_empty() && self.settling.len() == 0 && self.claims_under_way == 0 {
            for tell in self.quiet.drain(..) {
                // Whoever asked may have stopped waiting.
                tell.send(()).unwrap_or_default();
            }
        }
    }

    /// Looks for due tasks in `wait`, unless a look is planned before that.
    fn due_in(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        let at = Instant::now() + wait;
        if let Some((planned, handle)) = self.next_due {
            if planned <= at {
                return;
            }
            ctx.cancel_future(handle);
        }
        self.next_due = Some((at, ctx.run_later(wait, Self::promote)));
    }

    /// Makes tasks pending whose time has come.
    fn promote(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, handle)) = self.next_due.take() {
            ctx.cancel_future(handle);
        }
        let store = self.store.clone();
        let send = async move { tasks::promote_due(&store.client().await?).await };
        ctx.spawn(send.into_actor(self).map(|result, this, ctx| match result {
            Ok(Promoted { queues, next_due }) => {
                for queue in &queues {
                    this.dispatch.wake(Some(queue));
                }
                // A millisecond more, so that the look does not come just too early.
                if let Some(wait) = next_due {
                    this.due_in(wait + Duration::from_millis(1), ctx);
                }
                this.claim(ctx);
            }
            Err(error) => {
                debug!(this.log, "looking for due tasks failed"; "error" => %Chain(&error));
            }
        }));
    }

    /// What happens though nobody said anything: the poll behind the wake-ups.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.dispatch.wake(None);
        self.claim(ctx);
        self.promote(ctx);
    }

    fn tend_lease(&mut self, ctx: &mut Context<Self>) {
        match self.lease.due(Instant::now()) {
            Due::Nothing => {}
            Due::Renew(host) => self.renew(host, ctx),
            Due::GiveUp => self.lose_lease("it could not be renewed in time", ctx),
            // Only when nothing runs here any longer may a new id be asked for: asking puts the
            // old one's tasks back.
            Due::Register if self.running.is_empty() => self.register(ctx),
            Due::Register => self.lease.unanswered(),
        }
    }

    fn renew(&mut self, host: HostId, ctx: &mut Context<Self>) {
        let (store, length, sent) = (self.store.clone(), self.lease.length(), Instant::now());
        let send = async move {
            let db = store.client().await?;
            let held = hosts::renew(&db, host, length).await?;
            let taken = if held { hosts::take_over(&db).await? } else { Vec::new() };
            let cancelled = tasks::cancelled_while_held(&db, host).await?;
            Ok::<_, StoreError>((held, taken, cancelled))
        };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| match result {
            Ok((true, taken, cancelled)) => {
                this.lease.renewed(host, sent);
                if !taken.is_empty() {
                    info!(this.log, "tasks of lost hosts put back"; "count" => taken.len());
                    this.dispatch.wake(None);
                    this.claim(ctx);
                }
                for (task, _) in cancelled {
                    this.cancel_here(task);
                }
            }
            Ok((false, ..)) => {
                if this.lease.refused(host) {
                    this.lose_lease("another host took it for lost", ctx);
                }
            }
            Err(error) => {
                warn!(this.log, "renewing the lease failed"; "error" => %Chain(&error));
                this.lease.unanswered();
            }
        }));
    }

    fn lose_lease(&mut self, reason: &str, ctx: &mut Context<Self>) {
        error!(self.log, "lease lost"; "host" => %self.host.id, "reason" => reason,
            "count" => self.running.len());
        if let Some(watcher) = &self.watcher {
            watcher.do_send(QueueReport::LeaseLost);
        }
        self.flush(ctx);
    }

    /// Asks for a new lease under a new id.
    fn register(&mut self, ctx: &mut Context<Self>) {
        let mut host = self.host.clone();
        host.id = HostId::from_uuid(Uuid::now_v7());
        let (store, sent) = (self.store.clone(), Instant::now());
        let send = async move {
            let mut db = store.client().await?;
            hosts::register(&mut db, &host).await.map(|returned| (host, returned))
        };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| match result {
            Ok((host, returned)) => {
                info!(this.log, "lease registered anew"; "host" => %host.id,
                    "count" => returned.len());
                this.lease.granted(host.id, sent);
                this.host = host;
                this.dispatch.wake(None);
                this.claim(ctx);
            }
            Err(error) => {
                warn!(this.log, "registering the host failed"; "error" => %Chain(&error));
                this.lease.unanswered();
            }
        }));
    }

    /// Tells other hosts of new work, all that came together in one statement.
    fn announce(&mut self, ctx: &mut Context<Self>) {
        if self.announcing || self.announce.is_empty() {
            return;
        }
        self.announcing = true;
        let queues: Vec<_> = std::mem::take(&mut self.announce).into_iter().collect();
        let store = self.store.clone();
        let send = async move { notify::wake(&store.client().await?, &queues).await };
        ctx.spawn(send.into_actor(self).map(|result, this, ctx| {
            if let Err(error) = result {
                // The poll of the other hosts is behind it.
                debug!(this.log, "announcing new tasks failed"; "error" => %Chain(&error));
            }
            ctx.run_later(ANNOUNCE_EVERY, |this, ctx| {
                this.announcing = false;
                this.announce(ctx);
            });
        }));
    }

    fn cancel_here(&self, task: TaskId) {
        let Some((agent, attempt)) = self.dispatch.holder(task) else { return };
        if let Some(to) = self.agents.get(agent) {
            to.do_send(ToAgent::Cancel { task, attempt });
        }
    }

    fn ended(&mut self, task: TaskId, outcome: Outcome, ctx: &mut Context<Self>) {
        if let Some(assignment) = self.running.remove(&task) {
            self.settle(&assignment, outcome, ctx);
        }
    }
}

impl Actor for QueueActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
        ctx.run_interval(self.poll, Self::look);
        ctx.run_interval(self.lease.look_every(), Self::tend_lease);
        if let Some(notices) = self.notices.take() {
            ctx.add_stream(futures_util::stream::unfold(notices, |mut notices| async {
                notices.recv().await.map(|notice| (notice, notices))
            }));
        }
        self.promote(ctx);
    }
}

impl StreamHandler<Notice> for QueueActor {
    fn handle(&mut self, notice: Notice, ctx: &mut Self::Context) {
        match notice {
            Notice::Woken(queue) => self.dispatch.wake(Some(&queue)),
            Notice::Cancelled(task) => self.cancel_here(task),
            // Whatever was said while the line was down was missed.
            Notice::Reconnected => return self.look(ctx),
        }
        self.claim(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // The listener ends with the host only; the poll goes on without it.
        debug!(self.log, "listener ended");
    }
}

impl Handler<FromAgent> for QueueActor {
    type Result = ();

    fn handle(&mut self, message: FromAgent, ctx: &mut Self::Context) {
        match message {
            FromAgent::Ready { fleet, agent, to } => {
                self.agents.insert(agent.clone(), to);
                self.dispatch.offer(&fleet, agent);
                self.claim(ctx);
            }
            FromAgent::Withdraw { fleet, agent } => self.dispatch.withdraw(&fleet, &agent),
            FromAgent::Ended { task, attempt, outcome } => {
                if self.dispatch.ended(task, attempt) {
                    self.ended(task, outcome, ctx);
                }
            }
            FromAgent::Gone { fleet, agent, outcome } => {
                self.dispatch.withdraw(&fleet, &agent);
                self.agents.remove(&agent);
                if let Some((task, attempt)) = self.dispatch.held_by(&agent) {
                    self.dispatch.ended(task, attempt);
                    self.ended(task, outcome, ctx);
                }
            }
        }
    }
}

impl Handler<Wake> for QueueActor {
    type Result = ();

    fn handle(&mut self, Wake(queues): Wake, ctx: &mut Self::Context) {
        for queue in &queues {
            self.dispatch.wake(Some(queue));
        }
        self.claim(ctx);
        self.announce.extend(queues);
        self.announce(ctx);
    }
}

impl Handler<DueIn> for QueueActor {
    type Result = ();

    fn handle(&mut self, DueIn(wait): DueIn, ctx: &mut Self::Context) {
        self.due_in(wait, ctx);
    }
}

impl Handler<CancelHere> for QueueActor {
    type Result = ();

    fn handle(&mut self, CancelHere(task): CancelHere, _: &mut Self::Context) {
        self.cancel_here(task);
    }
}

impl Handler<ReportTo> for QueueActor {
    type Result = ();

    fn handle(&mut self, ReportTo(watcher): ReportTo, _: &mut Self::Context) {
        self.watcher = Some(watcher);
    }
}

impl Handler<Close> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Close, _: &mut Self::Context) {
        self.open = false;
    }
}

impl Handler<TellWhenQuiet> for QueueActor {
    type Result = ();

    fn handle(&mut self, TellWhenQuiet(tell): TellWhenQuiet, _: &mut Self::Context) {
        self.quiet.push(tell);
        self.tell_if_quiet();
    }
}

impl Handler<Halt> for QueueActor {
    type Result = MessageResult<Halt>;

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) -> Self::Result {
        ctx.stop();
        MessageResult(self.host.id)
    }
}

impl Handler<Standing> for QueueActor {
    type Result = Result<(), String>;

    fn handle(&mut self, _: Standing, _: &mut Self::Context) -> Self::Result {
        match self.lease.host() {
            Some(_) => Ok(()),
            None => Err("the lease is lost; a new one is asked for".to_owned()),
        }
    }
}
