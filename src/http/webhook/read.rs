//! From the body of a webhook to commands. Pure. Fields that are not known are let pass, for callers
//! send more than is needed; what is known must be right.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value};

use crate::{
    domain::{
        access::Scope,
        session::{Insight, MemoryType, NewSession, SessionEvent, SessionId},
    },
    http::{
        api::FieldError,
        fields::{Errors, Fields, kind_of},
        sessions::read::{self, Names},
    },
    sessions::{Action, Command, TaskCommand},
};

/// The commands on sessions, in the order of the contract.
pub(super) const COMMANDS: [&str; 20] = [
    "create_session",
    "resume_session",
    "pause_session",
    "complete_session",
    "delete_session",
    "list_sessions",
    "get_session_summary",
    "append_conversation",
    "conversation_chunk",
    "conversation_batch",
    "store_memory",
    "retrieve_memory",
    "query_memories",
    "list_memories",
    "delegate_task",
    "get_task",
    "cancel_task",
    "add_artifact",
    "get_artifact",
    "list_artifacts",
];

/// The families of commands.
pub(super) const TYPES: [&str; 3] = ["collaborative_session_command", TASK, INSIGHT];

/// The family, and the word, of a task.
pub(super) const TASK: &str = "task_command";

/// The family of what an assistant noticed, and the word of its one command.
const INSIGHT: &str = "llm_conversation_insight";

/// The command of several.
pub(super) const BATCH: &str = "batch";

/// The most commands of a batch, and the most chunks at once.
const MAX_BATCH: usize = 1000;

/// How long a command may take where the caller does not say, and at most.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: i64 = 3600;

/// What is wrong with a body.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// Fields are missing, or of the wrong type.
    Fields(Vec<FieldError>),
    /// The type or the command is none of those that there are.
    Unknown {
        /// `type` or `command`.
        field: String,
        /// What was sent.
        word: String,
        /// What there is.
        known: Vec<&'static str>,
    },
}

/// What a body asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// One command on a session.
    One {
        /// Its word.
        word: &'static str,
        /// The session.
        session: SessionId,
        /// The command.
        command: Command,
        /// Whether to wait for the task that it gives away.
        sync: bool,
    },
    /// Several commands on a session.
    Batch {
        /// The session.
        session: SessionId,
        /// Each with its word.
        commands: Vec<(&'static str, Command)>,
        /// All of them or none.
        atomic: bool,
    },
    /// A command of another kind.
    Task {
        /// The command.
        command: TaskCommand,
        /// Whether to wait for its end.
        sync: bool,
    },
}

impl Asked {
    /// The word of what is asked for, and the session that it is about.
    pub(super) const fn about(&self) -> (&'static str, Option<&SessionId>) {
        match self {
            Self::One { word, session, .. } => (*word, Some(session)),
            Self::Batch { session, .. } => (BATCH, Some(session)),
            Self::Task { .. } => (TASK, None),
        }
    }

    /// The scopes that a key needs for it, each with whether it is for a task, which is of a queue; else for
    /// a session, which is of none.
    pub(super) fn needs(&self) -> BTreeSet<(Scope, bool)> {
        let of = |command: &Command| (command.scope(), command.is_of_task());
        match self {
            Self::One { command, .. } => [of(command)].into(),
            Self::Batch { commands, .. } => {
                commands.iter().map(|(_, command)| of(command)).collect()
            }
            Self::Task { .. } => [(Scope::Submit, true)].into(),
        }
    }
}

/// Reads a body.
pub(super) fn read(body: Map<String, Value>, names: &mut Names) -> Result<Asked, Wrong> {
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let Some(kind) = fields.text("type", 255) else {
        fields.wrong("type", format!("must be there: one of {}", TYPES.join(", ")));
        return Err(Wrong::Fields(errors.or(()).err().unwrap_or_default()));
    };
    let asked = match &*kind {
        "collaborative_session_command" => session_command(fields, names)?,
        TASK => task_command(fields, names),
        INSIGHT => insight(fields),
        _ => return Err(unknown("type".to_owned(), &kind, TYPES.to_vec())),
    };
    match errors.or(asked) {
        Ok(Some(asked)) => Ok(asked),
        Ok(None) => Err(Wrong::Fields(Vec::new())),
        Err(errors) => Err(Wrong::Fields(errors)),
    }
}

fn unknown(field: String, word: &str, known: Vec<&'static str>) -> Wrong {
    let word = word.chars().filter(|c| !c.is_control()).take(64).collect();
    Wrong::Unknown { field, word, known }
}

/// The word of the list that is `word`.
fn known(word: &str) -> Option<&'static str> {
    COMMANDS.into_iter().find(|known| *known == word)
}

