//! Submits of plain tasks: those that wait go together, and what idle agents can take goes to them.

use std::{collections::HashMap, time::Duration};

use actix::prelude::*;
use deadpool_postgres::{Client, GenericClient, Transaction};
use slog::warn;
use uuid::Uuid;

use super::{
    actor::QueueActor,
    inbox::{Request, Tell},
};
use crate::{
    domain::{
        AgentName, Attempt, Entry, FleetName, HostId, Lane, QueueName,
        record::{SubmitOutcome, Submitted},
        task::{Assignment, NewTask, RunTerms, TaskState},
    },
    store::{
        Line, Recovery, Store, StoreError,
        log::{self, Appended, Direct, Head, Lanes, Ready},
        notify::News,
    },
    telemetry::Chain,
};

/// From so many tasks on a batch goes by COPY.
pub(super) const COPY_FROM: usize = 200;

/// How many times a batch is numbered: each time that another one came first, which was sent before it and not heard
/// of, or is numbered anew as well, that one is there for good.
const TRIES: usize = 5;

/// How often to ask for what is in a paused queue, while it gets new tasks: whoever resumes it says
/// so, but maybe just before these were there.
const PAUSED: Duration = Duration::from_millis(100);

/// What agents of this host could take at once.
struct Idle {
    host: HostId,
    /// Whose, of each queue, and how many tasks.
    fleets: HashMap<QueueName, (FleetName, usize)>,
}

/// What came of a batch of submits.
struct Written {
    requests: Vec<Request>,
    appended: HashMap<Lane, Appended>,
    /// Where it went.
    target: Target,
    idle: Option<Idle>,
}

impl Written {
    /// Whose agents take what is claimed of `queue`.
    fn fleet(&self, queue: &QueueName) -> Option<FleetName> {
        Some(self.idle.as_ref()?.fleets.get(queue)?.0.clone())
    }
}

impl QueueActor {
    /// Writes the submits that wait, all of them together, if there is room for another batch.
    pub(super) fn append(&mut self, ctx: &mut Context<Self>) {
        while let Some(requests) = self.plain.next() {
            self.send(requests, ctx);
        }
        self.plain.rest();
    }

