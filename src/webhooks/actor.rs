//! The actor: looks, claims, sends, settles.

use std::{collections::HashSet, sync::Arc, time::Duration};

use actix::prelude::*;
use slog::{Logger, debug, info, warn};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{Launch, send::Sender};
use crate::{
    domain::{
        HostId,
        delivery::{Answer, CALLBACKS, DeliveryState, Verdict, judge, message_id},
    },
    settings,
    store::{
        Store, StoreError,
        webhooks::{self, Claimed, Decided, Settled},
    },
    telemetry::{
        Chain,
        metrics::{DeliveryOutcome, Metrics},
    },
};

/// How long news may wait while nobody was to be told anything a moment ago.
const IDLE_PAUSE: Duration = Duration::from_millis(100);

/// After how long is looked again where another host was at it.
const ELSEWHERE: Duration = Duration::from_millis(20);

/// How many deliveries are on their way at once.
const AT_ONCE: usize = 64;

/// How long one statement, or the transaction that decides, may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How much of what ended long ago is deleted at once.
const PRUNED: u32 = 5_000;

/// How often settling is tried while Postgres is away. Then the delivery is sent again.
const SETTLE_TRIES: u32 = 5;

/// Why an endpoint that answered 410 is disabled.
const GONE: &str = "it answered 410 Gone";

/// Something may be due.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Look;

/// Sends nothing more, and says when all is settled or given back.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close {
    pub(super) tell: oneshot::Sender<()>,
    pub(super) limit: Duration,
}

pub(super) struct WebhookActor {
    pub(super) store: Store,
    host: HostId,
    news: Option<watch::Receiver<u64>>,
    settings: settings::Deliveries,
    sender: Arc<Sender>,
    log: Logger,
    metrics: Arc<Metrics>,
    /// Whether the place in the feed is known to be there.
    begun: bool,
    deciding: Work,
    claiming: Work,
    /// Nobody was to be told anything when that was looked at last.
    pub(super) nobody: bool,
    held: Held,
    /// The next look, and whether it is one of those that are seldom.
    pub(super) next_look: Option<(SpawnHandle, bool)>,
    on_their_way: HashSet<Uuid>,
    closing: Option<oneshot::Sender<()>>,
    closed: bool,
    is_away: bool,
}

/// Work that is done once at a time, and once more if it was asked for meanwhile.
#[derive(Default)]
struct Work {
    runs: bool,
    again: bool,
}

impl Work {
    /// Whether it is to begin now.
    fn begin(&mut self) -> bool {
        self.again = self.runs;
        !std::mem::replace(&mut self.runs, true)
    }

    /// It is done; whether it was asked for meanwhile.
    fn end(&mut self) -> bool {
        self.runs = false;
        std::mem::take(&mut self.again)
    }
}

/// News that nobody is to be told: on a busy host they would be looked at after every commit, so they wait for
/// each other.
#[derive(Default)]
struct Held(bool);

/// When news are looked at.
#[derive(Debug, PartialEq, Eq)]
enum When {
    Now,
    /// After a pause, which begins.
    Later,
    /// With others, after the pause that has begun.
    Planned,
}

impl Held {
    fn news(&mut self, nobody: bool) -> When {
        match (nobody, self.0) {
            (false, _) => When::Now,
            (true, true) => When::Planned,
            (true, false) => {
                self.0 = true;
                When::Later
            }
        }
    }

    /// The pause is over.
    const fn let_go(&mut self) {
        self.0 = false;
    }
}

impl WebhookActor {
    pub(super) fn new(launch: Launch) -> Self {
        let sender = Arc::new(Sender::new(launch.settings.reach));
        Self {
            store: launch.store,
            host: launch.host,
            news: Some(launch.news),
            settings: launch.settings,
            sender,
            log: launch.log,
            metrics: launch.metrics,
            begun: false,
            deciding: Work::default(),
            claiming: Work::default(),
            nobody: false,
            held: Held::default(),
            next_look: None,
            on_their_way: HashSet::new(),
            closing: None,
            closed: false,
            is_away: false,
        }
    }

    pub(super) fn decide(&mut self, ctx: &mut Context<Self>) {
        if self.closed || !self.deciding.begin() {
            return;
        }
        let (store, begun) = (self.store.clone(), self.begun);
        let work = async move {
            if !begun {
                store.within(LIMIT, async |db| webhooks::begin(db).await).await?;
            }
            store.transact_within(LIMIT, async |db| webhooks::decide(db).await).await
        };
        ctx.spawn(work.into_actor(self).map(|decided, this, ctx| this.decided(decided, ctx)));
    }

