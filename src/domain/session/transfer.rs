//! The written form of a session: JSON for programs, Markdown for people, and both back again. Pure, and
//! piece by piece: a writer says what stands before, between and after the items of a session, a content
//! is written in pieces of any length.
//!
//! The Markdown has each item as a heading, a fence of JSON with all that is known of it, and its content
//! as a block that is indented by four spaces: so no content can be taken for anything else.

use serde::Serialize;
use serde_json::Value;

use super::{
    ArtifactRecord, ChunkRecord, Export, MAX_TAG, MAX_TAGS, MemoryRecord, SessionRecord,
    SessionState, SessionTaskRecord, is_tag,
};

/// The number of the form.
pub const FORM: u32 = 1;

/// How a session is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object.
    Json,
    /// Markdown.
    Markdown,
}

/// The lists of an export, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its chunks.
    Chunks,
    /// Its memories.
    Memories,
    /// Its artifacts.
    Artifacts,
    /// Its tasks.
    Tasks,
}

impl Part {
    /// Every one, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Chunks, Self::Memories, Self::Artifacts, Self::Tasks];

    const fn name(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Memories => "memories",
            Self::Artifacts => "artifacts",
            Self::Tasks => "tasks",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Chunks => "Conversation",
            Self::Memories => "Memories",
            Self::Artifacts => "Artifacts",
            Self::Tasks => "Tasks",
        }
    }

    /// The word of one item, in a fence.
    const fn one(self) -> &'static str {
        match self {
            Self::Chunks => "chunk",
            Self::Memories => "memory",
            Self::Artifacts => "artifact",
            Self::Tasks => "task",
        }
    }
}

impl Form {
    /// What stands before everything.
    pub fn begin(self, session: &SessionRecord) -> String {
        match self {
            Self::Json => {
                format!("{{\"hostler_session\":{FORM},\"session\":{}", json(session))
            }
            Self::Markdown => {
                format!("# {}\n\n{}\n", one_line(&session.title), fence("session", session))
            }
        }
    }

    /// What stands before the items of a part.
    pub fn open(self, part: Part) -> String {
        match self {
            Self::Json => format!(",\"{}\":[", part.name()),
            Self::Markdown => format!("\n## {}\n", part.title()),
        }
    }

    /// An item; one with a content is followed by that, and then by [`Form::end_content`].
    pub fn item(
        self,
        part: Part,
        first: bool,
        name: &str,
        item: &impl Serialize,
        has_content: bool,
    ) -> String {
        match self {
            Self::Json => {
                let mut text = json(item);
                if has_content {
                    text.pop();
                    text.push_str(",\"content\":\"");
                }
                if first { text } else { format!(",{text}") }
            }
            Self::Markdown => {
                let mut text = format!("\n### {}\n\n{}", one_line(name), fence(part.one(), item));
                if has_content {
                    text.push_str("\n    ");
                }
                text
            }
        }
    }

    /// A piece of a content.
    pub fn content(self, piece: &str) -> String {
        match self {
            Self::Json => {
                let quoted = json(&piece);
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Markdown => piece.replace('\n', "\n    "),
        }
    }

    /// What stands after a content.
    pub const fn end_content(self) -> &'static str {
        match self {
            Self::Json => "\"}",
            Self::Markdown => "\n",
        }
    }

    /// What stands after the items of a part.
    pub const fn close(self) -> &'static str {
        match self {
            Self::Json => "]",
            Self::Markdown => "",
        }
    }

    /// What stands after everything.
    pub const fn end(self) -> &'static str {
        match self {
            Self::Json => "}\n",
            Self::Markdown => "",
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn fence(word: &str, value: &impl Serialize) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("```json {word}\n{pretty}\n```\n")
}

/// Something in a written session that no host would have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct Flaw {
    /// Where.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

impl Export {
    /// Looks whether it can be read in.
    ///
    /// # Errors
    ///
    /// The first [`Flaw`].
    pub fn check(&self) -> Result<(), Flaw> {
        let flaw = |field: &str, what: String| Err(Flaw { field: field.to_owned(), what });
        if self.hostler_session != FORM {
            let what = format!("is form {}; this host knows form {FORM}", self.hostler_session);
            return flaw("hostler_session", what);
        }
        let session = &self.session;
        if session.status != SessionState::Completed && session.completed_at.is_some() {
            return flaw("session.completed_at", "is only for a completed session".to_owned());
        }
        for (nth, memory) in self.memories.iter().enumerate() {
            if memory.tags.len() > MAX_TAGS || !memory.tags.iter().all(|tag| is_tag(tag)) {
                let what = format!(
                    "must be at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters, none of them a \
                     control character"
                );
                return flaw(&format!("memories[{nth}].tags"), what);
            }
        }
        Ok(())
    }
}

/// A Markdown that is no written session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct NotReadable {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Reads the Markdown of a session.
///
/// # Errors
///
/// [`NotReadable`] names the line.
pub fn read_markdown(text: &str) -> Result<Export, NotReadable> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut export = None;
    let mut at = 0;
    while at < lines.len() {
        let Some(word) = lines[at].strip_prefix("```json ") else {
            at += 1;
            continue;
        };
        let opened = at + 1;
        let wrong = |what: String| NotReadable { line: opened, what };
        let end = (at + 1..lines.len()).find(|nth| lines[*nth].trim_end() == "```");
        let end = end.ok_or_else(|| wrong("the fence that begins here has no end".to_owned()))?;
        let item: Value = serde_json::from_str(&lines[at + 1..end].join("\n"))
            .map_err(|error| wrong(format!("the fence holds no JSON: {error}")))?;
        at = end + 1;
        // A content follows after one empty line.
        let mut content = None;
        if lines.get(at).is_some_and(|line| line.is_empty())
            && lines.get(at + 1).is_some_and(|line| line.starts_with("    "))
        {
            let from = at + 1;
            let past = (from..lines.len()).find(|nth| !lines[*nth].starts_with("    "));
            let past = past.unwrap_or(lines.len());
            let inside: Vec<_> = lines[from..past].iter().map(|line| &line[4..]).collect();
            content = Some(inside.join("\n"));
            at = past;
        }
        put(&mut export, word.trim(), item, content).map_err(wrong)?;
    }
    export.ok_or(NotReadable { line: 1, what: "there is no fence ```json session".to_owned() })
}

fn put(
    export: &mut Option<Export>,
    word: &str,
    item: Value,
    content: Option<String>,
) -> Result<(), String> {
    fn of<T: serde::de::DeserializeOwned>(item: Value) -> Result<T, String> {
        serde_json::from_value(item).map_err(|error| error.to_string())
    }
    let Some(export) = export else {
        if word != "session" {
            return Err(format!("the first fence must be ```json session, not {word}"));
        }
        *export = Some(Export {
            hostler_session: FORM,
            session: of(item)?,
            chunks: Vec::new(),
            memories: Vec::new(),
            artifacts: Vec::new(),
            tasks: Vec::new(),
        });
        return Ok(());
    };
    match word {
        "chunk" => export.chunks.push(ChunkRecord { content, ..of(item)? }),
        "memory" => export.memories.push(of::<MemoryRecord>(item)?),
        "artifact" => export.artifacts.push(ArtifactRecord { content, ..of(item)? }),
        "task" => export.tasks.push(of::<SessionTaskRecord>(item)?),
        other => return Err(format!("there is no such item as `{other}`")),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
