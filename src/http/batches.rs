//! Groups and batches.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Answer, State,
    api::{BatchCancelled, BatchSubmitted, FieldError},
    body,
    caller::Caller,
    error::ApiError,
    fields::{Errors, Fields, kind_of},
    ok,
    once::HeaderKey,
    query,
    submit::{self, Rules},
    tasks::{Said, many},
};
use crate::{
    domain::{
        BatchId, TaskId,
        batch::{BatchEnd, Callback, NewBatch},
        record::Page,
        retry::AllQueueTerms,
        task::NewTask,
    },
    queue::QueueError,
};

/// How many are on a page, and the most that can be.
pub(super) const PAGE: (u32, u32) = (50, 500);

pub(super) async fn group(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    Ok(ok(&state.queue.group(name).await?))
}

pub(super) async fn groups(state: Data<State>, request: HttpRequest) -> Answer {
    let (limit, cursor) = query::page(request.query_string(), PAGE)?;
    let found = state.queue.groups(cursor, limit + 1).await?;
    Ok(ok(&Page::cut(found, limit, |group| group.name.clone())))
}

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    let (limit, cursor, unfinished) = query::batches(request.query_string(), PAGE)?;
    let found = state.queue.batches(cursor, unfinished, limit + 1).await?;
    Ok(ok(&Page::cut(found, limit, |batch| batch.id)))
}

pub(super) async fn submit(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    let header_key = HeaderKey::read(request.headers(), &caller)?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let id = BatchId::from_uuid(Uuid::now_v7());
    let terms = state.queue.terms();
    let rules = rules(&state, &terms, id);
    let (batch, tasks) = read(body, &rules, id, header_key, new_id).map_err(ApiError::invalid)?;
    let said = Said::of(&tasks);
    let callbacks = batch.callbacks.clone();
    let made = state.queue.submit_batch(batch, tasks).await;
    let (batch, items) = made.map_err(|error| {
        let of_callback = callbacks.iter().find(|(_, callback)| {
            matches!(&error, QueueError::UnknownQueue { queue } if *queue == callback.queue)
        });
        match of_callback {
            Some((end, _)) => {
                let (field, detail) = (format!("on_{}.queue", end.as_str()), error.to_string());
                ApiError::invalid(vec![FieldError { field, detail }])
            }
            None => said.in_words_of(error, |nth, field| format!("tasks[{nth}].{field}")),
        }
    })?;
    let created = items.is_some();
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, format!("/api/v1/batches/{}", batch.id)));
    Ok(answer.json(BatchSubmitted { batch, created, items: items.unwrap_or_default() }))
}

pub(super) async fn add(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    query::none(&request)?;
    let id = query::path(&request, "id")?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let terms = state.queue.terms();
    let tasks = read_more(body, &rules(&state, &terms, id), new_id).map_err(ApiError::invalid)?;
    // A batch that is not there is one of the path.
    state.queue.batch(id).await?;
    many(&state, tasks).await
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    let wait = query::wait(request.query_string(), state.settings.max_wait)?;
    let id = query::path(&request, "id")?;
    let batch = tokio::select! {
        batch = state.queue.wait_for_batch(id, wait.unwrap_or_default()) => batch?,
        () = state.closing.closed() => state.queue.batch(id).await?,
    };
    Ok(ok(&batch))
}

pub(super) async fn close(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = body::bare(&state, &request, payload, "id").await?;
    Ok(ok(&state.queue.close_batch(id).await?))
}

pub(super) async fn cancel(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = body::bare(&state, &request, payload, "id").await?;
    let (batch, done) = state.queue.cancel_batch(id).await?;
    Ok(ok(&BatchCancelled { batch, done }))
}

fn rules<'a>(state: &'a State, terms: &'a AllQueueTerms, batch: BatchId) -> Rules<'a> {
    Rules {
        tasks: &state.tasks,
        terms,
        now: Timestamp::now(),
        header_key: None,
        batch: Some(batch),
    }
}

fn new_id() -> TaskId {
    TaskId::from_uuid(Uuid::now_v7())
}

/// Reads the body of a submit of a batch.
fn read(
    object: Map<String, Value>,
    rules: &Rules<'_>,
    id: BatchId,
    header_key: Option<HeaderKey<'_>>,
    mut new_id: impl FnMut() -> TaskId,
) -> Result<(NewBatch, Vec<NewTask>), Vec<FieldError>> {
    let mut errors = Errors::default();
    let mut body = Fields::new(String::new(), object, &mut errors);
    let open = body.flag("open");
    let tasks = submit::list(&mut body, rules, usize::from(!open));
    let idempotency_key = body.idempotency_key(header_key);
    let mut callbacks = BTreeMap::new();
    let fields = [
        ("on_complete", BatchEnd::Complete),
        ("on_success", BatchEnd::Success),
        ("on_failure", BatchEnd::Failure),
    ];
    for (name, end) in fields {
        if let Some(callback) = callback(&mut body, name, rules) {
            callbacks.insert(end, callback);
        }
    }
    body.finish();
    let tasks = tasks.and_then(|tasks| submit::all(tasks, rules, &mut new_id, &mut errors));
    let batch = NewBatch { id, idempotency_key, open, callbacks };
    errors.or((batch, tasks.unwrap_or_default()))
}

/// Reads a task that is submitted once the batch is done.
fn callback(body: &mut Fields<'_>, name: &'static str, rules: &Rules<'_>) -> Option<Callback> {
    let mut callback = body.object(name)?;
    let queue = submit::queue(&mut callback);
    let kind = submit::kind(&mut callback);
    let input = match callback.json("input", rules.tasks.max_input) {
        Value::Null => Some(Map::new()),
        Value::Object(input) => Some(input),
        other => {
            let got = kind_of(&other);
            callback
                .wrong("input", format!("must be an object, to which `batch` is added, not {got}"));
            None
        }
    };
    let priority = submit::priority(&mut callback);
    let max_attempts = submit::max_attempts(&mut callback);
    let timeout = callback.duration("timeout", false, submit::MAX_DURATION);
    let stale_after = callback.duration("stale_after", false, submit::MAX_DURATION);
    callback.finish();
    let max_attempts = max_attempts.unwrap_or(rules.terms.of(&queue).max_attempts);
    Some(Callback { queue, kind, input: input?, priority, max_attempts, timeout, stale_after })
}

/// Reads the body of a request that adds tasks.
fn read_more(
    object: Map<String, Value>,
    rules: &Rules<'_>,
    mut new_id: impl FnMut() -> TaskId,
) -> Result<Vec<NewTask>, Vec<FieldError>> {
    let mut errors = Errors::default();
    let mut body = Fields::new(String::new(), object, &mut errors);
    let tasks = submit::list(&mut body, rules, 1);
    body.finish();
    let tasks = tasks.and_then(|tasks| submit::all(tasks, rules, &mut new_id, &mut errors));
    errors.or(tasks.unwrap_or_default())
}

#[cfg(test)]
mod tests;
