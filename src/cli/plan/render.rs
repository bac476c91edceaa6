//! Runs of plans, for people.

use jiff::Timestamp;

use super::super::output::{Table, Tone, ago, card, counts, local, or_dash, span, task_tone};
use crate::{
    domain::{
        plan::run::{HOUR, RunRecord, RunState, RunTaskRecord, by_clock},
        task::TaskState,
    },
    http::api::RunPreview,
    plan::{
        run::{RunReport, Waited},
        words::hours,
    },
};

/// The most rows of a table on a terminal.
const MAX_ROWS: usize = 60;

/// A wait is shown from so many parts of the whole run on.
const NOTICED: u64 = 50;

/// The tone of a run's state.
pub(super) const fn tone(state: RunState) -> Tone {
    match state {
        RunState::Running | RunState::Completed => Tone::Good,
        RunState::Paused => Tone::Warn,
        RunState::Failed => Tone::Bad,
        RunState::Cancelled => Tone::Dim,
    }
}

/// How fast the clock of a run goes, where it is a rehearsal.
fn speed(run: &RunRecord) -> Option<String> {
    let is_real = run.hour_ms == HOUR && !run.rehearsal;
    (!is_real).then(|| format!("a rehearsal, an hour takes {}", span(run.hour_ms)))
}

/// Runs, one a line.
pub(super) fn list(runs: &[RunRecord]) -> String {
    let mut table = Table::new(&["RUN", "TITLE", "STATE", "DONE", "AGENTS", "PLANNED", "BEGUN"]);
    let now = Timestamp::now();
    for run in runs {
        let cells = [
            run.id.to_string(),
            run.title.clone(),
            run.state.to_string(),
            format!("{}/{}", run.ended(), run.total),
            run.agents.to_string(),
            hours(run.figures.makespan_ms),
            ago(run.created_at, now),
        ];
        table.row(tone(run.state), cells);
    }
    table.render("no runs")
}

/// One run.
pub(super) fn sheet(run: &RunRecord) -> String {
    let now = Timestamp::now();
    let when = |at: Timestamp| format!("{} ({})", local(at), ago(at, now));
    let proof = if run.proven_optimal { "no schedule is shorter" } else { &run.figures.found_by };
    let mut lines = vec![
        ("plan", run.title.clone()),
        ("tasks", format!("{} ({} ended)", run.total, run.ended())),
        ("states", counts(&run.counts)),
        ("merges", if run.merges.is_empty() { "-".to_owned() } else { counts(&run.merges) }),
        ("agents", run.agents.to_string()),
        ("planned", format!("{} ({proof})", hours(run.figures.makespan_ms))),
        ("begun", when(run.created_at)),
    ];
    lines.extend(speed(run).map(|speed| ("speed", speed)));
    if !run.state.has_ended() {
        lines.push(("expected end", or_dash(run.expected_end_at.map(when))));
    }
    if run.replanned > 0 {
        lines.push(("new orders", run.replanned.to_string()));
    }
    lines.extend(run.paused_reason.clone().map(|why| ("paused", why)));
    lines.extend(run.cancelled_at.map(|at| ("called off", when(at))));
    lines.extend(run.ended_at.map(|at| ("ended", when(at))));
    format!("{} {}\n{}", run.id, tone(run.state).paint(run.state.as_str()), card(&lines))
}

