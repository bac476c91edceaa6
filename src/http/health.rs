//! Whether the host lives, whether it can work, what it measures, what it is, and who is beside it.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use jiff::Timestamp;

use super::{
    Answer, State,
    api::{Alive, HostRecord, Listing, Readiness, ReadyCheck},
    ok, query,
};

/// A part that has not said by then whether it is ready is not.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// The text format that Prometheus reads.
const METRICS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn livez(request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Alive { alive: true }))
}

pub(super) async fn readyz(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let (queue, supervisor) = tokio::join!(
        check("queue", ANSWERS_WITHIN, state.queue.ready()),
        check("supervisor", ANSWERS_WITHIN, state.supervisor.ready())
    );
    let checks = vec![queue, supervisor];
    let ready = checks.iter().all(|check| check.ready);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    Ok(answer.json(Readiness { ready, checks }))
}

async fn check(
    name: &str,
    within: Duration,
    part: impl Future<Output = Result<(), String>>,
) -> ReadyCheck {
    let late = |_| Err(format!("did not answer within {} s", within.as_secs_f64()));
    let found = tokio::time::timeout(within, part).await.unwrap_or_else(late);
    ReadyCheck { name: name.to_owned(), ready: found.is_ok(), detail: found.err() }
}

pub(super) async fn metrics(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let text = (state.metrics)().await;
    Ok(HttpResponse::Ok().content_type(METRICS_TEXT).body(text))
}

pub(super) async fn host(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let host = &state.host;
    let uptime = Timestamp::now().duration_since(host.started_at).as_millis();
    Ok(ok(&HostRecord {
        id: host.id,
        name: host.name.clone(),
        version: host.version.to_owned(),
        pid: std::process::id(),
        started_at: host.started_at,
        uptime_ms: u64::try_from(uptime).unwrap_or(0),
        max_batch: state.tasks.max_batch,
        upgrade: host.upgrade.clone(),
        adoption: host.adoption.clone(),
    }))
}

pub(super) async fn hosts(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.queue.hosts().await? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_part_that_says_nothing_is_not_ready() {
        let within = Duration::from_millis(5);
        let silent = check("queue", within, std::future::pending()).await;
        assert_eq!(silent.detail.as_deref(), Some("did not answer within 0.005 s"));
        assert!(!silent.ready);
        assert!(check("queue", within, std::future::ready(Ok(()))).await.ready);
    }
}
