//! From JSON to what sessions are asked, field by field. Pure. Shared by the webhook, which lets fields
//! pass that it does not know, and the resources, which do not.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    domain::session::{
        ArtifactFilter, ChunkFormat, Cursor, Delegation, Extracted, ItemName, MAX_TAG, MAX_TAGS,
        MemoryFilter, MemoryType, NewArtifact, NewChunk, NewMemory, NewSession, SessionChange,
        SessionFilter, SessionId, SessionState,
    },
    http::fields::{Fields, kind_of},
};

/// The longest title, and the longest name of somebody, in characters.
pub(in crate::http) const MAX_TITLE: usize = 1000;

/// The longest context and the longest description, in characters.
const MAX_PROSE: usize = 1_000_000;

/// The most participants.
const MAX_PARTICIPANTS: usize = 200;

/// The most extracted items of a kind.
const MAX_EXTRACTED: usize = 1000;

/// The most items on a page.
pub(in crate::http) const MAX_LIMIT: u32 = 500;

/// How many sessions a page has where the caller does not say.
const SESSIONS: u32 = 20;

/// How many memories, chunks, tasks or artifacts a page has where the caller does not say.
pub(in crate::http) const ITEMS: u32 = 10;

/// Makes up names for what the caller gave none: the same for the same request, where that has a key.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Names {
    key: Option<String>,
    made: u32,
}

impl Names {
    /// Names of a request; `key` is its idempotency key.
    pub(in crate::http) fn of(key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), made: 0 }
    }

    /// Names of a request with this body: a key that is used again for another, long after, finds nothing
    /// of this one.
    pub(in crate::http) fn of_body(key: Option<&str>, body: &[u8]) -> Self {
        let hash = Sha256::digest(body);
        Self { key: key.map(|key| format!("{key}\0{}", hex(&hash))), made: 0 }
    }

    /// A name that begins with `word`.
    pub(in crate::http) fn make(&mut self, word: &str) -> String {
        self.made += 1;
        match &self.key {
            None => format!("{word}-{}", Uuid::now_v7().simple()),
            Some(key) => {
                let hash = Sha256::digest(format!("{key}\0{word}\0{}", self.made));
                format!("{word}-{}", hex(&hash[..16]))
            }
        }
    }

    fn item(&mut self, word: &str) -> Option<ItemName> {
        self.make(word).parse().ok()
    }

    /// The name of a task that got none: without a key it goes by its id.
    pub(in crate::http) fn task(&mut self) -> Option<ItemName> {
        self.key.is_some().then(|| self.item("task")).flatten()
    }
}

/// Bytes as digits.
pub(in crate::http) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes a text that may have several lines.
pub(in crate::http) fn prose(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text = match fields.take(name)? {
        Value::String(text) => text,
        other => {
            fields.wrong(name, format!("must be a string, not {}", kind_of(&other)));
            return None;
        }
    };
    let count = text.chars().count();
    if text.contains('\0') {
        fields.wrong(name, "has the character U+0000, which Postgres can't store");
        return None;
    }
    if count > MAX_PROSE {
        fields.wrong(name, format!("has {count} characters; at most {MAX_PROSE} are taken"));
        return None;
    }
    Some(text)
}

/// Takes a content: a text of any length, or any other JSON, which is kept as its text.
fn content(fields: &mut Fields<'_>, name: &'static str) -> String {
    match fields.take(name) {
        None => {
            fields.wrong(name, "must be there");
            String::new()
        }
        Some(Value::String(text)) => {
            if text.contains('\0') {
                fields.wrong(name, "has the character U+0000, which Postgres can't store");
            }
            text
        }
        Some(other) => other.to_string(),
    }
}

/// Takes an object of anything.
pub(in crate::http) fn anything(
    fields: &mut Fields<'_>,
    name: &'static str,
) -> Option<Map<String, Value>> {
    match fields.json(name, u64::MAX) {
        Value::Null => None,
        Value::Object(object) => Some(object),
        other => {
            fields.wrong(name, format!("must be an object, not {}", kind_of(&other)));
            None
        }
    }
}

/// Takes a time; one without an offset means UTC.
fn time(fields: &mut Fields<'_>, name: &'static str) -> Option<Timestamp> {
    let text = fields.text(name, 64)?;
    let found = instant(&text);
    if found.is_none() {
        fields.wrong(name, "must be a time after ISO 8601, as in `2030-01-31T08:00:00Z`");
    }
    found
}

/// A time; one without an offset means UTC.
pub(in crate::http) fn instant(text: &str) -> Option<Timestamp> {
    let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse::<Timestamp>().ok().or_else(|| civil().map(|zoned| zoned.timestamp()))
}

