//! The actor's side of the log: which submits go together, claims of ranges, and handing out.

use std::{collections::HashMap, time::Duration};

use actix::prelude::*;
use slog::{debug, warn};
use tokio::time::Instant;

use super::{
    actor::QueueActor,
    appending::COPY_FROM,
    inbox::{Inbox, Request, Wanted},
};
use crate::{
    domain::{ClaimId, FleetName, HostId, dispatch::RangeClaim, task::Settlement},
    store::{
        Line,
        log::{self, Claimed, Lanes, Range},
    },
    telemetry::Chain,
};

/// The most tasks that one claim takes.
const CLAIM_MOST: usize = 1_000;
/// After which time to ask again for what another had locked: about that of a claim's commit.
const LOCKED: Duration = Duration::from_millis(5);
/// Submits go together up to so many tasks.
const APPEND_MOST: usize = 4_000;

/// How many batches of submits are under way at the most: the one that the server is at, and the next, which it finds
/// there when it is done with that.
const UNDER_WAY: usize = 2;

/// What the actor knows of the log.
#[derive(Default)]
pub(super) struct Plain {
    /// Where the lanes end once all that is under way is written.
    pub(super) lanes: Lanes,
    inbox: Inbox,
    /// The connection that batches go on, kept while one follows the other.
    pub(super) line: Option<Line>,
    /// How many batches are under way.
    under_way: usize,
    /// How many submits the newest of them has, where another one may follow on the same line: its tasks go by
    /// one statement, agents take none of them at once, and where their lanes end then is known.
    pub(super) leads: Option<usize>,
    /// How many submits go alone, because one of them made a batch fail.
    singly: usize,
    /// How many tasks of each claim have not ended.
    pub(super) open: HashMap<ClaimId, usize>,
}

/// Nobody is left waiting in the inbox.
impl Drop for QueueActor {
    fn drop(&mut self) {
        self.plain.inbox.close();
    }
}

impl Plain {
    /// Takes its submits from `inbox`.
    pub(super) fn new(inbox: Inbox) -> Self {
        Self { inbox, ..Self::default() }
    }

    /// Whether a submit is under way.
    pub(super) const fn is_appending(&self) -> bool {
        self.under_way > 0
    }

    /// The submits that go next, if there is room for a batch. As many follow another batch as that has, at the
    /// least: of fewer, each would have more of what a statement costs, whatever it holds.
    pub(super) fn next(&mut self) -> Option<Vec<Request>> {
        let wanted = match self.leads {
            _ if self.under_way == 0 => {
                let most = if self.singly > 0 { 1 } else { usize::MAX };
                Wanted { least: 1, most, tasks: APPEND_MOST, larger: true }
            }
            Some(least) if self.under_way < UNDER_WAY && self.singly == 0 => {
                Wanted { least, most: usize::MAX, tasks: COPY_FROM - 1, larger: false }
            }
            _ => return None,
        };
        self.inbox.take(&wanted)
    }

    /// These are under way, on the line; `claims` tells whether idle agents take of them at once.
    pub(super) fn sent(&mut self, requests: &[Request], claims: bool) {
        self.singly = self.singly.saturating_sub(1);
        self.under_way += 1;
        let (mut tasks, mut is_known) = (0, true);
        for request in requests {
            tasks += request.tasks.len();
            for run in request.tasks.chunk_by(|one, next| one.task.queue == next.task.queue) {
                let head = run.first().and_then(|ready| self.lanes.get_mut(&ready.task.queue));
                is_known &= head.is_some();
                if let Some(head) = head {
                    head.number += i64::try_from(run.len()).unwrap_or(i64::MAX);
                }
            }
        }
        if tasks >= COPY_FROM {
            // That has a transaction, on a connection of its own.
            self.line = None;
        }
        // Which agents are idle behind a claim is known when that has been answered.
        let leads = is_known && self.line.is_some() && !claims;
        self.leads = leads.then_some(requests.len());
    }

    /// A batch is over.
    pub(super) fn over(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A batch failed, or it is not known what became of it: where the lanes end is asked anew.
    pub(super) fn forget_lanes(&mut self) {
        self.lanes.clear();
        self.line = None;
        self.leads = None;
    }

    /// Gives the connection back, unless a batch is under way.
    pub(super) fn rest(&mut self) {
        if self.under_way == 0 {
            self.line = None;
        }
    }

    /// One of these submits made all of them fail: each goes alone, and before those that came after them.
    pub(super) fn one_by_one(&mut self, requests: Vec<Request>) {
        self.singly = requests.len();
        self.inbox.put_back(requests);
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
