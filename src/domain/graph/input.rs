//! Inputs that are templates over the results of dependencies.
//!
//! Every text in such an input is a template, with one name: `deps`, which has each dependency by the
//! name that the task has for it, with `id`, `state`, `output` and `error`. A text that is one
//! expression and nothing else becomes the value of that expression, whatever its type; any other
//! stays a text. Names of fields are no templates. All texts of an input together may do as much work
//! as one template: an actor fills them in.

use std::collections::{BTreeSet, HashSet};

use minijinja::{
    Environment, Error,
    value::{Serde, Value as Given, ValueKind},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::template::{FUEL, engine, is_template, said};

/// The name of the results in a template.
const DEPS: &str = "deps";

/// The results that a task's input may use, as the store hands them on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// By the names that the task has for them; none if they are larger than is handed on.
    pub deps: Option<Map<String, Value>>,
    /// How large they are, in bytes of JSON.
    pub bytes: u64,
    /// How large they may be.
    pub most: u64,
}

/// The names that the template of a task may use.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a>(pub &'a [&'a str]);

/// A text of an input that is no template that can be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Where it stands: `input.prompt`.
    pub at: String,
    /// What is wrong with it.
    pub what: String,
}

/// An input that can't be made of the results that there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A text can't be filled in.
    #[error("the input can't be made: {at}: {what}")]
    Text {
        /// Where it stands: `input.prompt`.
        at: String,
        /// What is wrong, and what there is instead.
        what: String,
    },
    /// A program can't read the input, or the results that it uses.
    #[error(
        "the input can't be read: {what}; keep numbers within a double, and nesting within 64 levels"
    )]
    Unreadable {
        /// What is wrong.
        what: String,
    },
    /// The results are too large to be handed on.
    #[error(
        "the input can't be made: the results that it uses have {bytes} bytes; at most {most} are handed on; put large results into files"
    )]
    Results {
        /// How large they are.
        bytes: u64,
        /// How large they may be.
        most: u64,
    },
    /// What came out is larger than an input may be.
    #[error(
        "the input can't be made: it has more than {most} bytes (`tasks.max_input`) by {at}; put large results into files"
    )]
    TooLarge {
        /// The text that was too much.
        at: String,
        /// How large an input may be.
        most: u64,
    },
}

/// Checks the templates of an input. Says of each name whether the input uses it.
///
/// # Errors
///
/// Every text that can't be read as a template, or uses a name that there is not.
pub fn check(input: &Value, names: Names<'_>) -> Result<Vec<bool>, Vec<Unread>> {
    let engine = engine();
    let known: HashSet<&str> = names.0.iter().copied().collect();
    let (mut used, mut wrong) = (Some(HashSet::new()), Vec::new());
    each_text(input, "input".to_owned(), &mut |at, text| match paths(&engine, text)
        .and_then(|paths| uses(&paths, &known, &engine))
    {
        Ok(Some(more)) => {
            if let Some(used) = &mut used {
                used.extend(more);
            }
        }
        Ok(None) => used = None,
        Err(what) => wrong.push(Unread { at, what }),
    });
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let is_used = |name: &&str| used.as_ref().is_none_or(|used| used.contains(*name));
    Ok(names.0.iter().map(is_used).collect())
}

/// Fills an input in. What comes out has at most `most` bytes of JSON.
///
/// # Errors
///
/// [`InputError`] names the place, and what there is. Trying again with the same results is in vain.
pub fn render(input: &Value, results: &Results, most: u64) -> Result<Value, InputError> {
    let Some(deps) = &results.deps else {
        return Err(InputError::Results { bytes: results.bytes, most: results.most });
    };
    render_of(input, &json!({ DEPS: deps }), most)
}

/// Fills an input in with `facts`, an object whose fields are the names that its texts may use. What
/// comes out has at most `most` bytes of JSON.
///
/// # Errors
///
/// As [`render`].
pub fn render_of(input: &Value, facts: &Value, most: u64) -> Result<Value, InputError> {
    let mut filling = Filling {
        engine: engine(),
        given: Given::from(Serde(facts)),
        facts,
        fuel: FUEL,
        most,
        left: most,
    };
    filling.value(input, "input".to_owned())
}

/// Calls `visit` with each template in `value` and its place.
fn each_text(value: &Value, at: String, visit: &mut impl FnMut(String, &str)) {
    match value {
        Value::String(text) if is_template(text) => visit(at, text),
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                each_text(item, format!("{at}[{nth}]"), visit);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                each_text(field, format!("{at}.{}", shown(name)), visit);
            }
        }
        _ => {}
    }
}

/// The inside of a text that is one expression and nothing else.
fn lone<'t>(engine: &Environment<'_>, text: &'t str) -> Option<&'t str> {
    let inside = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inside = inside.strip_prefix('-').unwrap_or(inside);
    let inside = inside.strip_suffix('-').unwrap_or(inside);
    engine.compile_expression_owned(inside.to_owned()).is_ok().then_some(inside)
}

