//! The shell: carries out what `domain::dispatch`, `settling` and `lease` decide.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use deadpool_postgres::Client;
use slog::{Logger, debug, warn};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    chooser::Chooser,
    choosing::{self, Taken},
    inbox::Inbox,
    lease::Lease,
    messages::{QueueReport, ToAgent},
    plain::Plain,
    rumours::Rumours,
    settling::Settling,
};
use crate::{
    domain::{
        AgentName, Attempt, Entry, FleetName, HostId, QueueName, TaskId,
        dispatch::{Claim, Dispatch, Handout},
        restart,
        retry::AllQueueTerms,
        task::{Assignment, Outcome},
    },
    events::EventsHandle,
    store::{
        Store, StoreError,
        admission::Order,
        hosts,
        listen::Notice,
        notify::{self, News},
        tasks::{self, Promoted},
    },
    telemetry::{Chain, metrics::Metrics},
};

/// The most agents one claim is for.
const CLAIM_BATCH: usize = 256;
/// The least time between two announcements to other hosts: a NOTIFY takes a lock that all
/// committing sessions of the cluster share, so it is never part of a submit.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);
/// How long after a submit in SQL woke this host it looks a second time: `hostler.wake_hosts` lets
/// one submit in 10 ms speak for all, and those that kept silent commit a little later.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// For how much longer than two polls it counts that a task was passed over: until this host looks
/// again.
const REMEMBER: Duration = Duration::from_secs(5);
/// The waits between tries while Postgres is away.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Hears until when the agents of this host may run should it end, and by when they are ended should it
/// say nothing more.
pub(crate) type OnLease = Box<dyn Fn(Instant, Instant)>;

/// What the actor is started with.
pub(crate) struct Launch {
    pub(crate) log: Logger,
    pub(crate) store: Store,
    pub(crate) host: hosts::NewHost,
    pub(crate) registered: Instant,
    /// What it goes on with of its predecessors' attempts, and how long that has run.
    pub(crate) resumed: Vec<(Assignment, Duration)>,
    /// Told until when the agents may run, whenever that changes.
    pub(crate) on_lease: OnLease,
    pub(crate) fleets: Vec<(FleetName, Vec<QueueName>)>,
    /// What tasks are given that do not say otherwise.
    pub(crate) terms: Arc<AllQueueTerms>,
    pub(crate) poll: Duration,
    /// How long a task is passed over before what it needs is kept for it.
    pub(crate) wait_patience: Duration,
    pub(crate) settle_buffer: usize,
    /// The largest input of a task, in bytes of JSON.
    pub(crate) max_input: u64,
    pub(crate) notices: mpsc::Receiver<Notice>,
    pub(crate) events: EventsHandle,
    pub(crate) metrics: Arc<Metrics>,
}

/// An attempt that an agent of this host has in hand.
pub(super) struct Running {
    pub(super) assignment: Arc<Assignment>,
    pub(super) since: Instant,
}

impl Running {
    /// Where it stands among those of its agent, the first one to be run first.
    fn place(&self) -> (Instant, Option<Entry>) {
        (self.since, self.assignment.entry)
    }
}

pub(crate) struct QueueActor {
    pub(super) log: Logger,
    pub(super) store: Store,
    pub(super) host: hosts::NewHost,
    pub(super) lease: Lease,
    /// The next look after it.
    pub(super) lease_look: Option<SpawnHandle>,
    pub(super) dispatch: Dispatch,
    pub(super) agents: HashMap<AgentName, Recipient<ToAgent>>,
    pub(super) running: HashMap<TaskId, Running>,
    pub(super) plain: Plain,
    pub(super) rumours: Rumours,
    pub(super) settling: Settling,
    /// Who waits for the outcomes in `settling` to be written.
    pub(super) told_when_written: HashMap<(TaskId, Attempt), oneshot::Sender<()>>,
    pub(super) on_lease: OnLease,
    pub(super) terms: Arc<AllQueueTerms>,
    pub(super) poll: Duration,
    pub(super) settle_buffer: usize,
    pub(super) max_input: u64,
    pub(super) notices: Option<mpsc::Receiver<Notice>>,
    pub(super) events: EventsHandle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) watcher: Option<Recipient<QueueReport>>,
    pub(super) open: bool,
    pub(super) claims_under_way: usize,
    /// A claim's answer got lost: no new one before strays are put back.
    pub(super) uncertain: bool,
    pub(super) failures: u32,
    pub(super) next_due: Option<(Instant, SpawnHandle)>,
    pub(super) chooser: Chooser,
    pub(super) next_choice: Option<(Instant, SpawnHandle)>,
    /// Tasks whose attempts have ended here, which others may wait for.
    pub(super) freeing: BTreeSet<TaskId>,
    pub(super) wait_patience: Duration,
    pub(super) quiet: Vec<oneshot::Sender<()>>,
    pub(super) settled: Vec<oneshot::Sender<()>>,
    /// What other hosts have not been told of.
    pub(super) announce: BTreeSet<News>,
    /// Ended tasks that others depend on: which queues got work by that is asked for when it is told.
    pub(super) awaited: Vec<TaskId>,
    pub(super) announcing: bool,
    /// A second look is planned.
    pub(super) looking_again: bool,
}

