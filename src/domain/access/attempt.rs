//! The token of an attempt: `hostler_attempt_<task>_<number>_<proof>`. It names the attempt that it is
//! for, and proves by a key of the host that the host made it; so none is kept. Whether the attempt
//! still runs is for the database to say.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::domain::{Attempt, TaskId};

/// What every token begins with, so that one that got lost is recognised where it lies.
const MARK: &str = "hostler_attempt_";

/// How many bytes the key of a host has.
const LENGTH: usize = 32;

/// The key by which a host proves that a token is its own. It is neither printed nor sent.
#[derive(Clone, PartialEq, Eq)]
pub struct AttemptKey([u8; LENGTH]);

impl fmt::Debug for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl AttemptKey {
    /// The key of random bytes: two random ids have 244 bits that nobody can guess.
    pub fn of(random: [Uuid; 2]) -> Self {
        let mut bytes = [0; LENGTH];
        for (half, id) in bytes.chunks_exact_mut(16).zip(random) {
            half.copy_from_slice(id.as_bytes());
        }
        Self(bytes)
    }

    /// The key as it was kept; none if it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The key as it is kept. Whoever calls this must not print it.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token of an attempt. Whoever calls this must not log it.
    pub fn token(&self, task: TaskId, attempt: Attempt) -> String {
        let proof = self.mac(task, attempt).finalize().into_bytes();
        let proof: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{MARK}{}_{attempt}_{proof}", task.as_uuid().simple())
    }

    /// The attempt that a token is for, if it is one of this host. It is compared in a time that does not
    /// depend on where it differs.
    pub fn read(&self, sent: &[u8]) -> Option<(TaskId, Attempt)> {
        let mut parts = std::str::from_utf8(sent).ok()?.strip_prefix(MARK)?.split('_');
        let (task, attempt, proof) = (parts.next()?, parts.next()?, parts.next()?);
        let task = TaskId::from_uuid(Uuid::try_parse(task).ok()?);
        let attempt = Attempt(attempt.parse().ok()?);
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if parts.next().is_some() || proof.len() != 2 * LENGTH || !proof.bytes().all(is_hex) {
            return None;
        }
        let mut bytes = [0; LENGTH];
        for (nth, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&proof[2 * nth..2 * nth + 2], 16).ok()?;
        }
        self.mac(task, attempt).verify_slice(&bytes).is_ok().then_some((task, attempt))
    }

    /// Whether what was sent is to be a token, and no API key.
    pub fn is_meant(sent: &[u8]) -> bool {
        sent.starts_with(MARK.as_bytes())
    }

    fn mac(&self, task: TaskId, attempt: Attempt) -> Hmac<Sha256> {
        // An HMAC takes keys of any length.
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            Err(_) => Hmac::<Sha256>::new(&hmac::digest::Key::<Hmac<Sha256>>::default()),
        };
        mac.update(b"hostler attempt");
        mac.update(task.as_uuid().as_bytes());
        mac.update(&attempt.0.to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::access::ApiKey;

    fn key(seed: u128) -> AttemptKey {
        AttemptKey::of([Uuid::from_u128(seed), Uuid::from_u128(seed + 1)])
    }

    #[test]
    fn a_token_is_of_its_host_and_its_attempt_alone() {
        let task = TaskId::from_uuid(Uuid::from_u128(7));
        let token = key(1).token(task, Attempt(2));
        assert_eq!(key(1).read(token.as_bytes()), Some((task, Attempt(2))));
        assert_eq!(key(9).read(token.as_bytes()), None, "of another host");
        let kept = AttemptKey::from_bytes(key(1).as_bytes()).unwrap();
        assert_eq!(kept.token(task, Attempt(2)), token);
        assert!(AttemptKey::is_meant(token.as_bytes()));
        assert_eq!(ApiKey::id_in(token.as_bytes()), None, "it is no API key");
        for forged in [
            token.replace("_2_", "_3_"),
            token.replace("0007_", "0008_"),
            token.replace("_2_", "_02_"),
            token.to_uppercase(),
            format!("{token}0"),
            format!("{token}_"),
            token[..token.len() - 1].to_owned(),
            String::new(),
            MARK.to_owned(),
        ] {
            let read = key(1).read(forged.as_bytes());
            // A number may be written in more ways than one, and is the same.
            assert!(read.is_none() || forged.contains("_02_"), "{forged}");
        }
        assert!(!format!("{:?}", key(1)).contains("01"));
    }

    proptest! {
        #[test]
        fn every_token_is_read_and_nothing_else(seed in 0..u128::MAX - 1, task: u128, attempt: u32, noise: Vec<u8>) {
            let (key, task) = (key(seed), TaskId::from_uuid(Uuid::from_u128(task)));
            let token = key.token(task, Attempt(attempt));
            prop_assert_eq!(key.read(token.as_bytes()), Some((task, Attempt(attempt))));
            prop_assert_eq!(key.read(&noise), None);
            let noise = [MARK.as_bytes(), &noise].concat();
            prop_assert_eq!(key.read(&noise), None);
        }
    }
}
