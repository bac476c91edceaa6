//! Merges: without a worktree where they are clean, and with the marks of the conflict where they are not.
//!
//! A branch that somebody has checked out is not moved: it is theirs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{WorkspaceError, git::Git};
use crate::domain::{
    plan::Merge,
    workspace::{Conflict, WorkspaceRecord},
};

/// Who makes the commits of merges.
const WHO: [&str; 4] = ["-c", "user.name=Hostler", "-c", "user.email=hostler@localhost"];

/// How a line begins that marks a conflict.
const MARK: &[u8] = b"<<<<<<< ";

/// What came of a merge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// The branch is at this commit, and has it.
    At(String),
    /// Both changed the same.
    Conflict(Conflict),
}

/// Merges the commit `ours` of an attempt into the branch `into`, which is made if it is not there. The
/// repository must be held.
pub(super) async fn merge(
    git: &Git,
    record: &WorkspaceRecord,
    into: &str,
    ours: &str,
) -> Result<Merged, WorkspaceError> {
    let (repository, full) = (&*record.git, format!("refs/heads/{into}"));
    let found = git.ask(repository, &["rev-parse", "--verify", "--quiet", &full]).await?;
    if !found.yes {
        // An old value of zeros: it must not be there still.
        git.run(repository, &["update-ref", &full, ours, &"0".repeat(ours.len())]).await?;
        return Ok(Merged::At(ours.to_owned()));
    }
    let theirs = found.line();
    check_free(git, repository, into).await?;
    if is_in(git, repository, ours, &theirs).await? {
        return Ok(Merged::At(theirs));
    }
    let joined = if is_in(git, repository, &theirs, ours).await? {
        Ok(ours.to_owned())
    } else if record.merge == Merge::Rebase {
        rebase(git, &record.place.path, &theirs).await?
    } else {
        join(git, record, ours, &theirs).await?
    };
    match joined {
        Ok(new) => {
            git.run(repository, &["update-ref", &full, &new, &theirs]).await?;
            Ok(Merged::At(new))
        }
        Err(files) => Ok(Merged::Conflict(Conflict { files, ours: ours.to_owned(), theirs })),
    }
}

async fn is_in(
    git: &Git,
    repository: &Path,
    one: &str,
    other: &str,
) -> Result<bool, WorkspaceError> {
    Ok(git.ask(repository, &["merge-base", "--is-ancestor", one, other]).await?.yes)
}

/// Refuses a branch that is checked out somewhere: what is there would seem to undo the merge.
pub(super) async fn check_free(
    git: &Git,
    repository: &Path,
    branch: &str,
) -> Result<(), WorkspaceError> {
    let list = git.run(repository, &["worktree", "list", "--porcelain", "-z"]).await?;
    let (wanted, mut at) = (format!("branch refs/heads/{branch}"), PathBuf::new());
    for item in list.items() {
        if let Some(path) = item.strip_prefix("worktree ") {
            at = PathBuf::from(path);
        } else if item == wanted {
            let (git, branch) = (repository.to_owned(), branch.to_owned());
            return Err(WorkspaceError::CheckedOut { git, branch, at });
        }
    }
    Ok(())
}

/// A commit that has both; or the files that both changed.
async fn join(
    git: &Git,
    record: &WorkspaceRecord,
    ours: &str,
    theirs: &str,
) -> Result<Result<String, Vec<String>>, WorkspaceError> {
    let repository = &*record.git;
    let args = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", theirs, ours];
    let made = git.ask(repository, &args).await?;
    let mut items = made.items().into_iter();
    let tree = items.next().unwrap_or_default();
    if !made.yes {
        return Ok(Err(items.collect()));
    }
    let tree = tree.trim();
    let text = format!("Merge {}\n\nHostler-Task: {}", record.place.branch, record.task);
    let commit = ["commit-tree", tree, "-p", theirs, "-p", ours, "-m", &text];
    Ok(Ok(git.run(repository, &[&WHO[..], &commit].concat()).await?.line()))
}

/// The commits of the worktree at `path` on top of `theirs`; or the files that both changed.
async fn rebase(
    git: &Git,
    path: &Path,
    theirs: &str,
) -> Result<Result<String, Vec<String>>, WorkspaceError> {
    let done = git.ask(path, &[&WHO[..], &["rebase", "--quiet", theirs]].concat()).await?;
    if done.yes {
        return Ok(Ok(git.run(path, &["rev-parse", "--verify", "HEAD"]).await?.line()));
    }
    let files = unmerged(git, path).await?;
    git.run(path, &["rebase", "--abort"]).await?;
    Ok(Err(files))
}

async fn unmerged(git: &Git, path: &Path) -> Result<Vec<String>, WorkspaceError> {
    let args = ["diff", "--name-only", "-z", "--diff-filter=U"];
    Ok(git.run(path, &args).await?.items())
}

/// Begins the merge of `theirs` in the worktree at `path`, which is at the commit of the task, and leaves it
/// to be resolved. What is under way there already goes on.
pub(super) async fn begin(
    git: &Git,
    path: &Path,
    conflict: &Conflict,
    theirs: &str,
) -> Result<Conflict, WorkspaceError> {
    if !git.ask(path, &["rev-parse", "--verify", "--quiet", "MERGE_HEAD"]).await?.yes {
        let merge = ["merge", "--no-commit", "--no-ff", "--quiet", theirs];
        git.ask(path, &[&WHO[..], &merge].concat()).await?;
    }
    let files = unmerged(git, path).await?;
    Ok(Conflict { files, ours: conflict.ours.clone(), theirs: theirs.to_owned() })
}

/// The files of a conflict that have its marks still. Blocks.
pub(super) fn unresolved(path: &Path, conflict: &Conflict) -> Vec<String> {
    let is_marked = |file: &&String| {
        let text = fs::read(path.join(file)).unwrap_or_default();
        text.split(|byte| *byte == b'\n').any(|line| line.starts_with(MARK))
    };
    conflict.files.iter().filter(is_marked).cloned().collect()
}
