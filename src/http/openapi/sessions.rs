//! Sessions, what is in them, and the webhook.

use serde_json::{Value, json};

use super::{
    op::Op,
    parameters::{a, cursor, flag, idempotency_key, number, query, required, time, word, words},
    shape::{beside, of, page},
};
use crate::{
    domain::session::{
        ArtifactRecord, ChunkFormat, ChunkRecord, Export, Imported, ItemName, MemoryRecord,
        MemoryType, SearchHit, SearchKind, SessionId, SessionRecord, SessionState,
        SessionTaskRecord,
    },
    http::{
        api::{
            AppendedAnswer, ArtifactBody, ArtifactKeptAnswer, ChunkBody, ContentAnswer,
            DelegationBody, DeletedAnswer, Line, MemoryBody, MemoryValueBody, NothingBody,
            RpcAnswer, RpcMessage, SessionBody, SessionChangeBody, StoredAnswer, WebhookAnswer,
            WebhookCommand,
        },
        sessions::{
            SESSIONS,
            read::{ITEMS, MAX_LIMIT},
        },
    },
};

/// What is said of them.
pub(super) fn operations() -> Vec<Op> {
    let mut all = webhook();
    all.extend(whole());
    all.extend(inside());
    all.extend(given_away());
    all.extend(made());
    all
}

fn tags() -> Value {
    a::<Line>("tag", "With these tags, with commas between them.")
}

fn types(what: &str) -> Value {
    words("type", MemoryType::ALL.iter().map(|one| one.as_str()), what)
}

fn paged(default: u32) -> [Value; 2] {
    [number("limit", (default, MAX_LIMIT), "At most so many."), cursor("^[0-9a-f]{34}$")]
}

fn webhook() -> Vec<Op> {
    let command = json!({
        "type": "collaborative_session_command", "command": "store_memory", "session_id": "walk",
        "data": { "type": "idea", "content": "cache the analysis", "tags": ["plan"] },
    });
    let (told, rpc) = (of::<WebhookAnswer>, of::<RpcAnswer>);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let kinds = words(
        "kind",
        SearchKind::ALL.iter().map(|one| one.as_str()),
        "Only these kinds of things.",
    );
    let times = [time("since", "From this time on."), time("until", "Up to this time.")];
    vec![
        Op::post("/webhook", "sendCommand", "A command, as `docs/LLM_SESSION_API.md` has them")
            // A GPT that acts for a person asks them before each call that matters; these don't.
            .with("x-openai-isConsequential", json!(false))
            .takes(of::<WebhookCommand>(), command)
            .asks([idempotency_key()])
            .answers("200", "It was carried out", told())
            .answers("201", "It was carried out, and made a session", told())
            .answers("202", "A task was given away, and goes on", told())
            .answers("207", "Some commands of a batch were carried out", told())
            .answers_either("403", "The operator does not allow that", told())
            .answers_either("404", "There is no such session, or nothing of that name in it", told())
            .answers_either("409", "It is not in the state for this", told())
            .answers_either("422", "It can't be carried out", told())
            .answers_either("500", "A fault of Hostler; its log says why", told())
            .answers_either("503", "Postgres can't be reached just now", told())
            .answers_either("504", "The task has not ended in time; it goes on", told()),
        Op::get("/ws", "joinRelay", "A WebSocket on which webhooks are told")
            .note("It tells what others write, and takes results of tasks: the scope `read` is needed, too.")
            .answers_nothing("101", "It becomes a WebSocket"),
        Op::post("/mcp", "callMcp", "The Model Context Protocol: one message, one answer")
            .note("`docs/MCP.md` has the tools. What a tool needs of the key is what the API asks for \
                the same thing.")
            .takes(of::<RpcMessage>(), ping)
            .answers("200", "The answer to a call; errors of a tool stand in it", rpc())
            .answers_nothing("202", "It was a notification")
            .answers_either("400", "A message that can't be read", rpc())
            .answers_either("404", "No such method, or a session that is not known", rpc()),
        Op::get("/llm-instructions", "readInstructions", "This contract, told to a language model")
            .note("With an API key it names the fleets and limits of this host.")
            .prints("text/markdown", "The instructions"),
        Op::get("/api/v1/search", "searchSessions", "Search all that is in sessions")
            .asks([required(a::<Line>("text", "What is searched for.")), kinds])
            .asks([a::<SessionId>("session", "In this session."), tags()])
            .asks([types("Memories of these types.")])
            .asks(times)
            .asks(paged(ITEMS))
            .gives(page::<SearchHit>())
            .fails("NotFound"),
    ]
}

