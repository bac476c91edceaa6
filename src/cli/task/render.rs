//! Tasks for people.

use jiff::Timestamp;
use serde_json::Value;

use super::super::output::{Table, Tone, ago, brief, card, local, or_dash, span, task_tone};
use crate::{
    domain::{
        record::{AttemptRecord, Page, TaskError, TaskRecord, TimeoutFrom, WaitKind, WaitRecord},
        retry::{Cause, Growth, RetryTerms},
        workspace::WorkspaceRecord,
    },
    settings::format_duration,
};

/// A listing.
pub(super) fn table(page: &Page<TaskRecord>, now: Timestamp) -> String {
    let heads = ["TASK", "QUEUE", "KIND", "STATE", "ATTEMPT", "AGENT", "SUBMITTED", "ERROR"];
    let mut table = Table::new(&heads);
    for task in &page.items {
        table.row(
            task_tone(task.state),
            [
                task.id.to_string(),
                task.queue.to_string(),
                task.kind.clone(),
                task.state.to_string(),
                task.attempt.to_string(),
                or_dash(task.agent.as_ref()),
                ago(task.created_at, now),
                task.error.as_ref().map(told).or(task.blocked_reason.clone()).unwrap_or_default(),
            ],
        );
    }
    let mut text = table.render("no tasks");
    if let Some(cursor) = &page.next_cursor {
        let more = format!("more with --cursor {cursor}");
        text.push_str(&Tone::Dim.paint(&more));
        text.push('\n');
    }
    text
}

/// One task with its attempts.
pub(in crate::cli) fn sheet(
    task: &TaskRecord,
    attempts: &[AttemptRecord],
    now: Timestamp,
) -> String {
    let timeout = match (task.timeout_ms, task.timeout_from) {
        (None, _) => "the fleet's".to_owned(),
        (Some(ms), TimeoutFrom::Queue) => format!("{} (the queue's)", span(ms)),
        (Some(ms), _) => span(ms),
    };
    let tries = format!("{} ({} of {} failed)", task.attempt, task.failures, task.max_attempts);
    let when = |at: Timestamp| format!("{} ({})", local(at), ago(at, now));
    let state = task_tone(task.state).paint(task.state.as_str());
    let mut text = format!("{} {state}\n", task.id);
    let mut lines = vec![
        ("queue", task.queue.to_string()),
        ("kind", task.kind.clone()),
        ("priority", task.priority.to_string()),
        ("attempt", tries),
        ("timeout", timeout),
        ("key", or_dash(task.idempotency_key.as_deref())),
        ("agent", or_dash(task.agent.as_ref())),
        ("submitted", when(task.created_at)),
        ("run at", when(task.run_at)),
        ("started", or_dash(task.started_at.map(when))),
        ("finished", or_dash(task.finished_at.map(when))),
    ];
    lines.extend(task.stale_after_ms.map(|ms| ("silence", span(ms))));
    lines.extend(task.group.as_ref().map(|group| ("group", group.to_string())));
    lines.extend(task.batch.map(|batch| ("batch", batch.to_string())));
    for (kind, name) in task.needs.rows() {
        lines.push(("needs", format!("{kind} {name}")));
    }
    for wait in task.waits_for.iter().flatten() {
        lines.push(("waits for", waits_for(wait, now)));
    }
    if task.cancel_requested {
        lines.push(("cancel", "requested; its agent has not let go yet".to_owned()));
    }
    if let Some(deadline) = task.deadline {
        lines.push(("deadline", when(deadline)));
    }
    if let Some(policy) = task.on_dependency_failure {
        lines.push(("if one fails", policy.to_string()));
    }
    if let Some(reason) = &task.blocked_reason {
        lines.push((if task.state.is_final() { "cancelled" } else { "blocked" }, reason.clone()));
    }
    if let Some(retry) = &task.retry {
        lines.push(("retry", terms(retry)));
    }
    if let Some(error) = &task.error {
        lines.push(("error", told(error)));
    }
    text.push_str(&card(&lines));
    text.push_str(&block(if task.template { "input (a template)" } else { "input" }, &task.input));
    if let Some(output) = &task.output {
        text.push_str(&block("output", output));
    }
    if !attempts.is_empty() {
        text.push('\n');
        text.push_str(&history(attempts));
    }
    text
}

