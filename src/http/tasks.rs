//! Tasks.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Answer, State,
    api::{FieldError, Listing, SubmittedMany},
    body,
    caller::Caller,
    error::{ApiError, Kind},
    fields::Fields,
    gate, ok,
    once::HeaderKey,
    query,
    submit::{self, Rules, Submission},
    terms,
};
use crate::{
    domain::{
        BatchId, QueueName, TaskId,
        access::{About, Scope},
        record::{Submitted, TaskRecord},
        task::{NewTask, TaskState},
    },
    queue::QueueError,
};

pub(super) async fn submit(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let wait = query::wait(request.query_string(), state.settings.max_wait)?;
    let header_key = HeaderKey::read(request.headers(), &caller)?;
    let body = body::json(&request, payload, state.settings.max_body).await?;
    take(&state, &caller, body, header_key, wait).await
}

/// Submits what a body asks for, if the caller may.
pub(super) async fn take(
    state: &State,
    caller: &Caller,
    body: Value,
    header_key: Option<HeaderKey<'_>>,
    wait: Option<Duration>,
) -> Answer {
    let terms = state.queue.terms();
    let rules = Rules {
        tasks: &state.tasks,
        terms: &terms,
        now: Timestamp::now(),
        header_key,
        batch: None,
    };
    let new_id = || TaskId::from_uuid(Uuid::now_v7());
    match (submit::read(body, &rules, new_id).map_err(ApiError::invalid)?, wait) {
        (Submission::One(task), wait) => {
            gate::may_submit(state, caller, std::slice::from_ref(&task)).await?;
            one(state, caller, *task, wait).await
        }
        (Submission::Many(tasks), None) => {
            gate::may_submit(state, caller, &tasks).await?;
            many(state, tasks).await
        }
        (Submission::Many(_), Some(_)) => {
            Err(ApiError::new(Kind::BadQuery, "`wait` is for one task, not for several"))
        }
    }
}

async fn one(state: &State, caller: &Caller, task: NewTask, wait: Option<Duration>) -> Answer {
    let submitted =
        accept(state, vec![task], |_, field| field.to_owned()).await?.into_iter().next();
    let Some(submitted) = submitted else {
        return Err(ApiError::fault("the queue answered a submit of one task with none"));
    };
    let mut answer = created(submitted.created);
    answer.insert_header((LOCATION, format!("/api/v1/tasks/{}", submitted.id)));
    match wait {
        None => Ok(answer.json(submitted)),
        Some(limit) => {
            let task = settled(state, submitted.id, limit).await?;
            // A key of a submit finds its task in whichever queue that is.
            caller.may(Scope::Submit, About::Queue(&task.queue))?;
            Ok(answer.json(task))
        }
    }
}

/// Submits several tasks.
pub(super) async fn many(state: &State, tasks: Vec<NewTask>) -> Answer {
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
    let said = Said::of(&tasks);
    state.queue.submit(tasks).await.map_err(|error| said.in_words_of(error, field))
}

/// What the tasks of a submit say, as far as an error may be about it.
pub(super) struct Said {
    queues: Vec<QueueName>,
    batches: Vec<Option<BatchId>>,
}

impl Said {
    /// What `tasks` say.
    pub(super) fn of(tasks: &[NewTask]) -> Self {
        Self {
            queues: tasks.iter().map(|task| task.queue.clone()).collect(),
            batches: tasks.iter().map(|task| task.terms.batch).collect(),
        }
    }

    /// The answer to a submit that failed: what is wrong in the body, by the name of its field.
    pub(super) fn in_words_of(
        &self,
        error: QueueError,
        field: impl Fn(usize, &str) -> String,
    ) -> ApiError {
        let detail = error.to_string();
        match &error {
            QueueError::UnknownQueue { queue } => {
                let nth = self.queues.iter().position(|of_task| of_task == queue);
                let field = field(nth.unwrap_or(0), "queue");
                ApiError::invalid(vec![FieldError { field, detail }])
            }
            QueueError::UnknownDependency { position, nth, .. } => {
                let field = field(*position, &format!("depends_on[{nth}]"));
                ApiError::invalid(vec![FieldError { field, detail }])
            }
            QueueError::Unstorable { position, field: name, .. } => {
                let field = field(*position, name);
                ApiError::invalid(vec![FieldError { field, detail }])
            }
            QueueError::NotUnique { rejected } => {
                let detail = match rejected.earlier {
                    Some(nth) => format!("tasks[{nth}] of the same submit has the key already"),
                    None => detail,
                };
                ApiError::of_field(Kind::NotUnique, field(rejected.position, "unique"), detail)
            }
            QueueError::UnknownBatch { batch } => {
                let nth = self.batches.iter().position(|of_task| of_task.as_ref() == Some(batch));
                let field = field(nth.unwrap_or(0), "batch");
                ApiError::invalid(vec![FieldError { field, detail }])
            }
            _ => error.into(),
        }
    }
}

fn created(any: bool) -> actix_web::HttpResponseBuilder {
    if any { HttpResponse::Created() } else { HttpResponse::Ok() }
}

/// The task once it is final, or as it is when the limit has passed or the host stops.
pub(super) async fn settled(
    state: &State,
    id: TaskId,
    limit: Duration,
) -> Result<TaskRecord, ApiError> {
    let found = tokio::select! {
        found = state.queue.wait(id, limit) => found?,
        () = state.closing.closed() => state.queue.get(id).await?,
    };
    // What it waits for is asked once, when it is told.
    let found = match found {
        Some(task) if task.state == TaskState::Pending => state.queue.show(id).await?,
        found => found,
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
    let id = body::bare(&state, &request, payload, "id").await?;
    Ok(ok(&state.queue.cancel(id).await?))
}

pub(super) async fn retry(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = body::bare(&state, &request, payload, "id").await?;
    Ok(ok(&state.queue.retry(id).await?))
}

pub(super) async fn snooze(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = query::path(&request, "id")?;
    let take = |fields: &mut Fields<'_>| terms::until(fields, Timestamp::now());
    let Some(until) = body::fields(&state, &request, payload, take).await? else {
        return Err(ApiError::fault("a snooze without a time was taken for sound"));
    };
    Ok(ok(&state.queue.snooze(id, until).await?))
}

pub(super) async fn release(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = body::bare(&state, &request, payload, "id").await?;
    Ok(ok(&state.queue.release(id).await?))
}
