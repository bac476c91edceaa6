//! Webhooks that go out: endpoints, and what was sent to them.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use uuid::Uuid;

use super::{
    Answer, State,
    api::{EndpointAnswer, Listing, Replayed},
    body,
    error::{ApiError, Kind},
    fields::Fields,
    ok, query,
};
use crate::{
    domain::{
        EndpointName,
        delivery::{CALLBACKS, EndpointSpec, parse_message_id, signature::SigningKey},
        event::EventFilter,
        record::Page,
    },
    webhooks::{Again, Put},
};

/// The longest description and reason, in characters.
const MAX_TEXT: usize = 1000;

/// The most words of one field of a filter.
const MAX_WORDS: usize = 100;

/// What an endpoint has that does not say otherwise.
const CONCURRENCY: u16 = 4;
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// How long two secrets sign side by side, unless it is said, and at most.
const BOTH: Duration = Duration::from_secs(86_400);
const MAX_BOTH: Duration = Duration::from_secs(30 * 86_400);

/// How many deliveries are sent again at once, unless it is said, and at most.
const REPLAYS: i64 = 1_000;
const MAX_REPLAYS: i64 = 100_000;

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.webhooks.endpoints().await? }))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let name = query::path(&request, "name")?;
    Ok(ok(&state.webhooks.endpoint(&name).await?))
}

pub(super) async fn put(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name: EndpointName = query::path(&request, "name")?;
    let take = |fields: &mut Fields<'_>| read(&name, fields);
    let (spec, secret) = body::fields(&state, &request, payload, take).await?;
    let put = state.webhooks.put(&name, &spec, secret).await?;
    let mut answer = if put.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, format!("/api/v1/webhooks/endpoints/{name}")));
    Ok(answer.json(told(put)))
}

pub(super) async fn remove(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name: EndpointName = body::bare(&state, &request, payload, "name").await?;
    state.webhooks.remove(&name).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn rotate(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name: EndpointName = query::path(&request, "name")?;
    let (secret, both) = body::fields(&state, &request, payload, |fields| {
        let secret = fields.parsed::<SigningKey>("secret");
        (secret, fields.duration("both", true, MAX_BOTH).unwrap_or(BOTH))
    })
    .await?;
    Ok(ok(&told(state.webhooks.rotate(&name, secret, both).await?)))
}

pub(super) async fn enable(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name: EndpointName = body::bare(&state, &request, payload, "name").await?;
    Ok(ok(&state.webhooks.enable(&name, None).await?))
}

pub(super) async fn disable(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name: EndpointName = query::path(&request, "name")?;
    let take = |fields: &mut Fields<'_>| fields.text("reason", MAX_TEXT);
    let reason = body::fields(&state, &request, payload, take).await?;
    let reason = reason.as_deref().unwrap_or("an operator disabled it");
    Ok(ok(&state.webhooks.enable(&name, Some(reason)).await?))
}

pub(super) async fn test(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let name: EndpointName = body::bare(&state, &request, payload, "name").await?;
    if name.as_str() == CALLBACKS {
        let detail = "callbacks have no address of their own: test a task with a `callback_url`";
        return Err(ApiError::new(Kind::Invalid, detail));
    }
    Ok(HttpResponse::Accepted().json(state.webhooks.test(&name).await?))
}

pub(super) async fn deliveries(state: Data<State>, request: HttpRequest) -> Answer {
    let filter = query::deliveries(request.query_string())?;
    let items = state.webhooks.deliveries(&filter).await?;
    let full = items.len() >= usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let last = items.last().filter(|_| full).map(|one| one.number.to_string());
    Ok(ok(&Page { items, next_cursor: last }))
}

pub(super) async fn delivery(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&state.webhooks.delivery(id(&request)?).await?))
}

pub(super) async fn replay(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    body::nothing(&state, &request, payload).await?;
    let replayed = state.webhooks.replay(&Again::One(id(&request)?)).await?;
    Ok(ok(&Replayed { replayed }))
}

pub(super) async fn replay_dead(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let name: EndpointName = query::path(&request, "name")?;
    let take = |fields: &mut Fields<'_>| fields.integer("limit", 1..=MAX_REPLAYS);
    let limit = body::fields(&state, &request, payload, take).await?.unwrap_or(REPLAYS);
    let again = Again::Dead(name, u32::try_from(limit).unwrap_or(u32::MAX));
    Ok(ok(&Replayed { replayed: state.webhooks.replay(&again).await? }))
}

