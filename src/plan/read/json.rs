//! JSON with lines. `serde_json` judges the text and reads its scalars; what is done here is to
//! remember where they stand.

use serde::de::IgnoredAny;

use super::tree::{Entry, MAX_DEPTH, Malformed, Node, Tree, insert};

/// Reads `text`.
pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| unsound(&error))?;
    let mut reader = Reader { text, at: 0, line: 1 };
    reader.node(0)
}

fn unsound(error: &serde_json::Error) -> Malformed {
    let message = error.to_string();
    // The line is said once, in front.
    let what = message.split(" at line ").next().unwrap_or_default();
    ((error.line() > 0).then_some(error.line()), format!("is not JSON: {what}"))
}

/// Goes through a text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next character that is no space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(c) = self.text.as_bytes().get(self.at).copied() {
            match c {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' | b':' => {}
                c => return Some(c),
            }
            self.at += 1;
        }
        None
    }

    fn node(&mut self, depth: usize) -> Result<Node, Malformed> {
        let first = self.peek();
        let line = self.line;
        if depth > MAX_DEPTH {
            return Err((Some(line), format!("is nested more than {MAX_DEPTH} deep")));
        }
        let value = match first {
            Some(b'{') => self.table(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Tree::Text(self.string()?),
            _ => self.scalar()?,
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Tree, Malformed> {
        self.at += 1;
        let mut values = Vec::new();
        while self.peek() != Some(b']') {
            values.push(self.node(depth + 1)?);
        }
        self.at += 1;
        Ok(Tree::List(values))
    }

    fn table(&mut self, depth: usize) -> Result<Tree, Malformed> {
        self.at += 1;
        let mut entries = Vec::new();
        while self.peek() != Some(b'}') {
            let line = self.line;
            let key = self.string()?;
            let node = self.node(depth + 1)?;
            insert(&mut entries, Entry { key, line, node })?;
        }
        self.at += 1;
        Ok(Tree::Table(entries))
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        self.at += 1;
        while bytes.get(self.at).is_some_and(|c| *c != b'"') {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        self.read_from(from)
    }

    fn scalar(&mut self) -> Result<Tree, Malformed> {
        let from = self.at;
        let ends = |c: u8| matches!(c, b',' | b']' | b'}') || c.is_ascii_whitespace();
        let rest = &self.text.as_bytes()[from..];
        self.at += rest.iter().position(|c| ends(*c)).unwrap_or(rest.len());
        Ok(match self.read_from::<serde_json::Value>(from)? {
            serde_json::Value::Bool(value) => Tree::Bool(value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Tree::Integer(number),
                (None, number) => Tree::Float(number.unwrap_or_default()),
            },
            _ => Tree::Null,
        })
    }

    fn read_from<T: serde::Deserialize<'a>>(&self, from: usize) -> Result<T, Malformed> {
        let text = self.text.get(from..self.at).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| (Some(self.line), unsound(&error).1))
    }
}
