//! What fuzzers send: each takes any bytes, and panics if something that must hold does not. Only there
//! when built for them (`tests/fuzz`).

use serde_json::Value;

use super::{body, mcp, webhook};
use crate::domain::session::{Cursor, Export, read_markdown};

/// The body of a webhook.
pub fn webhook(bytes: &[u8]) {
    if let Ok(Value::Object(object)) = body::parse(bytes) {
        webhook::fuzzed(object);
    }
}

/// A delivery that says that it is signed: its first line is the signature, what follows is the body.
pub fn signature(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(signature) = std::str::from_utf8(&bytes[..at]) else { return };
    webhook::github::fuzzed(signature, &bytes[at + 1..]);
}

/// A message of MCP: four lines are headers (an empty one is absent), what follows is the message.
pub fn mcp(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut header = || {
        let text = parts.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        Some(text.to_owned()).filter(|text| !text.is_empty())
    };
    let headers = [header(), header(), header(), header()];
    mcp::fuzzed(headers.each_ref().map(Option::as_deref), parts.next().unwrap_or_default());
}

/// A place in a listing: one that is read is written as it was.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
}

/// An exported session, as JSON and as Markdown: what is sound stays so when it is written again.
pub fn export(bytes: &[u8]) {
    if let Ok(export) = serde_json::from_slice::<Export>(bytes)
        && export.check().is_ok()
    {
        let again = serde_json::to_vec(&export).expect("what was read can be written");
        let again: Export = serde_json::from_slice(&again).expect("what was written can be read");
        assert_eq!(again, export);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(read_markdown(text).map(|export| export.check()));
    }
}
