//! The shell: carries out what `domain::leadership` decides.

use std::{collections::BTreeMap, fmt, rc::Rc, time::Duration};

use actix::prelude::*;
use slog::{Logger, debug, error, info, warn};
use tokio::{
    task::{AbortHandle, JoinError},
    time::Instant,
};
use uuid::Uuid;

use super::duty::{Done, Duty, Leading};
use crate::{
    domain::{
        Millis, QueueName,
        leadership::{Agenda, Ended, Matter, Pace, Standing, Term, round_after},
        restart,
    },
    rounds,
    store::{
        Store, StoreError,
        leader::{self, Leadership},
    },
    telemetry::Chain,
};

/// How long the answer to the question whether this host may lead is waited for. A new term begins
/// only when the work of the one before has ended.
const STAND_LIMIT: Duration = Duration::from_secs(30);

/// Hears which queues got work.
pub type Wake = Box<dyn Fn(Vec<QueueName>)>;

/// What a janitor is started with.
pub struct Launch {
    /// Where it logs.
    pub log: Logger,
    /// The database that the hosts share.
    pub store: Store,
    /// The identity of the data directory.
    pub slot: Uuid,
    /// How fast leaders beat and are given up.
    pub pace: Pace,
    /// What the leader does.
    pub duties: Vec<Duty>,
    /// Told which queues got work.
    pub wake: Wake,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, duties, .. } = self;
        f.debug_struct("Launch").field("slot", slot).field("duties", duties).finish_non_exhaustive()
    }
}

pub(super) struct JanitorActor {
    log: Logger,
    store: Store,
    slot: Uuid,
    pace: Pace,
    duties: Vec<Duty>,
    wake: Wake,
    origin: Instant,
    office: Office,
    next_look: Option<SpawnHandle>,
}

enum Office {
    /// Another host leads, or nobody does; this one asks again at that time.
    Following(Millis),
    /// Asking.
    Standing,
    /// This host leads.
    Leading(Tenure),
}

struct Tenure {
    right: Rc<Leadership>,
    /// When the last answered beat was sent.
    sent: Millis,
    beat: Option<SpawnHandle>,
    agenda: Agenda,
    at_work: BTreeMap<usize, AbortHandle>,
}

impl Drop for Tenure {
    fn drop(&mut self) {
        for run in self.at_work.values() {
            run.abort();
        }
    }
}

/// Ends the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Halt;

impl JanitorActor {
    pub(super) fn new(launch: Launch) -> Self {
        Self {
            log: launch.log,
            store: launch.store,
            slot: launch.slot,
            pace: launch.pace,
            duties: launch.duties,
            wake: launch.wake,
            origin: rounds::origin(),
            office: Office::Following(0),
            next_look: None,
        }
    }

    fn at(&self, instant: Instant) -> Millis {
        restart::millis(instant.saturating_duration_since(self.origin))
    }

    fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// Does what is due, and plans the next look.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        match &self.office {
            Office::Following(at) if *at <= now => self.stand(ctx),
            Office::Following(_) | Office::Standing => {}
            Office::Leading(tenure) => match self.pace.judge(tenure.sent, now) {
                _ if tenure.right.is_over() => self.resign("its connection ended", ctx),
                Standing::Lost => self.resign("the database did not answer in time", ctx),
                Standing::Due => {
                    self.beat(ctx);
                    self.work(ctx);
                }
                Standing::Held => self.work(ctx),
            },
        }
        self.plan(ctx);
    }

    fn plan(&mut self, ctx: &mut Context<Self>) {
        if let Some(handle) = self.next_look.take() {
            ctx.cancel_future(handle);
        }
        let at = match &self.office {
            Office::Following(at) => *at,
            // Its answer is the next thing that happens.
            Office::Standing => return,
            Office::Leading(tenure) => {
                let until = self.pace.next_look(tenure.sent, tenure.beat.is_some());
                tenure.agenda.next_due().map_or(until, |due| due.min(until))
            }
        };
        let at = self.origin + Duration::from_millis(at);
        let wait = at.saturating_duration_since(Instant::now());
        self.next_look = Some(ctx.run_later(wait, Self::look));
    }

    /// Asks for the right to lead.
    fn stand(&mut self, ctx: &mut Context<Self>) {
        self.office = Office::Standing;
        let (store, slot, silence) = (self.store.clone(), self.slot, self.pace.silence);
        let ask = async move { leader::stand(&store, slot, silence, STAND_LIMIT).await };
        ctx.spawn(ask.into_actor(self).map(|answer, this, ctx| {
            match answer {
                Ok(Some(right)) => this.lead(right),
                Ok(None) => this.follow(),
                Err(error) => {
                    debug!(this.log, "asking for the right to lead failed";
                        "error" => %Chain(&error));
                    this.follow();
                }
            }
            this.look(ctx);
        }));
    }

    fn follow(&mut self) {
        self.office = Office::Following(round_after(self.now(), self.pace.beat));
    }

    fn lead(&mut self, right: Leadership) {
        info!(self.log, "this host leads"; "term" => right.term().0);
        let intervals = self.duties.iter().map(|duty| duty.every);
        self.office = Office::Leading(Tenure {
            sent: self.at(right.began()),
            agenda: Agenda::new(intervals, self.now()),
            right: Rc::new(right),
            beat: None,
            at_work: BTreeMap::new(),
        });
    }

    /// Leads no longer: what is under way is dropped, and the connection with it.
    fn resign(&mut self, reason: &str, ctx: &mut Context<Self>) {
        if let Office::Leading(tenure) = &mut self.office {
            warn!(self.log, "this host leads no longer"; "term" => tenure.right.term().0,
                "reason" => reason);
            if let Some(beat) = tenure.beat.take() {
                ctx.cancel_future(beat);
            }
        }
        self.follow();
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        let Office::Leading(tenure) = &self.office else { return };
        if tenure.beat.is_some() {
            return;
        }
        let right = tenure.right.clone();
        let term = right.term();
        let send = async move { right.beat().await };
        let beat = ctx.spawn(send.into_actor(self).map(move |answer, this, ctx| {
            let Some(tenure) = this.tenure(term) else { return };
            tenure.beat = None;
            match answer {
                Ok(Some(outlook)) => {
                    tenure.sent = now;
                    this.heed(&outlook, ctx);
                }
                Ok(None) => this.resign("another term has begun", ctx),
                Err(error) => {
                    let reason = format!("its connection failed: {}", Chain(&error));
                    this.resign(&reason, ctx);
                }
            }
            this.plan(ctx);
        }));
        if let Some(tenure) = self.tenure(term) {
            tenure.beat = Some(beat);
        }
    }

    /// Runs the duties for which it is time.
    fn heed(&mut self, outlook: &[(Matter, Duration)], ctx: &mut Context<Self>) {
        let now = self.now();
        let Office::Leading(tenure) = &mut self.office else { return };
        for (place, duty) in self.duties.iter().enumerate() {
            for (_, wait) in outlook.iter().filter(|(matter, _)| duty.matter == Some(*matter)) {
                tenure.agenda.due_by(place, now.saturating_add(restart::millis(*wait)));
            }
        }
        self.work(ctx);
    }

    /// The tenure of this term, if it lasts.
    fn tenure(&mut self, term: Term) -> Option<&mut Tenure> {
        match &mut self.office {
            Office::Leading(tenure) if tenure.right.term() == term => Some(tenure),
            _ => None,
        }
    }

    /// Runs the duties that are due.
    fn work(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        let Office::Leading(tenure) = &mut self.office else { return };
        let term = tenure.right.term();
        for place in tenure.agenda.take_due(now) {
            let Some(duty) = self.duties.get(place) else { continue };
            let leading = Leading { store: self.store.clone(), term };
            // A task of its own, so that a panic in it is no panic of this actor.
            let run = actix::spawn((duty.work)(leading));
            tenure.at_work.insert(place, run.abort_handle());
            ctx.spawn(actix::fut::wrap_future::<_, Self>(run).map(
                move |result, this: &mut Self, ctx| {
                    this.ended(term, place, result);
                    this.plan(ctx);
                },
            ));
        }
    }

    fn ended(
        &mut self,
        term: Term,
        place: usize,
        result: Result<Result<Done, StoreError>, JoinError>,
    ) {
        let now = self.now();
        let log = self.log.clone();
        let Some(name) = self.duties.get(place).map(|duty| duty.name) else { return };
        // What ends after its term was done for nothing, or dropped.
        let Some(tenure) = self.tenure(term) else { return };
        tenure.at_work.remove(&place);
        let (ended, woken) = match result {
            Ok(Ok(done)) => (Ended::Done(done.again_in), done.woken),
            Ok(Err(error)) => {
                warn!(log, "duty failed"; "duty" => name, "error" => %Chain(&error));
                (Ended::Failed, Vec::new())
            }
            Err(error) => {
                error!(log, "duty panicked"; "duty" => name, "error" => %Chain(&error));
                (Ended::Failed, Vec::new())
            }
        };
        tenure.agenda.ended(place, ended, now);
        if !woken.is_empty() {
            (self.wake)(woken);
        }
    }
}

impl Actor for JanitorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<Halt> for JanitorActor {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) {
        if let Office::Leading(tenure) = &self.office {
            info!(self.log, "this host gives up the lead"; "term" => tenure.right.term().0);
        }
        // Before the answer: whoever asked may rely on it that nothing is done any more.
        self.office = Office::Standing;
        ctx.stop();
    }
}
