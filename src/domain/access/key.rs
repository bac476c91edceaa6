//! The form of an API key: `hostler_<id>_<secret>`. The id is no secret: it finds the key in lists,
//! logs and records. Of the secret only a hash is kept.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What every key begins with, so that one that got lost is recognised where it lies.
const MARK: &str = "hostler_";

/// How many hex digits the id has.
const ID_DIGITS: usize = 12;

/// How many hex digits the secret has: two random UUIDs, 244 bits by chance.
const SECRET_DIGITS: usize = 64;

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a key goes by.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[0-9a-f]{12}$")]
pub struct KeyId(String);

/// The text is no key, or no id of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key is {ID_DIGITS} hex digits: the part of the key between its underscores")]
pub struct NotAKey;

impl KeyId {
    /// The id as text.
    pub const fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if is_hex(text, ID_DIGITS) { Ok(Self(text.to_owned())) } else { Err(NotAKey) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

/// What is kept of a key. A secret of 244 random bits can't be guessed from it, so one round of
/// SHA-256 is enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of what a caller sent.
    pub fn of(sent: &[u8]) -> Self {
        Self(Sha256::digest(sent).into())
    }

    /// The hash as it was kept; none if it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash as it is kept.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A whole key. It is shown once, when it is made, and neither kept nor printed.
pub struct ApiKey {
    id: KeyId,
    text: String,
}

impl ApiKey {
    /// The key that is made of three random UUIDs (version 4).
    pub fn of(id: Uuid, secret: [Uuid; 2]) -> Self {
        let digits = id.simple().to_string();
        // The first digits of a UUID of version 4 are all random.
        let id = KeyId(digits[..ID_DIGITS].to_owned());
        let text = format!("{MARK}{id}_{}{}", secret[0].simple(), secret[1].simple());
        Self { id, text }
    }

    /// What it goes by.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// What is kept of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.text.as_bytes())
    }

    /// The key itself. Whoever calls this must show it to nobody but its owner.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The id in what a caller sent; none if that has not the form of a key.
    pub fn id_in(sent: &[u8]) -> Option<KeyId> {
        let text = std::str::from_utf8(sent).ok()?;
        let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        is_hex(secret, SECRET_DIGITS).then(|| id.parse().ok())?
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}