/// The names that a template asks for, with the fields that it takes of them: `deps.a.output`.
fn paths(engine: &Environment<'_>, text: &str) -> Result<BTreeSet<String>, String> {
    let template = engine.template_from_str(text).map_err(|error| unread(&error))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

fn unread(error: &Error) -> String {
    format!("can't be read as a template: {}", shown(&said(error)))
}

/// The dependencies that these paths use; none if that can't be told, so that it may be all.
fn uses(
    paths: &BTreeSet<String>,
    known: &HashSet<&str>,
    engine: &Environment<'_>,
) -> Result<Option<Vec<String>>, String> {
    let mut used = Some(Vec::new());
    for path in paths {
        // A name may have dots, which a template takes for fields; then it is asked for by `deps[…]`.
        let mut fields = path.split('.');
        match (fields.next(), fields.next()) {
            (Some(DEPS), None) => used = None,
            (Some(DEPS), Some(name)) if known.contains(name) => {
                if let Some(used) = &mut used {
                    used.push(name.to_owned());
                }
            }
            (Some(DEPS), Some(name)) => {
                let there = listed(known.iter().copied());
                return Err(format!("`{}` is none of the dependencies: {there}", shown(name)));
            }
            (Some(name), _) if engine.globals().any(|(global, _)| global == name) => {}
            _ => {
                return Err(format!("uses `{}`; the only name there is is `{DEPS}`", shown(path)));
            }
        }
    }
    Ok(used)
}

/// An input on its way.
struct Filling<'a> {
    engine: Environment<'static>,
    given: Given,
    facts: &'a Value,
    /// How much work the rest may be: all texts together are one template.
    fuel: u64,
    most: u64,
    /// How many bytes may still come.
    left: u64,
}

impl Filling<'_> {
    fn value(&mut self, value: &Value, at: String) -> Result<Value, InputError> {
        Ok(match value {
            Value::String(text) if is_template(text) => {
                let made =
                    self.text(text).map_err(|what| InputError::Text { at: at.clone(), what })?;
                self.take(&made, at)?;
                made
            }
            Value::Array(items) => {
                let item = |(nth, item)| self.value(item, format!("{at}[{nth}]"));
                Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut made = Map::with_capacity(fields.len());
                for (name, field) in fields {
                    let at = format!("{at}.{}", shown(name));
                    made.insert(name.clone(), self.value(field, at)?);
                }
                Value::Object(made)
            }
            plain => {
                self.take(plain, at)?;
                plain.clone()
            }
        })
    }

    /// Counts what came out.
    fn take(&mut self, made: &Value, at: String) -> Result<(), InputError> {
        let size = serde_json::to_string(made).map_or(u64::MAX, |json| json.len() as u64);
        let too_large = InputError::TooLarge { at, most: self.most };
        self.left = self.left.checked_sub(size).ok_or(too_large)?;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<Value, String> {
        self.engine.set_fuel(Some(self.fuel));
        let source =
            lone(&self.engine, text).map(|inside| format!("{{% set made = ({inside}) %}}"));
        let is_lone = source.is_some();
        let source = source.unwrap_or_else(|| text.to_owned());
        let template = self.engine.template_from_str(&source).map_err(|error| unread(&error))?;
        let done = template
            .render_captured(self.given.clone())
            .map_err(|error| self.missing(text).unwrap_or_else(|| shown(&said(&error))))?;
        let left = done.state().fuel_levels().map_or(0, |(_, left)| left);
        let made = if is_lone {
            let made = done.state().lookup("made").unwrap_or_default();
            if has_undefined(&made) {
                return Err(self.missing(text).unwrap_or_else(|| "has no value".to_owned()));
            }
            serde_json::to_value(&made).map_err(|_| "the value is no JSON".to_owned())?
        } else {
            Value::String(done.output().to_owned())
        };
        drop(done);
        self.fuel = left;
        Ok(made)
    }

    /// The first thing that a template asks for and that is not there, and what there is.
    fn missing(&self, text: &str) -> Option<String> {
        paths(&self.engine, text).ok()?.iter().find_map(|path| {
            let mut here = self.facts;
            let mut walked = String::new();
            for field in path.split('.') {
                let next = here.get(field);
                if next.is_none() && walked.is_empty() {
                    return None;
                }
                match next {
                    Some(next) => here = next,
                    None => return Some(lacks(&walked, here, field)),
                }
                if !walked.is_empty() {
                    walked.push('.');
                }
                walked.push_str(field);
            }
            None
        })
    }
}

/// That the value at `path` has no `field`.
fn lacks(path: &str, value: &Value, field: &str) -> String {
    let field = shown(field);
    match value {
        Value::Object(fields) if fields.is_empty() => format!("`{path}` is empty: no `{field}`"),
        Value::Object(fields) => {
            format!(
                "`{path}` has no `{field}`; it has {}",
                listed(fields.keys().map(String::as_str))
            )
        }
        Value::Null => format!("`{path}` is null, and so has no `{field}`"),
        Value::Bool(_) => format!("`{path}` is a boolean, and so has no `{field}`"),
        Value::Number(_) => format!("`{path}` is a number, and so has no `{field}`"),
        Value::String(_) => format!("`{path}` is a text, and so has no `{field}`"),
        Value::Array(_) => format!("`{path}` is an array, and so has no `{field}`"),
    }
}

/// Whether a value has anything undefined in it: a field that was asked for and is not there.
fn has_undefined(value: &Given) -> bool {
    match value.kind() {
        ValueKind::Undefined => true,
        ValueKind::Seq => value.try_iter().is_ok_and(|mut items| items.any(|i| has_undefined(&i))),
        ValueKind::Map => value.try_iter().is_ok_and(|mut keys| {
            keys.any(|key| value.get_item(&key).is_ok_and(|field| has_undefined(&field)))
        }),
        _ => false,
    }
}

/// The most names that are listed.
const MAX_LISTED: usize = 20;

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.map(|name| format!("`{}`", shown(name))).collect();
    names.sort();
    let more = names.len().saturating_sub(MAX_LISTED);
    names.truncate(MAX_LISTED);
    match (names.is_empty(), more) {
        (true, _) => "there are none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// What may be repeated of a text that somebody made up.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests;
