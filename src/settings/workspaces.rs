//! `[workspaces]`, and `[fleets.NAME.workspace]`.

use std::time::Duration;

use super::{Workspaces, reader::Section};
use crate::domain::{
    plan::Merge,
    workspace::{Resolver, WorkspaceSpec, check_ref, check_template},
};

/// The words for what becomes of a branch.
const MERGES: [(&str, Merge); 3] =
    [("leave", Merge::Leave), ("merge", Merge::Merge), ("rebase", Merge::Rebase)];

/// The words for who resolves conflicts.
const RESOLVERS: [(&str, Resolver); 2] = [("agent", Resolver::Agent), ("person", Resolver::Person)];

/// Reads the section `[workspaces]`.
pub(super) fn read(section: &Section<'_>) -> Option<Workspaces> {
    let max_disk = section.size_or_off("max_disk", 1 << 20..=1 << 50);
    let second = Duration::from_secs(1);
    let git_timeout = section.duration("git_timeout", second..=second * 3600);
    Some(Workspaces { max_disk: max_disk?, git_timeout: git_timeout? })
}

/// Reads the workspace of a fleet; nothing where it names no repository.
pub(super) fn of_fleet(section: &Section<'_>) -> Option<Option<WorkspaceSpec>> {
    let section = section.section("workspace")?;
    let (git, base) = (section.path_or_none("git"), section.text("base"));
    let (branch, into) = (section.text("branch"), section.text("into"));
    let merge = section.word("merge", &MERGES);
    let on_conflict = section.word("on_conflict", &RESOLVERS);
    let (git, base, branch, into) = (git?, base?, branch?, into?);
    let (merge, on_conflict) = (merge?, on_conflict?);
    let Some(git) = git else { return Some(None) };
    let mut sound = true;
    let mut wrong = |key, message: String| {
        section.problem(key, message);
        sound = false;
    };
    if !git.is_dir() {
        let dir = git.display();
        wrong("git", format!("{dir} is not a directory: name a directory of a git repository"));
    }
    if base.is_empty() || base.starts_with('-') {
        wrong("base", "is no branch, tag or commit: name what the branch begins at".to_owned());
    }
    if let Err(error) = check_template(&branch) {
        wrong("branch", error.to_string());
    }
    let into = Some(into).filter(|into| !into.is_empty());
    if let Some(Err(error)) = into.as_deref().map(check_ref) {
        wrong("into", error.to_string());
    }
    let spec = WorkspaceSpec::new(git, base, branch).merged(merge, into, on_conflict);
    sound.then_some(Some(spec))
}
