//! Sessions: what people and their assistants write down about a piece of work.
//!
//! A session holds chunks of its conversation, memories, artifacts, and links to the tasks that were
//! given away in it. It is active, paused or completed; a completed one takes nothing more. The
//! database refuses every step that [`step`] refuses; a test walks both.

mod cursor;
mod ids;
mod items;
mod record;
mod search;
mod transfer;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use cursor::{Cursor, NoCursor};
pub use ids::{ItemName, NotAName, SessionId};
pub use items::{
    ArtifactFilter, ChunkFormat, Delegation, Extracted, Insight, MAX_TAG, MAX_TAGS, MemoryFilter,
    MemoryType, NewArtifact, NewChunk, NewMemory, NewSession, SearchFilter, SearchKind,
    SessionChange, SessionFilter, UnknownWord, is_tag,
};
pub use record::{
    ArtifactRecord, ChunkRecord, Deleted, Export, Imported, MemoryRecord, PastTask, SearchHit,
    SessionRecord, SessionStats, SessionTaskRecord, Tally,
};
pub use search::{SearchTerms, pieces};
pub use transfer::{FORM, Flaw, Form, NotReadable, Part, read_markdown};

/// Where a session is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Things are written down in it.
    Active,
    /// Put aside; things can still be written down in it.
    Paused,
    /// Over: it can be read, and nothing is written down in it any more. Final.
    Completed,
}

impl SessionState {
    /// Every state, in the order of a session's life.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Completed];

    /// The word used in SQL, in the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
        }
    }

    /// Whether something can be written down in the session.
    pub const fn takes(self) -> bool {
        !matches!(self, Self::Completed)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for SessionState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::find(text, &Self::ALL, Self::as_str)
    }
}

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEvent {
    /// Somebody puts it aside.
    Paused,
    /// Somebody goes on with it.
    Resumed,
    /// Somebody says that it is over.
    Completed,
}

impl SessionEvent {
    /// Every event.
    pub const ALL: [Self; 3] = [Self::Paused, Self::Resumed, Self::Completed];

    /// What is asked for, in a word.
    const fn deed(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Completed => "completed",
        }
    }
}

/// An event that makes no sense in that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {state}, so it can't be {}", event.deed())]
pub struct IllegalSessionStep {
    /// Where the session is.
    pub state: SessionState,
    /// What was asked for.
    pub event: SessionEvent,
}

/// Decides what `event` makes of a session in `state`.
///
/// # Errors
///
/// [`IllegalSessionStep`] where the pair is not in the table.
pub const fn step(
    state: SessionState,
    event: SessionEvent,
) -> Result<SessionState, IllegalSessionStep> {
    use SessionEvent as E;
    use SessionState as S;
    Ok(match (state, event) {
        (S::Active, E::Paused) => S::Paused,
        (S::Paused, E::Resumed) => S::Active,
        (S::Active | S::Paused, E::Completed) => S::Completed,
        (state, event) => return Err(IllegalSessionStep { state, event }),
    })
}

#[cfg(test)]
mod tests;
