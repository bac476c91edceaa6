//! Phases as barriers: one problem after the other.

use std::collections::HashSet;

use super::{Figures, Found, Inquiry, PhaseFigures, Team, part::Part, parts};
use crate::{
    domain::plan::{Cause, Plan, Slot, Wait},
    plan::solve::Method,
};

/// A schedule, and the phases that it is made of.
pub(super) struct Phased {
    /// The whole.
    pub(super) found: Found,
    /// Its phases, where they are barriers.
    pub(super) phases: Vec<PhaseFigures>,
}

/// All that counts in a plan, as one or phase by phase, to be scheduled for one team after another.
pub(super) struct Stages<'a> {
    plan: &'a Plan,
    phased: bool,
    /// The parts, with the place of their phase.
    parts: Vec<(Option<usize>, Part<'a>)>,
}

impl<'a> Stages<'a> {
    /// `plan` with its phases as barriers, or without.
    pub(super) fn of(plan: &'a Plan, phased: bool, options: &Inquiry<'_>) -> Self {
        let groups = if phased { groups(plan) } else { vec![(None, parts(plan).1)] };
        let part = |(phase, places)| (phase, Part::new(plan, places, options));
        Self { plan, phased, parts: groups.into_iter().map(part).collect() }
    }

    /// What `team` reaches.
    pub(super) fn figures(&mut self, team: &Team, options: &Inquiry<'_>) -> Figures {
        let mut whole = NOTHING;
        for (_, part) in &mut self.parts {
            let solved = part.solve(team, options);
            whole = sum(whole, part.figures(&solved));
        }
        whole
    }

    /// The schedule of `team`.
    pub(super) fn schedule(&mut self, team: &Team, options: &Inquiry<'_>) -> Phased {
        let mut whole = Found { figures: NOTHING, slots: Vec::new(), waits: Vec::new() };
        let mut phases = Vec::new();
        for (phase, part) in &mut self.parts {
            let solved = part.solve(team, options);
            let found = part.found(&solved);
            let figures = found.figures;
            append(&mut whole, found);
            if self.phased {
                let (name, title) = match phase.map(|at| &self.plan.phases[at]) {
                    Some(phase) => (Some(phase.name.clone()), phase.title.clone()),
                    None => (None, "no phase".to_owned()),
                };
                phases.push(PhaseFigures { name, title, figures });
            }
        }
        Phased { found: whole, phases }
    }
}

/// Puts `found` behind `whole`, with a barrier between them.
fn append(whole: &mut Found, found: Found) {
    let from = whole.figures.makespan;
    // Whatever starts with the phase waits for the last of the phase before.
    let last = whole.slots.iter().max_by_key(|slot| slot.finish).map(|slot| slot.task);
    let barrier = last.map(|on| Wait { on, cause: Cause::Phase });
    let starting = found.slots.iter().filter(|slot| slot.start == 0).map(|slot| slot.task);
    let starting: HashSet<usize> = starting.collect();
    let with_barrier = |(task, wait): &(usize, Option<Wait>)| {
        let first = barrier.is_some() && starting.contains(task);
        (*task, if first { barrier } else { *wait })
    };
    whole.waits.extend(found.waits.iter().map(with_barrier));
    let later =
        |slot: &Slot| Slot { start: slot.start + from, finish: slot.finish + from, ..*slot };
    whole.slots.extend(found.slots.iter().map(later));
    whole.figures = sum(whole.figures, found.figures);
}

/// The figures of no tasks.
const NOTHING: Figures =
    Figures { sequential: 0, makespan: 0, bound: 0, method: Method::Rules, merges: false };

fn sum(a: Figures, b: Figures) -> Figures {
    let is_harder = b.method != Method::Rules;
    Figures {
        sequential: a.sequential + b.sequential,
        makespan: a.makespan + b.makespan,
        bound: a.bound + b.bound,
        method: if is_harder { b.method } else { a.method },
        merges: a.merges || b.merges,
    }
}

/// The tasks that count, phase by phase; those without a phase join the last phase of what they
/// wait for, or the first.
pub(super) fn groups(plan: &Plan) -> Vec<(Option<usize>, Vec<usize>)> {
    let (_, places) = parts(plan);
    let phase_at = |name| plan.phases.iter().position(|phase| Some(&phase.name) == name);
    let first = plan.phases.iter().position(|phase| !phase.preparation);
    let graph = crate::domain::plan::Graph::of(&plan.tasks);
    let mut of: Vec<Option<usize>> =
        plan.tasks.iter().map(|task| phase_at(task.phase.as_ref())).collect();
    for task in graph.order() {
        if plan.tasks[task].phase.is_none() {
            let waits = graph.before[task].iter().filter_map(|earlier| of[*earlier]).max();
            of[task] = waits.max(first);
        }
    }
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
    let mut names: Vec<Option<usize>> = places.iter().map(|at| of[*at]).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let own = places.iter().copied().filter(|at| of[*at] == name).collect();
        groups.push((name, own));
    }
    groups
}

/// The first dependency that points from a phase to a later one, which barriers forbid: the places
/// of the task and of what it waits for.
pub fn backward(plan: &Plan) -> Option<(usize, usize)> {
    let groups = groups(plan);
    let mut rank = vec![0; plan.tasks.len()];
    for (at, (_, places)) in groups.iter().enumerate() {
        for place in places {
            rank[*place] = at + 1;
        }
    }
    let graph = crate::domain::plan::Graph::of(&plan.tasks);
    (0..plan.tasks.len())
        .flat_map(|task| graph.before[task].iter().map(move |earlier| (task, *earlier)))
        .find(|(task, earlier)| rank[*earlier] > rank[*task])
}
