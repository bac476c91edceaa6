//! What the demo counted, and how it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::stage::TASKS;
use crate::domain::{
    TaskId,
    record::{AgentRecord, EventRecord, RestartCause, TaskRecord},
    task::TaskState,
};

/// The figures of one demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    tasks_submitted: usize,
    tasks_completed: usize,
    tasks_failed: usize,
    tasks_lost: usize,
    /// Completed tasks that no agent says it worked on.
    tasks_unaccounted: usize,
    attempts: u64,
    failed_attempts: u64,
    restarts: BTreeMap<&'static str, u64>,
    pickup_ms: Pickup,
    tasks_per_second: f64,
    seconds: f64,
    pub(super) clean_stop: bool,
}

#[derive(Debug, Serialize)]
struct Pickup {
    p50: f64,
    p95: f64,
}

/// How long a task was pending before each of its attempts began, in milliseconds.
pub(super) fn pickup_ms(events: &[EventRecord]) -> Vec<f64> {
    let steps = events.windows(2);
    steps
        .filter(|step| (step[0].state, step[1].state) == (TaskState::Pending, TaskState::Running))
        .map(|step| step[1].at.duration_since(step[0].at).as_secs_f64() * 1000.0)
        .collect()
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(at - 1).copied().unwrap_or(0.0)
}

impl Report {
    pub(super) fn of(
        tasks: &[TaskRecord],
        agents: &[AgentRecord],
        mut pickups: Vec<f64>,
        effects: &BTreeSet<TaskId>,
        took: Duration,
    ) -> Self {
        pickups.sort_by(f64::total_cmp);
        let completed: Vec<_> =
            tasks.iter().filter(|task| task.state == TaskState::Completed).collect();
        let ended: BTreeSet<_> = tasks.iter().map(|task| task.id).collect();
        let mut restarts: BTreeMap<_, u64> =
            ["crash", "stale", "protocol"].into_iter().map(|cause| (cause, 0)).collect();
        for (cause, count) in agents.iter().flat_map(|agent| &agent.restarts) {
            *restarts.entry(RestartCause::as_str(*cause)).or_default() += count;
        }
        Self {
            tasks_submitted: TASKS,
            tasks_completed: completed.len(),
            tasks_failed: tasks.iter().filter(|task| task.state == TaskState::Failed).count(),
            tasks_lost: TASKS.saturating_sub(ended.len()),
            tasks_unaccounted: completed.iter().filter(|t| !effects.contains(&t.id)).count(),
            attempts: tasks.iter().map(|task| u64::from(task.attempt.0)).sum(),
            failed_attempts: tasks.iter().map(|task| u64::from(task.failures)).sum(),
            restarts,
            pickup_ms: Pickup {
                p50: round(percentile(&pickups, 0.50)),
                p95: round(percentile(&pickups, 0.95)),
            },
            tasks_per_second: round(completed.len() as f64 / took.as_secs_f64()),
            seconds: round(took.as_secs_f64()),
            clean_stop: false,
        }
    }

    /// Whether everything that was submitted was completed, every fault was seen, and the host
    /// stopped cleanly.
    pub(super) fn is_whole(&self) -> bool {
        self.tasks_completed == self.tasks_submitted
            && self.tasks_lost == 0
            && self.tasks_unaccounted == 0
            && ["crash", "stale", "protocol"].iter().all(|cause| self.restarts[cause] > 0)
            && self.failed_attempts >= 2
            && self.clean_stop
    }

    pub(super) fn to_json(&self) -> String {
        // The struct has string keys and finite numbers only.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn to_text(&self, colour: bool) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        let mut row = |what: &str, value: String| {
            table.add_row([what.to_owned(), value]);
        };
        row("tasks submitted", self.tasks_submitted.to_string());
        row("tasks completed", self.tasks_completed.to_string());
        row("tasks failed", self.tasks_failed.to_string());
        row("tasks lost", self.tasks_lost.to_string());
        row("attempts (failed)", format!("{} ({})", self.attempts, self.failed_attempts));
        for (cause, count) in &self.restarts {
            row(&format!("restarts, {cause}"), count.to_string());
        }
        let Pickup { p50, p95 } = self.pickup_ms;
        row("pick-up p50 / p95", format!("{p50} / {p95} ms"));
        row("throughput", format!("{} tasks/s (as submitted)", self.tasks_per_second));
        row("time", format!("{} s", self.seconds));
        let (word, style) = if self.is_whole() {
            ("nothing lost", anstyle::AnsiColor::Green.on_default())
        } else {
            ("something is wrong: see the table", anstyle::AnsiColor::Red.on_default())
        };
        if colour { format!("{table}\n{style}{word}{style:#}") } else { format!("{table}\n{word}") }
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.50), 50.0);
        assert_eq!(percentile(&values, 0.95), 95.0);
        assert_eq!(percentile(&[7.0], 0.95), 7.0);
        assert_eq!(percentile(&[], 0.95), 0.0);
    }

    #[test]
    fn a_report_with_anything_missing_is_not_whole() {
        let whole = || Report {
            tasks_submitted: TASKS,
            tasks_completed: TASKS,
            tasks_failed: 0,
            tasks_lost: 0,
            tasks_unaccounted: 0,
            attempts: 505,
            failed_attempts: 5,
            restarts: [("crash", 1), ("protocol", 1), ("stale", 1)].into(),
            pickup_ms: Pickup { p50: 1.0, p95: 2.0 },
            tasks_per_second: 100.0,
            seconds: 5.0,
            clean_stop: true,
        };
        assert!(whole().is_whole());
        assert!(!Report { tasks_completed: TASKS - 1, ..whole() }.is_whole());
        assert!(!Report { tasks_lost: 1, ..whole() }.is_whole());
        assert!(!Report { tasks_unaccounted: 1, ..whole() }.is_whole());
        assert!(!Report { clean_stop: false, ..whole() }.is_whole());
        let restarts = [("crash", 1), ("protocol", 0), ("stale", 1)].into();
        assert!(!Report { restarts, ..whole() }.is_whole());
    }
}
