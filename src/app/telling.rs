//! What tells the world outside: the reader of the feed for subscribers, and webhooks.

use std::sync::Arc;

use slog::Logger;

use crate::{
    domain::{HostId, schedule::Origin},
    events::{EventsHandle, feed::FeedHub},
    settings::{Component, Settings},
    store::{Store, StoreError, webhooks as endpoints},
    telemetry::{component, metrics::Metrics},
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
