//! Deliveries of GitHub: their signature, and what becomes of them.

use actix_web::{HttpRequest, HttpResponse, http::header::HeaderMap, web::Payload};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::relay::Heard;
use crate::{
    http::{
        State, body,
        error::{ApiError, Kind},
        query,
    },
    settings::Secret,
};

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";

/// The longest name of an event and the longest id of a delivery.
const MAX_WORD: usize = 100;

/// Whether a request says that it is a delivery.
pub(in crate::http) fn is_delivery(headers: &HeaderMap) -> bool {
    headers.contains_key(SIGNATURE) || headers.contains_key(EVENT)
}

/// Whether `body` was signed with `secret`; compared in constant time.
pub(super) fn is_signed(secret: &Secret, signature: &str, body: &[u8]) -> bool {
    let Some(sent) = signature.strip_prefix("sha256=").and_then(from_hex) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&sent).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Carries out a delivery.
pub(super) async fn receive(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    query::none(request)?;
    let bytes = body::bytes(request, payload, state.settings.max_body).await?;
    let word = |name: &str| {
        let text = request.headers().get(name).and_then(|value| value.to_str().ok());
        text.filter(|text| (1..=MAX_WORD).contains(&text.len())).map(str::to_owned)
    };
    let secret = state.sessions.github_secret().ok_or_else(|| {
        let detail = "deliveries of GitHub are not taken here (`webhook.github_secret`)";
        ApiError::new(Kind::BadSignature, detail)
    })?;
    let signature = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
    if !is_signed(secret, signature.unwrap_or_default(), &bytes) {
        let detail = "`X-Hub-Signature-256` is missing, or is not that of this body and secret";
        return Err(ApiError::new(Kind::BadSignature, detail));
    }
    body::is_json(request)?;
    let needed = |name: &str| {
        let detail = format!("`{name}` must be there, with 1 to {MAX_WORD} characters");
        ApiError::new(Kind::BadHeader, detail)
    };
    let event = word(EVENT).ok_or_else(|| needed("X-GitHub-Event"))?;
    let delivery = word(DELIVERY).ok_or_else(|| needed("X-GitHub-Delivery"))?;
    let payload: Value = body::parse(&bytes)?;
    // The id alone says which delivery it is, whatever it holds.
    let receipt = match state.sessions.take("github", &delivery, &[]).await? {
        Ok(receipt) => receipt,
        Err((_, mut answer)) => {
            answer["status"] = json!("duplicate");
            return Ok(HttpResponse::Ok().json(answer));
        }
    };
    let made = match state.sessions.delivered(&event, &delivery, &payload).await {
        Ok(made) => made,
        Err(error) => {
            // It comes again: GitHub lets a person send it once more.
            state.sessions.release(&receipt).await?;
            return Err(error.into());
        }
    };
    let tasks: Vec<_> =
        made.iter().map(|one| json!({ "rule": one.rule, "task": one.task })).collect();
    let answer = json!({
        "status": "accepted", "event": event, "delivery_id": delivery, "tasks": tasks,
    });
    state.sessions.answered(&receipt, 202, &answer).await?;
    slog::info!(state.log, "delivery of GitHub taken"; "event" => event.as_str(), "count" => tasks.len());
    state.relay.tell(&Heard { sync: false, event: &event, delivery: &delivery, payload: &bytes });
    Ok(HttpResponse::Accepted().json(answer))
}

/// Only the right signature of a body is one.
#[cfg(fuzzing)]
pub(in crate::http) fn fuzzed(signature: &str, body: &[u8]) {
    let secret = Secret::new("a secret that nobody guesses".to_owned());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("a key");
    mac.update(body);
    let right = mac.finalize().into_bytes();
    let right: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_right =
        signature.strip_prefix("sha256=").map(str::to_ascii_lowercase) == Some(right.clone());
    assert_eq!(is_signed(&secret, signature, body), is_right);
    assert!(is_signed(&secret, &format!("sha256={right}"), body));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of GitHub's documentation.
    const SECRET: &str = "It's a Secret to Everybody";
    const SIGNED: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn the_example_of_the_documentation_is_signed_and_nothing_else_is() {
        let secret = Secret::new(SECRET.to_owned());
        assert!(is_signed(&secret, SIGNED, b"Hello, World!"));
        assert!(!is_signed(&secret, SIGNED, b"Hello, World"));
        assert!(!is_signed(
            &Secret::new("another secret of it".to_owned()),
            SIGNED,
            b"Hello, World!"
        ));
        for bad in ["", "sha256=", "sha1=757107ea", &SIGNED[7..], &SIGNED[..70], "sha256=zz"] {
            assert!(!is_signed(&secret, bad, b"Hello, World!"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_made_up_signature_passes_or_panics(signature in "\\PC{0,80}", hex in "sha256=[0-9a-f]{64}") {
            let secret = Secret::new(SECRET.to_owned());
            prop_assert!(!is_signed(&secret, &signature, b"x"));
            prop_assert!(!is_signed(&secret, &hex, b"x"));
        }
    }
}
