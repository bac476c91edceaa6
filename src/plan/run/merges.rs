//! Which tasks work in workspaces, and when what they made is merged.

use std::{collections::HashMap, path::PathBuf};

use super::compile::{Compiler, named};
use crate::domain::{
    TaskId,
    graph::{Dependency, Node},
    plan::{
        PlanTask,
        run::{NewMerge, merges},
    },
    task::{NewTask, Terms},
    workspace::{BASE, MERGE_KIND, WorkspaceSpec, check_template},
};

impl Compiler<'_> {
    /// Where each task stands among those that are merged: by the end of their work in the schedule, what is
    /// depended on before what depends on it.
    pub(super) fn merge_ranks(&self) -> HashMap<usize, usize> {
        let mut topological = vec![0; self.analysis.plan.tasks.len()];
        for (nth, place) in self.graph.order().into_iter().enumerate() {
            topological[place] = nth;
        }
        let slots = self.analysis.schedule.slots.iter();
        let merged = slots.filter(|slot| self.merges(&self.analysis.plan.tasks[slot.task]));
        let mut order: Vec<_> = merged
            .map(|slot| (slot.finish, slot.start, topological[slot.task], slot.task))
            .collect();
        order.sort_unstable();
        order.into_iter().enumerate().map(|(rank, (.., place))| (place, rank)).collect()
    }

    /// The repository of a task that has a workspace, and what its branch begins at.
    pub(super) fn repository<'t>(&'t self, task: &'t PlanTask) -> Option<(&'t PathBuf, &'t str)> {
        task.branch.as_ref()?;
        let asked = self.asked.git.as_ref().map(|(git, base)| (git, base.as_str()));
        asked.or_else(|| Some((task.git.as_ref()?, task.base.as_deref().unwrap_or(BASE))))
    }

    /// Whether what an agent makes of a task is merged.
    pub(super) fn merges(&self, task: &PlanTask) -> bool {
        self.repository(task).is_some() && !task.merge.is_leave()
    }

    /// The task that stands for the merge of what `work` makes. Agents who resolve a conflict are given it, so it
    /// has what they need.
    pub(super) fn merge(
        &self,
        id: TaskId,
        rank: usize,
        work: &NewTask,
    ) -> Result<NewMerge, String> {
        let on = Dependency { task: work.id, name: work.kind.clone(), used: false };
        let spec = work.terms.workspace.clone();
        let task = NewTask {
            id,
            kind: MERGE_KIND.to_owned(),
            queue: merges().ok_or("has no queue")?,
            terms: Terms {
                needs: work.terms.needs.clone(),
                group: work.terms.group.clone(),
                graph: Node { depends_on: vec![on], ..named(id) },
                workspace: spec.map(|spec| WorkspaceSpec { turn: None, ..spec }),
                ..Terms::default()
            },
            ..work.clone()
        };
        Ok(NewMerge { rank, task })
    }

    /// What its agent works in, and the branch of the run that it is merged into, by the task `turn`.
    pub(super) fn workspace(
        &self,
        task: &PlanTask,
        turn: Option<TaskId>,
    ) -> Result<Option<WorkspaceSpec>, String> {
        let (Some((git, base)), Some(branch)) = (self.repository(task), &task.branch) else {
            return Ok(None);
        };
        check_template(branch).map_err(|why| format!("branch: {why}"))?;
        let writes = task.files.iter().filter(|file| file.write);
        Ok(Some(WorkspaceSpec {
            into: Some(self.asked.id.branch()),
            merge: task.merge,
            on_conflict: task.on_conflict,
            turn,
            writes: writes.map(|file| file.glob.clone()).collect(),
            ..WorkspaceSpec::new(git.clone(), base.to_owned(), branch.clone())
        }))
    }
}
