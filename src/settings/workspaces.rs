//! `[workspaces]`, and `[fleets.NAME.workspace]`.

use std::time::Duration;

use super::{Workspaces, reader::Section};
use crate::domain::workspace::{WorkspaceSpec, check_template};

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
    let branch = section.text("branch");
    let (git, base, branch) = (git?, base?, branch?);
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
    sound.then_some(Some(WorkspaceSpec::new(git, base, branch)))
}
