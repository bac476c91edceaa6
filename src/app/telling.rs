//! What tells the world outside: the reader of the feed for subscribers, and webhooks; and what writes into the
//! feed of what happens to agents.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use slog::{Logger, warn};
use tokio::sync::mpsc;

use crate::{
    domain::{
        HostId,
        event::{HostWord, News},
        record::AdoptionRecord,
        schedule::Origin,
    },
    events::{EventsHandle, feed::FeedHub},
    settings::{Component, Settings},
    store::{Store, StoreError, host_events, webhooks as endpoints},
    supervisor::Tell,
    telemetry::{Chain, component, metrics::Metrics},
    webhooks::{self, WebhookHandle},
};

/// Starts both. They tell of what `events` publishes, and of what other hosts do.
pub(super) fn start(
    store: &Store,
    events: &EventsHandle,
    host: HostId,
    settings: &Settings,
    log: &Logger,
    metrics: &Arc<Metrics>,
) -> (FeedHub, WebhookHandle) {
    let of_feed = component(log, Component::Events);
    let feed = FeedHub::start(store.clone(), events.news(), of_feed, metrics.clone());
    let webhooks = WebhookHandle::start(webhooks::Launch {
        store: store.clone(),
        host,
        news: events.news(),
        settings: settings.deliveries.clone(),
        log: component(log, Component::Webhooks),
        metrics: metrics.clone(),
    });
    (feed, webhooks)
}

/// How much may wait to be written of what happens to agents; what comes then is lost.
const MOST_NEWS: usize = 4096;

/// How many events are written at once.
const AT_ONCE: usize = 256;

/// How long to wait where Postgres takes none.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes what happens to the agents of `host` into the feed, from now on and in its order; first of all
/// what it took over.
pub(super) fn write_news(
    store: &Store,
    events: &EventsHandle,
    host: HostId,
    adoption: &AdoptionRecord,
    log: &Logger,
) -> Tell {
    let (tell, mut told) = mpsc::channel(MOST_NEWS);
    if let Some(news) = of_adoption(adoption) {
        // There is room: it is the first.
        tell.try_send((Timestamp::now(), news)).unwrap_or_default();
    }
    let (store, events, log) = (store.clone(), events.clone(), component(log, Component::Events));
    tokio::spawn(async move {
        let mut is_away = false;
        loop {
            let mut news = Vec::new();
            if told.recv_many(&mut news, AT_ONCE).await == 0 {
                return;
            }
            while let Err(error) = write(&store, host, &news).await {
                if !std::mem::replace(&mut is_away, true) {
                    warn!(log, "events of agents wait to be written"; "error" => %Chain(&error));
                }
                tokio::time::sleep(AGAIN).await;
            }
            is_away = false;
            // Whoever reads along looks at once.
            events.publish(Vec::new());
        }
    });
    tell
}

async fn write(store: &Store, host: HostId, news: &[(Timestamp, News)]) -> Result<(), StoreError> {
    host_events::tell(&store.client().await?, host, news).await
}

/// What is told of a take-over, if there was anything to take over.
fn of_adoption(report: &AdoptionRecord) -> Option<News> {
    let is_some = report.found > 0 || report.released > 0 || report.replaced.is_some();
    is_some.then(|| News {
        detail: serde_json::to_value(report).unwrap_or_default(),
        ..News::of_host(HostWord::HostAdopted, report.replaced.clone())
    })
}

/// Makes the endpoints of the config file, and brings those that are there up to date.
pub(super) async fn ensure(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    let db = store.client().await?;
    for webhook in &settings.webhooks {
        let (given, made) = (webhook.key(), endpoints::new_key());
        let secret = (given.as_ref().unwrap_or(&made), given.is_none());
        endpoints::put(&db, &webhook.name, &webhook.spec, Origin::Config, secret).await?;
    }
    Ok(())
}
