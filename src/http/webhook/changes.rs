//! What of a webhook changes something, for the audit record. Pure.

use actix_web::http::StatusCode;
use serde_json::Value;

use super::read::{Asked, TASK};
use crate::{
    domain::{access::Scope, audit::Surface, session::SessionId},
    http::audit::Told,
    sessions::Command,
};

/// A command that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its word.
    word: &'static str,
    /// The session that it is about.
    session: Option<SessionId>,
    /// Its place in a batch.
    nth: Option<usize>,
}

/// What is changed by what was asked for.
pub(super) fn of(asked: &Asked) -> Vec<Change> {
    let one = |word, session: &SessionId, nth, command: &Command| {
        let change = Change { word, session: Some(session.clone()), nth };
        (command.scope() != Scope::Read).then_some(change)
    };
    match asked {
        Asked::One { word, session, command, .. } => {
            one(word, session, None, command).into_iter().collect()
        }
        Asked::Batch { session, commands, .. } => {
            let each = commands.iter().enumerate();
            each.filter_map(|(nth, (word, command))| one(word, session, Some(nth), command))
                .collect()
        }
        Asked::Task { .. } => vec![Change { word: TASK, session: None, nth: None }],
    }
}

/// What came of it; of a batch each command has its own.
pub(super) fn told(changes: Vec<Change>, status: StatusCode, body: &Value) -> Vec<Told> {
    let told = |change: Change| {
        let item = change.nth.map(|nth| &body["data"]["results"][nth]["http_status"]);
        let of_item = item.and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        Told {
            surface: Surface::Webhook,
            operation: change.word.to_owned(),
            object: change.session.map(|session| session.to_string()).unwrap_or_default(),
            status: of_item.unwrap_or(status.as_u16()),
        }
    };
    changes.into_iter().map(told).collect()
}
