//! HTTP: the same resources for people, programs and the command line, under `/api/v1`.
//!
//! A handler parses, asks a handle, and answers; it never touches a process or the database. What
//! goes over the wire is in [`api`] and [`crate::domain::record`], and `docs/HTTP.md` describes it.
//!
//! - The unix socket in the data directory is always served, for its own user; TCP where
//!   `http.bind` says so. `guard` decides who may ask.
//! - Every error is a problem document (RFC 9457); `error` is the only place that makes a status
//!   from an error. Causes go to the log, under the request's id.
//! - Nothing grows without a bound: bodies, pages, waits and what is read of a log have limits.

mod agents;
pub mod api;
mod batches;
mod body;
mod bulk;
mod error;
mod events;
mod fields;
mod fleets;
mod guard;
mod health;
mod layers;
mod limits;
mod logs;
mod needs;
mod plans;
mod query;
mod queues;
mod schedules;
mod server;
mod sessions;
mod socket;
mod submit;
mod task_logs;
mod tasks;
mod terms;
mod unique;
mod webhook;
mod workspaces;

use std::{fmt, sync::Arc};

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Responder, Route, guard as when,
    http::Method,
    web::{self, ServiceConfig},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use slog::Logger;

use crate::{
    domain::{
        HostId,
        record::{AdoptionRecord, ReloadRecord, UpgradeRecord},
        upgrade::Plan,
    },
    queue::QueueHandle,
    sessions::Sessions,
    settings,
    supervisor::SupervisorHandle,
    workspace::Workspaces,
};
use error::{ApiError, Kind};
use server::Closing;

pub use fleets::{ReloadRefused, UpgradeRefused};
pub use server::{HttpError, Server};
pub use socket::MAX_SOCKET_PATH;

/// Writes the metrics in the text format of Prometheus.
pub type RenderMetrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// Has the host read its settings again.
pub type Reload =
    Arc<dyn Fn() -> BoxFuture<'static, Result<ReloadRecord, ReloadRefused>> + Send + Sync>;

/// Has another program take the place of the host's.
pub type Upgrade = Arc<
    dyn Fn(std::path::PathBuf) -> BoxFuture<'static, Result<Plan, UpgradeRefused>> + Send + Sync,
>;

/// What the host is, for `GET /api/v1/host`.
#[derive(Debug, Clone)]
pub struct HostInfo {
    /// Its id.
    pub id: HostId,
    /// Its name in listings.
    pub name: String,
    /// The version of Hostler.
    pub version: &'static str,
    /// When it started.
    pub started_at: Timestamp,
    /// The program whose place it took, if it did.
    pub upgrade: Option<UpgradeRecord>,
    /// What became of the processes of the host before it.
    pub adoption: AdoptionRecord,
}

/// Everything that handlers use.
#[derive(Clone)]
pub struct State {
    queue: QueueHandle,
    supervisor: SupervisorHandle,
    workspaces: Workspaces,
    sessions: Sessions,
    relay: webhook::relay::Relay,
    reload: Reload,
    upgrade: Upgrade,
    settings: settings::Http,
    tasks: settings::Tasks,
    host: HostInfo,
    metrics: RenderMetrics,
    log: Logger,
    closing: Closing,
}

