//! Searching and cutting: the terms beside words, and contents in pieces.

use super::MemoryType;

/// How long a piece of a content may be, in bytes: short enough for the index of its words.
const PIECE: usize = 64 * 1024;

/// What the column `search` has beside words, as a query of Postgres asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTerms(String);

impl SearchTerms {
    /// Nothing is asked for.
    pub const fn any() -> Self {
        Self(String::new())
    }

    /// Of session number `no`.
    #[must_use]
    pub fn of_session(self, no: i64) -> Self {
        self.and(&quoted(&format!("\u{1}{no}")))
    }

    /// Of any of these types; of any at all where there are none.
    #[must_use]
    pub fn of_types(self, kinds: &[MemoryType]) -> Self {
        if kinds.is_empty() {
            return self;
        }
        let words: Vec<_> = kinds.iter().map(|kind| quoted(&format!("\u{2}{kind}"))).collect();
        self.and(&format!("({})", words.join(" | ")))
    }

    /// With all of these tags.
    #[must_use]
    pub fn with_tags(self, tags: &[String]) -> Self {
        tags.iter().fold(self, |terms, tag| terms.and(&quoted(tag)))
    }

    fn and(mut self, term: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push_str(" & ");
        }
        self.0.push_str(term);
        self
    }

    /// The query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word as a query of Postgres wants it, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

/// Cuts a content into pieces of at most 64 KiB, between characters, and between words where there is a
/// place for that.
pub fn pieces(content: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = content;
    while rest.len() > PIECE {
        let mut end = PIECE;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let soft = rest[..end].rfind(char::is_whitespace).filter(|at| *at > end / 2);
        let (piece, after) = rest.split_at(soft.unwrap_or(end));
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}
