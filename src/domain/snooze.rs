//! Putting a task off: what an agent may ask for, as a pure function.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// The wait where the agent does not say.
pub const DEFAULT: Duration = Duration::from_secs(60);

/// The shortest wait: an agent that never wants a task must not spin.
pub const MIN: Duration = Duration::from_millis(100);

/// The longest wait.
pub const MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Until when a task is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until this time.
    Time(Timestamp),
    /// For so long from now, by the server's clock.
    Passed(Duration),
}

/// The wait that an agent asks for with `retry_after_ms` in `said`; what is no number of
/// milliseconds counts as not said.
pub fn wait(said: &Value) -> Duration {
    let asked = &said["retry_after_ms"];
    let ms = asked.as_u64().or_else(|| {
        // In some languages every number is a float.
        let float = asked.as_f64().filter(|ms| (0.0..1e15).contains(ms));
        float.map(|ms| ms as u64)
    });
    ms.map_or(DEFAULT, |ms| Duration::from_millis(ms).clamp(MIN, MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_what_was_asked_for_within_its_bounds() {
        let rows = [
            (json!({"retry_after_ms": 2500}), 2_500),
            (json!({"retry_after_ms": 2500.0}), 2_500),
            (json!({"retry_after_ms": 1}), 100),
            (json!({"retry_after_ms": 0}), 100),
            (json!({"retry_after_ms": u64::MAX}), 366 * 86_400_000),
            (json!({"retry_after_ms": -5}), 60_000),
            (json!({"retry_after_ms": "10m"}), 60_000),
            (json!({}), 60_000),
            (json!(null), 60_000),
            (json!("10m"), 60_000),
        ];
        for (said, ms) in rows {
            assert_eq!(wait(&said), Duration::from_millis(ms), "{said}");
        }
    }
}