impl State {
    /// What a server answers from.
    pub fn new(
        (queue, supervisor, workspaces): (QueueHandle, SupervisorHandle, Workspaces),
        (reload, upgrade, sessions): (Reload, Upgrade, Sessions),
        settings: settings::Http,
        tasks: settings::Tasks,
        host: HostInfo,
        metrics: RenderMetrics,
        log: Logger,
    ) -> Self {
        let (closing, relay) = (Closing::default(), webhook::relay::Relay::default());
        Self {
            queue,
            supervisor,
            workspaces,
            sessions,
            relay,
            reload,
            upgrade,
            settings,
            tasks,
            host,
            metrics,
            log,
            closing,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a handler gives.
type Answer = Result<HttpResponse, ApiError>;

/// One path and the methods that it has.
type Row = (&'static str, Vec<(Method, Route)>);

/// Every route.
fn routes() -> Vec<Row> {
    vec![
        ("/livez", vec![get(health::livez)]),
        ("/readyz", vec![get(health::readyz)]),
        ("/metrics", vec![get(health::metrics)]),
        ("/api/v1/host", vec![get(health::host)]),
        ("/api/v1/hosts", vec![get(health::hosts)]),
        ("/api/v1/fleets", vec![get(fleets::list)]),
        ("/api/v1/upgrade", vec![post(fleets::upgrade)]),
        ("/api/v1/reload", vec![post(fleets::reload)]),
        ("/api/v1/fleets/{name}", vec![get(fleets::show)]),
        ("/api/v1/fleets/{name}/scale", vec![post(fleets::scale)]),
        ("/api/v1/fleets/{name}/restart", vec![post(fleets::restart)]),
        ("/api/v1/agents", vec![get(agents::list)]),
        ("/api/v1/agents/{name}", vec![get(agents::show)]),
        ("/api/v1/agents/{name}/start", vec![post(agents::start)]),
        ("/api/v1/agents/{name}/stop", vec![post(agents::stop)]),
        ("/api/v1/agents/{name}/restart", vec![post(agents::restart)]),
        ("/api/v1/agents/{name}/pause", vec![post(agents::pause)]),
        ("/api/v1/agents/{name}/drain", vec![post(agents::drain)]),
        ("/api/v1/agents/{name}/logs", vec![get(agents::logs)]),
        ("/api/v1/tasks", vec![get(tasks::list), post(tasks::submit)]),
        // Before the ids, which these words can't be.
        ("/api/v1/tasks/cancel", vec![post(bulk::cancel)]),
        ("/api/v1/tasks/retry", vec![post(bulk::retry)]),
        ("/api/v1/tasks/{id}", vec![get(tasks::show)]),
        ("/api/v1/tasks/{id}/attempts", vec![get(tasks::attempts)]),
        ("/api/v1/tasks/{id}/events", vec![get(tasks::events)]),
        ("/api/v1/tasks/{id}/logs", vec![get(task_logs::logs)]),
        ("/api/v1/tasks/{id}/graph", vec![get(tasks::graph)]),
        ("/api/v1/tasks/{id}/cancel", vec![post(tasks::cancel)]),
        ("/api/v1/tasks/{id}/retry", vec![post(tasks::retry)]),
        ("/api/v1/dead-letters", vec![get(bulk::letters)]),
        ("/api/v1/dead-letters/redrive", vec![post(bulk::redrive)]),
        ("/api/v1/dead-letters/discard", vec![post(bulk::discard)]),
        ("/api/v1/dead-letters/{id}", vec![get(bulk::letter)]),
        ("/api/v1/groups/{name}", vec![get(batches::group)]),
        ("/api/v1/batches", vec![post(batches::submit)]),
        ("/api/v1/batches/{id}", vec![get(batches::show)]),
        ("/api/v1/batches/{id}/tasks", vec![post(batches::add)]),
        ("/api/v1/batches/{id}/close", vec![post(batches::close)]),
        ("/api/v1/batches/{id}/cancel", vec![post(batches::cancel)]),
        ("/api/v1/tasks/{id}/snooze", vec![post(tasks::snooze)]),
        ("/api/v1/tasks/{id}/release", vec![post(tasks::release)]),
        ("/api/v1/schedules", vec![get(schedules::list)]),
        (
            "/api/v1/schedules/{name}",
            vec![get(schedules::show), put(schedules::put), delete(schedules::remove)],
        ),
        ("/api/v1/schedules/{name}/firings", vec![get(schedules::firings)]),
        ("/api/v1/schedules/{name}/next", vec![get(schedules::next)]),
        ("/api/v1/schedules/{name}/pause", vec![post(schedules::pause)]),
        ("/api/v1/schedules/{name}/resume", vec![post(schedules::resume)]),
        ("/api/v1/schedules/{name}/run", vec![post(schedules::run)]),
        ("/api/v1/plans/history", vec![post(plans::history)]),
        ("/api/v1/plans/runs", vec![get(plans::list), post(plans::submit)]),
        ("/api/v1/plans/runs/{id}", vec![get(plans::show)]),
        ("/api/v1/plans/runs/{id}/tasks", vec![get(plans::tasks)]),
        ("/api/v1/plans/runs/{id}/report", vec![get(plans::report)]),
        ("/api/v1/plans/runs/{id}/pause", vec![post(plans::pause)]),
        ("/api/v1/plans/runs/{id}/resume", vec![post(plans::resume)]),
        ("/api/v1/plans/runs/{id}/cancel", vec![post(plans::cancel)]),
        ("/api/v1/plans/runs/{id}/retry", vec![post(plans::retry)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/done", vec![post(plans::done)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/fail", vec![post(plans::fail)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/approve", vec![post(plans::approve)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/skip", vec![post(plans::skip)]),
        ("/api/v1/workspaces", vec![get(workspaces::list)]),
        ("/api/v1/workspaces/prune", vec![post(workspaces::prune)]),
        ("/api/v1/workspaces/{task}/resolved", vec![post(workspaces::resolved)]),
        ("/webhook", vec![post(webhook::receive)]),
        ("/ws", vec![get(webhook::relay::join)]),
        ("/llm-instructions", vec![get(webhook::instructions::show)]),
        ("/api/v1/search", vec![get(sessions::search)]),
        ("/api/v1/session-imports", vec![post(sessions::import)]),
        ("/api/v1/sessions", vec![get(sessions::list), post(sessions::create)]),
        (
            "/api/v1/sessions/{id}",
            vec![get(sessions::show), patch(sessions::change), delete(sessions::remove)],
        ),
        ("/api/v1/sessions/{id}/pause", vec![post(sessions::pause)]),
        ("/api/v1/sessions/{id}/resume", vec![post(sessions::resume)]),
        ("/api/v1/sessions/{id}/complete", vec![post(sessions::complete)]),
        ("/api/v1/sessions/{id}/export", vec![get(sessions::export)]),
        ("/api/v1/sessions/{id}/chunks", vec![get(sessions::chunks), post(sessions::append)]),
        ("/api/v1/sessions/{id}/chunks/{item}", vec![get(sessions::chunk)]),
        (
            "/api/v1/sessions/{id}/chunks/{item}/content",
            vec![get(sessions::chunk_content), put(sessions::put_chunk_content)],
        ),
        ("/api/v1/sessions/{id}/memories", vec![get(sessions::memories), post(sessions::store)]),
        (
            "/api/v1/sessions/{id}/memories/{item}",
            vec![get(sessions::memory), put(sessions::put_memory)],
        ),
        ("/api/v1/sessions/{id}/tasks", vec![get(sessions::tasks), post(sessions::delegate)]),
        ("/api/v1/sessions/{id}/tasks/{item}", vec![get(sessions::task)]),
        ("/api/v1/sessions/{id}/tasks/{item}/cancel", vec![post(sessions::cancel)]),
        (
            "/api/v1/sessions/{id}/artifacts",
            vec![get(sessions::artifacts), post(sessions::add_artifact)],
        ),
        ("/api/v1/sessions/{id}/artifacts/{item}", vec![get(sessions::artifact)]),
        (
            "/api/v1/sessions/{id}/artifacts/{item}/content",
            vec![get(sessions::artifact_content), put(sessions::put_artifact_content)],
        ),
        ("/api/v1/events", vec![get(events::feed)]),
        ("/api/v1/queues", vec![get(queues::list)]),
        ("/api/v1/queues/{name}/pause", vec![post(limits::pause_queue)]),
        ("/api/v1/queues/{name}/resume", vec![post(queues::resume)]),
        ("/api/v1/queues/{name}/limits", vec![patch(limits::of_queue)]),
        ("/api/v1/locks", vec![get(limits::locks)]),
        ("/api/v1/limits", vec![get(limits::list), patch(limits::change)]),
        ("/api/v1/keys/pause", vec![post(limits::pause_key)]),
        ("/api/v1/keys/resume", vec![post(limits::resume_key)]),
    ]
}

fn get<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let methods = when::Any(when::Get()).or(when::Head());
    (Method::GET, Route::new().guard(methods).to(handler))
}

fn post<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::POST, Route::new().guard(when::Post()).to(handler))
}

fn patch<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::PATCH, Route::new().guard(when::Patch()).to(handler))
}

fn put<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::PUT, Route::new().guard(when::Put()).to(handler))
}

