//! Branch and bound: every order in which activities can start, but for those that can not win.
//!
//! Activities are put into the schedule in the order of their starts. A branch ends where the
//! longest chain or the work that is left is too long; where an activity could have been done
//! before the one that is put in; where two activities are alike and the second comes first; and
//! where the same activities were put in before and were all done no later.

use std::collections::HashMap;

use super::{Budget, Method, Solution, decode::earliest, problem::Problem, profile::Profile};

/// How many states are remembered.
const MAX_STATES: usize = 200_000;

/// How many states are remembered of one set of activities.
const MAX_ALIKE: usize = 12;

/// How many steps are made between two looks at the clock.
const STEPS_A_LOOK: u64 = 256;

/// What is known of one way to put a set of activities in.
struct State {
    last: u64,
    /// Activities that run beyond `last`, with their mode and their end.
    open: Vec<(usize, usize, u64)>,
}

struct Exact<'a, 'b> {
    problem: &'a Problem,
    best: &'b mut Solution,
    budget: Budget<'a>,
    steps: u64,
    stopped: bool,
    profiles: Vec<Profile>,
    start: Vec<u64>,
    mode: Vec<usize>,
    finish: Vec<u64>,
    missing: Vec<usize>,
    /// The activity before this one that is like it in all.
    twin: Vec<Option<usize>>,
    seen: HashMap<u64, Vec<State>>,
    states: usize,
    /// Of each resource, the work that is left to put in.
    work: Vec<u128>,
    found: bool,
}

/// Looks for a better schedule than `best`, and sets its bound if there is none. Gives up when the
/// budget is used up.
pub(super) fn search(problem: &Problem, best: &mut Solution, budget: &Budget<'_>) {
    let mut work = vec![0_u128; problem.capacity.len()];
    for activity in 0..problem.len() {
        for (resource, work) in work.iter_mut().enumerate() {
            let units = u128::from(problem.least(activity, resource));
            *work += units * u128::from(problem.duration[activity]);
        }
    }
    let mut exact = Exact {
        problem,
        best,
        budget: *budget,
        steps: 0,
        stopped: false,
        profiles: problem.capacity.iter().map(|capacity| Profile::new(*capacity)).collect(),
        start: vec![0; problem.len()],
        mode: vec![0; problem.len()],
        finish: vec![0; problem.len()],
        missing: problem.graph.before.iter().map(Vec::len).collect(),
        twin: (0..problem.len()).map(|activity| twin(problem, activity)).collect(),
        seen: HashMap::new(),
        states: 0,
        work,
        found: false,
    };
    exact.branch(0, 0, 0);
    if !exact.stopped {
        exact.best.bound = exact.best.makespan;
        exact.best.exhausted = true;
    }
}

/// The nearest activity before this one that nothing tells from it.
fn twin(problem: &Problem, activity: usize) -> Option<usize> {
    (0..activity).rev().find(|other| {
        problem.duration[*other] == problem.duration[activity]
            && problem.modes[*other] == problem.modes[activity]
            && problem.graph.before[*other] == problem.graph.before[activity]
            && problem.graph.after[*other] == problem.graph.after[activity]
    })
}

/// One way to go on.
struct Choice {
    start: u64,
    activity: usize,
    mode: usize,
}

impl Exact<'_, '_> {
    /// Goes through every way to put in what is not in `done`, from `last` on; the schedule so far
    /// ends at `end`.
    fn branch(&mut self, done: u64, last: u64, end: u64) {
        self.steps += 1;
        let looks = self.steps.is_multiple_of(STEPS_A_LOOK);
        if self.steps > self.budget.nodes || (looks && self.budget.is_over()) {
            self.stopped = true;
        }
        if self.stopped || self.best.is_proven() {
            return;
        }
        if done.count_ones() as usize == self.problem.len() {
            self.best.improve(end, &self.start, &self.mode, Method::Exact);
            self.found = true;
            return;
        }
        let Some(choices) = self.choices(done, last) else { return };
        if !self.is_new(done, last) {
            return;
        }
        for choice in choices {
            if choice.start + self.problem.tail()[choice.activity] >= self.best.makespan {
                continue;
            }
            self.put(&choice);
            self.branch(
                done | 1 << choice.activity,
                choice.start,
                end.max(self.finish[choice.activity]),
            );
            self.take_back(&choice);
        }
    }

