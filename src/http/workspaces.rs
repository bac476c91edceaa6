//! Workspaces: the worktrees of this host, and what a task says of its own.

use std::path::PathBuf;

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};

use super::{
    Answer, State,
    api::Resolved,
    body,
    error::{ApiError, Kind},
    fields::Fields,
    ok, query,
};
use crate::{
    domain::{
        TaskId,
        plan::Merge,
        workspace::{BASE, BRANCH, MAX_BRANCH, Resolver, WorkspaceSpec, check_ref, check_template},
    },
    workspace::ResolveError,
};

/// The longest path of a repository, in characters.
pub(super) const MAX_PATH: usize = 4096;

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&state.workspaces.list().await))
}

pub(super) async fn prune(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let take = |fields: &mut Fields<'_>| fields.flag("dry_run");
    let dry_run = body::fields(&state, &request, payload, take).await?;
    Ok(ok(&state.workspaces.prune(dry_run).await))
}

pub(super) async fn resolved(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let task = body::bare(&state, &request, payload, "task").await?;
    Ok(ok(&resolve(&state, task).await?))
}

/// A person has resolved a conflict: what is in its worktree is merged, and the task that stands for that
/// ends.
///
/// # Errors
///
/// Nothing was merged, or nobody has been told yet: it can be said again.
pub(super) async fn resolve(state: &State, task: TaskId) -> Result<Resolved, ApiError> {
    let (task, commit) = state.workspaces.resolve(task).await.map_err(|error| match &error {
        ResolveError::NotHere { .. } => ApiError::new(Kind::NotFound, error.to_string()),
        _ => ApiError::new(Kind::WrongState, error.to_string()),
    })?;
    state.queue.merged(task, &commit, true).await?;
    state.workspaces.resolved(task).await.map_err(|error| ApiError::internal(&error))?;
    Ok(Resolved { task, commit })
}

/// Takes `git` and `base` of a run.
pub(super) fn repository(run: &mut Fields<'_>) -> Option<(PathBuf, String)> {
    let git = run.text("git", MAX_PATH).map(PathBuf::from);
    let base = run.text("base", MAX_BRANCH);
    match &git {
        None if base.is_some() => run.wrong("base", "means something only beside `git`"),
        Some(git) if !git.is_absolute() => {
            run.wrong("git", "must be the absolute path of a directory of a git repository");
        }
        _ => {}
    }
    if base.as_ref().is_some_and(|base| base.starts_with('-')) {
        run.wrong("base", "must be a branch, a tag or a commit");
    }
    git.map(|git| (git, base.unwrap_or_else(|| BASE.to_owned())))
}

/// Takes `workspace` of a task. What it leaves out is as the defaults of the config have it.
pub(super) fn read(task: &mut Fields<'_>) -> Option<WorkspaceSpec> {
    let mut fields = task.object("workspace")?;
    let git = fields.text("git", MAX_PATH).map(PathBuf::from);
    let base = fields.text("base", MAX_BRANCH).unwrap_or_else(|| BASE.to_owned());
    let branch = fields.text("branch", MAX_BRANCH).unwrap_or_else(|| BRANCH.to_owned());
    match &git {
        Some(git) if git.is_absolute() => {}
        _ => fields.wrong("git", "must be the absolute path of a directory of a git repository"),
    }
    if base.starts_with('-') {
        fields.wrong("base", "must be a branch, a tag or a commit");
    }
    if let Err(error) = check_template(&branch) {
        fields.wrong("branch", error.to_string());
    }
    let merges = [("leave", Merge::Leave), ("merge", Merge::Merge), ("rebase", Merge::Rebase)];
    let merge = fields.word("merge", &merges).unwrap_or(Merge::Leave);
    let into = fields.text("into", MAX_BRANCH);
    if let Some(Err(error)) = into.as_deref().map(check_ref) {
        fields.wrong("into", error.to_string());
    }
    let on_conflict = fields.parsed::<Resolver>("on_conflict").unwrap_or_default();
    fields.finish();
    Some(WorkspaceSpec::new(git?, base, branch).merged(merge, into, on_conflict))
}
