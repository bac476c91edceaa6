//! What of a request goes into the audit record, and asking for that record.
//!
//! Every request that changes something is recorded after it was answered, under a name that follows
//! from its route, and so is whoever is turned away. A handler whose requests are not all the same
//! says itself what they were ([`tell`]), or that it has recorded them ([`told`]).

use std::net::SocketAddr;

use actix_web::{
    HttpMessage as _, HttpRequest,
    body::BoxBody,
    dev::ServiceResponse,
    http::{Method, header::LOCATION},
    web::Data,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Answer, State,
    caller::{Caller, Who},
    ok, query, routes,
};
use crate::domain::{
    access::Scope,
    audit::{Deed, Outcome, Surface},
    record::Page,
};

/// Where all routes of the API begin.
const ROOT: &str = "/api/v1/";

/// One change, in the words of the handler that knows of it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) surface: Surface,
    pub(super) operation: String,
    pub(super) object: String,
    pub(super) status: u16,
}

/// The id of a request, as it is answered.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// What a handler has told.
#[derive(Debug, Default)]
struct Tale(Vec<Told>);

/// Says what a request was: these changes, and no others.
pub(super) fn tell(request: &HttpRequest, changes: Vec<Told>) {
    request.extensions_mut().insert(Tale(changes));
}

/// Says that the request has been recorded, or has changed nothing.
pub(super) fn told(request: &HttpRequest) {
    tell(request, Vec::new());
}

/// The name of what a route does: its fixed words, and what is done to them where these do not say.
pub(super) fn operation(method: &Method, pattern: &str) -> String {
    let words = pattern.strip_prefix(ROOT).unwrap_or(pattern.trim_start_matches('/'));
    let mut name = words.split('/').filter(|word| !word.starts_with('{')).collect::<Vec<_>>();
    let is_listed = || routes::needs(&Method::GET, pattern).is_some();
    match method.as_str() {
        "GET" | "HEAD" => name.push("get"),
        "PUT" => name.push("put"),
        "PATCH" => name.push("change"),
        "DELETE" => name.push("delete"),
        _ if is_listed() => name.push("create"),
        _ => {}
    }
    name.join(".")
}

/// Who asks, and from where; none is the unix socket.
type Asker<'a> = (&'a Who, Option<SocketAddr>);

/// A deed of this caller on the route with this pattern.
fn deed_at(pattern: Option<&str>, asker: Asker<'_>, request: &HttpRequest) -> Deed {
    let operation =
        pattern.map_or_else(|| "unknown".to_owned(), |it| operation(request.method(), it));
    let parts: Vec<_> = request.match_info().iter().map(|(_, part)| part).collect();
    Deed { operation, object: parts.join("/"), ..something_of(asker, request) }
}

/// A deed of this caller, without saying which.
fn something_of((who, peer): Asker<'_>, request: &HttpRequest) -> Deed {
    Deed {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        who: who.to_string(),
        peer: peer.map(|peer| peer.to_string()),
        surface: Surface::Http,
        operation: String::new(),
        object: String::new(),
        outcome: Outcome::Done,
        status: None,
        count: 1,
        request: request.extensions().get::<RequestId>().map(|id| id.0.clone()),
    }
}

/// The deed of the caller of a handler that records it itself.
pub(super) fn deed_of(caller: &Caller, request: &HttpRequest) -> Deed {
    deed_at(request.match_pattern().as_deref(), (&caller.who, caller.peer), request)
}

/// Records what came of a request, if it is to be recorded.
pub(super) fn note(state: &State, asker: Asker<'_>, answer: &ServiceResponse<BoxBody>) {
    let (request, status) = (answer.request(), answer.status().as_u16());
    let outcome = Outcome::of_status(status);
    let pattern = request.match_pattern();
    if outcome != Outcome::Refused && !changes(request.method(), pattern.as_deref()) {
        return;
    }
    let tale = request.extensions_mut().remove::<Tale>();
    if let Some(Tale(changes)) = tale {
        return note_all(state, something_of(asker, request), changes);
    }
    let base = deed_at(pattern.as_deref(), asker, request);
    let made = answer.headers().get(LOCATION).and_then(|at| at.to_str().ok());
    let object = match made.and_then(|at| at.strip_prefix(ROOT)) {
        // The name of a thing comes after that of its kind.
        Some(at) => at.split('/').skip(1).step_by(2).collect::<Vec<_>>().join("/"),
        None => base.object,
    };
    state.audit.note(Deed { object, outcome, status: Some(status), ..base });
}

/// Records changes; `base` says who made them, and from where.
pub(super) fn note_all(state: &State, base: Deed, changes: Vec<Told>) {
    let bases = std::iter::repeat_n(base, changes.len());
    for (told, base) in changes.into_iter().zip(bases) {
        state.audit.note(Deed {
            id: Uuid::now_v7(),
            surface: told.surface,
            operation: told.operation,
            object: told.object,
            outcome: Outcome::of_status(told.status),
            status: Some(told.status),
            ..base
        });
    }
}

/// Whether this method of the route with this pattern changes something.
fn changes(method: &Method, pattern: Option<&str>) -> bool {
    use super::gate::Needs;
    let Some(pattern) = pattern else { return false };
    let looks = matches!(method, &Method::GET | &Method::HEAD);
    !looks
        && routes::needs(method, pattern)
            .is_some_and(|needs| !matches!(needs, Needs::Scope(Scope::Read, _)))
}

/// A page of the record.
pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    let filter = query::audit(request.query_string())?;
    let items = state.audit.list(&filter).await?;
    let is_full = items.len() == usize::try_from(filter.limit).unwrap_or(usize::MAX);
    // Whoever goes forward asks again for what comes later.
    let more = is_full || filter.oldest_first;
    let last = items.last().map(|record| record.number).or(filter.cursor).filter(|_| more);
    Ok(ok(&Page { items, next_cursor: last.map(|number| number.to_string()) }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_follow_from_routes() {
        for (method, pattern, name) in [
            (Method::POST, "/api/v1/tasks", "tasks.create"),
            (Method::POST, "/api/v1/tasks/{id}/cancel", "tasks.cancel"),
            (Method::POST, "/api/v1/reload", "reload"),
            (Method::POST, "/api/v1/api-keys", "api-keys.create"),
            (Method::POST, "/api/v1/api-keys/{id}/revoke", "api-keys.revoke"),
            (Method::PUT, "/api/v1/sessions/{id}/memories/{item}", "sessions.memories.put"),
            (Method::DELETE, "/api/v1/schedules/{name}", "schedules.delete"),
            (Method::PATCH, "/api/v1/queues/{name}/limits", "queues.limits.change"),
            (Method::GET, "/api/v1/tasks/{id}", "tasks.get"),
            (Method::POST, "/webhook", "webhook"),
        ] {
            assert_eq!(operation(&method, pattern), name);
        }
    }

    #[test]
    fn no_two_changes_have_the_same_name() {
        let mut seen = BTreeMap::new();
        for (path, verbs) in routes::routes() {
            for verb in verbs.iter().filter(|verb| verb.method != Method::GET) {
                let before = seen.insert(operation(&verb.method, path), path);
                // Of one task, and of many that fit; of one delivery, and of all that are dead.
                let of_many = before.is_some_and(|before| {
                    let last = |path: &str| path.rsplit('/').next().map(str::to_owned);
                    last(before) == last(path)
                });
                assert!(before.is_none() || of_many, "{path} and {before:?}");
            }
        }
    }
}
