//! What can go wrong with a workspace.

use std::{io, path::PathBuf};

use crate::{
    domain::workspace::BranchError,
    settings::{OutOfBounds, format_size},
};

/// Why something could not be done with a workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// Git did not do it.
    #[error("`git {command}` in {} failed: {said}", dir.display())]
    Git {
        /// What was asked, without the program.
        command: String,
        /// Where.
        dir: PathBuf,
        /// The end of what it wrote to stderr, or why it did not end.
        said: String,
    },
    /// Git could not be started.
    #[error("git could not be started in {}: install git, and look whether the directory is there", dir.display())]
    NoGit {
        /// Where.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The repository is not where one may be.
    #[error("the repository {} can't be worked in (host.roots)", git.display())]
    OutOfBounds {
        /// The repository.
        git: PathBuf,
        /// Why.
        #[source]
        source: OutOfBounds,
    },
    /// There is no name left for the branch.
    #[error(
        "no branch could be made in {}: `{branch}`, and the names after it, hold work that is not in `{base}`; \
         merge or delete them, or name branches otherwise",
        git.display()
    )]
    Taken {
        /// The repository.
        git: PathBuf,
        /// The first name.
        branch: String,
        /// The base.
        base: String,
    },
    /// The template of the branch gives no name.
    #[error(transparent)]
    Branch(#[from] BranchError),
    /// The worktrees take as much as they may.
    #[error(
        "workspaces take {} of {}: merge what they hold and run `hostler workspace prune`, or raise \
         workspaces.max_disk",
        format_size(*used),
        format_size(*bound)
    )]
    Full {
        /// What they take, in bytes.
        used: u64,
        /// What they may take.
        bound: u64,
    },
    /// Another process holds the repository.
    #[error("the repository {} was locked by another host for too long", git.display())]
    Busy {
        /// The repository.
        git: PathBuf,
    },
    /// The branch that is merged into is checked out: what is there would seem to undo the merge.
    #[error(
        "nothing can be merged into `{branch}` of {}, which is checked out in {}: check out another branch \
         there",
        git.display(),
        at.display()
    )]
    CheckedOut {
        /// The repository.
        git: PathBuf,
        /// The branch.
        branch: String,
        /// Where it is checked out.
        at: PathBuf,
    },
    /// What is merged into is no branch.
    #[error(
        "`{branch}` of {} is no branch: name the one that is merged into by `into`",
        git.display()
    )]
    NoBranch {
        /// The repository.
        git: PathBuf,
        /// What was taken for one.
        branch: String,
    },
    /// A file could not be read or written.
    #[error("{} can't be used", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Agents of another user could not write there.
    #[error(
        "a workspace belongs to the user of the host, and this fleet runs its agents as another one"
    )]
    OtherUser,
}

impl WorkspaceError {
    /// Whether there may be room later: then the task is put off, and does not fail.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. } | Self::CheckedOut { .. })
    }
}