fn told(put: Put) -> EndpointAnswer {
    EndpointAnswer { endpoint: put.record, secret: put.secret.map(|secret| secret.reveal()) }
}

/// The id in the path.
fn id(request: &HttpRequest) -> Result<Uuid, ApiError> {
    let text: String = query::path(request, "id")?;
    let wrong = || ApiError::new(Kind::BadPath, "is no id of a delivery, such as `msg_0197…`");
    parse_message_id(&text).ok_or_else(wrong)
}

/// Reads an endpoint, and its secret if one is given.
fn read(name: &EndpointName, fields: &mut Fields<'_>) -> (EndpointSpec, Option<SigningKey>) {
    let (has_url, is_callbacks) = (fields.gives("url"), name.as_str() == CALLBACKS);
    let url = fields.parsed("url");
    if is_callbacks == has_url {
        let detail = if is_callbacks {
            "`callbacks` stands for the callback URLs of tasks, and has no address of its own"
        } else {
            "is missing: give the address that events are sent to"
        };
        fields.wrong("url", detail);
    }
    let description = fields.text("description", MAX_TEXT).unwrap_or_default();
    let mut filter = EventFilter::default();
    if let Some(mut wanted) = fields.object("filter") {
        filter = EventFilter {
            types: wanted.list("types", MAX_WORDS).unwrap_or_default(),
            tasks: wanted.list("tasks", MAX_WORDS).unwrap_or_default(),
            queues: wanted.list("queues", MAX_WORDS).unwrap_or_default(),
            kinds: wanted.texts("kinds", MAX_TEXT),
            groups: wanted.list("groups", MAX_WORDS).unwrap_or_default(),
            batches: wanted.list("batches", MAX_WORDS).unwrap_or_default(),
            fleets: wanted.list("fleets", MAX_WORDS).unwrap_or_default(),
        };
        wanted.finish();
    }
    let concurrency = fields.integer("concurrency", 1..=64);
    let ordered = fields.bool("ordered").unwrap_or(false);
    let timeout = fields.duration("timeout", false, MAX_TIMEOUT).unwrap_or(TIMEOUT);
    let secret = fields.parsed::<SigningKey>("secret");
    let concurrency = concurrency.and_then(|number| u16::try_from(number).ok());
    let spec = EndpointSpec {
        url,
        description,
        filter,
        concurrency: concurrency.unwrap_or(CONCURRENCY),
        ordered,
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
    };
    (spec, secret)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::fields;

    fn read_one(name: &str, body: Value) -> Result<EndpointSpec, Vec<String>> {
        let Value::Object(body) = body else { panic!("no object") };
        let name = name.parse().unwrap();
        fields::read(body, |fields| read(&name, fields))
            .map(|(spec, _)| spec)
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn an_endpoint_is_read_with_its_defaults() {
        let spec = read_one("ops", json!({"url": "https://a.example/in"})).unwrap();
        assert_eq!((spec.concurrency, spec.ordered, spec.timeout_ms), (4, false, 20_000));
        assert!(spec.filter.is_open());
        let spec = read_one(
            "ops",
            json!({"url": "https://a.example", "filter": {"types": ["task.failed"]}, "timeout": "5s"}),
        );
        let spec = spec.unwrap();
        assert_eq!((spec.filter.types.len(), spec.timeout_ms), (1, 5000));
        assert_eq!(read_one("callbacks", json!({"concurrency": 2})).unwrap().url, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            ("ops", json!({}), "url"),
            ("callbacks", json!({"url": "https://a.example"}), "url"),
            ("ops", json!({"url": "a.example"}), "url"),
            ("ops", json!({"url": "http://a", "filter": {"types": ["x"]}}), "filter.types[0]"),
            ("ops", json!({"url": "http://a", "filter": {"queue": []}}), "filter.queue"),
            ("ops", json!({"url": "http://a", "concurrency": 0}), "concurrency"),
            ("ops", json!({"url": "http://a", "timeout": "1h"}), "timeout"),
            ("ops", json!({"url": "http://a", "secret": "hunter2"}), "secret"),
            ("ops", json!({"url": "http://a", "secrets": 1}), "secrets"),
        ];
        for (name, body, field) in rows {
            let errors = read_one(name, body.clone()).unwrap_err();
            assert!(errors.contains(&field.to_owned()), "{body}: {errors:?}");
        }
    }
}
