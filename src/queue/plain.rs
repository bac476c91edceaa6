//! The actor's side of the log: submits that go together, claims of ranges, and handing out.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use actix::prelude::*;
use slog::{debug, warn};
use tokio::{sync::oneshot, time::Instant};

use super::actor::QueueActor;
use crate::{
    domain::{
        AgentName, Attempt, ClaimId, Entry, FleetName, HostId, Lane, QueueName,
        dispatch::RangeClaim,
        record::{SubmitOutcome, Submitted},
        task::{Assignment, NewTask, RunTerms, Settlement, TaskState},
    },
    store::{
        Recovery, Store, StoreError,
        log::{self, Appended, Claimed, Direct, Lanes, Range},
        notify::News,
    },
    telemetry::Chain,
};

/// The most tasks that one claim takes.
const CLAIM_MOST: usize = 1_000;
/// After which time to ask again for what another had locked: about that of a claim's commit.
const LOCKED: Duration = Duration::from_millis(5);
/// Submits go together up to so many tasks.
const APPEND_MOST: usize = 4_000;

type Tell = oneshot::Sender<Result<Vec<Submitted>, StoreError>>;

/// One submit that waits.
struct Request {
    tasks: Vec<NewTask>,
    tell: Tell,
}

/// What the actor knows of the log.
#[derive(Default)]
pub(super) struct Plain {
    lanes: Lanes,
    waiting: VecDeque<Request>,
    appending: bool,
    /// How many submits go alone, because one of them made a batch fail.
    singly: usize,
    /// How many tasks of each claim have not ended.
    open: HashMap<ClaimId, usize>,
}

impl Plain {
    pub(super) fn submit(&mut self, tasks: Vec<NewTask>, tell: Tell) {
        self.waiting.push_back(Request { tasks, tell });
    }

    /// Whether a submit is under way.
    pub(super) const fn is_appending(&self) -> bool {
        self.appending
    }

    /// The submits that go next, if none is under way.
    fn next(&mut self) -> Option<Vec<Request>> {
        if self.appending || self.waiting.is_empty() {
            return None;
        }
        let (mut count, mut requests) = (0, 0);
        for request in &self.waiting {
            let alone = self.singly > 0 && requests > 0;
            if alone || requests > 0 && count + request.tasks.len() > APPEND_MOST {
                break;
            }
            (count, requests) = (count + request.tasks.len(), requests + 1);
        }
        self.singly = self.singly.saturating_sub(1);
        self.appending = true;
        Some(self.waiting.drain(..requests).collect())
    }

    /// The claims that have nothing left once this batch is written.
    pub(super) fn over_with(&self, batch: &[Settlement]) -> Vec<ClaimId> {
        let ends = count(batch);
        ends.into_iter()
            .filter(|(claim, n)| self.open.get(claim) == Some(n))
            .map(|(c, _)| c)
            .collect()
    }

    /// This batch is written.
    pub(super) fn ended(&mut self, batch: &[Settlement]) {
        for (claim, ended) in count(batch) {
            if let Some(left) = self.open.get_mut(&claim) {
                *left = left.saturating_sub(ended);
                if *left == 0 {
                    self.open.remove(&claim);
                }
            }
        }
    }

    /// The host has another id: its claims were moved with the old one.
    pub(super) fn forget_claims(&mut self) {
        self.open.clear();
    }
}

/// How many of a batch are of each claim.
fn count(batch: &[Settlement]) -> HashMap<ClaimId, usize> {
    let mut counts = HashMap::new();
    for entry in batch.iter().filter_map(|end| end.entry) {
        *counts.entry(entry.claim).or_default() += 1;
    }
    counts
}

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
    /// The lanes that were not known before.
    lanes: Lanes,
    idle: Option<Idle>,
}

impl Written {
    /// Whose agents take what is claimed of `queue`.
    fn fleet(&self, queue: &QueueName) -> Option<FleetName> {
        Some(self.idle.as_ref()?.fleets.get(queue)?.0.clone())
    }
}

