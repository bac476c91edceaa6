//! What a client of MCP sends, read. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

/// The revision in which every request says all about itself.
pub(super) const STATELESS: &str = "2026-07-28";

/// The revisions that begin with `initialize`, newest first.
pub(super) const SESSION_VERSIONS: [&str; 4] =
    ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL: i64 = -32603;
const RESOURCE_NOT_FOUND: i64 = -32002;
const HEADER_MISMATCH: i64 = -32020;
const UNSUPPORTED_VERSION: i64 = -32022;

/// By which rules a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// 2025-11-25 and before.
    Session,
    /// 2026-07-28.
    Stateless,
}

/// The headers that say something of the message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Headers<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) method: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) session: Option<&'a str>,
}

/// A call that waits for an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
    pub(super) era: Era,
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// A call.
    Call(Call),
    /// A notification or a response, which nobody answers.
    Told,
}

/// An error of JSON-RPC, with the status that it has where the revision gives it one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
    pub(super) status: u16,
}

impl RpcError {
    fn new(code: i64, status: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, status }
    }

    /// There is no such method.
    pub(super) fn no_method(method: &str) -> Self {
        let shown: String = method.chars().filter(|c| !c.is_control()).take(64).collect();
        Self::new(METHOD_NOT_FOUND, 404, format!("there is no method `{shown}`"))
    }

    /// The parameters make no sense.
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, 200, message)
    }

    /// There is no such resource.
    pub(super) fn no_resource(message: impl Into<String>) -> Self {
        Self::new(RESOURCE_NOT_FOUND, 200, message)
    }

    /// It can't be answered now.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(INTERNAL, 200, message)
    }

    /// The document that tells it.
    pub(super) fn document(&self, id: &Value) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(fields)) = (&self.data, error.as_object_mut()) {
            fields.insert("data".to_owned(), data.clone());
        }
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    }
}

impl Call {
    /// The text in the parameters under this name.
    pub(super) fn text(&self, name: &str) -> Result<&str, RpcError> {
        let text = self.params.get(name).and_then(Value::as_str);
        text.ok_or_else(|| RpcError::params(format!("`{name}` is missing or no text")))
    }

    /// Whether the client says that it knows this extension.
    pub(super) fn knows(&self, extension: &str) -> bool {
        let known = self.params.get("_meta").and_then(|meta| meta.get(META_CAPABILITIES));
        known.and_then(|all| all.get("extensions")?.get(extension)).is_some()
    }
}

/// Reads one message.
///
/// # Errors
///
/// What is wrong, with the id of the call where that could be read.
pub(super) fn read(bytes: &[u8], headers: &Headers<'_>) -> Result<Message, (Value, RpcError)> {
    let fail = |id: &Value, error| Err((id.clone(), error));
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => {
            return fail(
                &Value::Null,
                RpcError::new(PARSE_ERROR, 400, format!("no JSON: {error}")),
            );
        }
    };
    let Value::Object(mut fields) = value else {
        let what = "send one message, as an object";
        return fail(&Value::Null, RpcError::new(INVALID_REQUEST, 400, what));
    };
    let id = fields.remove("id");
    let known_id = id.clone().filter(|id| id.is_string() || id.is_number());
    let shown = known_id.clone().unwrap_or(Value::Null);
    if fields.get("jsonrpc") != Some(&json!("2.0")) {
        return fail(&shown, RpcError::new(INVALID_REQUEST, 400, "`jsonrpc` must be \"2.0\""));
    }
    if headers.session.is_some() {
        let what = "there is no such session: begin with `initialize`, without a session id";
        return fail(&shown, RpcError::new(INVALID_REQUEST, 404, what));
    }
    let method = match fields.remove("method") {
        Some(Value::String(method)) => method,
        None if fields.contains_key("result") || fields.contains_key("error") => {
            return Ok(Message::Told);
        }
        _ => return fail(&shown, RpcError::new(INVALID_REQUEST, 400, "`method` must be a text")),
    };
    let params = match fields.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            return fail(&shown, RpcError::new(INVALID_REQUEST, 400, "`params` must be an object"));
        }
    };
    let era = match era(&method, &params, headers) {
        Ok(era) => era,
        Err(error) => return fail(&shown, error),
    };
    let id = match (id, known_id) {
        (None, _) => return Ok(Message::Told),
        (Some(_), Some(id)) => id,
        (Some(_), None) => {
            let what = "`id` must be a text or a number";
            return fail(&Value::Null, RpcError::new(INVALID_REQUEST, 400, what));
        }
    };
    if era == Era::Stateless
        && let Err(error) = agrees(&method, &params, headers)
    {
        return fail(&id, error);
    }
    Ok(Message::Call(Call { id, method, params, era }))
}

