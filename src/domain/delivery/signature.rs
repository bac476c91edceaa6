//! Signatures after the Standard Webhooks specification: `v1`, HMAC-SHA256 over
//! `id.timestamp.body`.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// How many bytes a secret has, at least and at most.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// How far the clock of a sender may be off, in seconds.
pub const TOLERANCE: i64 = 300;

/// The secret that signs. It is never printed but by [`SigningKey::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no signing secret: write `whsec_` and 24 to 64 random bytes in base64")]
pub struct NoKey;

/// Why a message is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The time is not a number of seconds.
    #[error("`webhook-timestamp` is not a number of seconds")]
    NoTime,
    /// It was sent long ago, or will be.
    #[error("`webhook-timestamp` is more than {TOLERANCE} s away from now")]
    OutOfTime,
    /// No signature is one of the secret.
    #[error("no signature in `webhook-signature` is of this secret and this body")]
    NotSigned,
}

impl SigningKey {
    /// The secret of random bytes: three random ids have 366 bits that nobody can guess.
    pub fn of(random: [Uuid; 3]) -> Self {
        Self(random.iter().flat_map(|id| *id.as_bytes()).collect())
    }

    /// The secret as text. Whoever calls this must not log it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    /// The signature of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", BASE64.encode(self.mac(id, timestamp, body).finalize().into_bytes()))
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        // An HMAC takes keys of any length.
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            Err(_) => Hmac::<Sha256>::new(&hmac::digest::Key::<Hmac<Sha256>>::default()),
        };
        for part in [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

/// The value of `webhook-signature`: one signature for each key.
pub fn header(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

/// Looks whether a message is of somebody who has the secret, and of now. Compares in a time that
/// does not depend on where signatures differ.
///
/// # Errors
///
/// [`Refused`].
pub fn verify(
    key: &SigningKey,
    (id, timestamp, signatures): (&str, &str, &str),
    body: &[u8],
    now: i64,
) -> Result<(), Refused> {
    let timestamp: i64 = timestamp.trim().parse().map_err(|_| Refused::NoTime)?;
    if timestamp.abs_diff(now) > TOLERANCE.unsigned_abs() {
        return Err(Refused::OutOfTime);
    }
    let is_ours = |signature: &str| {
        let sent = signature.strip_prefix("v1,").and_then(|text| BASE64.decode(text).ok());
        sent.is_some_and(|sent| key.mac(id, timestamp, body).verify_slice(&sent).is_ok())
    };
    if signatures.split(' ').any(is_ours) { Ok(()) } else { Err(Refused::NotSigned) }
}

impl FromStr for SigningKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| BASE64.decode(text).ok());
        bytes.filter(|bytes| LENGTH.contains(&bytes.len())).map(Self).ok_or(NoKey)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn key() -> SigningKey {
        SECRET.parse().unwrap()
    }

    fn key_of(number: u128) -> SigningKey {
        SigningKey::of([Uuid::from_u128(number); 3])
    }

    #[test]
    fn the_signature_is_that_of_the_reference_libraries() {
        let signed =
            key().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_read_as_it_was_written_and_never_shows() {
        assert_eq!(key().reveal(), SECRET);
        assert_eq!(format!("{:?}", key()), "***");
        let made = key_of(7);
        assert_eq!(made.reveal().parse(), Ok(made));
        let short = format!("whsec_{}", BASE64.encode([1; 23]));
        let long = format!("whsec_{}", BASE64.encode([1; 65]));
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", &short, &long] {
            assert_eq!(bad.parse::<SigningKey>(), Err(NoKey), "{bad}");
        }
    }

    #[test]
    fn old_and_new_secrets_sign_side_by_side() {
        let (old, new) = (key(), key_of(9));
        let both = header(&[new.clone(), old.clone()], "m", 5, b"x");
        for one in [&old, &new] {
            assert_eq!(verify(one, ("m", "5", &both), b"x", 5), Ok(()));
        }
        let stranger = key_of(1);
        assert_eq!(verify(&stranger, ("m", "5", &both), b"x", 5), Err(Refused::NotSigned));
    }

    #[test]
    fn what_is_out_of_time_or_no_time_is_refused() {
        let signed = key().sign("m", 1000, b"x");
        let rows = [
            ("1000", 1300, Ok(())),
            ("1000", 1301, Err(Refused::OutOfTime)),
            ("1000", 700, Ok(())),
            ("1000", 699, Err(Refused::OutOfTime)),
            ("", 1000, Err(Refused::NoTime)),
            ("1e3", 1000, Err(Refused::NoTime)),
            ("-9223372036854775808", i64::MAX, Err(Refused::OutOfTime)),
        ];
        for (time, now, verdict) in rows {
            assert_eq!(verify(&key(), ("m", time, &signed), b"x", now), verdict, "{time} {now}");
        }
    }

    proptest! {
        #[test]
        fn what_was_signed_is_taken_and_nothing_else(
            secret in any::<u128>(),
            id in "[a-zA-Z0-9_]{1,20}",
            time in 0_i64..4_000_000_000,
            body in proptest::collection::vec(any::<u8>(), 0..200),
            flip in any::<prop::sample::Index>(),
        ) {
            let key = key_of(secret);
            let signed = key.sign(&id, time, &body);
            let text = time.to_string();
            prop_assert_eq!(verify(&key, (&id, &text, &signed), &body, time), Ok(()));
            let mut other = body.clone();
            other.push(0);
            prop_assert_eq!(verify(&key, (&id, &text, &signed), &other, time), Err(Refused::NotSigned));
            let mut bytes = signed.into_bytes();
            let at = flip.index(bytes.len());
            bytes[at] ^= 1;
            let forged = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(verify(&key, (&id, &text, &forged), &body, time), Err(Refused::NotSigned));
        }

        #[test]
        fn no_header_makes_it_fall_over(id in ".{0,40}", time in ".{0,24}", signatures in ".{0,200}") {
            prop_assert!(verify(&key(), (&id, &time, &signatures), b"x", 0).is_err());
        }
    }
}