    fn send(&mut self, requests: Vec<Request>, ctx: &mut Context<Self>) {
        let idle = self.direct(&requests);
        let (store, limit) = (self.store.clone(), self.patience());
        // What idle agents take of it at once is a claim like any other.
        let claims = idle.is_some();
        let lanes = self.plain.lanes.clone();
        self.plain.sent(&requests, claims);
        let line = self.plain.line.clone();
        let target = Target { slot: self.host.slot, lanes, found: Vec::new(), line };
        self.claims_under_way += usize::from(claims);
        let send = async move { write(&store, limit, target, requests, idle).await };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| {
            this.plain.over();
            this.claims_under_way -= usize::from(claims);
            match result {
                Ok(written) => this.appended(written, ctx),
                Err((requests, error)) => {
                    this.plain.forget_lanes();
                    // It may have been carried out, unheard.
                    if claims && error.recovery() == Recovery::RetryLater {
                        this.look_for_strays(ctx);
                    }
                    this.append_failed(requests, error);
                }
            }
            this.tell_if_quiet();
            this.append(ctx);
        }));
    }

    /// What of these submits agents could take at once.
    fn direct(&self, requests: &[Request]) -> Option<Idle> {
        let host = self.lease.host().filter(|_| self.may_claim())?;
        let mut fleets = HashMap::new();
        for Ready { task, .. } in requests.iter().flat_map(|request| &request.tasks) {
            if !fleets.contains_key(&task.queue)
                && let Some(idle) = self.dispatch.direct(&task.queue)
            {
                fleets.insert(task.queue.clone(), idle);
            }
        }
        (!fleets.is_empty()).then_some(Idle { host, fleets })
    }

    fn appended(&mut self, mut written: Written, ctx: &mut Context<Self>) {
        if written.idle.as_ref().is_some_and(|idle| self.lease.host() != Some(idle.host)) {
            // As in `claimed`: it goes back with the lease that it was claimed under.
            warn!(self.log, "claim came too late"; "count" => written.appended.len());
            written.idle = None;
        }
        let ours = written.idle.is_some();
        for appended in written.appended.values().filter(|one| ours && one.claimed > 0) {
            let claimed = usize::try_from(appended.claimed).unwrap_or_default();
            self.plain.open.insert(appended.claim, claimed);
        }
        let mut placed: HashMap<Lane, (&QueueName, i64)> = HashMap::new();
        let mut answers = Vec::with_capacity(written.requests.len());
        for Request { mut tasks, tell } in std::mem::take(&mut written.requests) {
            let mut submitted = Vec::with_capacity(tasks.len());
            for Ready { task, .. } in &mut tasks {
                let Some((queue, head)) = written.target.lanes.get_key_value(&task.queue) else {
                    continue;
                };
                let lane = head.lane;
                let Some(at) = written.appended.get(&lane) else { continue };
                let (_, place) = placed.entry(lane).or_insert((queue, 0));
                *place += 1;
                let is_claimed = *place <= at.claimed;
                let state = if is_claimed { TaskState::Running } else { TaskState::Pending };
                submitted.push(Submitted::new(task.id, state, SubmitOutcome::Created));
                if is_claimed && let Some(fleet) = written.fleet(&task.queue) {
                    let entry = Entry { lane, number: at.base + *place, claim: at.claim };
                    self.dispatch.submitted(&fleet, vec![assignment(task, entry)]);
                }
            }
            answers.push((tell, submitted, tasks));
        }
        for (lane, (queue, placed)) in placed {
            if let Some(at) = written.appended.get(&lane)
                && (!ours || placed > at.claimed)
            {
                self.left(queue, at.paused, ctx);
            }
        }
        self.learn(written.target);
        self.announce(ctx);
        self.serve(ctx);
        // After the agents, whose turn is next, and after the next batch is sent: to wake the thread of a caller
        // takes as long as to hand a task out, and the caller has what it asked for.
        actix::spawn(async {
            tokio::task::yield_now().await;
            answer(answers);
        });
    }

    /// Where a batch went is where the next ones go.
    fn learn(&mut self, target: Target) {
        if !target.found.is_empty() {
            // What was sent behind it is not where it was thought to be.
            self.plain.leads = None;
        }
        for queue in target.found {
            if let Some(head) = target.lanes.get(&queue) {
                self.plain.lanes.insert(queue, *head);
            }
        }
        // Where there is but one connection, it goes to whoever waits for it.
        let kept = target.line.filter(|_| self.store.pool_status().max > 1);
        self.plain.line = self.plain.line.take().or(kept);
    }

    /// Something of what was appended to `queue` waits: whoever takes of it hears so.
    fn left(&mut self, queue: &QueueName, is_paused: bool, ctx: &mut Context<Self>) {
        if is_paused {
            self.pause(queue, ctx);
        }
        if self.dispatch.wake_plain(queue) && self.chooser.plain(Some(queue)) {
            self.dispatch.wake(Some(queue));
        }
        self.announce.insert(News::Work(queue.clone()));
    }

    /// `queue` is paused: it is asked for in a while only, however much is appended to it.
    fn pause(&mut self, queue: &QueueName, ctx: &mut Context<Self>) {
        if self.dispatch.pause(queue) {
            let queue = queue.clone();
            ctx.run_later(PAUSED, move |this, ctx| {
                this.dispatch.wake(Some(&queue));
                this.chooser.plain(Some(&queue));
                this.serve(ctx);
            });
        }
    }

    fn append_failed(&mut self, requests: Vec<Request>, error: StoreError) {
        warn!(self.log, "a submit failed"; "error" => %Chain(&error), "count" => requests.len());
        if requests.len() > 1 && error.recovery() == Recovery::GiveUp {
            // One of them is at fault: each goes alone.
            self.plain.one_by_one(requests);
            return;
        }
        let mut error = Some(error);
        for request in requests {
            let error = error.take().unwrap_or(StoreError::Unavailable { source: None });
            drop(request.tell.send(Err(error)));
        }
    }
}

fn answer(answers: Vec<(Tell, Vec<Submitted>, Vec<Ready>)>) {
    for (tell, submitted, tasks) in answers {
        // Whoever asked may be gone; the tasks are there.
        drop(tell.send(Ok((submitted, tasks))));
    }
}

/// Where a batch of submits goes.
struct Target {
    slot: Uuid,
    /// The lanes that are known.
    lanes: Lanes,
    /// The queues of those that were asked for.
    found: Vec<QueueName>,
    /// The connection; any one of the pool, if there is none.
    line: Option<Line>,
}

