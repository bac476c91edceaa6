//! What is true of a plan: how long it takes with N agents, what bounds that, and why.
//!
//! [`analyze`] is a function of the plan and the [`Options`]; the clock is in the budget. The
//! figures that people compare are in hours in the output ([`report`](super::report)), and in
//! milliseconds here.

mod advice;
pub(super) mod model;
mod part;
mod phases;
mod risk;
mod staff;
#[cfg(test)]
mod tests;

use std::ops::Deref;

use super::solve::{Budget, Method};
use crate::domain::{
    Millis, PhaseName,
    plan::{Conflict, Graph, Owner, Plan, Schedule, Slot, Split, Times, Wait, conflicts},
};
use model::{KnownLocks, Model, Scope, Team};
use phases::Stages;

pub use phases::backward;
pub use risk::Risk;
pub use staff::Staffed;

/// What is asked of an analysis.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How many agents; what the plan says, or else the fewest that reach the best, where absent.
    pub agents: Option<u32>,
    /// Whether no phase begins before the one in front of it is done.
    pub phased: bool,
    /// Whether tasks are replaced by their parts where that helps.
    pub split: bool,
    /// What chance begins with.
    pub seed: u64,
    /// How many times durations are drawn, where some are given as three figures.
    pub draws: u32,
    /// How long the schedulers may go on.
    pub budget: Budget<'a>,
}

/// A length of time that was found for some tasks, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// What one agent, or person, alone would take.
    pub sequential: Millis,
    /// What the schedule takes.
    pub makespan: Millis,
    /// What no schedule can beat.
    pub bound: Millis,
    /// What found the schedule.
    pub method: Method,
    /// Whether workspaces of their own let tasks run at once that write the same files.
    pub merges: bool,
}

impl Figures {
    /// Whether no schedule is shorter.
    pub const fn is_proven(&self) -> bool {
        self.makespan == self.bound
    }

    /// The share of the sequential time that is saved, in percent.
    pub fn saved_percent(&self) -> f64 {
        match self.sequential {
            0 => 0.0,
            sequential => 100.0 * (1.0 - self.makespan as f64 / sequential as f64),
        }
    }

    /// How many times faster it is.
    pub fn speed_up(&self) -> f64 {
        if self.makespan == 0 { 1.0 } else { self.sequential as f64 / self.makespan as f64 }
    }
}

/// The figures of one phase, as a barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseFigures {
    /// Which; none where tasks have no phase.
    pub name: Option<PhaseName>,
    /// What people call it.
    pub title: String,
    /// Its figures.
    pub figures: Figures,
}

/// What became of one way to split tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitFigures {
    /// The split.
    pub split: Split,
    /// The longest chain of the replaced tasks, and of the parts.
    pub chains: (Millis, Millis),
    /// The whole plan without and with it.
    pub makespans: (Millis, Millis),
    /// Whether the schedule has the parts.
    pub taken: bool,
}

/// What is true of a plan.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The plan as it is carried out: without the parts of splits that are not taken.
    pub plan: Plan,
    /// How many agents.
    pub agents: u32,
    /// Whether phases are barriers.
    pub phased: bool,
    /// The figures of the schedule.
    pub figures: Figures,
    /// The figures if phases were no barriers (or were some), where that makes a difference to ask.
    pub other: Option<Figures>,
    /// Each phase as a barrier.
    pub phases: Vec<PhaseFigures>,
    /// What is done before the clock starts, in milliseconds of work.
    pub preparation: Millis,
    /// The places of the tasks that count, and of those that are done before.
    pub places: Vec<usize>,
    /// The places of the tasks that are done before the clock starts.
    pub before: Vec<usize>,
    /// The dependencies among the tasks that count, by their order in `places`.
    pub graph: Graph,
    /// Their earliest and latest starts by dependencies alone.
    pub times: Times,
    /// The longest chain of dependencies, by places in the plan.
    pub critical_path: Vec<usize>,
    /// Conflicts, by places in the plan.
    pub conflicts: Vec<Conflict>,
    /// What the plan would take if no two tasks used the same files.
    pub ideal: Millis,
    /// The schedule.
    pub schedule: Schedule,
    /// The place in the schedule of each task of the plan that is in it.
    pub slot_of: Vec<Option<usize>>,
    /// What each slot of the schedule waits for.
    pub waits: Vec<Option<Wait>>,
    /// Utilisation of the agents over the makespan, 0 to 1.
    pub utilisation: f64,
    /// The makespan over the number of agents.
    pub staff: Vec<Staffed>,
    /// The fewest agents that reach the best makespan that was found for any number.
    pub best_agents: u32,
    /// What splits do.
    pub splits: Vec<SplitFigures>,
    /// How the makespan spreads, where tasks have three figures.
    pub risk: Option<Risk>,
    /// What to do to be done sooner.
    pub advice: Vec<String>,
}

