//! What a workspace is made of, and what becomes of what was made in it.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Conflict;
use crate::domain::{TaskId, fleet::Fleet, glob::Glob, plan::Merge, task::Assignment};

/// Who resolves what could not be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolver {
    /// An agent, which gets the conflict as its input.
    #[default]
    Agent,
    /// A person, in the worktree where it was made.
    Person,
}

impl Resolver {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Agent, Self::Person];

    /// Whether an agent does it.
    pub const fn is_agent(&self) -> bool {
        matches!(self, Self::Agent)
    }

    /// The word of files and of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names nobody who resolves conflicts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `agent` or `person`, not `{0}`")]
pub struct UnknownResolver(String);

impl FromStr for Resolver {
    type Err = UnknownResolver;

    fn from_str(text: &str) -> Result<Self, UnknownResolver> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| UnknownResolver(text.chars().take(64).collect()))
    }
}

/// What a workspace is made of: said by a fleet, by a task or by a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkspaceSpec {
    /// A directory of the repository.
    #[schema(value_type = String)]
    pub git: PathBuf,
    /// What the branch begins at, as git names it.
    pub base: String,
    /// The name of the branch, with `{task}` and the like.
    pub branch: String,
    /// The branch that it is merged into, and that it begins at once that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// How it is merged into that.
    #[serde(default = "leave", skip_serializing_if = "Merge::is_leave")]
    pub merge: Merge,
    /// Who resolves what can't be merged.
    #[serde(default, skip_serializing_if = "Resolver::is_agent")]
    pub on_conflict: Resolver,
    /// The task that stands for the merge, which is done when its turn has come; at once where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TaskId>,
    /// What its attempts are to resolve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// The files that it is to write, where its task does not lock them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Glob>,
}

const fn leave() -> Merge {
    Merge::Leave
}

impl WorkspaceSpec {
    /// One that is merged nowhere.
    pub const fn new(git: PathBuf, base: String, branch: String) -> Self {
        Self {
            git,
            base,
            branch,
            into: None,
            merge: Merge::Leave,
            on_conflict: Resolver::Agent,
            turn: None,
            conflict: None,
            writes: Vec::new(),
        }
    }

    /// The same, merged into a branch: into its base, where nobody names another. What is left begins at
    /// the base, too.
    #[must_use]
    pub fn merged(self, merge: Merge, into: Option<String>, on_conflict: Resolver) -> Self {
        let into = into.or_else(|| (!merge.is_leave()).then(|| self.base.clone()));
        Self { into: into.filter(|_| !merge.is_leave()), merge, on_conflict, ..self }
    }

    /// What an attempt works in, if it has a workspace: as its task says, else as the fleet does.
    pub fn of<'a>(fleet: &'a Fleet, assignment: &'a Assignment) -> Option<&'a Self> {
        assignment.terms.workspace.as_ref().or(fleet.workspace.as_ref())
    }
}