/// By which rules a message is read: as its metadata says, else its header, else the oldest.
fn era(method: &str, params: &Map<String, Value>, headers: &Headers<'_>) -> Result<Era, RpcError> {
    if method == "initialize" {
        return Ok(Era::Session);
    }
    let said = params.get("_meta").and_then(|meta| meta.get(META_VERSION)).and_then(Value::as_str);
    let version = said.or(headers.version);
    match version {
        Some(STATELESS) => Ok(Era::Stateless),
        None => Ok(Era::Session),
        Some(known) if SESSION_VERSIONS.contains(&known) => Ok(Era::Session),
        Some(other) => {
            let mut supported = vec![STATELESS];
            supported.extend(SESSION_VERSIONS);
            let shown: String = other.chars().filter(|c| !c.is_control()).take(32).collect();
            let mut error =
                RpcError::new(UNSUPPORTED_VERSION, 400, format!("`{shown}` is not spoken here"));
            error.data = Some(json!({ "supported": supported, "requested": shown }));
            Err(error)
        }
    }
}

/// Whether the headers say what the message says: whoever routes by them must not be misled.
fn agrees(
    method: &str,
    params: &Map<String, Value>,
    headers: &Headers<'_>,
) -> Result<(), RpcError> {
    let mismatch = |what: String| Err(RpcError::new(HEADER_MISMATCH, 400, what));
    let meta = params.get("_meta").and_then(Value::as_object);
    if headers.version != Some(STATELESS) {
        return mismatch(format!("the header `MCP-Protocol-Version` must be {STATELESS}, too"));
    }
    let said = meta.and_then(|meta| meta.get(META_VERSION)).and_then(Value::as_str);
    if said != Some(STATELESS) || meta.is_none_or(|meta| !meta.contains_key(META_CAPABILITIES)) {
        let what = format!("`_meta` must have `{META_VERSION}` and `{META_CAPABILITIES}`");
        return Err(RpcError::new(INVALID_PARAMS, 400, what));
    }
    if headers.method != Some(method) {
        return mismatch("the header `Mcp-Method` must be the method".to_owned());
    }
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return Ok(()),
    };
    let named = params.get(key).and_then(Value::as_str);
    if named.is_some() && headers.name.map(plain) != named.map(str::to_owned) {
        return mismatch(format!("the header `Mcp-Name` must be `{key}`"));
    }
    Ok(())
}

