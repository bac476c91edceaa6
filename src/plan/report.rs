//! An analysis as JSON: times in hours, tasks by their ids.

use serde_json::{Value, json};

use super::{
    analyze::{Analysis, Figures, PhaseFigures, SplitFigures},
    words::{cause, files, in_hours, worker},
};
use crate::domain::plan::{Conflict, Schedule, Slot, Wait, Worker};

/// What to do about a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Run one after the other: the schedule does, and loses nothing by it.
    Order,
    /// Both run at once in workspaces of their own, and are merged.
    Merge,
    /// They are kept apart, which makes the plan longer: split what both write, or give each a
    /// workspace.
    Split,
}

impl Remedy {
    /// The word of the output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Merge => "worktree and merge",
            Self::Split => "split, or worktree and merge",
        }
    }
}

/// What to do about `conflict` in the schedule of `analysis`.
pub fn remedy(analysis: &Analysis, conflict: &Conflict) -> Remedy {
    let slots = &analysis.schedule.slots;
    let (first, second) = (analysis.slot_of[conflict.first], analysis.slot_of[conflict.second]);
    let (Some(first), Some(second)) = (first, second) else {
        return Remedy::Order;
    };
    let (a, b) = (slots[first], slots[second]);
    let at_once = a.start < b.finish && b.start < a.finish;
    let waits = |at: usize, on: usize| {
        analysis.waits[at]
            .is_some_and(|wait| wait.on == on && wait.cause == crate::domain::plan::Cause::Files)
    };
    if at_once {
        Remedy::Merge
    } else if analysis.ideal < analysis.figures.makespan
        && (waits(first, b.task) || waits(second, a.task))
    {
        Remedy::Split
    } else {
        Remedy::Order
    }
}

/// The analysis as JSON.
pub fn to_json(analysis: &Analysis) -> Value {
    let id = |at: usize| analysis.plan.tasks[at].id.as_str();
    let mut report = figures(&analysis.figures);
    let more = json!({
        "title": analysis.plan.title,
        "agents": analysis.agents,
        "phased": analysis.phased,
        "utilisation_percent": round(100.0 * analysis.utilisation),
        "preparation_h": in_hours(analysis.preparation),
        "preparation": analysis.before.iter().map(|at| id(*at)).collect::<Vec<_>>(),
        "critical_path": analysis.critical_path.iter().map(|at| id(*at)).collect::<Vec<_>>(),
        "critical_path_h": in_hours(analysis.times.length),
        "best_agents": analysis.best_agents,
        "staff": analysis.staff.iter().map(|row| json!({
            "agents": row.agents,
            "makespan_h": in_hours(row.makespan),
            "lower_bound_h": in_hours(row.bound.min(row.makespan)),
        })).collect::<Vec<_>>(),
        "without_conflicts_h": in_hours(analysis.ideal),
        "tasks": tasks(analysis),
        "conflicts": analysis.conflicts.iter().map(|it| conflict(analysis, it)).collect::<Vec<_>>(),
        "schedule": schedule(analysis, &analysis.schedule),
        "phases": analysis.phases.iter().map(phase).collect::<Vec<_>>(),
        (if analysis.phased { "unphased" } else { "phased_figures" }):
            analysis.other.as_ref().map(figures),
        "splits": analysis.splits.iter().map(split).collect::<Vec<_>>(),
        "risk": analysis.risk.map(|risk| json!({
            "draws": risk.draws,
            "p50_h": in_hours(risk.p50),
            "p80_h": in_hours(risk.p80),
            "p95_h": in_hours(risk.p95),
        })),
        "advice": analysis.advice,
    });
    if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
        report.extend(more);
    }
    report
}

fn round(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn figures(figures: &Figures) -> Value {
    json!({
        "sequential_h": in_hours(figures.sequential),
        "makespan_h": in_hours(figures.makespan),
        "saved_h": in_hours(figures.sequential.saturating_sub(figures.makespan)),
        "saved_percent": round(figures.saved_percent()),
        "speed_up": (figures.speed_up() * 100.0).round() / 100.0,
        "lower_bound_h": in_hours(figures.bound),
        "proven_optimal": figures.is_proven(),
        "found_by": figures.method.as_str(),
        "merges": figures.merges,
    })
}

fn phase(phase: &PhaseFigures) -> Value {
    let mut value = figures(&phase.figures);
    value["name"] = json!(phase.name);
    value["title"] = json!(phase.title);
    value
}

fn split(split: &SplitFigures) -> Value {
    json!({
        "replaces": split.split.replaces,
        "parts": split.split.parts,
        "replaced_chain_h": in_hours(split.chains.0),
        "parts_chain_h": in_hours(split.chains.1),
        "makespan_without_h": in_hours(split.makespans.0),
        "makespan_with_h": in_hours(split.makespans.1),
        "helps": split.makespans.1 < split.makespans.0,
        "taken": split.taken,
    })
}

fn tasks(analysis: &Analysis) -> Vec<Value> {
    let one = |(at, place): (usize, &usize)| {
        let task = &analysis.plan.tasks[*place];
        let (earliest, latest) = (analysis.times.earliest[at], analysis.times.latest[at]);
        json!({
            "id": task.id,
            "title": task.title,
            "owner": task.owner.as_str(),
            "phase": task.phase,
            "duration_h": in_hours(task.estimate.expected()),
            "depends_on": task.depends_on,
            "earliest_start_h": in_hours(earliest),
            "latest_start_h": in_hours(latest),
            "slack_h": in_hours(latest - earliest),
            "critical": latest == earliest,
        })
    };
    analysis.places.iter().enumerate().map(one).collect()
}

fn conflict(analysis: &Analysis, conflict: &Conflict) -> Value {
    let id = |at: usize| analysis.plan.tasks[at].id.as_str();
    json!({
        "tasks": [id(conflict.first), id(conflict.second)],
        "files": files(conflict),
        "own_workspaces": conflict.apart,
        "remedy": remedy(analysis, conflict).as_str(),
    })
}

fn schedule(analysis: &Analysis, schedule: &Schedule) -> Vec<Value> {
    let id = |at: usize| analysis.plan.tasks[at].id.as_str();
    let wait = |wait: &Wait| json!({ "on": id(wait.on), "why": cause(wait.cause) });
    let one = |(slot, waits): (&Slot, &Option<Wait>)| {
        json!({
            "task": id(slot.task),
            "start_h": in_hours(slot.start),
            "finish_h": in_hours(slot.finish),
            "worker": worker(slot.worker),
            "agent": match slot.worker {
                Worker::Agent(number) => Some(number),
                Worker::Person(_) => None,
            },
            "waits_for": waits.as_ref().map(wait),
        })
    };
    schedule.slots.iter().zip(&analysis.waits).map(one).collect()
}
