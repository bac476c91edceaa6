//! What the actor is told.

use actix::prelude::*;
use futures_util::{FutureExt as _, TryFutureExt as _};
use slog::debug;

use super::{
    actor::QueueActor,
    messages::{
        Append, CancelHere, Close, DueIn, Ended, FromAgent, Halt, Holders, Reason, ReportTo,
        ServeFleets, Standing, TellWhenQuiet, TellWhenSettled, Wake,
    },
};
use crate::{
    rounds,
    store::{StoreError, listen::Notice, log, notify::News, tasks},
    telemetry::Chain,
};

/// How many connections are warm when the first task comes: for a submit, an end and a claim at a time.
const WARM: usize = 3;

impl Actor for QueueActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
        self.look_in_rounds(ctx);
        self.plan_lease(ctx);
        if let Some(notices) = self.notices.take() {
            ctx.add_stream(futures_util::stream::unfold(notices, |mut notices| async {
                notices.recv().await.map(|notice| (notice, notices))
            }));
        }
        self.warm(ctx);
        self.promote(ctx);
    }
}

impl QueueActor {
    /// Has some connections planned for what tasks wait for, before one does. One after another, for there is
    /// much else to do at a start.
    fn warm(&self, ctx: &mut Context<Self>) {
        let (store, logger) = (self.store.clone(), self.log.clone());
        let warm = async move {
            let mut cold = Vec::new();
            while cold.len() < WARM.min(store.pool_status().max) {
                cold.push(store.client().await?);
            }
            for client in cold {
                log::warm(&client).await?;
                tasks::warm(&client).await?;
            }
            Ok::<(), StoreError>(())
        };
        // Whatever is wrong, whoever needs a connection finds it too, and says so.
        let told = warm.map_err(move |error| debug!(logger, "not warm"; "error" => %Chain(&error)));
        ctx.spawn(told.map(drop).into_actor(self));
    }

    /// Polls from now on.
    fn look_in_rounds(&self, ctx: &mut Context<Self>) {
        ctx.run_later(rounds::wait(self.poll), |this, ctx| {
            this.look(ctx);
            this.look_in_rounds(ctx);
        });
    }
}

impl StreamHandler<Notice> for QueueActor {
    fn handle(&mut self, notice: Notice, ctx: &mut Self::Context) {
        match notice {
            Notice::Woken(Some(queue)) => self.woken(&queue),
            Notice::Woken(None) => {
                self.dispatch.wake(None);
                self.chooser.plain(None);
                self.look_again(ctx);
            }
            Notice::Freed => self.freed(),
            Notice::Cancelled(task) => self.said_to_be_called_off(task, ctx),
            // Whatever was said while the line was down was missed.
            Notice::Reconnected => return self.look(ctx),
        }
        self.serve(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // The listener ends with the host only; the poll goes on without it.
        debug!(self.log, "listener ended");
    }
}

impl Handler<FromAgent> for QueueActor {
    type Result = ();

    fn handle(&mut self, message: FromAgent, ctx: &mut Self::Context) {
        match message {
            FromAgent::Ready { fleet, agent, window, to } => {
                self.agents.insert(agent.clone(), to);
                self.dispatch.offer(&fleet, agent, window);
                self.serve(ctx);
            }
            FromAgent::Withdraw { fleet, agent } => self.dispatch.withdraw(&fleet, &agent),
            FromAgent::Ended(ends) => {
                for Ended { task, attempt, outcome, written } in ends {
                    if self.dispatch.ended(task, attempt) {
                        if let Some(written) = written {
                            self.told_when_written.insert((task, attempt), written);
                        }
                        self.ended(task, outcome);
                    }
                }
                self.flush(ctx);
                self.serve(ctx);
            }
            FromAgent::Resumed { agent, to } => {
                self.agents.insert(agent, to);
            }
            FromAgent::Gone { fleet, agent, outcome } => {
                self.dispatch.withdraw(&fleet, &agent);
                self.agents.remove(&agent);
                self.lost(&agent, outcome);
                self.flush(ctx);
            }
        }
    }
}

impl Handler<Append> for QueueActor {
    type Result = ();