fn participants(fields: &mut Fields<'_>) -> Vec<String> {
    let texts = fields.texts("participants", MAX_TITLE);
    if texts.len() > MAX_PARTICIPANTS {
        fields.wrong("participants", format!("has more than {MAX_PARTICIPANTS} items"));
    }
    texts
}

/// Takes the tags of a memory, each once.
pub(in crate::http) fn tags(fields: &mut Fields<'_>) -> Vec<String> {
    let mut tags = fields.texts("tags", MAX_TAG);
    if tags.len() > MAX_TAGS {
        fields.wrong("tags", format!("has {} items; at most {MAX_TAGS} are taken", tags.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    tags
}

/// A session that is to be made, under this id.
pub(in crate::http) fn session(fields: &mut Fields<'_>, id: SessionId) -> NewSession {
    NewSession {
        title: fields.text("title", MAX_TITLE).unwrap_or_else(|| id.to_string()),
        participants: participants(fields),
        context: prose(fields, "context").unwrap_or_default(),
        metadata: anything(fields, "metadata").unwrap_or_default(),
        id,
    }
}

/// What is to be changed of a session.
pub(in crate::http) fn change(fields: &mut Fields<'_>) -> SessionChange {
    let changes_participants = fields.gives("participants");
    let participants = participants(fields);
    SessionChange {
        title: fields.text("title", MAX_TITLE),
        participants: changes_participants.then_some(participants),
        context: prose(fields, "context"),
        metadata: anything(fields, "metadata"),
    }
}

/// A memory; `key` is the one that its path has.
pub(in crate::http) fn memory(
    fields: &mut Fields<'_>,
    key: Option<ItemName>,
    names: &mut Names,
) -> Option<NewMemory> {
    let kind = fields.parsed("type").unwrap_or(MemoryType::Note);
    let key = key.or_else(|| fields.parsed("key")).or_else(|| names.item(kind.as_str()));
    if !fields.gives("content") {
        fields.wrong("content", "must be there: what is to be kept, any JSON");
    }
    let content = fields.json("content", u64::MAX);
    let tags = tags(fields);
    Some(NewMemory { key: key?, kind, content, tags, at: None })
}

/// A chunk; `name` is the one that its path has.
pub(in crate::http) fn chunk(
    fields: &mut Fields<'_>,
    name: Option<ItemName>,
    names: &mut Names,
) -> Option<NewChunk> {
    let name = name.or_else(|| fields.parsed("chunk_id")).or_else(|| names.item("chunk"));
    let extracted = extracted(fields);
    Some(NewChunk {
        name: name?,
        format: fields.parsed("format").unwrap_or(ChunkFormat::Dialogue),
        content: content(fields, "content"),
        started_at: time(fields, "start_time"),
        ended_at: time(fields, "end_time"),
        participants: participants(fields),
        extracted,
        metadata: anything(fields, "metadata").unwrap_or_default(),
        at: None,
    })
}

fn extracted(fields: &mut Fields<'_>) -> Extracted {
    let Some(mut inside) = fields.object("extracted_items") else { return Extracted::default() };
    let mut list = |name: &'static str| match inside.json(name, u64::MAX) {
        Value::Null => Vec::new(),
        Value::Array(items) if items.len() <= MAX_EXTRACTED => items,
        Value::Array(_) => {
            inside.wrong(name, format!("has more than {MAX_EXTRACTED} items"));
            Vec::new()
        }
        other => {
            inside.wrong(name, format!("must be an array, not {}", kind_of(&other)));
            Vec::new()
        }
    };
    Extracted {
        ideas: list("ideas"),
        decisions: list("decisions"),
        questions: list("questions"),
        action_items: list("action_items"),
    }
}

/// An artifact; `name` is the one that its path has.
pub(in crate::http) fn artifact(
    fields: &mut Fields<'_>,
    name: Option<ItemName>,
    names: &mut Names,
) -> Option<NewArtifact> {
    let name = name.or_else(|| fields.parsed("artifact_id")).or_else(|| names.item("artifact"))?;
    Some(NewArtifact {
        kind: fields.text("type", MAX_TITLE).unwrap_or_else(|| "document".to_owned()),
        title: fields.text("name", MAX_TITLE).unwrap_or_else(|| name.to_string()),
        content: content(fields, "content"),
        format: fields.text("format", MAX_TITLE).unwrap_or_else(|| "text".to_owned()),
        metadata: anything(fields, "metadata").unwrap_or_default(),
        task: fields.parsed("task_id"),
        name,
        at: None,
    })
}

/// A task that is to be given away.
pub(in crate::http) fn delegation(
    fields: &mut Fields<'_>,
    names: &mut Names,
) -> Option<Delegation> {
    let name = fields.parsed("task_id").or_else(|| names.task());
    let agent = fields.text("agent_name", MAX_TITLE);
    if agent.is_none() {
        fields.wrong("agent_name", "must be there: the fleet whose work it is");
    }
    // All of it is looked at before anything is given up: every mistake is named at once.
    let kind = fields.text("task_type", 255).unwrap_or_else(|| "task".to_owned());
    let description = prose(fields, "description").unwrap_or_default();
    let priority = priority(fields);
    let input = anything(fields, "input_data").unwrap_or_default();
    Some(Delegation { name, agent: agent?, kind, description, priority, input })
}

/// Takes `priority`: a word, or a number.
fn priority(fields: &mut Fields<'_>) -> i16 {
    const WORDS: [(&str, i16); 5] =
        [("urgent", 20), ("high", 10), ("medium", 0), ("normal", 0), ("low", -10)];
    match fields.take("priority") {
        None => 0,
        Some(Value::String(word)) => {
            let found = WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
            found.unwrap_or_else(|| {
                fields.wrong("priority", "must be urgent, high, medium, low or a whole number");
                0
            })
        }
        Some(other) => {
            let number = other.as_i64().and_then(|number| i16::try_from(number).ok());
            number.unwrap_or_else(|| {
                fields.wrong("priority", "must be a whole number from -32768 to 32767, or a word");
                0
            })
        }
    }
}

/// Takes `limit`; more than a page can have is cut to that.
pub(in crate::http) fn limit(fields: &mut Fields<'_>, default: u32) -> u32 {
    let limit = fields.integer("limit", 1..=i64::MAX);
    limit.map_or(default, |limit| u32::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT))
}

/// Takes `cursor`.
pub(in crate::http) fn cursor(fields: &mut Fields<'_>) -> Option<Cursor> {
    fields.parsed("cursor")
}

/// Which sessions are listed.
pub(in crate::http) fn session_filter(fields: &mut Fields<'_>) -> SessionFilter {
    let all = SessionState::ALL.map(|state| (state.as_str(), Some(state)));
    let words = [&[("all", None)][..], &all].concat();
    let state = fields.word("filter", &words).flatten();
    SessionFilter {
        states: state.into_iter().collect(),
        participant: fields.text("participant", MAX_TITLE),
        text: fields.text("text", MAX_TITLE),
        since: None,
        limit: limit(fields, SESSIONS),
        after: cursor(fields),
    }
}

/// Which memories are listed.
pub(in crate::http) fn memory_filter(fields: &mut Fields<'_>) -> MemoryFilter {
    let kind: Option<MemoryType> = fields.parsed("type");
    MemoryFilter {
        kinds: kind.into_iter().collect(),
        tags: tags(fields),
        text: fields.text("text", MAX_TITLE),
        limit: limit(fields, ITEMS),
        after: cursor(fields),
    }
}

/// Which artifacts are listed.
pub(in crate::http) fn artifact_filter(fields: &mut Fields<'_>) -> ArtifactFilter {
    ArtifactFilter {
        kind: fields.text("type", MAX_TITLE),
        text: fields.text("text", MAX_TITLE),
        task: fields.parsed("task_id"),
        since: time(fields, "since"),
        until: time(fields, "until"),
        limit: limit(fields, ITEMS),
        after: cursor(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_offset_means_utc() {
        let wanted = "2026-01-02T03:04:05Z".parse::<Timestamp>().ok();
        for text in ["2026-01-02T03:04:05", "2026-01-02 03:04:05", "2026-01-02T04:04:05+01:00"] {
            assert_eq!(instant(text), wanted, "{text}");
        }
        assert!(instant("2026-01-02T03:04:05.123456").is_some());
        assert_eq!(instant("yesterday"), None);
    }

    #[test]
    fn names_are_the_same_for_the_same_key_and_differ_within_a_request() {
        let (mut one, mut two) = (Names::of(Some("k")), Names::of(Some("k")));
        assert_eq!(one.make("idea"), two.make("idea"));
        assert_ne!(one.make("idea"), one.make("idea"));
        assert_ne!(Names::of(None).make("idea"), Names::of(None).make("idea"));
        let of = |body: &[u8]| Names::of_body(Some("k"), body).task();
        assert!(of(b"1").is_some() && of(b"1") == of(b"1") && of(b"1") != of(b"2"));
        assert_eq!(Names::of_body(None, b"1").task(), None, "it goes by its id");
    }
}
