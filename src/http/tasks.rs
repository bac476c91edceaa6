//! Tasks.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Answer, State,
    api::{FieldError, Listing, SubmittedMany},
    body,
    error::{ApiError, Kind},
    fields, ok, query,
    submit::{self, Rules, Submission},
};
use crate::{
    domain::{
        TaskId,
        record::{Submitted, TaskRecord},
        task::NewTask,
    },
    queue::QueueError,
};

pub(super) async fn submit(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let wait = query::wait(request.query_string(), state.settings.max_wait)?;
    let header_key = query::idempotency_key(request.headers())?;
    let body = body::json(&request, payload, state.settings.max_body).await?;
    let terms = state.queue.terms();
    let rules = Rules { tasks: &state.tasks, terms, now: Timestamp::now(), header_key };
    let new_id = || TaskId::from_uuid(Uuid::now_v7());
    match (submit::read(body, &rules, new_id).map_err(ApiError::invalid)?, wait) {
        (Submission::One(task), wait) => one(&state, *task, wait).await,
        (Submission::Many(tasks), None) => many(&state, tasks).await,
        (Submission::Many(_), Some(_)) => {
            Err(ApiError::new(Kind::BadQuery, "`wait` is for one task, not for several"))
        }
    }
}

async fn one(state: &State, task: NewTask, wait: Option<Duration>) -> Answer {
    let submitted =
        accept(state, vec![task], |_, field| field.to_owned()).await?.into_iter().next();
    let Some(submitted) = submitted else {
        return Err(ApiError::fault("the queue answered a submit of one task with none"));
    };
    let mut answer = created(submitted.created);
    answer.insert_header((LOCATION, format!("/api/v1/tasks/{}", submitted.id)));
    match wait {
        None => Ok(answer.json(submitted)),
        Some(limit) => Ok(answer.json(settled(state, submitted.id, limit).await?)),
    }
}

async fn many(state: &State, tasks: Vec<NewTask>) -> Answer {
    let items = accept(state, tasks, |nth, field| format!("tasks[{nth}].{field}")).await?;
    let made = items.iter().filter(|task| task.created).count();
    Ok(created(made > 0).json(SubmittedMany { items, created: made }))
}

/// Submits. A queue or a task that is not there is a mistake in the body, and not a path that is not
/// there.
///
/// `field` gives the full name of a field of the task at a place.
async fn accept(
    state: &State,
    tasks: Vec<NewTask>,
    field: impl Fn(usize, &str) -> String,
) -> Result<Vec<Submitted>, ApiError> {
    let queues: Vec<_> = tasks.iter().map(|task| task.queue.clone()).collect();
    state.queue.submit(tasks).await.map_err(|error| match &error {
        QueueError::UnknownQueue { queue } => {
            let nth = queues.iter().position(|of_task| of_task == queue).unwrap_or(0);
            let detail = error.to_string();
            ApiError::invalid(vec![FieldError { field: field(nth, "queue"), detail }])
        }
        QueueError::UnknownDependency { position, nth, .. } => {
            let field = field(*position, &format!("depends_on[{nth}]"));
            ApiError::invalid(vec![FieldError { field, detail: error.to_string() }])
        }
        QueueError::Unstorable { position, field: name, .. } => {
            let (field, detail) = (field(*position, name), error.to_string());
            ApiError::invalid(vec![FieldError { field, detail }])
        }
        QueueError::NotUnique { rejected } => {
            let detail = match rejected.earlier {
                Some(nth) => format!("tasks[{nth}] of the same submit has the key already"),
                None => error.to_string(),
            };
            ApiError::of_field(Kind::NotUnique, field(rejected.position, "unique"), detail)
        }
        _ => error.into(),
    })
}

fn created(any: bool) -> actix_web::HttpResponseBuilder {
    if any { HttpResponse::Created() } else { HttpResponse::Ok() }
}

/// The task once it is final, or as it is when the limit has passed or the host stops.
async fn settled(state: &State, id: TaskId, limit: Duration) -> Result<TaskRecord, ApiError> {
    let found = tokio::select! {
        found = state.queue.wait(id, limit) => found?,
        () = state.closing.closed() => state.queue.get(id).await?,
    };
    found.ok_or_else(|| QueueError::UnknownTask { task: id }.into())
}

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    let filter = query::filter(request.query_string())?;
    Ok(ok(&state.queue.list(filter).await?))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    let wait = query::wait(request.query_string(), state.settings.max_wait)?;
    let id = query::path(&request, "id")?;
    Ok(ok(&settled(&state, id, wait.unwrap_or_default()).await?))
}

pub(super) async fn attempts(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let id = query::path(&request, "id")?;
    let items = state.queue.attempts(id).await?;
    history(&state, id, items).await
}

pub(super) async fn events(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let id = query::path(&request, "id")?;
    let items = state.queue.events(id).await?;
    history(&state, id, items).await
}

pub(super) async fn graph(state: Data<State>, request: HttpRequest) -> Answer {
    let extent = query::extent(request.query_string())?;
    let id = query::path(&request, "id")?;
    Ok(ok(&state.queue.graph(id, extent).await?))
}

/// Answers what there is of a task, if there is such a task.
async fn history<T: Serialize>(state: &State, id: TaskId, items: Vec<T>) -> Answer {
    if items.is_empty() && state.queue.get(id).await?.is_none() {
        return Err(QueueError::UnknownTask { task: id }.into());
    }
    Ok(ok(&Listing { items }))
}

pub(super) async fn cancel(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = bare(&state, &request, payload).await?;
    Ok(ok(&state.queue.cancel(id).await?))
}

pub(super) async fn retry(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = bare(&state, &request, payload).await?;
    Ok(ok(&state.queue.retry(id).await?))
}

pub(super) async fn release(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = bare(&state, &request, payload).await?;
    Ok(ok(&state.queue.release(id).await?))
}

/// The task of a request that says nothing more.
async fn bare(state: &State, request: &HttpRequest, payload: Payload) -> Result<TaskId, ApiError> {
    query::none(request)?;
    let id = query::path(request, "id")?;
    let body = body::object(request, payload, state.settings.max_body).await?;
    fields::nothing(body).map_err(ApiError::invalid)?;
    Ok(id)
}