impl QueueActor {
    /// Writes the submits that wait, all of them in one statement, if none is under way.
    pub(super) fn append(&mut self, ctx: &mut Context<Self>) {
        let Some(requests) = self.plain.next() else { return };
        let idle = self.direct(&requests);
        let (store, limit, slot) = (self.store.clone(), self.patience(), self.host.slot);
        let lanes = self.plain.lanes.clone();
        // What idle agents take of it at once is a claim like any other.
        let claims = idle.is_some();
        self.claims_under_way += usize::from(claims);
        let send = async move { write(&store, limit, slot, lanes, requests, idle).await };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| {
            this.plain.appending = false;
            this.claims_under_way -= usize::from(claims);
            match result {
                Ok(written) => this.appended(written, ctx),
                Err((requests, error)) => {
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
        for task in requests.iter().flat_map(|request| &request.tasks) {
            if !fleets.contains_key(&task.queue)
                && let Some(idle) = self.dispatch.direct(&task.queue)
            {
                fleets.insert(task.queue.clone(), idle);
            }
        }
        (!fleets.is_empty()).then_some(Idle { host, fleets })
    }

    fn appended(&mut self, mut written: Written, ctx: &mut Context<Self>) {
        self.plain.lanes.extend(std::mem::take(&mut written.lanes));
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
        let mut placed: HashMap<Lane, i64> = HashMap::new();
        for Request { tasks, tell } in std::mem::take(&mut written.requests) {
            let mut answers = Vec::with_capacity(tasks.len());
            for task in tasks {
                let lane = self.plain.lanes.get(&task.queue).copied();
                let Some((lane, at)) = lane.and_then(|l| Some((l, written.appended.get(&l)?)))
                else {
                    continue;
                };
                let place = placed.entry(lane).or_default();
                *place += 1;
                let is_claimed = *place <= at.claimed;
                let state = if is_claimed { TaskState::Running } else { TaskState::Pending };
                answers.push(Submitted::new(task.id, state, SubmitOutcome::Created));
                if is_claimed && let Some(fleet) = written.fleet(&task.queue) {
                    let entry = Entry { lane, number: at.base + *place, claim: at.claim };
                    self.dispatch.submitted(&fleet, vec![assignment(task, entry)]);
                } else {
                    self.dispatch.wake_plain(&task.queue);
                    if self.chooser.plain(Some(&task.queue)) {
                        self.dispatch.wake(Some(&task.queue));
                    }
                    self.announce.insert(News::Work(task.queue));
                }
            }
            // Whoever asked may be gone; the tasks are there.
            tell.send(Ok(answers)).unwrap_or_default();
        }
        self.announce(ctx);
        self.serve(ctx);
    }

    fn append_failed(&mut self, requests: Vec<Request>, error: StoreError) {
        warn!(self.log, "a submit failed"; "error" => %Chain(&error), "count" => requests.len());
        if requests.len() > 1 && error.recovery() == Recovery::GiveUp {
            // One of them is at fault: each goes alone.
            self.plain.singly = requests.len();
            for request in requests.into_iter().rev() {
                self.plain.waiting.push_front(request);
            }
            return;
        }
        let mut error = Some(error);
        for request in requests {
            let error = error.take().unwrap_or(StoreError::Unavailable { source: None });
            request.tell.send(Err(error)).unwrap_or_default();
        }
    }

    pub(super) fn claim_ranges(&mut self, host: HostId, ctx: &mut Context<Self>) {
        for RangeClaim { fleet, queues, most } in self.dispatch.range_claims(CLAIM_MOST) {
            self.claims_under_way += 1;
            let (store, started) = (self.store.clone(), Instant::now());
            let (limit, slot, whose) = (self.patience(), self.host.slot, fleet.clone());
            let send = async move {
                store
                    .within(limit, async |db| {
                        log::claim(db, host, slot, &whose, &queues, most).await
                    })
                    .await
            };
            ctx.spawn(send.into_actor(self).map(move |result, this, ctx| {
                this.claims_under_way -= 1;
                match result {
                    Ok(claimed) => this.range_claimed(host, &fleet, most, claimed, started, ctx),
                    Err(error) => {
                        warn!(this.log, "claim failed"; "fleet" => %fleet,
                            "error" => %Chain(&error));
                        this.dispatch.range_claim_failed(&fleet);
                        this.look_for_strays(ctx);
                    }
                }
                this.tell_if_quiet();
            }));
        }
    }

    fn range_claimed(
        &mut self,
        host: HostId,
        fleet: &FleetName,
        asked: usize,
        claimed: Claimed,
        started: Instant,
        ctx: &mut Context<Self>,
    ) {
        self.failures = 0;
        if claimed == Claimed::Busy {
            let fleet = fleet.clone();
            ctx.run_later(LOCKED, move |this, ctx| {
                this.dispatch.wake_range(&fleet);
                this.serve(ctx);
            });
        }
        let Claimed::Range(Range { claim, span, tasks }) = claimed else {
            self.dispatch.range_claimed(fleet, asked, 0, Vec::new());
            // Tracked ones that go after plain ones can be claimed now.
            self.serve(ctx);
            return;
        };
        self.metrics.claimed(tasks.len(), started.elapsed());
        if self.lease.host() != Some(host) {
            // As in `claimed`: it goes back with the lease that it was claimed under.
            warn!(self.log, "claim came too late"; "host" => %host, "count" => tasks.len());
            self.dispatch.range_claim_failed(fleet);
            return;
        }
        self.plain.open.insert(claim, tasks.len());
        self.dispatch.range_claimed(fleet, asked, span, tasks);
        if !self.open {
            for assignment in self.dispatch.unclaim() {
                self.put_back(&assignment, ctx);
            }
        }
        self.serve(ctx);
    }

    /// Hands plain tasks to the agents that are free.
    pub(super) fn hand_out(&mut self, ctx: &mut Context<Self>) {
        for (agent, tasks) in self.dispatch.hand_out() {
            debug!(self.log, "plain tasks handed out"; "agent" => %agent, "count" => tasks.len());
            self.give(&agent, tasks, ctx);
        }
    }
}

/// Finds the lanes that are not known yet, and appends.
async fn write(
    store: &Store,
    limit: Duration,
    slot: uuid::Uuid,
    mut lanes: Lanes,
    requests: Vec<Request>,
    idle: Option<Idle>,
) -> Result<Written, (Vec<Request>, StoreError)> {
    let mut found = Lanes::new();
    let result = store
        .within(limit, async |db| {
            let tasks = || requests.iter().flat_map(|request| &request.tasks);
            let mut unknown: Vec<QueueName> = Vec::new();
            for task in tasks() {
                if !lanes.contains_key(&task.queue) && !unknown.contains(&task.queue) {
                    unknown.push(task.queue.clone());
                }
            }
            if !unknown.is_empty() {
                found = log::lanes(db, slot, &unknown).await?;
                lanes.extend(found.clone());
            }
            let mut placed = Vec::new();
            for task in tasks() {
                let Some(lane) = lanes.get(&task.queue) else {
                    return Err(StoreError::UnknownQueue { queue: task.queue.clone() });
                };
                placed.push((*lane, task));
            }
            let direct = idle.as_ref().map(|Idle { host, fleets }| {
                let of_lane =
                    |(queue, (_, free)): (_, &(_, usize))| Some((*lanes.get(queue)?, *free));
                Direct { host: *host, most: fleets.iter().filter_map(of_lane).collect() }
            });
            log::submit(db, &placed, direct.as_ref()).await
        })
        .await;
    match result {
        Ok(appended) => Ok(Written { requests, appended, lanes: found, idle }),
        Err(error) => Err((requests, error)),
    }
}

/// A task that was claimed as it was submitted.
fn assignment(task: NewTask, entry: Entry) -> Assignment {
    Assignment {
        task: task.id,
        attempt: Attempt(1),
        failures: 0,
        max_attempts: task.max_attempts,
        agent: AgentName::nobody(),
        queue: task.queue,
        kind: task.kind,
        input: task.input,
        timeout: task.timeout,
        waited: Duration::ZERO,
        frees: false,
        results: None,
        entry: Some(entry),
        terms: RunTerms::default(),
    }
}
