//! What a plan, or a task of one, says of workspaces.

use std::path::PathBuf;

use super::fields::Table;
use crate::domain::{
    PlanTaskId,
    plan::{Merge, Owner},
    workspace::{BRANCH, Resolver, check_template},
};

/// The keys beside which `workspace` stands. The first two are short for those of the same name in it.
pub(super) const KEYS: [&str; 3] = ["branch", "merge", "workspace"];

/// The keys of `workspace`.
const OWN: [&str; 5] = ["git", "base", "branch", "merge", "on_conflict"];

/// The words for what becomes of a branch.
const MERGES: [(&str, Merge); 3] =
    [("merge", Merge::Merge), ("rebase", Merge::Rebase), ("leave", Merge::Leave)];

/// The words for who resolves conflicts.
const RESOLVERS: [(&str, Resolver); 2] = [("agent", Resolver::Agent), ("person", Resolver::Person)];

/// What stands for the task's id in a branch.
const TASK_MARK: &str = "{task}";

/// What is said.
#[derive(Default)]
pub(super) struct Said {
    git: Option<PathBuf>,
    base: Option<String>,
    branch: Option<String>,
    merge: Option<Merge>,
    on_conflict: Option<Resolver>,
}

/// What holds for one task.
pub(super) struct OfTask {
    pub(super) git: Option<PathBuf>,
    pub(super) base: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) merge: Merge,
    pub(super) on_conflict: Resolver,
}

impl Said {
    /// Reads it from the table of a plan or of a task.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let mut said =
            Self { branch: branch(table), merge: table.word("merge", &MERGES), ..Self::default() };
        let Some(node) = table.get("workspace") else { return said };
        let path = table.name("workspace");
        let Some(own) = Table::of(table.findings(), &path, node) else { return said };
        own.only(&OWN);
        for key in KEYS.iter().filter(|key| own.get(key).is_some() && table.get(key).is_some()) {
            own.problem(key, format!("stands beside `workspace`, too: say `{key}` once"));
        }
        said.git = own.text("git").map(PathBuf::from);
        if said.git.as_ref().is_some_and(|git| git.as_os_str().is_empty()) {
            own.problem("git", "is empty: name a directory of a git repository");
        }
        said.base = own.text("base").map(str::to_owned);
        if said.base.as_ref().is_some_and(|base| base.is_empty() || base.starts_with('-')) {
            own.problem("base", "must be a branch, a tag or a commit");
        }
        said.branch = branch(&own).or(said.branch);
        said.merge = own.word("merge", &MERGES).or(said.merge);
        said.on_conflict = own.word("on_conflict", &RESOLVERS);
        said
    }

    /// As [`Said::read`], of a whole plan: its branch is one for each task.
    pub(super) fn of_plan(table: &Table<'_>) -> Self {
        let said = Self::read(table);
        let branch = said.branch.as_ref().filter(|branch| !branch.is_empty());
        if branch.is_some_and(|branch| !branch.contains(TASK_MARK)) {
            let key = if table.get("branch").is_some() { "branch" } else { "workspace" };
            table.problem(key, "must hold `{task}`, so that each task has a branch of its own");
        }
        said
    }

    /// What holds for the task `id`, of what it says itself and of what the plan says.
    pub(super) fn of_task(self, id: &PlanTaskId, owner: Owner, plan: &Self) -> OfTask {
        let named = |branch: &str| branch.replace(TASK_MARK, id.as_str());
        let by_agent = owner == Owner::Agent;
        let of_plan = plan.branch.as_deref().filter(|_| by_agent);
        let branch = self.branch.as_deref().or(of_plan).map(named);
        // An empty name is one: that of no workspace.
        let wanted = by_agent && branch.as_ref().is_none_or(|branch| !branch.is_empty());
        let git = self.git.or_else(|| plan.git.clone()).filter(|_| wanted);
        let branch = branch.filter(|branch| !branch.is_empty());
        OfTask {
            branch: branch.or_else(|| git.is_some().then(|| named(BRANCH))),
            base: self.base.or_else(|| plan.base.clone()).filter(|_| git.is_some()),
            merge: self.merge.or(plan.merge).unwrap_or_default(),
            on_conflict: self.on_conflict.or(plan.on_conflict).unwrap_or_default(),
            git,
        }
    }
}

fn branch(table: &Table<'_>) -> Option<String> {
    let branch = table.text("branch")?;
    if let Err(error) = check_template(branch)
        && !branch.is_empty()
    {
        table.problem("branch", error.to_string());
    }
    Some(branch.to_owned())
}