fn session_command(mut fields: Fields<'_>, names: &mut Names) -> Result<Option<Asked>, Wrong> {
    let Some(word) = fields.text("command", 255) else {
        fields.wrong("command", "must be there");
        return Ok(None);
    };
    let given: Option<SessionId> = fields.parsed("session_id");
    let is_free = matches!(&*word, "list_sessions" | "create_session");
    if given.is_none() && !is_free && !fields.gives("session_id") {
        fields.wrong("session_id", "must be there: the session that it is about");
    }
    let made_up = || names.clone().make("session").parse().ok();
    let Some(session) = given.or_else(made_up) else { return Ok(None) };
    let sync = fields.word("feedback_mode", &[("sync", true), ("async", false)]).unwrap_or(false);
    // Some callers put the chunk beside the data.
    let beside = fields.take("conversation_chunk");
    let Some(mut data) = data(&mut fields) else { return Ok(None) };
    if let Some(chunk) = beside {
        data.entry("conversation_chunk").or_insert(chunk);
    }
    let at = fields.path("data");
    if word == BATCH {
        let Some(batch) = batch(&mut fields, data, &session, names)? else { return Ok(None) };
        let (commands, atomic) = batch;
        return Ok(Some(Asked::Batch { session, commands, atomic }));
    }
    let Some(word) = known(&word) else {
        return Err(unknown("command".to_owned(), &word, [&COMMANDS[..], &[BATCH]].concat()));
    };
    let command = fields.within(at, data, |data| command(word, data, &session, names));
    Ok(command.map(|command| Asked::One { word, session, command, sync }))
}

/// Takes `data`, which may be left out.
fn data(fields: &mut Fields<'_>) -> Option<Map<String, Value>> {
    match fields.take("data") {
        None => Some(Map::new()),
        Some(Value::Object(data)) => Some(data),
        Some(other) => {
            fields.wrong("data", format!("must be an object, not {}", kind_of(&other)));
            None
        }
    }
}

