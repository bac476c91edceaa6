//! JSON-RPC 2.0 messages, as far as their envelope goes. Parts are left as text until they are
//! known to matter, so a large result is measured before it is built.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::ProtocolError;
use crate::protocol::excerpt::excerpt;

/// The longest id of an agent's own request that is sent back to it, in bytes.
const MAX_ID: usize = 256;

/// One message of an agent.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// It wants something of the host.
    Request {
        /// Its id as it stands in the line.
        id: &'a str,
        method: Cow<'a, str>,
    },
    /// It tells something.
    Notification { method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// It answers request `id` with a result.
    Result { id: Id, result: &'a RawValue },
    /// It answers request `id` with an error.
    Error { id: Id, error: RpcError<'a> },
}

/// The id of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    /// A number that the host may have used.
    Number(u64),
    /// `null`: the agent could not read the request.
    Null,
    /// Anything else; the host never uses such ids.
    Other,
}

impl Id {
    fn of(raw: &RawValue) -> Self {
        match serde_json::from_str(raw.get()) {
            Ok(serde_json::Value::Null) => Self::Null,
            // Languages whose only numbers are floats may write `3.0`.
            Ok(serde_json::Value::Number(number)) => {
                let whole = |float: f64| {
                    (float >= 0.0 && float < 2_f64.powi(53) && float.fract() == 0.0)
                        .then_some(float as u64)
                };
                let id = number.as_u64().or_else(|| number.as_f64().and_then(whole));
                id.map_or(Self::Other, Self::Number)
            }
            _ => Self::Other,
        }
    }
}

/// The error object of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct RpcError<'a> {
    pub(super) code: i64,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads a member that is there, so that `null` is not taken for an absent one.
fn present<'de, D: Deserializer<'de>>(raw: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(raw).map(Some)
}

/// Reads the envelope of one line.
pub(super) fn parse(line: &[u8]) -> Result<Message<'_>, ProtocolError> {
    let not_rpc = |reason: String| ProtocolError::NotRpc { reason, excerpt: excerpt(line) };
    let not_json = |error: serde_json::Error| ProtocolError::NotJson {
        reason: error.to_string(),
        excerpt: excerpt(line),
    };
    // Serde would read an array as the members in order.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err(match serde_json::from_slice::<&RawValue>(line) {
            Ok(_) => {
                not_rpc("it is no object; a message is one object, and batches are not used".into())
            }
            Err(error) => not_json(error),
        });
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line).map_err(|error| {
        if error.is_data() && serde_json::from_slice::<&RawValue>(line).is_ok() {
            not_rpc(error.to_string())
        } else {
            not_json(error)
        }
    })?;
    envelope.message().map_err(not_rpc)
}

impl<'a> Envelope<'a> {
    fn message(self) -> Result<Message<'a>, String> {
        if self.jsonrpc != "2.0" {
            return Err(format!("`jsonrpc` is `{}`, not `2.0`", excerpt(self.jsonrpc.as_bytes())));
        }
        match (self.method, self.result, self.error) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                Err("it has a `method`, and a `result` or an `error`".into())
            }
            (Some(method), None, None) => match self.id {
                None => Ok(Message::Notification { method, params: self.params }),
                Some(id) => Ok(Message::Request { id: request_id(id)?, method }),
            },
            (None, None, None) => Err("it has no `method`, no `result` and no `error`".into()),
            (None, result, error) => {
                let id = self.id.ok_or("it is an answer without an `id`")?;
                answer(Id::of(id), result, error)
            }
        }
    }
}

/// An answer. Some libraries always write both members, and `null` for the one that is not meant.
fn answer<'a>(
    id: Id,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
) -> Result<Message<'a>, String> {
    match (result, error) {
        (Some(result), None) => Ok(Message::Result { id, result }),
        (result, Some(error)) if result.is_none_or(|result| result.get() == "null") => {
            if !error.get().starts_with('{') {
                return Err("its `error` is no object".into());
            }
            serde_json::from_str(error.get())
                .map(|error| Message::Error { id, error })
                .map_err(|why| format!("its `error` needs `code` and `message`: {why}"))
        }
        _ => Err("it has a `result` and an `error`".into()),
    }
}

fn request_id(id: &RawValue) -> Result<&str, String> {
    let id = id.get();
    if id.starts_with(['{', '[']) || id.len() > MAX_ID {
        return Err(format!(
            "the `id` of a request is a text or a number of at most {MAX_ID} bytes"
        ));
    }
    Ok(id)
}
