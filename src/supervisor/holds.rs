//! Why agents are held: the machine has too little left, or their fleet fails too often. What is decided
//! stands in [`domain::floors`](crate::domain::floors) and [`domain::storm`](crate::domain::storm).

use std::{path::PathBuf, time::Duration};

use actix::prelude::*;
use slog::{info, warn};

use super::{actor::SupervisorActor, machine};
use crate::{
    domain::{
        FleetName, Millis,
        agent::Hold,
        event::{HostWord, News},
        fleet::Fleet,
        floors::{self, Floors, Machine, Shortage},
        restart::millis,
        storm::{Answer, Failures},
    },
    rounds,
    settings::{Host, HostFloors},
};

/// The floors of a host, and where its data is.
#[derive(Debug, Clone)]
pub struct Guard {
    floors: Floors,
    every: Duration,
    data_dir: PathBuf,
    first: Machine,
}

impl Guard {
    /// Looks at the machine for the first time: before that, nothing may start.
    pub async fn of(host: &Host) -> Self {
        let HostFloors { floors, look: every } = host.floors;
        let (data_dir, dir) = (host.data_dir.clone(), host.data_dir.clone());
        let look = tokio::task::spawn_blocking(move || machine::look(&dir)).await;
        // A look that panicked found nothing out, and holds nothing up.
        Self { floors, every, data_dir, first: look.unwrap_or_default() }
    }

    /// Without a floor.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        let (floors, first) = (Floors::default(), Machine::default());
        Self { floors, every: Duration::from_secs(3600), data_dir: PathBuf::from("/"), first }
    }
}

/// What holds agents now.
#[derive(Debug, Default)]
pub(super) struct Holds {
    shortage: Option<Shortage>,
    storms: std::collections::BTreeMap<FleetName, Storm>,
}

#[derive(Debug, Default)]
struct Storm {
    failures: Failures,
    hold: Option<(Hold, String)>,
    /// When that ends, if it ends by itself.
    until: Option<Millis>,
}

impl Holds {
    /// Why agents of `fleet` are held. A fleet that was given up is so whatever the machine has left.
    pub(super) fn of(&self, fleet: &FleetName) -> Option<(Hold, String)> {
        let storm = self.storms.get(fleet).and_then(|storm| storm.hold.clone());
        match (storm, self.shortage) {
            (Some((Hold::Quarantine, why)), _) => Some((Hold::Quarantine, why)),
            (_, Some(shortage)) => Some((Hold::Wait, shortage.to_string())),
            (storm, None) => storm,
        }
    }
}

impl SupervisorActor {
    /// Looks at the machine from now on, if there is a floor.
    pub(super) fn guard_machine(&mut self, ctx: &mut Context<Self>) {
        if !self.guard.floors.is_any() {
            return;
        }
        self.machine_is(self.guard.first);
        self.look_at_machine_in_rounds(ctx);
    }

    fn look_at_machine_in_rounds(&self, ctx: &mut Context<Self>) {
        ctx.run_later(rounds::wait(self.guard.every), |this, ctx| {
            this.look_at_machine_in_rounds(ctx);
            let dir = this.guard.data_dir.clone();
            let look = tokio::task::spawn_blocking(move || machine::look(&dir));
            ctx.spawn(look.into_actor(this).map(|machine, this, _| {
                // A look that panicked changes nothing.
                if let Ok(machine) = machine {
                    this.machine_is(machine);
                }
            }));
        });
    }

    fn machine_is(&mut self, machine: Machine) {
        let was = self.holds.shortage;
        let shortage = floors::judge(&self.guard.floors, &machine, was);
        self.holds.shortage = shortage;
        self.around.metrics.starts_held(shortage.map(|shortage| shortage.cause()));
        let cause = |shortage: Option<Shortage>| shortage.map(|shortage| shortage.cause());
        if cause(was) == cause(shortage) {
            return;
        }
        match shortage {
            Some(shortage) => {
                warn!(self.log, "nothing is started for now"; "reason" => %shortage);
                self.tell(News::of_host(HostWord::HostHeld, Some(shortage.to_string())));
            }
            None => {
                info!(self.log, "agents are started again");
                self.tell(News::of_host(HostWord::HostResumed, None));
            }
        }
        let names: Vec<FleetName> = self.fleets.keys().cloned().collect();
        for fleet in names {
            self.tell_hold(&fleet);
        }
    }

    /// More processes of `fleet` have failed.
    pub(super) fn count_failures(&mut self, fleet: &Fleet, more: u64, ctx: &mut Context<Self>) {
        if more == 0 || self.closing {
            return;
        }
        let now = self.around.clock.now();
        let storm = self.holds.storms.entry(fleet.name.clone()).or_default();
        let Some(count) = storm.failures.add(&fleet.storm, more, now) else { return };
        let window = humantime::format_duration(fleet.storm.window);
        let failed = format!("its fleet failed {count} times within {window}");
        let (hold, reason) = match fleet.storm.then {
            Answer::Wait => {
                let wait = fleet.storm.wait;
                let until = now.saturating_add(millis(wait));
                storm.until = Some(until);
                let name = fleet.name.clone();
                ctx.run_later(wait, move |this, _| this.calm(&name, until));
                let wait = humantime::format_duration(wait);
                (Hold::Wait, format!("{failed}: nothing of it is started for {wait}"))
            }
            Answer::Quarantine => (Hold::Quarantine, failed),
        };
        warn!(self.log, "fleet fails too often"; "fleet" => %fleet.name, "reason" => &reason);
        storm.hold = Some((hold, reason.clone()));
        self.tell(News::of_fleet(HostWord::FleetHeld, &fleet.name, Some(reason)));
        self.tell_hold(&fleet.name);
    }

    /// The wait that was to end now is over, unless it is another by now.
    fn calm(&mut self, fleet: &FleetName, until: Millis) {
        let Some(storm) = self.holds.storms.get_mut(fleet) else { return };
        if storm.until == Some(until) {
            self.forgive(&fleet.clone());
        }
    }

    /// Forgets the failures of a fleet, as when an operator has one of its agents run again.
    pub(super) fn forgive(&mut self, fleet: &FleetName) {
        let Some(storm) = self.holds.storms.get_mut(fleet) else { return };
        storm.failures.clear();
        storm.until = None;
        if storm.hold.take().is_some() {
            info!(self.log, "fleet is started again"; "fleet" => %fleet);
            self.tell(News::of_fleet(HostWord::FleetResumed, fleet, None));
            self.tell_hold(fleet);
        }
    }

    /// Tells the agents of a fleet whether they are held.
    fn tell_hold(&self, fleet: &FleetName) {
        if self.closing {
            return;
        }
        let hold = self.holds.of(fleet);
        for entry in self.agents.iter().filter(|entry| entry.fleet.name == *fleet) {
            if let Some(handle) = &entry.handle {
                handle.hold(hold.clone());
            }
        }
    }
}
