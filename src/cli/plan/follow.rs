//! Following a run: bars on a terminal, a line for each change elsewhere, and the report at its end.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    super::{
        client::Client,
        exit::{Exit, Outcome},
        output::{Output, span},
    },
    render,
};
use crate::{
    domain::{
        PlanRunId,
        plan::run::{RunRecord, RunState, RunTaskRecord, by_clock},
        task::TaskState,
    },
    http::api::Listing,
    plan::run::RunReport,
};

/// How often the host is asked.
const ROUND: Duration = Duration::from_millis(500);

/// For how many tasks once as often: a large run is asked for less often.
const TASKS_A_ROUND: u64 = 2_000;

/// The most tasks that the line of those at work names.
const NAMED: usize = 6;

/// For how many rounds no host may answer: a run outlives its host, and the next takes a while.
const PATIENCE: u32 = 120;

/// The most streams that have a bar each.
const STREAMS: usize = 12;

/// Follows a run to its end, and prints its report.
pub(super) async fn follow(client: &Client, output: Output, run: PlanRunId) -> Outcome {
    let path = format!("/api/v1/plans/runs/{run}");
    let mut view = View::new(output);
    let mut away = 0;
    let ended = loop {
        let (record, tasks) = match look(client, &path).await {
            Err(error) if error.exit == Exit::NotReachable && away < PATIENCE => {
                away += 1;
                sleep(ROUND).await;
                continue;
            }
            found => found?,
        };
        away = 0;
        view.show(&record, &tasks.items, Timestamp::now())?;
        if record.state.has_ended() {
            break record;
        }
        let rounds = u32::try_from(record.total / TASKS_A_ROUND).unwrap_or(u32::MAX);
        sleep(ROUND * rounds.saturating_add(1)).await;
    };
    view.clear();
    let report: RunReport = client.get(&format!("{path}/report")).await?;
    output.show(&report, render::report)?;
    Ok(if ended.state == RunState::Completed { Exit::Done } else { Exit::Failed })
}

/// How a run and its tasks stand.
async fn look(client: &Client, path: &str) -> Outcome<(RunRecord, Listing<RunTaskRecord>)> {
    Ok((client.get(path).await?, client.get(&format!("{path}/tasks")).await?))
}

/// Where it is shown.
enum View {
    /// Nowhere: the report is all that is printed.
    Hidden,
    /// Bars that move.
    Bars(Bars),
    /// A line for each change.
    Lines { output: Output, seen: BTreeMap<usize, TaskState> },
}

impl View {
    fn new(output: Output) -> Self {
        match (output.json, stderr().is_terminal()) {
            (true, _) => Self::Hidden,
            (false, true) => Self::Bars(Bars::default()),
            (false, false) => Self::Lines { output, seen: BTreeMap::new() },
        }
    }

    fn show(&mut self, run: &RunRecord, tasks: &[RunTaskRecord], now: Timestamp) -> Outcome<()> {
        match self {
            Self::Hidden => Ok(()),
            Self::Bars(bars) => {
                bars.show(run, tasks, now);
                Ok(())
            }
            Self::Lines { output, seen } => {
                for line in changes(run, tasks, seen) {
                    output.text(&line)?;
                }
                Ok(())
            }
        }
    }

    fn clear(&self) {
        if let Self::Bars(bars) = self {
            bars.parts.iter().chain(&bars.foot).for_each(|bar| {
                bar.finish_and_clear();
            });
        }
    }
}

/// A bar for each phase and stream, and two lines below.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    parts: Vec<ProgressBar>,
    foot: Option<ProgressBar>,
}

impl Bars {
    fn show(&mut self, run: &RunRecord, tasks: &[RunTaskRecord], now: Timestamp) {
        let parts = parts(tasks);
        if self.parts.is_empty() {
            let width = parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
            for part in &parts {
                let bar = self.all.add(ProgressBar::new(part.length));
                let template = format!("{{prefix:{width}}} {{wide_bar}} {{msg}}");
                if let Ok(style) = ProgressStyle::with_template(&template) {
                    bar.set_style(style);
                }
                bar.set_prefix(part.name.clone());
                self.parts.push(bar);
            }
            let foot = self.all.add(ProgressBar::new(0));
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                foot.set_style(style);
            }
            self.foot = Some(foot);
        }
        // The tasks of a run, and who the schedule gave them to, stay the same.
        for (part, bar) in parts.iter().zip(&self.parts) {
            bar.set_position(part.done);
            bar.set_message(format!("{}/{}", part.ended, part.tasks));
        }
        if let Some(foot) = &self.foot {
            foot.set_message(format!("{}\n{}", headline(run, now), at_work(run, tasks, now)));
        }
    }
}