impl QueueActor {
    pub(super) fn new(launch: Launch, inbox: Inbox) -> Self {
        let lease = Lease::new(launch.host.id, launch.host.lease, launch.registered);
        let chooser = Chooser::new(launch.fleets.iter().map(|(name, queues)| (name, queues)));
        let mut dispatch = Dispatch::new(launch.fleets);
        let mut running = HashMap::new();
        for (assignment, ran) in launch.resumed {
            if let Some(fleet) = assignment.agent.fleet() {
                dispatch.resume(&fleet, &assignment);
            }
            let now = Instant::now();
            let since = now.checked_sub(ran).unwrap_or(now);
            let assignment = Arc::new(assignment);
            running.insert(assignment.task, Running { assignment, since });
        }
        (launch.on_lease)(lease.safe_until(), lease.frozen_at());
        Self {
            log: launch.log,
            store: launch.store,
            host: launch.host,
            lease,
            lease_look: None,
            dispatch,
            agents: HashMap::new(),
            running,
            plain: Plain::new(inbox),
            rumours: Rumours::default(),
            settling: Settling::default(),
            told_when_written: HashMap::new(),
            on_lease: launch.on_lease,
            terms: launch.terms,
            poll: launch.poll,
            settle_buffer: launch.settle_buffer,
            max_input: launch.max_input,
            notices: Some(launch.notices),
            events: launch.events,
            metrics: launch.metrics,
            watcher: None,
            open: true,
            claims_under_way: 0,
            uncertain: false,
            failures: 0,
            next_due: None,
            chooser,
            next_choice: None,
            freeing: BTreeSet::new(),
            wait_patience: launch.wait_patience,
            quiet: Vec::new(),
            settled: Vec::new(),
            announce: BTreeSet::new(),
            awaited: Vec::new(),
            announcing: false,
            looking_again: false,
        }
    }

    /// Hands out what is claimed, and sends the claims that are due.
    pub(super) fn serve(&mut self, ctx: &mut Context<Self>) {
        let Some(host) = self.lease.host().filter(|_| self.may_claim()) else { return };
        self.claim(host, ctx);
        self.hand_out(ctx);
        self.claim_ranges(host, ctx);
    }

    fn claim(&mut self, host: HostId, ctx: &mut Context<Self>) {
        for Claim { fleet, queues, agents, floor } in self.dispatch.claims(CLAIM_BATCH) {
            self.claims_under_way += 1;
            let (store, started, limit) = (self.store.clone(), Instant::now(), self.patience());
            let (reason, wanted) = (self.chooser.begin(&fleet, floor), agents.len());
            let order = Order {
                host,
                fleet: fleet.clone(),
                queues,
                agents,
                floor,
                patience: self.wait_patience,
                remember: self.poll * 2 + REMEMBER,
            };
            let send = async move { choosing::claim(&store, limit, order, reason).await };
            ctx.spawn(send.into_actor(self).map(move |result, this, ctx| {
                this.claims_under_way -= 1;
                match result {
                    Ok(Taken { assignments, found }) => {
                        if let Some(found) = found {
                            this.chose(&fleet, found, assignments.len() == wanted, ctx);
                        }
                        this.claimed(host, &fleet, assignments, started, ctx);
                    }
                    Err(error) => this.claim_failed(&fleet, &error, ctx),
                }
                // Whoever waits for quiet may have waited for this claim alone.
                this.tell_if_quiet();
            }));
        }
    }

    pub(super) fn may_claim(&self) -> bool {
        self.open && !self.uncertain && self.settling.len() < self.settle_buffer
    }

    pub(super) fn claimed(
        &mut self,
        host: HostId,
        fleet: &FleetName,
        assignments: Vec<Assignment>,
        started: Instant,
        ctx: &mut Context<Self>,
    ) {
        self.failures = 0;
        self.metrics.claimed(assignments.len(), started.elapsed());
        if self.lease.host() != Some(host) {
            // The answer outlived the lease that it was claimed under. Nothing of it may begin: it
            // goes back with that lease, when another host takes over or this one registers anew.
            warn!(self.log, "claim came too late"; "host" => %host, "count" => assignments.len());
            self.dispatch.claim_failed(fleet);
            return;
        }
        for handout in self.dispatch.claimed(fleet, assignments) {
            match handout {
                Handout::Give(assignment) => self.hand_over(assignment, ctx),
                Handout::PutBack(assignment) => self.put_back(&assignment, ctx),
            }
        }
        self.serve(ctx);
    }

