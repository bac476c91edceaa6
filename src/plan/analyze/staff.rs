//! The makespan over the number of agents.

use super::{Figures, Inquiry, Team, parts, phases::Stages};
use crate::domain::{
    Millis,
    plan::{Owner, Plan},
};

/// The most rows of the table.
const MAX_ROWS: usize = 24;

/// What a number of agents reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staffed {
    /// How many agents.
    pub agents: u32,
    /// What they take.
    pub makespan: Millis,
    /// What no schedule of theirs can beat.
    pub bound: Millis,
}

/// The table, and the fewest agents that reach the best of it.
pub(super) struct Staff {
    pub(super) rows: Vec<Staffed>,
    pub(super) best: u32,
}

/// What 1, 2, 3, … agents reach, until more do not help.
pub(super) fn table(plan: &Plan, options: &Inquiry<'_>) -> Staff {
    let (_, places) = parts(plan);
    let by_agents = places.iter().filter(|at| plan.tasks[**at].owner == Owner::Agent).count();
    let all = match plan.pools.as_slice() {
        [] | [_] => u32::try_from(by_agents).unwrap_or(u32::MAX),
        several => several.iter().map(|pool| pool.count).sum(),
    };
    let mut stages = Stages::of(plan, options.phased, options);
    let mut reach = |agents: u32| -> Figures { stages.figures(&Team::of(plan, agents), options) };
    let mut search = Search { rows: Vec::new(), reach: &mut reach };
    let best = search.at(all.max(1)).makespan;
    let mut low = 0;
    let mut high = all.max(1);
    for agents in (1..=8).chain((4..24).flat_map(|power| [1 << power, 3 << (power - 1)])) {
        if agents >= all || search.rows.len() > MAX_ROWS {
            break;
        }
        if search.at(agents).makespan <= best {
            high = agents;
            break;
        }
        low = agents;
    }
    while low + 1 < high && search.rows.len() < 2 * MAX_ROWS {
        let middle = low.midpoint(high);
        if search.at(middle).makespan <= best { high = middle } else { low = middle }
    }
    // One row beyond the best shows that more do not help.
    if high < all {
        search.at(high + 1);
    }
    search.finish(high)
}

struct Search<'a> {
    rows: Vec<Staffed>,
    reach: &'a mut dyn FnMut(u32) -> Figures,
}

impl Search<'_> {
    fn at(&mut self, agents: u32) -> Staffed {
        if let Some(row) = self.rows.iter().find(|row| row.agents == agents) {
            return *row;
        }
        let figures = (self.reach)(agents);
        let row = Staffed { agents, makespan: figures.makespan, bound: figures.bound };
        self.rows.push(row);
        row
    }

    /// More agents never take longer: what fewer reach, they do.
    fn finish(mut self, best: u32) -> Staff {
        self.rows.sort_by_key(|row| row.agents);
        let mut least = Millis::MAX;
        for row in &mut self.rows {
            least = least.min(row.makespan);
            row.makespan = least;
        }
        self.rows.retain(|row| row.agents <= best + 1);
        Staff { rows: self.rows, best }
    }
}