    /// What can be put in next, the first and most urgent first; nothing if this can not win.
    fn choices(&self, done: u64, last: u64) -> Option<Vec<Choice>> {
        let problem = self.problem;
        let limit = self.best.makespan;
        for (resource, work) in self.work.iter().enumerate() {
            if *work == 0 {
                continue;
            }
            // What is taken beyond `last` by those that run is work, too.
            let open: u128 = (0..problem.len())
                .filter(|at| done >> at & 1 == 1 && self.finish[*at] > last)
                .map(|at| {
                    u128::from(problem.least(at, resource)) * u128::from(self.finish[at] - last)
                })
                .sum();
            let between = (work + open).div_ceil(u128::from(problem.capacity[resource]));
            if u128::from(last) + between >= u128::from(limit) {
                return None;
            }
        }
        let mut choices = Vec::new();
        let mut first_end = u64::MAX;
        for activity in (0..problem.len()).filter(|at| done >> at & 1 == 0) {
            if self.missing[activity] > 0 {
                continue;
            }
            let ends = problem.graph.before[activity].iter().map(|one| self.finish[*one]);
            let from = ends.max().unwrap_or(0).max(last);
            if from + problem.tail()[activity] >= limit {
                return None;
            }
            let mut soonest = u64::MAX;
            for (mode, demands) in problem.modes[activity].iter().enumerate() {
                let start = earliest(&self.profiles, demands, from, problem.duration[activity]);
                soonest = soonest.min(start);
                first_end = first_end.min(start + problem.duration[activity]);
                choices.push(Choice { start, activity, mode });
            }
            if soonest + problem.tail()[activity] >= limit {
                return None;
            }
        }
        // What starts when another could be done already wins nothing. An activity without
        // duration is done at once: those that start with it stay.
        choices.retain(|choice| {
            let twin_is_in = self.twin[choice.activity].is_none_or(|twin| done >> twin & 1 == 1);
            let waits = choice.start >= first_end
                && choice.start + problem.duration[choice.activity] > first_end;
            twin_is_in && !waits
        });
        choices.sort_by_key(|choice| {
            (choice.start, std::cmp::Reverse(problem.tail()[choice.activity]))
        });
        Some(choices)
    }

    fn put(&mut self, choice: &Choice) {
        let problem = self.problem;
        let Choice { start, activity, mode } = *choice;
        let duration = problem.duration[activity];
        for demand in &problem.modes[activity][mode] {
            self.profiles[demand.resource].take(start, duration, demand.units);
        }
        (self.start[activity], self.mode[activity]) = (start, mode);
        self.finish[activity] = start + duration;
        for next in &problem.graph.after[activity] {
            self.missing[*next] -= 1;
        }
        self.count_work(activity, false);
    }

    fn take_back(&mut self, choice: &Choice) {
        let problem = self.problem;
        let Choice { start, activity, mode } = *choice;
        for demand in &problem.modes[activity][mode] {
            self.profiles[demand.resource].give(start, problem.duration[activity], demand.units);
        }
        for next in &problem.graph.after[activity] {
            self.missing[*next] += 1;
        }
        self.count_work(activity, true);
    }

    fn count_work(&mut self, activity: usize, is_back: bool) {
        let problem = self.problem;
        for (resource, work) in self.work.iter_mut().enumerate() {
            let units = u128::from(problem.least(activity, resource));
            let more = units * u128::from(problem.duration[activity]);
            *work = if is_back { *work + more } else { *work - more };
        }
    }

    /// Whether nothing that was seen is at least as good in every way; remembers it if so.
    fn is_new(&mut self, done: u64, last: u64) -> bool {
        let open: Vec<(usize, usize, u64)> = (0..self.problem.len())
            .filter(|at| done >> at & 1 == 1 && self.finish[*at] > last)
            .map(|at| (at, self.mode[at], self.finish[at]))
            .collect();
        let alike = self.seen.entry(done).or_default();
        let is_worse = alike.iter().any(|state| {
            state.last <= last
                && state.open.iter().all(|(at, mode, finish)| {
                    *finish <= last
                        || open
                            .iter()
                            .any(|(other, with, end)| at == other && mode == with && finish <= end)
                })
        });
        if is_worse {
            return false;
        }
        if self.states < MAX_STATES && alike.len() < MAX_ALIKE {
            self.states += 1;
            alike.push(State { last, open });
        }
        true
    }
}
