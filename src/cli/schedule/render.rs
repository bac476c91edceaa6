//! Schedules for people.

use jiff::Timestamp;

use super::super::output::{Table, Tone, ago, brief, card, local, or_dash, span};
use crate::domain::schedule::{FiringOutcome, FiringRecord, ScheduleRecord};

/// A listing.
pub(super) fn table(schedules: &[ScheduleRecord], now: Timestamp) -> String {
    let heads = ["SCHEDULE", "WHEN", "QUEUE", "KIND", "NEXT", "LAST", "LAST TASK", "DESCRIPTION"];
    let mut table = Table::new(&heads);
    for schedule in schedules {
        let next = schedule.next_at.map_or_else(|| paused(schedule), |next| ago(next, now));
        let state = schedule.last_task_state.map_or("-", |state| state.as_str());
        table.row(
            if schedule.paused { Tone::Warn } else { Tone::Plain },
            [
                schedule.name.to_string(),
                when(schedule),
                schedule.queue.to_string(),
                schedule.kind.clone(),
                next,
                or_dash(schedule.last_at.map(|last| ago(last, now))),
                state.to_owned(),
                schedule.description.clone(),
            ],
        );
    }
    table.render("no schedules; `hostler schedule add` makes one")
}

/// One schedule, and what became of its newest due times.
pub(super) fn sheet(schedule: &ScheduleRecord, firings: &[FiringRecord], now: Timestamp) -> String {
    let at = |at: Timestamp| format!("{} ({})", local(at), ago(at, now));
    let next = schedule.next_at.map_or_else(|| paused(schedule), at);
    let limit = schedule.timeout_ms.map_or_else(|| "the queue's".to_owned(), span);
    let silence = schedule.stale_after_ms.map_or_else(|| "the fleet's".to_owned(), span);
    let attempts =
        schedule.max_attempts.map_or_else(|| "the queue's".to_owned(), |n| n.to_string());
    let task = schedule.last_task.map(|task| {
        let state = schedule.last_task_state.map_or("no longer kept", |state| state.as_str());
        format!("{task} ({state})")
    });
    let mut text = card(&[
        ("schedule", schedule.name.to_string()),
        ("what for", schedule.description.clone()),
        ("when", when(schedule)),
        ("next", next),
        ("last", or_dash(schedule.last_at.map(at))),
        ("last task", or_dash(task)),
        ("overlap", schedule.overlap.as_str().to_owned()),
        ("catch up", format!("{} (at most {})", schedule.catch_up.as_str(), schedule.catch_up_max)),
        ("queue", schedule.queue.to_string()),
        ("kind", schedule.kind.clone()),
        ("priority", schedule.priority.to_string()),
        ("attempts", attempts),
        ("timeout", limit),
        (
            "deadline",
            or_dash(schedule.deadline_ms.map(|ms| format!("{} after it is due", span(ms)))),
        ),
        ("silence", silence),
        ("input", brief(&schedule.input)),
        ("made by", schedule.origin.as_str().to_owned()),
    ]);
    if !firings.is_empty() {
        text.push('\n');
        text.push_str(&history(firings));
    }
    text
}

fn history(firings: &[FiringRecord]) -> String {
    let mut table = Table::new(&["DUE", "OUTCOME", "TASK", "NOTE"]);
    for firing in firings {
        let tone = match firing.outcome {
            FiringOutcome::Fired | FiringOutcome::ByHand => Tone::Plain,
            FiringOutcome::Skipped => Tone::Dim,
            FiringOutcome::Missed | FiringOutcome::Failed => Tone::Warn,
        };
        let replaced = firing.replaced.map(|task| format!("in place of {task}"));
        table.row(
            tone,
            [
                local(firing.scheduled_for),
                firing.outcome.as_str().to_owned(),
                or_dash(firing.task),
                firing.note.clone().or(replaced).unwrap_or_default(),
            ],
        );
    }
    table.render("")
}

/// That a schedule is there, and when it is due.
pub(super) fn due(schedule: &ScheduleRecord) -> String {
    let next =
        schedule.next_at.map_or_else(|| paused(schedule), |next| format!("due {}", local(next)));
    format!("schedule {}: {next}", schedule.name)
}

fn paused(schedule: &ScheduleRecord) -> String {
    let reason = schedule.paused_reason.as_deref().unwrap_or("no reason is known");
    format!("paused: {reason}")
}

fn when(schedule: &ScheduleRecord) -> String {
    match (&schedule.cron, schedule.every_ms) {
        (Some(cron), _) => format!("{cron} {}", schedule.zone),
        (None, every) => format!("every {}", or_dash(every.map(span))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{
        schedule::{CatchUp, Origin, Overlap},
        task::TaskState,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn nightly() -> ScheduleRecord {
        ScheduleRecord {
            name: "nightly".parse().unwrap(),
            description: "the report".to_owned(),
            origin: Origin::Api,
            cron: Some("0 2 * * *".to_owned()),
            every_ms: None,
            zone: "Europe/Berlin".to_owned(),
            queue: "default".parse().unwrap(),
            kind: "report".to_owned(),
            input: json!({"a": 1}),
            priority: 0,
            max_attempts: None,
            timeout_ms: Some(90_000),
            deadline_ms: Some(7_200_000),
            stale_after_ms: Some(120_000),
            overlap: Overlap::Skip,
            catch_up: CatchUp::Last,
            catch_up_max: 10,
            paused: false,
            paused_reason: None,
            since: at(0),
            next_at: Some(at(3_600)),
            last_due: None,
            last_at: Some(at(0)),
            last_task: Some("tsk_00000000000000000000000000000007".parse().unwrap()),
            last_task_state: Some(TaskState::Running),
            created_at: at(0),
            changed_at: at(0),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn schedules_are_listed_with_their_next_time() {
        let held = ScheduleRecord {
            cron: None,
            every_ms: Some(300_000),
            paused: true,
            paused_reason: Some("moving house".to_owned()),
            next_at: None,
            last_task_state: None,
            ..nightly()
        };
        let text = plain(&table(&[nightly(), held], at(60)));
        let rows: Vec<_> = text.lines().skip(1).collect();
        for part in
            ["nightly", "0 2 * * * Europe/Berlin", "in 59m", "1m ago", "running", "the report"]
        {
            assert!(rows[0].contains(part), "{part} in {}", rows[0]);
        }
        for part in ["every 5m", "paused: moving house"] {
            assert!(rows[1].contains(part), "{part} in {}", rows[1]);
        }
    }

    #[test]
    fn a_schedule_is_shown_with_what_became_of_its_times() {
        let task = "tsk_00000000000000000000000000000007".parse().unwrap();
        let firing = FiringRecord {
            scheduled_for: at(0),
            outcome: FiringOutcome::Skipped,
            task: None,
            replaced: None,
            note: Some(format!("{task} is running")),
            at: at(0),
        };
        let replaced = FiringRecord { replaced: Some(task), note: None, ..firing.clone() };
        let text = plain(&sheet(&nightly(), &[firing, replaced], at(60)));
        for part in [
            "timeout    1m",
            "attempts   the queue's",
            "deadline   2h after it is due",
            "silence    2m",
            "skipped",
            "7 is running",
            "in place of tsk_",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
