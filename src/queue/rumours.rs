//! Notices that tasks were called off: they end no attempt by themselves.
//!
//! Whoever may connect to the database can send one, also a role that may do nothing else. So it is
//! looked into the table before an agent is stopped: by one statement at a time, however many come.

use actix::prelude::*;
use slog::debug;

use super::actor::QueueActor;
use crate::{domain::TaskId, store::hosts, telemetry::Chain};

/// What was heard, and is being looked into.
#[derive(Debug, Default)]
pub(super) struct Rumours {
    /// A look is under way.
    asking: bool,
    /// More was heard since it was sent.
    again: bool,
}

impl QueueActor {
    /// It is said that `task` was called off.
    pub(super) fn said_to_be_called_off(&mut self, task: TaskId, ctx: &mut Context<Self>) {
        if self.dispatch.holder(task).is_some() {
            self.look_for_called_off(ctx);
        }
    }

    fn look_for_called_off(&mut self, ctx: &mut Context<Self>) {
        // Without a lease everything is stopped anyway.
        let Some(host) = self.lease.host() else { return };
        if std::mem::replace(&mut self.rumours.asking, true) {
            self.rumours.again = true;
            return;
        }
        let (store, limit) = (self.store.clone(), self.patience());
        let look =
            async move { store.within(limit, async |db| hosts::called_off(db, host).await).await };
        ctx.spawn(look.into_actor(self).map(|found, this, ctx| {
            let more = std::mem::take(&mut this.rumours).again;
            match found {
                Ok(tasks) => tasks.into_iter().for_each(|task| this.cancel_here(task)),
                // The next renewal of the lease tells of them, too.
                Err(error) => debug!(this.log, "looking for what was called off failed";
                    "error" => %Chain(&error)),
            }
            if more {
                this.look_for_called_off(ctx);
            }
        }));
    }
}