    fn decided(&mut self, decided: Result<Decided, StoreError>, ctx: &mut Context<Self>) {
        let again = self.deciding.end();
        let decided = match decided {
            Ok(decided) => decided,
            Err(error) => return self.away(&error),
        };
        self.begun = true;
        self.is_away = false;
        self.nobody = decided == Decided::Nobody;
        self.plan_look(ctx);
        match decided {
            Decided::Made { deliveries, more } => {
                if deliveries > 0 {
                    self.claim(ctx);
                }
                if more || again {
                    self.decide(ctx);
                }
            }
            Decided::Cut => {
                warn!(self.log, "events were deleted before webhooks were told of them";
                "advice" => "raise the terms in [history], or keep hosts from being away for so long")
            }
            Decided::Elsewhere => {
                ctx.run_later(ELSEWHERE, Self::decide);
            }
            Decided::Nobody => {}
        }
    }

    pub(super) fn claim(&mut self, ctx: &mut Context<Self>) {
        let room = AT_ONCE.saturating_sub(self.on_their_way.len());
        if self.closed || room == 0 || !self.claiming.begin() {
            return;
        }
        let (store, host) = (self.store.clone(), self.host);
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let work = async move {
            store.within(LIMIT, async |db| webhooks::claim(db, host, limit).await).await
        };
        ctx.spawn(work.into_actor(self).map(|claimed, this, ctx| this.claimed(claimed, ctx)));
    }

    fn claimed(&mut self, claimed: Result<Vec<Claimed>, StoreError>, ctx: &mut Context<Self>) {
        let again = self.claiming.end();
        let mut claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => return self.away(&error),
        };
        claimed.sort_unstable_by_key(|one| one.number);
        for one in claimed {
            self.on_their_way.insert(one.id);
            self.send(one, ctx);
        }
        if again {
            self.claim(ctx);
        }
    }

    fn send(&self, claimed: Claimed, ctx: &mut Context<Self>) {
        let (store, host, sender) = (self.store.clone(), self.host, self.sender.clone());
        let began = Instant::now();
        let work = async move {
            let answer = sender.send(&claimed).await;
            let verdict = judge(&answer, claimed.failures, fastrand::f64());
            let settled = settlement(&claimed, &answer, &verdict);
            let written = write(&store, host, &settled).await;
            (claimed, verdict, settled, written)
        };
        let done =
            work.into_actor(self).map(move |(claimed, verdict, settled, written), this, ctx| {
                this.on_their_way.remove(&claimed.id);
                this.tell(&claimed, &verdict, &settled, claimed.age + began.elapsed());
                if let Err(error) = written {
                    warn!(this.log, "delivery could not be settled; it is sent again";
                    "delivery" => message_id(claimed.id), "error" => Chain(&error).to_string());
                }
                this.claim(ctx);
                this.tell_if_quiet();
            });
        ctx.spawn(done);
    }

    fn tell(&self, claimed: &Claimed, verdict: &Verdict, settled: &Settled, lag: Duration) {
        let outcome = match verdict {
            Verdict::Delivered => DeliveryOutcome::Delivered,
            Verdict::Again { .. } => DeliveryOutcome::Again,
            Verdict::Dead => DeliveryOutcome::Dead,
            Verdict::Gone => DeliveryOutcome::Gone,
        };
        self.metrics.delivered(outcome, lag);
        let id = message_id(claimed.id);
        match verdict {
            Verdict::Delivered => debug!(self.log, "webhook delivered"; "delivery" => id,
                "endpoint" => %claimed.endpoint),
            Verdict::Again { wait, .. } => info!(self.log, "webhook failed; it is sent again";
                "delivery" => id, "endpoint" => %claimed.endpoint, "count" => settled.failures,
                "wait_ms" => u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "reason" => settled.problem.clone()),
            Verdict::Dead | Verdict::Gone => warn!(self.log, "webhook is dead";
                "delivery" => id, "endpoint" => %claimed.endpoint, "count" => settled.failures,
                "reason" => settled.problem.clone(),
                "advice" => "`hostler webhook deliveries --state dead` lists those, `hostler webhook replay` sends them again"),
        }
    }

    pub(super) fn away(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.is_away, true) {
            warn!(self.log, "webhooks wait for the database"; "error" => Chain(error).to_string());
        }
    }

    pub(super) fn prune(&mut self, ctx: &mut Context<Self>) {
        let (store, terms) = (self.store.clone(), &self.settings);
        let terms = (terms.keep_delivered, terms.keep_dead);
        let work = async move {
            store.within(LIMIT, async |db| webhooks::prune(db, terms, PRUNED).await).await
        };
        ctx.spawn(work.into_actor(self).map(|pruned, this, _| {
            if let Err(error) = pruned {
                this.away(&error);
            }
        }));
    }

    fn tell_if_quiet(&mut self) {
        if self.on_their_way.is_empty()
            && let Some(tell) = self.closing.take()
        {
            // Who asked may be gone.
            tell.send(()).unwrap_or_default();
        }
    }

    /// Gives back what is still on its way, and is quiet.
    fn give_back(&mut self, ctx: &mut Context<Self>) {
        let ids: Vec<_> = self.on_their_way.drain().collect();
        let (store, host) = (self.store.clone(), self.host);
        let work = async move {
            if ids.is_empty() {
                return Ok(());
            }
            store.within(LIMIT, async |db| webhooks::release(db, host, &ids).await).await
        };
        ctx.spawn(work.into_actor(self).map(|released, this, _| {
            if let Err(error) = released {
                this.away(&error);
            }
            this.tell_if_quiet();
        }));
    }
}

