//! When the actor looks though nobody said anything: often while somebody is to be told, seldom else.

use std::time::Duration;

use actix::prelude::*;

use super::actor::{LIMIT, WebhookActor};
use crate::{rounds, store::webhooks};

/// How often steps of other hosts, and what is due, are looked for.
const LOOK: Duration = Duration::from_millis(625);

/// How often it is looked whether there is somebody to be told by now.
const REST: Duration = Duration::from_secs(5);

/// How often what ended long ago is deleted, and how far the feed has come is noted though nobody is told.
const PRUNE: Duration = Duration::from_secs(60);

impl WebhookActor {
    /// Looks from now on.
    pub(super) fn begin_to_look(&mut self, ctx: &mut Context<Self>) {
        self.plan_look(ctx);
        ctx.run_later(rounds::wait(PRUNE), Self::tidy);
    }

    fn tidy(&mut self, ctx: &mut Context<Self>) {
        self.prune(ctx);
        self.decide(ctx);
        ctx.run_later(rounds::wait(PRUNE), Self::tidy);
    }

    /// Plans the next look, unless it is planned already and comes soon enough.
    pub(super) fn plan_look(&mut self, ctx: &mut Context<Self>) {
        let rests = self.nobody;
        if let Some((look, rested)) = self.next_look {
            if rested == rests || rests {
                return;
            }
            ctx.cancel_future(look);
        }
        let wait = rounds::wait(if rests { REST } else { LOOK });
        let look = ctx.run_later(wait, move |this, ctx| {
            this.next_look = None;
            if rests && this.nobody {
                this.peek(ctx);
            } else {
                this.decide(ctx);
                this.claim(ctx);
            }
            this.plan_look(ctx);
        });
        self.next_look = Some((look, rests));
    }

    /// Looks whether there is anything to do, by one statement in place of all that it takes.
    fn peek(&self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let look =
            async move { store.within(LIMIT, async |db| webhooks::is_quiet(db).await).await };
        ctx.spawn(look.into_actor(self).map(|quiet, this, ctx| match quiet {
            Ok(true) => {}
            Ok(false) => {
                this.decide(ctx);
                this.claim(ctx);
            }
            Err(error) => this.away(&error),
        }));
    }
}
