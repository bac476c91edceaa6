//! Every route, and what a caller needs for it. The only such table: the server, the gate before the
//! handlers and the tests read it.

use std::{collections::HashMap, sync::LazyLock};

use actix_web::{FromRequest, Handler, Responder, Route, guard as when, http::Method};

use super::{
    agents, attempt, audit, batches, bulk, docs, events, fleets,
    gate::{
        Needs,
        Needs::Caller as CALLER,
        Subject::{Agent, Body, Filtered, Fleet, Host, Nothing, OneQueue, Queue, Task},
        admin, control, read, submit,
    },
    health, keys, limits, mcp, openapi, plans, queues, schedules, sessions, task_logs, tasks,
    webhook, webhooks, workspaces,
};

/// One path and the methods that it has.
pub(super) type Row = (&'static str, Vec<Verb>);

/// One method of a path.
pub(super) struct Verb {
    pub(super) method: Method,
    /// What a caller needs for it.
    pub(super) needs: Needs,
    pub(super) route: Route,
}

/// Every route.
pub(super) fn routes() -> Vec<Row> {
    vec![
        ("/openapi.json", vec![get(Needs::Public, openapi::show)]),
        ("/docs", vec![get(Needs::Public, docs::page)]),
        ("/docs/page.js", vec![get(Needs::Public, docs::script)]),
        ("/docs/page.css", vec![get(Needs::Public, docs::style)]),
        ("/livez", vec![get(CALLER, health::livez)]),
        ("/readyz", vec![get(CALLER, health::readyz)]),
        ("/metrics", vec![get(read(Host), health::metrics)]),
        // What each tool needs it looks for itself.
        ("/mcp", vec![post(CALLER, mcp::post)]),
        ("/api/v1/host", vec![get(read(Nothing), health::host)]),
        ("/api/v1/hosts", vec![get(read(Host), health::hosts)]),
        ("/api/v1/reload", vec![post(control(Host), fleets::reload)]),
        ("/api/v1/upgrade", vec![post(control(Host), fleets::upgrade)]),
        ("/api/v1/fleets", vec![get(read(Filtered), fleets::list)]),
        ("/api/v1/fleets/{name}", vec![get(read(Fleet), fleets::show)]),
        ("/api/v1/fleets/{name}/scale", vec![post(control(Fleet), fleets::scale)]),
        ("/api/v1/fleets/{name}/restart", vec![post(control(Fleet), fleets::restart)]),
        ("/api/v1/agents", vec![get(read(Filtered), agents::list)]),
        ("/api/v1/agents/{name}", vec![get(read(Agent), agents::show)]),
        ("/api/v1/agents/{name}/start", vec![post(control(Agent), agents::start)]),
        ("/api/v1/agents/{name}/stop", vec![post(control(Agent), agents::stop)]),
        ("/api/v1/agents/{name}/restart", vec![post(control(Agent), agents::restart)]),
        ("/api/v1/agents/{name}/pause", vec![post(control(Agent), agents::pause)]),
        ("/api/v1/agents/{name}/drain", vec![post(control(Agent), agents::drain)]),
        ("/api/v1/agents/{name}/release", vec![post(control(Agent), agents::release)]),
        ("/api/v1/agents/{name}/logs", vec![get(read(Agent), agents::logs)]),
        (
            "/api/v1/tasks",
            vec![get(read(OneQueue), tasks::list), post(submit(Body), tasks::submit)],
        ),
        // Before the ids, which these words can't be.
        ("/api/v1/tasks/cancel", vec![post(control(Host), bulk::cancel)]),
        ("/api/v1/tasks/retry", vec![post(control(Host), bulk::retry)]),
        ("/api/v1/tasks/{id}", vec![get(read(Task), tasks::show)]),
        ("/api/v1/tasks/{id}/attempts", vec![get(read(Task), tasks::attempts)]),
        ("/api/v1/tasks/{id}/events", vec![get(read(Task), tasks::events)]),
        ("/api/v1/tasks/{id}/logs", vec![get(read(Task), task_logs::logs)]),
        ("/api/v1/tasks/{id}/graph", vec![get(read(Task), tasks::graph)]),
        ("/api/v1/tasks/{id}/cancel", vec![post(control(Task), tasks::cancel)]),
        ("/api/v1/tasks/{id}/retry", vec![post(control(Task), tasks::retry)]),
        ("/api/v1/dead-letters", vec![get(read(Host), bulk::letters)]),
        ("/api/v1/dead-letters/redrive", vec![post(control(Host), bulk::redrive)]),
        ("/api/v1/dead-letters/discard", vec![post(control(Host), bulk::discard)]),
        ("/api/v1/dead-letters/{id}", vec![get(read(Host), bulk::letter)]),
        ("/api/v1/groups", vec![get(read(Host), batches::groups)]),
        ("/api/v1/groups/{name}", vec![get(read(Host), batches::group)]),
        (
            "/api/v1/batches",
            vec![get(read(Host), batches::list), post(submit(Host), batches::submit)],
        ),
        ("/api/v1/batches/{id}", vec![get(read(Host), batches::show)]),
        ("/api/v1/batches/{id}/tasks", vec![post(submit(Host), batches::add)]),
        ("/api/v1/batches/{id}/close", vec![post(submit(Host), batches::close)]),
        ("/api/v1/batches/{id}/cancel", vec![post(control(Host), batches::cancel)]),
        ("/api/v1/tasks/{id}/snooze", vec![post(control(Task), tasks::snooze)]),
        ("/api/v1/tasks/{id}/progress", vec![post(submit(Task), attempt::progress)]),
        ("/api/v1/tasks/{id}/release", vec![post(control(Task), tasks::release)]),
        ("/api/v1/schedules", vec![get(read(Host), schedules::list)]),
        (
            "/api/v1/schedules/{name}",
            vec![
                get(read(Host), schedules::show),
                put(control(Host), schedules::put),
                delete(control(Host), schedules::remove),
            ],
        ),
        ("/api/v1/schedules/{name}/firings", vec![get(read(Host), schedules::firings)]),
        ("/api/v1/schedules/{name}/next", vec![get(read(Host), schedules::next)]),
        ("/api/v1/schedules/{name}/pause", vec![post(control(Host), schedules::pause)]),
        ("/api/v1/schedules/{name}/resume", vec![post(control(Host), schedules::resume)]),
        ("/api/v1/schedules/{name}/run", vec![post(control(Host), schedules::run)]),
        ("/api/v1/plans/history", vec![post(read(Host), plans::history)]),
        (
            "/api/v1/plans/runs",
            vec![get(read(Host), plans::list), post(submit(Host), plans::submit)],
        ),
        ("/api/v1/plans/runs/{id}", vec![get(read(Host), plans::show)]),
        ("/api/v1/plans/runs/{id}/tasks", vec![get(read(Host), plans::tasks)]),
        ("/api/v1/plans/runs/{id}/report", vec![get(read(Host), plans::report)]),
        ("/api/v1/plans/runs/{id}/pause", vec![post(control(Host), plans::pause)]),
        ("/api/v1/plans/runs/{id}/resume", vec![post(control(Host), plans::resume)]),
        ("/api/v1/plans/runs/{id}/cancel", vec![post(control(Host), plans::cancel)]),
        ("/api/v1/plans/runs/{id}/retry", vec![post(control(Host), plans::retry)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/done", vec![post(control(Host), plans::done)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/fail", vec![post(control(Host), plans::fail)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/approve", vec![post(control(Host), plans::approve)]),
        ("/api/v1/plans/runs/{id}/tasks/{task}/skip", vec![post(control(Host), plans::skip)]),
        ("/api/v1/workspaces", vec![get(read(Host), workspaces::list)]),
        ("/api/v1/workspaces/prune", vec![post(control(Host), workspaces::prune)]),
        ("/api/v1/workspaces/{task}/resolved", vec![post(control(Host), workspaces::resolved)]),
        ("/webhook", vec![post(CALLER, webhook::receive)]),
        ("/ws", vec![get(submit(Host), webhook::relay::join)]),
        ("/llm-instructions", vec![get(Needs::Public, webhook::instructions::show)]),
        ("/api/v1/search", vec![get(read(Host), sessions::search)]),
        ("/api/v1/session-imports", vec![post(submit(Host), sessions::import)]),
        (
            "/api/v1/sessions",
            vec![get(read(Host), sessions::list), post(submit(Host), sessions::create)],
        ),
        (
            "/api/v1/sessions/{id}",
            vec![
                get(read(Host), sessions::show),
                patch(submit(Host), sessions::change),
                delete(control(Host), sessions::remove),
            ],
        ),
        ("/api/v1/sessions/{id}/pause", vec![post(submit(Host), sessions::pause)]),
        ("/api/v1/sessions/{id}/resume", vec![post(submit(Host), sessions::resume)]),
        ("/api/v1/sessions/{id}/complete", vec![post(submit(Host), sessions::complete)]),
        ("/api/v1/sessions/{id}/export", vec![get(read(Host), sessions::export)]),
        (
            "/api/v1/sessions/{id}/chunks",
            vec![get(read(Host), sessions::chunks), post(submit(Host), sessions::append)],
        ),
        ("/api/v1/sessions/{id}/chunks/{item}", vec![get(read(Host), sessions::chunk)]),
        (
            "/api/v1/sessions/{id}/chunks/{item}/content",
            vec![
                get(read(Host), sessions::chunk_content),
                put(submit(Host), sessions::put_chunk_content),
            ],
        ),
        (
            "/api/v1/sessions/{id}/memories",
            vec![get(read(Host), sessions::memories), post(submit(Host), sessions::store)],
        ),
        (
            "/api/v1/sessions/{id}/memories/{item}",
            vec![get(read(Host), sessions::memory), put(submit(Host), sessions::put_memory)],
        ),
        (
            "/api/v1/sessions/{id}/tasks",
            vec![get(read(Host), sessions::tasks), post(submit(Body), sessions::delegate)],
        ),
        ("/api/v1/sessions/{id}/tasks/{item}", vec![get(read(Body), sessions::task)]),
        ("/api/v1/sessions/{id}/tasks/{item}/cancel", vec![post(control(Body), sessions::cancel)]),
        (
            "/api/v1/sessions/{id}/artifacts",
            vec![get(read(Host), sessions::artifacts), post(submit(Host), sessions::add_artifact)],
        ),
        ("/api/v1/sessions/{id}/artifacts/{item}", vec![get(read(Host), sessions::artifact)]),
        (
            "/api/v1/sessions/{id}/artifacts/{item}/content",
            vec![
                get(read(Host), sessions::artifact_content),
                put(submit(Host), sessions::put_artifact_content),
            ],
        ),
        ("/api/v1/events", vec![get(read(Filtered), events::feed)]),
        ("/api/v1/webhooks/endpoints", vec![get(read(Host), webhooks::list)]),
        (
            "/api/v1/webhooks/endpoints/{name}",
            vec![
                get(read(Host), webhooks::show),
                put(control(Host), webhooks::put),
                delete(control(Host), webhooks::remove),
            ],
        ),
        ("/api/v1/webhooks/endpoints/{name}/rotate", vec![post(control(Host), webhooks::rotate)]),
        ("/api/v1/webhooks/endpoints/{name}/enable", vec![post(control(Host), webhooks::enable)]),
        ("/api/v1/webhooks/endpoints/{name}/disable", vec![post(control(Host), webhooks::disable)]),
        ("/api/v1/webhooks/endpoints/{name}/test", vec![post(control(Host), webhooks::test)]),
        (
            "/api/v1/webhooks/endpoints/{name}/replay",
            vec![post(control(Host), webhooks::replay_dead)],
        ),
        ("/api/v1/webhooks/deliveries", vec![get(read(Host), webhooks::deliveries)]),
        ("/api/v1/webhooks/deliveries/{id}", vec![get(read(Host), webhooks::delivery)]),
        ("/api/v1/webhooks/deliveries/{id}/replay", vec![post(control(Host), webhooks::replay)]),
        ("/api/v1/queues", vec![get(read(Filtered), queues::list)]),
        ("/api/v1/queues/{name}/pause", vec![post(control(Queue), limits::pause_queue)]),
        ("/api/v1/queues/{name}/resume", vec![post(control(Queue), queues::resume)]),
        ("/api/v1/queues/{name}/limits", vec![patch(control(Queue), limits::of_queue)]),
        ("/api/v1/locks", vec![get(read(Host), limits::locks)]),
        (
            "/api/v1/limits",
            vec![get(read(Host), limits::list), patch(control(Host), limits::change)],
        ),
        ("/api/v1/keys/pause", vec![post(control(Host), limits::pause_key)]),
        ("/api/v1/api-keys", vec![get(admin(Host), keys::list), post(admin(Host), keys::create)]),
        ("/api/v1/api-keys/{id}", vec![get(admin(Host), keys::show)]),
        ("/api/v1/api-keys/{id}/revoke", vec![post(admin(Host), keys::revoke)]),
        ("/api/v1/audit", vec![get(admin(Host), audit::list)]),
        ("/api/v1/keys/resume", vec![post(control(Host), limits::resume_key)]),
    ]
}

/// What a caller needs for a method of a path, as the path stands in the table.
pub(super) fn needs(method: &Method, path: &str) -> Option<Needs> {
    static NEEDS: LazyLock<HashMap<(&str, Method), Needs>> = LazyLock::new(|| {
        let all = routes().into_iter().flat_map(|(path, verbs)| {
            verbs.into_iter().map(move |verb| ((path, verb.method), verb.needs))
        });
        all.collect()
    });
    NEEDS.get(&(path, method.clone())).copied()
}

/// Whether everybody may ask for `path`.
pub(super) fn is_public(path: &str) -> bool {
    static PUBLIC: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let all = routes().into_iter();
        all.filter(|(_, verbs)| verbs.iter().all(|verb| verb.needs == Needs::Public))
            .map(|(path, _)| path)
            .collect()
    });
    PUBLIC.contains(&path)
}

fn get<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let methods = when::Any(when::Get()).or(when::Head());
    Verb { method: Method::GET, needs, route: Route::new().guard(methods).to(handler) }
}

fn post<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: Method::POST, needs, route: Route::new().guard(when::Post()).to(handler) }
}

fn patch<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: Method::PATCH, needs, route: Route::new().guard(when::Patch()).to(handler) }
}

fn put<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: Method::PUT, needs, route: Route::new().guard(when::Put()).to(handler) }
}

fn delete<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: Method::DELETE, needs, route: Route::new().guard(when::Delete()).to(handler) }
}
