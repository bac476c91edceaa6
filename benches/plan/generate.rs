//! Instances in the manner of PSPLIB: a network of a given complexity, a share of resources that
//! each activity takes (resource factor), and how scarce they are (resource strength).

use hostler::{
    domain::plan::Graph,
    plan::solve::{Demand, Mode, Problem},
};

/// The parameters that PSPLIB goes through for its sets of 30 and 60 activities.
const COMPLEXITY: [f64; 3] = [1.5, 1.8, 2.1];
const FACTOR: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
const STRENGTH: [f64; 4] = [0.2, 0.5, 0.7, 1.0];

/// `count` instances of `activities`, going through all parameters.
pub(crate) fn set(activities: usize, count: usize) -> Vec<Problem> {
    let one = |at: usize| {
        let complexity = COMPLEXITY[at % 3];
        let factor = FACTOR[at / 3 % 4];
        // The scarce half counts double: the others are easy.
        let strength = STRENGTH[[0, 0, 1, 1, 2, 3][at / 12 % 6]];
        problem(activities, 4, factor, strength, complexity, at as u64)
    };
    (0..count).map(one).collect()
}

/// One instance.
pub(crate) fn problem(
    activities: usize,
    resources: usize,
    factor: f64,
    strength: f64,
    complexity: f64,
    seed: u64,
) -> Problem {
    let mut chance = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9) + activities as u64);
    let duration: Vec<u64> = (0..activities).map(|_| chance.u64(1..=10)).collect();
    let graph = network(activities, complexity, &mut chance);
    let wanted = (factor * resources as f64).round().max(1.0) as usize;
    let mut modes: Vec<Vec<Mode>> = Vec::new();
    for _ in 0..activities {
        let mut places: Vec<usize> = (0..resources).collect();
        chance.shuffle(&mut places);
        let take = |resource: &usize| Demand { resource: *resource, units: chance.u32(1..=10) };
        modes.push(vec![places[..wanted].iter().map(take).collect()]);
    }
    let times = graph.times(&duration);
    let capacity = (0..resources)
        .map(|resource| {
            let of = |at: usize| {
                modes[at][0]
                    .iter()
                    .filter(|it| it.resource == resource)
                    .map(|it| it.units)
                    .sum::<u32>()
            };
            let least = (0..activities).map(of).max().unwrap_or(1).max(1);
            let peak = (0..=times.length)
                .map(|now| {
                    let runs = |at: &usize| {
                        times.earliest[*at] <= now && now < times.earliest[*at] + duration[*at]
                    };
                    (0..activities).filter(runs).map(of).sum::<u32>()
                })
                .max()
                .unwrap_or(least);
            let spread = f64::from(peak.saturating_sub(least));
            least + (strength * spread).round() as u32
        })
        .collect();
    Problem::new(duration, graph, modes, capacity, vec![0; activities])
}

/// Every activity but the first three has one before it and every one but the last three has one
/// behind it; then arcs are added that are not there already over others.
fn network(activities: usize, complexity: f64, chance: &mut fastrand::Rng) -> Graph {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); activities];
    let mut arcs = 0;
    for (at, earlier) in before.iter_mut().enumerate().skip(3) {
        earlier.push(chance.usize(at.saturating_sub(10)..at));
        arcs += 1;
    }
    for at in 0..activities - 3 {
        if !before.iter().any(|earlier| earlier.contains(&at)) {
            let later = chance.usize(at + 1..(at + 10).min(activities));
            before[later].push(at);
            arcs += 1;
        }
    }
    let wanted = (complexity * activities as f64) as usize;
    for _ in 0..20 * activities {
        if arcs >= wanted {
            break;
        }
        let later = chance.usize(1..activities);
        let earlier = chance.usize(later.saturating_sub(12)..later);
        let reach = Graph::from_before(before.clone()).reach();
        if before[later].len() < 3 && !reach.precedes(earlier, later) {
            before[later].push(earlier);
            arcs += 1;
        }
    }
    Graph::from_before(before)
}
