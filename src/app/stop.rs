//! Takes a host down, top down: no new claims, agents, outcomes, API, keeper, database.

use std::time::Duration;

use slog::{Logger, info, warn};

use super::start::Running;
use crate::{
    domain::audit::{Outcome, Surface},
    embedded::Postgres,
};

/// How long outcomes may take to be written once no agent runs.
pub(super) const FINISH: Duration = Duration::from_secs(20);

/// How long webhooks that are on their way may take; the rest is given back.
const SENDS_WITHIN: Duration = Duration::from_secs(2);

const UNWRITTEN: &str = "outcomes could not be written; their tasks will run again";

/// How a host is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Running tasks may finish within `host.drain_grace`; the rest go back to their queues.
    Drain,
    /// Agents are killed; their tasks go back to their queues.
    Now,
}

impl Running {
    /// Stops the host. `hurry` resolves when somebody asks a second time: then agents are killed.
    /// Returns whether every outcome was written.
    pub async fn stop(self, stop: Stop, hurry: impl Future<Output = ()>) -> bool {
        info!(self.log, "host stopping"; "reason" => ?stop);
        self.queue.close();
        if stop == Stop::Drain {
            tokio::select! {
                () = self.supervisor.drain(self.settings.host.drain_grace) => {}
                () = hurry => {
                    warn!(self.log, "asked to stop a second time: agents are killed");
                    self.supervisor.kill_all().await;
                }
            }
        } else {
            self.supervisor.kill_all().await;
        }
        self.janitor.stop().await;
        let written = self.queue.finish(FINISH).await;
        if !written {
            warn!(self.log, "{UNWRITTEN}");
        }
        self.webhooks.stop(SENDS_WITHIN).await;
        self.http.stop(true).await;
        self.access.finish().await;
        let name = &self.settings.host.name;
        self.audit.note_of_host(Surface::Host, "host.stop", name, Outcome::Done);
        self.audit.finish().await;
        self.keeper.shutdown().await;
        drop(self.listener);
        self.store.close();
        let clean = stop_postgres(self.postgres, &self.log).await;
        drop(self.lock);
        info!(self.log, "host stopped");
        written && clean
    }

    /// Brings the host to where another program can go on with it: nothing is claimed, every outcome
    /// that was heard is written, the agents go on with the keeper. Where `drained`, they end their
    /// attempts first, and leave; `hurry` resolves when somebody asks for more haste. Returns whether
    /// all was written.
    ///
    /// After it this process must become another program, or end: then the agents end, too.
    pub(super) async fn hand_over(self, drained: bool, hurry: impl Future<Output = ()>) -> bool {
        if drained {
            return self.stop(Stop::Drain, hurry).await;
        }
        info!(self.log, "host hands over");
        self.queue.close();
        self.supervisor.hand_over().await;
        let written = self.queue.hand_over(FINISH).await;
        if !written {
            warn!(self.log, "{UNWRITTEN}");
        }
        self.janitor.stop().await;
        self.webhooks.stop(SENDS_WITHIN).await;
        self.http.stop(true).await;
        self.access.finish().await;
        self.audit.finish().await;
        drop(self.listener);
        self.store.close();
        stop_postgres(self.postgres, &self.log).await;
        info!(self.log, "host handed over");
        // When the last of these is dropped, the agents end.
        std::mem::forget((self.keeper, self.supervisor, self.queue, self.reloader, self.lock));
        written
    }
}

/// Stops the private Postgres, if there is one. Returns whether it came to rest.
async fn stop_postgres(postgres: Option<Postgres>, log: &Logger) -> bool {
    let Some(postgres) = postgres else { return true };
    let stopped = postgres.stop().await;
    if let Err(error) = &stopped {
        warn!(log, "the private Postgres did not stop cleanly"; "error" => %error);
    }
    stopped.is_ok()
}
