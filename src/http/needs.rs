//! What a new task needs for itself: `locks`, `paths` and `keys` of the body of a submit. Pure.

use serde_json::Value;

use super::fields::{Fields, kind_of};
use crate::domain::{
    admission::{Access, LockUse, MAX_NEEDS, Mode, Needs, PathUse},
    glob::Glob,
};

/// The most characters that the patterns of one task may stand for: every choice of what begins reads
/// those of all that waits.
const MAX_SIZE: usize = 10_000;

/// Takes the three fields.
pub(super) fn read(task: &mut Fields<'_>) -> Needs {
    let locks = items(task, "locks", |task, at, item| {
        let (name, mode) = named(task, &at, item, "name", "exclusive", "shared")?;
        let mode = if mode { Mode::Exclusive } else { Mode::Shared };
        parse(task, at, &name).map(|name| LockUse { name, mode })
    });
    let paths = items(task, "paths", |task, at, item| {
        let (glob, mode) = named(task, &at, item, "glob", "write", "read")?;
        let mode = if mode { Access::Write } else { Access::Read };
        parse::<Glob>(task, at, &glob).map(|glob| PathUse { glob, mode })
    });
    let size: usize = paths.iter().map(|path| path.glob.size()).sum();
    if size > MAX_SIZE {
        task.wrong(
            "paths",
            format!("stand for {size} characters, with all that is in braces; at most {MAX_SIZE} are taken"),
        );
    }
    let keys = items(task, "keys", |task, at, item| match item {
        Value::String(text) => parse(task, at, &text),
        other => {
            task.add(at, format!("must be a string, not {}", kind_of(&other)));
            None
        }
    });
    Needs::new(locks, paths, keys)
}

/// Reads the items of a list; `read` says what is wrong with one.
fn items<T>(
    task: &mut Fields<'_>,
    name: &'static str,
    read: impl Fn(&mut Fields<'_>, String, Value) -> Option<T>,
) -> Vec<T> {
    match task.take(name) {
        None => Vec::new(),
        Some(Value::Array(items)) if items.len() <= MAX_NEEDS => {
            let at = |nth| format!("{name}[{nth}]");
            let read = |(nth, item)| read(task, at(nth), item);
            items.into_iter().enumerate().filter_map(read).collect()
        }
        Some(Value::Array(items)) => {
            let count = items.len();
            task.wrong(name, format!("has {count} items; at most {MAX_NEEDS} are taken"));
            Vec::new()
        }
        Some(other) => {
            task.wrong(name, format!("must be an array, not {}", kind_of(&other)));
            Vec::new()
        }
    }
}

/// A name, and whether its mode is `strong`: as a text, which is the strong form, or as
/// `{"name": …, "mode": …}`.
fn named(
    task: &mut Fields<'_>,
    at: &str,
    item: Value,
    field: &str,
    strong: &str,
    weak: &str,
) -> Option<(String, bool)> {
    let mut object = match item {
        Value::String(name) => return Some((name, true)),
        Value::Object(object) => object,
        other => {
            let got = kind_of(&other);
            task.add(at, format!("must be a string, or an object with `{field}`, not {got}"));
            return None;
        }
    };
    let name = object.remove(field);
    let mode = match object.remove("mode") {
        None | Some(Value::Null) => Some(true),
        Some(Value::String(word)) if word == strong => Some(true),
        Some(Value::String(word)) if word == weak => Some(false),
        Some(_) => {
            task.add(format!("{at}.mode"), format!("must be `{strong}` or `{weak}`"));
            None
        }
    };
    for other in object.keys() {
        let other: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
        let detail = format!("is no field of this object; the fields are {field}, mode");
        task.add(format!("{at}.{other}"), detail);
    }
    match name {
        Some(Value::String(name)) => mode.map(|mode| (name, mode)),
        _ => {
            task.add(format!("{at}.{field}"), "must be a string");
            None
        }
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    task: &mut Fields<'_>,
    at: String,
    text: &str,
) -> Option<T> {
    text.parse().map_err(|error: T::Err| task.add(at, error.to_string())).ok()
}
