//! How the actor keeps the lease of its host, and what it does without one.

use actix::prelude::*;
use slog::{error, info, warn};
use tokio::time::Instant;
use uuid::Uuid;

use super::{actor::QueueActor, lease::Due, messages::QueueReport};
use crate::{
    domain::{HostId, lease},
    rounds,
    store::{StoreError, hosts},
    telemetry::Chain,
};

impl QueueActor {
    /// Looks after the lease when that is due next.
    pub(super) fn plan_lease(&mut self, ctx: &mut Context<Self>) {
        if let Some(look) = self.lease_look.take() {
            ctx.cancel_future(look);
        }
        let rest = self.lease.rest(Instant::now(), rounds::wait(self.lease.round()));
        self.lease_look = Some(ctx.run_later(rest, Self::tend_lease));
    }

    fn tend_lease(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        if self.lease.is_lost() && self.running.is_empty() {
            // Agents that are at nothing may wait for a new lease; that this host lives is all they need.
            let length = self.lease.length();
            (self.on_lease)(now + lease::safe(length), now + lease::frozen(length));
        }
        match self.lease.due(now, rounds::wait(self.lease.round())) {
            Due::Nothing => {}
            Due::Renew(host) => self.renew(host, ctx),
            Due::GiveUp => self.lose_lease("it could not be renewed in time", ctx),
            // Asking for a new id puts the old one's tasks back: not before nothing runs here any
            // longer, and what ended is written, which may still count under the old id.
            Due::Register if self.running.is_empty() && self.settling.len() == 0 => {
                self.register(ctx);
            }
            Due::Register => self.lease.unanswered(),
        }
        self.plan_lease(ctx);
    }

    /// The request under way failed: another follows soon.
    fn unanswered(&mut self, ctx: &mut Context<Self>) {
        self.lease.unanswered();
        if let Some(look) = self.lease_look.take() {
            ctx.cancel_future(look);
        }
        let soon = lease::look_every(self.lease.length());
        self.lease_look = Some(ctx.run_later(soon, Self::tend_lease));
    }

    pub(super) fn renew(&mut self, host: HostId, ctx: &mut Context<Self>) {
        let (store, length, sent) = (self.store.clone(), self.lease.length(), Instant::now());
        let limit = lease::renew_every(length);
        let send = async move {
            store.within(limit, async |db| hosts::renew(db, host, length).await).await
        };
        ctx.spawn(send.into_actor(self).map(move |result, this, ctx| match result {
            Ok(Some(called_off)) => {
                this.lease.renewed(host, sent);
                this.plan_lease(ctx);
                (this.on_lease)(this.lease.safe_until(), this.lease.frozen_at());
                for task in called_off {
                    this.cancel_here(task);
                }
            }
            Ok(None) => {
                if this.lease.refused(host) {
                    this.lose_lease("another host took it for lost", ctx);
                }
            }
            Err(error) => {
                warn!(this.log, "renewing the lease failed"; "error" => %Chain(&error));
                this.unanswered(ctx);
            }
        }));
    }

    pub(super) fn lose_lease(&mut self, reason: &str, ctx: &mut Context<Self>) {
        error!(self.log, "lease lost"; "host" => %self.host.id, "reason" => reason,
            "count" => self.running.len());
        if let Some(watcher) = &self.watcher {
            let at_work = self.running.values().map(|work| work.assignment.agent.clone()).collect();
            watcher.do_send(QueueReport::LeaseLost { at_work });
        }
        // Should it be frozen now, before they are ended, this is done for it in time.
        let stopped = Instant::now() + lease::stopping(self.lease.length());
        (self.on_lease)(self.lease.safe_until(), stopped);
        // It goes back with the lease.
        self.dispatch.unclaim();
        self.flush(ctx);
        self.plan_lease(ctx);
    }

    /// Asks for a new lease under a new id.
    pub(super) fn register(&mut self, ctx: &mut Context<Self>) {
        let mut host = self.host.clone();
        host.id = HostId::from_uuid(Uuid::now_v7());
        let (store, limit) = (self.store.clone(), self.patience());
        let send = async move {
            let register = async |db: &_| {
                // Another id may have been asked for before, in vain as far as is known here.
                store.sever(db).await?;
                let sent = Instant::now();
                Ok((hosts::register(db, &host).await?, sent))
            };
            let (returned, sent) = store.within(limit, register).await?;
            Ok::<_, StoreError>((host, returned, sent))
        };
        ctx.spawn(send.into_actor(self).map(|result, this, ctx| match result {
            Ok((host, returned, sent)) => {
                info!(this.log, "lease registered anew"; "host" => %host.id,
                    "count" => returned.len());
                this.lease.granted(host.id, sent);
                this.plan_lease(ctx);
                (this.on_lease)(this.lease.safe_until(), this.lease.frozen_at());
                this.host = host;
                this.plain.forget_claims();
                this.wake_all();
                this.serve(ctx);
            }
            Err(error) => {
                warn!(this.log, "registering the host failed"; "error" => %Chain(&error));
                this.unanswered(ctx);
            }
        }));
    }
}
