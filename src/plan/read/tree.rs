//! What every format is read into: values that know their lines.

use serde_json::Value;

/// The deepest that values may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// What is wrong with a text before its fields are looked at: the line, if known, and why.
pub(super) type Malformed = (Option<usize>, String);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// The line that it begins on, counted from 1.
    pub(super) line: usize,
    /// What it is.
    pub(super) value: Tree,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<Entry>),
}

/// A key of a table and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// The line of the key.
    pub(super) line: usize,
    /// The value.
    pub(super) node: Node,
}

impl Node {
    /// What it is, for a message.
    pub(super) const fn kind(&self) -> &'static str {
        match self.value {
            Tree::Null => "nothing",
            Tree::Bool(_) => "true or false",
            Tree::Integer(_) => "a whole number",
            Tree::Float(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Table(_) => "a table",
        }
    }

    /// The value as JSON. A number that JSON does not have becomes nothing.
    pub(super) fn to_json(&self) -> Value {
        match &self.value {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Integer(value) => Value::from(*value),
            Tree::Float(value) => Value::from(*value),
            Tree::Text(value) => Value::String(value.clone()),
            Tree::List(values) => values.iter().map(Self::to_json).collect(),
            Tree::Table(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// Puts `entry` into `table`, where its key is new.
pub(super) fn insert(table: &mut Vec<Entry>, entry: Entry) -> Result<(), Malformed> {
    if let Some(other) = table.iter().find(|other| other.key == entry.key) {
        let message = format!("the key `{}` is there already, on line {}", entry.key, other.line);
        return Err((Some(entry.line), message));
    }
    table.push(entry);
    Ok(())
}
