//! `text`: the whole of stdout, as one JSON string.
//!
//! Line ends at the end are dropped, as a shell's `$(…)` does. What is not UTF-8 becomes `U+FFFD`:
//! an agent that said what it had to say should not fail for one byte. So does NUL, which
//! Postgres can't keep in text.

use serde_json::Value;

use super::{OutputError, bounded};

pub(super) fn read(stdout: &[u8], max_output: u64) -> Result<Value, OutputError> {
    bounded("stdout", stdout, max_output)?;
    let mut text = readable(stdout);
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(Value::String(text))
}

/// Bytes as text that can be kept anywhere.
pub(in crate::protocol) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.into_owned() }
}
