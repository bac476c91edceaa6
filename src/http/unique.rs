//! `unique` of a submit. Pure.

use std::{fmt::Display, str::FromStr};

use serde_json::Value;

use super::{fields::Fields, submit::MAX_DURATION};
use crate::domain::{
    task::TaskState,
    unique::{KeyPart, MAX_UNIQUE_KEY, Unique, key_of},
};

/// Reads `unique` of a task of this kind, with this input.
pub(super) fn read(task: &mut Fields<'_>, kind: &str, input: &Value) -> Option<Unique> {
    let mut unique = task.object("unique")?;
    let is_named = unique.gives("key") || unique.gives("by");
    let key = unique.text("key", MAX_UNIQUE_KEY);
    let by: Option<Vec<KeyPart>> = some(&mut unique, "by", KeyPart::ALL.len());
    let window = unique.duration("window", false, MAX_DURATION);
    let states = some(&mut unique, "states", TaskState::ALL.len());
    let on_conflict = unique.parsed("on_conflict");
    let key = match (key, by) {
        (Some(key), None) => Some(key),
        (None, Some(by)) => Some(key_of(&by, kind, input)),
        (Some(_), Some(_)) => {
            unique.wrong("by", "give either `key` or `by`");
            None
        }
        (None, None) if is_named => None,
        (None, None) => {
            let detail = "give a `key`, or in `by` what makes one: any of queue, kind, input";
            unique.wrong("key", detail);
            None
        }
    };
    unique.finish();
    Some(Unique {
        key: key?,
        window,
        states: states.unwrap_or_else(|| Unique::usual_states(window)),
        on_conflict: on_conflict.unwrap_or_default(),
    })
}

/// Takes a list of at least one word, and at most `max`.
fn some<T: FromStr<Err: Display>>(
    unique: &mut Fields<'_>,
    name: &'static str,
    max: usize,
) -> Option<Vec<T>> {
    if unique.gives_nothing_in(name) {
        unique.wrong(name, "must not be empty");
    }
    unique.list(name, max)
}
