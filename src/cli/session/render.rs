//! Sessions, for people.

use jiff::Timestamp;

use crate::{
    cli::output::{Table, Tone, ago, brief, card, local, or_dash},
    domain::{
        record::Page,
        session::{
            ArtifactRecord, MemoryRecord, SearchHit, SessionRecord, SessionState, SessionTaskRecord,
        },
    },
};

const fn tone(state: SessionState) -> Tone {
    match state {
        SessionState::Active => Tone::Good,
        SessionState::Paused => Tone::Warn,
        SessionState::Completed => Tone::Dim,
    }
}

/// The line that says how to go on, if there is more.
pub(in crate::cli) fn more<T>(page: &Page<T>) -> String {
    let cursor = page.next_cursor.as_deref();
    cursor.map(|cursor| format!("more: --cursor {cursor}\n")).unwrap_or_default()
}

/// Sessions as a table.
pub(super) fn list(page: &Page<SessionRecord>, now: Timestamp) -> String {
    let mut table = Table::new(&["SESSION", "STATUS", "TITLE", "MEMORIES", "TASKS", "LAST"]);
    for session in &page.items {
        let tasks = match session.stats.active_tasks {
            0 => session.stats.tasks.to_string(),
            active => format!("{} ({active} active)", session.stats.tasks),
        };
        let cells = [
            session.session_id.to_string(),
            session.status.to_string(),
            session.title.clone(),
            session.stats.memories.to_string(),
            tasks,
            ago(session.last_activity, now),
        ];
        table.row(tone(session.status), cells);
    }
    table.render("no sessions") + &more(page)
}

/// One session as a card.
pub(super) fn summary(session: &SessionRecord) -> String {
    let stats = &session.stats;
    card(&[
        ("session", session.session_id.to_string()),
        ("title", session.title.clone()),
        ("status", session.status.to_string()),
        ("participants", session.participants.join(", ")),
        ("context", session.context.clone()),
        ("created", local(session.created)),
        ("last activity", local(session.last_activity)),
        ("completed", or_dash(session.completed_at.map(local))),
        ("minutes", session.duration_minutes.to_string()),
        ("chunks", stats.conversation_chunks.to_string()),
        ("memories", stats.memories.to_string()),
        ("tasks", format!("{} ({} active)", stats.tasks, stats.active_tasks)),
        ("artifacts", stats.artifacts.to_string()),
    ])
}

/// Memories as a table.
pub(in crate::cli) fn memories(page: &Page<MemoryRecord>, now: Timestamp) -> String {
    let mut table = Table::new(&["KEY", "TYPE", "CONTENT", "TAGS", "WHEN"]);
    for memory in &page.items {
        let cells = [
            memory.key.to_string(),
            memory.kind.to_string(),
            memory.highlight.clone().unwrap_or_else(|| brief(&memory.content)),
            memory.tags.join(", "),
            ago(memory.updated, now),
        ];
        table.row(Tone::Plain, cells);
    }
    table.render("no memories") + &more(page)
}

/// Tasks of a session as a table.
pub(super) fn tasks(tasks: &[SessionTaskRecord], now: Timestamp) -> String {
    let mut table = Table::new(&["TASK", "AGENT", "TYPE", "STATUS", "RESULT", "WHEN"]);
    for task in tasks {
        let tone = match &*task.status {
            "completed" | "running" => Tone::Good,
            "failed" => Tone::Bad,
            "cancelled" | "deleted" => Tone::Dim,
            _ => Tone::Plain,
        };
        let result = task.error.clone().or_else(|| task.result.as_ref().map(brief));
        let cells = [
            task.task_id.to_string(),
            task.agent_name.clone(),
            task.task_type.clone(),
            task.status.clone(),
            or_dash(result),
            ago(task.created, now),
        ];
        table.row(tone, cells);
    }
    table.render("no tasks")
}

/// Artifacts as a table.
pub(in crate::cli) fn artifacts(page: &Page<ArtifactRecord>, now: Timestamp) -> String {
    let mut table = Table::new(&["ARTIFACT", "TYPE", "NAME", "FORMAT", "BYTES", "WHEN"]);
    for artifact in &page.items {
        let cells = [
            artifact.artifact_id.to_string(),
            artifact.kind.clone(),
            artifact.name.clone(),
            artifact.format.clone(),
            artifact.content_size.to_string(),
            ago(artifact.updated, now),
        ];
        table.row(Tone::Plain, cells);
    }
    table.render("no artifacts") + &more(page)
}

/// What a search found, as a table.
pub(in crate::cli) fn hits(page: &Page<SearchHit>) -> String {
    let mut table = Table::new(&["SESSION", "KIND", "ID", "FOUND"]);
    for hit in &page.items {
        let cells = [
            hit.session_id.to_string(),
            hit.of_type
                .as_ref()
                .map_or_else(|| hit.kind.to_string(), |of| format!("{} {of}", hit.kind)),
            hit.id.clone(),
            hit.highlight.clone(),
        ];
        table.row(Tone::Plain, cells);
    }
    table.render("nothing was found") + &more(page)
}
