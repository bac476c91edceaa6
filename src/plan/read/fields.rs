//! Reads typed values out of the tree. Each method gives `None` where a field is not there, or
//! after it wrote down what is wrong with it.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive, path::Path, str::FromStr};

use crate::settings::{Origin, Problem, suggest};

use super::tree::{Entry, Node, Tree};

/// Where problems are written down.
pub(super) struct Findings<'a> {
    file: &'a Path,
    found: RefCell<Vec<Problem>>,
}

impl<'a> Findings<'a> {
    /// Nothing is wrong with `file` yet.
    pub(super) const fn new(file: &'a Path) -> Self {
        Self { file, found: RefCell::new(Vec::new()) }
    }

    /// Writes down what is wrong.
    pub(super) fn add(&self, line: usize, field: impl Into<String>, message: impl Into<String>) {
        let origin = Origin::File { path: self.file.to_owned(), line: Some(line) };
        let problem = Problem { origin, field: field.into(), message: message.into() };
        self.found.borrow_mut().push(problem);
    }

    /// What was written down.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.found.into_inner()
    }
}

/// One table.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    findings: &'a Findings<'a>,
    /// The name of the table, as people would write it.
    path: &'a str,
    /// The line that it begins on.
    pub(super) line: usize,
    entries: &'a [Entry],
}

impl<'a> Table<'a> {
    /// The table that `node` is.
    pub(super) fn of(findings: &'a Findings<'a>, path: &'a str, node: &'a Node) -> Option<Self> {
        match &node.value {
            Tree::Table(entries) => Some(Self { findings, path, line: node.line, entries }),
            _ => {
                findings.add(node.line, path, format!("must be a table, got {}", node.kind()));
                None
            }
        }
    }

    /// Writes down every key that is not in `known`.
    pub(super) fn only(&self, known: &[&str]) {
        for entry in self.entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            let message = match suggest::closest(&entry.key, known.iter().copied()) {
                Some(name) => format!("unknown key; did you mean `{name}`?"),
                None => {
                    let names = suggest::list(known.iter().copied());
                    format!("unknown key; the keys here are {names}")
                }
            };
            self.findings.add(entry.line, self.name(&entry.key), message);
        }
    }

    /// The dotted name of `key`.
    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Writes down what is wrong with `key`, at its line where it is written.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.findings.add(self.line_of(key), self.name(key), message);
    }

    /// The line of `key`, or of the table where it is not there.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.entry(key).map_or(self.line, |entry| entry.line)
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of `key`, unless it is nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node).filter(|node| node.value != Tree::Null)
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let node = self.get(key)?;
        match &node.value {
            Tree::Text(text) => Some(text),
            _ => {
                self.problem(key, format!("must be a text, got {}", node.kind()));
                None
            }
        }
    }

    /// A text of a form of its own, such as a name.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|error: T::Err| self.problem(key, error.to_string())).ok()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names = words.iter().map(|(word, _)| *word);
            let message = match suggest::closest(text, names.clone()) {
                Some(word) => format!("`{text}` is not known; did you mean `{word}`?"),
                None => format!("must be one of {}, got `{text}`", suggest::list(names)),
            };
            self.problem(key, message);
        }
        found
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let node = self.get(key)?;
        match node.value {
            Tree::Bool(value) => Some(value),
            _ => {
                self.problem(key, format!("must be true or false, got {}", node.kind()));
                None
            }
        }
    }

    /// A whole number.
    pub(super) fn number<T>(&self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let node = self.get(key)?;
        let number = match node.value {
            Tree::Integer(number) => T::try_from(number).ok(),
            _ => None,
        };
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let (least, most) = (range.start(), range.end());
            self.problem(key, format!("must be a whole number, {least} to {most}"));
        }
        fits
    }

    /// The values of a list; one value alone is a list of one.
    pub(super) fn list(&self, key: &str) -> &'a [Node] {
        match self.get(key) {
            Some(Node { value: Tree::List(values), .. }) => values,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    /// The tables of a list.
    pub(super) fn nodes(&self, key: &str) -> &'a [Node] {
        match self.get(key) {
            Some(Node { value: Tree::List(values), .. }) => values,
            Some(other) => {
                self.problem(key, format!("must be a list of tables, got {}", other.kind()));
                &[]
            }
            None => &[],
        }
    }

    /// The texts of a list, each of a form of its own; with their lines.
    pub(super) fn parsed_list<T: FromStr<Err: Display>>(&self, key: &str) -> Vec<(T, usize)> {
        let mut values = Vec::new();
        for (at, node) in self.list(key).iter().enumerate() {
            let field = format!("{}[{at}]", self.name(key));
            match &node.value {
                Tree::Text(text) => match text.parse::<T>() {
                    Ok(value) => values.push((value, node.line)),
                    Err(error) => self.findings.add(node.line, field, error.to_string()),
                },
                _ => {
                    let message = format!("must be a text, got {}", node.kind());
                    self.findings.add(node.line, field, message);
                }
            }
        }
        values
    }

    /// The table in `node`, a value of this one.
    pub(super) fn findings(&self) -> &'a Findings<'a> {
        self.findings
    }
}
