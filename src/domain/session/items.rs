//! What is written down in a session, as callers give it, and what listings are asked for.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Cursor, ItemName, SessionId, SessionState};

/// The most tags of a memory.
pub const MAX_TAGS: usize = 50;

/// The longest tag, in characters.
pub const MAX_TAG: usize = 100;

/// Whether a text can be a tag: in the column that is searched, what begins with a control character is
/// none.
pub fn is_tag(text: &str) -> bool {
    (1..=MAX_TAG).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A word that is not one of those that there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {0}")]
pub struct UnknownWord(String);

impl UnknownWord {
    /// The one of `all` whose word is `text`.
    pub(super) fn find<T: Copy>(
        text: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<T, Self> {
        let found = all.iter().copied().find(|one| word(*one) == text);
        found.ok_or_else(|| {
            let words: Vec<_> = all.iter().map(|one| word(*one)).collect();
            Self(words.join(", "))
        })
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $word)] $variant,)*
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use utoipa::openapi::{ObjectBuilder, schema::Type};
                let text = ObjectBuilder::new().schema_type(Type::String);
                text.enum_values(Some([$($word,)*])).into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its word in SQL, in the API and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                UnknownWord::find(text, Self::ALL, Self::as_str)
            }
        }
    };
}

words!(
    /// What kind of thing a memory is.
    MemoryType {
        /// Something that could be done.
        Idea = "idea",
        /// Something that was decided.
        Decision = "decision",
        /// Something that is to be found out.
        Question = "question",
        /// Something that is to be done.
        ActionItem = "action_item",
        /// What the work is about.
        Context = "context",
        /// How somebody likes things to be.
        Preference = "preference",
        /// How things are.
        Fact = "fact",
        /// What may go wrong.
        Risk = "risk",
        /// Anything else.
        Note = "note",
    }
);
words!(
    /// What the content of a chunk is.
    ChunkFormat {
        /// Who said what, in turns.
        Dialogue = "dialogue",
        /// What it came to.
        Summary = "summary",
        /// All of it, word for word.
        Transcript = "transcript",
    }
);
words!(
    /// What a search finds.
    SearchKind {
        /// A session, by its title and its context.
        Session = "session",
        /// A chunk, by what was said.
        Chunk = "chunk",
        /// A memory, by its key, its content and its tags.
        Memory = "memory",
        /// An artifact, by what it is called and its content.
        Artifact = "artifact",
        /// A task that was given away, by what was to be done and what it is called.
        Task = "task",
    }
);

/// A session that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// What it is about, in a line.
    pub title: String,
    /// Who takes part.
    pub participants: Vec<String>,
    /// What one must know to go on with it.
    pub context: String,
    /// Anything more, an object.
    pub metadata: Map<String, Value>,
}

/// What is changed of a session; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionChange {
    /// Its title.
    pub title: Option<String>,
    /// Its participants.
    pub participants: Option<Vec<String>>,
    /// Its context.
    pub context: Option<String>,
    /// Its metadata.
    pub metadata: Option<Map<String, Value>>,
}

/// A memory that is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMemory {
    /// Its key; the same key again replaces it.
    pub key: ItemName,
    /// What kind of thing it is.
    pub kind: MemoryType,
    /// The content, any JSON.
    pub content: Value,
    /// The words under which it is found.
    pub tags: Vec<String>,
    /// When it was made, if that was elsewhere.
    pub at: Option<Timestamp>,
}

/// A chunk of a conversation that is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChunk {
    /// Its id; the same id again replaces it.
    pub name: ItemName,
    /// What the content is.
    pub format: ChunkFormat,
    /// What was said.
    pub content: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who took part.
    pub participants: Vec<String>,
    /// What came out of it.
    pub extracted: Extracted,
    /// Anything more, an object.
    pub metadata: Map<String, Value>,
    /// When it was made, if that was elsewhere.
    pub at: Option<Timestamp>,
}

/// What came out of a conversation. Each item is any JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Extracted {
    /// Ideas.
    #[serde(default)]
    pub ideas: Vec<Value>,
    /// Decisions.
    #[serde(default)]
    pub decisions: Vec<Value>,
    /// Questions.
    #[serde(default)]
    pub questions: Vec<Value>,
    /// What is to be done.
    #[serde(default)]
    pub action_items: Vec<Value>,
}