/// Finds the lanes that are not known yet, and appends.
async fn write(
    store: &Store,
    limit: Duration,
    mut target: Target,
    requests: Vec<Request>,
    idle: Option<Idle>,
) -> Result<Written, (Vec<Request>, StoreError)> {
    let tasks: Vec<&Ready> = requests.iter().flat_map(|request| &request.tasks).collect();
    let mut result = target.append(store, limit, &tasks, idle.as_ref()).await;
    for _ in 1..TRIES {
        if !result.as_ref().is_err_and(StoreError::is_moved_on) {
            break;
        }
        target.forget();
        result = target.append(store, limit, &tasks, idle.as_ref()).await;
    }
    match result {
        Ok(appended) => {
            target.grow(&appended);
            Ok(Written { requests, appended, target, idle })
        }
        // Somebody else appends to these lanes all the time.
        Err(error) if error.is_moved_on() => Err((requests, StoreError::MovedOn)),
        Err(error) => Err((requests, error)),
    }
}

impl Target {
    async fn append(
        &mut self,
        store: &Store,
        limit: Duration,
        tasks: &[&Ready],
        idle: Option<&Idle>,
    ) -> Result<HashMap<Lane, Appended>, StoreError> {
        if tasks.len() < COPY_FROM {
            let line = match self.line.take() {
                Some(line) => line,
                None => store.line().await?,
            };
            let send = async |db: &Client| {
                let (placed, direct) = self.place(db, tasks, idle).await?;
                log::submit(db, &placed, direct.as_ref()).await
            };
            let appended = line.within(limit, send).await?;
            self.line = Some(line);
            return Ok(appended);
        }
        let send = async |db: &Transaction<'_>| {
            let (placed, direct) = self.place(db, tasks, idle).await?;
            log::submit_many(db, &placed, direct.as_ref()).await
        };
        store.transact_within(limit, send).await
    }

    /// Nothing is known of the lanes.
    fn forget(&mut self) {
        self.lanes.clear();
        self.line = None;
    }

    /// What was appended is the newest of its lanes.
    fn grow(&mut self, appended: &HashMap<Lane, Appended>) {
        for head in self.lanes.values_mut() {
            if let Some(appended) = appended.get(&head.lane) {
                head.number = appended.last;
            }
        }
    }

    /// Each task with its lane, and what idle agents take of each lane.
    async fn place<'a>(
        &mut self,
        db: &impl GenericClient,
        tasks: &[&'a Ready],
        idle: Option<&Idle>,
    ) -> Result<(Vec<(Head, &'a Ready)>, Option<Direct>), StoreError> {
        let mut unknown: Vec<QueueName> = Vec::new();
        for Ready { task, .. } in tasks {
            if !self.lanes.contains_key(&task.queue) && !unknown.contains(&task.queue) {
                unknown.push(task.queue.clone());
            }
        }
        if !unknown.is_empty() {
            self.lanes.extend(log::lanes(db, self.slot, &unknown).await?);
            self.found.append(&mut unknown);
        }
        let mut placed = Vec::with_capacity(tasks.len());
        for ready in tasks {
            let queue = &ready.task.queue;
            let Some(head) = self.lanes.get(queue) else {
                return Err(StoreError::UnknownQueue { queue: queue.clone() });
            };
            placed.push((*head, *ready));
        }
        let direct = idle.map(|Idle { host, fleets }| {
            let of_lane =
                |(queue, (_, free)): (_, &(_, usize))| Some((self.lanes.get(queue)?.lane, *free));
            Direct { host: *host, most: fleets.iter().filter_map(of_lane).collect() }
        });
        Ok((placed, direct))
    }
}

/// A task that was claimed as it was submitted.
fn assignment(task: &mut NewTask, entry: Entry) -> Assignment {
    Assignment {
        task: task.id,
        attempt: Attempt(1),
        failures: 0,
        max_attempts: task.max_attempts,
        agent: AgentName::nobody(),
        queue: task.queue.clone(),
        kind: std::mem::take(&mut task.kind),
        input: std::mem::take(&mut task.input),
        timeout: task.timeout,
        waited: Duration::ZERO,
        frees: false,
        results: None,
        entry: Some(entry),
        terms: RunTerms::default(),
    }
}
