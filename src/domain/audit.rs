//! Who changed what, when, and from where: the words of the audit record. Pure.
//!
//! A [`Deed`] names a change, or an attempt at one, and never what it held: no body, no secret, no
//! memory. What was refused is put together by a [`Sieve`], so that a flood of it stays small.

mod sieve;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use sieve::{Sieve, WINDOW};

/// The longest text of a field, in characters.
pub const MAX_TEXT: usize = 255;

/// By which way it was asked for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// The API.
    Http,
    /// A command of `POST /webhook`, or a delivery of GitHub.
    Webhook,
    /// A tool of MCP.
    Mcp,
    /// A signal to the host.
    Signal,
    /// The host itself.
    Host,
    /// A command on the database itself, without a host.
    Cli,
}

/// What came of it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// The caller may not: no key, not this key, or not so often.
    Refused,
    /// It was not done for another reason.
    Failed,
}

/// The text is no word of the audit record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {known}")]
pub struct NoSuchWord {
    known: String,
}

macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),+) => {
        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = NoSuchWord;

            fn from_str(text: &str) -> Result<Self, NoSuchWord> {
                let found = Self::ALL.iter().copied().find(|one| one.as_str() == text);
                found.ok_or_else(|| NoSuchWord { known: [$($word),+].join(", ") })
            }
        }
    };
}

words!(Surface: Http = "http", Webhook = "webhook", Mcp = "mcp", Signal = "signal", Host = "host", Cli = "cli");
words!(Outcome: Done = "done", Refused = "refused", Failed = "failed");

impl Outcome {
    /// What an answer with this status says.
    pub const fn of_status(status: u16) -> Self {
        match status {
            0..=399 => Self::Done,
            401 | 403 | 429 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// A change, or an attempt at one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What it goes by, on its way into the database.
    pub id: Uuid,
    /// When, by the clock of the host.
    pub at: Timestamp,
    /// Who: `owner`, `key:3f9a2c41b07d`, `system`, …
    pub who: String,
    /// From which address; none is the unix socket, or the host itself.
    pub peer: Option<String>,
    /// By which way.
    pub surface: Surface,
    /// What was asked for: `tasks.cancel`, `delegate_task`, …
    pub operation: String,
    /// What it was about, by its name or id; empty where that says nothing.
    pub object: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// How often, since the record before that says the same: more than once only where it was not done.
    pub count: u32,
    /// The id of the request, where it was one.
    pub request: Option<String>,
}

impl Deed {
    /// Something that the host did by itself, or was told by a signal.
    pub fn of_host(id: Uuid, at: Timestamp, surface: Surface, operation: &str) -> Self {
        Self {
            id,
            at,
            who: surface.as_str().replace("host", "system"),
            peer: None,
            surface,
            operation: operation.to_owned(),
            object: String::new(),
            outcome: Outcome::Done,
            status: None,
            count: 1,
            request: None,
        }
    }

    /// The same with what callers chose made short and plain.
    #[must_use]
    pub fn plain(self) -> Self {
        Self {
            who: plain(self.who),
            peer: self.peer.map(plain),
            operation: plain(self.operation),
            object: plain(self.object),
            request: self.request.map(plain),
            ..self
        }
    }
}

fn plain(text: String) -> String {
    let is_plain = text.len() <= MAX_TEXT && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { text } else { text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect() }
}

/// A deed as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRecord {
    /// Its place among all of them: later ones have greater numbers.
    pub number: i64,
    /// The name of the host.
    pub host: String,
    /// When, by the clock of that host.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// From which address; null is the unix socket, or the host itself.
    pub peer: Option<String>,
    /// By which way.
    pub surface: Surface,
    /// What was asked for.
    pub operation: String,
    /// What it was about; empty where that says nothing.
    pub object: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// How often.
    pub count: u32,
    /// The id of the request, where it was one.
    pub request: Option<String>,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this caller.
    pub who: Option<String>,
    /// Of this operation, or those that begin so and go on with a dot.
    pub operation: Option<String>,
    /// About this.
    pub object: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// By this way.
    pub surface: Option<Surface>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// The oldest first; else the newest.
    pub oldest_first: bool,
    /// Those that come after this number in that order.
    pub cursor: Option<i64>,
    /// At most so many.
    pub limit: u32,
}
