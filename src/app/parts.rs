//! What the API answers from.

use std::sync::Arc;

use slog::Logger;

use crate::{
    http,
    settings::Settings,
    telemetry::{Component, Drops, component, metrics::Scrape},
};

pub(super) fn http_state(
    settings: &Settings,
    log: &Logger,
    parts: http::Parts,
    drops: Drops,
    host: http::HostInfo,
) -> http::State {
    let (for_queue, for_supervisor) = (parts.queue.clone(), parts.supervisor.clone());
    let metrics = parts.counters.clone();
    let render: http::RenderMetrics = Arc::new(move || {
        let (queue, supervisor) = (for_queue.clone(), for_supervisor.clone());
        let (metrics, drops) = (metrics.clone(), drops.clone());
        Box::pin(async move {
            let scrape = Scrape {
                // What can't be looked up now is left out of this scrape.
                queues: queue.queues().await.unwrap_or_default(),
                agents: supervisor.agents().await.unwrap_or_default(),
                dropped_lines: drops.dropped_lines(),
            };
            metrics.render(&scrape)
        })
    });
    http::State::new(
        parts,
        settings.http.clone(),
        settings.tasks.clone(),
        host,
        render,
        component(log, Component::Http),
    )
}