    fn handle(&mut self, Append: Append, ctx: &mut Self::Context) {
        self.append(ctx);
    }
}

impl Handler<Holders> for QueueActor {
    type Result = MessageResult<Holders>;

    fn handle(&mut self, Holders(tasks): Holders, _: &mut Self::Context) -> Self::Result {
        let holder = |task| self.dispatch.holder(task).map(|(agent, _)| agent.clone());
        MessageResult(tasks.into_iter().map(holder).collect())
    }
}

impl Handler<Wake> for QueueActor {
    type Result = ();

    fn handle(&mut self, Wake { queues, reason }: Wake, ctx: &mut Self::Context) {
        for queue in &queues {
            // What comes in this way was written into the table of tracked tasks. That no plain ones wait
            // spares the claims that would look for them first.
            match reason {
                Reason::Plain | Reason::Needing => self.dispatch.wake_tracked(queue),
                Reason::Changed => self.dispatch.wake(Some(queue)),
            }
            self.chooser.plain(Some(queue));
            if reason == Reason::Needing {
                self.chooser.wake(Some(queue));
            }
        }
        if reason == Reason::Changed {
            self.chooser.wake(None);
            self.freed();
            self.announce.insert(News::Freed);
        }
        self.serve(ctx);
        self.announce.extend(queues.into_iter().map(News::Work));
        self.announce(ctx);
    }
}

impl Handler<DueIn> for QueueActor {
    type Result = ();

    fn handle(&mut self, DueIn(wait): DueIn, ctx: &mut Self::Context) {
        self.due_in(wait, ctx);
    }
}

impl Handler<CancelHere> for QueueActor {
    type Result = ();

    fn handle(&mut self, CancelHere(task): CancelHere, _: &mut Self::Context) {
        self.cancel_here(task);
    }
}

impl Handler<ReportTo> for QueueActor {
    type Result = ();

    fn handle(&mut self, ReportTo(watcher): ReportTo, _: &mut Self::Context) {
        self.watcher = Some(watcher);
    }
}

impl Handler<ServeFleets> for QueueActor {
    type Result = ();

    fn handle(&mut self, serve: ServeFleets, ctx: &mut Self::Context) {
        let ServeFleets { fleets, terms } = serve;
        self.terms = terms;
        self.chooser.serve(&fleets);
        self.dispatch.serve(fleets);
        self.look(ctx);
    }
}

impl Handler<Close> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        self.open = false;
        for assignment in self.dispatch.unclaim() {
            self.put_back(&assignment, ctx);
        }
    }
}

impl Handler<TellWhenQuiet> for QueueActor {
    type Result = ();

    fn handle(&mut self, TellWhenQuiet(tell): TellWhenQuiet, _: &mut Self::Context) {
        self.quiet.push(tell);
        self.tell_if_quiet();
    }
}

impl Handler<TellWhenSettled> for QueueActor {
    type Result = ();

    fn handle(&mut self, TellWhenSettled(tell): TellWhenSettled, _: &mut Self::Context) {
        self.settled.push(tell);
        self.tell_if_quiet();
    }
}

impl Handler<Halt> for QueueActor {
    type Result = MessageResult<Halt>;

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) -> Self::Result {
        ctx.stop();
        MessageResult(self.host.id)
    }
}

impl Handler<Standing> for QueueActor {
    type Result = Result<(), String>;

    fn handle(&mut self, _: Standing, _: &mut Self::Context) -> Self::Result {
        match self.lease.host() {
            Some(_) if !self.open => Err("the host is stopping".to_owned()),
            Some(_) => Ok(()),
            None => Err("the lease is lost; a new one is asked for".to_owned()),
        }
    }
}
