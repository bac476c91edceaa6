//! The tools for sessions. Each is a command of the contract: it is read by the reader of the webhook, but
//! without a field that is not known, carried out where all are, and answered with the same data.

use serde_json::{Map, Value, json};

use super::{State, Teller, needed, read as arguments_of, table::Tool, value, wait_of};
use crate::{
    domain::{
        TaskId,
        access::About,
        record::Page,
        session::{MemoryType, SearchFilter, SearchKind, SessionId, SessionTaskRecord},
    },
    http::{
        caller::Caller,
        error::ApiError,
        fields::Fields,
        sessions::read::{self, Names},
        webhook::{answer, read as contract},
    },
    sessions::{Command, Done},
};

/// Calls a tool that is a command on a session, or one that looks into them.
pub(super) async fn run(
    state: &State,
    caller: &Caller,
    tool: &Tool,
    mut arguments: Map<String, Value>,
    teller: &Teller,
) -> Result<Value, ApiError> {
    // A key that is limited to queues or fleets reaches no session, but gives its own queues tasks in one.
    caller.may(tool.scope, if tool.long { About::Nothing } else { About::Host })?;
    let Some(word) = tool.word else { return look(state, caller, tool, arguments).await };
    if tool.long {
        let seconds = wait_of(&mut arguments)?;
        let (task, created) = delegate(state, caller, arguments).await?;
        let task = match (seconds, task.task) {
            (Some(seconds), Some(id)) => {
                teller.settled(state, id, seconds.min(state.settings.max_wait)).await?;
                state.sessions.task(&task.session_id, &task.task_id).await?
            }
            _ => task,
        };
        return Ok(answer::data(word, Done::Delegated { task: Box::new(task), created }));
    }
    let (session, command) = command(word, arguments)?;
    Ok(answer::data(word, state.sessions.run(&caller.grants, &session, command).await?))
}

/// Gives a task away; the task as its session knows it, and whether it was made.
async fn delegate(
    state: &State,
    caller: &Caller,
    arguments: Map<String, Value>,
) -> Result<(SessionTaskRecord, bool), ApiError> {
    let (session, command) = command("delegate_task", arguments)?;
    match state.sessions.run(&caller.grants, &session, command).await? {
        Done::Delegated { task, created } => Ok((*task, created)),
        _ => Err(ApiError::fault("a task was neither given away nor refused")),
    }
}

/// Gives a task away that is to be asked about later; its id.
pub(super) async fn delegated(
    state: &State,
    caller: &Caller,
    tool: &Tool,
    mut arguments: Map<String, Value>,
) -> Result<TaskId, ApiError> {
    caller.may(tool.scope, About::Nothing)?;
    wait_of(&mut arguments)?;
    let (task, _) = delegate(state, caller, arguments).await?;
    needed("task", task.task)
}

/// The command that the arguments of a tool are, and the session that it is for.
pub(super) fn command(
    word: &'static str,
    arguments: Map<String, Value>,
) -> Result<(SessionId, Command), ApiError> {
    let mut names = Names::of(None);
    let read = arguments_of(arguments, |fields| {
        let is_free = matches!(word, "list_sessions" | "create_session");
        if !is_free && !fields.gives("session_id") {
            missing(fields, "session_id");
        }
        let given = fields.parsed("session_id");
        let session = given.or_else(|| names.make("session").parse().ok())?;
        let command = contract::command(word, fields, &session, &mut names)?;
        Some((session, command))
    })?;
    read.ok_or_else(|| ApiError::fault("arguments without mistakes could not be read"))
}

fn missing(fields: &mut Fields<'_>, name: &str) {
    fields.wrong(name, "is missing");
}

/// The tools that are no command of the contract.
async fn look(
    state: &State,
    caller: &Caller,
    tool: &Tool,
    arguments: Map<String, Value>,
) -> Result<Value, ApiError> {
    if tool.name == "search_sessions" {
        return value(&state.sessions.search(search_filter(arguments)?).await?);
    }
    let (session, command) = arguments_of(arguments, |fields| {
        let (limit, after) = (read::limit(fields, read::ITEMS), read::cursor(fields));
        (fields.parsed("session_id"), Command::ListTasks { limit, after })
    })?;
    match state.sessions.run(&caller.grants, &needed("session_id", session)?, command).await? {
        Done::Tasks(Page { items, next_cursor }) => {
            Ok(json!({ "count": items.len(), "tasks": items, "next_cursor": next_cursor }))
        }
        _ => Err(ApiError::fault("tasks were asked for and others came")),
    }
}

fn search_filter(arguments: Map<String, Value>) -> Result<SearchFilter, ApiError> {
    arguments_of(arguments, |fields| {
        let text = fields.text("text", read::MAX_TITLE).filter(|text| !text.trim().is_empty());
        if text.is_none() {
            missing(fields, "text");
        }
        SearchFilter {
            text: text.unwrap_or_default(),
            kinds: fields.list::<SearchKind>("kinds", SearchKind::ALL.len()).unwrap_or_default(),
            session: fields.parsed("session_id"),
            tags: read::tags(fields),
            types: fields.list("types", MemoryType::ALL.len()).unwrap_or_default(),
            since: fields.time("since"),
            until: fields.time("until"),
            limit: read::limit(fields, read::ITEMS),
            after: read::cursor(fields),
        }
    })
}
