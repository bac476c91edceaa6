//! What is done with one repository.

use std::path::{Path, PathBuf};

use super::{WorkspaceError, git::Git, merge};
use crate::domain::workspace::{Conflict, Place, Sight, WorkspaceRecord, nth_name};

/// How many names are tried for a branch.
const NAMES: usize = 50;

/// Why git is told not to remove a worktree.
const AT_WORK: &str = "an agent of Hostler works here";

/// The directory that all worktrees of a repository share.
pub(super) async fn common_dir(git: &Git, repository: &Path) -> Result<PathBuf, WorkspaceError> {
    let args = ["rev-parse", "--path-format=absolute", "--git-common-dir"];
    Ok(PathBuf::from(git.run(repository, &args).await?.line()))
}

/// Makes a worktree at `path` on a new branch, which begins at `base`, or, to resolve a conflict, at the commit
/// of the task, with the merge under way. The repository must be held.
pub(super) async fn add(
    git: &Git,
    repository: &Path,
    (base, branch): (&str, &str),
    conflict: Option<&Conflict>,
    path: &Path,
) -> Result<Place, WorkspaceError> {
    let wanted = format!("{base}^{{commit}}");
    let verify = ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted];
    let found = git.ask(repository, &verify).await?;
    if !found.yes {
        return Err(WorkspaceError::Git {
            command: format!("rev-parse {base}"),
            dir: repository.to_owned(),
            said: format!("there is no commit `{base}` to begin at: name another base"),
        });
    }
    let base_commit = found.line();
    let branch = free_name(git, repository, base, &base_commit, branch).await?;
    let place = path.to_string_lossy();
    let start = conflict.map_or(&*base_commit, |conflict| &*conflict.ours);
    let args = ["worktree", "add", "--lock", "--reason", AT_WORK, "-B", &branch, &place, start];
    git.run(repository, &args).await?;
    let conflict = match conflict {
        Some(conflict) => Some(merge::begin(git, path, conflict, &base_commit).await?),
        None => None,
    };
    Ok(Place { path: path.to_owned(), branch, base: base.to_owned(), base_commit, conflict })
}

/// The first name that is free: of no branch, or of one whose commits are all in the base and that is
/// checked out nowhere.
async fn free_name(
    git: &Git,
    repository: &Path,
    base: &str,
    base_commit: &str,
    name: &str,
) -> Result<String, WorkspaceError> {
    let list = git.run(repository, &["worktree", "list", "--porcelain", "-z"]).await?;
    let checked_out: Vec<String> = list
        .items()
        .iter()
        .filter_map(|item| item.strip_prefix("branch refs/heads/").map(str::to_owned))
        .collect();
    for nth in 1..=NAMES {
        let name = nth_name(name, nth);
        let full = format!("refs/heads/{name}");
        let there = git.ask(repository, &["show-ref", "--verify", "--quiet", &full]).await?.yes;
        if !there {
            return Ok(name);
        }
        if name != base
            && !checked_out.contains(&name)
            && git.ask(repository, &["merge-base", "--is-ancestor", &full, base_commit]).await?.yes
        {
            return Ok(name);
        }
    }
    let (git, branch) = (repository.to_owned(), name.to_owned());
    Err(WorkspaceError::Taken { git, branch, base: base.to_owned() })
}

/// What an attempt left.
pub(super) struct Harvest {
    /// The newest commit.
    pub(super) commit: String,
    /// Whether that was made here.
    pub(super) left_over: bool,
    /// The files that differ from the base.
    pub(super) changed: Vec<String>,
    /// What is not as it should be.
    pub(super) problem: Option<String>,
}

/// Whether a branch is there.
pub(super) async fn has_branch(
    git: &Git,
    repository: &Path,
    branch: &str,
) -> Result<bool, WorkspaceError> {
    let full = format!("refs/heads/{branch}");
    Ok(git.ask(repository, &["show-ref", "--verify", "--quiet", &full]).await?.yes)
}

