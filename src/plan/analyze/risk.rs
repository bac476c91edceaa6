//! How the makespan spreads when tasks take what their three figures say.
//!
//! Durations are drawn from the PERT distribution (a beta distribution with the likely figure as
//! its mode), and the tasks are handed out in the order of the schedule to whoever is free, as a
//! host would do it.

use super::{Found, Inquiry, Model, Scope, Team, parts, phases};
use crate::{
    domain::{
        Millis,
        plan::{Estimate, Plan},
    },
    plan::solve,
};

/// The most tasks that are drawn in all, so that large plans take no longer than small ones.
const MAX_DRAWN: usize = 2_000_000;

/// Quantiles of the makespan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Risk {
    /// How many times durations were drawn.
    pub draws: usize,
    /// Half of the draws take no longer.
    pub p50: Millis,
    /// Four of five take no longer.
    pub p80: Millis,
    /// 19 of 20 take no longer.
    pub p95: Millis,
}

/// Draws the makespan; nothing where every task has one figure.
pub(super) fn draw(plan: &Plan, team: &Team, found: &Found, options: &Inquiry<'_>) -> Option<Risk> {
    let (_, all) = parts(plan);
    if !all.iter().any(|at| plan.tasks[*at].estimate.is_range()) || options.draws == 0 {
        return None;
    }
    let as_one = !found.figures.merges;
    let groups: Vec<Vec<usize>> = if options.phased {
        phases::groups(plan).into_iter().map(|(_, places)| places).collect()
    } else {
        vec![all.clone()]
    };
    let mut start = vec![0; plan.tasks.len()];
    found.slots.iter().for_each(|slot| start[slot.task] = slot.start);
    let mut chance = fastrand::Rng::with_seed(options.seed);
    let affordable = (MAX_DRAWN / all.len().max(1)).max(20);
    let draws = usize::try_from(options.draws).unwrap_or(usize::MAX).min(affordable);
    let mut sums: Vec<Millis> = vec![0; draws];
    for places in &groups {
        let mut model = Model::of(Scope { plan, places, team, as_one, known: &options.known });
        let graph = &model.problem.graph;
        let mut list: Vec<usize> = graph.order();
        list.sort_by_key(|at| start[places[*at]]);
        for sum in &mut sums {
            for (at, place) in places.iter().enumerate() {
                model.problem.duration[at] = one(&plan.tasks[*place].estimate, &mut chance);
            }
            *sum += solve::dispatch(&model.problem, &list);
        }
    }
    sums.sort_unstable();
    let quantile = |percent: usize| sums[(draws * percent).div_ceil(100).clamp(1, draws) - 1];
    Some(Risk { draws, p50: quantile(50), p80: quantile(80), p95: quantile(95) })
}

/// One duration by chance, in milliseconds.
fn one(estimate: &Estimate, chance: &mut fastrand::Rng) -> Millis {
    let Estimate::Range { optimistic, likely, pessimistic } = estimate else {
        return estimate.expected();
    };
    let [low, mode, high] = [optimistic, likely, pessimistic].map(|it| it.as_secs_f64() * 1e3);
    if high <= low {
        return estimate.expected();
    }
    let (a, b) = (4.0 * (mode - low) / (high - low), 4.0 * (high - mode) / (high - low));
    let density = |x: f64| x.powf(a) * (1.0 - x).powf(b);
    // The density is greatest at the mode: what is drawn below it counts.
    let most = density(a / 4.0);
    loop {
        let x = chance.f64();
        if chance.f64() * most <= density(x) {
            // Not negative, and far below what a number of milliseconds can be.
            return (low + x * (high - low)).round() as Millis;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn draws_stay_within_the_figures_and_have_their_mean() {
        let hours = |hours: u64| Duration::from_secs(3_600 * hours);
        let estimate =
            Estimate::Range { optimistic: hours(1), likely: hours(2), pessimistic: hours(9) };
        let mut chance = fastrand::Rng::with_seed(7);
        let draws: Vec<_> = (0..20_000).map(|_| one(&estimate, &mut chance)).collect();
        assert!(draws.iter().all(|ms| (3_600_000..=9 * 3_600_000).contains(ms)));
        let mean = draws.iter().sum::<u64>() / 20_000;
        let wanted = estimate.expected();
        assert!(mean.abs_diff(wanted) < wanted / 50, "{mean} {wanted}");
    }
}
