//! What no schedule can beat.
//!
//! The greatest of: the longest chain; for each resource, the work of activities that can not start
//! before some time and have some time behind them, spread over the units (this holds the work
//! over the number of agents, and the sum of what excludes each other); the same after units are
//! rounded by dual feasible functions, so that two activities that want more than half count as
//! the whole; and, of agents that do one thing at a time, the tasks that must share one.

use std::ops::Range;

use super::problem::Problem;

/// Above this many activities only a few starting times are looked at.
const ALL_HEADS: usize = 400;

/// How many starting times are looked at in large problems.
const SOME_HEADS: usize = 16;

/// One activity, as a resource sees it.
#[derive(Clone, Copy)]
struct Load {
    head: u64,
    duration: u64,
    /// Behind its end.
    tail: u64,
    units: u32,
}

/// The least time that any schedule of `problem` takes.
pub fn lower_bound(problem: &Problem) -> u64 {
    bound_by(problem, 0..problem.capacity.len())
}

/// The least time that any schedule of `problem` takes by its chains and by these of its resources.
pub fn bound_by(problem: &Problem, resources: Range<usize>) -> u64 {
    let chain = problem.tail().iter().copied().max().unwrap_or(0);
    let mut loads: Vec<Vec<Load>> = vec![Vec::new(); problem.capacity.len()];
    for activity in 0..problem.len() {
        let [first, others @ ..] = problem.modes[activity].as_slice() else { continue };
        for demand in first.iter().filter(|demand| resources.contains(&demand.resource)) {
            let units = match others {
                [] => demand.units,
                _ => problem.least(activity, demand.resource),
            };
            if units > 0 && problem.duration[activity] > 0 {
                loads[demand.resource].push(Load {
                    head: problem.head()[activity],
                    duration: problem.duration[activity],
                    tail: problem.tail()[activity] - problem.duration[activity],
                    units,
                });
            }
        }
    }
    let of = |(loads, capacity): (&Vec<Load>, &u32)| of_resource(loads, *capacity);
    loads.iter().zip(&problem.capacity).map(of).max().unwrap_or(0).max(chain)
}

fn of_resource(loads: &[Load], capacity: u32) -> u64 {
    if loads.is_empty() {
        return 0;
    }
    let plain = of_work(loads, u64::from(capacity), u64::from);
    let mut best = plain.max(of_sharing(loads, capacity));
    // Twice the units, so that a half is a whole number.
    let mut limits: Vec<u32> =
        loads.iter().map(|load| load.units.min(capacity - load.units + 1)).collect();
    limits.sort_unstable();
    limits.dedup();
    limits.retain(|limit| 2 * limit <= capacity + 1 && *limit > 0);
    limits.truncate(8);
    for limit in limits {
        let rounded = |units: u32| match units {
            _ if units > capacity - limit => u64::from(capacity),
            _ if units < limit => 0,
            _ => u64::from(units),
        };
        best = best.max(of_work(loads, u64::from(capacity), rounded));
    }
    best
}

/// The greatest, over all `head` and `tail`, of: the time before, the work between over the
/// capacity, the time behind.
fn of_work(loads: &[Load], capacity: u64, units: impl Fn(u32) -> u64) -> u64 {
    let mut by_tail: Vec<&Load> = loads.iter().collect();
    by_tail.sort_unstable_by_key(|load| std::cmp::Reverse(load.tail));
    let mut heads: Vec<u64> = loads.iter().map(|load| load.head).collect();
    heads.sort_unstable();
    heads.dedup();
    if loads.len() > ALL_HEADS {
        heads = heads.iter().step_by(heads.len().div_ceil(SOME_HEADS)).copied().collect();
    }
    let mut best = 0;
    for head in heads {
        let mut work = 0_u128;
        for load in by_tail.iter().filter(|load| load.head >= head) {
            work += u128::from(load.duration) * u128::from(units(load.units));
            let between =
                u64::try_from(work.div_ceil(u128::from(capacity))).unwrap_or(u64::MAX / 4);
            if work > 0 {
                best = best.max(head + between + load.tail);
            }
        }
    }
    best
}

/// Of `k * capacity + 1` activities that each take one unit or more, `k + 1` share one unit: the
/// shortest of the longest.
fn of_sharing(loads: &[Load], capacity: u32) -> u64 {
    let mut durations: Vec<u64> = loads.iter().map(|load| load.duration).collect();
    durations.sort_unstable_by_key(|duration| std::cmp::Reverse(*duration));
    let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
    let mut best = 0;
    for k in 1..=(durations.len() - 1) / capacity.max(1) {
        let among = k * capacity + 1;
        if k > 64 || among > durations.len() {
            break;
        }
        best = best.max(durations[among - k - 1..among].iter().sum());
    }
    best
}
