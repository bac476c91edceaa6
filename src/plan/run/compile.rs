//! What is submitted of a plan.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use serde_json::{Map, Value, json};

use super::{super::analyze::Analysis, super::words::worker, super::write, replan::priorities};
use crate::{
    domain::{
        PlanRunId, PlanTaskId, QueueName, TaskId,
        admission::{Access, Label, MAX_NEEDS, Needs as Held, PathUse},
        graph::{Dependency, Node, condition_uses},
        plan::{
            FileUse, Graph, Owner, Plan, PlanTask,
            run::{HOUR, NewRun, NewRunTask, Planned, RunFigures, by_clock, people},
        },
        record::FleetRecord,
        task::{NewTask, Terms},
    },
    settings::format_duration,
};

/// The kind of the task that ends when a person allows another.
const APPROVAL: &str = "approval";

/// What a task calls the one that allows it: no task of a plan is called so.
const OF_GATE: &str = "approval?";

/// How the names begin that a task calls the merges by which it waits: no task of a plan is called so.
const OF_MERGE: &str = "merge?";

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub id: PlanRunId,
    /// The queue of all that agents do, whatever the plan says.
    pub queue: Option<QueueName>,
    /// How many milliseconds of the clock an hour of the plan takes, if mock agents rehearse it.
    pub hour_ms: Option<u64>,
    /// Whether phases are barriers.
    pub phased: bool,
    /// A second submit with the same key is the same run.
    pub idempotency_key: Option<String>,
    /// A directory of the repository, and the base, where agents work in workspaces, whatever the plan says.
    pub git: Option<(PathBuf, String)>,
}

/// Who there is to carry a plan out.
pub struct Crew<'a> {
    /// The fleets of the host.
    pub fleets: &'a [FleetRecord],
    /// How many attempts of a task of a queue may fail.
    pub max_attempts: &'a dyn Fn(&QueueName) -> u32,
}

/// Why a plan can't be carried out here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The task that it is about, if it is about one.
    pub task: Option<PlanTaskId>,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A plan as it is carried out, of one without splits.
///
/// Preparation is taken for done, `phased` makes dependencies of phases. Agents of tasks with a repository, or
/// all if they work `apart`, have workspaces: each of these tasks has a branch. All others work in the same
/// files.
pub fn carried_out(plan: &Plan, phased: bool, apart: bool) -> Plan {
    let mut plan = plan.clone();
    let before: Vec<PlanTaskId> = plan
        .tasks
        .iter()
        .filter(|task| {
            let of = |phase: &&crate::domain::plan::Phase| Some(&phase.name) == task.phase.as_ref();
            plan.phases.iter().find(of).is_some_and(|phase| phase.preparation)
        })
        .map(|task| task.id.clone())
        .collect();
    plan.phases.retain(|phase| !phase.preparation);
    plan.tasks.retain(|task| !before.contains(&task.id));
    for task in &mut plan.tasks {
        task.depends_on.retain(|id| !before.contains(id));
        if !(apart || task.git.is_some()) || task.owner == Owner::Human {
            task.branch = None;
        } else if task.branch.is_none() {
            task.branch = Some(format!("hostler/{}", task.id));
        }
    }
    if phased {
        barriers(&mut plan);
    }
    plan
}

/// Lets what begins a phase wait for what ends the phase in front of it.
fn barriers(plan: &mut Plan) {
    let groups = super::super::analyze::phases_of(plan);
    let graph = Graph::of_plan(plan);
    for pair in groups.windows(2) {
        let [earlier, later] = pair else { continue };
        let within = |group: &[usize], all: &[usize]| all.iter().any(|it| group.contains(it));
        let ends = earlier.iter().filter(|task| !within(earlier, &graph.after[**task]));
        let ends: Vec<PlanTaskId> = ends.map(|task| plan.tasks[*task].id.clone()).collect();
        for task in later.iter().filter(|task| !within(later, &graph.before[**task])) {
            let depends_on = &mut plan.tasks[*task].depends_on;
            let new = ends.iter().filter(|id| !depends_on.contains(id)).cloned();
            let new: Vec<_> = new.collect();
            depends_on.extend(new);
        }
    }
}

