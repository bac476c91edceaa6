//! Agents.

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};

use super::{
    Answer, State,
    api::Listing,
    body,
    caller::Caller,
    logs::{self, Follower},
    ok, query,
    server::Until,
};
use crate::{
    domain::{AgentName, access::About},
    supervisor::Command,
};

pub(super) async fn list(state: Data<State>, caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let mut items = state.supervisor.agents().await?;
    items.retain(|agent| caller.sees(About::Fleet(&agent.fleet)));
    Ok(ok(&Listing { items }))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    Ok(ok(&state.supervisor.agent(name).await?))
}

pub(super) async fn start(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    command(&state, &request, payload, Command::Start).await
}

pub(super) async fn stop(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    command(&state, &request, payload, Command::Stop).await
}

pub(super) async fn restart(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    command(&state, &request, payload, Command::Restart).await
}

pub(super) async fn pause(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    command(&state, &request, payload, Command::Pause).await
}

pub(super) async fn drain(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    command(&state, &request, payload, Command::Drain).await
}

pub(super) async fn release(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    command(&state, &request, payload, Command::Release).await
}

async fn command(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    command: Command,
) -> Answer {
    let name = body::bare(state, request, payload, "name").await?;
    Ok(ok(&state.supervisor.command(name, command).await?))
}

pub(super) async fn logs(state: Data<State>, caller: Caller, request: HttpRequest) -> Answer {
    let tail = query::tail(request.query_string())?;
    let name: AgentName = query::path(&request, "name")?;
    let agent = state.supervisor.agent(name).await?;
    let path = state.supervisor.log_path(&agent.name);
    Ok(logs::answer(&request, Follower::new(path, tail, Until::of(&state, caller))))
}