/// One thing that a task waits for: `lock repo, held by tsk_… since 3m ago`.
fn waits_for(wait: &WaitRecord, now: Timestamp) -> String {
    let mut text = format!("{} {}", wait.kind.as_str(), wait.name);
    // A dependency is its own name.
    if let Some(holder) = wait.holder.filter(|_| wait.kind != WaitKind::Task) {
        let since = wait.since.map(|at| format!(" since {}", ago(at, now)));
        text.push_str(&format!(", {holder} has it{}", since.unwrap_or_default()));
    }
    if let Some(reason) = &wait.reason {
        text.push_str(&format!(": {reason}"));
    }
    if let Some(until) = wait.until {
        text.push_str(&format!(", until {}", local(until)));
    }
    text
}

/// What is told once a task is waited for: the result on lines of its own, or the error.
pub(super) fn result(task: &TaskRecord) -> String {
    let state = task_tone(task.state).paint(task.state.as_str());
    let mut text = format!("{} {state}\n", task.id);
    if let Some(error) = &task.error {
        text.push_str(&card(&[("error", told(error))]));
    }
    if let Some(output) = &task.output {
        text.push_str(&block("output", output));
    }
    text
}

/// What a task itself says of retries, in the words of `--retry`.
fn terms(retry: &RetryTerms) -> String {
    let kind = retry.kind.and_then(|kind| Growth::WORDS.iter().find(|(_, known)| *known == kind));
    let causes = |causes: &Vec<Cause>| {
        let words: Vec<_> = causes.iter().map(ToString::to_string).collect();
        words.join(",")
    };
    let words = [
        ("kind", kind.map(|(word, _)| (*word).to_owned())),
        ("backoff_min", retry.backoff_min.map(format_duration)),
        ("backoff_max", retry.backoff_max.map(format_duration)),
        ("jitter", retry.jitter.map(|jitter| jitter.to_string())),
        ("retry_on", retry.retry_on.as_ref().map(causes)),
        ("never_on", retry.never_on.as_ref().map(causes)),
    ];
    let said = words.into_iter().filter_map(|(word, value)| Some(format!("{word}={}", value?)));
    said.collect::<Vec<_>>().join(" ")
}

fn history(attempts: &[AttemptRecord]) -> String {
    let mut table = Table::new(&["ATTEMPT", "OUTCOME", "AGENT", "TOOK", "WHY"]);
    for attempt in attempts {
        let took = attempt.ended_at.duration_since(attempt.started_at).as_millis();
        let why = attempt.error.as_ref().map(told).or_else(|| attempt.reason.clone());
        table.row(
            if attempt.error.is_some() { Tone::Bad } else { Tone::Plain },
            [
                attempt.attempt.to_string(),
                attempt.outcome.clone(),
                or_dash(attempt.agent.as_ref()),
                span(u64::try_from(took).unwrap_or(0)),
                why.unwrap_or_default(),
            ],
        );
    }
    let mut text = table.render("");
    for attempt in attempts {
        let Some(workspace) = &attempt.workspace else { continue };
        text += &format!("attempt {} {}\n", attempt.attempt, worked_in(workspace));
    }
    text
}

/// What an attempt worked in, and what it changed there.
fn worked_in(workspace: &WorkspaceRecord) -> String {
    let WorkspaceRecord { place, changed, outside, outside_count, .. } = workspace;
    let gone = if workspace.removed_at.is_some() { " (removed)" } else { "" };
    let mut text = format!(
        "worked in {}{gone} on {}, {changed} files changed",
        place.path.display(),
        place.branch
    );
    if let Some(first) = outside.first() {
        text += &format!("; {outside_count} outside of its paths, such as {first}");
    }
    for problem in workspace.problem.iter().chain(&workspace.stuck) {
        text += &format!("; {problem}");
    }
    if workspace.waiting {
        text += "; waits for its turn to be merged";
    }
    text.chars().filter(|c| !c.is_control()).collect()
}

fn told(error: &TaskError) -> String {
    format!("{}: {}", error.class, error.message)
}

