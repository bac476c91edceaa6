//! From tasks of a plan to a problem of the scheduler, and back.

use std::{cell::RefCell, rc::Rc};

use crate::{
    domain::{
        Millis,
        plan::{Cause, FileUse, Graph, Locks, Owner, Plan, PlanTask, Slot, Wait, Worker, locks},
    },
    plan::solve::{Demand, Mode, Problem, Solution},
};

/// The agents and people that a plan is scheduled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct Team {
    /// How many tasks agents run at once, at the most.
    pub(in crate::plan) agents: u32,
    /// How many agents each pool has; one pool that takes everything where the plan names none.
    pub(in crate::plan) pools: Vec<u32>,
    /// How many people there are.
    pub(in crate::plan) people: u32,
}

impl Team {
    /// `agents` of the plan's pools. One pool alone has as many as are asked for; several have no
    /// more than they say.
    pub(in crate::plan) fn of(plan: &Plan, agents: u32) -> Self {
        let counts: Vec<u32> = plan.pools.iter().map(|pool| pool.count).collect();
        let (agents, pools) = match counts.as_slice() {
            [] | [_] => (agents, vec![agents]),
            several => (agents.min(several.iter().sum()), counts),
        };
        Self { agents, pools, people: plan.people }
    }
}

/// Tasks of a plan as the scheduler takes them.
pub(in crate::plan) struct Model {
    /// The place in the plan of each activity.
    pub(in crate::plan) places: Vec<usize>,
    /// The problem, in units of `unit` milliseconds.
    pub(in crate::plan) problem: Problem,
    /// How many milliseconds one unit of time is.
    pub(in crate::plan) unit: Millis,
    /// The first resource that is a pool.
    pools: std::ops::Range<usize>,
}

/// Which tasks of the plan, with which agents, and whether all work on the same files.
#[derive(Clone, Copy)]
pub(in crate::plan) struct Scope<'a> {
    /// The plan, without splits.
    pub(in crate::plan) plan: &'a Plan,
    /// The places of the tasks that count.
    pub(in crate::plan) places: &'a [usize],
    /// Who does them.
    pub(in crate::plan) team: &'a Team,
    /// Whether workspaces of their own are taken for one.
    pub(in crate::plan) as_one: bool,
    /// The locks that were found before.
    pub(in crate::plan) known: &'a KnownLocks,
}

/// Locks by the files that tasks use: an analysis schedules the same tasks for many teams.
#[derive(Debug, Default)]
pub(in crate::plan) struct KnownLocks(RefCell<Vec<Known>>);

/// The locks of tasks with these files, of which some have workspaces of their own.
#[derive(Debug)]
struct Known {
    as_one: bool,
    files: Vec<(Vec<FileUse>, bool)>,
    locks: Rc<Vec<Locks>>,
}

impl KnownLocks {
    /// The locks of `tasks`, as [`locks`] finds them.
    fn of(&self, tasks: &[&PlanTask], as_one: bool) -> Rc<Vec<Locks>> {
        let is_same =
            |known: &&Known| {
                known.as_one == as_one
                    && known.files.len() == tasks.len()
                    && known.files.iter().zip(tasks).all(|((files, apart), task)| {
                        *files == task.files && *apart == task.is_apart()
                    })
            };
        if let Some(known) = self.0.borrow().iter().find(is_same) {
            return Rc::clone(&known.locks);
        }
        let files = tasks.iter().map(|task| (task.files.clone(), task.is_apart())).collect();
        let locks = Rc::new(locks(tasks, as_one));
        self.0.borrow_mut().push(Known { as_one, files, locks: Rc::clone(&locks) });
        locks
    }
}

impl Model {
    /// The problem of scheduling the tasks of `scope`; dependencies on others count as done.
    pub(in crate::plan) fn of(scope: Scope<'_>) -> Self {
        let tasks: Vec<&PlanTask> = scope.places.iter().map(|at| &scope.plan.tasks[*at]).collect();
        let durations: Vec<Millis> = tasks.iter().map(|task| task.estimate.expected()).collect();
        let unit = durations.iter().fold(0, |unit, duration| gcd(unit, *duration)).max(1);
        // Resource 0 is all agents, 1 is the people, then the pools, then the locks.
        let mut capacity = vec![scope.team.agents, scope.team.people];
        capacity.extend(&scope.team.pools);
        let pools = 2..capacity.len();
        let mut modes: Vec<Vec<Mode>> = tasks.iter().map(|task| ways(task, scope)).collect();
        for lock in scope.known.of(&tasks, scope.as_one).iter() {
            let resource = capacity.len();
            let holders = u32::try_from(lock.alone.len() + lock.shared.len()).unwrap_or(u32::MAX);
            capacity.push(holders);
            let alone = lock.alone.iter().map(|task| (*task, holders));
            for (task, units) in alone.chain(lock.shared.iter().map(|task| (*task, 1))) {
                modes[task].iter_mut().for_each(|mode| mode.push(Demand { resource, units }));
            }
        }
        let graph = graph_of(scope.plan, scope.places);
        let priority = tasks.iter().map(|task| task.priority).collect();
        let duration = durations.iter().map(|duration| duration / unit).collect();
        let problem = Problem::new(duration, graph, modes, capacity, priority);
        Self { places: scope.places.to_vec(), problem, unit, pools }
    }