/// The text of a header that may be wrapped in base64.
fn plain(header: &str) -> String {
    let wrapped = header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let bytes = wrapped.and_then(|text| BASE64.decode(text).ok());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| header.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stateless(
        method: &str,
        name: Option<&str>,
        params: Value,
    ) -> Result<Message, (Value, RpcError)> {
        let mut params = params;
        params["_meta"] = json!({ META_VERSION: STATELESS, META_CAPABILITIES: {} });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers =
            Headers { version: Some(STATELESS), method: Some(method), name, session: None };
        read(body.to_string().as_bytes(), &headers)
    }

    fn code(read: Result<Message, (Value, RpcError)>) -> (i64, u16) {
        let (_, error) = read.unwrap_err();
        (error.code, error.status)
    }

    #[test]
    fn a_call_is_read_by_its_revision() {
        let old = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/list" }).to_string();
        for version in [None, Some("2025-11-25"), Some("2025-03-26")] {
            let headers = Headers { version, ..Headers::default() };
            let Ok(Message::Call(call)) = read(old.as_bytes(), &headers) else { panic!() };
            assert_eq!((call.era, call.id), (Era::Session, json!("a")));
        }
        let Ok(Message::Call(call)) = stateless("tools/list", None, json!({})) else { panic!() };
        assert_eq!(call.era, Era::Stateless);
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
        assert_eq!(read(told.as_bytes(), &Headers::default()), Ok(Message::Told));
        let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": {} }).to_string();
        assert_eq!(read(answer.as_bytes(), &Headers::default()), Ok(Message::Told));
    }

    #[test]
    fn what_is_no_message_has_its_code() {
        let rows = [
            ("", (PARSE_ERROR, 400)),
            ("[]", (INVALID_REQUEST, 400)),
            ("{}", (INVALID_REQUEST, 400)),
            (r#"{"jsonrpc": "1.0", "id": 1, "method": "ping"}"#, (INVALID_REQUEST, 400)),
            (r#"{"jsonrpc": "2.0", "id": 1, "method": 7}"#, (INVALID_REQUEST, 400)),
            (r#"{"jsonrpc": "2.0", "id": {}, "method": "ping"}"#, (INVALID_REQUEST, 400)),
            (
                r#"{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}"#,
                (INVALID_REQUEST, 400),
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(code(read(text.as_bytes(), &Headers::default())), expected, "{text}");
        }
        let ping = br#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#;
        let of = |headers: Headers<'_>| code(read(ping, &headers));
        assert_eq!(
            of(Headers { session: Some("x"), ..Headers::default() }),
            (INVALID_REQUEST, 404)
        );
        let version = Some("2031-01-01");
        assert_eq!(of(Headers { version, ..Headers::default() }), (UNSUPPORTED_VERSION, 400));
        let version = Some(STATELESS);
        assert_eq!(of(Headers { version, ..Headers::default() }), (INVALID_PARAMS, 400));
    }

    #[test]
    fn headers_that_say_something_else_are_refused() {
        let call = json!({ "name": "wait_task" });
        assert!(stateless("tools/call", Some("wait_task"), call.clone()).is_ok());
        assert!(stateless("tools/call", Some("=?base64?d2FpdF90YXNr?="), call.clone()).is_ok());
        for name in [None, Some("other"), Some("=?base64?!?=")] {
            assert_eq!(code(stateless("tools/call", name, call.clone())), (HEADER_MISMATCH, 400));
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_fall_over(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            version in proptest::option::of(".{0,12}"),
            name in proptest::option::of(".{0,40}"),
        ) {
            let headers = Headers {
                version: version.as_deref(), method: Some("ping"), name: name.as_deref(), session: None,
            };
            prop_assert!(read(&bytes, &headers).is_err());
        }

        #[test]
        fn any_object_is_a_message_or_is_refused_with_a_code(
            id in prop::sample::select(vec!["1", "\"a\"", "null", "{}", "1.5", "[]"]),
            method in prop::sample::select(vec!["\"ping\"", "\"tools/call\"", "7", "\"initialize\"", "null"]),
            params in prop::sample::select(vec!["{}", "[]", "{\"_meta\": 7}", "{\"_meta\": {}, \"name\": 1}", "null"]),
            version in prop::sample::select(vec![None, Some(STATELESS), Some("2025-11-25"), Some("x")]),
        ) {
            let text = format!(r#"{{"jsonrpc": "2.0", "id": {id}, "method": {method}, "params": {params}}}"#);
            let headers = Headers { version, ..Headers::default() };
            match read(text.as_bytes(), &headers) {
                Ok(Message::Call(call)) => prop_assert!(call.id.is_string() || call.id.is_number()),
                Ok(Message::Told) => prop_assert!(false, "it has an id"),
                Err((_, error)) => prop_assert!(error.code < 0 && error.status >= 400),
            }
        }
    }
}
