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
mod attempt;
mod audit;
mod batches;
mod body;
mod bulk;
mod caller;
mod docs;
mod doze;
mod error;
mod events;
mod fields;
mod fleets;
#[cfg(fuzzing)]
pub mod fuzz;
mod gate;
mod guard;
mod health;
mod journal;
mod keys;
mod layers;
mod limits;
mod logs;
mod mcp;
mod needs;
mod once;
pub mod openapi;
mod plans;
mod query;
mod queues;
mod routes;
mod schedules;
mod server;
mod sessions;
mod socket;
mod submit;
mod task_logs;
mod tasks;
mod terms;
mod tls;
mod unique;
mod webhook;
mod webhooks;
mod workspaces;

use std::{fmt, rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use slog::Logger;

use crate::{
    access::Access,
    audit::Audit,
    domain::{
        HostId,
        access::AttemptKey,
        record::{AdoptionRecord, ReloadRecord, UpgradeRecord},
        upgrade::Plan,
    },
    events::feed::FeedHub,
    queue::QueueHandle,
    sessions::Sessions,
    settings,
    supervisor::SupervisorHandle,
    telemetry::metrics::Metrics,
    webhooks::WebhookHandle,
    workspace::Workspaces,
};
use error::{ApiError, Kind};
use routes::routes;
use server::Closing;

pub use fleets::{ReloadRefused, UpgradeRefused};
pub use server::{HttpError, Server};
pub use socket::MAX_SOCKET_PATH;
pub use tls::Certificate;

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

/// The parts of the host that a server asks.
pub struct Parts {
    /// Tasks.
    pub queue: QueueHandle,
    /// Fleets and agents.
    pub supervisor: SupervisorHandle,
    /// Worktrees.
    pub workspaces: Workspaces,
    /// What assistants write down.
    pub sessions: Sessions,
    /// Who may call.
    pub access: Access,
    /// Who did what.
    pub audit: Audit,
    /// By what agents at work call.
    pub attempts: AttemptKey,
    /// Tells subscribers what happens.
    pub feed: FeedHub,
    /// Tells the world outside.
    pub webhooks: WebhookHandle,
    /// Reads the settings again.
    pub reload: Reload,
    /// Lets another program take the host's place.
    pub upgrade: Upgrade,
    /// Counts what comes of requests.
    pub counters: Arc<Metrics>,
}

/// Everything that handlers use.
#[derive(Clone)]
pub struct State {
    queue: QueueHandle,
    supervisor: SupervisorHandle,
    workspaces: Workspaces,
    access: Access,
    audit: Audit,
    attempts: AttemptKey,
    sessions: Sessions,
    relay: webhook::relay::Relay,
    reload: Reload,
    feed: FeedHub,
    webhooks: WebhookHandle,
    upgrade: Upgrade,
    counters: Arc<Metrics>,
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
        parts: Parts,
        settings: settings::Http,
        tasks: settings::Tasks,
        host: HostInfo,
        metrics: RenderMetrics,
        log: Logger,
    ) -> Self {
        let Parts {
            queue,
            supervisor,
            workspaces,
            sessions,
            access,
            audit,
            attempts,
            feed,
            webhooks,
            reload,
            upgrade,
            counters,
        } = parts;
        let (closing, relay) = (Closing::default(), webhook::relay::Relay::default());
        Self {
            queue,
            supervisor,
            workspaces,
            access,
            audit,
            attempts,
            sessions,
            relay,
            reload,
            feed,
            webhooks,
            upgrade,
            counters,
            settings,
            tasks,
            host,
            metrics,
            log,
            closing,
        }
    }

    /// The same for those whom the current thread answers.
    fn of_this_thread(&self) -> Self {
        Self { sessions: self.sessions.of_this_thread(), ..self.clone() }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a handler gives.
type Answer = Result<HttpResponse, ApiError>;

/// Puts the table of routes into an application.
///
/// A path without a name in it is compared, one with names is matched; the former are looked at first, so that
/// what is called most, and each time, costs no matching of all the others.
fn configure(config: &mut ServiceConfig) {
    let mut table = routes();
    table.sort_by_key(|(path, _)| path.contains('{'));
    for (path, verbs) in table {
        let allow = allowed(verbs.iter().map(|verb| &verb.method));
        let mut resource = web::resource(path);
        let mut needs = Vec::new();
        for verb in verbs {
            needs.push((verb.method, verb.needs));
            resource = resource.route(verb.route);
        }
        let no_method = move |request: HttpRequest| {
            let error = ApiError::no_method(request.method().as_str(), &allow);
            async move { Err::<HttpResponse, _>(error) }
        };
        let needs: Rc<[_]> = needs.into();
        let gate = from_fn(move |request, next| gate::pass(needs.clone(), request, next));
        config.service(resource.default_service(web::route().to(no_method)).wrap(gate));
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
    use crate::domain::access::Scope;

    #[test]
    fn each_path_is_in_the_table_once_and_in_the_document() {
        let document = include_str!("../../docs/HTTP.md");
        let mut seen = BTreeSet::new();
        for (path, methods) in routes() {
            assert!(seen.insert(path), "{path} is there twice");
            for verb in methods {
                let line = format!("`{} {path}", verb.method);
                assert!(document.contains(&line), "docs/HTTP.md lacks {line}`");
            }
        }
    }

    #[test]
    fn what_changes_something_needs_more_than_to_read() {
        for (path, verbs) in routes() {
            for verb in verbs {
                let looks = matches!(verb.needs, gate::Needs::Scope(Scope::Read, _));
                let may_look = verb.method == Method::GET || path == "/api/v1/plans/history";
                assert!(may_look || !looks, "{} {path}", verb.method);
                let open = matches!(verb.needs, gate::Needs::Caller | gate::Needs::Public);
                // A webhook says in its body what it is, a call of a tool which one: their handlers look.
                let by_body = matches!(path, "/webhook" | "/mcp");
                assert!(!open || verb.method == Method::GET || by_body, "{} {path}", verb.method);
            }
        }
    }

    #[test]
    fn what_can_be_got_can_be_headed() {
        assert_eq!(allowed([&Method::GET, &Method::POST].into_iter()), "GET, HEAD, POST");
        assert_eq!(allowed([&Method::POST].into_iter()), "POST");
    }
}
