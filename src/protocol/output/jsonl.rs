//! `jsonl`: stdout is one JSON value a line, and the last is the result.
//!
//! The lines before it are events: they show that the agent lives, and are not read again. A stray
//! warning among them does not cost the result; the limit is on the last line alone.

use serde_json::Value;

use super::{OutputError, bounded, value};

pub(super) fn read(stdout: &[u8], max_output: u64) -> Result<Value, OutputError> {
    let lines = stdout.trim_ascii_end();
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    bounded("the last line of stdout", last, max_output)?;
    value("a JSON value as the last line", last)
}
