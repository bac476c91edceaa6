//! What stands before each handler: whether this caller may ask this.
//!
//! `layers` finds out who asks; the table of routes says what is needed; here the two are compared. A
//! key without limits costs nothing more. One that is limited costs a look at the task, where the
//! route is about a task: its queue is what counts.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web::{Data, Query},
};

use super::{
    State, attempt,
    caller::{Caller, Who},
    error::ApiError,
};
use crate::domain::{
    AgentName, FleetName, QueueName, TaskId,
    access::{About, Scope},
    task::NewTask,
};

/// What a caller needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing, not even a key: it is the same for everybody, and tells nothing of this host.
    Public,
    /// To be let in.
    Caller,
    /// A scope, for this.
    Scope(Scope, Subject),
}

/// What a route is about, and so what a key must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Nothing that keys are limited to.
    Nothing,
    /// The host as a whole.
    Host,
    /// The task `{id}`.
    Task,
    /// The fleet `{name}`.
    Fleet,
    /// The agent `{name}`.
    Agent,
    /// The queue `{name}`.
    Queue,
    /// The queue that `?queue=` names: a key that is limited must say one.
    OneQueue,
    /// What the handler leaves out where the caller does not reach it.
    Filtered,
    /// What the body says, or what stands behind a name: the handler looks.
    Body,
}

/// To look.
pub(super) const fn read(about: Subject) -> Needs {
    Needs::Scope(Scope::Read, about)
}

/// To give work.
pub(super) const fn submit(about: Subject) -> Needs {
    Needs::Scope(Scope::Submit, about)
}

/// To intervene.
pub(super) const fn control(about: Subject) -> Needs {
    Needs::Scope(Scope::Control, about)
}

/// To make keys.
pub(super) const fn admin(about: Subject) -> Needs {
    Needs::Scope(Scope::Admin, about)
}

/// Lets a request through to its handler, or answers that the caller may not ask this.
pub(super) async fn pass(
    needs: Rc<[(Method, Needs)]>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // What can be got can be asked for by `HEAD` too.
    let asked = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let needed = needs.iter().find(|(method, _)| method == asked).map(|(_, needed)| *needed);
    let at_work = match request.extensions().get::<Caller>().map(|caller| &caller.who) {
        Some(Who::Attempt(task, attempt)) => Some((*task, *attempt)),
        _ => None,
    };
    let allowed = match (needed, at_work) {
        (Some(Needs::Scope(..) | Needs::Caller), Some(attempt)) => {
            match request.app_data::<Data<State>>() {
                Some(state) => attempt::may(state, attempt, &request).await,
                None => Err(ApiError::fault("a server without a state")),
            }
        }
        (Some(Needs::Scope(scope, about)), None) => is_allowed(scope, about, &request).await,
        // Without such a method the answer is that there is none.
        (Some(Needs::Public | Needs::Caller) | None, _) => Ok(()),
    };
    match allowed {
        Ok(()) => next.call(request).await,
        Err(refused) => Ok(request.into_response(HttpResponse::from_error(refused))),
    }
}

async fn is_allowed(
    scope: Scope,
    about: Subject,
    request: &ServiceRequest,
) -> Result<(), ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| ApiError::fault("a request without a caller at the gate"))?;
    caller.may(scope, About::Nothing)?;
    if !caller.grants.is_limited() {
        return Ok(());
    }
    let part = |name| request.match_info().get(name).unwrap_or_default();
    match about {
        Subject::Nothing | Subject::Filtered | Subject::Body => Ok(()),
        Subject::Host => caller.may(scope, About::Host),
        // What can't be read is told by the handler.
        Subject::Queue => match part("name").parse::<QueueName>() {
            Ok(queue) => caller.may(scope, About::Queue(&queue)),
            Err(_) => Ok(()),
        },
        Subject::Fleet => match part("name").parse::<FleetName>() {
            Ok(fleet) => caller.may(scope, About::Fleet(&fleet)),
            Err(_) => Ok(()),
        },
        Subject::Agent => match part("name").parse::<AgentName>().map(|agent| agent.fleet()) {
            Ok(Some(fleet)) => caller.may(scope, About::Fleet(&fleet)),
            Ok(None) => caller.may(scope, About::Host),
            Err(_) => Ok(()),
        },
        Subject::OneQueue => match queue_of(request.query_string()) {
            Some(queue) => caller.may(scope, About::Queue(&queue)),
            None => caller.may(scope, About::Host),
        },
        Subject::Task => match part("id").parse() {
            Ok(task) => of_task(request, &caller, scope, task).await,
            Err(_) => Ok(()),
        },
    }
}

/// The queue that a query names, if it does so once and well.
fn queue_of(query: &str) -> Option<QueueName> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query).ok()?;
    let mut named = pairs.iter().filter(|(name, _)| name == "queue");
    let queue = named.next()?.1.parse().ok()?;
    named.next().is_none().then_some(queue)
}

async fn of_task(
    request: &ServiceRequest,
    caller: &Caller,
    scope: Scope,
    task: TaskId,
) -> Result<(), ApiError> {
    let Some(state) = request.app_data::<Data<State>>() else {
        return Err(ApiError::fault("a server without a state"));
    };
    may_task(state, caller, scope, task).await
}

/// Whether the caller may do this to a task: to one of its queue.
pub(super) async fn may_task(
    state: &State,
    caller: &Caller,
    scope: Scope,
    task: TaskId,
) -> Result<(), ApiError> {
    caller.may(scope, About::Nothing)?;
    if !caller.grants.is_limited() {
        return Ok(());
    }
    match state.queue.get(task).await? {
        Some(task) => caller.may(scope, About::Queue(&task.queue)),
        // The handler says that there is none.
        None => Ok(()),
    }
}

/// Whether the caller may submit these tasks: to these queues, and with the results that they use. A
/// task that waits for one of another queue could show its result.
pub(super) async fn may_submit(
    state: &State,
    caller: &Caller,
    tasks: &[NewTask],
) -> Result<(), ApiError> {
    if !caller.grants.is_limited() {
        return Ok(());
    }
    // A key of a submit finds its task in whichever queue that is.
    for queue in state.queue.queues_of_keys(tasks).await? {
        caller.may(Scope::Submit, About::Queue(&queue))?;
    }
    for task in tasks {
        caller.may(Scope::Submit, About::Queue(&task.queue))?;
        if task.terms.batch.is_some() {
            caller.may(Scope::Submit, About::Host)?;
        }
        for dependency in &task.terms.graph.depends_on {
            let of_this = tasks.iter().any(|other| other.id == dependency.task);
            if !of_this && let Some(other) = state.queue.get(dependency.task).await? {
                caller.may(Scope::Submit, About::Queue(&other.queue))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_once_and_well() {
        assert_eq!(queue_of("limit=3&queue=review"), "review".parse().ok());
        for query in ["", "queue=", "queue=A", "queue=a&queue=b", "queues=a", "%"] {
            assert_eq!(queue_of(query), None, "{query}");
        }
    }
}