/// One schedule with its figures.
pub(super) struct Found {
    figures: Figures,
    slots: Vec<Slot>,
    waits: Vec<(usize, Option<Wait>)>,
}

/// What is asked, and what was found on the way.
struct Inquiry<'a> {
    options: Options<'a>,
    known: KnownLocks,
}

impl<'a> Deref for Inquiry<'a> {
    type Target = Options<'a>;

    fn deref(&self) -> &Options<'a> {
        &self.options
    }
}

/// What is true of `plan`.
pub fn analyze(plan: &Plan, options: &Options<'_>) -> Analysis {
    let options = &Inquiry { options: *options, known: KnownLocks::default() };
    let flat = plan.with_splits(&[]);
    let staff = staff::table(&flat, options);
    let agents = options.agents.unwrap_or_else(|| match plan.pools.as_slice() {
        [] => staff.best,
        pools => pools.iter().map(|pool| pool.count).sum(),
    });
    let (flat, splits) = with_good_splits(plan, flat, agents, options);
    let team = Team::of(&flat, agents);
    let (before, places) = parts(&flat);
    let one = Stages::of(&flat, options.phased, options).schedule(&team, options);
    let has_phases = flat.phases.iter().filter(|phase| !phase.preparation).count() > 1;
    let (other, phases) = if options.phased {
        let free = || Stages::of(&flat, false, options).figures(&team, options);
        (has_phases.then(free), one.phases)
    } else if flat.phases.is_empty() {
        (None, Vec::new())
    } else {
        let phased = Stages::of(&flat, true, options).schedule(&team, options);
        (has_phases.then_some(phased.found.figures), phased.phases)
    };
    let graph = model::graph_of(&flat, &places);
    let durations: Vec<Millis> =
        places.iter().map(|at| flat.tasks[*at].estimate.expected()).collect();
    let times = graph.times(&durations);
    let critical_path = graph.longest_chain(&times).into_iter().map(|at| places[at]).collect();
    let found = one.found;
    let figures = found.figures;
    let conflicts = conflicts_of(&flat, &places, &graph);
    let ideal = match conflicts.is_empty() || figures.makespan == times.length {
        true => figures.makespan,
        false => without_files(&flat, &team, options).min(figures.makespan),
    };
    let risk = risk::draw(&flat, &team, &found, options);
    let (schedule, waits, slot_of) = timeline(found, flat.tasks.len());
    let mut analysis = Analysis {
        agents: team.agents,
        phased: options.phased,
        figures,
        other,
        phases,
        preparation: before.iter().map(|at| flat.tasks[*at].estimate.expected()).sum(),
        conflicts,
        ideal,
        utilisation: utilisation(&flat, &schedule, team.agents),
        plan: flat,
        places,
        before,
        graph,
        times,
        critical_path,
        schedule,
        slot_of,
        waits,
        best_agents: staff.best,
        staff: staff.rows,
        splits,
        risk,
        advice: Vec::new(),
    };
    analysis.advice = advice::of(&analysis);
    analysis
}

/// The places of the tasks that count, phase by phase.
pub(super) fn phases_of(plan: &Plan) -> Vec<Vec<usize>> {
    phases::groups(plan).into_iter().map(|(_, places)| places).collect()
}

