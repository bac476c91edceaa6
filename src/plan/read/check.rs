//! Rules about more than one field.

use std::collections::{BTreeSet, HashMap};

use super::{fields::Findings, schema::Written};
use crate::{
    domain::{
        PlanTaskId,
        plan::{Graph, Needs, Owner, Phase, Plan, PlanTask},
    },
    settings::suggest,
};

/// The most tasks of a plan.
const MAX_TASKS: usize = 100_000;

/// Everything that is wrong between the fields of a plan.
pub(super) fn whole(findings: &Findings<'_>, plan: &Plan, tasks: &[Written], declared: bool) {
    if let Some(one) = tasks.get(MAX_TASKS) {
        findings.add(one.line, "tasks", format!("a plan has at most {MAX_TASKS} tasks"));
        return;
    }
    let mut checker = Checker { findings, plan, tasks, places: HashMap::new() };
    checker.names();
    let sound = checker.dependencies();
    checker.phases(declared);
    checker.agents();
    if sound {
        checker.circles();
        checker.splits();
        checker.preparation();
    }
}

struct Checker<'a> {
    findings: &'a Findings<'a>,
    plan: &'a Plan,
    tasks: &'a [Written],
    places: HashMap<&'a PlanTaskId, usize>,
}

fn field(task: &PlanTask, key: &str) -> String {
    format!("tasks.{}.{key}", task.id)
}

impl<'a> Checker<'a> {
    fn names(&mut self) {
        for (at, written) in self.tasks.iter().enumerate() {
            let id = &written.task.id;
            if let Some(first) = self.places.get(id) {
                let line = self.tasks[*first].line;
                let message = format!("`{id}` is the name of the task on line {line} already");
                self.findings.add(written.line, field(&written.task, "id"), message);
            } else {
                self.places.insert(id, at);
            }
        }
    }

    /// Whether every name in `depends_on` and `split_of` is that of another task.
    fn dependencies(&self) -> bool {
        let mut sound = true;
        for written in self.tasks {
            let task = &written.task;
            let depends = task.depends_on.iter().zip(&written.depends_on);
            let splits = task.split_of.iter().zip(&written.split_of);
            let all = depends.map(|it| ("depends_on", it)).chain(splits.map(|it| ("split_of", it)));
            for (key, (id, line)) in all {
                let message = if *id == task.id && key == "depends_on" {
                    format!("the task waits for itself: {id} → {id}")
                } else if *id == task.id {
                    "a task is no part of itself".to_owned()
                } else if self.places.contains_key(id) {
                    continue;
                } else {
                    let known = self.tasks.iter().map(|other| other.task.id.as_str());
                    match suggest::closest(
                        id.as_str(),
                        known.filter(|known| *known != task.id.as_str()),
                    ) {
                        Some(known) => format!("there is no task `{id}`; did you mean `{known}`?"),
                        None => format!("there is no task `{id}`"),
                    }
                };
                sound = false;
                self.findings.add(*line, field(task, key), message);
            }
        }
        sound
    }

    fn phases(&self, declared: bool) {
        for written in self.tasks.iter().filter(|_| declared) {
            let Some(name) = &written.task.phase else { continue };
            let known = self.plan.phases.iter().map(|phase| phase.name.as_str());
            if known.clone().any(|known| known == name.as_str()) {
                continue;
            }
            let message = match suggest::closest(name.as_str(), known.clone()) {
                Some(known) => format!("there is no phase `{name}`; did you mean `{known}`?"),
                None => format!("there is no phase `{name}`; there are {}", suggest::list(known)),
            };
            self.findings.add(written.phase, field(&written.task, "phase"), message);
        }
    }

    /// Whether some agents of the plan can take each task, where the plan says which there are.
    fn agents(&self) {
        let pools = &self.plan.pools;
        for written in self.tasks {
            let task = &written.task;
            if pools.is_empty() || self.plan.has_agent_for(task) {
                continue;
            }
            let (key, wanted) = match &task.needs {
                Needs::Anyone => continue,
                Needs::Fleet(fleet) => ("fleet", fleet.as_str()),
                Needs::Queue(queue) => ("queue", queue.as_str()),
                Needs::Capability(capability) => ("capability", capability.as_str()),
            };
            let known: BTreeSet<&str> = match task.needs {
                Needs::Fleet(_) => pools
                    .iter()
                    .filter_map(|pool| pool.fleet.as_ref())
                    .map(|it| it.as_str())
                    .collect(),
                Needs::Queue(_) => {
                    pools.iter().flat_map(|pool| &pool.queues).map(|it| it.as_str()).collect()
                }
                _ => {
                    pools.iter().flat_map(|pool| &pool.capabilities).map(|it| it.as_str()).collect()
                }
            };
            let mut message = format!("no agents of the plan have the {key} `{wanted}`");
            if let Some(close) = suggest::closest(wanted, known) {
                message.push_str(&format!("; did you mean `{close}`?"));
            }
            self.findings.add(written.needs, field(task, key), message);
        }
    }

