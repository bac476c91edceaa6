//! Queues.

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};

use super::{Answer, State, api::Listing, body, error::ApiError, fields, ok, query};

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.queue.queues().await? }))
}

pub(super) async fn resume(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    fields::nothing(body).map_err(ApiError::invalid)?;
    Ok(ok(&state.queue.resume(name).await?))
}