/// The run of an analysed plan, which must be one that is [`carried_out`].
///
/// # Errors
///
/// Every flaw.
pub fn compile(
    analysis: &Analysis,
    asked: &Asked,
    crew: &Crew<'_>,
    mut new_id: impl FnMut() -> TaskId,
) -> Result<NewRun, Vec<Flaw>> {
    let plan = &analysis.plan;
    let graph = Graph::of_plan(plan);
    let critical = analysis.critical_path.iter().copied().collect();
    let compiler = Compiler { analysis, asked, crew, graph, critical };
    let order: Vec<usize> = compiler.order();
    // In an order in which what is waited for is older: so a retry finds it open again.
    let mut own = |place: &usize| {
        let task = &plan.tasks[*place];
        let gate = task.approval.then(&mut new_id);
        let id = new_id();
        (*place, Ids { task: id, gate, merge: compiler.merges(task).then(&mut new_id) })
    };
    let ids: HashMap<usize, Ids> = order.iter().map(&mut own).collect();
    let ranks = compiler.merge_ranks();
    let by_rank: HashMap<usize, i16> = order.iter().copied().zip(priorities(order.len())).collect();
    let (mut tasks, mut flaws) = (Vec::with_capacity(plan.tasks.len()), Vec::new());
    for (place, task) in plan.tasks.iter().enumerate() {
        match compiler.task(place, &ids, by_rank[&place], ranks.get(&place).copied()) {
            Ok(task) => tasks.push(task),
            Err(what) => flaws.push(Flaw { task: Some(task.id.clone()), what }),
        }
    }
    if !flaws.is_empty() {
        return Err(flaws);
    }
    // What agents are given is with the tasks; what is left is what the order goes by.
    let mut kept = plan.clone();
    kept.tasks.iter_mut().for_each(|task| task.input = Value::Null);
    let figures = &analysis.figures;
    Ok(NewRun {
        id: asked.id,
        title: plan.title.clone(),
        plan: write::to_toml(&kept),
        agents: analysis.agents.max(1),
        hour_ms: asked.hour_ms.unwrap_or(HOUR),
        rehearsal: asked.hour_ms.is_some(),
        phased: asked.phased,
        figures: RunFigures {
            sequential_ms: figures.sequential,
            makespan_ms: figures.makespan,
            lower_bound_ms: figures.bound.min(figures.makespan),
            found_by: figures.method.as_str().to_owned(),
        },
        idempotency_key: asked.idempotency_key.clone(),
        tasks,
    })
}

/// The tasks of the queue that stand for a task of the plan.
struct Ids {
    task: TaskId,
    gate: Option<TaskId>,
    merge: Option<TaskId>,
}

pub(super) struct Compiler<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) asked: &'a Asked,
    pub(super) crew: &'a Crew<'a>,
    pub(super) graph: Graph,
    critical: HashSet<usize>,
}

