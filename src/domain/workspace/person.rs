//! The task of a person who resolves what could not be merged.

use serde_json::json;

use super::{Conflict, WorkspaceRecord};
use crate::domain::{
    TaskId,
    admission::Needs,
    graph::Node,
    plan::run::people,
    task::{NewTask, Terms},
};

/// The kind of tasks that stand for a merge.
pub const MERGE_KIND: &str = "merge";

/// What those of them count for that belong to no plan: agents that are not ours take nothing that needs
/// something.
const KEY: &str = "people:merges";

/// The task `id` of a person, who resolves `conflict` in the worktree of `record`. Nothing, where there is no
/// queue for it.
pub fn for_person(record: &WorkspaceRecord, conflict: &Conflict, id: TaskId) -> Option<NewTask> {
    Some(NewTask {
        id,
        kind: MERGE_KIND.to_owned(),
        input: told(record, conflict),
        priority: 0,
        run_at: None,
        max_attempts: 1,
        queue: people()?,
        timeout: None,
        idempotency_key: None,
        terms: Terms {
            needs: Needs::new(Vec::new(), Vec::new(), KEY.parse().into_iter().collect()),
            graph: Node::default(),
            ..Terms::default()
        },
    })
}

/// What whoever resolves a conflict is told of it.
pub fn told(record: &WorkspaceRecord, conflict: &Conflict) -> serde_json::Value {
    json!({
        "conflict": {
            "task": record.task,
            "attempt": record.attempt,
            "git": record.git,
            "path": record.place.path,
            "branch": record.place.branch,
            "into": record.into,
            "files": conflict.files,
            "ours": conflict.ours,
            "theirs": conflict.theirs,
            "problem": record.problem,
        },
    })
}
