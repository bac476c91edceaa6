//! What a task needs for itself while it runs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::domain::glob::Glob;

/// The longest name of a lock or a key, in characters.
pub const MAX_LABEL: usize = 255;

/// The most locks, the most paths and the most keys of one task.
pub const MAX_NEEDS: usize = 64;

/// The name of a lock or of a key: free text, such as `branch:main` or `account:alice`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,255}$")]
pub struct Label(String);

/// A text that can not be the name of a lock or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name of a lock or a key has 1 to {MAX_LABEL} characters, none of them a control character"
)]
pub struct ParseLabelError;

impl Label {
    /// The name as text.
    pub const fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, ParseLabelError> {
        let length = text.chars().take(MAX_LABEL + 1).count();
        if length == 0 || length > MAX_LABEL || text.chars().any(char::is_control) {
            return Err(ParseLabelError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Label {
    type Error = ParseLabelError;

    fn try_from(text: String) -> Result<Self, ParseLabelError> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

/// How a lock is held.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By one task alone.
    #[default]
    Exclusive,
    /// By any number of tasks that share it.
    Shared,
}

/// How files are used.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// By one task alone.
    #[default]
    Write,
    /// By any number of tasks that read.
    Read,
}

/// A lock that a task needs.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct LockUse {
    /// Its name.
    pub name: Label,
    /// How it is held.
    pub mode: Mode,
}

/// Files that a task needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PathUse {
    /// Which.
    pub glob: Glob,
    /// How they are used.
    pub mode: Access,
}

/// Everything that a task needs for itself while it runs. Each name stands in it once, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Needs {
    locks: Vec<LockUse>,
    paths: Vec<PathUse>,
    keys: Vec<Label>,
}

/// Which kind of need a row of the database is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NeedKind {
    /// A lock, held alone.
    Exclusive,
    /// A lock, shared.
    Shared,
    /// Files that are written.
    Write,
    /// Files that are read.
    Read,
    /// One of what a key has.
    Key,
}

impl NeedKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Exclusive, Self::Shared, Self::Write, Self::Read, Self::Key];

    /// The word used in SQL and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Write => "write",
            Self::Read => "read",
            Self::Key => "key",
        }
    }
}

impl fmt::Display for NeedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A row that is no need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` can not be what a task needs ({kind})")]
pub struct UnreadableNeed {
    kind: NeedKind,
    name: String,
}

impl Needs {
    /// What a task needs: a name that is given twice counts in its stronger form.
    pub fn new(mut locks: Vec<LockUse>, mut paths: Vec<PathUse>, mut keys: Vec<Label>) -> Self {
        // The stronger form comes first of its name, and stays.
        locks.sort();
        locks.dedup_by(|next, kept| next.name == kept.name);
        paths.sort_by(|a, b| (a.glob.as_str(), a.mode).cmp(&(b.glob.as_str(), b.mode)));
        paths.dedup_by(|next, kept| next.glob == kept.glob);
        keys.sort();
        keys.dedup();
        Self { locks, paths, keys }
    }

    /// What the rows of the database say.
    ///
    /// # Errors
    ///
    /// [`UnreadableNeed`] names the first row that makes no sense.
    pub fn from_rows<'a>(
        rows: impl IntoIterator<Item = (NeedKind, &'a str)>,
    ) -> Result<Self, UnreadableNeed> {
        let (mut locks, mut paths, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, name) in rows {
            let label = || name.parse::<Label>().ok();
            let glob = || name.parse::<Glob>().ok();
            let read = match kind {
                NeedKind::Exclusive => {
                    label().map(|name| locks.push(LockUse { name, mode: Mode::Exclusive }))
                }
                NeedKind::Shared => {
                    label().map(|name| locks.push(LockUse { name, mode: Mode::Shared }))
                }
                NeedKind::Write => {
                    glob().map(|glob| paths.push(PathUse { glob, mode: Access::Write }))
                }
                NeedKind::Read => {
                    glob().map(|glob| paths.push(PathUse { glob, mode: Access::Read }))
                }
                NeedKind::Key => label().map(|name| keys.push(name)),
            };
            read.ok_or_else(|| UnreadableNeed { kind, name: name.to_owned() })?;
        }
        Ok(Self::new(locks, paths, keys))
    }

    /// The rows of the database, in the order in which they are kept.
    pub fn rows(&self) -> impl Iterator<Item = (NeedKind, &str)> {
        let locks = self.locks.iter().map(|lock| {
            let kind = match lock.mode {
                Mode::Exclusive => NeedKind::Exclusive,
                Mode::Shared => NeedKind::Shared,
            };
            (kind, lock.name.as_str())
        });
        let paths = self.paths.iter().map(|path| {
            let kind = match path.mode {
                Access::Write => NeedKind::Write,
                Access::Read => NeedKind::Read,
            };
            (kind, path.glob.as_str())
        });
        locks.chain(paths).chain(self.keys.iter().map(|key| (NeedKind::Key, key.as_str())))
    }

    /// The locks, by their names.
    pub fn locks(&self) -> &[LockUse] {
        &self.locks
    }

    /// The files, by their patterns.
    pub fn paths(&self) -> &[PathUse] {
        &self.paths
    }

    /// The keys, in their order.
    pub fn keys(&self) -> &[Label] {
        &self.keys
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many things are needed.
    pub fn count(&self) -> usize {
        self.locks.len() + self.paths.len() + self.keys.len()
    }

    /// The number of the lane of such tasks: the same for the same needs, in every version of the
    /// program and on every host; none where nothing is needed.
    ///
    /// Two lanes could get the same number by chance. Then one may hide the other from a claim for
    /// as long as its own first task is blocked. And a claim goes by it to see that a task still
    /// needs what was looked at: a task that is replaced just then by one of the other lane would begin.
    pub fn lane(&self) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        let bytes = self.rows().flat_map(|(kind, name)| {
            kind.as_str().bytes().chain([0]).chain(name.bytes()).chain([0])
        });
        // FNV-1a, 64 bits.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Some(hash.cast_signed())
    }
}
