//! How the actor claims where there may be something to choose, and what follows.

use std::{collections::BTreeSet, time::Duration};

use actix::prelude::*;
use deadpool_postgres::Client;
use tokio::time::Instant;

use super::{
    actor::QueueActor,
    chooser::{Found, Reason},
};
use crate::{
    domain::{
        FleetName, QueueName, TaskId,
        task::{Assignment, Settlement},
    },
    store::{
        Store, StoreError,
        admission::{self, Gate, Memory, Order},
        notify::News,
        tasks,
    },
};

/// A little more than a wait that was asked for, so that the look does not come just too early.
const MARGIN: Duration = Duration::from_millis(1);

/// What a claim brought.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) assignments: Vec<Assignment>,
    /// What was found, if it was to choose.
    pub(super) found: Option<Found>,
}

/// Claims for the agents of `order`: by choice if there is a reason to choose and something to
/// choose among, and plain tasks otherwise, for a choice gives these as well.
pub(super) async fn claim(
    store: &Store,
    limit: Duration,
    order: Order,
    reason: Option<Reason>,
) -> Result<Taken, StoreError> {
    let mut found = None;
    if let Some(Reason { memory, limited }) = reason {
        let mut gate = None;
        let limited = match limited {
            Some(limited) => limited,
            None => {
                let asked =
                    async |db: &Client| admission::gate(db, &order.fleet, &order.queues).await;
                gate.insert(store.within(limit, asked).await?).limited.clone()
            }
        };
        if gate.as_ref().is_none_or(|gate| gate.waiting) {
            return choose(store, limit, &order, memory, limited, gate).await;
        }
        found = Some(Found { gate: gate.unwrap_or_default(), memory, ..Found::default() });
    }
    let plain = async |db: &Client| {
        tasks::claim(db, order.host, &order.queues, &order.agents, order.floor).await
    };
    Ok(Taken { assignments: store.within(limit, plain).await?, found })
}

/// Chooses; asks by the way what the gate says, unless that is known.
async fn choose(
    store: &Store,
    limit: Duration,
    order: &Order,
    memory: Memory,
    limited: BTreeSet<QueueName>,
    gate: Option<Gate>,
) -> Result<Taken, StoreError> {
    let work = async |db: &Client| {
        let asked = async {
            match gate {
                Some(gate) => Ok(gate),
                None => admission::gate(db, &order.fleet, &order.queues).await,
            }
        };
        tokio::try_join!(admission::begin(db, order, &limited, memory), asked)
    };
    let (mut claimed, gate) = store.pipeline_within(limit, work).await?;
    let assignments = std::mem::take(&mut claimed.assignments);
    let gave = !assignments.is_empty();
    let found = Found { gate, gave, claimed: Some(claimed), memory: Memory::default() };
    Ok(Taken { assignments, found: Some(found) })
}

impl QueueActor {
    /// The claim of `fleet` chose: plans the next choice.
    pub(super) fn chose(
        &mut self,
        fleet: &FleetName,
        found: Found,
        all: bool,
        ctx: &mut Context<Self>,
    ) {
        let opens = found.claimed.as_ref().and_then(|claimed| claimed.opens);
        for wait in opens.into_iter().chain(found.gate.resumes) {
            self.choose_in(wait + MARGIN, ctx);
        }
        if self.chooser.done(fleet, found, all) {
            // Before the claim is taken as answered: so it is not taken as dry.
            self.dispatch.wake(None);
        }
    }

    /// Chooses again in `wait`, unless that is planned before.
    fn choose_in(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        let at = Instant::now() + wait;
        if let Some((planned, handle)) = self.next_choice {
            if planned <= at {
                return;
            }
            ctx.cancel_future(handle);
        }
        let look = |this: &mut Self, ctx: &mut Context<Self>| {
            this.next_choice = None;
            this.wake_all();
            this.serve(ctx);
        };
        self.next_choice = Some((at, ctx.run_later(wait, look)));
    }

    /// There may be work of any kind, anywhere.
    pub(super) fn wake_all(&mut self) {
        self.dispatch.wake(None);
        self.chooser.wake(None);
    }

    /// What another host said, or this one: there may be work of any kind in `queue`.
    pub(super) fn woken(&mut self, queue: &QueueName) {
        self.dispatch.wake(Some(queue));
        self.chooser.wake(Some(queue));
    }

    /// Something was freed, here or elsewhere.
    pub(super) fn freed(&mut self) {
        for queue in self.chooser.freed() {
            self.dispatch.wake(Some(&queue));
        }
    }

    /// An attempt ends that holds something: others are told once that is written.
    pub(super) fn will_free(&mut self, assignment: &Assignment) {
        if assignment.frees {
            self.freeing.insert(assignment.task);
        }
    }

    /// These ends are written, or were too late.
    pub(super) fn written(&mut self, settlements: &[Settlement], ctx: &mut Context<Self>) {
        let freed = |task: &TaskId| self.freeing.remove(task);
        let freed = settlements.iter().map(|settlement| settlement.task).filter(freed).count();
        if freed > 0 {
            self.freed();
            self.announce.insert(News::Freed);
            self.announce(ctx);
        }
    }
}
