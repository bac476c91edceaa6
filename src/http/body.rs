//! Reading the body of a request: with a limit, a time, and a place for every mistake.

use std::{fmt::Display, str::FromStr, time::Duration};

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName},
    web::{BytesMut, Payload},
};
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::{
    State,
    error::{ApiError, Kind},
    fields::{self, Fields, kind_of},
    query,
};

/// How long a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// Reads a JSON body of at most `max` bytes.
pub(super) async fn json(
    request: &HttpRequest,
    payload: Payload,
    max: u64,
) -> Result<Value, ApiError> {
    let bytes = bytes(request, payload, max).await?;
    is_json(request)?;
    parse(&bytes)
}

/// Reads a body that may be left out and is an object if it is there.
pub(super) async fn object(
    request: &HttpRequest,
    payload: Payload,
    max: u64,
) -> Result<Map<String, Value>, ApiError> {
    let bytes = bytes(request, payload, max).await?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    is_json(request)?;
    match parse(&bytes)? {
        Value::Object(object) => Ok(object),
        other => {
            let detail = format!("the body must be an object, not {}", kind_of(&other));
            Err(ApiError::new(Kind::BadJson, detail))
        }
    }
}

/// Reads the fields of a body, none of which may be unknown; a body that is left out has none. Nothing may
/// be asked beside it.
pub(super) async fn fields<T>(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    take: impl FnOnce(&mut Fields<'_>) -> T,
) -> Result<T, ApiError> {
    query::none(request)?;
    let object = object(request, payload, state.settings.max_body).await?;
    fields::read(object, take).map_err(ApiError::invalid)
}

/// Refuses any field and any parameter, for a request that says everything by its path; returns this part
/// of that.
pub(super) async fn bare<T: FromStr<Err: Display>>(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    part: &str,
) -> Result<T, ApiError> {
    let named = query::path(request, part)?;
    nothing(state, request, payload).await?;
    Ok(named)
}

/// Refuses any field and any parameter.
pub(super) async fn nothing(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(), ApiError> {
    query::none(request)?;
    let object = object(request, payload, state.settings.max_body).await?;
    fields::nothing(object).map_err(ApiError::invalid)
}

fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Whether a body says that it is of this media type.
pub(super) fn says(request: &HttpRequest, media: &str) -> bool {
    let sent = header(request, CONTENT_TYPE).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media)
}

/// Refuses a body that does not say that it is JSON as it is.
pub(super) fn is_json(request: &HttpRequest) -> Result<(), ApiError> {
    if !says(request, "application/json") {
        return Err(ApiError::new(Kind::NotJson, "send `Content-Type: application/json`"));
    }
    match header(request, CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(_) => Err(ApiError::new(Kind::NotJson, "send the body without `Content-Encoding`")),
    }
}

/// Reads a body of at most `max` bytes.
pub(super) async fn bytes(
    request: &HttpRequest,
    payload: Payload,
    max: u64,
) -> Result<BytesMut, ApiError> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    tokio::time::timeout(ARRIVES_WITHIN, collect(payload, max)).await.map_err(|_| {
        let detail = format!("the body took longer than {} s to arrive", ARRIVES_WITHIN.as_secs());
        ApiError::new(Kind::SlowBody, detail)
    })?
}

async fn collect(mut payload: Payload, max: u64) -> Result<BytesMut, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let broken = "the body broke off before its end";
        let chunk = chunk.map_err(|_| ApiError::new(Kind::BadJson, broken))?;
        if (body.len() + chunk.len()) as u64 > max {
            return Err(too_large(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large(max: u64) -> ApiError {
    ApiError::new(Kind::TooLarge, format!("at most {max} bytes are taken (`http.max_body`)"))
}

/// Parses JSON; the error says where it is broken.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::new(Kind::BadJson, "the body is empty; send a JSON object"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::new(Kind::BadJson, format!("the body is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_is_told_with_its_place() {
        let deep = "[".repeat(200);
        let rows = [
            ("", "empty"),
            ("{", "line 1 column 1"),
            ("{\"a\": 1,\n \"b\": }", "line 2 column 7"),
            ("{} {}", "line 1 column 4"),
            ("{'a': 1}", "line 1 column 2"),
            ("{\"a\": NaN}", "line 1 column 7"),
            ("{\"a\": 1e999}", "line 1 column"),
            ("{\"a\": \"\\ud800\"}", "line 1 column"),
            ("\u{feff}{}", "line 1 column 1"),
            (deep.as_str(), "recursion limit"),
        ];
        for (body, word) in rows {
            let detail = parse(body.as_bytes()).unwrap_err().problem().detail;
            assert!(detail.contains(word), "{body}: {detail}");
        }
        let latin = parse(b"{\"a\": \"\xe4\"}").unwrap_err().problem().detail;
        assert!(latin.contains("line 1"), "{latin}");
        assert_eq!(parse(b"[1]").unwrap(), serde_json::json!([1]));
    }
}