impl Extracted {
    /// The memories that become of the items of the chunk `of`: each has the tag `extracted`, and a key
    /// that is the same when the chunk is sent again.
    pub fn memories(&self, of: &ItemName) -> Vec<NewMemory> {
        let lists = [
            (MemoryType::Idea, &self.ideas),
            (MemoryType::Decision, &self.decisions),
            (MemoryType::Question, &self.questions),
            (MemoryType::ActionItem, &self.action_items),
        ];
        let mut memories = Vec::new();
        for (kind, items) in lists {
            for (content, nth) in items.iter().zip(1..) {
                let end = format!(":{kind}:{nth}");
                let room = ItemName::MAX - end.chars().count();
                let key: String = of.as_str().chars().take(room).chain(end.chars()).collect();
                let Ok(key) = key.parse() else { continue };
                let tags = vec!["extracted".to_owned()];
                memories.push(NewMemory { key, kind, content: content.clone(), tags, at: None });
            }
        }
        memories
    }
}

/// Something that was made and is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewArtifact {
    /// Its id; the same id again replaces it.
    pub name: ItemName,
    /// What kind of thing it is, in the caller's word.
    pub kind: String,
    /// Its name, for people.
    pub title: String,
    /// The content.
    pub content: String,
    /// What the content is: `markdown`, `python`.
    pub format: String,
    /// Anything more, an object.
    pub metadata: Map<String, Value>,
    /// The task that made it, by the caller's name for it.
    pub task: Option<ItemName>,
    /// When it was made, if that was elsewhere.
    pub at: Option<Timestamp>,
}

/// A task that is given away in a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegation {
    /// What the caller calls the task; its id in the queue where absent.
    pub name: Option<ItemName>,
    /// Whose work it is: a fleet, or one of its agents.
    pub agent: String,
    /// What kind of task it is.
    pub kind: String,
    /// What is to be done.
    pub description: String,
    /// Higher runs first.
    pub priority: i16,
    /// What the agent needs to know.
    pub input: Map<String, Value>,
}

impl Delegation {
    /// The input of the task: what the caller gave, and beside it what is to be done and for which
    /// session. `prompt` is the description, unless the caller gave another.
    pub fn task_input(&self, session: &SessionId) -> Value {
        let mut input = Map::new();
        input.insert("prompt".to_owned(), json!(self.description));
        input.insert("description".to_owned(), json!(self.description));
        input.insert("task_type".to_owned(), json!(self.kind));
        input.insert("session_id".to_owned(), json!(session));
        input.extend(self.input.iter().map(|(name, value)| (name.clone(), value.clone())));
        Value::Object(input)
    }
}

/// Something that an assistant noticed.
#[derive(Debug, Clone, PartialEq)]
pub struct Insight {
    /// What kind of thing it is.
    pub kind: MemoryType,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// What it is, in a line; its key is made of it.
    pub title: String,
    /// What it is.
    pub content: Value,
    /// The words under which it is found.
    pub tags: Vec<String>,
    /// What should come of it.
    pub followup: Option<String>,
}

impl Insight {
    /// The memory that is kept of it.
    pub fn memory(self) -> NewMemory {
        let content = json!({
            "title": self.title,
            "content": self.content,
            "priority": self.priority,
            "suggested_followup": self.followup,
        });
        let key = ItemName::made_of(&self.title);
        NewMemory { key, kind: self.kind, content, tags: self.tags, at: None }
    }
}

/// Which sessions a listing shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionFilter {
    /// In any of these states; in any where there are none.
    pub states: Vec<SessionState>,
    /// That this one takes part in.
    pub participant: Option<String>,
    /// Whose title or context has these words.
    pub text: Option<String>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
    /// Where to begin.
    pub after: Option<Cursor>,
}

/// Which memories a listing shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryFilter {
    /// Of these types; of any where there are none.
    pub kinds: Vec<MemoryType>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// That fit these words.
    pub text: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// Where to begin.
    pub after: Option<Cursor>,
}

/// Which artifacts a listing shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArtifactFilter {
    /// Of this type.
    pub kind: Option<String>,
    /// Whose content, name, id or type fits these words.
    pub text: Option<String>,
    /// That this task made.
    pub task: Option<ItemName>,
    /// Written at this time or later.
    pub since: Option<Timestamp>,
    /// Written before this time.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
    /// Where to begin.
    pub after: Option<Cursor>,
}

/// What is searched for, in all sessions or in one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchFilter {
    /// The words.
    pub text: String,
    /// Among these kinds; among all where there are none.
    pub kinds: Vec<SearchKind>,
    /// In this session.
    pub session: Option<SessionId>,
    /// Memories with all of these tags.
    pub tags: Vec<String>,
    /// Memories of these types.
    pub types: Vec<MemoryType>,
    /// Written at this time or later.
    pub since: Option<Timestamp>,
    /// Written before this time.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
    /// Where to begin.
    pub after: Option<Cursor>,
}
