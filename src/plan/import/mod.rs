//! Markdown plans, as people and agents write them, into plans.
//!
//! Read are: headings `Phase N: Title`; below them `Parallel Stream N: Title` (as headings or bold
//! lines) and any heading with fields; the fields **Agent**, **Time**, **Files**, **Task**,
//! **Dependencies** and **Blockers**; tables with a column *Task*; numbered items with a bold title
//! and a time; "If we split X" with its streams and their merge; branches in fenced shell lines.
//! What was understood only in part, or guessed, is a [`Doubt`] with its line.

mod build;
mod collect;
mod lines;
#[cfg(test)]
mod tests;
mod text;

use crate::domain::plan::Plan;

/// Something that the importer was unsure of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    /// The line of the document, counted from 1.
    pub line: usize,
    /// What it was, and what was made of it.
    pub message: String,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The plan. It may have no tasks.
    pub plan: Plan,
    /// What to look at, in the order of the lines.
    pub doubts: Vec<Doubt>,
}

/// The plan that a Markdown document describes.
pub fn import(markdown: &str) -> Imported {
    build::build(collect::collect(&lines::lines(markdown)))
}