/// The commands of a batch, each with its word, and whether it is to be all or none.
type Batch = (Vec<(&'static str, Command)>, bool);

fn batch(
    fields: &mut Fields<'_>,
    data: Map<String, Value>,
    session: &SessionId,
    names: &mut Names,
) -> Result<Option<Batch>, Wrong> {
    let mut unknown_word = None;
    let at = fields.path("data");
    let read = fields.within(at, data, |data| {
        let atomic = data.flag("atomic");
        let mut commands = Vec::new();
        if let Some(mut chunk) = data.object("conversation_chunk") {
            let chunk = read::chunk(&mut chunk, None, names)?;
            commands.push(("append_conversation", Command::Append(vec![chunk])));
        }
        let items = match data.take("commands") {
            None if !commands.is_empty() => Vec::new(),
            Some(Value::Array(items)) if items.len() <= MAX_BATCH => items,
            _ => {
                let detail = format!("must be an array of at most {MAX_BATCH} commands");
                data.wrong("commands", detail);
                return None;
            }
        };
        for (nth, item) in items.into_iter().enumerate() {
            let at = data.path(&format!("commands[{nth}]"));
            let Value::Object(item) = item else {
                data.add(
                    format!("commands[{nth}]"),
                    format!("must be an object, not {}", kind_of(&item)),
                );
                continue;
            };
            let read = data.within(at.clone(), item, |item| {
                let word = item.text("command", 255);
                if word.is_none() {
                    item.wrong("command", "must be there");
                }
                let word = word?;
                let Some(word) = known(&word) else {
                    unknown_word.get_or_insert((format!("{at}.command"), word));
                    return None;
                };
                let data = self::data(item)?;
                let inside = item.path("data");
                let command = item.within(inside, data, |data| command(word, data, session, names));
                command.map(|command| (word, command))
            });
            commands.extend(read);
        }
        Some((commands, atomic))
    });
    match unknown_word {
        Some((field, word)) => Err(unknown(field, &word, COMMANDS.to_vec())),
        None => Ok(read),
    }
}

/// Reads the data of one command.
pub(in crate::http) fn command(
    word: &str,
    data: &mut Fields<'_>,
    session: &SessionId,
    names: &mut Names,
) -> Option<Command> {
    Some(match word {
        "create_session" => Command::Create(Box::new(read::session(data, session.clone()))),
        "resume_session" => Command::Step(SessionEvent::Resumed),
        "pause_session" => Command::Step(SessionEvent::Paused),
        "complete_session" => Command::Step(SessionEvent::Completed),
        "delete_session" => Command::Delete { cascade: data.bool("cascade").unwrap_or(true) },
        "list_sessions" => Command::List(Box::new(read::session_filter(data))),
        "get_session_summary" => Command::Show,
        "append_conversation" => {
            let Some(mut chunk) = data.object("conversation_chunk") else {
                data.wrong("conversation_chunk", "must be there");
                return None;
            };
            Command::Append(vec![read::chunk(&mut chunk, None, names)?])
        }
        "conversation_chunk" => Command::Append(vec![read::chunk(data, None, names)?]),
        "conversation_batch" => Command::Append(chunks(data, names)?),
        "store_memory" => Command::Store(read::memory(data, None, names)?),
        "retrieve_memory" => Command::Retrieve(named(data, "key")?),
        "query_memories" | "list_memories" => {
            let filter = match data.object("filter") {
                Some(mut filter) => read::memory_filter(&mut filter),
                None => read::memory_filter(data),
            };
            Command::Query(Box::new(filter))
        }
        "delegate_task" => Command::Delegate(Box::new(read::delegation(data, names)?)),
        "get_task" => Command::GetTask(named(data, "task_id")?),
        "cancel_task" => Command::CancelTask(named(data, "task_id")?),
        "add_artifact" => Command::AddArtifact(Box::new(read::artifact(data, None, names)?)),
        "get_artifact" => Command::GetArtifact(named(data, "artifact_id")?),
        "list_artifacts" => {
            let filter = match data.object("filter") {
                Some(mut filter) => read::artifact_filter(&mut filter),
                None => read::artifact_filter(data),
            };
            Command::ListArtifacts(Box::new(filter))
        }
        _ => return None,
    })
}

/// Takes the name of something that must be given.
fn named(data: &mut Fields<'_>, field: &'static str) -> Option<crate::domain::session::ItemName> {
    if !data.gives(field) {
        data.wrong(field, "must be there");
    }
    data.parsed(field)
}

fn chunks(
    data: &mut Fields<'_>,
    names: &mut Names,
) -> Option<Vec<crate::domain::session::NewChunk>> {
    let items = match data.take("chunks") {
        Some(Value::Array(items)) if items.len() <= MAX_BATCH => items,
        _ => {
            data.wrong("chunks", format!("must be an array of at most {MAX_BATCH} chunks"));
            return None;
        }
    };
    let mut chunks = Vec::with_capacity(items.len());
    for (nth, item) in items.into_iter().enumerate() {
        let name = format!("chunks[{nth}]");
        let Value::Object(item) = item else {
            data.add(name, format!("must be an object, not {}", kind_of(&item)));
            continue;
        };
        let at = data.path(&name);
        chunks.extend(data.within(at, item, |item| read::chunk(item, None, names)));
    }
    Some(chunks)
}

fn task_command(mut fields: Fields<'_>, names: &mut Names) -> Option<Asked> {
    let sync = fields.flag("sync");
    let Some(mut data) = fields.object("data") else {
        fields.wrong("data", "must be there");
        return None;
    };
    let name = data.parsed("task_id").or_else(|| names.task());
    let Some(action) = data.text("action_type", 255) else {
        data.wrong("action_type", "must be there: git, shell or a fleet");
        return None;
    };
    let is_program = matches!(&*action, "git" | "shell");
    if !is_program {
        let params = data.json("params", u64::MAX);
        let action = Action::Fleet { fleet: action, params };
        return Some(Asked::Task { command: TaskCommand { name, action }, sync });
    }
    let Some(mut params) = data.object("params") else {
        data.wrong("params", "must be there: `command`, `working_dir`, `timeout`");
        return None;
    };
    let dir = read::prose(&mut params, "working_dir");
    let timeout = params.integer("timeout", 1..=MAX_TIMEOUT);
    let timeout = timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let timeout = timeout.map_or(TIMEOUT, Duration::from_secs);
    if !params.gives("command") {
        params.wrong("command", "must be there: a program and its arguments, as an array");
    }
    let command = params.json("command", u64::MAX);
    let action = match &*action {
        "git" => Action::Git { command, dir, timeout },
        _ => Action::Shell { command, dir, timeout },
    };
    Some(Asked::Task { command: TaskCommand { name, action }, sync })
}

fn insight(mut fields: Fields<'_>) -> Option<Asked> {
    let insight = match fields.object("insight") {
        None => {
            fields.wrong("insight", "must be there");
            return None;
        }
        Some(mut inside) => {
            let kinds = [
                MemoryType::ActionItem,
                MemoryType::Idea,
                MemoryType::Decision,
                MemoryType::Question,
                MemoryType::Note,
                MemoryType::Risk,
            ];
            let words = kinds.map(|kind| (kind.as_str(), kind));
            let priorities = [("high", "high"), ("medium", "medium"), ("low", "low")];
            let title = inside.text("title", 1000);
            if title.is_none() {
                inside.wrong("title", "must be there: its key is made of it");
            }
            Insight {
                kind: inside.word("type", &words).unwrap_or(MemoryType::Note),
                priority: inside.word("priority", &priorities).unwrap_or("medium").to_owned(),
                title: title.unwrap_or_default(),
                content: inside.json("content", u64::MAX),
                tags: read::tags(&mut inside),
                followup: read::prose(&mut inside, "suggested_followup"),
            }
        }
    };
    let Some(mut conversation) = fields.object("conversation") else {
        fields.wrong("conversation", "must be there: its `id` is the session");
        return None;
    };
    if !conversation.gives("id") {
        conversation.wrong("id", "must be there: the session that it is for");
    }
    let session: SessionId = conversation.parsed("id")?;
    let context = read::prose(&mut conversation, "context").unwrap_or_default();
    let line: String = context.lines().next().unwrap_or_default().chars().take(200).collect();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let new = NewSession {
        id: session.clone(),
        title: if line.trim().is_empty() { session.to_string() } else { line },
        participants: Vec::new(),
        context,
        metadata: Map::new(),
    };
    let command = Command::Notice(Box::new(new), insight.memory());
    Some(Asked::One { word: INSIGHT, session, command, sync: false })
}

#[cfg(test)]
mod tests;
