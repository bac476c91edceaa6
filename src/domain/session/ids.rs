//! The names that callers have for sessions and for what is in them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that can't be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't be {what}: use 1 to {max} characters without control characters{but}")]
pub struct NotAName {
    what: &'static str,
    max: usize,
    but: &'static str,
}

macro_rules! free_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $but:literal, $pattern:literal, $refused:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = $pattern)]
        pub struct $name(String);

        impl $name {
            /// The longest, in characters.
            pub const MAX: usize = $max;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                let refused: fn(char) -> bool = $refused;
                let count = text.chars().count();
                let is_name = (1..=$max).contains(&count)
                    && !text.chars().any(|c| c.is_control() || refused(c))
                    && text != "." && text != "..";
                if is_name {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NotAName { what: $what, max: $max, but: $but })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

free_name!(
    /// What a caller calls a session. It may stand in a path and be the name of a directory.
    SessionId, "the id of a session", 200, ", and no `/` or `\\`",
    r"^[^/\\\x00-\x1f\x7f-\x9f]{1,200}$", |c| matches!(c, '/' | '\\')
);
free_name!(
    /// What a caller calls something in a session: the key of a memory, the id of a chunk, an artifact
    /// or a task.
    ItemName, "a key or an id", 255, "", r"^[^\x00-\x1f\x7f-\x9f]{1,255}$", |_| false
);

impl ItemName {
    /// A name made of `words`: plain, and as much of them as there is room for.
    pub fn made_of(words: &str) -> Self {
        let mut name = String::new();
        for c in words.chars().flat_map(char::to_lowercase) {
            match c {
                c if c.is_alphanumeric() => name.push(c),
                _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
                _ => {}
            }
            if name.chars().count() >= 80 {
                break;
            }
        }
        let name = name.trim_matches('-');
        Self(if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() })
    }
}
