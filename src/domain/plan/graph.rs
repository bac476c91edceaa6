//! The graph of dependencies: its order, its circles, and when each task could start.

use std::collections::{HashMap, VecDeque};

use super::{Millis, Plan, PlanTask, PlanTaskId};

/// Who comes before whom, by the places of tasks in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Of each task, those that must be done before it.
    pub before: Vec<Vec<usize>>,
    /// Of each task, those that wait for it.
    pub after: Vec<Vec<usize>>,
}

/// When tasks could and would have to start, were there agents without end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// The first possible start of each task.
    pub earliest: Vec<Millis>,
    /// The last start of each task that delays nothing.
    pub latest: Vec<Millis>,
    /// From each start to the end of the plan, at the least: the task's own time and the longest
    /// chain behind it.
    pub tail: Vec<Millis>,
    /// The length of the longest chain.
    pub length: Millis,
}

impl Graph {
    /// The graph of `tasks`. Names that are no task of the list are passed over.
    pub fn of(tasks: &[PlanTask]) -> Self {
        let places: HashMap<&PlanTaskId, usize> =
            tasks.iter().enumerate().map(|(at, task)| (&task.id, at)).collect();
        let before = |task: &PlanTask| {
            task.depends_on.iter().filter_map(|id| places.get(id).copied()).collect()
        };
        Self::from_before(tasks.iter().map(before).collect())
    }

    /// The graph of a plan's tasks.
    pub fn of_plan(plan: &Plan) -> Self {
        Self::of(&plan.tasks)
    }

    /// The graph in which `before` says what each task waits for.
    pub fn from_before(mut before: Vec<Vec<usize>>) -> Self {
        let mut after = vec![Vec::new(); before.len()];
        for (task, earlier) in before.iter_mut().enumerate() {
            earlier.sort_unstable();
            earlier.dedup();
            for one in earlier.iter() {
                after[*one].push(task);
            }
        }
        Self { before, after }
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.before.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// The tasks, each behind all that it waits for; those of a circle, and behind one, are left
    /// out.
    pub fn order(&self) -> Vec<usize> {
        let mut missing: Vec<usize> = self.before.iter().map(Vec::len).collect();
        let mut ready: VecDeque<usize> =
            (0..self.len()).filter(|task| missing[*task] == 0).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(task) = ready.pop_front() {
            order.push(task);
            for next in &self.after[task] {
                missing[*next] -= 1;
                if missing[*next] == 0 {
                    ready.push_back(*next);
                }
            }
        }
        order
    }

    /// A circle of tasks, if there is one: each waits for the next, the last for the first.
    pub fn circle(&self) -> Option<Vec<usize>> {
        let mut in_order = vec![false; self.len()];
        for task in self.order() {
            in_order[task] = true;
        }
        // What is left waits for something that is left: going there again and again must meet.
        let mut here = in_order.iter().position(|done| !done)?;
        let mut seen = vec![None; self.len()];
        let mut walk = Vec::new();
        loop {
            if let Some(start) = seen[here] {
                let mut circle: Vec<usize> = walk.split_off(start);
                // Begin with the one that is written first, so that the same circle reads the same.
                let least = circle.iter().enumerate().min_by_key(|(_, task)| **task);
                let at = least.map_or(0, |(at, _)| at);
                circle.rotate_left(at);
                return Some(circle);
            }
            seen[here] = Some(walk.len());
            walk.push(here);
            here = *self.before[here].iter().find(|earlier| !in_order[**earlier])?;
        }
    }

    /// When each task could start, with `durations` in milliseconds; for a graph without circles.
    pub fn times(&self, durations: &[Millis]) -> Times {
        let order = self.order();
        let mut earliest = vec![0; self.len()];
        for task in &order {
            let end = earliest[*task] + durations[*task];
            for next in &self.after[*task] {
                earliest[*next] = end.max(earliest[*next]);
            }
        }
        let mut tail: Vec<Millis> = durations.to_vec();
        for task in order.iter().rev() {
            let behind = self.after[*task].iter().map(|next| tail[*next]).max().unwrap_or(0);
            tail[*task] = durations[*task] + behind;
        }
        let length = tail.iter().copied().max().unwrap_or(0);
        let latest = tail.iter().map(|tail| length - tail).collect();
        Times { earliest, latest, tail, length }
    }

    /// The longest chain, from a task that waits for none to one that none waits for.
    pub fn longest_chain(&self, times: &Times) -> Vec<usize> {
        let starts = (0..self.len()).filter(|task| self.before[*task].is_empty());
        let mut here = starts.max_by_key(|task| (times.tail[*task], std::cmp::Reverse(*task)));
        let mut chain = Vec::new();
        while let Some(task) = here {
            chain.push(task);
            let next = self.after[task].iter().copied();
            here = next.max_by_key(|task| (times.tail[*task], std::cmp::Reverse(*task)));
        }
        chain
    }

    /// Who comes before whom, over any number of steps.
    pub fn reach(&self) -> Reach {
        let words = self.len().div_ceil(64);
        let mut rows = vec![0_u64; words * self.len()];
        for task in self.order() {
            for earlier in &self.before[task] {
                for word in 0..words {
                    rows[task * words + word] |= rows[earlier * words + word];
                }
                rows[task * words + earlier / 64] |= 1 << (earlier % 64);
            }
        }
        Reach { words, rows }
    }
}

/// Who comes before whom, over any number of steps: one bit for each pair of tasks.
#[derive(Debug, Clone)]
pub struct Reach {
    words: usize,
    rows: Vec<u64>,
}

impl Reach {
    /// Whether `earlier` must be done before `later` starts.
    pub fn precedes(&self, earlier: usize, later: usize) -> bool {
        self.rows[later * self.words + earlier / 64] >> (earlier % 64) & 1 == 1
    }

    /// Whether one of the two must be done before the other starts.
    pub fn orders(&self, one: usize, other: usize) -> bool {
        self.precedes(one, other) || self.precedes(other, one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 → 1 → 3, 0 → 2 → 3.
    fn diamond() -> Graph {
        Graph::from_before(vec![vec![], vec![0], vec![0], vec![1, 2]])
    }

    #[test]
    fn times_of_a_diamond() {
        let graph = diamond();
        let times = graph.times(&[1, 5, 2, 1]);
        assert_eq!(times.length, 7);
        assert_eq!(times.earliest, [0, 1, 1, 6]);
        assert_eq!(times.latest, [0, 1, 4, 6]);
        assert_eq!(graph.longest_chain(&times), [0, 1, 3]);
        assert_eq!(graph.circle(), None);
    }

    #[test]
    fn reach_goes_over_any_number_of_steps() {
        let reach = diamond().reach();
        assert!(reach.precedes(0, 3) && reach.orders(3, 0));
        assert!(!reach.precedes(3, 0) && !reach.orders(1, 2));
    }

    #[test]
    fn a_circle_is_found_behind_a_tail() {
        // 3 waits for the circle 0 → 2 → 1 → 0 and is no part of it.
        let graph = Graph::from_before(vec![vec![2], vec![0], vec![1], vec![1]]);
        assert_eq!(graph.circle(), Some(vec![0, 2, 1]));
        assert!(graph.order().is_empty());
        let own = Graph::from_before(vec![vec![0]]);
        assert_eq!(own.circle(), Some(vec![0]));
    }
}
