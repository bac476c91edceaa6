//! Tasks that are scheduled together, for one team after another: what no team changes is made once.

use std::time::Duration;

use super::{Figures, Found, Inquiry, Model, Scope, Team};
use crate::{
    domain::plan::Plan,
    plan::solve::{self, Budget, Known, Solution},
};

/// Tasks that are scheduled together.
pub(super) struct Part<'a> {
    plan: &'a Plan,
    places: Vec<usize>,
    /// With tasks that have workspaces of their own kept apart as if they had none.
    apart: Ready,
    /// With these let run at once, where that makes a difference.
    free: Option<Ready>,
}

/// The best schedule that was found, and whether it lets tasks run at once whose work is to be
/// merged.
pub(super) struct Solved {
    solution: Solution,
    merges: bool,
}

impl<'a> Part<'a> {
    /// The tasks of `plan` at `places`.
    pub(super) fn new(plan: &'a Plan, places: Vec<usize>, options: &Inquiry<'_>) -> Self {
        let team = &Team::of(plan, 1);
        let model = |as_one| {
            let scope = Scope { plan, places: &places, team, as_one, known: &options.known };
            Model::of(scope)
        };
        let apart = model(true);
        let can_merge = places.iter().any(|at| plan.tasks[*at].is_apart());
        let free = can_merge.then(|| model(false)).filter(|free| free.problem != apart.problem);
        let (apart, free) = (Ready::new(apart), free.map(Ready::new));
        Self { plan, places, apart, free }
    }

    /// Finds a schedule for `team`. If nothing is lost by it, tasks with workspaces of their own are
    /// kept apart as if they had none, so that nothing is to be merged.
    pub(super) fn solve(&mut self, team: &Team, options: &Inquiry<'_>) -> Solved {
        self.apart.lead(team);
        let mut best = Solved { solution: self.apart.solve(options), merges: false };
        if let Some(free) = &mut self.free {
            free.lead(team);
            let makespan = best.solution.makespan;
            if makespan > free.known.bound {
                let solution = free.solve(options);
                if solution.makespan < makespan {
                    best = Solved { solution, merges: true };
                } else {
                    best.solution.bound = solution.bound.min(makespan);
                }
            } else {
                best.solution.bound = makespan;
            }
        }
        best
    }

    /// The figures of what was found for the last team.
    pub(super) fn figures(&self, solved: &Solved) -> Figures {
        let Solved { solution, merges } = solved;
        let work = |at: &usize| self.plan.tasks[*at].estimate.expected();
        let unit = self.model(*merges).unit;
        Figures {
            sequential: self.places.iter().map(work).sum(),
            makespan: solution.makespan * unit,
            bound: solution.bound * unit,
            method: solution.method,
            merges: *merges,
        }
    }

    /// All of what was found for the last team.
    pub(super) fn found(&self, solved: &Solved) -> Found {
        let model = self.model(solved.merges);
        let waits = self.places.iter().copied().zip(model.waits(&solved.solution)).collect();
        Found { figures: self.figures(solved), slots: model.slots(&solved.solution, 0), waits }
    }

    fn model(&self, merges: bool) -> &Model {
        let free = self.free.as_ref().filter(|_| merges);
        &free.unwrap_or(&self.apart).model
    }
}

/// A model, and what is known of it for any team.
struct Ready {
    model: Model,
    known: Known,
    /// What no team can beat.
    floor: u64,
}

impl Ready {
    fn new(model: Model) -> Self {
        let floor = solve::bound_by(&model.problem, model.locks());
        Self { known: Known::of(&model.problem, floor), model, floor }
    }

    /// Takes another team.
    fn lead(&mut self, team: &Team) {
        self.model.lead(team);
        let bound = solve::bound_by(&self.model.problem, self.model.workers());
        self.known.bound = bound.max(self.floor);
    }

    fn solve(&self, options: &Inquiry<'_>) -> Solution {
        solve::solve_knowing(&self.model.problem, &self.known, options.seed, &share(options))
    }
}

/// One schedule's share of the budget: an analysis makes a few dozens.
fn share<'a>(options: &Inquiry<'a>) -> Budget<'a> {
    let budget = options.budget;
    let left = budget.time.saturating_sub((budget.elapsed)());
    let time = (budget.elapsed)() + (left / 4).max(Duration::from_millis(1));
    Budget { time, ..budget }
}