/// A value under its name; JSON is indented, and text keeps its lines and nothing else that a
/// terminal would obey.
fn block(name: &str, value: &Value) -> String {
    let text = match value {
        Value::Object(_) | Value::Array(_) => {
            serde_json::to_string_pretty(value).unwrap_or_else(|_| brief(value))
        }
        other => brief(other),
    };
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let lines: String = text
        .lines()
        .map(|line| format!("  {}\n", line.chars().filter(kept).collect::<String>()))
        .collect();
    format!("{name}\n{lines}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{
        Attempt, TaskId,
        admission::{NeedKind, Needs},
        task::{FailureClass, TaskState},
    };

    fn failed() -> TaskRecord {
        let error = TaskError {
            class: FailureClass::Exit,
            message: "exit status 3\nboom".to_owned(),
            detail: Value::Null,
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        TaskRecord {
            id: TaskId::from_uuid(uuid::Uuid::from_u128(7)),
            queue: "default".parse().unwrap(),
            kind: "echo".to_owned(),
            state: TaskState::Failed,
            priority: 0,
            input: json!({"say": "hi\u{1b}[2J"}),
            output: Some(json!("line one\nline \u{7}two")),
            error: Some(error),
            attempt: Attempt(2),
            failures: 2,
            max_attempts: 2,
            timeout_ms: Some(90_000),
            timeout_from: TimeoutFrom::Task,
            retry: None,
            deadline: None,
            idempotency_key: None,
            group: Some("import".parse().unwrap()),
            batch: None,
            host: None,
            agent: Some("echo-1".parse().unwrap()),
            cancel_requested: false,
            created_at: at(0),
            run_at: at(0),
            started_at: Some(at(1)),
            finished_at: Some(at(2)),
            depends_on: Vec::new(),
            blocked_reason: None,
            on_dependency_failure: None,
            template: false,
            workspace: None,
            stale_after_ms: Some(120_000),
            needs: Needs::from_rows([(NeedKind::Exclusive, "repo"), (NeedKind::Read, "src/**")])
                .unwrap(),
            waits_for: Some(vec![WaitRecord {
                kind: WaitKind::Lock,
                name: "repo".to_owned(),
                holder: Some("tsk_00000000000000000000000000000009".parse().unwrap()),
                since: Some("2030-01-31T08:00:00Z".parse().unwrap()),
                until: None,
                reason: None,
            }]),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(120).unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn tasks_are_listed_with_the_way_to_more() {
        let page = Page { items: vec![failed()], next_cursor: Some("tsk_7".to_owned()) };
        let text = plain(&table(&page, now()));
        let row = text.lines().nth(1).unwrap();
        for part in ["default", "echo", "failed", "echo-1", "2m ago", "exit: exit status 3 boom"] {
            assert!(row.contains(part), "{part} in {row}");
        }
        assert!(text.ends_with("more with --cursor tsk_7\n"), "{text}");
    }

    #[test]
    fn a_task_is_shown_with_its_attempts_and_moves_no_cursor() {
        let task = failed();
        let attempt = AttemptRecord {
            attempt: Attempt(1),
            outcome: "failed".to_owned(),
            error: task.error.clone(),
            reason: None,
            host: None,
            agent: task.agent.clone(),
            started_at: task.created_at,
            ended_at: task.started_at.unwrap(),
            workspace: None,
        };
        let painted = sheet(&task, &[attempt], now());
        let text = plain(&painted);
        let parts = [
            "failed\n",
            "2 (2 of 2 failed)",
            "timeout    1m",
            "silence    2m",
            "group      import\n",
            "needs      read src/**",
            "waits for  lock repo, tsk_00000000000000000000000000000009 has it since",
            "output\n  line one\n  line two\n",
            "1        failed   echo-1  1s    exit: exit status 3 boom",
        ];
        for part in parts {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!painted.contains("\u{1b}[2J") && !painted.contains('\u{7}'), "{painted:?}");
    }

    #[test]
    fn a_result_is_short() {
        let completed = TaskRecord {
            state: TaskState::Completed,
            error: None,
            output: Some(json!({"a": 1})),
            ..failed()
        };
        let text = plain(&result(&completed));
        assert!(text.ends_with("completed\noutput\n  {\n    \"a\": 1\n  }\n"), "{text}");
    }
}
