//! What a workspace is: a git worktree that one attempt has for itself, and the branch that it works on.
//!
//! Decisions only: what a branch is called, which changed files nobody announced, and which worktrees may
//! go. `crate::workspace` carries them out; `docs/WORKSPACES.md` is this for people.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AgentName, Attempt, QueueName, TaskId, glob::Glob, plan::Merge, task::Assignment};

mod person;
mod spec;

pub use person::{MERGE_KIND, for_person, told};
pub use spec::{Resolver, UnknownResolver, WorkspaceSpec};

/// The longest name of a branch, in bytes: with what git adds it is still the name of a file.
pub const MAX_BRANCH: usize = 200;

/// How many names of files a record holds of each kind.
pub const MAX_FILES: usize = 200;

/// The base where nobody says.
pub const BASE: &str = "main";

/// The branch where nobody says.
pub const BRANCH: &str = "hostler/{task}";

/// The workspace as an agent is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Place {
    /// The directory of the worktree.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Its branch.
    pub branch: String,
    /// What the branch began at.
    pub base: String,
    /// The commit that this was.
    pub base_commit: String,
    /// What the attempt is to resolve: the merge is under way, and these files have its marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
}

/// Two commits that could not be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Conflict {
    /// The files that both changed.
    pub files: Vec<String>,
    /// The commit of the task.
    pub ours: String,
    /// What it was to be merged with.
    pub theirs: String,
}

/// What is known of the workspace of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkspaceRecord {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The agent.
    pub agent: AgentName,
    /// The repository.
    #[schema(value_type = String)]
    pub git: PathBuf,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The newest commit of the branch, once the attempt has ended.
    pub commit: Option<String>,
    /// Whether that is a commit that the host made of what the agent left.
    pub left_over: bool,
    /// The files that differ from the base: the first 200.
    pub files: Vec<String>,
    /// How many there are.
    pub changed: usize,
    /// Those that no glob of the task's `paths` for writing covers: the first 200.
    pub outside: Vec<String>,
    /// How many there are; 0 where the task has no such globs.
    pub outside_count: usize,
    /// The branch that it is merged into, if it is.
    #[serde(default)]
    pub into: Option<String>,
    /// How it is merged into that.
    #[serde(default)]
    pub merge: Merge,
    /// Who resolves what can't be merged.
    #[serde(default)]
    pub on_conflict: Resolver,
    /// The task that stands for the merge, if one does.
    #[serde(default)]
    pub turn: Option<TaskId>,
    /// Whether it is done and waits for its turn to be merged.
    #[serde(default)]
    pub waiting: bool,
    /// Why its turn came to nothing so far: it is tried again.
    #[serde(default)]
    pub stuck: Option<String>,
    /// The files that it was to write, where its task does not lock them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Glob>,
    /// The commit by which `into` has it.
    #[serde(default)]
    pub merged: Option<String>,
    /// Why it has not: who resolves it gets this.
    #[serde(default)]
    pub unresolved: Option<Conflict>,
    /// What went wrong at the end.
    pub problem: Option<String>,
    /// What it takes on the disk, in bytes, when that was looked at last.
    pub bytes: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the attempt ended.
    pub ended_at: Option<Timestamp>,
    /// When the worktree was removed.
    pub removed_at: Option<Timestamp>,
}

impl WorkspaceRecord {
    /// Whether the attempt is under way.
    pub const fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }
}

/// What the name of a branch can be made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// `{task}`
    pub task: TaskId,
    /// `{attempt}`
    pub attempt: Attempt,
    /// `{kind}`
    pub kind: &'a str,
    /// `{queue}`
    pub queue: &'a QueueName,
    /// `{agent}`
    pub agent: &'a AgentName,
}

impl<'a> Facts<'a> {
    /// Of an attempt.
    pub fn of(assignment: &'a Assignment) -> Self {
        let Assignment { task, attempt, kind, queue, agent, .. } = assignment;
        Self { task: *task, attempt: *attempt, kind, queue, agent }
    }

    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "task" => self.task.to_string(),
            "attempt" => self.attempt.to_string(),
            "kind" => self.kind.to_owned(),
            "queue" => self.queue.to_string(),
            "agent" => self.agent.to_string(),
            _ => return None,
        })
    }
}

/// The name of a branch that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BranchError {
    /// A name in braces that means nothing.
    #[error(
        "`{{{name}}}` in `{template}` means nothing: use {{task}}, {{attempt}}, {{kind}}, {{queue}} or {{agent}}"
    )]
    Unknown {
        /// The whole.
        template: String,
        /// What stands in the braces.
        name: String,
    },
    /// Git has no such names.
    #[error("`{name}` is no name of a branch: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The name that `template` gives the branch of an attempt. What a task says of itself becomes a part of it
/// that git takes.
///
/// # Errors
///
/// [`BranchError`]
pub fn branch_name(template: &str, facts: &Facts<'_>) -> Result<String, BranchError> {
    let name = filled(template, |name| facts.get(name).map(|text| plain(&text)))?;
    check_ref(&name)?;
    Ok(name)
}

