//! The scheduler: activities with durations, an order and scarce resources; the shortest time.
//!
//! This is the resource-constrained project scheduling problem. Agents, people and locks are all
//! renewable [resources](Problem::capacity): an agent takes one unit of its pool, whoever writes a
//! file takes all of its lock, whoever reads takes one unit.
//!
//! 1. `bounds`: what no schedule can beat.
//! 2. `rules`: lists of activities by priority rules, decoded by the serial scheme (`decode`)
//!    and the parallel one (`parallel`), each improved by justification to both sides.
//! 3. `exact`: branch and bound, where the problem is small enough.
//! 4. `search`: a genetic search over lists, until the budget is used up or the bound is met.
//!
//! All of it is a function of the problem, the seed and the budget. The clock comes from outside,
//! and is only asked whether the time is up: a budget of schedules alone gives the same answer on
//! every machine.

mod bounds;
mod decode;
mod exact;
mod parallel;
mod problem;
mod profile;
mod rules;
mod search;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use bounds::{bound_by, lower_bound};
pub use problem::{Demand, Mode, Problem};

use decode::Decoder;

/// Problems of at most this many activities are searched exactly.
pub const EXACT_UP_TO: usize = 64;

/// Problems above this many activities are decoded by the parallel scheme alone.
const LARGE: usize = 1_000;

/// In large problems that have too few resources a schedule is good enough that is above the bound by
/// no more than one of so many parts: the next list could gain no more, and takes as long.
const NEAR: u64 = 1_000;

/// How long the scheduler may go on, and what time it is.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// The most schedules that are made.
    pub schedules: u64,
    /// The most steps of the exact search.
    pub nodes: u64,
    /// The most time.
    pub time: Duration,
    /// How much of the time is over.
    pub elapsed: &'a dyn Fn() -> Duration,
}

impl Budget<'_> {
    /// Whether the time is up.
    fn is_over(&self) -> bool {
        (self.elapsed)() >= self.time
    }

    /// The same budget with the time cut at `share` of what is left.
    fn part(&self, share: f64) -> Self {
        let now = (self.elapsed)();
        let left = self.time.saturating_sub(now);
        Self { time: now + left.mul_f64(share), ..*self }
    }
}

/// How the best schedule was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By priority rules and justification.
    Rules,
    /// By the genetic search.
    Search,
    /// By branch and bound.
    Exact,
}

impl Method {
    /// The word of the output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "list scheduling",
            Self::Search => "genetic search",
            Self::Exact => "branch and bound",
        }
    }
}

/// The best schedule that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// When each activity starts.
    pub start: Vec<u64>,
    /// In which of its modes.
    pub mode: Vec<usize>,
    /// When the last activity ends.
    pub makespan: u64,
    /// What no schedule can beat. It is the makespan where that is proven to be the best.
    pub bound: u64,
    /// What found the schedule.
    pub method: Method,
    /// Whether branch and bound looked at everything, so that the proof is its own.
    pub exhausted: bool,
}

impl Solution {
    /// Whether no schedule is shorter.
    pub const fn is_proven(&self) -> bool {
        self.makespan == self.bound
    }

    /// Whether hardly any schedule is shorter.
    const fn is_near(&self) -> bool {
        self.makespan - self.bound <= self.bound / NEAR
    }

    /// Takes a better schedule.
    fn improve(&mut self, makespan: u64, start: &[u64], mode: &[usize], method: Method) -> bool {
        let is_better = makespan < self.makespan;
        if is_better {
            self.makespan = makespan;
            self.start.clear();
            self.start.extend_from_slice(start);
            self.mode.clear();
            self.mode.extend_from_slice(mode);
            self.method = method;
        }
        is_better
    }
}

/// How long the activities take that are handed out in the order of `list` as soon as all that they
/// take is free; the durations may be others than those that the list was made for.
pub fn dispatch(problem: &Problem, list: &[usize]) -> u64 {
    parallel::decode(problem, list, parallel::common_resource(problem)).0
}

/// The schedule in which activities are handed out in the order of `list`, as soon as all that they
/// take is free: its makespan, and the starts and the modes.
pub fn hand_out(problem: &Problem, list: &[usize]) -> (u64, Vec<u64>, Vec<usize>) {
    parallel::decode(problem, list, parallel::common_resource(problem))
}

/// Lists of the activities of `problem` by priority rules, the longest chain behind them first.
pub fn lists(problem: &Problem) -> Vec<Vec<usize>> {
    let mut lists = rules::lists(problem);
    lists.push(rules::by_takes(problem));
    lists
}

/// What is known of a problem, whatever capacities it has.
#[derive(Debug, Clone)]
pub struct Known {
    /// What no schedule can beat.
    pub bound: u64,
    /// Lists of the activities by priority rules.
    lists: Vec<Vec<usize>>,
}

impl Known {
    /// What is known of `problem`, and that no schedule beats `bound`.
    pub fn of(problem: &Problem, bound: u64) -> Self {
        Self { bound, lists: rules::lists(problem) }
    }
}

/// The best schedule of `problem` that the budget gives, the same for the same `seed`.
pub fn solve(problem: &Problem, seed: u64, budget: &Budget<'_>) -> Solution {
    let known = Known::of(problem, lower_bound(problem));
    solve_knowing(problem, &known, seed, budget)
}

/// As [`solve`], with what is known of the problem already.
pub fn solve_knowing(problem: &Problem, known: &Known, seed: u64, budget: &Budget<'_>) -> Solution {
    let bound = known.bound;
    let mut best = Solution {
        start: vec![0; problem.len()],
        mode: vec![0; problem.len()],
        makespan: u64::MAX,
        bound,
        method: Method::Rules,
        exhausted: false,
    };
    if problem.is_empty() {
        best.makespan = 0;
        return best;
    }
    let Some(last) = try_lists(problem, known, &mut best) else { return best };
    if problem.len() > LARGE {
        return best;
    }
    let mut lists = known.lists.clone();
    lists.push(last);
    let mut decoder = Decoder::new(problem);
    let mut made = rules::improve_lists(&mut decoder, &lists, &mut best, budget);
    let small = problem.len() <= EXACT_UP_TO;
    let mut search = search::Search::new(problem, lists, seed);
    if !best.is_proven() {
        let share = if small { 0.4 } else { 1.0 };
        let first = Budget {
            schedules: if small { budget.schedules / 4 } else { budget.schedules },
            ..*budget
        };
        made = search.run(&mut decoder, &mut best, &first.part(share), made);
    }
    if small && !best.is_proven() {
        exact::search(problem, &mut best, &budget.part(0.6));
        search.run(&mut decoder, &mut best, budget, made);
    }
    best
}

/// Keeps the best of what the parallel scheme makes of each list. The last list, which only this
/// problem has; nothing if no more is to be looked for.
fn try_lists(problem: &Problem, known: &Known, best: &mut Solution) -> Option<Vec<usize>> {
    let common = parallel::common_resource(problem);
    // Where the longest chain is the bound, how many agents reach it is to be told exactly.
    let chain = problem.tail().iter().copied().max().unwrap_or(0);
    let is_scarce = problem.len() > LARGE && known.bound > chain;
    let mut try_one = |list: &[usize]| {
        let (makespan, start, mode) = parallel::decode(problem, list, common);
        best.improve(makespan, &start, &mode, Method::Rules);
        best.is_proven() || is_scarce && best.is_near()
    };
    if known.lists.iter().any(|list| try_one(list)) {
        return None;
    }
    let last = rules::by_takes(problem);
    if try_one(&last) { None } else { Some(last) }
}
