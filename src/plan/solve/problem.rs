//! What is to be scheduled.

use crate::domain::plan::Graph;

/// How much of one resource an activity takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Demand {
    /// The place of the resource.
    pub resource: usize,
    /// How many units; at most the capacity.
    pub units: u32,
}

/// One way to carry an activity out: what it takes while it runs.
pub type Mode = Vec<Demand>;

/// Activities with durations, an order and scarce resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How long each activity takes, in any unit.
    pub duration: Vec<u64>,
    /// Who comes before whom; without circles.
    pub graph: Graph,
    /// The ways to carry each activity out, at least one.
    pub modes: Vec<Vec<Mode>>,
    /// How many units there are of each resource.
    pub capacity: Vec<u32>,
    /// Which of two equal activities goes first; higher is sooner.
    pub priority: Vec<i16>,
    /// The activities, each behind all that it waits for.
    order: Vec<usize>,
    /// From the start of each activity to the end of all, at the least.
    tail: Vec<u64>,
    /// The least time before each activity.
    head: Vec<u64>,
}

impl Problem {
    /// A problem; every list has one entry for each activity but `capacity`.
    pub fn new(
        duration: Vec<u64>,
        graph: Graph,
        modes: Vec<Vec<Mode>>,
        capacity: Vec<u32>,
        priority: Vec<i16>,
    ) -> Self {
        let times = graph.times(&duration);
        let order = graph.order();
        let (tail, head) = (times.tail, times.earliest);
        Self { duration, graph, modes, capacity, priority, order, tail, head }
    }

    /// How many activities there are.
    pub fn len(&self) -> usize {
        self.duration.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.duration.is_empty()
    }

    /// The activities, each behind all that it waits for.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The least time from the start of each activity to the end of all.
    pub fn tail(&self) -> &[u64] {
        &self.tail
    }

    /// The least time before the start of each activity.
    pub fn head(&self) -> &[u64] {
        &self.head
    }

    /// How many units of `resource` the activity takes in any of its modes.
    pub fn least(&self, activity: usize, resource: usize) -> u32 {
        let of = |mode: &Mode| {
            let demand = mode.iter().find(|demand| demand.resource == resource);
            demand.map_or(0, |demand| demand.units)
        };
        self.modes[activity].iter().map(of).min().unwrap_or(0)
    }

    /// What is wrong with these starts, if something is: the judge of every scheduler here.
    pub fn breach(&self, start: &[u64], mode: &[usize]) -> Option<String> {
        for activity in 0..self.len() {
            for earlier in &self.graph.before[activity] {
                if start[*earlier] + self.duration[*earlier] > start[activity] {
                    return Some(format!("{activity} starts before {earlier} is done"));
                }
            }
        }
        for (resource, capacity) in self.capacity.iter().enumerate() {
            let mut steps: Vec<(u64, i64)> = Vec::new();
            for activity in 0..self.len() {
                let taken = &self.modes[activity][mode[activity]];
                for demand in taken.iter().filter(|demand| demand.resource == resource) {
                    steps.push((start[activity], i64::from(demand.units)));
                    steps.push((
                        start[activity] + self.duration[activity],
                        -i64::from(demand.units),
                    ));
                }
            }
            steps.sort_unstable();
            let mut used = 0;
            for (at, units) in steps {
                used += units;
                if used > i64::from(*capacity) {
                    return Some(format!("{used} of {capacity} of resource {resource} at {at}"));
                }
            }
        }
        None
    }
}