/// Whether `template` could be the name of a branch, whatever the task.
///
/// # Errors
///
/// [`BranchError`]
pub fn check_template(template: &str) -> Result<(), BranchError> {
    let known = ["task", "attempt", "kind", "queue", "agent"];
    let name = filled(template, |name| known.contains(&name).then(|| "x".to_owned()))?;
    check_ref(&name)
}

fn filled(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, BranchError> {
    let (mut made, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        made += before;
        let unknown = |name: &str| BranchError::Unknown {
            template: template.to_owned(),
            name: name.to_owned(),
        };
        let (name, behind) = after.split_once('}').ok_or_else(|| unknown(after))?;
        made += &value(name).ok_or_else(|| unknown(name))?;
        rest = behind;
    }
    Ok(made + rest)
}

/// A text as one part of the name of a branch.
fn plain(text: &str) -> String {
    let sound = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '-' };
    let text: String = text.chars().take(80).map(sound).collect();
    match text.trim_matches('-') {
        "" => "x".to_owned(),
        text => text.to_owned(),
    }
}

/// Whether git takes `name` for a branch, by the rules of `git check-ref-format --branch`.
///
/// # Errors
///
/// [`BranchError::Name`]
pub fn check_ref(name: &str) -> Result<(), BranchError> {
    let part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let wrong = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_BRANCH {
        "it is longer than 200 bytes"
    } else if name.starts_with('-') || name == "@" || name == "HEAD" {
        "git reads it as something else"
    } else if name.contains("..") || name.contains("@{") || name.ends_with('.') {
        "it has `..` or `@{`, or ends in a dot"
    } else if name.chars().any(wrong) {
        "it has a blank or one of ~ ^ : ? * [ \\"
    } else if name.split('/').any(part) {
        "a part of it is empty, begins with a dot or ends in .lock"
    } else {
        return Ok(());
    };
    Err(BranchError::Name { name: name.to_owned(), why })
}

/// The `nth` name to try for a branch that is to be called `name`: the first that is free is taken.
pub fn nth_name(name: &str, nth: usize) -> String {
    if nth <= 1 { name.to_owned() } else { format!("{name}.{nth}") }
}

/// The changed files that no glob covers; none where there are no globs, for then nobody said which files
/// there would be.
pub fn outside<'a>(changed: &'a [String], globs: &[Glob]) -> Vec<&'a String> {
    if globs.is_empty() {
        return Vec::new();
    }
    changed.iter().filter(|file| !globs.iter().any(|glob| glob.matches(file))).collect()
}

/// What there is to see of a worktree, before it is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Its attempt is under way.
    pub at_work: bool,
    /// Somebody has locked it, by `git worktree lock`.
    pub locked: bool,
    /// The processes that are inside.
    pub processes: Vec<u32>,
    /// Something in it is not committed.
    pub uncommitted: bool,
    /// Some of its commits are not in the base.
    pub unmerged: bool,
    /// Why not all of this is known.
    pub unknown: Option<String>,
}

/// Why a worktree stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kept", content = "detail", rename_all = "snake_case")]
pub enum Kept {
    /// Its attempt is under way.
    AtWork,
    /// Somebody has locked it.
    Locked,
    /// These processes are inside.
    Processes(Vec<u32>),
    /// Something in it is not committed.
    Uncommitted,
    /// Some of its commits are not in the base.
    Unmerged,
    /// It could not be looked at.
    Unknown(String),
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtWork => f.write_str("its attempt is under way"),
            Self::Locked => f.write_str("it is locked: `git worktree unlock` it first"),
            Self::Processes(pids) => {
                let pids: Vec<_> = pids.iter().take(5).map(u32::to_string).collect();
                write!(f, "processes work in it: {}", pids.join(", "))
            }
            Self::Uncommitted => f.write_str("something in it is not committed"),
            Self::Unmerged => f.write_str("some of its commits are not in the base"),
            Self::Unknown(why) => write!(f, "it could not be looked at: {why}"),
        }
    }
}

/// Why a worktree must stay; nothing if it may go. What is not known keeps it.
pub fn kept(sight: &Sight) -> Option<Kept> {
    Some(if sight.at_work {
        Kept::AtWork
    } else if sight.locked {
        Kept::Locked
    } else if !sight.processes.is_empty() {
        Kept::Processes(sight.processes.clone())
    } else if let Some(why) = &sight.unknown {
        Kept::Unknown(why.clone())
    } else if sight.uncommitted {
        Kept::Uncommitted
    } else if sight.unmerged {
        Kept::Unmerged
    } else {
        return None;
    })
}

/// A worktree as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkspaceListing {
    /// What is known of it.
    #[serde(flatten)]
    pub workspace: WorkspaceRecord,
    /// Why it can't be removed; nothing if it can.
    pub stays: Option<Kept>,
}

/// All worktrees of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkspaceList {
    /// The oldest first.
    pub items: Vec<WorkspaceListing>,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// What they may take; no bound where it is `null`.
    pub max_bytes: Option<u64>,
}

/// What a clean-up did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkspacePruning {
    /// What was removed, or would be.
    pub removed: Vec<WorkspaceRecord>,
    /// What stays, and why.
    pub kept: Vec<WorkspaceListing>,
    /// What was freed on the disk, or would be, in bytes.
    pub freed: u64,
    /// Whether nothing was removed in fact.
    pub dry_run: bool,
}

#[cfg(test)]
mod tests;
