//! Text that must not be seen: how it is held, and how it is taken out of other texts.

use std::{borrow::Cow, collections::BTreeMap, fmt, path::PathBuf};

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// A shorter text is in ordinary words too, and would make texts unreadable.
pub const MIN_SECRET: usize = 4;

/// A password, a key, or a URL that holds one. It can be used, but neither printed nor serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Whoever calls this must not print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Where a secret of a fleet comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// All of a file, without the white space around it.
    File(PathBuf),
    /// A variable of the host's own environment.
    Env(String),
    /// What a command writes to its stdout, without the white space around it.
    Command {
        /// The argv.
        argv: Vec<String>,
        /// Where it runs.
        cwd: PathBuf,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the variable {name} of the host"),
            // The words behind it may hold what nobody should read.
            Self::Command { argv, .. } => {
                write!(f, "the command `{}`", argv.first().map_or("", String::as_str))
            }
        }
    }
}

/// A secret that the processes of a fleet have in their environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSecret {
    /// Where it comes from.
    pub source: Source,
    /// What it is, once a host has asked there.
    pub value: Option<Secret>,
}

/// The secrets of a fleet, by the names of their variables.
pub type FleetSecrets = BTreeMap<String, FleetSecret>;

/// `text` without `secrets`, of which one that holds another must come first.
pub fn without<'t, 's>(text: &'t str, secrets: impl IntoIterator<Item = &'s str>) -> Cow<'t, str> {
    let mut clean = Cow::Borrowed(text);
    for secret in secrets {
        if clean.contains(secret) {
            clean = Cow::Owned(clean.replace(secret, MASK));
        }
    }
    clean
}

/// `text` without the secrets of a fleet.
pub fn hide<'t>(secrets: &FleetSecrets, text: &'t str) -> Cow<'t, str> {
    without(text, longest_first(secrets))
}

/// Takes the secrets of a fleet out of all texts in `value`, the names of fields among them.
pub fn hide_in(secrets: &FleetSecrets, value: &mut Value) {
    let secrets = longest_first(secrets);
    if !secrets.is_empty() {
        hide_deep(&secrets, value);
    }
}

fn hide_deep(secrets: &[&str], value: &mut Value) {
    let clean = |text: &str| without(text, secrets.iter().copied()).into_owned();
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_deep(secrets, item)),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(name, mut field)| {
                    hide_deep(secrets, &mut field);
                    (clean(&name), field)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn longest_first(secrets: &FleetSecrets) -> Vec<&str> {
    let values = secrets.values().filter_map(|one| one.value.as_ref()).map(Secret::reveal);
    let mut texts: Vec<&str> = values.filter(|text| text.len() >= MIN_SECRET).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets(values: &[&str]) -> FleetSecrets {
        let one = |value: &&str| FleetSecret {
            source: Source::Env("X".to_owned()),
            value: Some(Secret::new((*value).to_owned())),
        };
        values.iter().enumerate().map(|(at, value)| (at.to_string(), one(value))).collect()
    }

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("hunter2".to_owned());
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        let shown = format!("{shown} {:?}", secrets(&["hunter2"]));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(secret.reveal(), "hunter2");
        let argv = vec!["pass".to_owned(), "hunter2".to_owned()];
        let source = Source::Command { argv, cwd: PathBuf::from("/") };
        assert_eq!(source.to_string(), "the command `pass`");
    }

    #[test]
    fn texts_lose_what_is_secret_in_them_and_keep_the_rest() {
        let all = secrets(&["abcd", "abcdefgh", "no"]);
        assert_eq!(hide(&all, "x abcdefgh y abcd no"), "x *** y *** no");
        assert!(matches!(hide(&all, "nothing here"), Cow::Borrowed(_)));
        let mut value = json!({"a": ["abcd", 7, {"key abcd": "abcdefghi"}], "b": null});
        hide_in(&all, &mut value);
        assert_eq!(value, json!({"a": ["***", 7, {"key ***": "***i"}], "b": null}));
    }
}
