//! Gives fleets the size that the wait of their tasks asks for: [`autoscale::decide`] judges, this
//! looks and carries out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use slog::{Logger, info, warn};
use tokio::sync::watch;

use crate::{
    audit::Audit,
    domain::{
        FleetName,
        agent::AgentState,
        audit::{Outcome, Surface},
        autoscale::{self, Look, Memory, Policy},
        fleet::Fleet,
        record::FleetRecord,
    },
    heartbeat::Clock,
    queue::QueueHandle,
    settings::Settings,
    supervisor::SupervisorHandle,
};

/// The shortest and the longest time between two looks.
const LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Starts to look after the fleets that are to be scaled, for as long as the host runs. Where there are
/// none, nothing is looked at.
pub(super) fn start(
    (log, audit): (Logger, Audit),
    settings: watch::Receiver<Arc<Settings>>,
    queue: QueueHandle,
    supervisor: SupervisorHandle,
    clock: Clock,
) {
    let scaler = Scaler { log, audit, queue, supervisor, clock, memories: BTreeMap::new() };
    actix::spawn(scaler.run(settings));
}

struct Scaler {
    log: Logger,
    audit: Audit,
    queue: QueueHandle,
    supervisor: SupervisorHandle,
    clock: Clock,
    memories: BTreeMap<FleetName, (u16, Memory)>,
}

impl Scaler {
    async fn run(mut self, mut settings: watch::Receiver<Arc<Settings>>) {
        loop {
            let now = settings.borrow_and_update().clone();
            let scaled: Vec<(&Fleet, Policy)> =
                now.fleets.iter().filter_map(|fleet| Some((fleet, fleet.scale?))).collect();
            let changed = match scaled.iter().map(|(_, policy)| look_every(policy)).min() {
                None => settings.changed().await.map(drop),
                Some(every) => {
                    // A supervisor that does not answer: the host is ending.
                    let Ok(fleets) = self.supervisor.fleets().await else { return };
                    for (fleet, policy) in &scaled {
                        let record = fleets.iter().find(|record| record.name == fleet.name);
                        if let Some(record) = record {
                            self.look(fleet, policy, record).await;
                        }
                    }
                    match tokio::time::timeout(every, settings.changed()).await {
                        Ok(changed) => changed,
                        Err(_) => Ok(()),
                    }
                }
            };
            // Nobody is left who could change the settings: the host is ending.
            if changed.is_err() {
                return;
            }
        }
    }

    async fn look(&mut self, fleet: &Fleet, policy: &Policy, record: &FleetRecord) {
        // Without Postgres there is nothing to judge by.
        let Ok(oldest) = self.queue.oldest(&fleet.queues).await else { return };
        let in_state = |state| record.states.get(&state).copied().unwrap_or(0);
        let look = Look {
            count: record.count,
            idle: in_state(AgentState::Idle),
            starting: in_state(AgentState::Starting),
            oldest,
        };
        let now = self.clock.now();
        let (count, memory) = self.memories.entry(fleet.name.clone()).or_default();
        if *count != record.count && *count != 0 {
            memory.changed(now);
        }
        *count = record.count;
        let Some(wanted) = autoscale::decide(policy, memory, &look, now) else { return };
        *count = wanted;
        let waited = oldest.map_or_else(
            || "nothing waits".to_owned(),
            |oldest| format!("the oldest task has waited {} ms", oldest.as_millis()),
        );
        let reason = format!("{waited}, {} of its agents are idle", look.idle);
        info!(self.log, "fleet is scaled by its load"; "fleet" => %fleet.name,
            "from" => look.count, "to" => wanted, "reason" => reason);
        let scaled = self.supervisor.scale(fleet.name.clone(), wanted).await;
        let outcome = if scaled.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.audit.note_of_host(Surface::Host, "fleets.scale", fleet.name.as_str(), outcome);
        if let Err(error) = scaled {
            warn!(self.log, "fleet could not be scaled"; "fleet" => %fleet.name, "error" => %error);
        }
    }
}

/// How often it is looked, so that what the policy waits for is seen in time.
fn look_every(policy: &Policy) -> Duration {
    (policy.up_after.min(policy.down_after) / 4).clamp(LOOKS.0, LOOKS.1)
}
