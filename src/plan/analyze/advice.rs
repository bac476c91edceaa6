//! What to do to be done sooner, in sentences.

use super::Analysis;
use crate::{
    domain::plan::Owner,
    plan::words::{hours, percent},
};

/// From this utilisation on, agents count as busy all the time.
const BUSY: f64 = 0.85;

/// What holds the plan up, and what would help.
pub(super) fn of(analysis: &Analysis) -> Vec<String> {
    let mut advice = Vec::new();
    advice.extend(chain(analysis));
    advice.extend(agents(analysis));
    advice.extend(phases(analysis));
    advice.extend(files(analysis));
    advice.extend(people(analysis));
    advice.extend(splits(analysis));
    advice
}

fn chain(analysis: &Analysis) -> Option<String> {
    let length = analysis.times.length;
    if length == 0 || length < analysis.figures.makespan {
        return None;
    }
    let tasks = analysis.critical_path.iter().map(|at| &analysis.plan.tasks[*at]);
    let longest = tasks.max_by_key(|task| task.estimate.expected())?;
    Some(format!(
        "the longest chain of dependencies decides: {} tasks, {}; more agents do not help, a shorter chain does, and `{}` is its longest task ({})",
        analysis.critical_path.len(),
        hours(length),
        longest.id,
        hours(longest.estimate.expected()),
    ))
}

fn agents(analysis: &Analysis) -> Option<String> {
    let best = analysis.best_agents;
    let of = |agents: u32| {
        analysis.staff.iter().rev().find(|row| row.agents <= agents).map(|row| row.makespan)
    };
    if analysis.agents < best {
        let reached = of(best)?;
        return Some(format!(
            "{best} agents would take {}, and more than {best} are of no use",
            hours(reached)
        ));
    }
    if analysis.agents > best {
        return Some(format!(
            "with {best} it takes no longer: {} would be idle",
            analysis.agents - best
        ));
    }
    (analysis.utilisation >= BUSY && analysis.times.length < analysis.figures.makespan).then(|| {
        format!(
            "the agents are busy {} of the time: less work is what would help",
            percent(100.0 * analysis.utilisation)
        )
    })
}

fn phases(analysis: &Analysis) -> Option<String> {
    let other = analysis.other?;
    let (with, without) = match analysis.phased {
        true => (analysis.figures, other),
        false => (other, analysis.figures),
    };
    (without.makespan < with.makespan).then(|| {
        format!(
            "phases as barriers take {}; without them it is {}, as the dependencies allow",
            hours(with.makespan),
            hours(without.makespan)
        )
    })
}

fn files(analysis: &Analysis) -> Option<String> {
    if analysis.conflicts.is_empty() {
        return None;
    }
    let count = analysis.conflicts.len();
    let pairs = if count == 1 {
        "one pair of tasks uses".to_owned()
    } else {
        format!("{count} pairs of tasks use")
    };
    let cost = analysis.figures.makespan - analysis.ideal;
    Some(if analysis.figures.merges {
        format!(
            "{pairs} the same files; those that run at once need workspaces of their own and a merge"
        )
    } else if cost == 0 {
        format!("{pairs} the same files; the schedule keeps them apart at no cost")
    } else {
        format!(
            "{pairs} the same files, which costs {}; a workspace of its own for each (`branch`) and a merge, or other files, would save that",
            hours(cost)
        )
    })
}

fn people(analysis: &Analysis) -> Option<String> {
    let task = |at: usize| &analysis.plan.tasks[at];
    let waits = analysis.waits.iter().flatten();
    let for_people = waits.filter(|wait| task(wait.on).owner == Owner::Human).count();
    (for_people > 0).then(|| format!("{for_people} tasks wait for a person: do those first"))
}

fn splits(analysis: &Analysis) -> Vec<String> {
    let one = |split: &super::SplitFigures| {
        let whole: Vec<&str> = split.split.replaces.iter().map(|id| id.as_str()).collect();
        let whole = whole.join(" and ");
        let (before, after) = split.makespans;
        if after < before {
            let taken = if split.taken { ", which the schedule does" } else { "; --split does so" };
            format!("to split {whole} saves {}{taken}", hours(before - after))
        } else {
            format!(
                "to split {whole} saves nothing: {} with it, {} without",
                hours(after),
                hours(before)
            )
        }
    };
    analysis.splits.iter().map(one).collect()
}
