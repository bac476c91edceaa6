//! Schedules.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use jiff::Timestamp;

use super::{
    Answer, State,
    api::{FieldError, Listing},
    body,
    error::ApiError,
    fields::Fields,
    ok, query,
};
use crate::{
    domain::{ScheduleName, schedule::Upcoming},
    queue::QueueError,
};

mod read;

/// The longest reason of a pause, in characters.
const MAX_REASON: usize = 1000;

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.queue.schedules().await? }))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    Ok(ok(&state.queue.schedule(&name).await?))
}

pub(super) async fn put(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    query::none(&request)?;
    let name: ScheduleName = query::path(&request, "name")?;
    let body = body::json(&request, payload, state.settings.max_body).await?;
    let wanted = read::read(name, body, state.tasks.max_input).map_err(ApiError::invalid)?;
    let paused = wanted.paused.then_some("it was made paused");
    let put = state.queue.put_schedule(&wanted.schedule, paused).await;
    let (record, created) = put.map_err(|error| match error {
        QueueError::UnknownQueue { .. } => {
            let detail = error.to_string();
            ApiError::invalid(vec![FieldError { field: "queue".to_owned(), detail }])
        }
        error => error.into(),
    })?;
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, format!("/api/v1/schedules/{}", record.name)));
    Ok(answer.json(record))
}

pub(super) async fn remove(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = body::bare(&state, &request, payload, "name").await?;
    state.queue.remove_schedule(&name).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn pause(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = query::path(&request, "name")?;
    let take = |fields: &mut Fields<'_>| fields.text("reason", MAX_REASON);
    let reason = body::fields(&state, &request, payload, take).await?;
    Ok(ok(&state.queue.pause_schedule(&name, reason.as_deref()).await?))
}

pub(super) async fn resume(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = body::bare(&state, &request, payload, "name").await?;
    Ok(ok(&state.queue.resume_schedule(&name).await?))
}

pub(super) async fn run(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = body::bare(&state, &request, payload, "name").await?;
    let task = state.queue.run_schedule(&name).await?;
    let mut answer = HttpResponse::Created();
    answer.insert_header((LOCATION, format!("/api/v1/tasks/{}", task.id)));
    Ok(answer.json(task))
}

pub(super) async fn firings(state: Data<State>, request: HttpRequest) -> Answer {
    let limit = query::count(request.query_string(), "limit", 50, 200)?;
    let name = query::path(&request, "name")?;
    Ok(ok(&Listing { items: state.queue.firings(&name, limit).await? }))
}

pub(super) async fn next(state: Data<State>, request: HttpRequest) -> Answer {
    let count = query::count(request.query_string(), "count", 5, 1000)?;
    let name = query::path(&request, "name")?;
    let record = state.queue.schedule(&name).await?;
    let schedule = record.schedule().map_err(ApiError::fault)?;
    let items = Upcoming::of(&schedule.cadence, Timestamp::now(), record.since, count);
    Ok(ok(&Listing { items }))
}
