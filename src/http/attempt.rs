//! What an agent may ask for with the token of its attempt: what the attempt is about, and nothing else.
//!
//! The token ends with the attempt: it is looked at each request whether an agent of this host is at
//! work on it.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    dev::ServiceRequest,
    http::Method,
    web::{Data, Payload},
};
use serde_json::Value;

use super::{
    Answer, State, body,
    caller::{Caller, Who},
    error::{ApiError, Kind},
    ok, query,
};
use crate::{
    domain::{
        Attempt, TaskId,
        access::{Grants, Scope},
        session::SessionId,
    },
    protocol::worker::MAX_PROGRESS,
    supervisor::{AtWork, SupervisorError},
};

/// The pauses in which the word that a worker has begun may come through.
const ASK_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(60), Duration::from_millis(250)];

/// What a route must be about, for the token of an attempt to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnlyFor {
    /// Anything.
    Any,
    /// The attempt's own task.
    OwnTask,
    /// Queues that the agent may submit to: the handler looks.
    ItsQueues,
    /// The session in which the task was given away.
    ItsSession,
}

/// Every route that the token of an attempt opens.
const OPEN: &[(Method, &str, OnlyFor)] = &[
    (Method::GET, "/livez", OnlyFor::Any),
    (Method::GET, "/api/v1/tasks/{id}", OnlyFor::OwnTask),
    (Method::POST, "/api/v1/tasks/{id}/progress", OnlyFor::OwnTask),
    (Method::POST, "/api/v1/tasks", OnlyFor::ItsQueues),
    (Method::POST, "/api/v1/sessions/{id}/memories", OnlyFor::ItsSession),
    (Method::PUT, "/api/v1/sessions/{id}/memories/{item}", OnlyFor::ItsSession),
    (Method::POST, "/api/v1/sessions/{id}/artifacts", OnlyFor::ItsSession),
    (Method::PUT, "/api/v1/sessions/{id}/artifacts/{item}/content", OnlyFor::ItsSession),
];

/// The caller that a token means, if it is one of this host and its attempt is under way here; else who
/// it seems to be, and why it is of no use.
pub(super) async fn caller(
    state: &State,
    sent: &[u8],
    peer: Option<SocketAddr>,
) -> Result<Caller, (Who, ApiError)> {
    let Some((task, attempt)) = state.attempts.read(sent) else {
        let detail = "this host does not know the token";
        return Err((Who::Nobody, ApiError::new(Kind::NoKey, detail)));
    };
    let who = Who::Attempt(task, attempt);
    match at_work(state, task, attempt).await {
        Ok(Some(at_work)) => {
            let grants = Grants {
                scopes: BTreeSet::from([Scope::Read, Scope::Submit]),
                // One that is limited to nothing would reach everything.
                fleets: BTreeSet::from([at_work.fleet]),
                queues: at_work.queues.into_iter().collect(),
            };
            Ok(Caller { who, peer, grants: Arc::new(grants) })
        }
        Ok(None) => {
            let detail = "the attempt that the token is for has ended";
            Err((who, ApiError::new(Kind::NoKey, detail)))
        }
        Err(error) => Err((who, error.into())),
    }
}

/// Who works on the attempt. A worker may call before the word that it has begun is through, above all with
/// a task that waited in its stdin: so it is asked again for a moment. Only who has a token of this host
/// gets this far.
async fn at_work(
    state: &State,
    task: TaskId,
    attempt: Attempt,
) -> Result<Option<AtWork>, SupervisorError> {
    for pause in ASK_AGAIN_AFTER {
        let found = state.supervisor.at_work_on(task, attempt).await?;
        if found.is_some() {
            return Ok(found);
        }
        tokio::time::sleep(pause).await;
    }
    state.supervisor.at_work_on(task, attempt).await
}

/// Whether this attempt may ask this.
pub(super) async fn may(
    state: &State,
    (task, attempt): (TaskId, Attempt),
    request: &ServiceRequest,
) -> Result<(), ApiError> {
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let pattern = request.match_pattern().unwrap_or_default();
    let open = OPEN.iter().find(|(one, path, _)| one == method && *path == pattern);
    let Some((_, _, only)) = open else {
        let detail = "the token of an attempt is not for this";
        return Err(ApiError::new(Kind::Forbidden, detail));
    };
    let id = request.match_info().get("id").unwrap_or_default();
    let of_other = |what: &str| {
        let detail = format!("the token is for attempt {attempt} of task {task}, {what}");
        ApiError::new(Kind::Forbidden, detail)
    };
    match only {
        OnlyFor::Any | OnlyFor::ItsQueues => Ok(()),
        OnlyFor::OwnTask if id.parse() == Ok(task) => Ok(()),
        OnlyFor::OwnTask => Err(of_other("and this is about another task")),
        OnlyFor::ItsSession => match id.parse::<SessionId>() {
            Ok(session) if state.sessions.gave_away(&session, task).await? => Ok(()),
            _ => Err(of_other("which was not given away in this session")),
        },
    }
}

/// Tells how far the attempt under way is: any JSON object, shown with its agent, and a sign of life.
pub(super) async fn progress(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    let task: TaskId = query::path(&request, "id")?;
    let Who::Attempt(_, attempt) = caller.who else {
        let detail =
            "only the agent that is at work says how far it is, with the token of its attempt";
        return Err(ApiError::new(Kind::Forbidden, detail));
    };
    let told = body::object(&request, payload, MAX_PROGRESS as u64).await?;
    let known = state.supervisor.is_so_far(task, attempt, Value::Object(told)).await?;
    if !known {
        let detail = "the attempt that the token is for has ended";
        return Err(ApiError::new(Kind::NoKey, detail));
    }
    super::audit::told(&request);
    Ok(ok(&serde_json::json!({})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    #[test]
    fn only_routes_that_there_are_are_open_and_none_that_intervenes() {
        for (method, path, only) in OPEN {
            let needs = routes::needs(method, path).unwrap_or_else(|| panic!("{method} {path}"));
            let shown = format!("{needs:?}");
            assert!(!shown.contains("Control") && !shown.contains("Admin"), "{method} {path}");
            let changes = *method != Method::GET;
            assert!(!changes || *only != OnlyFor::Any, "{method} {path}");
        }
    }
}