impl Compiler<'_> {
    /// The places in the order of the schedule; of those that start together, first what has least
    /// slack.
    fn order(&self) -> Vec<usize> {
        let times = &self.analysis.times;
        let latest: HashMap<usize, u64> =
            self.analysis.places.iter().copied().zip(times.latest.iter().copied()).collect();
        let latest = |place: usize| latest.get(&place).copied().unwrap_or(u64::MAX);
        let mut order: Vec<(u64, u64, usize)> = self
            .analysis
            .schedule
            .slots
            .iter()
            .map(|slot| (slot.start, latest(slot.task), slot.task))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, place)| place).collect()
    }

    fn task(
        &self,
        place: usize,
        ids: &HashMap<usize, Ids>,
        priority: i16,
        rank: Option<usize>,
    ) -> Result<NewRunTask, String> {
        let task = &self.analysis.plan.tasks[place];
        let slot = self.analysis.slot_of[place].map(|at| self.analysis.schedule.slots[at]);
        let slot = slot.ok_or("is in no schedule")?;
        let human = task.owner == Owner::Human;
        let queue =
            if human { people().ok_or("has no queue")? } else { self.queue(task, slot.worker)? };
        let Ids { task: id, gate, merge } = &ids[&place];
        let mut depends_on: Vec<Dependency> =
            self.graph.before[place].iter().map(|before| self.on(*before, ids)).collect();
        if let Some(condition) = &task.condition {
            uses(condition, &mut depends_on)?;
        }
        let merged = |before: &usize| {
            let merge = ids[before].merge?;
            Some(Dependency { task: merge, name: format!("{OF_MERGE}{before}"), used: false })
        };
        depends_on.extend(self.graph.before[place].iter().filter_map(merged));
        let needs = self.needs(task)?;
        let workspace = self.workspace(task, *merge)?;
        let gate = (*gate).map(|id| self.gate(id, task, &depends_on, priority)).transpose()?;
        depends_on.extend(gate.as_ref().map(|gate| Dependency {
            task: gate.id,
            name: OF_GATE.to_owned(),
            used: false,
        }));
        let length = slot.finish - slot.start;
        let new = NewTask {
            id: *id,
            kind: task.id.to_string(),
            input: self.input(task, length),
            priority,
            run_at: None,
            max_attempts: (self.crew.max_attempts)(&queue),
            // Until it is decided whether it is to be done, no agent may have it.
            queue: match task.condition {
                Some(_) => people().ok_or("has no queue")?,
                None => queue.clone(),
            },
            timeout: None,
            idempotency_key: None,
            terms: Terms {
                needs,
                group: Some(self.asked.id.group()),
                graph: Node { depends_on, ..named(*id) },
                workspace,
                stale_after: task.stale_after,
                ..Terms::default()
            },
        };
        let merge = merge.zip(rank).map(|(id, rank)| self.merge(id, rank, &new)).transpose()?;
        Ok(NewRunTask {
            place,
            name: task.id.clone(),
            title: task.title.clone(),
            phase: task.phase.clone(),
            human,
            depends_on: self.graph.before[place].clone(),
            planned: Planned { length, start: slot.start, finish: slot.finish },
            worker: worker(slot.worker),
            critical: self.critical.contains(&place),
            queue,
            condition: task.condition.clone(),
            task: new,
            gate,
            merge,
        })
    }

    /// That a task waits for another one of the plan.
    fn on(&self, before: usize, ids: &HashMap<usize, Ids>) -> Dependency {
        let name = self.analysis.plan.tasks[before].id.to_string();
        Dependency { task: ids[&before].task, name, used: false }
    }

    /// The task that ends when a person allows `task`: it is ready when `task` would be.
    fn gate(
        &self,
        id: TaskId,
        task: &PlanTask,
        on: &[Dependency],
        priority: i16,
    ) -> Result<NewTask, String> {
        let queue = people().ok_or("has no queue")?;
        Ok(NewTask {
            id,
            max_attempts: (self.crew.max_attempts)(&queue),
            queue,
            kind: APPROVAL.to_owned(),
            input: json!({ "task": task.id, "title": task.title }),
            priority,
            run_at: None,
            timeout: None,
            idempotency_key: None,
            terms: Terms {
                needs: Held::new(
                    Vec::new(),
                    Vec::new(),
                    self.asked.id.people_key().into_iter().collect(),
                ),
                graph: Node { depends_on: on.to_vec(), ..named(id) },
                ..Terms::default()
            },
        })
    }

    /// What a task needs for itself: its files, and one of what the run may have at once. A person's
    /// holds no files: nobody knows when they work.
    fn needs(&self, task: &PlanTask) -> Result<Held, String> {
        let key: Option<Label> = match task.owner {
            Owner::Human => self.asked.id.people_key(),
            Owner::Agent => self.asked.id.key(),
        };
        // Nor does one that has the files for itself.
        let shares = task.owner == Owner::Agent && !task.is_apart();
        let files: &[FileUse] = if shares { &task.files } else { &[] };
        if files.len() > MAX_NEEDS {
            let count = files.len();
            return Err(format!(
                "uses {count} patterns of files; at most {MAX_NEEDS} can be locked"
            ));
        }
        let path = |file: &FileUse| PathUse {
            glob: file.glob.clone(),
            mode: if file.write { Access::Write } else { Access::Read },
        };
        Ok(Held::new(Vec::new(), files.iter().map(path).collect(), key.into_iter().collect()))
    }

    /// What its agent is given: in a rehearsal, with how long it is to take.
    fn input(&self, task: &PlanTask, length: u64) -> Value {
        let Some(hour_ms) = self.asked.hour_ms else { return task.input.clone() };
        if task.owner == Owner::Human {
            return task.input.clone();
        }
        let mut input = match &task.input {
            Value::Object(input) => input.clone(),
            Value::Null => Map::new(),
            other => Map::from_iter([("input".to_owned(), other.clone())]),
        };
        let mock = input.entry("mock").or_insert_with(|| json!({}));
        if let Value::Object(mock) = mock {
            let sleep = std::time::Duration::from_millis(by_clock(length, hour_ms));
            mock.entry("sleep").or_insert_with(|| json!(format_duration(sleep)));
        }
        Value::Object(input)
    }
}

/// Notes which dependencies a condition uses.
fn uses(condition: &str, depends_on: &mut [Dependency]) -> Result<(), String> {
    let names: Vec<&str> = depends_on.iter().map(|on| on.name.as_str()).collect();
    let used = condition_uses(condition, &names).map_err(|why| format!("condition: {why}"))?;
    depends_on.iter_mut().zip(used).for_each(|(on, used)| on.used = used);
    Ok(())
}

/// The place in the graph of a task that others may wait for.
pub(super) fn named(id: TaskId) -> Node {
    Node { reference: Some(id.to_string()), ..Node::default() }
}
