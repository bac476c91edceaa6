//! The serial scheme: from a list of activities to a schedule, and justification to both sides.

use super::{
    problem::{Mode, Problem},
    profile::Profile,
};

/// Which way time runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the first activity.
    Forward,
    /// From the last: starts count back from the end.
    Backward,
}

/// Makes schedules of lists; keeps its memory between them.
pub(super) struct Decoder<'a> {
    /// What is scheduled.
    pub(super) problem: &'a Problem,
    profiles: Vec<Profile>,
    /// When each activity starts, in the last schedule.
    pub(super) start: Vec<u64>,
    /// In which mode, in the last schedule.
    pub(super) mode: Vec<usize>,
    keys: Vec<(u64, usize)>,
}

impl<'a> Decoder<'a> {
    /// A decoder of lists of `problem`'s activities.
    pub(super) fn new(problem: &'a Problem) -> Self {
        Self {
            problem,
            profiles: problem.capacity.iter().map(|capacity| Profile::new(*capacity)).collect(),
            start: vec![0; problem.len()],
            mode: vec![0; problem.len()],
            keys: Vec::with_capacity(problem.len()),
        }
    }

    /// Puts each activity of `list` as early as it can go; the makespan. Every activity must stand
    /// behind those it waits for (before them, if time runs backward).
    pub(super) fn decode(&mut self, list: &[usize], way: Way) -> u64 {
        self.profiles.iter_mut().for_each(Profile::clear);
        let problem = self.problem;
        let mut makespan = 0;
        for activity in list.iter().copied() {
            let duration = problem.duration[activity];
            let earlier = match way {
                Way::Forward => &problem.graph.before[activity],
                Way::Backward => &problem.graph.after[activity],
            };
            let ends = earlier.iter().map(|one| self.start[*one] + problem.duration[*one]);
            let from = ends.max().unwrap_or(0);
            let (mode, start) = self.best_mode(&problem.modes[activity], from, duration);
            for demand in &problem.modes[activity][mode] {
                self.profiles[demand.resource].take(start, duration, demand.units);
            }
            self.start[activity] = start;
            self.mode[activity] = mode;
            makespan = makespan.max(start + duration);
        }
        makespan
    }

    /// The mode that can start first, and when.
    fn best_mode(&self, modes: &[Mode], from: u64, duration: u64) -> (usize, u64) {
        let mut best = (0, u64::MAX);
        for (at, mode) in modes.iter().enumerate() {
            let start = earliest(&self.profiles, mode, from, duration);
            if start < best.1 {
                best = (at, start);
            }
        }
        best
    }

    /// Decodes `list`, pushes everything to the end, then to the beginning again, for as long as
    /// that makes it shorter. Leaves the list of the result in `list`, the schedule in `start`.
    /// Gives the makespan, and how many schedules that took.
    pub(super) fn justify(&mut self, list: &mut [usize]) -> (u64, u64) {
        let mut best = self.decode(list, Way::Forward);
        let mut made = 1;
        let mut start = self.start.clone();
        let mut mode = self.mode.clone();
        self.turn(list, Way::Backward);
        loop {
            self.decode(list, Way::Backward);
            self.turn(list, Way::Forward);
            let makespan = self.decode(list, Way::Forward);
            made += 2;
            let is_better = makespan < best;
            if makespan <= best {
                best = makespan;
                start.copy_from_slice(&self.start);
                mode.copy_from_slice(&self.mode);
            }
            if !is_better || made > 9 {
                break;
            }
            self.turn(list, Way::Backward);
        }
        self.start.copy_from_slice(&start);
        self.mode.copy_from_slice(&mode);
        self.by_start(list);
        (best, made)
    }

    /// Makes `list` one for a schedule the other way: what ended last in the last schedule comes
    /// first. Activities that end together keep an order that the graph allows, which is a matter
    /// of care where some have no duration.
    fn turn(&mut self, list: &mut [usize], way: Way) {
        let problem = self.problem;
        self.keys.clear();
        for (place, activity) in problem.order().iter().enumerate() {
            self.keys.push((self.start[*activity] + problem.duration[*activity], place));
        }
        match way {
            Way::Forward => self.keys.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1))),
            Way::Backward => self.keys.sort_unstable_by(|a, b| b.cmp(a)),
        }
        for (at, (_, place)) in self.keys.iter().enumerate() {
            list[at] = problem.order()[*place];
        }
    }

    /// Makes `list` the activities in the order of their starts in the last schedule.
    fn by_start(&mut self, list: &mut [usize]) {
        let order = self.problem.order();
        self.keys.clear();
        self.keys.extend(order.iter().enumerate().map(|(place, at)| (self.start[*at], place)));
        self.keys.sort_unstable();
        for (at, (_, place)) in self.keys.iter().enumerate() {
            list[at] = order[*place];
        }
    }
}

/// The first time from `from` on when everything that `mode` takes is free for `duration`.
pub(super) fn earliest(profiles: &[Profile], mode: &Mode, from: u64, duration: u64) -> u64 {
    let mut start = from;
    loop {
        let before = start;
        for demand in mode {
            start = profiles[demand.resource].earliest(start, duration, demand.units);
        }
        if start == before || mode.len() < 2 {
            return start;
        }
    }
}
