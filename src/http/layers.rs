//! What happens around every request: its id, who asks, one line in the log.

use std::{any::Any, collections::BTreeSet, net::SocketAddr, sync::Arc};

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Extensions, ServiceRequest, ServiceResponse},
    http::header::{
        AUTHORIZATION, CACHE_CONTROL, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
        X_CONTENT_TYPE_OPTIONS,
    },
    middleware::Next,
    rt::net::UnixStream,
    web::Data,
};
use slog::Logger;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    State,
    api::REQUEST_ID,
    attempt, audit,
    caller::{Caller, Who},
    error::ApiError,
    guard::{self, Shown, Via, admit},
    routes::is_public,
    webhook::github::is_delivery,
};
use crate::{
    access::Refused,
    domain::access::{ApiKey, AttemptKey, Grants, Scope, own_queues},
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID);
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Marks each connection with how it came in. A connection without a mark is not trusted.
pub(super) fn mark(connection: &dyn Any, marks: &mut Extensions) {
    if connection.is::<UnixStream>() {
        marks.insert(Via::Unix);
    }
}

/// Lets a request in or answers that it may not, and logs it once it is answered.
pub(super) async fn around<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let id = request_id(request.headers());
    let state = request.app_data::<Data<State>>().cloned();
    let peer = request.peer_addr().filter(|_| via(&request) == Via::Tcp);
    request.extensions_mut().insert(audit::RequestId(text_of(&id).to_owned()));
    let caller = who_asks(&request, peer).await;
    let who = match &caller {
        Ok(caller) => caller.who.clone(),
        Err((who, _)) => who.clone(),
    };
    let mut answer = match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await?.map_into_boxed_body()
        }
        Err(_) if is_public(request.path()) => next.call(request).await?.map_into_boxed_body(),
        Err((_, refused)) => request.into_response(HttpResponse::from_error(refused)),
    };
    if let Some(state) = state {
        tell(&state.log, &id, (&who, peer), began, &answer);
        audit::note(&state, (&who, peer), &answer);
    }
    let headers = answer.headers_mut();
    headers.insert(X_REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// How the request came in.
fn via(request: &ServiceRequest) -> Via {
    request.conn_data::<Via>().copied().unwrap_or(Via::Tcp)
}

/// Who asks, if they are let in at all; else who it seems to be, and why they are not.
async fn who_asks(
    request: &ServiceRequest,
    peer: Option<SocketAddr>,
) -> Result<Caller, (Who, ApiError)> {
    let nobody = |error| (Who::Nobody, error);
    // GitHub has a key of its own: it signs what it sends, and the handler looks at that.
    if request.path() == "/webhook" && is_delivery(request.headers()) {
        let scopes = BTreeSet::from([Scope::Submit]);
        let grants = Arc::new(Grants { scopes, ..Grants::default() });
        return Ok(Caller { who: Who::Signer, peer, grants });
    }
    let Some(state) = request.app_data::<Data<State>>() else {
        return Err(nobody(ApiError::fault("a server without a state")));
    };
    let text = |name: HeaderName| request.headers().get(name).map(text_of);
    let bytes = |name: HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let asks = guard::Caller {
        via: via(request),
        host: text(HOST),
        origin: text(ORIGIN),
        fetch_site: text(SEC_FETCH_SITE),
        authorization: bytes(AUTHORIZATION),
        api_key: bytes(X_API_KEY),
        tls: state.settings.tls.is_some(),
    };
    // Nobody from outside is let in without a key, whatever became of those there were at the start.
    let open_to_others = state.settings.bind.is_some_and(|bind| !bind.ip().is_loopback());
    let locked = open_to_others || state.access.is_locked();
    let shown = admit(&asks, locked).map_err(|refusal| nobody(refusal.into()))?;
    let (who, grants) = match shown {
        Shown::Socket => (Who::Owner, Arc::new(Grants::all())),
        Shown::Nothing => (Who::Anybody, Arc::new(Grants::all())),
        Shown::Key(key) if AttemptKey::is_meant(key) => {
            return attempt::caller(state, key, peer).await;
        }
        Shown::Key(key) => {
            let pass = state.access.check(key).map_err(|refused| {
                // A key that is known is named, though it is of no use.
                let id = ApiKey::id_in(key).filter(|_| refused != Refused::Unknown);
                (id.map_or(Who::Nobody, Who::Key), refused.into())
            })?;
            (pass.key.map_or(Who::HostKey, Who::Key), with_own_queues(state, pass.grants).await)
        }
    };
    Ok(Caller { who, peer, grants })
}

/// What a key allows, and where it is limited to fleets, their own queues beside that, as they are served
/// now. While the supervisor does not answer, there are none.
async fn with_own_queues(state: &State, grants: Arc<Grants>) -> Arc<Grants> {
    if grants.fleets.is_empty() {
        return grants;
    }
    let Ok(fleets) = state.supervisor.fleets().await else { return grants };
    let served = fleets.iter().map(|fleet| (&fleet.name, &*fleet.queues));
    let own = own_queues(served, &grants.fleets);
    let queues = grants.queues.union(&own).cloned().collect();
    Arc::new(Grants { queues, ..(*grants).clone() })
}

/// A header as text. What is not ASCII becomes a text that is no host, site or origin of ours.
fn text_of(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// The id that the caller gave the request, if it is plain and short, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let given = headers.get(&X_REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=128).contains(&bytes.len()) && bytes.iter().all(plain)
    });
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().simple().to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

/// One line per request, and one more where there is a cause that the caller is not told.
fn tell(
    log: &Logger,
    id: &HeaderValue,
    (who, peer): (&Who, Option<SocketAddr>),
    began: Instant,
    answer: &ServiceResponse<BoxBody>,
) {
    let id = text_of(id);
    let request = answer.request();
    let cause = answer.response().error().and_then(|error| error.as_error::<ApiError>());
    if let Some(cause) = cause.and_then(ApiError::cause) {
        slog::error!(log, "request failed"; "request" => id, "error" => cause);
    }
    slog::debug!(log, "request answered";
        "request" => id,
        "caller" => %who,
        "address" => peer.map(|peer| peer.to_string()),
        "method" => request.method().as_str(),
        "path" => request.path(),
        "status" => answer.status().as_u16(),
        "elapsed_ms" => u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
        text_of(&request_id(&headers)).to_owned()
    }

    #[test]
    fn a_plain_id_is_kept_and_any_other_is_replaced() {
        assert_eq!(id_for(b"deploy-7.b_c"), "deploy-7.b_c");
        for bad in [b"".as_slice(), b"a b", b"a\tb", b"\xff", b"a\"b", &[b'x'; 129]] {
            assert_eq!(id_for(bad).len(), 32, "{bad:?}");
        }
    }
}