/// Commits what an attempt left, and says what differs from the base.
pub(super) async fn harvest(
    git: &Git,
    record: &WorkspaceRecord,
) -> Result<Harvest, WorkspaceError> {
    let Place { path, branch, base_commit, .. } = &record.place;
    let left_over = is_dirty(git, path).await?;
    if left_over {
        git.run(path, &["add", "--all"]).await?;
        // What is left may be nothing after all: line ends, or modes that the index ignores.
        if !git.ask(path, &["diff", "--cached", "--quiet"]).await?.yes {
            commit(git, record).await?;
        }
    }
    // A merge that was resolved as one of its sides leaves nothing to see, but is to be ended.
    if git.ask(path, &["rev-parse", "--verify", "--quiet", "MERGE_HEAD"]).await?.yes {
        commit(git, record).await?;
    }
    let head = git.run(path, &["rev-parse", "--verify", "HEAD"]).await?.line();
    let diff = ["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", base_commit, &head];
    let changed = git.run(path, &diff).await?.items();
    let full = format!("refs/heads/{branch}");
    let of_branch = git.ask(path, &["rev-parse", "--verify", "--quiet", &full]).await?.line();
    let problem = (of_branch != head).then(|| {
        format!(
            "the agent left the worktree at {head}, which is not the end of the branch `{branch}`: \
             look which commits are meant"
        )
    });
    Ok(Harvest { commit: head, left_over, changed, problem })
}

async fn commit(git: &Git, record: &WorkspaceRecord) -> Result<(), WorkspaceError> {
    let name = format!("user.name=Hostler agent {}", record.agent);
    let text = format!(
        "What {} left of its task\n\nHostler-Task: {}\nHostler-Attempt: {}",
        record.agent, record.task, record.attempt
    );
    let args =
        ["-c", &name, "-c", "user.email=hostler@localhost", "commit", "--quiet", "-m", &text];
    git.run(&record.place.path, &args).await?;
    Ok(())
}

async fn is_dirty(git: &Git, path: &Path) -> Result<bool, WorkspaceError> {
    let status = ["status", "--porcelain", "-z", "--untracked-files=normal"];
    Ok(!git.run(path, &status).await?.stdout.is_empty())
}

/// The attempt is over: git may remove the worktree again.
pub(super) async fn unlock(git: &Git, record: &WorkspaceRecord) -> Result<(), WorkspaceError> {
    let path = record.place.path.to_string_lossy();
    // Of one that was unlocked by hand it says no.
    git.ask(&record.git, &["worktree", "unlock", &path]).await.map(|_| ()).or_else(|error| {
        if matches!(error, WorkspaceError::Git { .. }) { Ok(()) } else { Err(error) }
    })
}

/// What there is to see of a worktree, as far as git knows.
pub(super) async fn look(git: &Git, record: &WorkspaceRecord) -> Sight {
    match try_look(git, record).await {
        Ok(sight) => sight,
        Err(error) => Sight { unknown: Some(error.to_string()), ..Sight::default() },
    }
}

async fn try_look(git: &Git, record: &WorkspaceRecord) -> Result<Sight, WorkspaceError> {
    let Place { path, base, .. } = &record.place;
    let args = ["rev-parse", "--path-format=absolute", "--git-dir"];
    let own = PathBuf::from(git.run(path, &args).await?.line());
    let mut wanted = vec![format!("{base}^{{commit}}")];
    if let Some(into) = &record.into
        && has_branch(git, path, into).await?
    {
        wanted.push(format!("refs/heads/{into}"));
    }
    // A branch that the agent left behind may hold what HEAD does not.
    let mut tips = vec!["HEAD".to_owned()];
    if has_branch(git, path, &record.place.branch).await? {
        tips.push(format!("refs/heads/{}", record.place.branch));
    }
    let mut is_in = true;
    for tip in &tips {
        let mut found = false;
        for wanted in &wanted {
            let args = ["merge-base", "--is-ancestor", tip, wanted];
            found = found || git.ask(path, &args).await?.yes;
        }
        is_in &= found;
    }
    Ok(Sight {
        locked: own.join("locked").exists(),
        uncommitted: is_dirty(git, path).await?,
        unmerged: !is_in,
        ..Sight::default()
    })
}

/// Removes a worktree; and its branch, if it holds no commit of its own. The repository must be held. Git
/// looks once more, and refuses what is dirty or locked.
pub(super) async fn remove(git: &Git, record: &WorkspaceRecord) -> Result<(), WorkspaceError> {
    let path = record.place.path.to_string_lossy();
    git.run(&record.git, &["worktree", "remove", &path]).await?;
    let full = format!("refs/heads/{}", record.place.branch);
    let tip = git.ask(&record.git, &["rev-parse", "--verify", "--quiet", &full]).await?;
    if tip.yes && tip.line() == record.place.base_commit {
        git.run(&record.git, &["update-ref", "-d", &full, &record.place.base_commit]).await?;
    }
    Ok(())
}
