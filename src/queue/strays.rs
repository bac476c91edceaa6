//! Claims whose answers got lost: what they took is held by this host, and known to nobody here.

use actix::prelude::*;
use slog::{info, warn};

use super::actor::{QueueActor, RETRY};
use crate::{domain::TaskId, store::hosts, telemetry::Chain};

impl QueueActor {
    /// What a claim took whose answer was lost is put back before the next claim.
    pub(super) fn look_for_strays(&mut self, ctx: &mut Context<Self>) {
        // One look for strays at a time: a second one, sent before the next claim and carried out
        // after it, would put back what that claim took.
        if !std::mem::replace(&mut self.uncertain, true) {
            let wait = self.backoff();
            ctx.run_later(wait, Self::put_back_strays);
        }
    }

    /// Puts back what a lost claim took: held by this host, and known to nobody here.
    pub(super) fn put_back_strays(&mut self, ctx: &mut Context<Self>) {
        let Some(host) = self.lease.host() else {
            // Registering anew puts back everything.
            self.uncertain = false;
            return;
        };
        // A submit may claim, too.
        if self.claims_under_way > 0 || self.plain.is_appending() {
            ctx.run_later(RETRY.0, Self::put_back_strays);
            return;
        }
        let known: Vec<TaskId> = self
            .running
            .keys()
            .copied()
            .chain(self.settling.tasks())
            .chain(self.dispatch.buffered())
            .collect();
        let store = self.store.clone();
        let limit = self.patience();
        let send = async move {
            let put_back = async |db: &_| {
                // The claim whose answer got lost may not have been carried out yet.
                store.sever(db).await?;
                hosts::put_back_strays(db, host, &known).await
            };
            store.within(limit, put_back).await
        };
        ctx.spawn(send.into_actor(self).map(|result, this, ctx| match result {
            Ok(returned) => {
                if !returned.is_empty() {
                    info!(this.log, "tasks of a lost claim put back"; "count" => returned.len());
                }
                this.uncertain = false;
                this.dispatch.wake(None);
                this.serve(ctx);
            }
            Err(error) => {
                warn!(this.log, "looking for lost claims failed"; "error" => %Chain(&error));
                let wait = this.backoff();
                ctx.run_later(wait, Self::put_back_strays);
            }
        }));
    }
}
