//! `hostler workspace`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, ago},
};
use crate::{
    domain::{
        TaskId,
        workspace::{WorkspaceList, WorkspaceListing, WorkspacePruning},
    },
    http::api::Resolved,
    settings::format_size,
};

/// The git worktrees that attempts work in, on the host that answers
#[derive(Debug, Subcommand)]
pub(super) enum Workspace {
    /// List them, with what they take on the disk and why each stays
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hostler workspace list\n  \
        hostler workspace list --json | jq '.items[] | select(.outside_count > 0)'"
    )]
    List,
    Prune(Prune),
    Resolved(Resolve),
}

/// Say that you have resolved a conflict in its worktree: what is there is committed and merged
#[derive(Debug, Args)]
#[command(
    after_help = "Conflicts for people are tasks of the queue plan.people; each says where its worktree is. \
    Nothing happens while marks are left (`<<<<<<<`). Ask the host that has the worktree.\n\nExamples:\n  \
    hostler task list --queue plan.people\n  hostler workspace resolved tsk_0198c1d2…"
)]
pub(super) struct Resolve {
    /// The task for a person, or the one whose work it is
    task: TaskId,
}

/// Remove those that nothing speaks for: whose work is committed and in the base, with nobody inside
#[derive(Debug, Args)]
#[command(
    after_help = "Never removes one with an attempt under way, a live process inside, a lock \
    (`git worktree lock`), anything uncommitted, or commits that are not in the base.\n\nExamples:\n  \
    hostler workspace prune --dry-run\n  hostler workspace prune"
)]
pub(super) struct Prune {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Workspace {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List => {
                let list: WorkspaceList = client.get("/api/v1/workspaces").await?;
                output.show(&list, |list| listed(list, Timestamp::now()))?;
            }
            Self::Resolved(Resolve { task }) => {
                let path = format!("/api/v1/workspaces/{task}/resolved");
                let resolved: Resolved = client.post(&path, &json!({})).await?.json()?;
                output.show(&resolved, |it| format!("merged by {}\n", it.commit))?;
            }
            Self::Prune(Prune { dry_run }) => {
                let body = json!({ "dry_run": dry_run });
                let answer = client.post("/api/v1/workspaces/prune", &body).await?;
                let pruning: WorkspacePruning = answer.json()?;
                output.show(&pruning, |pruning| pruned(pruning, Timestamp::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn listed(list: &WorkspaceList, now: Timestamp) -> String {
    let bound = list.max_bytes.map_or_else(String::new, |max| format!(" of {}", rounded(max)));
    let used = rounded(list.bytes);
    format!("{}{used}{bound} in use\n", table(&list.items, now))
}

fn pruned(pruning: &WorkspacePruning, now: Timestamp) -> String {
    let count = pruning.removed.len();
    let would = if pruning.dry_run { "would be removed" } else { "removed" };
    let freed = rounded(pruning.freed);
    let mut text = format!("{count} {would}, {freed} freed; {} kept\n", pruning.kept.len());
    if !pruning.kept.is_empty() {
        text += &table(&pruning.kept, now);
    }
    text
}

fn table(items: &[WorkspaceListing], now: Timestamp) -> String {
    let heads = ["TASK", "ATTEMPT", "BRANCH", "DISK", "FILES", "OUTSIDE", "MADE", "STAYS BECAUSE"];
    let mut table = Table::new(&heads);
    for WorkspaceListing { workspace, stays } in items {
        let tone = match stays {
            _ if workspace.problem.is_some() || workspace.stuck.is_some() => Tone::Bad,
            _ if workspace.outside_count > 0 => Tone::Warn,
            None => Tone::Dim,
            Some(_) => Tone::Plain,
        };
        table.row(
            tone,
            [
                workspace.task.to_string(),
                workspace.attempt.to_string(),
                workspace.place.branch.clone(),
                rounded(workspace.bytes),
                workspace.changed.to_string(),
                workspace.outside_count.to_string(),
                ago(workspace.created_at, now),
                stays.as_ref().map_or_else(|| "nothing: it may go".to_owned(), ToString::to_string),
            ],
        );
    }
    table.render("there are no workspaces")
}

/// A size as people read it: in whole units of the largest that it has ten of.
fn rounded(bytes: u64) -> String {
    let unit = [1 << 30, 1 << 20, 1 << 10].into_iter().find(|unit| bytes >= 10 * unit);
    format_size(unit.map_or(bytes, |unit| bytes / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let rows = [(0, "0B"), (4096, "4KiB"), (20_000, "19KiB"), (25 << 20, "25MiB")];
        for (bytes, text) in rows {
            assert_eq!(rounded(bytes), text);
        }
    }
}
