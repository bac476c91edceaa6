//! How the actor claims where there may be something to choose, and what follows.

use std::{collections::HashMap, time::Duration};

use actix::prelude::*;
use tokio::time::Instant;

use super::{actor::QueueActor, chooser::Found};
use crate::{
    domain::{
        AgentName, FleetName, QueueName, TaskId,
        task::{Assignment, Settlement},
    },
    store::{
        Store, StoreError,
        admission::{self, Memory, Order},
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

/// Claims for the agents of `order`: by choice if `memory` is given, and plain tasks for those that
/// are left then.
pub(super) async fn claim(
    store: &Store,
    limit: Duration,
    order: Order,
    memory: Option<Memory>,
) -> Result<Taken, StoreError> {
    let mut taken = Taken::default();
    if let Some(memory) = memory {
        let gate = store
            .within(limit, async |db| admission::gate(db, &order.fleet, &order.queues).await)
            .await?;
        let mut found = Found { gate, ..Found::default() };
        if found.gate.waiting {
            let mut claimed = store
                .transact_within(limit, async |db| {
                    admission::begin(db, &order, &found.gate.limited, memory).await
                })
                .await?;
            taken.assignments = std::mem::take(&mut claimed.assignments);
            found.claimed = Some(claimed);
        } else {
            found.memory = memory;
        }
        taken.found = Some(found);
    }
    let rest = left(&order.agents, &taken.assignments);
    if !rest.is_empty() {
        let plain = store
            .within(limit, async |db| {
                tasks::claim(db, order.host, &order.queues, &rest, order.floor).await
            })
            .await?;
        taken.assignments.extend(plain);
    }
    Ok(taken)
}

/// The places of `agents` that are left when these tasks are given.
fn left(agents: &[AgentName], given: &[Assignment]) -> Vec<AgentName> {
    let mut taken: HashMap<&AgentName, usize> = HashMap::new();
    given.iter().for_each(|one| *taken.entry(&one.agent).or_default() += 1);
    let is_left = |agent: &&AgentName| match taken.get_mut(*agent) {
        Some(places) if *places > 0 => {
            *places -= 1;
            false
        }
        _ => true,
    };
    agents.iter().filter(is_left).cloned().collect()
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