/// A phase or a stream of a run, as far as it is done. Lengths are milliseconds of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    tasks: usize,
    ended: usize,
    length: u64,
    done: u64,
}

/// The phases, one for all where there are none; and where they are few, the streams: what the schedule gives
/// to the same agent or person.
fn parts(tasks: &[RunTaskRecord]) -> Vec<Part> {
    let mut all = by_name(tasks, |task| {
        task.phase.as_ref().map_or_else(|| "plan".to_owned(), ToString::to_string)
    });
    let mut streams = by_name(tasks, |task| task.worker.clone());
    if (2..=STREAMS).contains(&streams.len()) {
        // `agent 10` after `agent 9`.
        streams.sort_by_key(|stream| (stream.name.len(), stream.name.clone()));
        all.append(&mut streams);
    }
    all
}

/// The tasks by what they have in common, in the order of the first of each.
fn by_name(tasks: &[RunTaskRecord], name: impl Fn(&RunTaskRecord) -> String) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for task in tasks {
        let name = name(task);
        let at = parts.iter().position(|part| part.name == name).unwrap_or_else(|| {
            parts.push(Part { name, tasks: 0, ended: 0, length: 0, done: 0 });
            parts.len() - 1
        });
        let part = &mut parts[at];
        part.tasks += 1;
        part.length += task.planned.length;
        if task.state.is_final() {
            part.ended += 1;
            part.done += task.planned.length;
        }
    }
    parts
}

/// How the run stands, and when it ends.
fn headline(run: &RunRecord, now: Timestamp) -> String {
    let left = run
        .expected_end_at
        .map_or(0, |end| u64::try_from(end.duration_since(now).as_millis()).unwrap_or(0));
    let eta = match run.state {
        RunState::Running => format!(", {} to go", span(left)),
        _ => String::new(),
    };
    format!("{} {}: {}/{} done{eta}", run.id, run.state, run.ended(), run.total)
}

/// What is being done, and what waits for a person. A star marks the longest chain of the plan.
fn at_work(run: &RunRecord, tasks: &[RunTaskRecord], now: Timestamp) -> String {
    let star = |task: &RunTaskRecord| if task.critical { "*" } else { "" };
    let running = tasks.iter().filter_map(|task| {
        let since = u64::try_from(now.duration_since(task.running_since?).as_millis()).unwrap_or(0);
        let of = span(by_clock(task.planned.length, run.hour_ms));
        Some(format!("{}{} {}/{of}", task.id, star(task), span(since)))
    });
    let people = tasks.iter().filter(|task| task.waits_for_a_person());
    let people = people.map(|task| format!("{}{} waits for a person", task.id, star(task)));
    let all: Vec<String> = people.chain(running).collect();
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "))
}

/// A line for each task that came to another state than was seen.
fn changes(
    run: &RunRecord,
    tasks: &[RunTaskRecord],
    seen: &mut BTreeMap<usize, TaskState>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let first = seen.is_empty();
    if first {
        lines.push(format!("{} {}: {} tasks", run.id, run.title, run.total));
    }
    for task in tasks {
        let before = seen.insert(task.place, task.state);
        let is_news = before.is_some_and(|before| before != task.state)
            || (first && !matches!(task.state, TaskState::Blocked));
        if !is_news {
            continue;
        }
        let star = if task.critical { " *" } else { "" };
        let who = task.agent.as_ref().map(|agent| format!(" ({agent})")).unwrap_or_default();
        let why = task.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let wait = if task.waits_for_a_person() { ", waits for a person" } else { "" };
        lines.push(format!("{}{star} {}{who}{wait}{why}", task.id, task.state));
    }
    lines
}

#[cfg(test)]
mod tests;
