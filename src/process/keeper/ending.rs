//! How a keeper ends.

use std::{io, time::Duration};

use slog::{info, warn};
use tokio::time::Instant;

use super::{Keeper, Stage, peer::Peer};

/// How long the end of all processes may take before the keeper ends without them.
const END_LIMIT: Duration = Duration::from_secs(10);

impl Keeper {
    /// Begins to end: at once, or after everything was asked to leave. Nobody gets more time than the last
    /// host gave: after it the attempts may be others'.
    pub(super) fn leave(&mut self, grace_ms: Option<u64>) {
        let now = Instant::now();
        let grace = grace_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
        match grace {
            Some(until) if !self.is_ending() => {
                let until = self.keep_until.map_or(until, |kept| until.min(kept));
                info!(self.log, "processes are asked to leave"; "count" => self.children.count());
                self.stage = Stage::Parting(until);
                self.children.ask_all();
            }
            Some(_) => {}
            None => self.end(),
        }
    }

    /// Begins to end: everything is killed.
    pub(super) fn end(&mut self) {
        if !matches!(self.stage, Stage::Ending(_)) {
            self.stage = Stage::Ending(Instant::now() + END_LIMIT);
            self.children.kill_all();
        }
    }

    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Parting(_) | Stage::Ending(_))
    }

    /// Whether the keeper may exit: nothing is left of any process, and the host knows.
    pub(super) fn is_over(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        if self.stage.limit().is_some_and(|limit| limit <= now) {
            let late = match self.stage {
                Stage::Orphaned(_) => Some("no host came in time"),
                Stage::Parting(_) => Some("processes did not leave in time"),
                Stage::New(_) | Stage::Served | Stage::Ending(_) => None,
            };
            if let Some(late) = late {
                warn!(self.log, "processes are killed"; "count" => self.children.count(),
                    "reason" => late);
                self.end();
                return Ok(false);
            }
            warn!(self.log, "keeper gives up waiting");
            return Ok(true);
        }
        Ok(self.is_ending()
            && self.children.is_empty()
            && self.children.end_orphans(now)?
            && !self.peer.as_ref().is_some_and(Peer::has_waiting))
    }
}
