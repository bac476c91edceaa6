//! The argv of an `exec` agent, as templates over the task.
//!
//! Each word of `command` is a template and becomes exactly one argument: no shell reads it, and
//! nothing in a task can add a word or end one. A task's own text is never read as a template.
//!
//! Known names: `input`, `agent`, and `task` with `id`, `kind`, `queue` and `attempt`. Text comes out
//! as it is, everything else as compact JSON. A name that is not there is an error, never an empty
//! argument.

use minijinja::{Environment, Error, ErrorKind, context, value::Serde};

use crate::{
    domain::{
        task::Assignment,
        template::{engine, is_template, said},
    },
    protocol::excerpt::excerpt,
};

/// The longest word, in bytes: what Linux takes as one argument, without its end.
pub const MAX_WORD: usize = 128 * 1024 - 1;

/// The names that a template may use.
const NAMES: [&str; 7] =
    ["input", "agent", "task", "task.id", "task.kind", "task.queue", "task.attempt"];

/// A command that can't be made into an argv. `index` counts the words from 0, as in the config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There are no words, or the program is empty.
    #[error("`command` names no program; expected a program and its arguments")]
    NoProgram,
    /// The program is a template.
    #[error(
        "command[0] (`{word}`) is a template; expected the name of a program, which no task can change"
    )]
    ProgramIsTemplate {
        /// The word, escaped and bounded.
        word: String,
    },
    /// A word is no template that can be read.
    #[error("command[{index}] (`{word}`) can't be read as a template: {reason}")]
    Syntax {
        /// Which word.
        index: usize,
        /// The word, escaped and bounded.
        word: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A word uses a name that no task has.
    #[error(
        "command[{index}] (`{word}`) uses `{name}`; expected `input`, `agent`, `task.id`, `task.kind`, `task.queue` or `task.attempt`"
    )]
    UnknownName {
        /// Which word.
        index: usize,
        /// The word, escaped and bounded.
        word: String,
        /// The name.
        name: String,
    },
    /// This task lacks something that a word needs.
    #[error("command[{index}] (`{word}`) needs something that the task does not have: {reason}")]
    Undefined {
        /// Which word.
        index: usize,
        /// The word, escaped and bounded.
        word: String,
        /// What it lacks.
        reason: String,
    },
    /// A word can't be made of this task.
    #[error("command[{index}] (`{word}`) can't be made: {reason}")]
    Render {
        /// Which word.
        index: usize,
        /// The word, escaped and bounded.
        word: String,
        /// Why not.
        reason: String,
    },
    /// A word has a NUL byte, which ends an argument.
    #[error("command[{index}] (`{word}`) has a NUL byte, which no argument can have")]
    Nul {
        /// Which word.
        index: usize,
        /// The word, escaped and bounded.
        word: String,
    },
    /// A word is longer than an argument can be.
    #[error(
        "command[{index}] (`{word}`) has {bytes} bytes; an argument has at most {MAX_WORD}; give long texts on stdin"
    )]
    TooLong {
        /// Which word.
        index: usize,
        /// The word, escaped and bounded.
        word: String,
        /// How long it came out.
        bytes: usize,
    },
}

/// The checked `command` of an `exec` fleet.
#[derive(Debug, Clone)]
pub struct Template {
    /// The words as they stand in the config.
    words: Vec<String>,
    /// Holds each word that is a template, under its index.
    templates: Environment<'static>,
}

impl Template {
    /// Checks a command: every word is read, and every name is known.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] names the first word that can't be used.
    pub fn parse(words: &[String]) -> Result<Self, TemplateError> {
        let program = words.first().filter(|program| !program.is_empty());
        if is_template(program.ok_or(TemplateError::NoProgram)?) {
            return Err(TemplateError::ProgramIsTemplate { word: shown(&words[0]) });
        }
        let mut templates = engine();
        for (index, word) in words.iter().enumerate() {
            check_argument(index, word, word)?;
            if is_template(word) {
                templates
                    .add_template_owned(index.to_string(), word.clone())
                    .map_err(|error| syntax(index, word, &error))?;
                check_names(&templates, index, word)?;
            }
        }
        Ok(Self { words: words.to_vec(), templates })
    }

    /// The argv for one attempt: as many words as the command has.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] names the word that can't be made of this task. The next task may fare
    /// better: it is this task's failure, not the fleet's.
    pub fn render(&self, assignment: &Assignment) -> Result<Vec<String>, TemplateError> {
        let facts = context! {
            input => Serde(&assignment.input),
            agent => assignment.agent.as_str(),
            task => context! {
                id => assignment.task.to_string(),
                kind => assignment.kind.as_str(),
                queue => assignment.queue.as_str(),
                attempt => assignment.attempt.0,
            },
        };
        self.words
            .iter()
            .enumerate()
            .map(|(index, word)| {
                if !is_template(word) {
                    return Ok(word.clone());
                }
                let made = self
                    .templates
                    .get_template(&index.to_string())
                    .and_then(|template| template.render(facts.clone()))
                    .map_err(|error| failed(index, word, &error))?;
                check_argument(index, word, &made)?;
                Ok(made)
            })
            .collect()
    }
}

fn check_names(templates: &Environment<'_>, index: usize, word: &str) -> Result<(), TemplateError> {
    let template =
        templates.get_template(&index.to_string()).map_err(|error| syntax(index, word, &error))?;
    let mut unknown: Vec<String> = template
        .undeclared_variables(true)
        .into_iter()
        .filter(|name| {
            let free = name == "input" || name.starts_with("input.");
            let global = templates.globals().any(|(global, _)| global == name);
            !free && !global && !NAMES.contains(&&**name)
        })
        .collect();
    unknown.sort();
    match unknown.into_iter().next() {
        None => Ok(()),
        Some(name) => Err(TemplateError::UnknownName { index, word: shown(word), name }),
    }
}

fn check_argument(index: usize, word: &str, made: &str) -> Result<(), TemplateError> {
    if made.contains('\0') {
        return Err(TemplateError::Nul { index, word: shown(word) });
    }
    if made.len() > MAX_WORD {
        return Err(TemplateError::TooLong { index, word: shown(word), bytes: made.len() });
    }
    Ok(())
}

fn syntax(index: usize, word: &str, error: &Error) -> TemplateError {
    TemplateError::Syntax { index, word: shown(word), reason: reason(error) }
}

fn failed(index: usize, word: &str, error: &Error) -> TemplateError {
    let (word, reason) = (shown(word), reason(error));
    match error.kind() {
        ErrorKind::UndefinedError => TemplateError::Undefined { index, word, reason },
        _ => TemplateError::Render { index, word, reason },
    }
}

/// What the engine says, without the place: a word is one line, and is shown anyway.
fn reason(error: &Error) -> String {
    excerpt(said(error).as_bytes())
}

fn shown(word: &str) -> String {
    excerpt(word.as_bytes())
}

#[cfg(test)]
mod tests;
