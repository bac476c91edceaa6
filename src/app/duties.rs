//! What the leader among the hosts does.

use std::{rc::Rc, sync::Arc};

use slog::Logger;
use uuid::Uuid;

use crate::{
    audit::Audit,
    domain::leadership::Pace,
    history::retention,
    janitor::{self, JanitorHandle},
    queue::QueueHandle,
    sessions::KEPT,
    settings,
    store::Store,
    telemetry::{Component, component, metrics::Metrics},
};

/// Starts the janitor with the duties of the leader among the hosts.
pub(super) fn start_janitor(
    log: &Logger,
    store: &Store,
    slot: Uuid,
    (pace, history): (Pace, &settings::History),
    (queue, audit): (&QueueHandle, &Audit),
    metrics: &Arc<Metrics>,
) -> JanitorHandle {
    let log = component(log, Component::Janitor);
    let for_ends = queue.clone();
    let ended: janitor::OnEnd = Rc::new(move |ended| for_ends.publish(ended));
    let for_deeds = audit.clone();
    let did: janitor::OnDeed = Rc::new(move |who, operation, object, outcome| {
        for_deeds.note_of_part(who, operation, object, outcome);
    });
    let for_terms = queue.clone();
    let terms: janitor::TermsNow = Rc::new(move || for_terms.terms());
    let duties = vec![
        janitor::lost_hosts(log.clone()),
        janitor::ended_pauses(log.clone()),
        janitor::fire_schedules(log.clone(), terms, (ended.clone(), did.clone()), metrics.clone()),
        janitor::expire_tasks(log.clone(), ended.clone(), metrics.clone()),
        janitor::carry_out_plans(log.clone(), ended, did),
        janitor::forget_receipts(KEPT),
        janitor::forget_audit(history.audit),
        janitor::forget_starts(),
        retention::duty::duty(store.clone(), history, log.clone(), metrics.clone()),
    ];
    let (store, queue) = (store.clone(), queue.clone());
    let wake = Box::new(move |queues| queue.wake(queues));
    JanitorHandle::start(janitor::Launch { log, store, slot, pace, duties, wake })
}
