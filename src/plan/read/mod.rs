//! Reading plan files: TOML, YAML and JSON, one schema.
//!
//! The text becomes a tree in which every value knows its line (`tree`, by one reader for each
//! format); the tree becomes a plan (`schema`, through `fields`); `check` holds the rules
//! about more than one field. Every problem is found, not the first alone.

mod check;
mod fields;
mod json;
mod schema;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
mod workspace;
mod yaml;

use std::{fs, path::Path};

use crate::{
    domain::plan::Plan,
    settings::{Origin, Problem, Problems},
};

/// The version of the schema.
pub const VERSION: i64 = 1;

/// The largest plan file, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// How a plan file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.toml`, and what has no other ending that is known.
    Toml,
    /// `.yaml`, `.yml`.
    Yaml,
    /// `.json`.
    Json,
}

impl Format {
    /// The format that the name of a file says.
    pub fn of(file: &Path) -> Self {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            _ => Self::Toml,
        }
    }
}

/// Reads the plan in `file`, in the format that its name says.
///
/// # Errors
///
/// Everything that is wrong with the file, each with its line and field.
pub fn read(file: &Path) -> Result<Plan, Problems> {
    let text = text_of(file)?;
    parse(&text, Format::of(file), file)
}

/// The text of a file of a plan, which is not too large for one.
///
/// # Errors
///
/// It can not be read, is too large or is no text.
pub fn text_of(file: &Path) -> Result<String, Problems> {
    let wrong = |message: String| {
        let origin = Origin::File { path: file.to_owned(), line: None };
        Problems::one(Problem { origin, field: String::new(), message })
    };
    let unreadable = |error: std::io::Error| {
        wrong(format!("cannot be read ({error}): check the path and its mode"))
    };
    let size = fs::metadata(file).map_err(unreadable)?.len();
    if size > MAX_FILE {
        return Err(wrong(format!("is {size} bytes; a plan file has at most {MAX_FILE}")));
    }
    fs::read_to_string(file).map_err(unreadable)
}

/// Reads the plan in `text`; `file` names it in problems.
///
/// # Errors
///
/// Everything that is wrong with the text, each with its line and field.
pub fn parse(text: &str, format: Format, file: &Path) -> Result<Plan, Problems> {
    let at = |line| Origin::File { path: file.to_owned(), line };
    let read = match format {
        Format::Toml => toml::read(text),
        Format::Yaml => yaml::read(text),
        Format::Json => json::read(text),
    };
    let root = read.map_err(|(line, message)| {
        Problems::one(Problem { origin: at(line), field: String::new(), message })
    })?;
    let (plan, mut problems) = schema::plan(&root, file);
    problems.sort_by_key(|problem| problem.line());
    match Problems::of(problems) {
        Some(problems) => Err(problems),
        None => Ok(plan),
    }
}
