//! The actor's side of the log: which submits go together, claims of ranges, and handing out.

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
        ClaimId, FleetName, HostId, dispatch::RangeClaim, record::Submitted, task::Settlement,
    },
    store::{
        StoreError,
        log::{self, Claimed, Lanes, Range, Ready},
    },
    telemetry::Chain,
};

/// The most tasks that one claim takes.
const CLAIM_MOST: usize = 1_000;
/// After which time to ask again for what another had locked: about that of a claim's commit.
const LOCKED: Duration = Duration::from_millis(5);
/// Submits go together up to so many tasks.
const APPEND_MOST: usize = 4_000;

/// Tells whoever submits what became of each task; what there was of the tasks goes back with it, to be freed
/// by the thread that made it.
pub(super) type Tell = oneshot::Sender<Result<(Vec<Submitted>, Vec<Ready>), StoreError>>;

/// One submit that waits.
pub(super) struct Request {
    pub(super) tasks: Vec<Ready>,
    pub(super) tell: Tell,
}

/// What the actor knows of the log.
#[derive(Default)]
pub(super) struct Plain {
    pub(super) lanes: Lanes,
    appending: bool,
    pub(super) waiting: VecDeque<Request>,
    /// How many submits go alone, because one of them made a batch fail.
    pub(super) singly: usize,
    /// How many tasks of each claim have not ended.
    pub(super) open: HashMap<ClaimId, usize>,
}

impl Plain {
    pub(super) fn submit(&mut self, tasks: Vec<Ready>, tell: Tell) {
        self.waiting.push_back(Request { tasks, tell });
    }

    /// Whether a submit is under way.
    pub(super) const fn is_appending(&self) -> bool {
        self.appending
    }

    /// The submits that go next, if none is under way.
    pub(super) fn next(&mut self) -> Option<Vec<Request>> {
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

    /// The submits that were under way are over.
    pub(super) const fn appended(&mut self) {
        self.appending = false;
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

impl QueueActor {
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
        let Range { claim, span, tasks } = match claimed {
            Claimed::Range(range) => range,
            Claimed::Nothing => {
                self.dispatch.range_claimed(fleet, asked, 0, Vec::new());
                // Tracked ones that go after plain ones can be claimed now.
                self.serve(ctx);
                return;
            }
            Claimed::Busy => {
                self.dispatch.range_locked(fleet);
                let fleet = fleet.clone();
                ctx.run_later(LOCKED, move |this, ctx| {
                    this.dispatch.range_unlocked(&fleet);
                    this.serve(ctx);
                });
                self.serve(ctx);
                return;
            }
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
        for (agent, mut tasks) in self.dispatch.hand_out() {
            tasks.retain_mut(|task| !self.is_unread(task, ctx));
            if tasks.is_empty() {
                continue;
            }
            debug!(self.log, "plain tasks handed out"; "agent" => %agent, "count" => tasks.len());
            self.give(&agent, tasks, ctx);
        }
    }
}
