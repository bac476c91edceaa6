//! Tasks that may be replaced by their parts.

use std::collections::BTreeSet;

use super::{Plan, PlanTask, PlanTaskId};

/// Parts that together may stand for one or more tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The tasks that they stand for.
    pub replaces: Vec<PlanTaskId>,
    /// The parts, in the order of the plan.
    pub parts: Vec<PlanTaskId>,
}

impl Plan {
    /// The splits that the plan offers, in the order of their first parts.
    pub fn splits(&self) -> Vec<Split> {
        let mut splits: Vec<Split> = Vec::new();
        for task in self.tasks.iter().filter(|task| !task.split_of.is_empty()) {
            let mut replaces = task.split_of.clone();
            replaces.sort();
            match splits.iter_mut().find(|split| split.replaces == replaces) {
                Some(split) => split.parts.push(task.id.clone()),
                None => splits.push(Split { replaces, parts: vec![task.id.clone()] }),
            }
        }
        splits
    }

    /// The plan as it is carried out: with the parts of each split in `chosen` in place of the
    /// tasks that they stand for, and without the parts of all others.
    ///
    /// Parts that wait for no other part wait for all that the replaced tasks waited for; whatever
    /// waited for a replaced task waits for all parts that no other part waits for.
    pub fn with_splits(&self, chosen: &[Split]) -> Self {
        let replaced: BTreeSet<&PlanTaskId> = chosen.iter().flat_map(|it| &it.replaces).collect();
        let is_chosen = |id: &PlanTaskId| chosen.iter().any(|split| split.parts.contains(id));
        let stays = |task: &&PlanTask| match task.split_of.is_empty() {
            true => !replaced.contains(&task.id),
            false => is_chosen(&task.id),
        };
        let tasks = self.tasks.iter().filter(stays).map(|task| {
            let own = chosen.iter().find(|split| split.parts.contains(&task.id));
            PlanTask { depends_on: self.waits(task, own, chosen), ..task.clone() }
        });
        Self { tasks: tasks.collect(), ..self.clone() }
    }

    /// What `task`, a part of `own` if that is one, waits for once `chosen` are split.
    fn waits(&self, task: &PlanTask, own: Option<&Split>, chosen: &[Split]) -> Vec<PlanTaskId> {
        let mut wanted: Vec<&PlanTaskId> = task.depends_on.iter().collect();
        if let Some(split) = own {
            let is_first = !task.depends_on.iter().any(|id| split.parts.contains(id));
            let replaced =
                self.tasks.iter().filter(|it| is_first && split.replaces.contains(&it.id));
            let outside = replaced.flat_map(|it| &it.depends_on);
            wanted.extend(outside.filter(|id| !split.replaces.contains(id)));
        }
        let mut waits = Vec::new();
        for id in wanted {
            match chosen.iter().find(|split| split.replaces.contains(id)) {
                Some(split) => waits.extend(self.last_parts(split)),
                None => waits.push(id.clone()),
            }
        }
        let mut seen = BTreeSet::new();
        waits.retain(|id| seen.insert(id.clone()));
        waits
    }

    /// The parts that no other part waits for.
    fn last_parts(&self, split: &Split) -> Vec<PlanTaskId> {
        let parts = || self.tasks.iter().filter(|task| split.parts.contains(&task.id));
        let is_last = |id: &PlanTaskId| !parts().any(|task| task.depends_on.contains(id));
        split.parts.iter().filter(|id| is_last(id)).cloned().collect()
    }
}
