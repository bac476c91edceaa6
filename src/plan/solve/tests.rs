//! The scheduler against every order there is, and its promises on problems of any shape.

use std::time::Duration;

use proptest::prelude::*;

use super::{decode::Way, *};
use crate::domain::plan::Graph;

/// A budget that no clock cuts.
fn budget(schedules: u64, nodes: u64) -> Budget<'static> {
    Budget { schedules, nodes, time: Duration::MAX, elapsed: &|| Duration::ZERO }
}

/// Problems with up to `most` activities, three resources (the first has one unit: a lock), and
/// activities of two modes among them.
fn problems(most: usize) -> impl Strategy<Value = Problem> {
    let demands = proptest::collection::vec((0_usize..3, 1_u32..=3), 0..=2);
    let modes = proptest::collection::vec(demands, 1..=2);
    let activity =
        (0_u64..=5, modes, proptest::collection::vec(any::<prop::sample::Index>(), 0..=2));
    proptest::collection::vec(activity, 1..=most).prop_map(|activities| {
        let capacity = vec![1, 2, 3];
        let mut before = Vec::new();
        let (mut duration, mut modes) = (Vec::new(), Vec::new());
        for (at, (length, ways, earlier)) in activities.into_iter().enumerate() {
            before.push(match at {
                0 => Vec::new(),
                _ => earlier.iter().map(|index| index.index(at)).collect(),
            });
            duration.push(length);
            let way = |demands: Vec<(usize, u32)>| -> Mode {
                let mut mode: Mode = Vec::new();
                for (resource, units) in demands {
                    if mode.iter().all(|demand| demand.resource != resource) {
                        mode.push(Demand { resource, units: units.min(capacity[resource]) });
                    }
                }
                mode
            };
            modes.push(ways.into_iter().map(way).collect());
        }
        let priority = vec![0; duration.len()];
        Problem::new(duration, Graph::from_before(before), modes, capacity, priority)
    })
}

/// The best makespan over every order and every choice of modes.
fn by_force(problem: &Problem) -> u64 {
    let choices: usize = problem.modes.iter().map(Vec::len).product();
    let mut best = u64::MAX;
    for choice in 0..choices {
        let mut rest = choice;
        let single = problem.modes.iter().map(|modes| {
            let at = rest % modes.len();
            rest /= modes.len();
            vec![modes[at].clone()]
        });
        let one = Problem::new(
            problem.duration.clone(),
            problem.graph.clone(),
            single.collect(),
            problem.capacity.clone(),
            problem.priority.clone(),
        );
        every_order(&one, &mut Vec::new(), &mut Decoder::new(&one), &mut best);
    }
    best
}

fn every_order(
    problem: &Problem,
    list: &mut Vec<usize>,
    decoder: &mut Decoder<'_>,
    best: &mut u64,
) {
    if list.len() == problem.len() {
        *best = (*best).min(decoder.decode(list, Way::Forward));
        return;
    }
    for activity in 0..problem.len() {
        let is_ready = problem.graph.before[activity].iter().all(|one| list.contains(one));
        if is_ready && !list.contains(&activity) {
            list.push(activity);
            every_order(problem, list, decoder, best);
            list.pop();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_exact_search_finds_what_every_order_does(problem in problems(6)) {
        let solution = solve(&problem, 1, &budget(300, u64::MAX));
        let best = by_force(&problem);
        prop_assert!(solution.bound <= best, "bound {} best {}", solution.bound, best);
        prop_assert_eq!(solution.makespan, best);
        prop_assert!(solution.is_proven());
    }

    #[test]
    fn branch_and_bound_alone_finds_it_too(problem in problems(5)) {
        let sum: u64 = problem.duration.iter().sum();
        let mut best = Solution {
            start: vec![0; problem.len()], mode: vec![0; problem.len()], makespan: sum + 1,
            bound: 0, method: Method::Rules, exhausted: false,
        };
        exact::search(&problem, &mut best, &budget(0, u64::MAX));
        prop_assert_eq!(best.makespan, by_force(&problem));
        prop_assert_eq!(problem.breach(&best.start, &best.mode), None);
    }

    #[test]
    fn a_schedule_keeps_every_rule_and_both_bounds(problem in problems(40), seed: u64) {
        let solution = solve(&problem, seed, &budget(60, 500));
        prop_assert_eq!(problem.breach(&solution.start, &solution.mode), None);
        let sum: u64 = problem.duration.iter().sum();
        prop_assert!(solution.bound <= solution.makespan && solution.makespan <= sum);
        let ends = solution.start.iter().zip(&problem.duration).map(|(start, length)| start + length);
        prop_assert_eq!(ends.max().unwrap_or(0), solution.makespan);
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule(problem in problems(20), seed: u64) {
        prop_assert_eq!(solve(&problem, seed, &budget(90, 200)), solve(&problem, seed, &budget(90, 200)));
    }
}

#[test]
fn nothing_is_done_at_once() {
    let problem = Problem::new(vec![], Graph::default(), vec![], vec![1], vec![]);
    let solution = solve(&problem, 0, &budget(1, 1));
    assert_eq!((solution.makespan, solution.is_proven()), (0, true));
}

#[test]
fn bounds_see_what_must_share() {
    let one = |units| vec![vec![Demand { resource: 0, units }]];
    // Three tasks of 3 over two agents: one agent has two of them.
    let agents = Problem::new(
        vec![3; 3],
        Graph::from_before(vec![vec![]; 3]),
        vec![one(1); 3],
        vec![2],
        vec![0; 3],
    );
    assert_eq!(lower_bound(&agents), 6);
    // Each takes more than half: one after the other.
    let half = Problem::new(
        vec![2; 3],
        Graph::from_before(vec![vec![]; 3]),
        vec![one(3); 3],
        vec![5],
        vec![0; 3],
    );
    assert_eq!(lower_bound(&half), 6);
}
