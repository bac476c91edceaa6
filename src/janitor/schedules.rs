//! The duty that fires schedules.

use std::{collections::BTreeSet, rc::Rc, sync::Arc, time::Duration};

use slog::{Logger, info, warn};

use super::{Done, Duty, Leading, OnDeed, OnEnd};
use crate::{
    domain::{
        audit::Outcome, leadership::Matter, retry::AllQueueTerms, schedule::FiringOutcome,
        task::TaskState,
    },
    store::{
        StoreError,
        schedules::{self, DueTime, Fired},
    },
    telemetry::metrics::Metrics,
};

/// How often schedules are looked for though the database did not say that it is time.
const LOOK: Duration = Duration::from_secs(60);
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The wait before another look at what could not be fired just now: another host holds it.
const SOON: Duration = Duration::from_millis(50);

/// Tells what this host gives tasks that do not say otherwise, as it is now.
pub type TermsNow = Rc<dyn Fn() -> Arc<AllQueueTerms>>;

/// Submits the tasks of the schedules whose time has come, in the moment in which it comes.
///
/// `terms` tells what they are given that the schedules do not say.
pub fn fire_schedules(
    log: Logger,
    terms: TermsNow,
    (ended, did): (OnEnd, OnDeed),
    metrics: Arc<Metrics>,
) -> Duty {
    let firing = Rc::new(Firing { log, terms, ended, did, metrics });
    let duty = Duty::new("schedules", LOOK, move |leading| {
        let firing = firing.clone();
        async move { firing.look(&leading).await }
    });
    duty.on(Matter::Schedules)
}

/// What a look needs.
struct Firing {
    log: Logger,
    terms: TermsNow,
    ended: OnEnd,
    did: OnDeed,
    metrics: Arc<Metrics>,
}

impl Firing {
    async fn look(&self, leading: &Leading) -> Result<Done, StoreError> {
        // One cheap statement, as long as nothing is due.
        let look = async |db: &_| schedules::next(db).await;
        let wait = leading.store().within(LIMIT, look).await?;
        if wait.is_none_or(|wait| !wait.is_zero()) {
            return Ok(Done { again_in: wait, ..Done::default() });
        }
        let terms = (self.terms)();
        let fired = leading.fenced(LIMIT, async |db| schedules::fire_due(db, &terms).await).await?;
        // Another host leads by now.
        let Some(fired) = fired else { return Ok(Done::default()) };
        self.tell(&fired);
        self.record(&fired);
        let wait = match fired.more {
            true => Some(Duration::ZERO),
            false => leading.store().within(LIMIT, look).await?,
        };
        let woken: BTreeSet<_> = fired.submitted.into_iter().map(|(queue, _)| queue).collect();
        Ok(Done { woken: woken.into_iter().collect(), again_in: wait.map(|wait| wait.max(SOON)) })
    }

    /// Records what schedules changed; one that passed a due time over changed nothing.
    fn record(&self, fired: &Fired) {
        for one in &fired.outcomes {
            let who = format!("schedule:{}", one.schedule);
            let task = one.task.map(|task| task.to_string()).unwrap_or_default();
            match one.outcome {
                FiringOutcome::Fired => (self.did)(who, "schedules.fire", task, Outcome::Done),
                FiringOutcome::Failed => (self.did)(who, "schedules.fire", task, Outcome::Failed),
                FiringOutcome::Missed | FiringOutcome::Skipped | FiringOutcome::ByHand => {}
            }
        }
        for (schedule, task) in &fired.replaced {
            let who = format!("schedule:{schedule}");
            (self.did)(who, "tasks.cancel", task.to_string(), Outcome::Done);
        }
        for (schedule, _) in &fired.unreadable {
            let who = format!("schedule:{schedule}");
            (self.did)(who, "schedules.pause", schedule.to_string(), Outcome::Done);
        }
    }

    fn tell(&self, fired: &Fired) {
        self.metrics.submitted(fired.submitted.len());
        for DueTime { schedule, outcome, .. } in &fired.outcomes {
            self.metrics.schedule_fired(*outcome);
            match outcome {
                FiringOutcome::Failed | FiringOutcome::Missed => {
                    warn!(self.log, "due time without a task"; "schedule" => %schedule,
                        "event" => outcome.as_str());
                }
                _ => info!(self.log, "due time of a schedule"; "schedule" => %schedule,
                    "event" => outcome.as_str()),
            }
        }
        for (schedule, problem) in &fired.unreadable {
            warn!(self.log, "schedule paused, because it can't be read"; "schedule" => %schedule,
                "reason" => problem);
        }
        let cancelled = fired.cancelled.iter().map(|task| (*task, TaskState::Cancelled));
        (self.ended)(cancelled.collect());
    }
}
