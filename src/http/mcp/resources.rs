//! Resources: what there is, to be read by its address.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    State,
    message::{Call, RpcError},
    tools,
};
use crate::{
    domain::{
        PlanRunId, TaskId,
        access::{About, Scope},
        session::{
            ArtifactFilter, ArtifactRecord, Cursor, ItemName, MemoryFilter, SessionFilter,
            SessionId,
        },
    },
    http::{
        caller::Caller,
        error::{ApiError, Kind},
        gate, journal, plans,
        sessions::{anybody, encoded},
        tasks::settled,
    },
    sessions::{Command, Done},
};

const JSON: &str = "application/json";

/// How many sessions a page of resources has, and how many items a list within a resource.
const PAGE: u32 = 50;

/// What is read: its media type and its text.
type Read = (&'static str, String);

/// The resources that are always there, and the sessions, newest first.
pub(super) async fn list(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let one = |uri: &str, name: &str, what: &str| json!({ "uri": uri, "name": name, "description": what, "mimeType": JSON });
    let cursor = call.params.get("cursor").and_then(Value::as_str);
    let after = cursor.map(|text| text.parse::<Cursor>());
    let after = after.transpose().map_err(|error| RpcError::params(format!("`cursor` {error}")))?;
    let mut resources = Vec::new();
    if after.is_none() {
        resources = vec![
            one("hostler://fleets", "fleets", "The fleets of this host and the queues they serve"),
            one("hostler://agents", "agents", "The agents of this host and what they are at"),
            one("hostler://queues", "queues", "The queues and how full they are"),
            one("hostler://sessions", "sessions", "The sessions, newest first"),
        ];
    }
    let mut next = None;
    // Who may not see sessions is not told that there are any.
    if caller.sees(About::Host) {
        let page = sessions(state, caller, after).await.map_err(failed)?;
        for session in &page.items {
            let uri = format!("hostler://sessions/{}", encoded(session.session_id.as_str()));
            let what = format!("{}, {}", session.title, session.status);
            resources.push(one(&uri, session.session_id.as_str(), &what));
        }
        next = page.next_cursor;
    }
    let mut listed = json!({ "resources": resources });
    if let (Some(next), Some(fields)) = (next, listed.as_object_mut()) {
        fields.insert("nextCursor".to_owned(), json!(next));
    }
    Ok(listed)
}

/// The resources that have an id in them.
pub(super) fn templates() -> Value {
    let one = |uri: &str, name: &str, what: &str| json!({ "uriTemplate": uri, "name": name, "description": what, "mimeType": JSON });
    let mut templates = vec![
        one("hostler://tasks/{id}", "task", "A task with its output"),
        one(
            "hostler://tasks/{id}/attempts",
            "attempts",
            "The attempts of a task, and how each ended",
        ),
        one("hostler://plan-runs/{id}/report", "report", "What came of a run of a plan"),
        one(
            "hostler://sessions/{session}",
            "session",
            "How a session stands, and how much is in it",
        ),
        one("hostler://sessions/{session}/memories", "memories", "Its newest memories"),
        one("hostler://sessions/{session}/artifacts", "artifacts", "Its newest artifacts"),
        one("hostler://sessions/{session}/tasks", "session tasks", "Its newest tasks"),
    ];
    // Its media type is that of its content.
    templates.push(json!({
        "uriTemplate": "hostler://sessions/{session}/artifacts/{artifact}", "name": "artifact",
        "description": "The content of an artifact",
    }));
    json!({ "resourceTemplates": templates })
}

/// Reads a resource.
pub(super) async fn read(state: &State, caller: &Caller, call: &Call) -> Result<Value, RpcError> {
    let uri = call.text("uri")?;
    let shown: String = uri.chars().filter(|c| !c.is_control()).take(128).collect();
    let said = format!("there is no resource `{shown}`");
    let unknown = || RpcError::no_resource(said.clone());
    let path = uri.strip_prefix("hostler://").ok_or_else(unknown)?;
    let parts: Option<Vec<String>> = path.split('/').map(decoded).collect();
    let parts = parts.ok_or_else(unknown)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let found = match &parts[..] {
        ["sessions", rest @ ..] => {
            caller.may(Scope::Read, About::Host).map_err(failed)?;
            let session: Option<SessionId> = rest.first().and_then(|id| id.parse().ok());
            let none = || ApiError::new(Kind::NotFound, said.clone());
            let found = of_session(state, caller, rest).await;
            let found = found.and_then(|found| found.ok_or_else(none));
            journal::called(state, caller, "read_resource", session.as_ref(), found.as_ref().err());
            found.map_err(failed)?
        }
        parts => {
            let found = of_host(state, caller, parts).await.map_err(failed)?;
            (JSON, found.ok_or_else(unknown)?.to_string())
        }
    };
    Ok(json!({ "contents": [{ "uri": uri, "mimeType": found.0, "text": found.1 }] }))
}

/// A resource of the host; nothing if there is none of this path.
async fn of_host(state: &State, caller: &Caller, path: &[&str]) -> Result<Option<Value>, ApiError> {
    Ok(Some(match path {
        ["fleets"] => tools::fleets(state, caller).await?,
        ["agents"] => tools::agents(state, caller).await?,
        ["queues"] => tools::queues(state, caller).await?,
        ["tasks", id] => {
            let Ok(id) = id.parse::<TaskId>() else { return Ok(None) };
            gate::may_task(state, caller, Scope::Read, id).await?;
            super::value(&settled(state, id, Duration::ZERO).await?)?
        }
        ["tasks", id, "attempts"] => {
            let Ok(id) = id.parse::<TaskId>() else { return Ok(None) };
            gate::may_task(state, caller, Scope::Read, id).await?;
            super::value(&state.queue.attempts(id).await?)?
        }
        ["plan-runs", id, "report"] => {
            let Ok(id) = id.parse::<PlanRunId>() else { return Ok(None) };
            caller.may(Scope::Read, About::Host)?;
            super::value_of(plans::report_of(state, id).await).await?
        }
        _ => return Ok(None),
    }))
}

/// A resource of a session; nothing if there is none of this path.
async fn of_session(
    state: &State,
    caller: &Caller,
    path: &[&str],
) -> Result<Option<Read>, ApiError> {
    let [session, rest @ ..] = path else {
        return json_of(&sessions(state, caller, None).await?);
    };
    let Ok(session) = session.parse::<SessionId>() else { return Ok(None) };
    let command = match rest {
        [] => Command::Show,
        ["memories"] => {
            Command::Query(Box::new(MemoryFilter { limit: PAGE, ..MemoryFilter::default() }))
        }
        ["tasks"] => Command::ListTasks { limit: PAGE, after: None },
        ["artifacts"] => {
            let filter = ArtifactFilter { limit: PAGE, ..ArtifactFilter::default() };
            Command::ListArtifacts(Box::new(filter))
        }
        ["artifacts", name] => match name.parse::<ItemName>() {
            Ok(name) => Command::GetArtifact(name),
            Err(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    match state.sessions.run(&caller.grants, &session, command).await? {
        Done::Session(session) => json_of(&session),
        Done::Memories(page) => json_of(&page),
        Done::Tasks(page) => json_of(&page),
        Done::Artifacts(page) => json_of(&page),
        Done::Artifact(artifact) => Ok(Some(content_of(*artifact))),
        _ => Err(ApiError::fault("a resource was read and something else came")),
    }
}

fn json_of(found: &impl serde::Serialize) -> Result<Option<Read>, ApiError> {
    Ok(Some((JSON, super::value(found)?.to_string())))
}

fn content_of(artifact: ArtifactRecord) -> Read {
    let media = match &*artifact.format {
        "json" => JSON,
        "markdown" | "md" => "text/markdown",
        "html" => "text/html",
        _ => "text/plain",
    };
    (media, artifact.content.unwrap_or_default())
}

async fn sessions(
    state: &State,
    caller: &Caller,
    after: Option<Cursor>,
) -> Result<crate::domain::record::Page<crate::domain::session::SessionRecord>, ApiError> {
    let filter = SessionFilter { limit: PAGE, after, ..SessionFilter::default() };
    match state.sessions.run(&caller.grants, &anybody()?, Command::List(Box::new(filter))).await? {
        Done::Sessions(page) => Ok(page),
        _ => Err(ApiError::fault("sessions were asked for and others came")),
    }
}

/// A part of an address, with what stands for other characters put right; nothing if that makes no text.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

fn failed(error: ApiError) -> RpcError {
    let problem = error.problem();
    match problem.status {
        404 => RpcError::no_resource(problem.detail),
        403 => RpcError::params(problem.detail),
        _ => RpcError::internal(problem.detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_address_is_what_it_was_made_of() {
        for text in ["plain", "a/b c", "%41", "ä~", ""] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