/// The schedule that was found, what each of its slots waits for, and the slot of each of the plan's
/// `tasks`.
fn timeline(mut found: Found, tasks: usize) -> (Schedule, Vec<Option<Wait>>, Vec<Option<usize>>) {
    found.waits.sort_by_key(|(task, _)| *task);
    let schedule = Schedule::new(found.slots);
    let wait_of = |slot: &Slot| {
        let at = found.waits.binary_search_by_key(&slot.task, |(task, _)| *task).ok()?;
        found.waits[at].1
    };
    let waits = schedule.slots.iter().map(wait_of).collect();
    let mut slot_of = vec![None; tasks];
    for (at, slot) in schedule.slots.iter().enumerate() {
        slot_of[slot.task] = Some(at);
    }
    (schedule, waits, slot_of)
}

/// The places of tasks that are done before the clock starts, and of all others.
fn parts(plan: &Plan) -> (Vec<usize>, Vec<usize>) {
    (0..plan.tasks.len()).partition(|at| {
        let name = plan.tasks[*at].phase.as_ref();
        plan.phases.iter().any(|phase| phase.preparation && Some(&phase.name) == name)
    })
}

fn conflicts_of(plan: &Plan, places: &[usize], graph: &Graph) -> Vec<Conflict> {
    let tasks: Vec<_> = places.iter().map(|at| &plan.tasks[*at]).collect();
    let in_plan = |conflict: Conflict| Conflict {
        first: places[conflict.first],
        second: places[conflict.second],
        ..conflict
    };
    conflicts(&tasks, &graph.reach()).into_iter().map(in_plan).collect()
}

/// What the plan takes if every task leaves files alone.
fn without_files(plan: &Plan, team: &Team, options: &Inquiry<'_>) -> Millis {
    let mut plan = plan.clone();
    plan.tasks.iter_mut().for_each(|task| task.files.clear());
    Stages::of(&plan, options.phased, options).figures(team, options).makespan
}

/// The share of the agents' time in which they have a task.
fn utilisation(plan: &Plan, schedule: &Schedule, agents: u32) -> f64 {
    let by_agents =
        schedule.slots.iter().filter(|slot| plan.tasks[slot.task].owner == Owner::Agent);
    let work: Millis = by_agents.map(|slot| slot.finish - slot.start).sum();
    match schedule.makespan * u64::from(agents) {
        0 => 0.0,
        time => work as f64 / time as f64,
    }
}

/// The plan with the splits that help, if that is asked for, and what each of them does.
fn with_good_splits(
    plan: &Plan,
    flat: Plan,
    agents: u32,
    options: &Inquiry<'_>,
) -> (Plan, Vec<SplitFigures>) {
    let takes = |plan: &Plan| {
        let team = Team::of(plan, agents);
        Stages::of(plan, options.phased, options).figures(&team, options).makespan
    };
    let offered = plan.splits();
    if offered.is_empty() {
        return (flat, Vec::new());
    }
    let chain = |plan: &Plan, ids: &[crate::domain::PlanTaskId]| {
        let places: Vec<usize> =
            (0..plan.tasks.len()).filter(|at| ids.contains(&plan.tasks[*at].id)).collect();
        let durations: Vec<_> =
            places.iter().map(|at| plan.tasks[*at].estimate.expected()).collect();
        model::graph_of(plan, &places).times(&durations).length
    };
    let mut current = (takes(&flat), flat, Vec::new());
    let mut figures = Vec::new();
    for split in offered {
        let mut chosen: Vec<Split> = current.2.clone();
        chosen.push(split.clone());
        let with = plan.with_splits(&chosen);
        let makespan = takes(&with);
        let taken = options.split && makespan < current.0;
        figures.push(SplitFigures {
            chains: (chain(plan, &split.replaces), chain(plan, &split.parts)),
            split,
            makespans: (current.0, makespan),
            taken,
        });
        if taken {
            current = (makespan, with, chosen);
        }
    }
    (current.1, figures)
}
