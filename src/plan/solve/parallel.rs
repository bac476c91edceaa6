//! The parallel scheme: time goes on, and whatever can start does, the most urgent first.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::problem::Problem;

/// A resource that every activity takes in every mode, if there is one: once it is used up,
/// nothing starts.
pub(super) fn common_resource(problem: &Problem) -> Option<usize> {
    (0..problem.capacity.len())
        .find(|resource| (0..problem.len()).all(|activity| problem.least(activity, *resource) > 0))
}

/// A schedule by the parallel scheme, with the places in `list` as urgency: makespan, starts and
/// modes.
pub(super) fn decode(
    problem: &Problem,
    list: &[usize],
    common: Option<usize>,
) -> (u64, Vec<u64>, Vec<usize>) {
    let rank = ranks(list);
    let mut free = problem.capacity.clone();
    let mut missing: Vec<usize> = problem.graph.before.iter().map(Vec::len).collect();
    let mut ready: BinaryHeap<Reverse<usize>> = (0..problem.len())
        .filter(|activity| missing[*activity] == 0)
        .map(|activity| Reverse(rank[activity]))
        .collect();
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut start, mut modes) = (vec![0; problem.len()], vec![0; problem.len()]);
    let (mut now, mut makespan) = (0, 0);
    let mut passed = Vec::new();
    let mut parked: Vec<Vec<Reverse<usize>>> = vec![Vec::new(); problem.capacity.len()];
    loop {
        while let Some(Reverse(place)) = ready.pop() {
            let activity = list[place];
            let fits =
                |mode: &Vec<super::Demand>| mode.iter().all(|it| it.units <= free[it.resource]);
            let Some(mode) = problem.modes[activity].iter().position(fits) else {
                // What has one way only waits until the resource that it lacks is given back.
                match lacks(problem, activity, &free) {
                    Some(resource) if Some(resource) == common => {
                        passed.push(Reverse(place));
                        break;
                    }
                    Some(resource) => parked[resource].push(Reverse(place)),
                    None => passed.push(Reverse(place)),
                }
                continue;
            };
            for demand in &problem.modes[activity][mode] {
                free[demand.resource] -= demand.units;
            }
            (start[activity], modes[activity]) = (now, mode);
            let finish = now + problem.duration[activity];
            makespan = makespan.max(finish);
            running.push(Reverse((finish, activity)));
        }
        ready.extend(passed.drain(..));
        let Some(Reverse((finish, _))) = running.peek().copied() else { break };
        now = finish;
        while let Some(Reverse((finish, activity))) = running.peek().copied() {
            if finish > now {
                break;
            }
            running.pop();
            for demand in &problem.modes[activity][modes[activity]] {
                free[demand.resource] += demand.units;
                ready.extend(parked[demand.resource].drain(..));
            }
            for next in &problem.graph.after[activity] {
                missing[*next] -= 1;
                if missing[*next] == 0 {
                    ready.push(Reverse(rank[*next]));
                }
            }
        }
    }
    (makespan, start, modes)
}

/// The place of each activity in `list`.
fn ranks(list: &[usize]) -> Vec<usize> {
    let mut rank = vec![0; list.len()];
    for (place, activity) in list.iter().enumerate() {
        rank[*activity] = place;
    }
    rank
}

/// A resource that the only mode of `activity` lacks; the common one first, as that ends the round.
fn lacks(problem: &Problem, activity: usize, free: &[u32]) -> Option<usize> {
    let [mode] = problem.modes[activity].as_slice() else { return None };
    mode.iter().find(|demand| demand.units > free[demand.resource]).map(|demand| demand.resource)
}
