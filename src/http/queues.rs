//! Queues.

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};

use super::{
    Answer, State,
    api::Listing,
    body,
    error::ApiError,
    fields::{self, Errors, Fields},
    ok, query,
};

/// The longest reason of a pause, in characters.
const MAX_REASON: usize = 1000;

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.queue.queues().await? }))
}

pub(super) async fn pause(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let reason = fields.text("reason", MAX_REASON);
    fields.finish();
    let reason = errors.or(reason).map_err(ApiError::invalid)?;
    Ok(ok(&state.queue.pause(name, reason).await?))
}

pub(super) async fn resume(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    fields::nothing(body).map_err(ApiError::invalid)?;
    Ok(ok(&state.queue.resume(name).await?))
}
