//! A genetic search over lists of activities.
//!
//! Each member is a list that keeps the order of the graph, with the makespan that the serial
//! scheme and justification make of it. A child takes the beginning of its mother, the middle in
//! the order of its father and the end in that of its mother; now and then activities change
//! places. It takes the place of the worst member where it is no worse, and a search that stands
//! still begins anew around its best.

use super::{Budget, Method, Solution, decode::Decoder, problem::Problem};

/// How many lists are kept.
const MEMBERS: usize = 40;

/// After how many children without a gain the search begins anew.
const PATIENCE: u32 = 1_500;

/// How many children are made between two looks at the clock.
const CHILDREN_A_LOOK: u32 = 4;

/// The state of a search, which can go on where it stopped.
pub(super) struct Search<'a> {
    problem: &'a Problem,
    chance: fastrand::Rng,
    members: Vec<(u64, Vec<usize>)>,
    first: Vec<Vec<usize>>,
    idle: u32,
    child: Vec<usize>,
    taken: Vec<bool>,
}

impl<'a> Search<'a> {
    /// A search that begins at the lists `first`.
    pub(super) fn new(problem: &'a Problem, first: Vec<Vec<usize>>, seed: u64) -> Self {
        Self {
            problem,
            chance: fastrand::Rng::with_seed(seed),
            members: Vec::new(),
            first,
            idle: 0,
            child: Vec::with_capacity(problem.len()),
            taken: vec![false; problem.len()],
        }
    }

    /// Goes on until the budget is used up or `best` is proven. `made` schedules count as made
    /// already; gives how many there are in the end.
    pub(super) fn run(
        &mut self,
        decoder: &mut Decoder<'_>,
        best: &mut Solution,
        budget: &Budget<'_>,
        mut made: u64,
    ) -> u64 {
        let mut round = 0;
        while !best.is_proven() && made < budget.schedules {
            if round % CHILDREN_A_LOOK == 0 && budget.is_over() {
                break;
            }
            round += 1;
            made += self.step(decoder, best);
        }
        made
    }

    /// Makes one child and finds its place; gives how many schedules that took.
    fn step(&mut self, decoder: &mut Decoder<'_>, best: &mut Solution) -> u64 {
        let mut child = std::mem::take(&mut self.child);
        match self.first.pop() {
            Some(list) => child.clone_from(&list),
            None if self.members.len() < MEMBERS => self.sample(&mut child),
            None => {
                self.cross(&mut child);
                self.mutate(&mut child);
            }
        }
        let (makespan, made) = decoder.justify(&mut child);
        let is_new = best.improve(makespan, &decoder.start, &decoder.mode, Method::Search);
        self.idle = if is_new { 0 } else { self.idle + 1 };
        self.keep(makespan, &child);
        self.child = child;
        if self.idle > PATIENCE {
            self.begin_anew();
        }
        made
    }

    /// Gives `child` the place of the worst, if it is no worse and not there already.
    fn keep(&mut self, makespan: u64, child: &[usize]) {
        if self.members.iter().any(|(other, list)| *other == makespan && list == child) {
            return;
        }
        if self.members.len() < MEMBERS {
            self.members.push((makespan, child.to_vec()));
            return;
        }
        let worst = self.members.iter().enumerate().max_by_key(|(_, (makespan, _))| *makespan);
        let Some((at, worst)) = worst.map(|(at, (worst, _))| (at, *worst)) else { return };
        if makespan <= worst {
            self.members[at].0 = makespan;
            self.members[at].1.copy_from_slice(child);
        }
    }

    /// Keeps the best alone; the others are sampled again.
    fn begin_anew(&mut self) {
        self.idle = 0;
        self.members.sort_by_key(|(makespan, _)| *makespan);
        self.members.truncate(1);
    }

    /// A list by chance, in which long chains come early as a rule.
    fn sample(&mut self, list: &mut Vec<usize>) {
        let problem = self.problem;
        let mut missing: Vec<usize> = problem.graph.before.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> =
            (0..problem.len()).filter(|activity| missing[*activity] == 0).collect();
        list.clear();
        while !ready.is_empty() {
            // The most urgent of a few by chance.
            let drawn = (0..3).map(|_| self.chance.usize(..ready.len()));
            let at = drawn.max_by_key(|at| problem.tail()[ready[*at]]).unwrap_or(0);
            let activity = ready.swap_remove(at);
            list.push(activity);
            for next in &problem.graph.after[activity] {
                missing[*next] -= 1;
                if missing[*next] == 0 {
                    ready.push(*next);
                }
            }
        }
    }

    /// The better of two members by chance.
    fn parent(&mut self) -> usize {
        let (a, b) =
            (self.chance.usize(..self.members.len()), self.chance.usize(..self.members.len()));
        if self.members[a].0 <= self.members[b].0 { a } else { b }
    }

    /// A child of two members.
    fn cross(&mut self, child: &mut Vec<usize>) {
        let (mother, father) = (self.parent(), self.parent());
        let count = self.problem.len();
        let (a, b) = (self.chance.usize(..=count), self.chance.usize(..=count));
        let (from, to) = (a.min(b), a.max(b));
        child.clear();
        self.taken.fill(false);
        let (mother, father) = (&self.members[mother].1, &self.members[father].1);
        for (list, until) in [(mother, from), (father, to), (mother, count)] {
            for activity in list {
                if child.len() >= until {
                    break;
                }
                if !self.taken[*activity] {
                    self.taken[*activity] = true;
                    child.push(*activity);
                }
            }
        }
    }

    /// Moves a few activities to other places that the graph allows.
    fn mutate(&mut self, list: &mut Vec<usize>) {
        let count = list.len();
        let moves = if self.chance.u8(..) < 128 { 0 } else { 1 + self.chance.usize(..3) };
        for _ in 0..moves {
            let from = self.chance.usize(..count);
            let activity = list[from];
            let graph = &self.problem.graph;
            let last_before =
                list[..from].iter().rposition(|it| graph.before[activity].contains(it));
            let first_after =
                list[from + 1..].iter().position(|it| graph.after[activity].contains(it));
            let low = last_before.map_or(0, |at| at + 1);
            let high = first_after.map_or(count - 1, |at| from + at);
            let to = self.chance.usize(low..=high);
            list.remove(from);
            list.insert(to, activity);
        }
    }
}
