//! What happens around every request: its id, whether its caller may ask, one line in the log.

use std::any::Any;

use actix_web::{
    Error, ResponseError,
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
    error::ApiError,
    guard::{Caller, Via, admit},
    webhook::github::is_delivery,
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
    let log = request.app_data::<Data<State>>().map(|state| state.log.clone());
    let mut answer = match may_ask(&request) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(refusal) => {
            let refused = refusal.error_response();
            request.into_response(refused)
        }
    };
    if let Some(log) = log {
        tell(&log, &id, began, &answer);
    }
    let headers = answer.headers_mut();
    headers.insert(X_REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn may_ask(request: &ServiceRequest) -> Result<(), ApiError> {
    // GitHub has a key of its own: it signs what it sends, and the handler looks at that.
    if request.path() == "/webhook" && is_delivery(request.headers()) {
        return Ok(());
    }
    let text = |name: HeaderName| request.headers().get(name).map(text_of);
    let bytes = |name: HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let caller = Caller {
        via: request.conn_data::<Via>().copied().unwrap_or(Via::Tcp),
        host: text(HOST),
        origin: text(ORIGIN),
        fetch_site: text(SEC_FETCH_SITE),
        authorization: bytes(AUTHORIZATION),
        api_key: bytes(X_API_KEY),
    };
    let state = request.app_data::<Data<State>>();
    Ok(admit(&caller, state.and_then(|state| state.settings.api_key.as_ref()))?)
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
fn tell(log: &Logger, id: &HeaderValue, began: Instant, answer: &ServiceResponse<BoxBody>) {
    let id = text_of(id);
    let request = answer.request();
    let cause = answer.response().error().and_then(|error| error.as_error::<ApiError>());
    if let Some(cause) = cause.and_then(ApiError::cause) {
        slog::error!(log, "request failed"; "request" => id, "error" => cause);
    }
    slog::debug!(log, "request answered";
        "request" => id,
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
