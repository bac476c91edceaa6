//! How the actor writes outcomes, and what follows once they are written.

use std::collections::HashMap;

use actix::prelude::*;
use slog::{debug, error, warn};
use tokio::time::Instant;

use super::actor::QueueActor;
use crate::{
    domain::task::{Assignment, Outcome, Settlement, TaskEvent, TaskState},
    store::{Recovery, StoreError, ends, tasks::Settled},
    telemetry::Chain,
};

impl QueueActor {
    pub(super) fn settle(
        &mut self,
        assignment: &Assignment,
        outcome: Outcome,
        since: Instant,
        ctx: &mut Context<Self>,
    ) {
        self.push(assignment, outcome, since);
        self.flush(ctx);
    }

    /// Has the outcome of an attempt that began at `since` written with the next batch.
    pub(super) fn push(&mut self, assignment: &Assignment, outcome: Outcome, since: Instant) {
        self.will_free(assignment);
        let policy = &self.terms.of(&assignment.queue).retry;
        let settlement = Settlement::of(assignment, outcome, policy, fastrand::f64());
        self.settling.push(settlement, since);
    }

    /// Writes the next batch of outcomes, if none is under way.
    pub(super) fn flush(&mut self, ctx: &mut Context<Self>) {
        // Without a lease there is nobody to settle for: the outcomes wait for the next host id
        // and are refused under it, because their attempts were put back.
        let host = self.lease.host().unwrap_or(self.host.id);
        let Some(batch) = self.settling.next(Instant::now()) else {
            self.tell_if_quiet();
            return;
        };
        let (store, started) = (self.store.clone(), Instant::now());
        let limit = self.settling.patience(self.patience());
        let over = self.plain.over_with(&batch);
        let send = async move {
            store.within(limit, async |db| ends::settle(db, host, &batch, &over).await).await
        };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| match result {
            Ok(settled) => this.settled(settled, started, ctx),
            Err(error) => this.settle_failed(&error, ctx),
        }));
    }

    pub(super) fn settled(
        &mut self,
        settled: Vec<Settled>,
        started: Instant,
        ctx: &mut Context<Self>,
    ) {
        self.failures = 0;
        let written = self.settling.written();
        self.plain.ended(&written);
        self.metrics.settled(written.len(), started.elapsed());
        let awaited: Vec<_> =
            settled.iter().filter(|one| one.awaited).map(|one| one.task).collect();
        let states: HashMap<_, _> =
            settled.into_iter().map(|one| ((one.task, one.attempt), one.state)).collect();
        let mut changes = Vec::with_capacity(written.len());
        self.written(&written, ctx);
        for settlement in written {
            self.tell_written(&settlement);
            let Some(state) = states.get(&(settlement.task, settlement.attempt)) else {
                warn!(self.log, "late outcome refused"; "task" => %settlement.task,
                    "attempt" => settlement.attempt.0, "reason" => "the attempt is no longer ours");
                continue;
            };
            self.tell_settled(&settlement, *state, ctx);
            changes.push((settlement.task, *state));
        }
        self.events.publish(changes);
        if !awaited.is_empty() {
            self.wake_dependents(awaited, ctx);
        }
        self.flush(ctx);
        self.serve(ctx);
    }

    /// The outcome is written, or never will be.
    fn tell_written(&mut self, settlement: &Settlement) {
        let key = (settlement.task, settlement.attempt);
        if let Some(tell) = self.told_when_written.remove(&key) {
            // Whoever asked may be gone.
            tell.send(()).unwrap_or_default();
        }
    }

    pub(super) fn tell_settled(
        &mut self,
        settlement: &Settlement,
        state: TaskState,
        ctx: &mut Context<Self>,
    ) {
        self.metrics.attempt_ended(&settlement.outcome);
        debug!(self.log, "attempt settled"; "task" => %settlement.task,
            "attempt" => settlement.attempt.0, "event" => settlement.outcome.as_str(), "to" => %state);
        match state {
            TaskState::Pending => self.wake_all(),
            TaskState::Scheduled
                if matches!(settlement.event, TaskEvent::FailedForNow | TaskEvent::Snoozed) =>
            {
                self.due_in(settlement.retry_after, ctx);
            }
            _ => {}
        }
    }

    pub(super) fn settle_failed(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        warn!(self.log, "settling outcomes failed"; "error" => %Chain(error),
            "count" => self.settling.len(), "recovery" => ?error.recovery());
        if matches!(error, StoreError::Silent { .. }) {
            self.settling.silent();
        }
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

    pub(super) fn tell_if_quiet(&mut self) {
        if self.settling.len() > 0 || self.claims_under_way > 0 {
            return;
        }
        let at_work = !self.running.is_empty() || self.dispatch.buffered().next().is_some();
        let quiet = if at_work { Vec::new() } else { std::mem::take(&mut self.quiet) };
        for tell in self.settled.drain(..).chain(quiet) {
            // Whoever asked may have stopped waiting.
            tell.send(()).unwrap_or_default();
        }
    }
}
