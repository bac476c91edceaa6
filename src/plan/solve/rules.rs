//! Lists of activities by priority rules.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Budget, Method, Solution, decode::Decoder, problem::Problem};

/// The first lists that no capacity changes: by the longest chain behind an activity, by that and the
/// work behind it, by that work alone, and by the number of activities behind it. Of equals the plan's
/// own priorities decide.
pub(super) fn lists(problem: &Problem) -> Vec<Vec<usize>> {
    let tail = problem.tail();
    let behind = work_behind(problem);
    let next = |activity: usize| problem.graph.after[activity].len() as u64;
    let keys: [&dyn Fn(usize) -> u64; 4] = [
        &|activity| tail[activity],
        &|activity| tail[activity].saturating_add(behind[activity] / 4),
        &|activity| behind[activity],
        &|activity| next(activity) << 32 | tail[activity].min(u64::from(u32::MAX)),
    ];
    keys.iter().map(|key| by_key(problem, key)).collect()
}

/// The list by what activities take.
pub(super) fn by_takes(problem: &Problem) -> Vec<usize> {
    by_key(problem, |activity| takes(problem, activity))
}

/// How much of what there is an activity takes, and for how long.
fn takes(problem: &Problem, activity: usize) -> u64 {
    let mode = problem.modes[activity].first().map(Vec::as_slice).unwrap_or_default();
    let share = |demand: &super::Demand| {
        1_000 * u64::from(demand.units) / u64::from(problem.capacity[demand.resource].max(1))
    };
    mode.iter().map(share).sum::<u64>().saturating_mul(problem.duration[activity])
}

/// The sum of the durations of an activity's direct followers, their followers' and so on, each
/// counted once for each way to it but at most once a step: a cheap stand-in for the work behind.
fn work_behind(problem: &Problem) -> Vec<u64> {
    let mut behind = vec![0_u64; problem.len()];
    for activity in problem.order().iter().rev() {
        let ways = |next: usize| problem.graph.before[next].len() as u64;
        let of = |next: &usize| behind[*next] / ways(*next).max(1);
        let after: u64 = problem.graph.after[*activity].iter().map(of).sum();
        behind[*activity] = problem.duration[*activity].saturating_add(after);
    }
    behind
}

/// A list that keeps the order of the graph, and else takes what has the greatest key.
fn by_key(problem: &Problem, key: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut missing: Vec<usize> = problem.graph.before.iter().map(Vec::len).collect();
    let entry = |activity: usize| (key(activity), problem.priority[activity], Reverse(activity));
    let mut ready: BinaryHeap<_> =
        (0..problem.len()).filter(|activity| missing[*activity] == 0).map(entry).collect();
    let mut list = Vec::with_capacity(problem.len());
    while let Some((_, _, Reverse(activity))) = ready.pop() {
        list.push(activity);
        for next in &problem.graph.after[activity] {
            missing[*next] -= 1;
            if missing[*next] == 0 {
                ready.push(entry(*next));
            }
        }
    }
    list
}

/// Improves what the serial scheme makes of each list; gives how many schedules that took.
pub(super) fn improve_lists(
    decoder: &mut Decoder<'_>,
    lists: &[Vec<usize>],
    best: &mut Solution,
    budget: &Budget<'_>,
) -> u64 {
    let mut made = 0;
    for list in lists {
        if best.is_proven() || (made > 0 && budget.is_over()) {
            break;
        }
        let mut list = list.clone();
        let (makespan, more) = decoder.justify(&mut list);
        made += more;
        best.improve(makespan, &decoder.start, &decoder.mode, Method::Rules);
    }
    made
}
