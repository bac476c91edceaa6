//! What came of each command, whichever way it came: one line in the log and one count. They say which
//! session and who asked, never what was said.

use super::{Answer, State, caller::Caller, error::ApiError};
use crate::domain::session::SessionId;

/// The way that a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// `POST /webhook`.
    Webhook,
    /// A path of the API.
    Api,
}

/// A command that was carried out or refused.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// How it came.
    pub(super) via: Via,
    /// What it is called.
    pub(super) word: &'static str,
    /// The session that it is about.
    pub(super) session: Option<&'a SessionId>,
    /// What was answered.
    pub(super) status: u16,
    /// What went wrong behind that, where nothing else tells it.
    pub(super) cause: Option<&'a str>,
}

/// Writes a command down.
pub(super) fn enter(state: &State, caller: &Caller, entry: &Entry<'_>) {
    let session = entry.session.map(SessionId::as_str);
    if let Some(cause) = entry.cause {
        slog::error!(state.log, "command failed"; "command" => entry.word, "error" => cause);
    }
    match entry.via {
        Via::Webhook => {
            state.counters.commanded(entry.word, outcome(entry.status));
            slog::info!(state.log, "command of a webhook"; "command" => entry.word,
                "session" => session, "caller" => %caller.who, "status" => entry.status);
        }
        Via::Api => slog::info!(state.log, "command of the API"; "command" => entry.word,
            "session" => session, "caller" => %caller.who, "status" => entry.status),
    }
}

/// Counts what came of a delivery, which has lines of its own.
pub(super) fn count(state: &State, word: &'static str, answer: &Answer) {
    state.counters.commanded(word, outcome(status(answer)));
}

/// Writes down that a tool was called.
pub(super) fn called(
    state: &State,
    caller: &Caller,
    tool: &'static str,
    session: Option<&SessionId>,
    error: Option<&ApiError>,
) {
    let status = error.map_or(200, |error| error.problem().status);
    if let Some(cause) = error.and_then(ApiError::cause) {
        slog::error!(state.log, "command failed"; "command" => tool, "error" => cause);
    }
    state.counters.called(tool, outcome(status));
    slog::info!(state.log, "tool called"; "command" => tool,
        "session" => session.map(SessionId::as_str), "caller" => %caller.who, "status" => status);
}

/// The status of an answer.
pub(super) fn status(answer: &Answer) -> u16 {
    match answer {
        Ok(answer) => answer.status().as_u16(),
        Err(error) => error.problem().status,
    }
}

/// What came of a command, in a word.
const fn outcome(status: u16) -> &'static str {
    match status {
        504 => "timeout",
        500.. => "failed",
        400.. => "refused",
        _ => "done",
    }
}
