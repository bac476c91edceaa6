//! Queues.

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};

use super::{Answer, State, api::Listing, body, caller::Caller, ok, query};
use crate::domain::access::About;

pub(super) async fn list(state: Data<State>, caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let mut items = state.queue.queues().await?;
    items.retain(|queue| caller.sees(About::Queue(&queue.name)));
    Ok(ok(&Listing { items }))
}

pub(super) async fn resume(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = body::bare(&state, &request, payload, "name").await?;
    Ok(ok(&state.queue.resume(name).await?))
}