    fn circles(&self) {
        let before = self.tasks.iter().map(|written| {
            let places =
                written.task.depends_on.iter().filter_map(|id| self.places.get(id).copied());
            places.collect()
        });
        let Some(circle) = Graph::from_before(before.collect()).circle() else { return };
        let loop_of = |circle: &[usize]| {
            let names =
                circle.iter().chain(circle.first()).map(|at| self.tasks[*at].task.id.as_str());
            names.collect::<Vec<_>>().join(" → ")
        };
        let Some(first) = circle.first().map(|at| &self.tasks[*at]) else { return };
        let message = format!("tasks wait for each other in a circle: {}", loop_of(&circle));
        let line = first.depends_on.first().copied().unwrap_or(first.line);
        self.findings.add(line, field(&first.task, "depends_on"), message);
    }

    fn task(&self, id: &PlanTaskId) -> Option<&'a PlanTask> {
        self.places.get(id).map(|at| &self.tasks[*at].task)
    }

    fn splits(&self) {
        for written in self.tasks {
            let task = &written.task;
            for (id, line) in task.split_of.iter().zip(&written.split_of) {
                let whole = self.task(id);
                let other = self.tasks.iter().map(|other| &other.task).find(|other| {
                    other.split_of.contains(id) && sorted(&other.split_of) != sorted(&task.split_of)
                });
                let message = if whole.is_some_and(|whole| !whole.split_of.is_empty()) {
                    format!("`{id}` is a part itself: parts are not split again")
                } else if task.owner == Owner::Human
                    || whole.is_some_and(|it| it.owner == Owner::Human)
                {
                    "tasks of a person are not split".to_owned()
                } else if let Some(other) = other {
                    format!(
                        "the parts of one split say the same `split_of`: `{}` does not",
                        other.id
                    )
                } else {
                    continue;
                };
                self.findings.add(*line, field(task, "split_of"), message);
            }
            self.ties(written);
        }
    }

    /// What a task of one side of a split may not wait for: the other side.
    fn ties(&self, written: &Written) {
        let task = &written.task;
        for (id, line) in task.depends_on.iter().zip(&written.depends_on) {
            let Some(other) = self.task(id).filter(|other| !other.split_of.is_empty()) else {
                if task.split_of.contains(id) {
                    let message = format!("the part stands for `{id}` and can not wait for it");
                    self.findings.add(*line, field(task, "depends_on"), message);
                }
                continue;
            };
            if sorted(&other.split_of) != sorted(&task.split_of) {
                let whole = suggest::list(other.split_of.iter().map(PlanTaskId::as_str));
                let message = format!("`{id}` is a part: depend on what it stands for, {whole}");
                self.findings.add(*line, field(task, "depends_on"), message);
            }
        }
    }

    /// What is done before the plan starts waits for nothing in it.
    fn preparation(&self) {
        let is_before = |task: &PlanTask| {
            let phase = |phase: &&Phase| Some(&phase.name) == task.phase.as_ref();
            self.plan.phases.iter().find(phase).is_some_and(|phase| phase.preparation)
        };
        for written in self.tasks.iter().filter(|written| is_before(&written.task)) {
            for (id, line) in written.task.depends_on.iter().zip(&written.depends_on) {
                if self.task(id).is_some_and(|other| !is_before(other)) {
                    let message = format!(
                        "a task of a preparation can not wait for `{id}`, which is in the plan"
                    );
                    self.findings.add(*line, field(&written.task, "depends_on"), message);
                }
            }
        }
    }
}

fn sorted(ids: &[PlanTaskId]) -> Vec<&PlanTaskId> {
    let mut ids: Vec<_> = ids.iter().collect();
    ids.sort();
    ids
}