/// Tasks of a run, one a line; the longest chain of the plan has a star.
pub(super) fn tasks(tasks: &[RunTaskRecord]) -> String {
    let mut table = Table::new(&["TASK", "PHASE", "STATE", "PLANNED", "TOOK", "WHO", ""]);
    for task in tasks.iter().take(MAX_ROWS) {
        let note = if task.skipped_at.is_some() {
            "left out".to_owned()
        } else if task.is_to_be_resolved() {
            let merge = task.merge.map(|id| id.to_string()).unwrap_or_default();
            format!("a person is to resolve a conflict: hostler task show {merge}")
        } else if task.waits_for_its_turn() {
            "waits for its turn to be merged".to_owned()
        } else if task.state == TaskState::Completed
            && let Some(state) = task.merge_state.filter(|state| *state != TaskState::Completed)
        {
            let why = task.message.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("its merge is {state}{why}")
        } else if task.waits_for_a_person() {
            "waits for a person".to_owned()
        } else {
            task.message.clone().unwrap_or_default()
        };
        let cells = [
            format!("{}{}", task.id, if task.critical { " *" } else { "" }),
            or_dash(task.phase.as_ref()),
            task.state.to_string(),
            hours(task.planned.length),
            or_dash(task.took_ms.map(span)),
            or_dash(task.agent.as_ref()),
            note,
        ];
        table.row(task_tone(task.state), cells);
    }
    let mut text = table.render("no tasks");
    if tasks.len() > MAX_ROWS {
        text.push_str(&format!("and {} more; --json has them all\n", tasks.len() - MAX_ROWS));
    }
    text
}

/// What would be submitted.
pub(super) fn preview(preview: &RunPreview) -> String {
    let mut table = Table::new(&["TASK", "QUEUE", "PRIORITY", "START", "FINISH", "WHO", "LOCKS"]);
    for task in preview.tasks.iter().take(MAX_ROWS) {
        let paths: Vec<_> = task.needs.paths().iter().map(|path| path.glob.as_str()).collect();
        let cells = [
            format!("{}{}", task.id, if task.critical { " *" } else { "" }),
            task.queue.to_string(),
            task.priority.to_string(),
            hours(task.planned.start),
            hours(task.planned.finish),
            task.worker.clone(),
            paths.join(", "),
        ];
        table.row(if task.critical { Tone::Warn } else { Tone::Plain }, cells);
    }
    let makespan = preview.figures.makespan_ms;
    let lines = [
        ("plan", preview.title.clone()),
        ("agents", preview.agents.to_string()),
        ("makespan", hours(makespan)),
        ("by the clock", span(by_clock(makespan, preview.hour_ms))),
    ];
    format!("{}\n{}nothing was submitted\n", card(&lines), table.render("no tasks"))
}

/// Planned against real.
pub(super) fn report(report: &RunReport) -> String {
    let run = &report.run;
    let lines = [
        ("plan", run.title.clone()),
        ("planned", exactly(report.planned_ms)),
        ("real", exactly(report.real_ms)),
        ("work", format!("{}, one task after the other", exactly(report.work_ms))),
        ("saved", format!("{} ({} %)", exactly(report.saved_ms), report.saved_percent)),
        ("agents busy", format!("{} %", report.busy_percent)),
    ];
    let heads = ["TASK", "STATE", "PLANNED START", "START", "PLANNED", "TOOK", "WHO", "WAITED FOR"];
    let mut table = Table::new(&heads);
    for task in report.tasks.iter().take(MAX_ROWS) {
        // What nobody would notice is left to --json.
        let counts = |waited: &&Waited| waited.ms * NOTICED > report.real_ms;
        let waited: Vec<_> = task.waited.iter().filter(counts).map(wait).collect();
        let cells = [
            format!("{}{}", task.id, if task.critical { " *" } else { "" }),
            task.state.to_string(),
            exactly(task.planned_start_ms),
            or_dash(task.start_ms.map(exactly)),
            exactly(task.planned_ms),
            or_dash(task.took_ms.map(exactly)),
            or_dash(task.agent.as_ref()),
            waited.join(", "),
        ];
        table.row(task_tone(task.state), cells);
    }
    format!(
        "{} {}\n{}\n{}",
        run.id,
        tone(run.state).paint(run.state.as_str()),
        card(&lines),
        table.render("no tasks")
    )
}

/// What a task waited for.
fn wait(waited: &Waited) -> String {
    let on = waited.on.as_ref().map(|on| format!(" {on}")).unwrap_or_default();
    format!("{}{on} {}", waited.why, exactly(waited.ms))
}

/// A length of time to the tenth of its unit.
fn exactly(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => hours(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_exact() {
        let rows = [(0, "0 ms"), (850, "850 ms"), (8_049, "8.0 s"), (5_400_000, "1 h 30 min")];
        for (ms, text) in rows {
            assert_eq!(exactly(ms), text);
        }
    }
}
