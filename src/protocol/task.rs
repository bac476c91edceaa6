//! A task as an agent sees it: the same object in `task/run` and on an `exec` agent's stdin.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    Attempt, QueueName, TaskId, restart::millis, task::Assignment, workspace::Place,
};

/// The fields are described in `docs/PROTOCOL.md`. Their order is part of the protocol: with what
/// a submitter wrote at the end, and `input` last, a shell script can take a task apart.
#[derive(Serialize)]
pub(super) struct TaskParams<'a> {
    task_id: TaskId,
    attempt: Attempt,
    attempts_left: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    queue: &'a QueueName,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a Place>,
    /// The token of the attempt; only where it goes to the agent alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    input: &'a Value,
}

impl<'a> TaskParams<'a> {
    pub(super) fn of(assignment: &'a Assignment, timeout: Option<Duration>) -> Self {
        Self {
            task_id: assignment.task,
            attempt: assignment.attempt,
            kind: &assignment.kind,
            workspace: assignment.terms.place.as_ref(),
            token: None,
            queue: &assignment.queue,
            input: &assignment.input,
            timeout_ms: timeout.map(millis),
            attempts_left: assignment.max_attempts.saturating_sub(assignment.failures + 1),
        }
    }
}

impl TaskParams<'_> {
    /// The same with the token of the attempt.
    pub(super) fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }
}

#[cfg(test)]
pub(super) mod sample {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::domain::task::RunTerms;

    /// The first attempt of a task, for tests.
    pub(in crate::protocol) fn assignment(input: Value) -> Assignment {
        Assignment {
            task: TaskId::from_uuid(Uuid::from_u128(7)),
            attempt: Attempt(1),
            failures: 0,
            max_attempts: 3,
            agent: "claude-1".parse().unwrap(),
            queue: "default".parse().unwrap(),
            kind: "review".into(),
            input,
            results: None,
            timeout: None,
            waited: Duration::ZERO,
            frees: false,
            entry: None,
            terms: RunTerms::default(),
        }
    }

    #[test]
    fn a_task_tells_what_its_agent_needs() {
        let assignment = assignment(json!({"prompt": "hi"}));
        let told = serde_json::to_value(TaskParams::of(&assignment, None)).unwrap();
        let mut expected = json!({
            "task_id": "tsk_00000000000000000000000000000007", "attempt": 1, "kind": "review",
            "queue": "default", "input": {"prompt": "hi"}, "attempts_left": 2,
        });
        assert_eq!(told, expected);
        let told = TaskParams::of(&assignment, Some(Duration::from_secs(90)));
        expected["timeout_ms"] = json!(90_000);
        let place = json!({"path": "/w/tree", "branch": "b", "base": "main", "base_commit": "c"});
        let apart = Assignment {
            terms: RunTerms {
                place: serde_json::from_value(place.clone()).unwrap(),
                ..RunTerms::default()
            },
            ..assignment.clone()
        };
        let apart = serde_json::to_value(TaskParams::of(&apart, None)).unwrap();
        assert_eq!(apart["workspace"], place);
        assert_eq!(serde_json::to_value(told).unwrap(), expected);
    }
}