    /// The same tasks for another team of the same plan.
    pub(in crate::plan) fn lead(&mut self, team: &Team) {
        let counts = [team.agents, team.people].into_iter().chain(team.pools.iter().copied());
        self.problem.capacity.iter_mut().zip(counts).for_each(|(has, count)| *has = count);
    }

    /// The resources that are agents and people.
    pub(in crate::plan) const fn workers(&self) -> std::ops::Range<usize> {
        0..self.pools.end
    }

    /// The resources that are locks.
    pub(in crate::plan) const fn locks(&self) -> std::ops::Range<usize> {
        self.pools.end..self.problem.capacity.len()
    }

    /// Who runs what when, `from` milliseconds later than the solution says.
    pub(in crate::plan) fn slots(&self, solution: &Solution, from: Millis) -> Vec<Slot> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by_key(|at| (solution.start[*at], self.problem.duration[*at], *at));
        // Of each worker of each pool, when it is free; people are the last pool.
        let mut free: Vec<Vec<u64>> =
            self.pools.clone().map(|pool| vec![0; size(self.problem.capacity[pool])]).collect();
        free.push(vec![0; size(self.problem.capacity[1])]);
        let people = free.len() - 1;
        let mut slots = Vec::with_capacity(order.len());
        for at in order {
            let (start, duration) = (solution.start[at], self.problem.duration[at]);
            let mode = &self.problem.modes[at][solution.mode[at]];
            let pool = mode.iter().find(|demand| self.pools.contains(&demand.resource));
            let pool = pool.map_or(people, |demand| demand.resource - self.pools.start);
            let number = free[pool].iter().position(|free| *free <= start).unwrap_or(0);
            free[pool][number] = start + duration;
            let before: usize =
                if pool == people { 0 } else { free[..pool].iter().map(Vec::len).sum() };
            let number = u32::try_from(before + number + 1).unwrap_or(u32::MAX);
            slots.push(Slot {
                task: self.places[at],
                start: from + start * self.unit,
                finish: from + (start + duration) * self.unit,
                worker: if pool == people { Worker::Person(number) } else { Worker::Agent(number) },
            });
        }
        slots
    }

    /// What each activity waits for in `solution`, by places in the plan.
    pub(in crate::plan) fn waits(&self, solution: &Solution) -> Vec<Option<Wait>> {
        let end = |at: usize| solution.start[at] + self.problem.duration[at];
        let mut ends: Vec<usize> = (0..self.places.len()).collect();
        ends.sort_by_key(|at| end(*at));
        let cause = |at: usize, other: usize| {
            if self.problem.graph.before[at].contains(&other) {
                return Some((0, Cause::Dependency));
            }
            let other = &self.problem.modes[other][solution.mode[other]];
            let mine = &self.problem.modes[at][solution.mode[at]];
            let shared = |demand: &&Demand| {
                other.iter().any(|it| {
                    let capacity = self.problem.capacity[it.resource];
                    it.resource == demand.resource && it.units.max(demand.units) <= capacity
                })
            };
            let held = mine.iter().filter(shared).map(|demand| demand.resource).max()?;
            Some(if held >= self.pools.end { (1, Cause::Files) } else { (2, Cause::Worker) })
        };
        (0..self.places.len())
            .map(|at| {
                let start = solution.start[at];
                let from = ends.partition_point(|other| end(*other) < start);
                let to = ends.partition_point(|other| end(*other) <= start);
                let found = ends[from..to]
                    .iter()
                    .filter(|other| **other != at && start > 0)
                    .filter_map(|other| {
                        cause(at, *other).map(|(rank, cause)| (rank, *other, cause))
                    })
                    .min_by_key(|(rank, other, _)| (*rank, *other));
                found.map(|(_, other, cause)| Wait { on: self.places[other], cause })
            })
            .collect()
    }
}

/// The dependencies among the tasks at `places`.
pub(in crate::plan) fn graph_of(plan: &Plan, places: &[usize]) -> Graph {
    let ids: std::collections::HashMap<_, _> =
        places.iter().enumerate().map(|(at, place)| (&plan.tasks[*place].id, at)).collect();
    let before = |place: &usize| {
        plan.tasks[*place].depends_on.iter().filter_map(|id| ids.get(id).copied()).collect()
    };
    Graph::from_before(places.iter().map(before).collect())
}

/// The ways to carry `task` out: one for each pool that may.
fn ways(task: &PlanTask, scope: Scope<'_>) -> Vec<Mode> {
    if task.owner == Owner::Human {
        return vec![vec![Demand { resource: 1, units: 1 }]];
    }
    let agent = Demand { resource: 0, units: 1 };
    let mut pools: Vec<usize> = (0..scope.team.pools.len())
        .filter(|at| scope.plan.pools.get(*at).is_none_or(|pool| task.needs.met_by(pool)))
        .collect();
    // Agents that can do less go first, so that the others stay free.
    pools.sort_by_key(|at| {
        scope.plan.pools.get(*at).map_or(0, |pool| pool.capabilities.len() + pool.queues.len())
    });
    let way = |at: usize| vec![agent, Demand { resource: 2 + at, units: 1 }];
    pools.into_iter().map(way).collect()
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