    /// Gives tasks to an agent, in their order.
    pub(super) fn give(
        &mut self,
        agent: &AgentName,
        assignments: Vec<Assignment>,
        ctx: &mut Context<Self>,
    ) {
        let Some(to) = self.agents.get(agent) else {
            for assignment in assignments {
                self.dispatch.ended(assignment.task, assignment.attempt);
                self.put_back(&assignment, ctx);
            }
            return;
        };
        let since = Instant::now();
        let mut given = Vec::with_capacity(assignments.len());
        for mut assignment in assignments {
            let of_queue = self.terms.of(&assignment.queue);
            assignment.timeout = assignment.timeout.or(of_queue.timeout);
            debug!(self.log, "task handed out"; "task" => %assignment.task,
                "attempt" => assignment.attempt.0, "agent" => %assignment.agent);
            self.metrics.picked_up(assignment.waited);
            let assignment = Arc::new(assignment);
            let running = Running { assignment: assignment.clone(), since };
            self.running.insert(assignment.task, running);
            given.push(assignment);
        }
        // A report that must not be lost: the tasks would hang until their lease ends.
        to.do_send(ToAgent::Run(given));
    }

    pub(super) fn put_back(&mut self, assignment: &Assignment, ctx: &mut Context<Self>) {
        let reason = "its agent left before it could be handed over".to_owned();
        self.settle(assignment, Outcome::Released { reason }, Instant::now(), ctx);
    }

    pub(super) fn claim_failed(
        &mut self,
        fleet: &FleetName,
        error: &StoreError,
        ctx: &mut Context<Self>,
    ) {
        warn!(self.log, "claim failed"; "fleet" => %fleet, "error" => %Chain(error));
        self.dispatch.claim_failed(fleet);
        self.chooser.failed(fleet);
        self.look_for_strays(ctx);
    }

    /// How long a statement may take before it is given up: the lease is in danger by then.
    pub(super) fn patience(&self) -> Duration {
        self.lease.length() / 2
    }

    /// The wait before the next try, longer with each failure.
    pub(super) fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        restart::jittered(restart::backoff(RETRY.0, RETRY.1, self.failures), fastrand::f64())
    }

    /// Looks for due tasks in `wait`, unless a look is planned before that.
    pub(super) fn due_in(&mut self, wait: Duration, ctx: &mut Context<Self>) {
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
    pub(super) fn promote(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, handle)) = self.next_due.take() {
            ctx.cancel_future(handle);
        }
        let store = self.store.clone();
        let limit = self.patience();
        let send =
            async move { store.within(limit, async |db| tasks::promote_due(db).await).await };
        ctx.spawn(send.into_actor(self).map(|result, this, ctx| match result {
            Ok(Promoted { queues, next_due }) => {
                for queue in &queues {
                    this.woken(queue);
                }
                // A millisecond more, so that the look does not come just too early.
                if let Some(wait) = next_due {
                    this.due_in(wait + Duration::from_millis(1), ctx);
                }
                this.serve(ctx);
            }
            Err(error) => {
                debug!(this.log, "looking for due tasks failed"; "error" => %Chain(&error));
            }
        }));
    }

    /// What happens though nobody said anything: the poll behind the wake-ups.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        for assignment in self.dispatch.stalled() {
            self.put_back(&assignment, ctx);
        }
        self.dispatch.look();
        self.chooser.poll();
        self.serve(ctx);
        self.promote(ctx);
    }

    /// Looks once more in a moment, for those who let another speak for them.
    pub(super) fn look_again(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.looking_again, true) {
            ctx.run_later(LOOK_AGAIN, |this, ctx| {
                this.looking_again = false;
                this.dispatch.wake(None);
                this.serve(ctx);
            });
        }
    }

    /// Tells other hosts of new work, all that came together in one statement.
    pub(super) fn announce(&mut self, ctx: &mut Context<Self>) {
        if self.announcing || self.announce.is_empty() && self.awaited.is_empty() {
            return;
        }
        self.announcing = true;
        let mut news = std::mem::take(&mut self.announce);
        let awaited = std::mem::take(&mut self.awaited);
        let store = self.store.clone();
        let limit = self.patience();
        let say = async move |db: &Client| {
            if !awaited.is_empty() {
                news.extend(tasks::woken_queues(db, &awaited).await?.into_iter().map(News::Work));
            }
            notify::say(db, &news.into_iter().collect::<Vec<_>>()).await
        };
        let send = async move { store.within(limit, say).await };
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

    pub(super) fn cancel_here(&self, task: TaskId) {
        let Some((agent, attempt)) = self.dispatch.holder(task) else { return };
        if let Some(to) = self.agents.get(agent) {
            to.do_send(ToAgent::Cancel { task, attempt });
        }
    }

    pub(super) fn ended(&mut self, task: TaskId, outcome: Outcome) {
        if let Some(Running { assignment, since }) = self.running.remove(&task) {
            self.push(&assignment, outcome, since);
        }
    }

    /// An agent is gone: what it was at ends with `outcome`, and what it had not begun is put back.
    pub(super) fn lost(&mut self, agent: &AgentName, outcome: Outcome) {
        let mut held = self.dispatch.held_by(agent);
        held.sort_by_key(|(task, _)| self.running.get(task).map(|running| running.place()));
        let mut outcome = Some(outcome);
        for (task, attempt) in held {
            self.dispatch.ended(task, attempt);
            let reason = "its agent was lost before it began".to_owned();
            self.ended(task, outcome.take().unwrap_or(Outcome::Released { reason }));
        }
    }
}
