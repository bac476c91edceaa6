//! One process per task: what it is given, and what its end means.

mod environment;
mod exit;
mod template;

use std::time::Duration;

pub use environment::{Api, INHERITED, Process, environment};
pub use exit::{Exit, MAX_TAIL, NOT_NOW, outcome};
pub use template::{MAX_WORD, Template, TemplateError};

use super::task::TaskParams;
use crate::domain::task::Assignment;

/// The task as an `exec` agent finds it on its stdin: one JSON object with the fields of `task/run`,
/// and a line end. `timeout` is how long the attempt may take, for the agent to know.
///
/// # Errors
///
/// The input can't be written as JSON; it can't have come from JSON then.
pub fn stdin(
    assignment: &Assignment,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(&TaskParams::of(assignment, timeout))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::task::sample::assignment;

    #[test]
    fn stdin_is_one_line_of_json() {
        let input = json!({"text": "two\nlines", "n": 3});
        let bytes = stdin(&assignment(input.clone()), Some(Duration::from_secs(2))).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        let told: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(told["input"], input);
        assert_eq!(told["timeout_ms"], 2000);
    }
}
