//! API keys. (The keys that tasks are counted by are in `limits`.)

use std::{collections::BTreeSet, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::LOCATION},
    web::{Data, Payload},
};
use jiff::Timestamp;

use super::{
    Answer, State, api::Listing, audit, body, caller::Caller, fields::Fields, limits::rate_or_off,
    ok, query,
};
use crate::{
    access::{AccessError, NewKey},
    domain::{
        access::{Grants, KeyId, NewApiKeyRecord},
        admission::Until,
        audit::Deed,
    },
};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 255;

/// The most fleets or queues that a key is limited to.
const MAX_LIMITS: usize = 100;

/// The longest life of a key that ends.
const MAX_LIFE: Duration = Duration::from_secs(3650 * 86_400);

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&Listing { items: state.access.list().await? }))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let key: KeyId = query::path(&request, "id")?;
    let found = state.access.list().await?.into_iter().find(|record| record.id == key);
    Ok(ok(&found.ok_or(AccessError::UnknownKey { key })?))
}

pub(super) async fn create(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let take = |fields: &mut Fields<'_>| read(fields, Timestamp::now());
    let key = body::fields(&state, &request, payload, take).await?;
    let created = StatusCode::CREATED;
    let deed = Deed { status: Some(created.as_u16()), ..audit::deed_of(&caller, &request) };
    let (secret, record) = state.access.create(key, deed).await?;
    audit::told(&request);
    Ok(HttpResponse::build(created)
        .insert_header((LOCATION, format!("/api/v1/api-keys/{}", record.id)))
        .json(NewApiKeyRecord { key: secret.reveal().to_owned(), record }))
}

fn read(fields: &mut Fields<'_>, now: Timestamp) -> NewKey {
    let name = fields.text("name", MAX_NAME).unwrap_or_else(|| "key".to_owned());
    let none = !fields.gives("scopes") || fields.gives_nothing_in("scopes");
    let scopes = fields.list("scopes", MAX_LIMITS).unwrap_or_default();
    if none {
        fields.wrong("scopes", "name at least one of read, submit, control, admin");
    }
    let fleets = fields.list("fleets", MAX_LIMITS).unwrap_or_default();
    let queues = fields.list("queues", MAX_LIMITS).unwrap_or_default();
    let expires = match fields.moment("expires", now, MAX_LIFE) {
        Some(at) => Until::At(at),
        None => Until::Resumed,
    };
    NewKey {
        name,
        grants: Grants {
            scopes: BTreeSet::from_iter(scopes),
            fleets: BTreeSet::from_iter(fleets),
            queues: BTreeSet::from_iter(queues),
        },
        rate: rate_or_off(fields, "rate").flatten(),
        expires,
    }
}

pub(super) async fn revoke(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let key = body::bare(&state, &request, payload, "id").await?;
    let status = Some(StatusCode::OK.as_u16());
    let deed = Deed { status, ..audit::deed_of(&caller, &request) };
    let revoked = state.access.revoke(&key, deed).await?;
    audit::told(&request);
    Ok(ok(&revoked))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{domain::access::Scope, http::fields};

    fn taken(body: Value) -> Result<NewKey, Vec<String>> {
        let Value::Object(body) = body else { panic!("{body}") };
        let key = fields::read(body, |fields| read(fields, Timestamp::UNIX_EPOCH));
        key.map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn a_key_is_read_and_every_mistake_in_it_is_named() {
        let key = taken(json!({
            "name": "phone", "scopes": ["read", "submit"], "queues": ["review"],
            "fleets": ["claude"], "rate": "60/1m", "expires": "90d",
        }))
        .unwrap();
        assert_eq!(key.name, "phone");
        assert_eq!(key.grants.scopes, BTreeSet::from([Scope::Read, Scope::Submit]));
        assert_eq!(key.rate.unwrap().count, 60);
        assert_eq!(key.expires, Until::At(Timestamp::from_second(90 * 86_400).unwrap()));
        let least = taken(json!({"scopes": ["admin"]})).unwrap();
        assert!(!least.grants.is_limited() && least.rate.is_none());
        assert_eq!(least.expires, Until::Resumed);

        let rows = [
            (json!({}), vec!["scopes"]),
            (json!({"scopes": []}), vec!["scopes"]),
            (json!({"scopes": ["root"]}), vec!["scopes[0]"]),
            (json!({"scopes": ["read"], "queues": ["A"]}), vec!["queues[0]"]),
            (json!({"scopes": ["read"], "rate": "x"}), vec!["rate"]),
            (json!({"scopes": ["read"], "expires": "1960-01-01T00:00:00Z"}), vec!["expires"]),
            (json!({"scopes": ["read"], "scope": "read"}), vec!["scope"]),
        ];
        for (body, fields) in rows {
            assert_eq!(taken(body.clone()).unwrap_err(), fields, "{body}");
        }
    }
}