fn whole() -> Vec<Op> {
    let one = of::<SessionRecord>;
    let new = json!({ "session_id": "walk", "title": "A walk", "participants": ["ada", "gpt"] });
    let mut all = vec![
        Op::get("/api/v1/sessions", "listSessions", "Sessions, the newest first")
            .asks([words(
                "state",
                SessionState::ALL.iter().map(|one| one.as_str()),
                "In any of these states.",
            )])
            .asks([
                a::<Line>("participant", "With this participant."),
                a::<Line>("text", "With these words."),
            ])
            .asks([time("since", "Made at this time or later.")])
            .asks(paged(SESSIONS))
            .gives(page::<SessionRecord>()),
        Op::post("/api/v1/sessions", "createSession", "Make one")
            .asks([idempotency_key()])
            .may_take(of::<SessionBody>(), new)
            .answers("201", "Made", one()),
        Op::post("/api/v1/session-imports", "importSession", "Make one of an exported file")
            .asks([flag("merge", "Into one that is there.")])
            .takes_file(of::<Export>())
            .answers("201", "Made", of::<Imported>())
            .gives(of::<Imported>()),
        Op::get("/api/v1/sessions/{id}", "showSession", "One session").gives(one()),
        Op::patch("/api/v1/sessions/{id}", "changeSession", "Change what is said of it")
            .asks([idempotency_key()])
            .may_take(of::<SessionChangeBody>(), json!({ "title": "A longer walk" }))
            .gives(one()),
        Op::delete("/api/v1/sessions/{id}", "deleteSession", "Delete it with all that is in it")
            .asks([query(
                "cascade",
                json!({ "type": "boolean", "default": true }),
                "False: if empty.",
            )])
            .gives(of::<DeletedAnswer>()),
        Op::get("/api/v1/sessions/{id}/export", "exportSession", "All of it, as a file")
            .asks([word("form", &["json", "markdown"], "In which form.")])
            .gives(of::<Export>())
            .prints("text/markdown", "The file"),
    ];
    let steps = [
        ("/api/v1/sessions/{id}/pause", "pauseSession", "Pause it"),
        ("/api/v1/sessions/{id}/resume", "resumeSession", "Go on with it"),
        ("/api/v1/sessions/{id}/complete", "completeSession", "It is over"),
    ];
    all.extend(steps.map(|(path, id, summary)| {
        Op::post(path, id, summary).may_take(of::<NothingBody>(), json!({})).gives(one())
    }));
    all
}