fn delete<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::DELETE, Route::new().guard(when::Delete()).to(handler))
}

/// Puts the table of routes into an application.
fn configure(config: &mut ServiceConfig) {
    for (path, methods) in routes() {
        let allow = allowed(methods.iter().map(|(method, _)| method));
        let mut resource = web::resource(path);
        for (_, route) in methods {
            resource = resource.route(route);
        }
        let no_method = move |request: HttpRequest| {
            let error = ApiError::no_method(request.method().as_str(), &allow);
            async move { Err::<HttpResponse, _>(error) }
        };
        config.service(resource.default_service(web::route().to(no_method)));
    }
}

/// The value of `Allow`. What can be got can be asked for by `HEAD` too.
fn allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> String {
    let words: Vec<_> = methods
        .map(|method| if method == Method::GET { "GET, HEAD" } else { method.as_str() })
        .collect();
    words.join(", ")
}

/// Answers a path that is not in the table.
async fn no_route(request: HttpRequest) -> Answer {
    let shown: String = request.path().chars().filter(|c| !c.is_control()).take(128).collect();
    Err(ApiError::new(Kind::NoRoute, format!("there is nothing at `{shown}`")))
}

/// 200 with a JSON body.
fn ok(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(body)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_path_is_in_the_table_once_and_in_the_document() {
        let document = include_str!("../../docs/HTTP.md");
        let mut seen = BTreeSet::new();
        for (path, methods) in routes() {
            assert!(seen.insert(path), "{path} is there twice");
            for (method, _) in methods {
                let line = format!("`{method} {path}");
                assert!(document.contains(&line), "docs/HTTP.md lacks {line}`");
            }
        }
    }

    #[test]
    fn what_can_be_got_can_be_headed() {
        assert_eq!(allowed([&Method::GET, &Method::POST].into_iter()), "GET, HEAD, POST");
        assert_eq!(allowed([&Method::POST].into_iter()), "POST");
    }
}
