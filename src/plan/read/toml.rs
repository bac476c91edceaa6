//! TOML with lines.

use std::ops::Range;

use toml_edit::{Document, Item, Key, TableLike, Value};

use super::tree::{Entry, Malformed, Node, Tree};

/// Reads `text`.
pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let lines = Lines(starts.collect());
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().map(|span| lines.of(&span));
        (line, format!("is not TOML: {}", error.message().replace('\n', ", ")))
    })?;
    Ok(lines.table(document.as_table(), 1))
}

/// Where the lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|start| *start <= span.start)
    }

    fn table(&self, table: &dyn TableLike, line: usize) -> Node {
        let entries = table.iter().map(|(key, item)| {
            let span = table.key(key).and_then(Key::span).or_else(|| item.span());
            let line = span.map_or(line, |span| self.of(&span));
            Entry { key: key.to_owned(), line, node: self.item(item, line) }
        });
        Node { line, value: Tree::Table(entries.collect()) }
    }

    fn item(&self, item: &Item, line: usize) -> Node {
        match item {
            Item::None => Node { line, value: Tree::Null },
            Item::Value(value) => self.value(value, line),
            Item::Table(table) => self.table(table, line),
            Item::ArrayOfTables(tables) => {
                let one = |table: &toml_edit::Table| {
                    let line = table.span().map_or(line, |span| self.of(&span));
                    self.table(table, line)
                };
                Node { line, value: Tree::List(tables.iter().map(one).collect()) }
            }
        }
    }

    fn value(&self, value: &Value, line: usize) -> Node {
        let line = value.span().map_or(line, |span| self.of(&span));
        let tree = match value {
            Value::String(text) => Tree::Text(text.value().clone()),
            Value::Integer(number) => Tree::Integer(*number.value()),
            Value::Float(number) => Tree::Float(*number.value()),
            Value::Boolean(value) => Tree::Bool(*value.value()),
            Value::Datetime(time) => Tree::Text(time.value().to_string()),
            Value::Array(values) => {
                Tree::List(values.iter().map(|value| self.value(value, line)).collect())
            }
            Value::InlineTable(table) => return self.table(table, line),
        };
        Node { line, value: tree }
    }
}