fn inside() -> Vec<Op> {
    let chunk = json!({ "content": "Ada: what if we cache it?", "format": "dialogue" });
    let memory = json!({ "type": "decision", "content": "cache it", "tags": ["plan"] });
    let content = "/api/v1/sessions/{id}/chunks/{item}/content";
    vec![
        Op::get("/api/v1/sessions/{id}/chunks", "listChunks", "Its conversation, without contents")
            .asks(paged(ITEMS))
            .gives(page::<ChunkRecord>()),
        Op::post("/api/v1/sessions/{id}/chunks", "appendChunk", "Keep a part of the conversation")
            .asks([idempotency_key()])
            .takes(of::<ChunkBody>(), chunk)
            .answers("201", "Kept", of::<AppendedAnswer>())
            .gives(of::<AppendedAnswer>()),
        Op::get("/api/v1/sessions/{id}/chunks/{item}", "showChunk", "One part, with its content")
            .gives(of::<ChunkRecord>()),
        Op::get(content, "readChunk", "Its content, as a stream")
            .prints("text/plain", "The content"),
        Op::put(content, "writeChunk", "Its content, however long")
            .asks([a::<ChunkFormat>("format", "What kind of text it is.")])
            .takes_text()
            .answers("201", "Kept", of::<ContentAnswer>())
            .gives(of::<ContentAnswer>()),
        Op::get("/api/v1/sessions/{id}/memories", "listMemories", "Its memories")
            .asks([types("Of these types."), tags()])
            .asks([a::<Line>("text", "With these words.")])
            .asks(paged(ITEMS))
            .gives(page::<MemoryRecord>()),
        Op::post("/api/v1/sessions/{id}/memories", "storeMemory", "Keep a memory")
            .asks([idempotency_key()])
            .takes(beside::<MemoryValueBody, MemoryBody>(), memory.clone())
            .answers("201", "Kept", of::<StoredAnswer>())
            .gives(of::<StoredAnswer>()),
        Op::get("/api/v1/sessions/{id}/memories/{item}", "showMemory", "One memory")
            .gives(of::<MemoryRecord>()),
        Op::put("/api/v1/sessions/{id}/memories/{item}", "putMemory", "Keep it under this key")
            .asks([idempotency_key()])
            .takes(of::<MemoryValueBody>(), memory)
            .answers("201", "Kept", of::<StoredAnswer>())
            .gives(of::<StoredAnswer>()),
    ]
}

fn given_away() -> Vec<Op> {
    let task = json!({ "agent_name": "claude", "task_type": "review", "input_data": { "pr": 7 } });
    vec![
        Op::get(
            "/api/v1/sessions/{id}/tasks",
            "listSessionTasks",
            "Tasks that were given away in it",
        )
        .asks(paged(ITEMS))
        .gives(page::<SessionTaskRecord>()),
        Op::post("/api/v1/sessions/{id}/tasks", "delegateTask", "Give a task away")
            .asks([idempotency_key()])
            .takes(of::<DelegationBody>(), task)
            .answers("201", "Submitted", of::<SessionTaskRecord>())
            .gives(of::<SessionTaskRecord>()),
        Op::get("/api/v1/sessions/{id}/tasks/{item}", "showSessionTask", "One of them")
            .gives(of::<SessionTaskRecord>()),
        Op::post("/api/v1/sessions/{id}/tasks/{item}/cancel", "cancelSessionTask", "Call it off")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<SessionTaskRecord>()),
    ]
}

fn made() -> Vec<Op> {
    let artifact = json!({ "type": "document", "name": "notes.md", "content": "# Notes" });
    let content = "/api/v1/sessions/{id}/artifacts/{item}/content";
    vec![
        Op::get(
            "/api/v1/sessions/{id}/artifacts",
            "listArtifacts",
            "What was made, without contents",
        )
        .asks([
            a::<Line>("type", "Of this type."),
            a::<Line>("text", "Whose content, name, id or type fits these words."),
            a::<ItemName>("task_id", "That this task made."),
            time("since", "Written at this time or later."),
            time("until", "Written before this time."),
        ])
        .asks(paged(ITEMS))
        .gives(page::<ArtifactRecord>()),
        Op::post("/api/v1/sessions/{id}/artifacts", "addArtifact", "Keep what was made")
            .asks([idempotency_key()])
            .takes(of::<ArtifactBody>(), artifact)
            .answers("201", "Kept", of::<ArtifactKeptAnswer>())
            .gives(of::<ArtifactKeptAnswer>()),
        Op::get("/api/v1/sessions/{id}/artifacts/{item}", "showArtifact", "One, with its content")
            .gives(of::<ArtifactRecord>()),
        Op::get(content, "readArtifact", "Its content, as a stream")
            .prints("text/plain", "The content"),
        Op::put(content, "writeArtifact", "Its content, however long")
            .asks([a::<Line>("type", "Of this type."), a::<Line>("name", "For people.")])
            .asks([
                a::<Line>("format", "Of its content."),
                a::<ItemName>("task_id", "The task that made it."),
            ])
            .takes_text()
            .answers("201", "Kept", of::<ContentAnswer>())
            .gives(of::<ContentAnswer>()),
    ]
}