/// What is written down of an answer.
fn settlement(claimed: &Claimed, answer: &Answer, verdict: &Verdict) -> Settled {
    let (status, problem) = match answer {
        Answer::Status { status, .. } => (Some(*status), format!("it answered {status}")),
        Answer::Nothing(why) => (None, why.clone()),
    };
    let failed = claimed.failures.saturating_add(1);
    let (state, failures, wait, hold) = match verdict {
        Verdict::Delivered => (DeliveryState::Delivered, claimed.failures, Duration::ZERO, None),
        Verdict::Again { wait, hold } => (DeliveryState::Pending, failed, *wait, *hold),
        Verdict::Dead | Verdict::Gone => (DeliveryState::Dead, failed, Duration::ZERO, None),
    };
    // Callbacks go to many receivers: what one of them asks for is not for the others.
    let of_callback = claimed.endpoint.as_str() == CALLBACKS;
    Settled {
        id: claimed.id,
        state,
        failures,
        status,
        problem: (state != DeliveryState::Delivered).then_some(problem),
        wait,
        hold: hold.filter(|_| !of_callback),
        disable: (*verdict == Verdict::Gone && !of_callback).then_some(GONE),
    }
}

async fn write(store: &Store, host: HostId, settled: &Settled) -> Result<bool, StoreError> {
    let mut tries = 0;
    loop {
        let result =
            store.within(LIMIT, async |db| webhooks::settle(db, host, settled).await).await;
        tries += 1;
        if result.is_ok() || tries == SETTLE_TRIES {
            return result;
        }
        sleep(Duration::from_millis(200) * tries).await;
    }
}

impl Actor for WebhookActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
        self.begin_to_look(ctx);
        if let Some(news) = self.news.take() {
            ctx.add_stream(futures_util::stream::unfold(news, |mut news| async {
                news.changed().await.ok().map(|()| (News, news))
            }));
        }
        self.decide(ctx);
    }
}

/// This host has settled something.
struct News;

impl StreamHandler<News> for WebhookActor {
    fn handle(&mut self, _: News, ctx: &mut Self::Context) {
        match self.held.news(self.nobody) {
            When::Now => self.decide(ctx),
            When::Planned => {}
            When::Later => {
                ctx.run_later(IDLE_PAUSE, |this, ctx| {
                    this.held.let_go();
                    this.decide(ctx);
                });
            }
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // The host is ending; the looks go on until it has.
    }
}

impl Handler<Look> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) {
        self.decide(ctx);
        self.claim(ctx);
    }
}

impl Handler<Close> for WebhookActor {
    type Result = ();

    fn handle(&mut self, Close { tell, limit }: Close, ctx: &mut Self::Context) {
        self.closed = true;
        self.closing = Some(tell);
        self.tell_if_quiet();
        ctx.run_later(limit, Self::give_back);
    }
}

#[cfg(test)]
mod tests;
