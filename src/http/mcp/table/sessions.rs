//! The tools for sessions and what is in them: the commands of the contract, under their names there.

use super::Tool;
use crate::domain::access::Scope;

const SESSION: &str = r#"{"session_id": {"type": "string", "description": "The session"}}"#;

/// The tools for sessions.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "create_session",
        Scope::Submit,
        "Begin a session",
        "Begins a session: the place for the ideas, decisions, results and tasks of one piece of work. It \
         stays when this conversation ends; keep its id.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string", "description": "A name of your own; made up where absent"},
            "title": {"type": "string"}, "context": {"type": "string", "description": "What it is about"},
            "participants": {"type": "array", "items": {"type": "string"}},
            "metadata": {"type": "object"}
        }"#,
        &[],
    )
    .is("create_session"),
    Tool::new("list_sessions", Scope::Read, "List sessions", "Sessions, newest first.")
        .takes(
            r#"{
                "filter": {"type": "string", "enum": ["all", "active", "paused", "completed"]},
                "participant": {"type": "string"},
                "text": {"type": "string", "description": "Words of the title or the context"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 500},
                "cursor": {"type": "string", "description": "next_cursor of the page before"}
            }"#,
            &[],
        )
        .is("list_sessions"),
    Tool::new(
        "get_session_summary",
        Scope::Read,
        "Look at a session",
        "A session: its state, who takes part, and how much is in it.",
    )
    .takes(SESSION, &["session_id"])
    .is("get_session_summary"),
    Tool::new("pause_session", Scope::Submit, "Pause a session", "Puts a session aside for now.")
        .takes(SESSION, &["session_id"])
        .is("pause_session"),
    Tool::new("resume_session", Scope::Submit, "Resume a session", "Goes on with a paused session.")
        .takes(SESSION, &["session_id"])
        .is("resume_session"),
    Tool::new(
        "complete_session",
        Scope::Submit,
        "Complete a session",
        "Ends a session. It can be read still, but takes nothing more.",
    )
    .takes(SESSION, &["session_id"])
    .is("complete_session"),
    Tool::new(
        "delete_session",
        Scope::Control,
        "Delete a session",
        "Deletes a session with all that is in it. Ask the person first.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"},
            "cascade": {"type": "boolean", "description": "false: only if nothing is in it"}
        }"#,
        &["session_id"],
    )
    .is("delete_session"),
    Tool::new(
        "append_conversation",
        Scope::Submit,
        "Keep a part of the conversation",
        "Keeps what was said. What is named under `extracted_items` becomes memories.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"}, "content": {"type": "string"},
            "chunk_id": {"type": "string", "description": "The same again replaces it"},
            "format": {"type": "string", "enum": ["dialogue", "summary", "transcript"]},
            "start_time": {"type": "string"}, "end_time": {"type": "string"},
            "participants": {"type": "array", "items": {"type": "string"}},
            "extracted_items": {"type": "object", "properties": {
                "ideas": {"type": "array"}, "decisions": {"type": "array"},
                "questions": {"type": "array"}, "action_items": {"type": "array"}
            }},
            "metadata": {"type": "object"}
        }"#,
        &["session_id", "content"],
    )
    .is("conversation_chunk"),
    Tool::new(
        "store_memory",
        Scope::Submit,
        "Keep a memory",
        "Keeps an idea, a decision, a question, an action item or another memory under a key. The same key \
         again replaces it.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"},
            "type": {"type": "string", "enum": ["idea", "decision", "question", "action_item", "context", "preference", "fact", "risk", "note"]},
            "key": {"type": "string", "description": "Short and telling; made up where absent"},
            "content": {"description": "What is to be kept, any JSON"},
            "tags": {"type": "array", "items": {"type": "string"}}
        }"#,
        &["session_id", "content"],
    )
    .is("store_memory"),
    Tool::new("retrieve_memory", Scope::Read, "Read a memory", "The memory under a key.")
        .takes(
            r#"{"session_id": {"type": "string"}, "key": {"type": "string"}}"#,
            &["session_id", "key"],
        )
        .is("retrieve_memory"),
    Tool::new(
        "query_memories",
        Scope::Read,
        "Look for memories",
        "Memories of a session by type, tags and words: the newest first, or with `text` the best.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"}, "type": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "All of them"},
            "text": {"type": "string", "description": "Words, \"phrases\", or, -not"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500}, "cursor": {"type": "string"}
        }"#,
        &["session_id"],
    )
    .is("query_memories"),
    Tool::new(
        "search_sessions",
        Scope::Read,
        "Search everything",
        "Looks for words in all sessions, or in one: in memories, conversations, artifacts, tasks and titles, \
         the best first, with the place.",
    )
    .takes(
        r#"{
            "text": {"type": "string", "description": "Words, \"phrases\", or, -not"},
            "session_id": {"type": "string", "description": "This one alone"},
            "kinds": {"type": "array", "items": {"type": "string", "enum": ["session", "memory", "chunk", "artifact", "task"]}},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "Memories with all of them"},
            "types": {"type": "array", "items": {"type": "string", "enum": ["idea", "decision", "question", "action_item", "context", "preference", "fact", "risk", "note"]}, "description": "Memories of one of them"},
            "since": {"type": "string", "description": "A time"}, "until": {"type": "string"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500}, "cursor": {"type": "string"}
        }"#,
        &["text"],
    ),
    Tool::new(
        "add_artifact",
        Scope::Submit,
        "Keep an artifact",
        "Keeps something that was made: a document, a piece of code, a diagram.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"}, "content": {"description": "Text, or any JSON"},
            "artifact_id": {"type": "string", "description": "The same again replaces it"},
            "name": {"type": "string"}, "type": {"type": "string", "description": "document, code, …"},
            "format": {"type": "string", "description": "markdown, rust, …"},
            "task_id": {"type": "string", "description": "The task that made it"},
            "metadata": {"type": "object"}
        }"#,
        &["session_id", "content"],
    )
    .is("add_artifact"),
    Tool::new("get_artifact", Scope::Read, "Read an artifact", "An artifact with its content.")
        .takes(
            r#"{"session_id": {"type": "string"}, "artifact_id": {"type": "string"}}"#,
            &["session_id", "artifact_id"],
        )
        .is("get_artifact"),
    Tool::new(
        "list_artifacts",
        Scope::Read,
        "List artifacts",
        "The artifacts of a session by type, words, task and time, newest first, without their contents.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"}, "type": {"type": "string"},
            "text": {"type": "string", "description": "Words of the content or the name, \"phrases\", or, -not"},
            "task_id": {"type": "string", "description": "The task that made it"},
            "since": {"type": "string", "description": "Written at this time or later"},
            "until": {"type": "string", "description": "Written before this time"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500}, "cursor": {"type": "string"}
        }"#,
        &["session_id"],
    )
    .is("list_artifacts"),
    Tool::new(
        "delegate_in_session",
        Scope::Submit,
        "Delegate a task of a session",
        "Gives a task to a fleet and keeps it with the session. Returns it at once, or once it has ended if \
         `wait` seconds are enough. `task` of the answer is its id for wait_task, task_status and \
         cancel_task.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"},
            "agent_name": {"type": "string", "description": "A fleet, as list_fleets shows"},
            "description": {"type": "string", "description": "All that the agent needs to know"},
            "task_id": {"type": "string", "description": "A name of your own: a second call with it is the same task"},
            "task_type": {"type": "string"},
            "priority": {"description": "urgent, high, medium, low, or a number", "type": ["string", "integer"]},
            "input_data": {"type": "object", "description": "What the agent gets beside the description"},
            "wait": {"type": "integer", "minimum": 0, "maximum": 600, "description": "Seconds"}
        }"#,
        &["session_id", "agent_name"],
    )
    .is_long()
    .is("delegate_task"),
    Tool::new(
        "list_session_tasks",
        Scope::Read,
        "List the tasks of a session",
        "The tasks that were given away in a session, newest first, as they are now.",
    )
    .takes(
        r#"{
            "session_id": {"type": "string"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500}, "cursor": {"type": "string"}
        }"#,
        &["session_id"],
    ),
];
