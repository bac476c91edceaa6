//! Planned against real.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Millis, PlanTaskId,
    plan::{
        Plan, PlanTask,
        run::{RunRecord, RunTaskRecord, by_clock},
    },
    task::TaskState,
};

/// A run, planned against real. All times are milliseconds of the clock, from its begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunReport {
    /// The run.
    pub run: RunRecord,
    /// How long it was to take.
    pub planned_ms: u64,
    /// How long it took, or takes so far.
    pub real_ms: u64,
    /// What its tasks took, one after the other.
    pub work_ms: u64,
    /// What was saved of that in fact.
    pub saved_ms: u64,
    /// The same, of a hundred.
    pub saved_percent: f64,
    /// The share of its agents' time in which they had a task, of a hundred.
    pub busy_percent: f64,
    /// Its tasks, in the order in which they began; those that did not come last.
    pub tasks: Vec<TaskReport>,
}

/// One task, planned against real.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskReport {
    /// Its name in the plan.
    pub id: PlanTaskId,
    /// How it ended, or where it is.
    pub state: TaskState,
    /// Whether it was on the longest chain.
    pub critical: bool,
    /// Who did it.
    pub agent: Option<String>,
    /// When it was to begin.
    pub planned_start_ms: u64,
    /// When it began.
    pub start_ms: Option<u64>,
    /// How long it was to take.
    pub planned_ms: u64,
    /// How long it took, from its begin to its end, with all of its attempts.
    pub took_ms: Option<u64>,
    /// What it waited for after the run began.
    pub waited: Vec<Waited>,
}

/// What a task waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Waited {
    /// How long.
    pub ms: u64,
    /// `dependency`, `files`, `agent`, or `person`.
    pub why: String,
    /// The task that ended last before this one could go on.
    pub on: Option<PlanTaskId>,
}

/// Compares what was planned with what was. `plan` is the plan of the run.
pub fn report(run: RunRecord, plan: &Plan, tasks: &[RunTaskRecord], now: Timestamp) -> RunReport {
    let begin = run.created_at;
    let since = |at: Timestamp| u64::try_from(at.duration_since(begin).as_millis()).unwrap_or(0);
    let last = tasks.iter().filter_map(|task| task.ended_at).max();
    let end = if run.state.has_ended() { last.or(run.ended_at).unwrap_or(now) } else { now };
    let real_ms = since(end);
    let took = |task: &RunTaskRecord| {
        let (from, to) = (task.began_at?, task.ended_at?);
        Some(since(to).saturating_sub(since(from)))
    };
    let work_ms: Millis = tasks.iter().filter_map(took).sum();
    let by_agents: Millis = tasks.iter().filter(|task| !task.human).filter_map(took).sum();
    let known: HashMap<&PlanTaskId, &PlanTask> =
        plan.tasks.iter().map(|task| (&task.id, task)).collect();
    let by_place: HashMap<usize, &RunTaskRecord> =
        tasks.iter().map(|task| (task.place, task)).collect();
    let mut ended: Vec<&RunTaskRecord> = tasks.iter().filter(|it| it.ended_at.is_some()).collect();
    ended.sort_by_key(|task| task.ended_at);
    let scene = Scene { begin, known, by_place, ended };
    let mut reports: Vec<TaskReport> = tasks
        .iter()
        .map(|task| TaskReport {
            id: task.id.clone(),
            state: task.state,
            critical: task.critical,
            agent: task.agent.clone(),
            planned_start_ms: by_clock(task.planned.start, run.hour_ms),
            start_ms: task.began_at.map(since),
            planned_ms: by_clock(task.planned.length, run.hour_ms),
            took_ms: took(task),
            waited: scene.waited(task),
        })
        .collect();
    reports.sort_by_key(|task| (task.start_ms.is_none(), task.start_ms));
    let saved_ms = work_ms.saturating_sub(real_ms);
    let percent = |part: u64, of: u64| match of {
        0 => 0.0,
        of => (1_000.0 * part as f64 / of as f64).round() / 10.0,
    };
    RunReport {
        planned_ms: by_clock(run.figures.makespan_ms, run.hour_ms),
        real_ms,
        work_ms,
        saved_ms,
        saved_percent: percent(saved_ms, work_ms),
        busy_percent: percent(by_agents, real_ms.saturating_mul(u64::from(run.agents))),
        tasks: reports,
        run,
    }
}

/// What all tasks are compared with.
struct Scene<'a> {
    begin: Timestamp,
    known: HashMap<&'a PlanTaskId, &'a PlanTask>,
    by_place: HashMap<usize, &'a RunTaskRecord>,
    /// In the order of their ends.
    ended: Vec<&'a RunTaskRecord>,
}

impl Scene<'_> {
    /// What `task` waited for: until the last of what it depends on had ended, and from then on.
    fn waited(&self, task: &RunTaskRecord) -> Vec<Waited> {
        let between = |from: Timestamp, to: Timestamp| {
            u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
        };
        let Some(began) = task.began_at else { return Vec::new() };
        let mut waited = Vec::new();
        let on = task.depends_on.iter().filter_map(|place| self.by_place.get(place));
        let last = on.filter_map(|other| Some((other.ended_at?, *other))).max_by_key(|it| it.0);
        let ready = last.map_or(self.begin, |(ended, _)| ended).max(self.begin);
        if let Some((ended, other)) = last {
            let ms = between(self.begin, ended);
            let on = Some(other.id.clone());
            waited.push(Waited { ms, why: "dependency".to_owned(), on });
        }
        let ms = between(ready, began);
        if ms > 0 {
            let (why, on) = if task.human || task.approval.is_some() {
                ("person", None)
            } else {
                let before =
                    self.ended.iter().rev().filter(|other| {
                        other.ended_at.is_some_and(|end| end > ready && end <= began)
                    });
                let before: Vec<&&RunTaskRecord> = before.collect();
                let files = before.iter().find(|other| self.exclude(task, other));
                let worker = before.iter().find(|other| other.agent == task.agent);
                match (files, worker) {
                    (Some(other), _) => ("files", Some(other.id.clone())),
                    (None, other) => ("agent", other.map(|other| other.id.clone())),
                }
            };
            waited.push(Waited { ms, why: why.to_owned(), on });
        }
        waited
    }

    /// Whether one of the two writes what the other uses.
    fn exclude(&self, one: &RunTaskRecord, other: &RunTaskRecord) -> bool {
        let (Some(one), Some(other)) = (self.known.get(&one.id), self.known.get(&other.id)) else {
            return false;
        };
        one.files
            .iter()
            .any(|a| other.files.iter().any(|b| (a.write || b.write) && a.glob.overlaps(&b.glob)))
    }
}
