//! Fleets, and what they are to be: settings read again, sizes, rolling restarts.

use std::path::PathBuf;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use serde_json::Value;

use super::{
    Answer, State,
    api::{FieldError, Listing, UpgradeStarted},
    body,
    caller::Caller,
    error::{ApiError, Kind},
    fields::Fields,
    guard::Via,
    ok, query,
};
use crate::{
    domain::{
        access::About,
        rollout::{ParseShareError, Share},
    },
    settings::Problems,
    supervisor::SupervisorError,
};

/// The most agents of a fleet.
const MAX_COUNT: i64 = 1000;

/// Why settings that were read again are not those that the host goes by.
#[derive(Debug)]
pub enum ReloadRefused {
    /// They are not sound.
    Unsound(Problems),
    /// Postgres could not be told; the text is for the log.
    Unavailable(String),
    /// The supervisor could not do it.
    Supervisor(SupervisorError),
}

/// Why no other program takes over.
#[derive(Debug)]
pub struct UpgradeRefused(pub String);

impl From<UpgradeRefused> for ApiError {
    fn from(UpgradeRefused(why): UpgradeRefused) -> Self {
        Self::new(Kind::WrongState, format!("nothing has changed: {why}"))
    }
}

impl From<ReloadRefused> for ApiError {
    fn from(refused: ReloadRefused) -> Self {
        match refused {
            ReloadRefused::Unsound(problems) => {
                let error = |problem: &crate::settings::Problem| FieldError {
                    field: problem.field.clone(),
                    detail: format!("{}: {}", problem.origin, problem.message),
                };
                Self::invalid(problems.as_slice().iter().map(error).collect())
            }
            ReloadRefused::Unavailable(cause) => {
                let detail = "the database could not be told of the new settings; the fleets are as \
                    they were: try again";
                Self::new(Kind::Unavailable, detail).caused_by(cause)
            }
            ReloadRefused::Supervisor(error) => error.into(),
        }
    }
}

pub(super) async fn list(state: Data<State>, caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let mut items = state.supervisor.fleets().await?;
    items.retain(|fleet| caller.sees(About::Fleet(&fleet.name)));
    Ok(ok(&Listing { items }))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    Ok(ok(&state.supervisor.fleet(name).await?))
}

pub(super) async fn reload(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    body::nothing(&state, &request, payload).await?;
    Ok(ok(&(state.reload)().await?))
}

pub(super) async fn upgrade(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    query::none(&request)?;
    // A key of the API is no right to run any program.
    if request.conn_data::<Via>() != Some(&Via::Unix) {
        let detail = "only the socket in the data directory takes this";
        return Err(ApiError::new(Kind::SocketOnly, detail));
    }
    let program = body::fields(&state, &request, payload, read_program).await?;
    let plan = (state.upgrade)(program).await?;
    Ok(HttpResponse::Accepted().json(UpgradeStarted { host: state.host.id, plan }))
}

fn read_program(fields: &mut Fields<'_>) -> PathBuf {
    let is_given = fields.gives("program");
    let path = fields.text("program", 4096).map(PathBuf::from);
    if !is_given {
        fields.wrong("program", "is missing: the path of the program that takes over");
    }
    if path.as_ref().is_some_and(|path| !path.is_absolute()) {
        fields.wrong("program", "must be an absolute path");
    }
    path.unwrap_or_default()
}

pub(super) async fn scale(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = query::path(&request, "name")?;
    let count = body::fields(&state, &request, payload, read_count).await?;
    Ok(ok(&state.supervisor.scale(name, count).await?))
}

pub(super) async fn restart(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name = query::path(&request, "name")?;
    let share = body::fields(&state, &request, payload, share).await?;
    Ok(ok(&state.supervisor.roll(name, share).await?))
}

fn read_count(fields: &mut Fields<'_>) -> u16 {
    let is_given = fields.gives("count");
    let count = fields.integer("count", 0..=MAX_COUNT);
    if !is_given {
        fields.wrong("count", "is missing: how many agents there are to be");
    }
    count.and_then(|count| u16::try_from(count).ok()).unwrap_or_default()
}

/// Takes how many agents may be away at once: a number, or the text of a [`Share`].
pub(super) fn share(fields: &mut Fields<'_>) -> Option<Share> {
    let text = match fields.take("max_unavailable")? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let share = text.parse();
    share.map_err(|error: ParseShareError| fields.wrong("max_unavailable", error.to_string())).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::fields;

    fn read<T>(
        value: Value,
        take: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> Result<T, Vec<FieldError>> {
        fields::read(value.as_object().unwrap().clone(), take)
    }

    #[test]
    fn a_count_is_a_number_of_agents() {
        assert_eq!(read(json!({"count": 0}), read_count), Ok(0));
        assert_eq!(read(json!({"count": 1000}), read_count), Ok(1000));
        for bad in [json!({}), json!({"count": 1001}), json!({"count": "2"}), json!({"count": -1})]
        {
            assert_eq!(read(bad, read_count).unwrap_err()[0].field, "count");
        }
        let both = read(json!({"count": 1, "cuont": 2}), read_count).unwrap_err();
        assert_eq!(both[0].field, "cuont");
    }

    #[test]
    fn a_program_is_an_absolute_path() {
        let path = read(json!({"program": "/usr/bin/hostler"}), read_program).unwrap();
        assert_eq!(path, PathBuf::from("/usr/bin/hostler"));
        for bad in [json!({}), json!({"program": "hostler"}), json!({"program": 1})] {
            assert_eq!(read(bad, read_program).unwrap_err()[0].field, "program");
        }
    }

    #[test]
    fn a_share_is_a_number_or_a_text() {
        assert_eq!(read(json!({}), share), Ok(None));
        assert_eq!(read(json!({"max_unavailable": 2}), share), Ok(Some(Share::Count(2))));
        let half = json!({"max_unavailable": "50%"});
        assert_eq!(read(half, share), Ok(Some(Share::Percent(50))));
        for bad in [json!(0), json!("0%"), json!(1.5), json!([1]), json!("many")] {
            let errors = read(json!({"max_unavailable": bad}), share).unwrap_err();
            assert_eq!(errors[0].field, "max_unavailable");
        }
    }
}
