//! `json`: stdout is one JSON value, over as many lines as it likes, and nothing else.

use serde_json::Value;

use super::{OutputError, bounded, value};

pub(super) fn read(stdout: &[u8], max_output: u64) -> Result<Value, OutputError> {
    bounded("stdout", stdout, max_output)?;
    value("one JSON value", stdout)
}
